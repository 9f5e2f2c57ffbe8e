"""Rows fetched ahead: while a consumer works on one batch, a thread waits for the next ones."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator

import pyarrow as pa

from archive.faults import Fault

_MOST = 8 << 20  # bytes of batches that wait for the consumer; one more may be on its way
_LOOK = 1.0  # seconds between two looks at whether a query was stopped whose consumer takes nothing


def ahead(
    rows: Generator[pa.RecordBatch], least: int, close: Callable[[], None], reason: Callable[[], Fault | None]
) -> Generator[pa.RecordBatch]:
    """``rows``, fetched ahead if the first batch has ``least`` bytes: with fewer, more will hardly come.

    ``close`` stops the query that makes the rows; it is called when the consumer stops. ``reason`` tells why the query
    was stopped, if it was: then nothing more is handed out, also of what waits.
    """
    try:
        first = next(rows, None)
        if first is None:
            return
        yield first
        yield from rows if first.nbytes < least else _fetched(rows, reason)
    finally:
        close()


def _fetched(rows: Generator[pa.RecordBatch], reason: Callable[[], Fault | None]) -> Generator[pa.RecordBatch]:
    waiting = _Waiting()
    threading.Thread(target=_fetch, args=(rows, waiting, reason), name="rows-ahead", daemon=True).start()
    try:
        while (batch := waiting.take(reason)) is not None:
            yield batch
    finally:
        waiting.leave()


def _fetch(rows: Generator[pa.RecordBatch], waiting: _Waiting, reason: Callable[[], Fault | None]) -> None:
    try:
        while waiting.has_room(reason) and (batch := next(rows, None)) is not None:
            waiting.put(batch)
    except BaseException as fault:  # it is for the consumer
        waiting.end(fault)
    finally:
        rows.close()
        waiting.end(None)


class _Waiting:
    """Batches between the thread that fetches and the one that consumes, and how they ended."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._batches: deque[pa.RecordBatch] = deque()
        self._bytes = 0
        self._left = False  # nobody wants more
        self._ended = False
        self._fault: BaseException | None = None

    def has_room(self, reason: Callable[[], Fault | None]) -> bool:
        """Wait until there is room for one more batch; false if nobody wants it."""
        with self._changed:
            while not self._left and self._bytes >= _MOST:
                if reason() is not None:
                    return False
                self._changed.wait(_LOOK)
            return not self._left

    def put(self, batch: pa.RecordBatch) -> None:
        with self._changed:
            self._batches.append(batch)
            self._bytes += batch.nbytes
            self._changed.notify_all()

    def end(self, fault: BaseException | None) -> None:
        """No more batches come; the first call counts."""
        with self._changed:
            if not self._ended:
                self._ended, self._fault = True, fault
            self._changed.notify_all()

    def take(self, reason: Callable[[], Fault | None]) -> pa.RecordBatch | None:
        """The next batch; None after the last."""
        with self._changed:
            self._changed.wait_for(lambda: self._batches or self._ended)
            stopped = reason()
            if stopped is not None:
                raise stopped
            if not self._batches:
                if self._fault is not None:
                    raise self._fault
                return None
            batch = self._batches.popleft()
            self._bytes -= batch.nbytes
            self._changed.notify_all()
            return batch

    def leave(self) -> None:
        with self._changed:
            self._left = True
            self._batches.clear()
            self._changed.notify_all()
