"""Indexes are used: what DuckDB read for a query, by its own account, is a small part of the table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import sqlalchemy as sa

from archive.engine.contract import Bindings
from archive.engine.duckdb import DuckDB, prepare
from archive.engine.duckdb_macros import MACROS
from archive.engine.places import Place
from archive.tables import Edition, Table

from .contract.world import World, number, rows_of, sky_rows, sky_table

STARS = sky_table("stars", number("mag"))
MINE = Table("TAP_UPLOAD", "mine", STARS.columns[:3])
FIELD = Table("TAP_UPLOAD", "field", STARS.columns[:3])
COUNT = 1_000_000
GROUPS = -(-COUNT // 122_880)


class Plans:
    """Runs statements on an edition with a connection of its own, and reads what they cost."""

    def __init__(self, world: World, file: Path) -> None:
        self._world = world
        self._database = duckdb.connect()
        self._database.execute(MACROS)
        self._database.execute(f"ATTACH '{file}' AS e1 (READ_ONLY)")

    def of(self, query: str) -> dict[str, Any]:
        """The plan of ``query`` after it ran."""

        def place(edition: Edition) -> Place:
            return Place(sa.table("t", schema="e1"), edition.physical, edition.rows, healpix=True)

        prepared = prepare(self._world.understood(query), self._world.bindings, None, place)
        for name, rows in prepared.views.items():
            self._database.register(name, rows)
        explained = f"EXPLAIN (ANALYZE, FORMAT JSON) {prepared.text}"
        ((_, text),) = self._database.execute(explained, prepared.parameters).fetchall()
        return json.loads(text)

    def read(self, query: str) -> tuple[int, int]:
        """Row groups and rows that ``query`` read of the edition."""
        scans = [node for node in nodes(self.of(query)["operator"]) if "row_groups_scanned" in node]
        return sum(node["row_groups_scanned"] for node in scans), sum(node["rows_scanned"] for node in scans)


def nodes(operators: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """All operators of a plan."""
    for operator in operators:
        yield operator
        yield from nodes(operator.get("children", []))


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Plans:
    folder = tmp_path_factory.mktemp("plans")
    engine = DuckDB(folder / "editions", threads=2, memory="1GB")
    world = World(engine, folder, bindings=Bindings())
    places = sky_rows(COUNT, seed=1)
    edition = world.publish(STARS, rows_of(STARS, **places))
    world.give(MINE, rows_of(MINE, **{name: values[:5000] for name, values in places.items()}))
    here = {name: values[np.hypot(places["ra"] - 100, places["dec"] - 10) < 5] for name, values in places.items()}
    world.give(FIELD, rows_of(FIELD, **here))
    engine.close()
    return Plans(world, folder / "editions" / edition.place)


CONE = "circle(10.7, 41.3, 0.5)"
BOTH = "select m.id, s.id from TAP_UPLOAD.mine"
WHERE = "select id from sky.stars where"
WHOLE = "select id from sky.stars where mag is null"

PRUNED = [
    f"select id from sky.stars where 1 = contains(point(ra, dec), {CONE})",
    f"select id from sky.stars where contains(point('ICRS', ra, dec), {CONE}) = 1",
    f"select id from sky.stars where 1 = intersects({CONE}, point(ra, dec))",
    "select id from sky.stars where distance(ra, dec, 10.7, 41.3) < 0.5",
    "select id from sky.stars where distance(10.7, 41.3, ra, dec) <= 0.5",
    "select id from sky.stars where 0.5 > distance(point(ra, dec), point(10.7, 41.3))",
    "select id from sky.stars where 0.5 >= distance(point(10.7, 41.3), point(ra, dec))",
    "select id from sky.stars where distance(ra, dec, 10.7, 41.3) < 30/60. and mag is null",
    "select id from sky.stars where 1 = contains(point(ra, dec), polygon(10, 41, 11, 41, 11, 42, 10, 42))",
    "select id from sky.stars where 1 = contains(point(ra, dec), polygon(10, 42, 11, 42, 11, 41, 10, 41))",
    "select id from sky.stars where 1 = contains(point(ra, dec), box(10.7, 41.3, 1, 1))",
    "select id from sky.stars where 1 = intersects(point(ra, dec), region('CIRCLE ICRS 10.7 41.3 0.5'))",
    "select id from sky.stars where 1 = contains(point(ra, dec), moc('8/30000 30002'))",
    "select id from sky.stars where 1 = contains(point(ra, dec), circle(0, 90, 1))",
    "select id from sky.stars where 1 = contains(point(ra, dec), circle(120.2, -30, 0.001))",
    "select id from (select id, ra as x, dec as y from sky.stars) as s where distance(x, y, 10.7, 41.3) < 0.5",
    f"with s as (select * from sky.stars) select id from s where 1 = contains(point(ra, dec), {CONE})",
    f"select id from (select * from (select * from sky.stars) as a) as b where 1 = contains(point(ra, dec), {CONE})",
    f"{BOTH} m join sky.stars s on distance(s.ra, s.dec, 10.7, 41.3) < 0.5 and s.id = m.id",
    f"{BOTH} m left join sky.stars s on s.id = m.id and 1 = contains(point(s.ra, s.dec), {CONE})",
    f"{BOTH} m, sky.stars s where s.id = m.id and distance(s.ra, s.dec, 10.7, 41.3) < 0.5",
    f"{WHERE} id in (select id from sky.stars where distance(ra, dec, 1, 2) < 0.5) and distance(ra, dec, 1, 2) < 0.4",
]


@pytest.mark.parametrize("query", PRUNED)
def test_cones_and_polygons_read_a_small_part(plans: Plans, query: str) -> None:
    groups, rows = plans.read(query)
    uses = query.count("sky.stars")
    assert 1 <= groups <= (4 if "90, 1" in query else 2) * uses  # four base cells meet at a pole
    assert rows <= uses * COUNT / 4


def test_two_cones_read_two_parts(plans: Plans) -> None:
    query = "select id from sky.stars where distance(ra, dec, 10.7, 41.3) < 0.5 or distance(ra, dec, 200, -30) < 0.5"
    assert plans.read(query)[0] <= 4
    assert plans.read(f"{query} or 1 = contains(point(ra, dec), polygon(80, 1, 81, 1, 81, 2))")[0] <= 6
    assert plans.read(f"{query} or id = 7")[0] == GROUPS


@pytest.mark.parametrize("where", ["m join sky.stars s on", "m, sky.stars s where"])
def test_positions_of_one_field_read_the_stars_of_that_field(plans: Plans, where: str) -> None:
    query = f"select m.id, s.id from TAP_UPLOAD.field {where} distance(m.ra, m.dec, s.ra, s.dec) < 0.001"
    groups, rows = plans.read(query)
    assert 1 <= groups <= 4
    assert rows <= COUNT / 4


def test_what_cannot_be_pruned_is_read_whole(plans: Plans) -> None:
    """So the numbers above mean something."""
    assert plans.read(WHOLE) == (GROUPS, COUNT)


CROSSMATCHES = [
    "TAP_UPLOAD.mine m join sky.stars s on distance(m.ra, m.dec, s.ra, s.dec) < 0.001",
    "sky.stars s join TAP_UPLOAD.mine m on 0.001 > distance(point(s.ra, s.dec), point(m.ra, m.dec))",
    "TAP_UPLOAD.mine m, sky.stars s where distance(m.ra, m.dec, s.ra, s.dec) < 0.001",
    "TAP_UPLOAD.mine m join sky.stars s on 1 = contains(point(s.ra, s.dec), circle(m.ra, m.dec, 0.001))",
    "TAP_UPLOAD.mine m left join sky.stars s on distance(m.ra, m.dec, s.ra, s.dec) < 0.001",
    "TAP_UPLOAD.mine m right join sky.stars s on distance(m.ra, m.dec, s.ra, s.dec) < 0.001",
    "TAP_UPLOAD.mine m join sky.stars s on distance(m.ra, m.dec, s.ra, s.dec) < m.id * 1e-9",
    "TAP_UPLOAD.mine m where exists (select 1 from sky.stars s where distance(m.ra, m.dec, s.ra, s.dec) < 0.001)",
]


@pytest.mark.parametrize("sources", CROSSMATCHES)
def test_joins_by_position_are_hash_joins(plans: Plans, sources: str) -> None:
    """No operator compares each row with each: none makes many more rows than the larger table has."""
    found = list(nodes(plans.of(f"select count(*) as n from {sources}")["operator"]))
    kinds = {node["type"] for node in found}
    assert "HASH_JOIN" in kinds
    assert not kinds & {"BLOCKWISE_NL_JOIN", "NESTED_LOOP_JOIN", "IE_JOIN", "PIECEWISE_MERGE_JOIN"}
    assert max(node.get("intermediate_rows", 0) for node in found) <= 2 * COUNT
