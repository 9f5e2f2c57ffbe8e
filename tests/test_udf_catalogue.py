"""The user-defined functions of the IVOA catalogue 1.2 with its own numeric checks, on the embedded engine.

Each check is made twice: with literals, part of which resolve computes itself, and with columns, which the engine
computes.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from typing import Any

import astropy.units as u
import numpy as np
import pyarrow as pa
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time
from cdshealpix.nested import lonlat_to_healpix

from archive.adql import parse, resolve
from archive.adql.functions import FUNCTIONS, Group
from archive.columns import Column, Datatype, arrow_type
from archive.engine.contract import Bindings, Limits
from archive.engine.duckdb import DuckDB
from archive.tables import Catalog, Schema, Table

NUMBERS = tuple(Column(f"n{i}", Datatype.DOUBLE) for i in range(1, 9))
ONE = Table(
    "s",
    "one",
    (
        *NUMBERS,
        *(Column(f"i{i}", Datatype.LONG) for i in range(1, 3)),
        *(Column(f"t{i}", Datatype.CHAR, "*") for i in range(1, 3)),
        Column("moment", Datatype.CHAR, "*", "timestamp"),
        Column("circle", Datatype.DOUBLE, "3", "circle"),
        Column("polygon", Datatype.DOUBLE, "*", "polygon"),
        Column("point", Datatype.DOUBLE, "2", "point"),
    ),
)
MANY = Table("s", "many", (Column("g", Datatype.INT), Column("n", Datatype.DOUBLE), Column("t", Datatype.CHAR, "*")))
CATALOG = Catalog([Schema("s", (ONE, MANY))])
GROUPED: dict[str, list[Any]] = {
    "g": [1, 1, 1, 2, 2, 2],
    "n": [0.5, 1.5, None, -3.0, 2.0, 9.0],
    "t": ["a", "b", None, "c", None, "d"],
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDB]:
    made = DuckDB(tmp_path_factory.mktemp("editions"))
    yield made
    made.close()


def _table(table: Table, columns: dict[str, list[Any]], rows: int) -> pa.Table:
    arrays = [pa.array(columns.get(one.name, [None] * rows), arrow_type(one)) for one in table.columns]
    return pa.Table.from_arrays(arrays, names=[one.name for one in table.columns])


def rows(engine: DuckDB, text: str, **values: Any) -> list[tuple[Any, ...]]:
    """The rows of a query over ``s.one`` (one row holding ``values``) and ``s.many``."""
    query = resolve(parse(text), CATALOG)
    arrow = {
        ONE.key: _table(ONE, {name: [value] for name, value in values.items()}, 1),
        MANY.key: _table(MANY, GROUPED, 6),
    }
    stream = engine.run(query, Bindings(arrow={key: arrow[key] for key in query.tables}), Limits())
    return [
        row for batch in stream.batches for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
    ]


def value(engine: DuckDB, expression: str, **values: Any) -> Any:
    return rows(engine, f"SELECT {expression} FROM s.one", **values)[0][0]


_LITERAL = re.compile(r"'[^']*'|-?[0-9.]+|NULL")


def both(engine: DuckDB, call: str) -> list[Any]:
    """The results of a call with its numbers and texts as literals and as columns."""
    values: dict[str, Any] = {}

    def column(match: re.Match[str]) -> str:
        written = match[0]
        if written == "NULL":
            return written
        kind, given = ("t", written[1:-1]) if written.startswith("'") else ("n", float(written))
        name = f"{kind}{1 + sum(one.startswith(kind) for one in values)}"
        values[name] = given
        return name

    name, arguments = call.split("(", 1)
    by_columns = f"{name}({_LITERAL.sub(column, arguments)}"
    return [value(engine, call), value(engine, by_columns, **values)]


MOVING = "ivo_epoch_prop_pos(7.606083572, 11.79044105, {}, 2016.0, {})"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (MOVING.format("125, 300, -428.8, 52.51", 1992.25), [7.604061404627978, 11.7932703828279]),
        (MOVING.format("125, 300, -428.8, 52.51", 1875.0), [7.594068213694308, 11.807251375203935]),
        (MOVING.format("125, 300, -428.8, NULL", 1875.0), [7.594079587029898, 11.807235464326332]),
        (MOVING.format("125, 300, NULL, NULL", 1875.0), [7.594080321498365, 11.790440798509207]),
    ],
)
def test_epoch_prop_pos(engine: DuckDB, call: str, expected: list[float]) -> None:
    for result in both(engine, call):
        assert result == pytest.approx(expected, abs=1e-8)


def test_epoch_prop_pos_with_six_arguments_and_nulls(engine: DuckDB) -> None:
    short = value(engine, "ivo_epoch_prop_pos(10, 20, 100, -50, 2000, 2050)")
    assert short == pytest.approx(value(engine, "ivo_epoch_prop_pos(10, 20, NULL, 100, -50, 700, 2000, 2050)"))
    assert value(engine, "ivo_epoch_prop_pos(n1, n2, n3, n4, n5, n6, 2000, 2050)", n2=1.0) in (None, [None, None])
    across = value(engine, "ivo_epoch_prop_pos(n1, 0, 3600000, 0, 0, 1)", n1=359.5)
    assert across == pytest.approx([0.5, 0], abs=1e-3)  # a degree in one year, along the tangent


def test_epoch_prop_pos_agrees_with_astropy(engine: DuckDB) -> None:
    motion = {"n1": 120.0, "n2": -65.0, "n3": 750.0, "n4": -3781.7, "n5": 769.5, "n6": -22.4}
    start = SkyCoord(
        120 * u.deg,
        -65 * u.deg,
        distance=1000 / 750 * u.pc,
        pm_ra_cosdec=-3781.7 * u.mas / u.yr,
        pm_dec=769.5 * u.mas / u.yr,
        radial_velocity=-22.4 * u.km / u.s,
        obstime=Time(2000, format="jyear", scale="tdb"),
    )
    end = start.apply_space_motion(new_obstime=Time(2100, format="jyear", scale="tdb"))
    result = value(engine, "ivo_epoch_prop_pos(n1, n2, n3, n4, n5, n6, 2000, 2100)", **motion)
    assert result == pytest.approx([end.ra.deg, end.dec.deg], abs=1e-6)


@pytest.mark.parametrize(
    ("call", "expected", "tolerance"),
    [
        ("ivo_geom_transform('ICRS', 'GALACTIC', POINT(120, -23))", [241.121831182, 3.62785788087], 1e-8),
        (
            "ivo_geom_transform('FK4', 'GALACTIC', CIRCLE(189.70303055, 22.96240006, 3))",
            [275.00025405, 84.99996154, 3],
            1e-8,
        ),
        (
            "ivo_geom_transform('GALACTIC', 'FK5', POLYGON(5, 3, 4, 4, 4.5, 2))",
            [266.44721, -23.107310, 264.95088, -23.434037, 267.09936, -24.051919],
            5e-6,
        ),
    ],
)
def test_geom_transform(engine: DuckDB, call: str, expected: list[float], tolerance: float) -> None:
    assert value(engine, call) == pytest.approx(expected, abs=tolerance)
    shape = re.search(r"(POINT|CIRCLE|POLYGON)\((.*)\)\)", call)
    assert shape is not None
    name = shape[1].lower()
    given = {name: [float(number) for number in shape[2].split(",")]}
    by_column = value(engine, call.replace(shape[0], f'"{name}")'), **given)
    assert by_column == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize(
    ("frame", "astropy_frame"), [("GALACTIC", "galactic"), ("ECLIPTIC", "barycentricmeanecliptic")]
)
def test_frames_agree_with_astropy(engine: DuckDB, frame: str, astropy_frame: str) -> None:
    place = SkyCoord(201.5, -43.25, unit="deg").transform_to(astropy_frame).spherical
    result = value(engine, f"ivo_geom_transform('ICRS', '{frame}', POINT(n1, n2))", n1=201.5, n2=-43.25)
    assert result == pytest.approx([place.lon.deg, place.lat.deg], abs=3e-5)  # the models differ by 0.05 arcsec
    back = f"ivo_geom_transform('{frame}', 'ICRS', ivo_geom_transform('ICRS', '{frame}', POINT(n1, n2)))"
    assert value(engine, back, n1=201.5, n2=-43.25) == pytest.approx([201.5, -43.25], abs=1e-12)


@pytest.mark.parametrize(
    ("order", "lon", "lat", "cell"), [(0, 1, 1, 4), (17, 1, 1, 81609757711), (17, 359, -1, 73009064944)]
)
def test_healpix_index(engine: DuckDB, order: int, lon: float, lat: float, cell: int) -> None:
    assert value(engine, f"ivo_healpix_index({order}, {lon}, {lat})") == cell
    assert value(engine, f"ivo_healpix_index({order}, POINT({lon}, {lat}))") == cell
    assert value(engine, "ivo_healpix_index(i1, n1, n2)", i1=order, n1=lon, n2=lat) == cell
    assert value(engine, 'ivo_healpix_index(i1, "point")', i1=order, point=[lon, lat]) == cell


def test_healpix_index_agrees_with_cdshealpix(engine: DuckDB) -> None:
    source = np.random.default_rng(5)
    lon, lat = source.uniform(0, 360, 300), np.degrees(np.arcsin(source.uniform(-1, 1, 300)))
    lon[:6], lat[:6] = (0.1, 0.1, 44.9, 90.1, 180.1, 359.999), (90, -90, 0.1, 41.81, -41.81, 89.99)
    for order in (0, 5, 17, 29):
        expected = lonlat_to_healpix(lon * u.deg, lat * u.deg, order).tolist()
        table = pa.table({"g": pa.nulls(300, pa.int32()), "n": lon, "t": [repr(one) for one in lat.tolist()]})
        query = resolve(
            parse(f"SELECT ivo_healpix_index({order}, n, CAST(t AS DOUBLE PRECISION)) FROM s.many"), CATALOG
        )
        stream = engine.run(query, Bindings(arrow={MANY.key: table}), Limits())
        found = [cell for batch in stream.batches for cell in batch.column(0).to_pylist()]
        assert found == expected


def test_healpix_center(engine: DuckDB) -> None:
    assert value(engine, "ivo_healpix_center(0, 6)") == pytest.approx([180, 0])
    around = "ivo_healpix_center(17, ivo_healpix_index(17, {}, {}))"
    expected = [23.399843462947466, 56.70016214363192]
    assert value(engine, around.format(23.4, 56.7)) == pytest.approx(expected, abs=1e-12)
    assert value(engine, around.format("n1", "n2"), n1=23.4, n2=56.7) == pytest.approx(expected, abs=1e-12)
    big = 3458764513820540927  # the last cell of order 29 needs a BIGINT
    assert value(engine, "ivo_healpix_center(29, i1)", i1=big)[1] < 0


@pytest.mark.parametrize(("text", "jd"), [("2000-01-02T12:00:00", 2451546.0), ("1910-12-31T06:00:00", 2419036.75)])
def test_julian_dates(engine: DuckDB, text: str, jd: float) -> None:
    assert both(engine, f"ivo_to_jd('{text}')") == [jd, jd]
    assert both(engine, f"ivo_to_mjd('{text}')") == [jd - 2400000.5] * 2
    moment = datetime.datetime.fromisoformat(text)
    assert value(engine, "ivo_to_mjd(moment)", moment=moment) == jd - 2400000.5
    assert value(engine, "gavo_to_jd(moment)", moment=moment) == jd
    assert value(engine, "ivo_to_jd(NULL)") is None
    assert value(engine, "ivo_to_jd(moment)") is None


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("ivo_hms_to_degrees('3:34:45.4')", 53.6891667),
        ("ivo_hms_to_degrees('033445.4')", 53.6891667),
        ("ivo_hms_to_degrees('3h34m45.4s')", 53.6891667),
        ("ivo_hms_to_degrees('3H34M45.4S')", 53.6891667),
        ("ivo_hms_to_degrees('three')", None),
        ("ivo_hms_to_degrees('')", None),
        ("ivo_dms_to_degrees('42:9:6.768')", 42.15188),
        ("ivo_dms_to_degrees('-00:15:00')", -0.25),
        ("ivo_dms_to_degrees('+10d30m00s')", 10.5),
        ("ivo_dms_to_degrees('-001500')", -0.25),
        ("ivo_dms_to_degrees('4:x:5')", None),
        ("ivo_nocasematch('ABcabc', 'ab__bc')", 1),
        ("ivo_nocasematch('abcabc', 'abcab')", 0),
        ("ivo_hasword('The quick brown fox', 'QUICK')", 1),
        ("ivo_hasword('The quick brown fox', 'fox the')", 1),
        ("ivo_hasword('The quick brown fox', 'fox hen')", 0),
        ("ivo_hasword('The quick brown fox', 'qui')", 0),
        ("ivo_hashlist_has('red#green#blue', 'GREEN')", 1),
        ("ivo_hashlist_has('red#green#blue', 're')", 0),
        ("ivo_hashlist_has('red#green#blue', 'red#green')", 0),
        ("ivo_interval_overlaps(-3, -2, 2, 3)", 0),
        ("ivo_interval_overlaps(-2, 55.3, 2, 3)", 1),
        ("ivo_interval_overlaps(-2, 55.3, 3, 2)", 0),
        ("ivo_interval_overlaps(-2, 2, 2, 3)", 1),
    ],
)
def test_texts_and_intervals(engine: DuckDB, call: str, expected: float | None) -> None:
    for result in both(engine, call):
        assert result == (None if expected is None else pytest.approx(expected))


def test_string_agg(engine: DuckDB) -> None:
    made = rows(engine, "SELECT g, ivo_string_agg(t, '+') FROM s.many GROUP BY g ORDER BY g")
    assert [(group, sorted(text.split("+"))) for group, text in made] == [(1, ["a", "b"]), (2, ["c", "d"])]


def test_histogram(engine: DuckDB) -> None:
    made = rows(engine, "SELECT g, ivo_histogram(n, 0, 4, 2) FROM s.many GROUP BY g ORDER BY g")
    assert made == [(1, [1, 2, 0, 0]), (2, [1, 0, 1, 1])]


def test_normal_random(engine: DuckDB) -> None:
    text = "SELECT AVG(r) AS m, AVG(r * r) AS v, COUNT(DISTINCT r) AS n FROM (SELECT ivo_normal_random(0, 2) AS r FROM "
    many = ", ".join(f"s.many AS m{i}" for i in range(5))  # 7776 rows
    ((mean, square, distinct),) = rows(engine, f"{text}{many}) AS q")
    assert abs(mean) < 0.2
    assert 3.5 < square < 4.5
    assert distinct > 7000


def test_the_whole_catalogue_is_here() -> None:
    names = {function.name for function in FUNCTIONS if function.group is Group.UDF}
    assert names == {
        "ivo_healpix_index", "ivo_healpix_center", "ivo_epoch_prop_pos", "ivo_geom_transform", "ivo_to_jd",
        "ivo_to_mjd", "ivo_string_agg", "ivo_nocasematch", "ivo_hasword", "ivo_hashlist_has", "ivo_histogram",
        "ivo_normal_random", "ivo_interval_overlaps", "ivo_hms_to_degrees", "ivo_dms_to_degrees",
    }  # fmt: skip
