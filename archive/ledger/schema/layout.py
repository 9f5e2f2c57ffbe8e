"""What all groups of tables share."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, MetaData

VERSION = 3
"""Of this layout; a new one needs its step in ``archive/ledger/migrations/versions/ledger``."""

metadata = MetaData()

Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up by itself only for INTEGER

OF_THIS_DATABASE = {"of_this_database": True}
"""``info`` of tables that mean nothing in another database: they are not copied."""
