"""Statements that read much give way to others and are otherwise like all: same rows, same end, same faults."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from archive.columns import Datatype
from archive.engine.contract import Stop
from archive.faults import TransientFault, UsageFault

from .world import World, number, rows_of, sky_rows, sky_table

STARS = sky_table("stars", number("mag", Datatype.FLOAT))
ENDLESS = "select sum(sin(a.ra * b.dec)) as s from sky.stars a, sky.stars b"  # 1e10 sines


@pytest.fixture(scope="module")
def stars(shared: World) -> World:
    shared.publish(STARS, rows_of(STARS, **sky_rows(100_000, seed=1)))
    return shared


def test_the_rows_are_the_same(stars: World) -> None:
    query = "select id, ra, mag from sky.stars where dec > 0 order by id"
    assert stars.rows(query, gives_way=True) == stars.rows(query)


def test_both_see_what_is_published_later(world: World) -> None:
    for rows in (10, 20):
        world.publish(STARS, rows_of(STARS, **sky_rows(rows, seed=1)))
        for gives_way in (False, True):
            assert world.rows("select count(*) as n from sky.stars", gives_way=gives_way) == [(rows,)]


def test_time_is_limited_and_the_cord_stops(stars: World) -> None:
    with pytest.raises(UsageFault, match=r"limit of 0\.3 s"):
        stars.rows(ENDLESS, seconds=0.3, gives_way=True)
    cord = Stop()
    threading.Timer(0.5, cord.pull).start()
    began = time.monotonic()
    with pytest.raises(TransientFault, match="stopped"):
        stars.rows(ENDLESS, stop=cord, gives_way=True)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("make_engine", ["duckdb"], indirect=True)
def test_its_threads_and_no_others_stand_back(stars: World) -> None:
    """Of the engine that works in our process: on Linux each thread has a priority of its own."""
    cord = Stop()
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    asker = threading.Thread(target=_asked_in_vain, args=(stars, cord))
    asker.start()
    time.sleep(0.5)
    try:
        before = _ticks()
        time.sleep(1)
        spent = {nice: _ticks()[nice] - before.get(nice, 0) for nice in _ticks()}
    finally:
        cord.pull()
        asker.join()
    assert spent[min(own + 10, 19)] > 10 * spent.get(own, 0)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own


def _asked_in_vain(stars: World, cord: Stop) -> None:
    with pytest.raises(TransientFault):
        stars.rows(ENDLESS, stop=cord, gives_way=True)


def _ticks() -> dict[int, int]:
    """Time that the threads of this process have computed, by their niceness."""
    spent: dict[int, int] = {}
    for stat in Path("/proc/self/task").glob("*/stat"):
        told = stat.read_text().rpartition(")")[2].split()
        spent[int(told[16])] = spent.get(int(told[16]), 0) + int(told[11])
    return spent
