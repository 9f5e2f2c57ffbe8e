"""Datasets, provenance, releases, observations; checks and retention of files."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ExcludeConstraint

from archive.ledger.schema.datasets import GUARDS
from archive.ledger.schema.inventories import TRIGGERS
from archive.ledger.schema.observations import Doubles

revision = "0003"
down_revision = "0002"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the new tables."""
    _collections()
    _datasets()
    _members()
    _certified()
    _guards()
    _retention()
    _verification()
    _coverage()
    _observations()
    _provenance()
    _releases()
    _inventory()
    _saved()
    _compact()
    _searched()


def _collections() -> None:
    """Those that files came into are runs."""
    collection = op.create_table(
        "collection",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("name", sa.String, nullable=False, unique=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("created", sa.String, nullable=False),
        sa.Column("about", sa.String),
        sa.CheckConstraint("kind in ('run', 'tagged', 'calibration')", name="collection_kind"),
    )
    product = sa.table("product", *map(sa.column, ("artifact", "release", "collection")))
    artifact = sa.table("artifact", *map(sa.column, ("id", "registered")))
    known = (
        sa.select(
            product.c.release + sa.literal("/", sa.String) + product.c.collection,
            sa.literal("run", sa.String),
            sa.func.min(artifact.c.registered),
        )
        .join_from(product, artifact, artifact.c.id == product.c.artifact)
        .group_by(product.c.release, product.c.collection)
    )
    op.execute(collection.insert().from_select(["name", "kind", "created"], known))


def _datasets() -> None:
    dataset = op.create_table(
        "dataset",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("uri", sa.String, nullable=False, unique=True),
        sa.Column("collection", _ID, sa.ForeignKey("collection.id"), nullable=False),
        sa.Column("type", sa.String, nullable=False),
        sa.Column("data_id", sa.String, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("opened", sa.String, nullable=False),
        sa.Column("lease", sa.String),
        sa.Column("ended", sa.String),
        sa.Column("reason", sa.String),
        sa.Column("digest", sa.String(64)),
        sa.Column("files", sa.Integer, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.CheckConstraint(
            "state in ('open', 'found', 'spare', 'failed', 'given-up', 'withdrawn')", name="dataset_state"
        ),
        sa.CheckConstraint("(state in ('found', 'spare', 'withdrawn')) = (digest is not null)", name="dataset_sealed"),
        sa.CheckConstraint("(state = 'open') = (lease is not null)", name="dataset_lease"),
        sa.UniqueConstraint("collection", "type", "data_id", "attempt"),
    )
    found = dataset.c.state == "found"
    op.create_index(
        "dataset_found",
        "dataset",
        ["collection", "type", "data_id"],
        unique=True,
        sqlite_where=found,
        postgresql_where=found,
    )
    op.create_table(
        "dataset_value",
        sa.Column("dataset", _ID, sa.ForeignKey("dataset.id"), primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
        sa.Index("dataset_by_value", "key", "value"),
    )


def _members() -> None:
    op.create_table(
        "dataset_file",
        sa.Column("dataset", _ID, sa.ForeignKey("dataset.id"), primary_key=True),
        sa.Column("artifact", _ID, sa.ForeignKey("artifact.id"), primary_key=True, index=True),
        sa.Column("role", sa.String),
    )
    op.create_table(
        "dataset_rows",
        sa.Column("dataset", _ID, sa.ForeignKey("dataset.id"), primary_key=True),
        sa.Column("schema", sa.String, primary_key=True),
        sa.Column("table", sa.String, primary_key=True),
        sa.Column("condition", sa.String, primary_key=True),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("parts", sa.String(64), nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["schema", "table", "state"], ["state.schema", "state.table", "state.number"]),
    )
    op.create_table(
        "tagged",
        sa.Column("collection", _ID, sa.ForeignKey("collection.id"), primary_key=True),
        sa.Column("type", sa.String, primary_key=True),
        sa.Column("data_id", sa.String, primary_key=True),
        sa.Column("dataset", _ID, sa.ForeignKey("dataset.id"), nullable=False, index=True),
    )


_SAME = "numrange({0}::numeric, {0}::numeric, '[]')"
_HASHED = "hashtextextended({0}, 0)"


def _certified() -> None:
    words = [_HASHED.format(name) for name in ("type", "instrument", "detector", "filter")]
    ranges = [_SAME.format(each) for each in ("collection", *words)]
    ranges.append("numrange(valid_from::numeric, valid_to::numeric)")
    op.create_table(
        "certified",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("collection", _ID, sa.ForeignKey("collection.id"), nullable=False),
        sa.Column("dataset", _ID, sa.ForeignKey("dataset.id"), nullable=False, index=True),
        sa.Column("type", sa.String, nullable=False),
        sa.Column("instrument", sa.String, nullable=False),
        sa.Column("detector", sa.String),
        sa.Column("filter", sa.String),
        sa.Column("valid_from", sa.Double),
        sa.Column("valid_to", sa.Double),
        sa.CheckConstraint("valid_from < valid_to", name="certified_time"),
        ExcludeConstraint(*((sa.text(each), "&&") for each in ranges), name="certified_once", using="gist").ddl_if(
            "postgresql"
        ),
        sa.Index("certified_for", "type", "instrument", "valid_from"),
    )


def _searched() -> None:
    """Indexes of what is found by time or by sky though it lasts long or is wide, and of copies that wait for work."""
    op.drop_index("replica_due", "replica")
    op.create_index("replica_due", "replica", ["store", "has", "want"])
    long, wide = sa.text("t_max - t_min >= 1"), sa.text("s_region_reach > 2.0")
    op.create_index("product_long", "product", ["t_min"], sqlite_where=long, postgresql_where=long)
    op.create_index("observation_wide", "observation", ["s_region_reach"], sqlite_where=wide, postgresql_where=wide)


def _guards() -> None:
    """No two calibrations for the same at the same time; what is sealed keeps its members."""
    for _, dialect, statement in GUARDS:
        if op.get_bind().dialect.name == dialect:
            op.execute(sa.text(statement))


def _provenance() -> None:
    """What was made from what, by whom and how."""
    op.create_table(
        "activity",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("uri", sa.String, nullable=False, unique=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("start_time", sa.String),
        sa.Column("stop_time", sa.String),
        sa.Column("software", sa.String),
        sa.Column("version", sa.String),
        sa.Column("agent", sa.String),
        sa.Column("comment", sa.String),
        sa.Column("told", sa.String, nullable=False),
        sa.CheckConstraint("told in ('deliverer', 'header', 'archive')", name="activity_told"),
    )
    op.create_table(
        "activity_parameter",
        sa.Column("activity", _ID, sa.ForeignKey("activity.id"), primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
    )
    op.create_table(
        "used",
        sa.Column("activity", _ID, sa.ForeignKey("activity.id"), primary_key=True),
        sa.Column("role", sa.String, primary_key=True),
        sa.Column("entity", sa.String, primary_key=True),
        sa.Index("used_entity", "entity"),
    )
    op.create_table(
        "was_generated_by",
        sa.Column("entity", _ID, sa.ForeignKey("artifact.id"), primary_key=True),
        sa.Column("activity", _ID, sa.ForeignKey("activity.id"), nullable=False, index=True),
        sa.Column("role", sa.String),
    )


def _releases() -> None:
    """The content of releases; one that has no row is open."""
    op.create_table(
        "release",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("created", sa.String, nullable=False),
        sa.Column("freezing", sa.String),
        sa.Column("frozen", sa.String),
        sa.Column("manifest", _ID, sa.ForeignKey("artifact.id")),
        sa.Column("files", sa.BigInteger),
        sa.Column("bytes", sa.BigInteger),
        sa.Column("published", sa.String),
        sa.Column("withdrawn", sa.String),
        sa.Column("reason", sa.String),
        sa.CheckConstraint("state in ('open', 'frozen', 'withdrawn')", name="release_state"),
        sa.CheckConstraint("state <> 'frozen' or manifest is not null", name="release_sealed"),
    )


def _coverage() -> None:
    """What images cover."""
    op.create_table(
        "coverage",
        sa.Column("artifact", _ID, sa.ForeignKey("artifact.id"), primary_key=True),
        sa.Column("facts", sa.JSON, nullable=False),
    )


def _observations() -> None:
    """Rows of ivoa.obscore; ``archive upgrade`` fills them."""
    op.create_table(
        "observation",
        sa.Column("artifact", _ID, sa.ForeignKey("artifact.id"), primary_key=True),
        sa.Column("dataproduct_type", sa.String),
        sa.Column("dataproduct_subtype", sa.String),
        sa.Column("calib_level", sa.Integer, nullable=False),
        sa.Column("obs_collection", sa.String, nullable=False),
        sa.Column("obs_id", sa.String, nullable=False),
        sa.Column("obs_title", sa.String),
        sa.Column("obs_publisher_did", sa.String, nullable=False, unique=True),
        sa.Column("obs_creation_date", sa.DateTime),
        sa.Column("obs_release_date", sa.DateTime),
        sa.Column("data_rights", sa.String, nullable=False),
        sa.Column("access_format", sa.String, nullable=False),
        sa.Column("access_estsize", sa.BigInteger, nullable=False),
        sa.Column("target_name", sa.String),
        sa.Column("s_ra", sa.Double),
        sa.Column("s_dec", sa.Double),
        sa.Column("s_fov", sa.Double),
        sa.Column("s_region", Doubles),
        sa.Column("s_region_lon", sa.Double),
        sa.Column("s_region_lat", sa.Double),
        sa.Column("s_region_reach", sa.Double),
        sa.Column("_healpix_29", sa.BigInteger),
        sa.Column("s_resolution", sa.Double),
        sa.Column("s_xel1", sa.BigInteger),
        sa.Column("s_xel2", sa.BigInteger),
        sa.Column("s_pixel_scale", sa.Double),
        sa.Column("s_calib_status", sa.String),
        sa.Column("t_min", sa.Double),
        sa.Column("t_max", sa.Double),
        sa.Column("t_exptime", sa.Double),
        sa.Column("t_resolution", sa.Double),
        sa.Column("t_xel", sa.BigInteger),
        sa.Column("t_calib_status", sa.String),
        sa.Column("em_min", sa.Double),
        sa.Column("em_max", sa.Double),
        sa.Column("em_res_power", sa.Double),
        sa.Column("em_resolution", sa.Double),
        sa.Column("em_xel", sa.BigInteger),
        sa.Column("em_ucd", sa.String),
        sa.Column("em_calib_status", sa.String),
        sa.Column("o_ucd", sa.String),
        sa.Column("o_unit", sa.String),
        sa.Column("o_calib_status", sa.String),
        sa.Column("pol_states", sa.String),
        sa.Column("pol_xel", sa.BigInteger, nullable=False),
        sa.Column("facility_name", sa.String),
        sa.Column("instrument_name", sa.String),
        sa.Column("proposal_id", sa.String),
        sa.Index("observation_by_place", "_healpix_29"),
        sa.Index("observation_by_width", "s_fov"),
        sa.Index("observation_by_time", "t_min", "t_max"),
        sa.Index("observation_by_wavelength", "em_min", "em_max"),
        sa.Index("observation_of_collection", "obs_collection", "instrument_name"),
        sa.Index("observation_of_target", "target_name"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("observation_by_did", "observation", [sa.func.lower(sa.column("obs_publisher_did"))])


def _verification() -> None:
    """How far checks of stored files have come, which store is which, what was lost, and how busy processes are."""
    op.create_table(
        "store_mark",
        sa.Column("store", sa.String, primary_key=True),
        sa.Column("mark", sa.String, nullable=False),
        sa.Column("since", sa.String, nullable=False),
    )
    op.create_table(
        "check_round",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("store", sa.String, nullable=False, index=True),
        sa.Column("deep", sa.Boolean, nullable=False),
        sa.Column("begun", sa.String, nullable=False),
        sa.Column("seen", sa.String, nullable=False),
        sa.Column("ended", sa.String),
        sa.Column("after", sa.String, nullable=False),
        sa.Column("files", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("failed", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "loss",
        sa.Column("artifact", _ID, sa.ForeignKey("artifact.id"), primary_key=True),
        sa.Column("declared", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
    )
    op.create_index("replica_oldest", "replica", ["store", "checked"])
    op.add_column("process", sa.Column("busy", sa.Double))


def _retention() -> None:
    """Pins, files dropped, copies on their way out."""
    op.create_table(
        "pin",
        sa.Column("artifact", _ID, sa.ForeignKey("artifact.id"), primary_key=True),
        sa.Column("actor", sa.String, primary_key=True),
        sa.Column("since", sa.String, nullable=False),
        sa.Column("until", sa.String),
        sa.Column("reason", sa.String, nullable=False),
    )
    op.create_table(
        "dropping",
        sa.Column("artifact", _ID, sa.ForeignKey("artifact.id"), primary_key=True),
        sa.Column("rule", sa.String, nullable=False),
        sa.Column("since", sa.String, nullable=False),
        sa.Column("returned", sa.String),
    )
    op.create_table(
        "leaving",
        sa.Column("artifact", _ID, sa.ForeignKey("artifact.id"), primary_key=True),
        sa.Column("store", sa.String, primary_key=True),
        sa.Column("since", sa.String, nullable=False),
        sa.Column("until", sa.String, nullable=False),
        sa.Column("taken", sa.String),
        sa.Index("leaving_until", "until"),
    )


def _inventory() -> None:
    """Editions of tables over the ledger, and what changed since they were made."""
    op.create_table(
        "changed",
        sa.Column("number", _ID, primary_key=True),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("key", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("subject", "key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "inventory",
        sa.Column("number", _ID, primary_key=True),
        sa.Column("schema", sa.String, nullable=False),
        sa.Column("table", sa.String, nullable=False),
        sa.Column("form", sa.String, nullable=False),
        sa.Column("place", sa.String, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("upto", sa.BigInteger, nullable=False),
        sa.Column("made", sa.String, nullable=False),
        sa.Column("replaced", sa.String),
        sqlite_autoincrement=True,
    )
    if op.get_bind().dialect.name == "sqlite":
        for _, statement in TRIGGERS:
            op.execute(statement)


def _saved() -> None:
    """Queries that somebody wants to be found again."""
    op.create_table(
        "saved_query",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("token", sa.String, nullable=False, unique=True),
        sa.Column("language", sa.String, nullable=False),
        sa.Column("text", sa.String, nullable=False),
        sa.Column("asked", sa.String, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("cut", sa.BigInteger),
        sa.Column("schemas", sa.JSON, nullable=False),
        sa.Column("saved", sa.String, nullable=False),
        sa.Column("author", sa.String, nullable=False),
        sa.Column("title", sa.String, nullable=False),
    )


def _compact() -> None:
    """Descriptions as they were read; archive upgrade fills them in."""
    op.add_column("description", sa.Column("compact", sa.Text))
    op.add_column("description", sa.Column("shape", sa.String))
