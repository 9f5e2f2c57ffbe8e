"""Who runs the endpoint, the descriptions in force, and the blocks of IDs given to them."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, CheckConstraint, Column, Integer, String, Table, Text, UniqueConstraint

from archive.ledger.schema.layout import Id, metadata

site = Table(
    "site",
    metadata,
    Column("one", Integer, CheckConstraint("one = 1"), primary_key=True),
    Column("authority", String, nullable=False),
    Column("publisher", String, nullable=False),
    Column("contact", String, nullable=False),
    Column("public_url", String),
)

description = Table(
    "description",
    metadata,
    Column("id", Id, primary_key=True),
    Column("schema", String, nullable=False),
    Column("number", Integer, nullable=False),  # 1, 2, ...: the highest is in force
    Column("version", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("id_block", Integer),
    Column("sha256", String(64), nullable=False),
    Column("documents", JSON, nullable=False),  # [[file name, text], ...], the main one first
    Column("registered", String, nullable=False),
    Column("compact", Text),  # what was read from the documents, for programs whose classes have this shape
    Column("shape", String),
    UniqueConstraint("schema", "number"),
)

_SPAN = 1 << 56  # IDs in a block: all that share their high bits (archive/releases.py)

id_block = Table(
    "id_block",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # the high bits: so no two blocks meet
    Column("name", String, nullable=False),  # the schema it was given to, for ever
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    CheckConstraint("number between 1 and 127", name="id_block_number"),
    CheckConstraint(f'"first" = number * {_SPAN}', name="id_block_first"),
    CheckConstraint(f'"last" - "first" = {_SPAN - 1}', name="id_block_last"),
)
