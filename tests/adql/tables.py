"""The schema ``t`` over which every example query is written, with its rows.

Three small tables made by rule from a fixed seed, so that a result can be worked out by hand or by the plain
evaluator: ``t.star`` (40 rows, the nasty places of the sky among them), ``t.obs`` (30 rows, some of stars
that do not exist) and ``t.empty`` (like ``star``, no rows). NULL appears in every nullable column. Floats are
multiples of 1/8 where they are compared, so single and double precision agree.
"""

from __future__ import annotations

import datetime
import math
import random
from typing import Any

import pyarrow as pa

from archive.columns import Column, Datatype, arrow_type
from archive.tables import Catalog, ForeignKey, Position, Schema, Table

STAR_COLUMNS = (
    Column("star_id", Datatype.LONG, ucd="meta.id;meta.main", description="Identifier of the star", nullable=False,
           principal=True, indexed=True),
    Column("ra", Datatype.DOUBLE, unit="deg", ucd="pos.eq.ra;meta.main", description="Right ascension, ICRS",
           nullable=False, principal=True, indexed=True),
    Column("dec", Datatype.DOUBLE, unit="deg", ucd="pos.eq.dec;meta.main", description="Declination, ICRS",
           nullable=False, principal=True, indexed=True),
    Column("mag", Datatype.FLOAT, unit="mag", ucd="phot.mag;em.opt.V", description="V magnitude", principal=True),
    Column("name", Datatype.CHAR, "*", ucd="meta.id", description="Common name, if any"),
    Column("flags", Datatype.INT, ucd="meta.code", description="Bits set by the reduction", nullable=False),
    Column("epoch", Datatype.CHAR, "*", "timestamp", ucd="time.epoch", description="Mean time of observation"),
    Column("pos", Datatype.DOUBLE, "2", "point", unit="deg", ucd="pos.eq", description="Position as a point"),
    Column("Size", Datatype.SHORT, unit="pix", ucd="phys.angSize", description="Size of the image (mixed-case name)"),
    Column("value", Datatype.DOUBLE, description="A column named by a reserved word"),
    Column("b1", Datatype.BOOLEAN, ucd="meta.code", description="True if variable"),
    Column("parallax", Datatype.DOUBLE, unit="mas", ucd="pos.parallax", description="Parallax"),
    Column("pmra", Datatype.DOUBLE, unit="mas/yr", ucd="pos.pm;pos.eq.ra", description="Proper motion in RA cos(dec)"),
    Column("class", Datatype.CHAR, "*", ucd="meta.code.class", description="Spectral class"),
)  # fmt: skip

OBS_COLUMNS = (
    Column("obs_id", Datatype.LONG, ucd="meta.id;meta.main", description="Identifier of the observation",
           nullable=False, principal=True, indexed=True),
    Column("star_id", Datatype.LONG, ucd="meta.id", description="Star observed"),
    Column("mjd", Datatype.DOUBLE, unit="d", ucd="time.epoch", description="Mid-exposure, MJD", nullable=False),
    Column("flux", Datatype.DOUBLE, unit="nJy", ucd="phot.flux", description="Flux"),
    Column("flux_err", Datatype.FLOAT, unit="nJy", ucd="stat.error;phot.flux", description="Error of the flux"),
    Column("band", Datatype.CHAR, "*", ucd="meta.id;instr.filter", description="Filter", nullable=False),
    Column("exptime", Datatype.FLOAT, unit="s", ucd="time.duration;obs.exposure", description="Exposure time"),
    Column("s_region", Datatype.DOUBLE, "*", "polygon", unit="deg", ucd="pos.outline;obs.field",
           description="Footprint"),
    Column("fov", Datatype.DOUBLE, "3", "circle", unit="deg", ucd="pos.outline", description="Field of view"),
)  # fmt: skip

_SKY = Position("ra", "dec")
STAR = Table("t", "star", STAR_COLUMNS, "Stars", position=_SKY, primary_key=("star_id",), rows=40)
OBS = Table(
    "t",
    "obs",
    OBS_COLUMNS,
    "Observations of the stars",
    primary_key=("obs_id",),
    foreign_keys=(ForeignKey("obs_star", ("star_id",), "t.star", ("star_id",)),),
    rows=30,
)
EMPTY = Table("t", "empty", STAR_COLUMNS, "Like star, without rows", position=_SKY, primary_key=("star_id",), rows=0)

SCHEMA = Schema("t", (STAR, OBS, EMPTY), "Small tables for examples")
CATALOG = Catalog([SCHEMA])

