"""Statements under way: lazy, bounded in memory and time, stopped from anywhere, private, many at once."""

from __future__ import annotations

import concurrent.futures
import logging
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from archive.columns import Datatype
from archive.engine.contract import Bindings, Engine, Limits, Stop
from archive.faults import FatalFault, TransientFault, UsageFault
from archive.tables import Table

from .world import World, number, rows_of, sky_rows, sky_table

STARS = sky_table("stars", number("mag", Datatype.FLOAT))
GIVEN = Table("TAP_UPLOAD", "mine", (number("id", Datatype.LONG),))

ENDLESS = "select sum(sin(a.ra * b.dec)) as s from sky.stars a, sky.stars b"  # 4e10 sines


@pytest.fixture(scope="module")
def stars(shared: World) -> World:
    """200 000 stars."""
    shared.publish(STARS, rows_of(STARS, **sky_rows(200_000, seed=1)))
    return shared


def test_the_first_rows_come_before_the_last_are_made(stars: World) -> None:
    endless = "select a.id as i, b.id as j from sky.stars a, sky.stars b"  # 4e10 rows
    stream = stars.start(endless)
    assert next(stream.batches).num_rows > 0
    stream.close()


def test_batches_are_small_enough_to_leave_early_and_have_rows(stars: World) -> None:
    sizes = [batch.num_rows for batch in stars.start("select id, ra, dec from sky.stars").batches]
    assert sum(sizes) == 200_000
    assert min(sizes) > 0
    assert max(sizes) <= 50_000


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 200, 40_000])
def test_what_is_computed_at_once_is_the_same_as_what_comes_bit_by_bit(stars: World, count: int) -> None:
    values = "id, ra, CAST(mag AS REAL) AS m, id / (id - 3) AS n, SQRT(dec) AS r, 'é' || CAST(id AS VARCHAR) AS t"
    query = stars.understood(f"select {values} from sky.stars where id < {count} order by id")
    lazy, brief = (
        pa.Table.from_batches([*stars.engine.run(query, stars.bindings, Limits(brief=each)).batches], LIKE)
        for each in (False, True)
    )
    assert lazy.num_rows == count
    assert brief.equals(lazy)


LIKE = pa.schema(
    [("c1", pa.int64()), ("c2", pa.float64()), ("c3", pa.float32()), ("c4", pa.int64()), ("c5", pa.float64()),
     ("c6", pa.string())]
)  # fmt: skip


