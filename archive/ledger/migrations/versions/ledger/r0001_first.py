"""The first layout."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables, and say that nothing was published yet."""
    _descriptions()
    _files()
    _editions()
    _events()
    op.execute(sa.table("revision", sa.column("one"), sa.column("number")).insert().values(one=1, number=0))


def _descriptions() -> None:
    """Who runs the endpoint, and descriptions."""
    op.create_table(
        "site",
        sa.Column("one", sa.Integer, sa.CheckConstraint("one = 1"), primary_key=True),
        sa.Column("authority", sa.String, nullable=False),
        sa.Column("publisher", sa.String, nullable=False),
        sa.Column("contact", sa.String, nullable=False),
        sa.Column("public_url", sa.String),
    )
    op.create_table(
        "description",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("schema", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("version", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("id_block", sa.Integer),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("documents", sa.JSON, nullable=False),
        sa.Column("registered", sa.String, nullable=False),
        sa.UniqueConstraint("schema", "number"),
    )


def _files() -> None:
    """Files, and the states of tables that parts make up."""
    op.create_table(
        "artifact",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("uri", sa.String, nullable=False, unique=True),
        sa.Column("sha256", sa.String(64), nullable=False, index=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("media_type", sa.String, nullable=False),
        sa.Column("path", sa.String, nullable=False),
        sa.Column("registered", sa.String, nullable=False),
    )
    op.create_table(
        "derived_from",
        sa.Column("artifact", _ID, sa.ForeignKey("artifact.id"), primary_key=True),
        sa.Column("source", _ID, sa.ForeignKey("artifact.id"), primary_key=True, index=True),
    )
    op.create_table(
        "delivery",
        sa.Column("artifact", _ID, sa.ForeignKey("artifact.id"), primary_key=True),
        sa.Column("schema", sa.String, nullable=False),
        sa.Column("table", sa.String, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("file", sa.String, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("schema", "table", "sha256"),
    )
    op.create_table(
        "part",
        sa.Column("artifact", _ID, sa.ForeignKey("artifact.id"), primary_key=True),
        sa.Column("schema", sa.String, nullable=False),
        sa.Column("table", sa.String, nullable=False),
        sa.Column("description", _ID, sa.ForeignKey("description.id"), nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("first_cell", sa.BigInteger),
        sa.Column("last_cell", sa.BigInteger),
    )
    op.create_table(
        "state",
        sa.Column("schema", sa.String, primary_key=True),
        sa.Column("table", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("made", sa.String, nullable=False),
    )
    op.create_table(
        "state_part",
        sa.Column("schema", sa.String, primary_key=True),
        sa.Column("table", sa.String, primary_key=True),
        sa.Column("state", sa.Integer, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("part", _ID, sa.ForeignKey("part.artifact"), nullable=False),
        sa.ForeignKeyConstraint(["schema", "table", "state"], ["state.schema", "state.table", "state.number"]),
    )


def _editions() -> None:
    """Processes, editions, and what is published."""
    op.create_table(
        "process",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started", sa.String, nullable=False),
        sa.Column("seen", sa.String, nullable=False),
        sa.Column("lease", sa.String, nullable=False),
        sa.Column("revision", sa.BigInteger),
    )
    op.create_table(
        "edition",
        sa.Column("number", _ID, primary_key=True),
        sa.Column("schema", sa.String, nullable=False),
        sa.Column("table", sa.String, nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("description", _ID, sa.ForeignKey("description.id"), nullable=False),
        sa.Column("builder", sa.String, nullable=False),
        sa.Column("begun", sa.String, nullable=False),
        sa.Column("place", sa.String),
        sa.Column("physical", sa.JSON),
        sa.Column("rows", sa.BigInteger),
        sa.Column("healpix", sa.Boolean),
        sa.Column("retired", sa.String),
        sa.Column("retired_revision", sa.BigInteger),
        sa.ForeignKeyConstraint(["schema", "table", "state"], ["state.schema", "state.table", "state.number"]),
        sa.Index("edition_of_table", "schema", "table"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "published",
        sa.Column("schema", sa.String, primary_key=True),
        sa.Column("table", sa.String, primary_key=True),
        sa.Column("edition", _ID, sa.ForeignKey("edition.number"), nullable=False),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("description", _ID, sa.ForeignKey("description.id"), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "revision",
        sa.Column("one", sa.Integer, sa.CheckConstraint("one = 1"), primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
    )


def _events() -> None:
    """What happened."""
    op.create_table(
        "event",
        sa.Column("origin", sa.String, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("time", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
    )
