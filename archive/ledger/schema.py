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
    Double,
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

VERSION = 2
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

# --- files ----------------------------------------------------------------------------------------

artifact = Table(
    "artifact",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("uri", String, nullable=False, unique=True),  # uri, sha256 and size never change
    Column("sha256", String(64), nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
    Column("media_type", String, nullable=False),
    Column("registered", String, nullable=False),
    Column("public_from", String),  # proprietary until then; null: public at once
    Column("retracted", String),  # since when it counts as never delivered; its URI stays taken
)

replica = Table(  # of this endpoint only
    "replica",
    metadata,
    Column("artifact", ForeignKey("artifact.id"), primary_key=True),
    Column("store", String, primary_key=True),
    Column("path", String, nullable=False),  # in the store; of a bundle's member: where the bundle lies
    Column("has", String, nullable=False),  # a reader sees the file only where this is "present"
    Column("want", String, nullable=False),
    Column("adopted", Boolean, nullable=False),  # it lay there before us: never moved, never deleted by us
    Column("checked", String),  # when all its bytes were last read and found right
    Column("fingerprint", String),  # of the file as it was then, where the store can tell (size, time, inode)
    Column("bundle", ForeignKey("artifact.id"), index=True),
    Column("offset", BigInteger),  # of the first byte in the bundle
    CheckConstraint("has in ('absent', 'present', 'bad')", name="replica_has"),
    CheckConstraint("want in ('keep', 'drop')", name="replica_want"),
    CheckConstraint('(bundle is null) = ("offset" is null)', name="replica_in_bundle"),
    Index("replica_due", "has", "want"),
)
Index(
    "replica_place",
    replica.c.store,
    replica.c.path,
    unique=True,
    sqlite_where=replica.c.bundle.is_(None),
    postgresql_where=replica.c.bundle.is_(None),
)

product = Table(
    "product",
    metadata,
    Column("artifact", ForeignKey("artifact.id"), primary_key=True),
    Column("type", String, nullable=False),  # of schema/products.yaml
    Column("release", String, nullable=False),
    Column("collection", String, nullable=False),
    Column("instrument", String),
    Column("detector", String),
    Column("band", String),
    Column("exposure", String),
    Column("t_min", Double),  # MJD, UTC
    Column("t_max", Double),
    Column("ra", Double),  # degrees, ICRS
    Column("dec", Double),
    Column("_healpix_29", BigInteger),
    Column("metadata", JSON, nullable=False),  # item -> value, or why there is none
    Column("revision", Integer, nullable=False),  # 1, and one more with every amendment
    Index("product_of_collection", "release", "collection", "type"),
    Index("product_of_exposure", "exposure"),
    Index("product_by_time", "t_min"),
    Index("product_by_place", "_healpix_29"),
)

product_input = Table(
    "product_input",
    metadata,
    Column("artifact", ForeignKey("artifact.id"), primary_key=True),
    Column("role", String, primary_key=True),
    Column("uri", String, primary_key=True, index=True),  # not a foreign key: the input may come later
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

arrival = Table(  # files on their way in
    "arrival",
    metadata,
    Column("id", String, primary_key=True),
    Column("process", String, nullable=False),  # not a foreign key: when it dies, this tells what it leaves behind
    Column("store", String, nullable=False),
    Column("folder", String),  # all files that it names lie below; null if they lay there before
    Column("claimed", BigInteger, nullable=False),  # bytes that it may still write
    Column("begun", String, nullable=False),
)

taken_in = Table(  # how fast a store fills
    "taken_in",
    metadata,
    Column("store", String, primary_key=True),
    Column("hour", String, primary_key=True),  # 2026-11-23T04
    Column("files", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
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

# --- who may what, and what went wrong ---------------------------------------------------------------

grant = Table(
    "grant",
    metadata,
    Column("actor", String, primary_key=True),
    Column("role", String, primary_key=True),
    Column("since", String, nullable=False),
    Column("by", String, nullable=False),
)

token = Table(
    "token",
    metadata,
    Column("id", String, primary_key=True),
    Column("actor", String, nullable=False, index=True),
    Column("role", String, nullable=False),
    Column("hash", String(64), nullable=False),  # sha256 of the secret, which is nowhere
    Column("created", String, nullable=False),
    Column("expires", String),
    Column("revoked", String),
    Column("last_used", String),
)

incident = Table(
    "incident",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False, index=True),  # the URI or the thing that it is about
    Column("opened", String, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("closed", String),
)

# --- events ---------------------------------------------------------------------------------------

event = Table(
    "event",
    metadata,
    Column("origin", String, primary_key=True),  # the endpoint where it happened
    Column("seq", BigInteger, primary_key=True, autoincrement=False),  # 1, 2, ... without a gap, in commit order
    Column("time", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("body", JSON, nullable=False),  # with "actor" and "reason": who did it, and why if they said
    Column("digest", String(64), nullable=False),  # sha256 over the digest before and this event
)
