"""Editions: built from parts, durable, idempotent, fresh at once, removed without trace."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from archive.columns import Column, Datatype, arrow_type
from archive.engine.contract import Bindings, Engine, Limits
from archive.faults import TransientFault
from archive.tables import Table

from .world import World, number, rows_of, shape, sky_rows, sky_table

STARS = sky_table("stars", number("mag", Datatype.FLOAT))

EVERY_TYPE = Table(
    "t",
    "all",
    (
        Column("boolean", Datatype.BOOLEAN),
        Column("byte", Datatype.BYTE),
        Column("short", Datatype.SHORT),
        Column("int", Datatype.INT),
        Column("long", Datatype.LONG),
        Column("float", Datatype.FLOAT),
        Column("double", Datatype.DOUBLE),
        Column("text", Datatype.UNICODE, arraysize="*"),
        Column("char", Datatype.CHAR, arraysize="8"),
        Column("time", Datatype.CHAR, arraysize="*", xtype="timestamp"),
        Column("doubles", Datatype.DOUBLE, arraysize="*"),
        Column("three", Datatype.INT, arraysize="3"),
        Column("complex", Datatype.DOUBLE_COMPLEX),
        shape("point", "point"),
        shape("circle", "circle"),
        shape("polygon", "polygon"),
    ),
)

VALUES = {
    "boolean": [True, False, None],
    "byte": [0, 255, None],
    "short": [-32768, 32767, None],
    "int": [-(2**31), 2**31 - 1, None],
    "long": [-(2**63), 2**63 - 1, None],
    "float": [1.5, -0.0, None],
    "double": [1e308, 5e-324, None],
    "text": ["héllo 星", "", None],
    "char": ["it's \\ %", "a\tb\nc", None],
    "time": [datetime.datetime(2026, 1, 2, 3, 4, 5, 678901), datetime.datetime(1, 1, 1), None],
    "doubles": [[1.0, 2.5], [], None],
    "three": [[1, 2, 3], [-1, 0, 1], None],
    "complex": [[1.0, -2.0], [0.0, 0.0], None],
    "point": [[10.0, 20.0], [0.0, -90.0], None],
    "circle": [[10.0, 20.0, 1.0], [0.0, 0.0, 180.0], None],
    "polygon": [[0.0, 0.0, 1.0, 0.0, 1.0, 1.0], [5.0, 5.0, 6.0, 5.0, 6.0, 6.0, 5.0, 6.0], None],
}


def test_every_type_comes_back_as_it_was(world: World) -> None:
    world.publish(EVERY_TYPE, rows_of(EVERY_TYPE, **VALUES))
    answer = world.table('select * from t."all"')
    assert answer.schema.types == [arrow_type(column) for column in EVERY_TYPE.columns]
    assert {name: answer[name].to_pylist() for name in answer.column_names} == VALUES


def test_every_type_given_with_the_request_comes_back_as_it_was(world: World) -> None:
    world.give(EVERY_TYPE, rows_of(EVERY_TYPE, **VALUES))
    answer = world.table('select * from t."all"')
    assert answer.schema.types == [arrow_type(column) for column in EVERY_TYPE.columns]
    assert {name: answer[name].to_pylist() for name in answer.column_names} == VALUES


def test_not_a_number_becomes_null_and_infinity_stays(world: World) -> None:
    table = Table("t", "n", (number("x"), number("y", Datatype.FLOAT)))
    world.publish(table, rows_of(table, x=[math.nan, 1.0, math.inf], y=[1.0, math.nan, -math.inf]))
    assert world.rows("select x, y from t.n order by x") == [(1.0, None), (math.inf, -math.inf), (None, 1.0)]
    assert world.value("select max(x) from t.n") == math.inf
    assert world.value("select count(*) from t.n where x is null") == 1


def test_columns_that_differ_only_in_case_are_kept_apart(world: World) -> None:
    table = Table("t", "cases", tuple(number(name, Datatype.INT) for name in ("ra", "RA", "Ra", "select", "ü \"'")))
    world.publish(table, rows_of(table, **{column.name: [at] for at, column in enumerate(table.columns)}))
    answer = world.rows('select "Ra", "ra", "RA", "select", "ü ""\'" from t.cases')
    assert answer == [(2, 0, 1, 3, 4)]


def test_parts_may_have_their_columns_in_any_order(world: World, tmp_path: Path) -> None:
    table = Table("t", "two", (number("a", Datatype.INT), number("b", Datatype.INT)))
    pq.write_table(pa.table({"b": pa.array([2], pa.int32()), "a": pa.array([1], pa.int32())}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": pa.array([3], pa.int32()), "b": pa.array([4], pa.int32())}), tmp_path / "2.parquet")
    edition = world.engine.build(table, 1, [tmp_path / "1.parquet", tmp_path / "2.parquet"])
    world.tables[table.key] = table
    world.bindings = Bindings({table.key: edition})
    assert world.rows("select a, b from t.two order by a") == [(1, 2), (3, 4)]


def test_build_reports_rows_and_progress(world: World) -> None:
    seen: list[int] = []
    rows = rows_of(STARS, **sky_rows(1000, seed=1))
    edition = world.engine.build(STARS, 1, world.parts(STARS, rows, pieces=4), seen.append)
    assert (edition.rows, edition.healpix, edition.key) == (1000, True, STARS.key)
    assert seen == sorted(seen)
    assert seen[-1] == 1000
    assert set(edition.physical) == {column.name for column in STARS.columns}


def test_a_table_without_rows_is_a_table(world: World) -> None:
    world.publish(STARS, rows_of(STARS, id=[], ra=[], dec=[]))
    assert world.rows("select * from sky.stars where distance(ra, dec, 1, 2) < 3") == []
    assert world.value("select count(*) from sky.stars") == 0
    assert world.engine.build(STARS, 77, []).rows == 0


def test_build_after_an_unfinished_build_replaces_it(world: World, tmp_path: Path) -> None:
    good = rows_of(STARS, **sky_rows(100, seed=2))
    broken = tmp_path / "broken.parquet"
    (path,) = world.parts(STARS, good)
    broken.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(Exception, match=r".+"):
        world.engine.build(STARS, 5, [path, broken])
    edition = world.engine.build(STARS, 5, [path])
    again = world.engine.build(STARS, 5, [path])
    assert edition == again
    world.tables[STARS.key] = STARS
    world.bindings = Bindings({STARS.key: again})
    assert world.value("select count(*) from sky.stars") == 100


def test_an_edition_is_seen_by_another_process_at_once(
    world: World, make_engine: Callable[[Path], Engine], tmp_path: Path
) -> None:
    world.publish(STARS, rows_of(STARS, **sky_rows(10, seed=3)))
    other = make_engine(tmp_path / "editions")
    try:
        for number_of_rows in (20, 30):
            world.publish(STARS, rows_of(STARS, **sky_rows(number_of_rows, seed=3)))
            there = World(other, tmp_path, world.tables, world.bindings)
            assert there.value("select count(*) from sky.stars") == number_of_rows
            assert world.value("select count(*) from sky.stars") == number_of_rows
    finally:
        other.close()


def test_old_and_new_editions_are_served_side_by_side(world: World) -> None:
    world.publish(STARS, rows_of(STARS, **sky_rows(50_000, seed=4)))
    old = world.start("select id from sky.stars")
    first = next(old.batches)
    world.publish(STARS, rows_of(STARS, **sky_rows(7, seed=4)))
    assert world.value("select count(*) from sky.stars") == 7
    assert first.num_rows + sum(batch.num_rows for batch in old.batches) == 50_000


def test_a_removed_edition_is_gone_and_may_be_removed_again(world: World, tmp_path: Path) -> None:
    edition = world.publish(STARS, rows_of(STARS, **sky_rows(1000, seed=5)))
    assert world.value("select count(*) from sky.stars") == 1000
    world.engine.remove(edition)
    world.engine.remove(edition)
    assert not [path for path in (tmp_path / "editions").rglob("*") if path.is_file()]
    with pytest.raises(TransientFault):
        world.rows("select count(*) from sky.stars")


def test_an_edition_removed_by_another_process_is_let_go(
    world: World, make_engine: Callable[[Path], Engine], tmp_path: Path
) -> None:
    edition = world.publish(STARS, rows_of(STARS, **sky_rows(1000, seed=6)))
    stream = world.start("select id from sky.stars")
    other = make_engine(tmp_path / "editions")
    other.remove(edition)
    other.close()
    assert sum(batch.num_rows for batch in stream.batches) == 1000
    world.publish(STARS, rows_of(STARS, **sky_rows(10, seed=6)))
    assert world.value("select count(*) from sky.stars") == 10


def test_positions_that_are_none_have_no_cell_and_match_nothing(world: World) -> None:
    rows = rows_of(STARS, id=[1, 2, 3], ra=[10.0, math.nan, None], dec=[20.0, 20.0, 20.0])
    world.publish(STARS, rows)
    assert world.ids("select id from sky.stars where distance(ra, dec, 10, 20) < 1") == [1]
    assert world.ids("select id from sky.stars where 0 = contains(point(ra, dec), circle(10, 20, 1))") == []
    assert world.ids("select id from sky.stars where contains(point(ra, dec), circle(10, 20, 1)) is null") == [2, 3]


def test_statement_and_plan_can_be_shown(world: World) -> None:
    world.publish(STARS, rows_of(STARS, **sky_rows(10, seed=7)))
    query = world.understood("select id from sky.stars where mag > 3 and id in (1, 2)")
    assert world.engine.sql(query, world.bindings).startswith("SELECT")
    assert world.engine.plan(query, world.bindings)
    assert "mag" not in world.engine.sql(query, world.bindings)


def test_limit_of_rows_is_kept_whatever_the_query_says(world: World) -> None:
    world.publish(STARS, rows_of(STARS, **sky_rows(100, seed=8)))
    counts = []
    for query in ("select id from sky.stars", "select top 5 id from sky.stars", "select top 50 id from sky.stars"):
        counts.append(len(world.rows(query, rows=10)))
    counts.append(len(world.rows("select id from sky.stars union all select id from sky.stars", rows=10)))
    assert counts == [10, 5, 10, 10]
    assert world.engine.run(world.understood("select id from sky.stars"), world.bindings, Limits(rows=0)) is not None
    assert np.sum([len(world.rows("select id from sky.stars", rows=0))]) == 0
