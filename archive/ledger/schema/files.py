"""Registered files, their copies here, and what they are to astronomers and to tables."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    text,
)

from archive.ledger.schema.layout import Id, metadata

artifact = Table(
    "artifact",
    metadata,
    Column("id", Id, primary_key=True),
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
    Index("replica_due", "store", "has", "want"),  # not by has alone: SQLite would take it for one file
    Index("replica_oldest", "store", "checked"),
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
_LONG = text("t_max - t_min >= 1")  # days: the index by time finds what is shorter
Index("product_long", product.c.t_min, sqlite_where=_LONG, postgresql_where=_LONG)

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
