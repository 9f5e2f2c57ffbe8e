"""The inventory: tables over the ledger (``ivoa.obscore``, ``backbone.*``), queried like any other.

They are described in ``schema/``, their rows are facts of the ledger (``archive.ledger.inventory``). Where the ledger
is in PostgreSQL, queries read it there. Where it is a SQLite file, they read editions that are made anew from time to
time and, taken from the ledger in one transaction, all that changed since: a query sees what was committed before it.
"""

from archive.inventory.compacting import compact
from archive.inventory.current import Inventory
from archive.inventory.described import is_listed, schemas, with_inventory

__all__ = ["Inventory", "compact", "is_listed", "schemas", "with_inventory"]
