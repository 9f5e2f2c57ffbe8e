"""The ledger: a SQL database of facts, one for each endpoint. What is in it happened; what is not did not."""

from archive.ledger.ledger import Ledger
from archive.ledger.published import Published
from archive.ledger.site import Site

__all__ = ["Ledger", "Published", "Site"]
