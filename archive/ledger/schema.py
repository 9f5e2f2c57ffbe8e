"""The ledger's tables: facts of one endpoint (design: facts are rows, bytes lie in stores and engines).

Plain SQLAlchemy Core that SQLite and PostgreSQL take alike. Times are UTC, ISO 8601 with microseconds, as text:
both databases keep and order them the same way.
"""

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
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

from archive.ledger.layouts import Layout

VERSION = 1
"""Of this layout; a new one needs its step in ``archive/ledger/migrations/versions/ledger``."""

metadata = MetaData()

LAYOUT = Layout("ledger", metadata, VERSION, mark="layout", first_rows={"revision": {"one": 1, "number": 0}})

_Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up by itself only for INTEGER

site = Table(
    "site",
    metadata,
    Column("one", Integer, CheckConstraint("one = 1"), primary_key=True),
    Column("authority", String, nullable=False),
    Column("publisher", String, nullable=False),
    Column("contact", String, nullable=False),
    Column("public_url", String),
)

# --- descriptions ---------------------------------------------------------------------------------

description = Table(
    "description",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("schema", String, nullable=False),
    Column("number", Integer, nullable=False),  # 1, 2, ...: the highest is in force
    Column("version", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("id_block", Integer),
    Column("sha256", String(64), nullable=False),
    Column("documents", JSON, nullable=False),  # [[file name, text], ...], the main one first
    Column("registered", String, nullable=False),
    UniqueConstraint("schema", "number"),
)

# --- files ----------------------------------------------------------------------------------------

artifact = Table(
    "artifact",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("uri", String, nullable=False, unique=True),
    Column("sha256", String(64), nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
    Column("media_type", String, nullable=False),
    Column("path", String, nullable=False),  # in this endpoint's store
    Column("registered", String, nullable=False),
)

derived_from = Table(
    "derived_from",
    metadata,
    Column("artifact", ForeignKey("artifact.id"), primary_key=True),
    Column("source", ForeignKey("artifact.id"), primary_key=True, index=True),
)

delivery = Table(
    "delivery",
    metadata,
    Column("artifact", ForeignKey("artifact.id"), primary_key=True),
    Column("schema", String, nullable=False),
    Column("table", String, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("file", String, nullable=False),  # as the operator called it
    Column("rows", BigInteger, nullable=False),
    UniqueConstraint("schema", "table", "sha256"),
)

part = Table(
    "part",
    metadata,
    Column("artifact", ForeignKey("artifact.id"), primary_key=True),
    Column("schema", String, nullable=False),
    Column("table", String, nullable=False),
    Column("description", ForeignKey("description.id"), nullable=False),  # in whose terms it was written
    Column("rows", BigInteger, nullable=False),
    Column("first_cell", BigInteger),  # smallest and largest _healpix_29; null where no row has a position
    Column("last_cell", BigInteger),
)

# --- states of tables -----------------------------------------------------------------------------

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

# --- editions and what is published ----------------------------------------------------------------

process = Table(
    "process",
    metadata,
    Column("id", String, primary_key=True),
    Column("role", String, nullable=False),  # the verb it runs: serve, load, publish
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", String, nullable=False),
    Column("seen", String, nullable=False),
    Column("lease", String, nullable=False),  # until then it counts as alive
    Column("revision", BigInteger),  # the oldest it still serves; null if it serves none
)

edition = Table(
    "edition",
    metadata,
    Column("number", _Id, primary_key=True),
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

# --- events ---------------------------------------------------------------------------------------

event = Table(
    "event",
    metadata,
    Column("origin", String, primary_key=True),  # the endpoint where it happened
    Column("seq", BigInteger, primary_key=True, autoincrement=False),  # 1, 2, ... without a gap, in commit order
    Column("time", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("body", JSON, nullable=False),
    Column("digest", String(64), nullable=False),  # sha256 over the digest before and this event
)
