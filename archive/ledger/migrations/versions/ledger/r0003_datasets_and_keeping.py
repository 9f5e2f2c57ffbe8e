"""Datasets and collections."""

import sqlalchemy as sa
from alembic import op

from archive.ledger.schema.observations import Doubles

revision = "0003"
down_revision = "0002"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the new tables."""
    _retention()
    _verification()
    _observations()
    _provenance()
    _releases()


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


def _observations() -> None:
    """What images cover, and rows of ivoa.obscore; ``archive upgrade`` fills them."""
    op.create_table(
        "coverage",
        sa.Column("artifact", _ID, sa.ForeignKey("artifact.id"), primary_key=True),
        sa.Column("facts", sa.JSON, nullable=False),
    )
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
