"""States of tables, the editions built of them, and what is published."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
)

from archive.ledger.schema.layout import Id, metadata

state = Table(
    "state",
    metadata,
    Column("schema", String, primary_key=True),
    Column("table", String, primary_key=True),
    Column("number", Integer, primary_key=True),  # 1, 2, ...: the highest is the newest
    Column("rows", BigInteger, nullable=False),
    Column("made", String, nullable=False),
)

state_part = Table(
    "state_part",
    metadata,
    Column("schema", String, primary_key=True),
    Column("table", String, primary_key=True),
    Column("state", Integer, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("part", ForeignKey("part.artifact"), nullable=False),
    ForeignKeyConstraint(["schema", "table", "state"], ["state.schema", "state.table", "state.number"]),
)

edition = Table(
    "edition",
    metadata,
    Column("number", Id, primary_key=True),
    Column("schema", String, nullable=False),
    Column("table", String, nullable=False),
    Column("state", Integer, nullable=False),
    Column("description", ForeignKey("description.id"), nullable=False),
    Column("builder", String, nullable=False),  # process; not a foreign key: processes come and go
    Column("begun", String, nullable=False),
    Column("place", String),  # null until it is built
    Column("physical", JSON),
    Column("rows", BigInteger),
    Column("healpix", Boolean),
    Column("retired", String),  # when a newer one took its place, and at which revision
    Column("retired_revision", BigInteger),
    ForeignKeyConstraint(["schema", "table", "state"], ["state.schema", "state.table", "state.number"]),
    Index("edition_of_table", "schema", "table"),
    sqlite_autoincrement=True,  # a number is never used for two editions
)

published = Table(
    "published",
    metadata,
    Column("schema", String, primary_key=True),
    Column("table", String, primary_key=True),
    Column("edition", ForeignKey("edition.number"), nullable=False),
    Column("state", Integer, nullable=False),
    Column("description", ForeignKey("description.id"), nullable=False),  # one for all tables of a schema
    Column("revision", BigInteger, nullable=False),  # since when
)

revision = Table(
    "revision",
    metadata,
    Column("one", Integer, CheckConstraint("one = 1"), primary_key=True),
    Column("number", BigInteger, nullable=False),  # grows by one with every change of what is published
)
