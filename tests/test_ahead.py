"""Rows fetched ahead: all of them, in order, never too many, and nothing left behind when either side stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator

import pyarrow as pa
import pytest

from archive.engine.ahead import ahead
from archive.faults import Fault, TransientFault

MEGABYTE = 1 << 20
STOPPED = TransientFault("The query was stopped.")


class Source:
    """Batches of a megabyte that hold their number, and what became of the query that makes them."""

    def __init__(self, batches: int, fault: Exception | None = None) -> None:
        self.made = 0
        self.closed = 0
        self.ended = threading.Event()
        self.reason: Fault | None = None
        self._batches = batches
        self._fault = fault

    def rows(self) -> Generator[pa.RecordBatch]:
        try:
            for number in range(self._batches):
                self.made += 1
                yield pa.record_batch([pa.array([number]), pa.array([bytes(MEGABYTE)])], ["n", "fill"])
            if self._fault is not None:
                raise self._fault
        finally:
            self.ended.set()

    def close(self) -> None:
        self.closed += 1

    def ahead(self, least: int = MEGABYTE) -> Generator[pa.RecordBatch]:
        return ahead(self.rows(), least, self.close, lambda: self.reason)


def settled(state: Callable[[], int]) -> int:
    """What ``state`` tells once it has not changed for a while."""
    before = -1
    while before != (before := state()):
        time.sleep(0.2)
    return before


def numbers(rows: Generator[pa.RecordBatch]) -> list[int]:
    return [batch.column(0)[0].as_py() for batch in rows]


def test_all_rows_come_in_order() -> None:
    source = Source(100)
    assert numbers(source.ahead()) == list(range(100))
    assert source.ended.is_set()
    assert source.closed == 1


def test_so_many_wait_and_no_more() -> None:
    source = Source(100)
    rows = source.ahead()
    next(rows)
    assert source.made == 1
    next(rows)
    assert 5 < settled(lambda: source.made) < 12
    assert len(numbers(rows)) == 98


def test_few_rows_need_no_thread() -> None:
    for count in (0, 1, 3):
        source = Source(count)
        threads = {threading.get_ident()}
        for _ in source.ahead(least=2 * MEGABYTE):
            threads |= {thread.ident for thread in threading.enumerate() if thread.name == "rows-ahead"}
        assert threads == {threading.get_ident()}
        assert source.ended.is_set()


def test_a_fault_comes_after_the_rows_before_it() -> None:
    source = Source(5, TransientFault("The database cannot be reached."))
    rows = source.ahead()
    assert [next(rows).column(0)[0].as_py() for _ in range(5)] == list(range(5))
    with pytest.raises(TransientFault, match="reached"):
        next(rows)


def test_a_query_that_was_stopped_gives_nothing_more() -> None:
    source = Source(100)
    rows = source.ahead()
    next(rows)
    next(rows)
    settled(lambda: source.made)
    source.reason = STOPPED
    with pytest.raises(TransientFault, match="stopped"):
        next(rows)
    assert source.ended.wait(5)
    assert source.closed == 1


@pytest.mark.parametrize("taken", [1, 2, 50])
def test_a_consumer_that_stops_ends_the_query(taken: int) -> None:
    source = Source(100)
    rows = source.ahead()
    for _ in range(taken):
        next(rows)
    rows.close()
    assert source.ended.wait(5)
    assert source.closed == 1
    assert source.made < 100


def test_rows_that_are_forgotten_end_the_query() -> None:
    source = Source(100)
    rows = source.ahead()
    next(rows)
    next(rows)
    del rows
    assert source.ended.wait(5)


def test_a_stopped_query_ends_though_its_rows_are_not_taken() -> None:
    source = Source(100)
    rows = source.ahead()
    next(rows)
    next(rows)
    settled(lambda: source.made)
    source.reason = STOPPED
    assert source.ended.wait(5)
