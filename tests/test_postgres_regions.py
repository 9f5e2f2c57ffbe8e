"""PostgreSQL's indexes of the sky: what descriptions ask for is built and used, for regions, circles and second places.

Whatever the index does, the answer is that of the embedded engine, which has none. Without pgSphere too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa

from archive.columns import Column, Datatype, arrow_type
from archive.engine.duckdb import DuckDB
from archive.engine.postgres import Postgres
from archive.engine.postgres_regions import WHOLE_SKY, caps
from archive.sky import Outline
from archive.tables import Index, Table
from tests import clusters
from tests.contract.world import World, number, rows_of, shape, sky_rows, sky_table

pytestmark = pytest.mark.service

STARS = sky_table("stars")
IMAGES = replace(
    sky_table(
        "images",
        number("band", Datatype.INT),
        shape("s_region", "polygon"),
        shape("field", "circle"),
        shape("aim", "point"),
        number("ra2", ucd="pos.eq.ra"),
        number("dec2", ucd="pos.eq.dec"),
        Column("label", Datatype.CHAR, "*"),
    ),
    indexes=(
        Index("by_region", ("s_region",)),
        Index("by_field", ("band", "field")),
        Index("by_aim", ("aim",)),
        Index("by_second", ("dec2", "ra2")),
        Index("by_place", ("ra", "dec")),
        Index("by_label", ("label",)),
    ),
)
FEW = sky_table("few", shape("v", "polygon"), shape("c", "circle"))
MINE = Table("TAP_UPLOAD", "mine", FEW.columns)
COUNT = 1_500
BESIDE = 20


def squares(lon: np.ndarray, lat: np.ndarray, half: np.ndarray) -> list[list[float]]:
    corners = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return [
        [part for x, y in corners for part in (float((a + x * h) % 360), float(np.clip(b + y * h, -90, 90)))]
        for a, b, h in zip(lon, lat, half, strict=True)
    ]


def images() -> Mapping[str, Any]:
    """Pointings with footprints of all sizes, a few of them wider than half the sky, at poles and the seam too."""
    random = np.random.default_rng(21)
    sky = dict(sky_rows(COUNT, seed=22))
    half = 10 ** random.uniform(-2, 0.5, COUNT)
    regions: list[Any] = squares(sky["ra"], sky["dec"], half)
    regions[50] = [0.0, 0.0, 120.0, 1.0, 240.0, -1.0]  # about half the sky: no cap below 90 degrees holds it
    regions[51] = None
    circles: list[Any] = np.stack([sky["ra"], sky["dec"], half], axis=1).tolist()
    circles[60], circles[61], circles[62] = [10.0, 10.0, 120.0], None, [20.0, 20.0, 180.0]
    return {
        **sky,
        "band": np.arange(COUNT) % 6,
        "s_region": regions,
        "field": circles,
        "aim": np.stack([sky["ra"], sky["dec"]], axis=1).tolist(),
        "ra2": (sky["ra"] + 180) % 360,
        "dec2": -sky["dec"],
        "label": [f"image {at}" for at in range(COUNT)],
    }


def few() -> Mapping[str, Any]:
    random = np.random.default_rng(23)
    sky = dict(sky_rows(BESIDE, seed=24))
    half = random.uniform(0.5, 10, BESIDE)
    circles = np.stack([sky["ra"], sky["dec"], half], axis=1).tolist()
    circles[15] = [100.0, 10.0, 100.0]
    return {**sky, "v": squares(sky["ra"], sky["dec"], half), "c": circles}


def fill(world: World) -> World:
    world.publish(IMAGES, rows_of(IMAGES, **images()))
    world.publish(STARS, rows_of(STARS, **sky_rows(2_000, seed=25)))
    world.publish(FEW, rows_of(FEW, **few()))
    world.give(MINE, rows_of(MINE, **few()))
    return world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("postgres")
    engine = clusters.engine(folder)
    yield fill(World(engine, folder))
    engine.close()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A database without pgSphere."""
    folder = tmp_path_factory.mktemp("bare")
    with sa.create_engine(clusters.database(folder), poolclass=sa.NullPool).begin() as connection:
        connection.exec_driver_sql("DROP EXTENSION pg_sphere CASCADE")
    withheld = pytest.MonkeyPatch()
    withheld.setattr("archive.engine.postgres_setup._SPHERE", "SELECT 1 / 0")
    engine = clusters.engine(folder)
    yield fill(World(engine, folder))
    engine.close()
    withheld.undo()


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The same in DuckDB."""
    folder = tmp_path_factory.mktemp("duckdb")
    engine = DuckDB(folder / "editions", threads=2, memory="1GB")
    made = fill(World(engine, folder))
    made.rows = cache(made.rows)  # type: ignore[method-assign]
    yield made
    engine.close()


CONSTANT = (
    "1 = contains(point(10, 20), s_region)",
    "1 = contains(point(0, 90), s_region)",
    "1 = intersects(s_region, circle(359.9, 1, 3))",
    "1 = intersects(circle(10, 20, 30), s_region)",
    "1 = intersects(s_region, polygon(10, 20, 30, 20, 30, 40))",
    "1 = contains(s_region, circle(10, 20, 10))",
    "1 = contains(s_region, polygon(10, 20, 30, 20, 30, 40, 10, 40))",
    "1 = contains(circle(10, 20, 0.01), s_region)",
    "1 = contains(point(10, 20), field)",
    "1 = intersects(field, point(10, 20))",
    "1 = intersects(field, circle(10, 20, 5))",
    "1 = contains(field, circle(10, 20, 5))",
    "1 = contains(circle(10, 20, 0.01), field)",
    "1 = intersects(polygon(10, 20, 30, 20, 30, 40), field)",
    "distance(point(10, 20), centroid(field)) < 4",
    "1 = contains(aim, circle(10, 20, 4))",
    "distance(aim, point(10, 20)) < 4",
    "1 = contains(point(ra2, dec2), circle(200, 10, 4))",
    "distance(ra2, dec2, 200, 10) <= 4",
)
JOINS = (
    "sky.few f join sky.images i on 1 = contains(point(f.ra, f.dec), i.s_region)",
    "sky.images i join sky.few f on 1 = contains(point(f.ra, f.dec), i.s_region) and i.band < 3",
    "sky.few f, sky.images i where 1 = intersects(f.v, i.s_region) and i.band = 2",
    "TAP_UPLOAD.mine f join sky.images i on 1 = intersects(i.s_region, f.v)",
    "TAP_UPLOAD.mine f left join sky.images i on 1 = intersects(i.s_region, f.c) and i.band = 1",
    "sky.images i right join sky.few f on 1 = contains(i.s_region, f.v)",
    "sky.few f join sky.images i on 1 = contains(point(f.ra, f.dec), i.field)",
    "sky.few f join sky.images i on 1 = intersects(f.c, i.field)",
    "sky.few f join sky.images i on 1 = contains(i.field, f.c)",
    "sky.few f join sky.images i on 1 = contains(f.c, i.s_region)",
    "sky.few f join sky.images i on distance(f.ra, f.dec, i.ra2, i.dec2) < 2",
    "sky.few f join sky.images i on distance(point(f.ra, f.dec), i.aim) < 2",
)


def plan(world: World, query: str) -> str:
    return world.engine.plan(world.understood(query), world.bindings)


def same(world: World, beside: World, query: str) -> None:
    found = sorted(world.rows(query), key=repr)
    assert found == sorted(beside.rows(query), key=repr)
    assert found


@pytest.mark.parametrize("where", CONSTANT)
def test_regions_and_places_are_looked_up(world: World, beside: World, where: str) -> None:
    query = f"select id from sky.images where {where}"
    shown = plan(world, query)
    assert "Seq Scan" not in shown
    assert "_sky" in shown
    same(world, beside, query)


@pytest.mark.parametrize("join", JOINS)
def test_joins_with_regions_look_rows_up(world: World, beside: World, join: str) -> None:
    query = f"select f.id, i.id from {join}"
    shown = plan(world, query)
    assert "_sky" in shown
    same(world, beside, query)


def test_what_is_in_some_region(world: World, beside: World) -> None:
    inside = "(select 1 from sky.images i where i.band < 4 and 1 = contains(point(f.ra, f.dec), i.s_region))"
    for word in ("exists", "not exists"):
        query = f"select f.id from sky.few f where {word} {inside}"
        assert "_sky" in plan(world, query)
        same(world, beside, query)


def test_many_positions_in_many_regions(world: World, beside: World) -> None:
    """By the index too: cells that suit a region as wide as half the sky would tell nothing apart."""
    query = "select s.id, i.id from sky.stars s join {} on 1 = contains(point(s.ra, s.dec), i.s_region)"
    found = world.rows(query.format("sky.images i"))
    assert "_sky" in plan(world, query.format("sky.images i"))
    one_by_one = beside.rows(query.format("(select * from sky.images) i") + " where s.id < 100")
    assert sorted(pair for pair in found if pair[0] < 100) == sorted(one_by_one)


def test_guesses_of_the_planner_do_not_ruin_what_follows(world: World) -> None:
    """pgSphere's operators claim a thousandth of the rows whatever is asked; still no table is read for each row."""
    shown = plan(
        world,
        "select i.id, s.id from sky.images i join sky.stars s on i.id = s.id"
        " where 1 = intersects(i.s_region, circle(10, 20, 50)) and 1 = intersects(i.field, circle(10, 20, 50))",
    )
    assert "Hash Join" in shown or "Merge Join" in shown


