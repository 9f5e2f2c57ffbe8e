"""The ledger's tables: facts of one endpoint (design: facts are rows, bytes lie in stores and engines).

Plain SQLAlchemy Core that SQLite and PostgreSQL take alike. Times are UTC, ISO 8601 with microseconds, as text:
both databases keep and order them the same way. Each group of tables is a module here; all are used as
``schema.table``.
"""

from __future__ import annotations

from archive.ledger.layouts import Layout
from archive.ledger.schema.datasets import (
    certified,
    collection,
    dataset,
    dataset_file,
    dataset_rows,
    dataset_value,
    tagged,
)
from archive.ledger.schema.descriptions import description, id_block, site
from archive.ledger.schema.editions import edition, published, revision, state, state_part
from archive.ledger.schema.events import event
from archive.ledger.schema.files import artifact, delivery, derived_from, part, product, product_input, replica
from archive.ledger.schema.inventories import changed, inventory
from archive.ledger.schema.layout import VERSION, metadata
from archive.ledger.schema.observations import coverage, observation
from archive.ledger.schema.people import grant, incident, token
from archive.ledger.schema.provenance import activity, activity_parameter, used, was_generated_by
from archive.ledger.schema.releases import release
from archive.ledger.schema.retention import dropping, leaving, pin
from archive.ledger.schema.saved import saved_query
from archive.ledger.schema.verification import check_round, loss, store_mark
from archive.ledger.schema.working import arrival, process, taken_in

LAYOUT = Layout("ledger", metadata, VERSION, mark="layout", first_rows={"revision": {"one": 1, "number": 0}})

__all__ = [
    "LAYOUT",
    "VERSION",
    "activity",
    "activity_parameter",
    "arrival",
    "artifact",
    "certified",
    "changed",
    "check_round",
    "collection",
    "coverage",
    "dataset",
    "dataset_file",
    "dataset_rows",
    "dataset_value",
    "delivery",
    "derived_from",
    "description",
    "dropping",
    "edition",
    "event",
    "grant",
    "id_block",
    "incident",
    "inventory",
    "leaving",
    "loss",
    "metadata",
    "observation",
    "part",
    "pin",
    "process",
    "product",
    "product_input",
    "published",
    "release",
    "replica",
    "revision",
    "saved_query",
    "site",
    "state",
    "state_part",
    "store_mark",
    "tagged",
    "taken_in",
    "token",
    "used",
    "was_generated_by",
]