_NASTY_PLACES = (
    (0.0, 0.0), (0.0, 90.0), (0.0, -90.0), (123.5, 89.75), (303.5, 89.75), (45.0, -89.5), (359.875, 10.0),
    (0.125, 10.0), (359.875, -10.0), (0.0, 10.0), (180.0, 0.0), (180.0, 45.0), (10.0, 20.0), (10.5, 20.0),
    (10.0, 20.5), (56.75, 24.125),
)  # fmt: skip
_NAMES = (
    "Sirius", "sirius", "Vega", "O'Neill", "Proxima Cen", "100% sure", "under_score", "back\\slash", "", "É Ori",
    "Alcyone", "alcyone b", None, "Vega",
)  # fmt: skip
_CLASSES = ("O", "B", "A", "F", "G", "K", "M", None)
_BANDS = ("u", "g", "r", "i", "z", "y")


def _eighths(source: random.Random, low: float, high: float, missing: float = 0.0) -> float | None:
    """A random multiple of 1/8, or None with probability ``missing``."""
    if source.random() < missing:
        return None
    return source.randint(int(low * 8), int(high * 8)) / 8


def _star_rows() -> list[dict[str, Any]]:
    source = random.Random(21)
    start = datetime.datetime(2015, 6, 1, 12)
    rows = []
    for i in range(40):
        if i < len(_NASTY_PLACES):
            ra, dec = _NASTY_PLACES[i]
        else:
            ra = source.randint(0, 359) + source.randint(0, 7) / 8
            dec = round(math.degrees(math.asin(source.uniform(-1, 1))) * 8) / 8
        epoch = start + datetime.timedelta(days=37 * i, microseconds=250_000 * (i % 5))
        rows.append({
            "star_id": (1 << 40) + i if i >= 38 else i + 1,
            "ra": ra,
            "dec": dec,
            "mag": _eighths(source, 4, 16, 0.15),
            "name": _NAMES[i] if i < len(_NAMES) else None if i % 3 == 0 else f"star {i:02d}",
            "flags": source.choice((0, 1, 2, 3, 4, 8, 255, -1)),
            "epoch": None if i % 11 == 10 else epoch,
            "pos": None if i % 13 == 12 else [ra, dec],
            "Size": None if i % 9 == 8 else source.randint(-3, 12),
            "value": _eighths(source, -10, 10, 0.2),
            "b1": (True, False, None)[i % 3],
            "parallax": _eighths(source, -1, 50, 0.1),
            "pmra": _eighths(source, -100, 100, 0.1),
            "class": _CLASSES[i % 8],
        })  # fmt: skip
    return rows


def _obs_rows(stars: list[dict[str, Any]]) -> list[dict[str, Any]]:
    source = random.Random(22)
    rows = []
    for i in range(30):
        star = stars[(i * 7) % 25]
        ra, dec = star["ra"], max(-80.0, min(80.0, star["dec"]))
        east, west = (ra + 0.5) % 360, (ra - 0.5) % 360
        outline = [west, dec - 0.5, east, dec - 0.5, east, dec + 0.5, west, dec + 0.5]
        rows.append({
            "obs_id": 1001 + i,
            "star_id": None if i % 10 == 9 else 9999 if i % 10 == 4 else star["star_id"],
            "mjd": 59000.0 + i * 1.5,
            "flux": _eighths(source, -5, 4000, 0.1),
            "flux_err": _eighths(source, 1, 20, 0.1),
            "band": _BANDS[i % 6],
            "exptime": None if i % 8 == 7 else float(15 * (1 + i % 4)),
            "s_region": None if i % 7 == 6 else outline,
            "fov": None if i % 6 == 5 else [star["ra"], star["dec"], 1.75],
        })  # fmt: skip
    return rows


ROWS: dict[tuple[str, str], list[dict[str, Any]]] = {
    STAR.key: (_stars := _star_rows()),
    OBS.key: _obs_rows(_stars),
    EMPTY.key: [],
}
"""The rows of each table as plain Python values, keyed by column name."""


def _arrow(table: Table) -> pa.Table:
    rows = ROWS[table.key]
    arrays = [pa.array([row[c.name] for row in rows], arrow_type(c)) for c in table.columns]
    return pa.Table.from_arrays(arrays, names=[c.name for c in table.columns])


ARROW: dict[tuple[str, str], pa.Table] = {table.key: _arrow(table) for table in SCHEMA.tables}
"""The same rows as Arrow, columns as described and in order (fit for ``Bindings.arrow``)."""