@pytest.mark.parametrize("query", [*(f"select id from sky.images where {w}" for w in CONSTANT)])
def test_without_pgsphere_the_answer_is_the_same(bare: World, beside: World, query: str) -> None:
    same(bare, beside, query)


@pytest.mark.parametrize("join", JOINS)
def test_without_pgsphere_joins_are_the_same(bare: World, beside: World, join: str) -> None:
    same(bare, beside, f"select f.id, i.id from {join}")


def test_facts_tell_of_pgsphere(world: World, bare: World) -> None:
    assert isinstance(world.engine, Postgres)
    assert isinstance(bare.engine, Postgres)
    assert world.engine.facts.sphere is not None
    assert world.engine.facts.parallel
    assert world.engine.facts.is_prepared(None)
    assert bare.engine.facts.sphere is None


def test_pgsphere_that_comes_later_is_put_to_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = clusters.database(tmp_path)
    server = sa.create_engine(url, poolclass=sa.NullPool)
    with server.begin() as connection:
        connection.exec_driver_sql("DROP EXTENSION pg_sphere CASCADE")
    with monkeypatch.context() as withheld:
        withheld.setattr("archive.engine.postgres_setup._SPHERE", "SELECT 1 / 0")
        Postgres(url).close()
    with server.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA elsewhere; CREATE EXTENSION pg_sphere SCHEMA elsewhere")
    world = World(Postgres(url), tmp_path)
    world.publish(IMAGES, rows_of(IMAGES, **images()))
    query = "select id from sky.images where 1 = contains(point(10, 20), s_region)"
    assert "Seq Scan" not in plan(world, query)
    assert world.ids(query) == world.ids(query + " and id >= 0")
    world.engine.close()


