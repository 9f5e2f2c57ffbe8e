"""Shapes: a statement written for one query serves all of its shape, each with its own values and no other's."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

from archive.adql import bound, parse, resolve
from archive.engine import elements as el
from archive.engine.duckdb import DuckDB
from archive.engine.duckdb_dialect import DIALECT as DUCKDB
from archive.engine.duckdb_dialect import real
from archive.engine.duckdb_listed import BoxingWriter
from archive.engine.places import Place
from archive.engine.postgres_crossmatch import ProbingWriter
from archive.engine.postgres_dialect import DIALECT as POSTGRES
from archive.engine.postgres_dialect import filled, pieces
from archive.engine.postgres_sphere import FineSphere
from archive.engine.select import Writer
from archive.engine.shapes import Shape, Shapes, shape
from archive.engine.sphere import Sphere
from tests.adql import printer, tables
from tests.adql.engines import built_rows, fetch
from tests.adql.generator import queries

COLUMNS = {column.name: f"c{at}" for at, column in enumerate(tables.STAR.columns, 1)}
PLACE = Place(sa.table("t", schema="e1"), COLUMNS, 10_000_000, healpix=True)
MOST = 1001


def understood(text: str) -> bound.Bound:
    return resolve(parse(text), tables.CATALOG)


class OnDuckDB:
    """Statements with their parameters put in, as text."""

    def __init__(self) -> None:
        self.made: dict[Any, Any] = {}

    def shape(self, query: bound.Bound) -> Shape | None:
        return shape(query, PLACE, MOST, Sphere)

    def anew(self, query: bound.Bound) -> str:
        compiled = _written(BoxingWriter(lambda table: PLACE), query, DUCKDB)
        return _put_in(str(compiled), [compiled.params[name] for name in compiled.positiontup])

    def shared(self, query: bound.Bound, found: Shape) -> str:
        if found.key not in self.made:
            writer = BoxingWriter(lambda table: PLACE)
            writer.given = found.given
            self.made[found.key] = _written(writer, query, DUCKDB)
        compiled = self.made[found.key]
        named = compiled.params | {f"v{at}": value for at, value in enumerate(found.values)}
        return _put_in(str(compiled), [named[name] for name in compiled.positiontup])


class OnPostgres(OnDuckDB):
    def shape(self, query: bound.Bound) -> Shape | None:
        return shape(query, PLACE, MOST, FineSphere)

    def anew(self, query: bound.Bound) -> str:
        return str(_written(ProbingWriter(lambda table: PLACE), query, POSTGRES))

    def shared(self, query: bound.Bound, found: Shape) -> str:
        if found.key not in self.made:
            writer = ProbingWriter(lambda table: PLACE)
            writer.given = found.given
            self.made[found.key] = pieces(str(_written(writer, query, POSTGRES)))
        return filled(self.made[found.key], found.values)


def _written(writer: Writer, query: bound.Bound, dialect: Any) -> Any:
    return writer.whole(query, MOST).compile(dialect=dialect)


def _put_in(text: str, parameters: list[Any]) -> str:
    def spelled(found: re.Match[str]) -> str:
        value = parameters[int(found[1]) - 1]
        return real(value) if isinstance(value, float) else el.whole(value) if isinstance(value, int) else repr(value)

    return re.sub(r"\$(\d+)", spelled, text)


ENGINES = (OnDuckDB(), OnPostgres())  # what they made stays, so that later examples meet statements of earlier ones

LONGITUDES = st.sampled_from((0.0, 359.999, 360.0, 180.5, -0.0)) | st.floats(0, 360)
LATITUDES = st.sampled_from((90.0, -90.0, 89.999, 0.0, -0.0)) | st.floats(-90, 90)
RADII = st.sampled_from((0.0, 1e-9, 0.01, 1.0, 89.9, 90.0, 91.0, 179.9, 180.0)) | st.floats(0, 180)
NUMBERS = (
    st.integers(0, 3_000_000_000) | st.floats(-1e300, 1e300) | st.just("NULL") | st.sampled_from((1, 1.0, -1, -0.0))
)
TEXTS = st.text("aé%_'$0\\", max_size=5).map(lambda text: "'" + text.replace("'", "''") + "'")
FORMS = {
    "star_id FROM star WHERE DISTANCE(ra, dec, {}, {}) < {}": (LONGITUDES, LATITUDES, RADII),
    "* FROM star WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE({}, {}, {})) AND mag < {} ORDER BY mag": (
        LONGITUDES, LATITUDES, RADII, NUMBERS,
    ),
    "star_id, DISTANCE(ra, dec, {}, {}) AS d FROM star WHERE 0 = CONTAINS(POINT(ra, dec), CIRCLE({}, {}, {}))": (
        LONGITUDES, LATITUDES, LONGITUDES, LATITUDES, RADII,
    ),
    "name FROM star WHERE star_id = {} OR star_id IN ({}, {}) OR mag BETWEEN {} AND {}": (NUMBERS,) * 5,
    "name FROM star WHERE name = {} OR name LIKE {} OR name IN ({}, {})": (TEXTS,) * 4,
    "mag + {} AS m FROM star WHERE mag * {} < {} AND star_id > {}": (NUMBERS,) * 4,
    "COUNT(*) AS n FROM star WHERE (DISTANCE(ra, dec, {}, {}) < {} OR mag < {}) AND NOT mag > {}": (
        LONGITUDES, LATITUDES, RADII, NUMBERS, NUMBERS,
    ),
}  # fmt: skip


@st.composite
def forms(draw: st.DrawFn) -> str:
    form, values = draw(st.sampled_from(list(FORMS.items())))
    return "SELECT " + form.format(*(draw(value) for value in values))


@pytest.mark.parametrize("engine", ENGINES, ids=("duckdb", "postgresql"))
@settings(max_examples=max(200, settings().max_examples), suppress_health_check=[*HealthCheck])
@given(st.one_of(forms(), forms(), queries().map(printer.query)))
def test_a_shared_statement_with_its_values_is_the_one_written_anew(engine: OnDuckDB, text: str) -> None:
    note(text)
    query = understood(text)
    found = engine.shape(query) if [*query.tables] == [tables.STAR.key] else None
    assume(found is not None)
    assert found is not None
    assert engine.shared(query, found) == engine.anew(query)


CONE = "SELECT star_id FROM star WHERE DISTANCE(ra, dec, {}) < {}"
ALIKE = [
    (CONE.format("10.5, 20.5", 1e-5), CONE.format("10.7, -20.5", 2e-5)),
    (CONE.format("10, 20", 1e-5), CONE.format("359.999999, 20", 2e-5)),
    ("SELECT name FROM star WHERE star_id = 5", "SELECT name FROM star WHERE star_id = 3000"),
    ("SELECT name FROM star WHERE mag < 5.5", "SELECT name FROM star WHERE mag < 7.25"),
    ("SELECT mag FROM star WHERE name = 'a'", "SELECT mag FROM star WHERE name = 'it''s $1'"),
]
UNLIKE = [
    (CONE.format("10, 20", 0.001), CONE.format("359.99999, 89.99999", 0.001)),
    (CONE.format("10, 20", 1), CONE.format("10, 20", 91)),
    (CONE.format("10, 20", 1), CONE.format("10, 20", 1).replace("<", "<=")),
    (CONE.format("10, 20", 1), CONE.format("10, 20", 1).replace("star_id", "mag")),
    (CONE.format("10, 20", 1), CONE.format("10, 20", 1) + " ORDER BY star_id"),
    ("SELECT name FROM star WHERE mag < 5.5", "SELECT name FROM star WHERE mag < 5"),
    ("SELECT name FROM star WHERE mag < 5", "SELECT name FROM star WHERE mag < NULL"),
    ("SELECT name FROM star WHERE mag < 5", "SELECT name FROM star WHERE mag < -5"),
    ("SELECT name FROM star WHERE mag < 1.0 + mag", "SELECT name FROM star WHERE mag < 2.0 + mag"),
    ("SELECT TOP 1 name FROM star", "SELECT TOP 2 name FROM star"),
    ("SELECT name FROM star WHERE star_id IN (1, 2)", "SELECT name FROM star WHERE star_id IN (1, 2, 3)"),
    ("SELECT 1 AS n FROM star", "SELECT 1.0 AS n FROM star"),
    ("SELECT 0.0 AS n FROM star", "SELECT -0.0 AS n FROM star"),
]
WITHOUT = [
    "SELECT a.name FROM star AS a JOIN obs AS o ON a.star_id = o.star_id WHERE a.mag < 5.5",
    "SELECT name FROM (SELECT name FROM star WHERE mag < 5.5) AS s",
    "SELECT name FROM star WHERE mag < (SELECT MAX(mag) FROM star)",
    "SELECT DISTINCT name FROM star WHERE mag < 5.5",
    "SELECT name FROM star WHERE mag < 5.5 GROUP BY name",
    "SELECT name FROM star WHERE DISTANCE(ra, dec, 1, 2) < 1 OR DISTANCE(ra, dec, 3, 4) < 1",
    "SELECT name FROM star WHERE DISTANCE(pmra, parallax, 1, 2) < 1",
    "SELECT name FROM star WHERE 1 = CONTAINS(POINT(ra, dec), POLYGON(1, 1, 2, 1, 2, 2))",
    "SELECT name FROM star WHERE ivo_healpix_index(29, ra, dec) = 5",
]


@pytest.mark.parametrize("engine", ENGINES, ids=("duckdb", "postgresql"))
@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_values_alone_make_no_shape(engine: OnDuckDB, one: str, other: str) -> None:
    first, second = engine.shape(understood(one)), engine.shape(understood(other))
    assert first is not None
    assert second is not None
    assert first.key == second.key
    assert first.values != second.values


@pytest.mark.parametrize(("one", "other"), UNLIKE)
def test_what_is_written_otherwise_has_another_shape(one: str, other: str) -> None:
    first, second = (shape(understood(text), PLACE, MOST, Sphere) for text in (one, other))
    assert first is not None
    assert second is not None
    assert first.key != second.key


@pytest.mark.parametrize("text", WITHOUT)
def test_where_values_decide_how_it_is_written_there_is_no_shape(text: str) -> None:
    assert shape(understood(text), PLACE, MOST, Sphere) is None


def test_another_edition_or_limit_makes_another_shape() -> None:
    query = understood(CONE.format("10, 20", 1))
    later = Place(sa.table("t", schema="e2"), COLUMNS, PLACE.rows, healpix=True)
    keys = {found.key for place in (PLACE, later) for most in (5, 6) if (found := shape(query, place, most, Sphere))}
    assert len(keys) == 4


def test_a_value_that_stands_in_two_places_is_not_taken_out() -> None:
    limit = bound.Constant(5.5, tables.STAR.by_name["mag"])
    mag = bound.Field("t1", "mag", tables.STAR.by_name["mag"])
    both = bound.And((bound.Comparison("<", mag, limit), bound.Comparison("<>", mag, limit)))
    select = bound.Select((bound.Output("c1", mag),), bound.Stored("t1", tables.STAR), both)
    assert shape(bound.Bound(select), PLACE, None, Sphere) is None


def test_many_ask_at_once_and_each_gets_their_own_rows(tmp_path: Path) -> None:
    engine = DuckDB(tmp_path / "editions", threads=1)
    bindings = built_rows(tables.SCHEMA, tables.ROWS, engine, tmp_path)
    numbers = [row["star_id"] for row in tables.ROWS[tables.STAR.key]] * 5

    def asked(number: int) -> list[tuple[Any, ...]]:
        return fetch(engine, understood(f"SELECT star_id FROM star WHERE star_id = {number}"), bindings)

    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(asked, numbers))
    engine.close()
    assert answers == [[(number,)] for number in numbers]


def test_what_was_asked_for_long_ago_is_forgotten() -> None:
    kept: Shapes[int] = Shapes()
    for number in range(1000):
        kept.keep(number, number)
        assert kept.get(0) == 0
    assert kept.get(999) == 999
    assert kept.get(1) is None
