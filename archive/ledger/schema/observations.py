"""What the images of files cover, and the rows of ``ivoa.obscore`` made of it."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeDecorator, TypeEngine

from archive.ledger.schema.layout import metadata


class Doubles(TypeDecorator[Sequence[float]]):
    """Doubles in a row, such as the vertices of a polygon: ``float8[]`` on PostgreSQL, else packed, the least byte
    first.
    """

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return ARRAY(Double) if dialect.name == "postgresql" else LargeBinary()

    def process_bind_param(self, value: Sequence[float] | None, dialect: Dialect) -> list[float] | bytes | None:
        if value is None:
            return None
        return list(value) if dialect.name == "postgresql" else pack(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[float, ...] | None:
        if value is None:
            return None
        return tuple(value) if dialect.name == "postgresql" else tuple(_ordered(array("d", value)))


def pack(values: Sequence[float]) -> bytes:
    """Doubles as they are kept where a database has no arrays."""
    return _ordered(array("d", values)).tobytes()


def _ordered(values: array[float]) -> array[float]:
    if sys.byteorder == "big":
        values.byteswap()
    return values


coverage = Table(
    "coverage",
    metadata,
    Column("artifact", ForeignKey("artifact.id"), primary_key=True),
    Column("facts", JSON, nullable=False),  # what its headers tell of sky, spectrum and polarisation
)

observation = Table(  # the columns of ObsCore 1.1 but for access_url and publisher_id, which are the service's to say
    "observation",
    metadata,
    Column("artifact", ForeignKey("artifact.id"), primary_key=True),
    Column("dataproduct_type", String),
    Column("dataproduct_subtype", String),
    Column("calib_level", Integer, nullable=False),
    Column("obs_collection", String, nullable=False),
    Column("obs_id", String, nullable=False),
    Column("obs_title", String),
    Column("obs_publisher_did", String, nullable=False, unique=True),
    Column("obs_creation_date", DateTime),  # UTC, as all times
    Column("obs_release_date", DateTime),
    Column("data_rights", String, nullable=False),
    Column("access_format", String, nullable=False),
    Column("access_estsize", BigInteger, nullable=False),
    Column("target_name", String),
    Column("s_ra", Double),
    Column("s_dec", Double),
    Column("s_fov", Double),
    Column("s_region", Doubles),  # a polygon: longitudes and latitudes in turn
    Column("s_region_lon", Double),  # a circle around it, as editions keep it for their indexes
    Column("s_region_lat", Double),
    Column("s_region_reach", Double),
    Column("_healpix_29", BigInteger),  # of s_ra, s_dec
    Column("s_resolution", Double),
    Column("s_xel1", BigInteger),
    Column("s_xel2", BigInteger),
    Column("s_pixel_scale", Double),
    Column("s_calib_status", String),
    Column("t_min", Double),
    Column("t_max", Double),
    Column("t_exptime", Double),
    Column("t_resolution", Double),
    Column("t_xel", BigInteger),
    Column("t_calib_status", String),
    Column("em_min", Double),
    Column("em_max", Double),
    Column("em_res_power", Double),
    Column("em_resolution", Double),
    Column("em_xel", BigInteger),
    Column("em_ucd", String),
    Column("em_calib_status", String),
    Column("o_ucd", String),
    Column("o_unit", String),
    Column("o_calib_status", String),
    Column("pol_states", String),
    Column("pol_xel", BigInteger, nullable=False),
    Column("facility_name", String),
    Column("instrument_name", String),
    Column("proposal_id", String),
    Index("observation_by_place", "_healpix_29"),
    Index("observation_by_width", "s_fov"),
    Index("observation_by_time", "t_min", "t_max"),
    Index("observation_by_wavelength", "em_min", "em_max"),
    Index("observation_of_collection", "obs_collection", "instrument_name"),
    Index("observation_of_target", "target_name"),
)
_WIDE = text("s_region_reach > 2.0")  # degrees: what is near is found by its cell
Index("observation_wide", observation.c.s_region_reach, sqlite_where=_WIDE, postgresql_where=_WIDE)
Index("observation_by_did", func.lower(observation.c.obs_publisher_did)).ddl_if(dialect="postgresql")  # SIA 2 asks so
