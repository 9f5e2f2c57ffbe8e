"""Copies of files apart from files; products, blocks of IDs, grants, tokens, incidents, files on their way in."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_SPAN = 1 << 56


def upgrade() -> None:
    """Make the new tables; what the old ones said of places and blocks goes there."""
    _replicas()
    _products()
    _id_blocks()
    _arrivals()
    _people()


def _replicas() -> None:
    """Each file has one copy, in the main store; it was found right when it was registered."""
    op.add_column("artifact", sa.Column("public_from", sa.String))
    op.add_column("artifact", sa.Column("retracted", sa.String))
    replica = op.create_table(
        "replica",
        sa.Column("artifact", _ID, sa.ForeignKey("artifact.id"), primary_key=True),
        sa.Column("store", sa.String, primary_key=True),
        sa.Column("path", sa.String, nullable=False),
        sa.Column("has", sa.String, nullable=False),
        sa.Column("want", sa.String, nullable=False),
        sa.Column("adopted", sa.Boolean, nullable=False),
        sa.Column("checked", sa.String),
        sa.Column("fingerprint", sa.String),
        sa.Column("bundle", _ID, sa.ForeignKey("artifact.id"), index=True),
        sa.Column("offset", sa.BigInteger),
        sa.CheckConstraint("has in ('absent', 'present', 'bad')", name="replica_has"),
        sa.CheckConstraint("want in ('keep', 'drop')", name="replica_want"),
        sa.CheckConstraint('(bundle is null) = ("offset" is null)', name="replica_in_bundle"),
        sa.Index("replica_due", "has", "want"),
    )
    alone = replica.c.bundle.is_(None)
    op.create_index(
        "replica_place", "replica", ["store", "path"], unique=True, sqlite_where=alone, postgresql_where=alone
    )
    artifact = sa.table("artifact", *map(sa.column, ("id", "path", "registered")))
    said = sa.select(
        artifact.c.id,
        sa.literal("main"),
        artifact.c.path,
        sa.literal("present"),
        sa.literal("keep"),
        sa.false(),
        artifact.c.registered,
    )
    op.execute(replica.insert().from_select(["artifact", "store", "path", "has", "want", "adopted", "checked"], said))
    op.drop_column("artifact", "path")


def _products() -> None:
    """What files are to astronomers."""
    op.create_table(
        "product",
        sa.Column("artifact", _ID, sa.ForeignKey("artifact.id"), primary_key=True),
        sa.Column("type", sa.String, nullable=False),
        sa.Column("release", sa.String, nullable=False),
        sa.Column("collection", sa.String, nullable=False),
        sa.Column("instrument", sa.String),
        sa.Column("detector", sa.String),
        sa.Column("band", sa.String),
        sa.Column("exposure", sa.String),
        sa.Column("t_min", sa.Double),
        sa.Column("t_max", sa.Double),
        sa.Column("ra", sa.Double),
        sa.Column("dec", sa.Double),
        sa.Column("_healpix_29", sa.BigInteger),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Index("product_of_collection", "release", "collection", "type"),
        sa.Index("product_of_exposure", "exposure"),
        sa.Index("product_by_time", "t_min"),
        sa.Index("product_by_place", "_healpix_29"),
    )
    op.create_table(
        "product_input",
        sa.Column("artifact", _ID, sa.ForeignKey("artifact.id"), primary_key=True),
        sa.Column("role", sa.String, primary_key=True),
        sa.Column("uri", sa.String, primary_key=True, index=True),
    )


def _id_blocks() -> None:
    """Each block belongs to the schema whose descriptions asked for it."""
    block = op.create_table(
        "id_block",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.CheckConstraint("number between 1 and 127", name="id_block_number"),
        sa.CheckConstraint(f'"first" = number * {_SPAN}', name="id_block_first"),
        sa.CheckConstraint(f'"last" - "first" = {_SPAN - 1}', name="id_block_last"),
    )
    description = sa.table("description", sa.column("id_block", sa.Integer), sa.column("schema"))
    number = sa.cast(description.c.id_block, sa.BigInteger)
    first = number * sa.literal(_SPAN, sa.BigInteger)
    asked = (
        sa.select(number, sa.func.min(description.c.schema), first, first + sa.literal(_SPAN - 1, sa.BigInteger))
        .where(description.c.id_block.is_not(None))
        .group_by(description.c.id_block)
    )
    op.execute(block.insert().from_select(["number", "name", "first", "last"], asked))


def _arrivals() -> None:
    """Files on their way in, and how fast stores fill."""
    op.create_table(
        "arrival",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("process", sa.String, nullable=False),
        sa.Column("store", sa.String, nullable=False),
        sa.Column("folder", sa.String),
        sa.Column("claimed", sa.BigInteger, nullable=False),
        sa.Column("begun", sa.String, nullable=False),
    )
    op.create_table(
        "taken_in",
        sa.Column("store", sa.String, primary_key=True),
        sa.Column("hour", sa.String, primary_key=True),
        sa.Column("files", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
    )


def _people() -> None:
    """Who may what, and what wants people's eyes."""
    op.create_table(
        "grant",
        sa.Column("actor", sa.String, primary_key=True),
        sa.Column("role", sa.String, primary_key=True),
        sa.Column("since", sa.String, nullable=False),
        sa.Column("by", sa.String, nullable=False),
    )
    op.create_table(
        "token",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("actor", sa.String, nullable=False, index=True),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("created", sa.String, nullable=False),
        sa.Column("expires", sa.String),
        sa.Column("revoked", sa.String),
        sa.Column("last_used", sa.String),
    )
    op.create_table(
        "incident",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False, index=True),
        sa.Column("opened", sa.String, nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.Column("closed", sa.String),
    )