def test_indexes_that_cannot_be_are_told_of(world: World, caplog: pytest.LogCaptureFixture) -> None:
    table = replace(
        sky_table("odd", number("spectrum", arraysize="*"), Column("text", Datatype.CHAR, "*")),
        indexes=(Index("by_spectrum", ("spectrum",)), Index("by_text", ("text",))),
    )
    random = np.random.default_rng(1)
    long = "".join(chr(each) for each in random.integers(33, 120, 20_000))
    with caplog.at_level(logging.WARNING):
        world.publish(table, rows_of(table, id=[1], ra=[1.0], dec=[1.0], spectrum=[[1.0]], text=[long]))
    assert "spectrum" in caplog.text
    assert "too long" in caplog.text
    assert world.ids("select id from sky.odd") == [1]


def test_rows_of_several_parts_lie_in_the_order_of_their_cells(world: World) -> None:
    table = sky_table("pieces")
    rows = sky_rows(2_000, seed=31)
    halves = [{name: values[at::2] for name, values in rows.items()} for at in range(2)]
    paths = [path for half in halves for path in world.parts(table, pa.table(rows_of(table, **half)))]
    edition = world.engine.build(table, 990, paths)
    server = sa.create_engine(clusters.database(world.folder), poolclass=sa.NullPool)
    with server.connect() as connection:
        cells = connection.exec_driver_sql(f'SELECT _healpix_29 FROM archive_editions."{edition.place}"').scalars()
        known = [cell for cell in cells if cell is not None]
    assert len(known) == 2_000
    assert known == sorted(known)


def test_caps_hold_their_regions() -> None:
    random = np.random.default_rng(41)
    polygons = [
        [
            float(part)
            for pair in zip(random.uniform(0, 360, n), random.uniform(-90, 90, n), strict=True)
            for part in pair
        ]
        for n in random.integers(3, 9, 300)
    ]
    small = squares(random.uniform(0, 360, 200), random.uniform(-90, 90, 200), 10 ** random.uniform(-6, 1, 200))
    given = [*polygons, *small, None, [], [1.0, 2.0, float("nan"), 3.0, 4.0, 5.0], [1.0, None, 2.0, 3.0, 4.0, 5.0]]
    lon, lat, reach = (each.to_pylist() for each in caps(pa.array(given, pa.list_(pa.float64())), "polygon"))
    for at, vertices in enumerate([*polygons, *small]):
        (_, _), expected = Outline(list(zip(vertices[::2], vertices[1::2], strict=True))).cap()
        assert reach[at] == pytest.approx(expected, abs=2e-7)
    assert (lon[500], lat[500], reach[500]) == (None, None, None)
    assert reach[501:] == [WHOLE_SKY] * 3
    circles = pa.array([[1.0, 2.0, 3.0], None, [1.0, 2.0, 120.0], [1.0, 2.0, -1.0]], arrow_type(FEW.by_name["c"]))
    assert [each.to_pylist() for each in caps(circles, "circle")][2] == [3.0, None, WHOLE_SKY, 0.0]