@pytest.mark.service
def test_memory_stays_flat_however_many_rows_leave(tmp_path: Path) -> None:
    """In a process of its own, since memory is measured at its peak."""
    script = Path(__file__).with_name("streamed_memory.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    few, many = (int(part) for part in done.stdout.split()[-2:])
    assert many - few < 150_000, f"peak grew by {many - few} kB over 20 times as many rows"


def test_time_is_limited(stars: World) -> None:
    began = time.monotonic()
    with pytest.raises(UsageFault, match=r"limit of 0\.3 s"):
        stars.rows(ENDLESS, seconds=0.3)
    assert time.monotonic() - began < 10


def test_time_spent_waiting_for_the_client_does_not_count(stars: World) -> None:
    stream = stars.start("select id, ra, dec, mag from sky.stars", seconds=5.0)
    rows = next(stream.batches).num_rows
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_utime
    time.sleep(5.5)
    assert resource.getrusage(resource.RUSAGE_THREAD).ru_utime - before < 1
    assert rows + sum(batch.num_rows for batch in stream.batches) == 200_000


def test_close_from_another_thread_stops_a_statement_that_has_given_nothing_yet(stars: World) -> None:
    """``run`` may itself wait for the first rows: then the cord stops it."""
    cord, ended, faults = Stop(), threading.Event(), []

    def consume() -> None:
        try:
            stars.rows("select a.id as i from sky.stars a, sky.stars b where sin(a.ra * b.dec) > 2", stop=cord)
        except TransientFault as fault:
            faults.append(fault)
        ended.set()

    threading.Thread(target=consume, daemon=True).start()
    time.sleep(1)
    assert not ended.is_set()
    began = time.monotonic()
    cord.pull()
    assert ended.wait(10)
    assert time.monotonic() - began < 2
    assert "stopped" in faults[0].message


def test_a_cord_that_was_pulled_before_stops_at_once(stars: World) -> None:
    cord = Stop()
    cord.pull()
    with pytest.raises(TransientFault, match="stopped"):
        stars.rows(ENDLESS, stop=cord)


def test_close_from_another_thread_stops_a_stream_in_the_middle(stars: World) -> None:
    stream = stars.start("select a.id as i, b.id as j from sky.stars a, sky.stars b")
    rows, fault = 0, None
    threading.Timer(0.5, stream.close).start()
    began = time.monotonic()
    try:
        for batch in stream.batches:
            rows += batch.num_rows
    except TransientFault as raised:
        fault = raised
    assert time.monotonic() - began < 5
    assert 0 < rows < 200_000**2
    assert fault is not None


def test_closing_the_engine_stops_what_runs(make_engine: Callable[[Path], Engine], tmp_path: Path) -> None:
    world = World(make_engine(tmp_path / "editions"), tmp_path)
    world.publish(STARS, rows_of(STARS, **sky_rows(200_000, seed=1)))
    faults: list[BaseException] = []

    def consume() -> None:
        try:
            world.rows(ENDLESS)
        except TransientFault as fault:
            faults.append(fault)

    thread = threading.Thread(target=consume, daemon=True)
    thread.start()
    time.sleep(1)
    world.engine.close()
    thread.join(10)
    assert not thread.is_alive()
    assert len(faults) == 1


def test_close_may_be_called_twice_and_ends_the_stream(stars: World) -> None:
    stream = stars.start("select id from sky.stars")
    next(stream.batches)
    stream.close()
    stream.close()
    with pytest.raises((TransientFault, StopIteration)):
        next(stream.batches)
    untouched = stars.start("select id from sky.stars")
    untouched.close()
    with pytest.raises((TransientFault, StopIteration)):
        next(untouched.batches)


def test_a_stream_that_nobody_reads_to_its_end_leaves_the_engine_well(stars: World) -> None:
    for _ in range(20):
        next(stars.start("select id from sky.stars").batches)
    assert stars.value("select count(*) from sky.stars") == 200_000


def test_rows_given_with_a_request_are_private_to_it(stars: World) -> None:
    tables = {**stars.tables, GIVEN.key: GIVEN}

    def ask(count: int) -> int:
        mine = rows_of(GIVEN, id=list(range(count)))
        world = World(stars.engine, stars.folder, tables, Bindings(stars.bindings.editions, {GIVEN.key: mine}))
        return world.value("select count(*) from TAP_UPLOAD.mine join sky.stars using (id)")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(1, 41))) == list(range(1, 41))


def test_eight_threads_at_once_get_each_their_own_answer(stars: World) -> None:
    def ask(at: int) -> list[int]:
        return stars.ids(f"select id from sky.stars where id between {at} and {at + 9}")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(0, 2000, 10)))
    assert answers == [list(range(at, at + 10)) for at in range(0, 2000, 10)]


def test_a_value_that_cannot_be_cast_is_the_users_fault(stars: World) -> None:
    words = Table("TAP_UPLOAD", "words", (number("id", Datatype.LONG), EVERY_WORD))
    world = World(stars.engine, stars.folder, {words.key: words}, Bindings(arrow={words.key: WORDS}))
    assert world.rows("select cast(word as integer) from TAP_UPLOAD.words where id = 1") == [(12,)]
    with pytest.raises(UsageFault) as caught:
        world.rows("select cast(word as integer) from TAP_UPLOAD.words")
    assert "CAST" in caught.value.message
    assert "c2" not in str(caught.value)


def test_whole_numbers_that_overflow_are_the_users_fault(stars: World) -> None:
    with pytest.raises(UsageFault, match="range of its type"):
        stars.rows("select id * 9223372036854775807 from sky.stars where id = 3")


def test_messages_of_the_database_never_reach_the_user(stars: World, caplog: pytest.LogCaptureFixture) -> None:
    """Tried with an edition whose description does not fit its rows."""
    edition = stars.engine.build(STARS, 4711, stars.parts(STARS, rows_of(STARS, **sky_rows(20, seed=9))))
    broken = replace(edition, physical={**edition.physical, "mag": "no_such_column"})
    query = stars.understood("select mag from sky.stars")
    caplog.set_level(logging.ERROR)
    with pytest.raises(FatalFault) as caught:
        list(stars.engine.run(query, Bindings({broken.key: broken}), Limits()).batches)
    assert "no_such_column" not in str(caught.value)
    assert "no_such_column" in caplog.text


EVERY_WORD = number("word", Datatype.CHAR, arraysize="*")
WORDS = pa.table({"id": pa.array([1, 2], pa.int64()), "word": pa.array(["12", "twelve"])})
