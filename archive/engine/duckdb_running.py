"""A DuckDB statement under way: its time, its end, and what its errors mean to people."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import duckdb
import pyarrow as pa

from archive.faults import FatalFault, Fault, TransientFault, UsageFault

_log = logging.getLogger(__name__)

_TICK = 0.05  # seconds between two looks of the watch
_LONGEST_STOP = 5.0  # seconds; an interrupted statement leaves within one


class Watch:
    """Interrupts statements that were stopped or ran out of time, while they are inside the database.

    An interrupt that comes an instant before the database starts to work is lost, so it is repeated at every
    tick for as long as the statement stays inside.
    """

    def __init__(self) -> None:
        self._inside: set[Running] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def enter(self, running: Running) -> None:
        with self._lock:
            self._inside.add(running)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="duckdb-watch", daemon=True)
                self._thread.start()

    def leave(self, running: Running) -> None:
        with self._lock:
            self._inside.discard(running)

    def close(self) -> None:
        """Stop what is inside, and wait until it has left."""
        waited = 0.0
        while (inside := self._now_inside()) and waited < _LONGEST_STOP:
            for running in inside:
                running.close()
            time.sleep(_TICK)
            waited += _TICK
        self._over.set()

    def _now_inside(self) -> list[Running]:
        with self._lock:
            return list(self._inside)

    def _look(self) -> None:
        while not self._over.wait(_TICK):
            for running in self._now_inside():
                running.interrupt_if_due()


class Running:
    """One statement on a cursor of its own. Only time spent inside the database counts against ``seconds``.

    The database computes in whichever thread asks it, too; so a statement that ``gives_way`` is asked for its rows
    by a thread of its own that gives way, because a thread cannot take that back.
    """

    def __init__(
        self, cursor: duckdb.DuckDBPyConnection, watch: Watch, seconds: float | None, *, gives_way: bool = False
    ) -> None:
        self._cursor = cursor
        self._watch = watch
        self._seconds = seconds
        self._spent = 0.0
        self._entered: float | None = None  # when the present visit to the database began
        self._reason: Fault | None = None
        self._porter = ThreadPoolExecutor(1, "patient", give_way) if gives_way else None
        self._closed = threading.Event()
        self._using = threading.Lock()  # held while the cursor is used, so that close frees it only afterwards

    def start(
        self, text: str, parameters: list[Any], batch: int, views: Mapping[str, pa.Table]
    ) -> pa.RecordBatchReader:
        """Send the statement, which may name ``views``; raises the user's faults where the database finds them now."""

        def visit() -> pa.RecordBatchReader:
            for name, table in views.items():
                self._cursor.register(name, table)
            return self._cursor.sql(text, params=parameters).to_arrow_reader(batch)

        return self._inside(visit)

    def batches(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        """The rows as they come; frees the cursor at the end, on an error and when the consumer stops."""
        try:
            while True:
                try:
                    batch = self._inside(reader.read_next_batch)
                except StopIteration:
                    return
                if batch.num_rows:
                    yield batch
        finally:
            self._closed.set()
            self._free(reader)

    def close(self) -> None:
        """Stop the statement, from any thread; harmless if it has ended."""
        if self._reason is None:
            self._reason = TransientFault("The query was stopped.")
        self._closed.set()
        with suppress(duckdb.ConnectionException):  # it has ended and its cursor is closed already
            self._cursor.interrupt()
        if self._using.acquire(blocking=False):  # else whoever is inside frees the cursor on the way out
            try:
                self._end()
            finally:
                self._using.release()

    def interrupt_if_due(self) -> None:
        entered = self._entered
        if entered is None:
            return
        spent = self._spent + time.monotonic() - entered
        if self._reason is None and self._seconds is not None and spent > self._seconds:
            self._reason = _too_long(self._seconds)
        if self._reason is not None:
            self._cursor.interrupt()

    def _inside(self, visit: Callable[[], Any]) -> Any:
        """Make one visit to the database, watched and timed."""
        with self._using:
            if self._reason is not None:
                raise self._reason
            self._entered = time.monotonic()
            self._watch.enter(self)
            try:
                return visit() if self._porter is None else self._porter.submit(visit).result()
            except StopIteration:
                raise
            except (duckdb.Error, OSError, pa.ArrowException, RuntimeError) as error:
                raise self._reason or meaning(error) from error
            finally:
                self._watch.leave(self)
                self._spent += time.monotonic() - self._entered
                self._entered = None
                if self._closed.is_set():
                    self._end()

    def _free(self, reader: pa.RecordBatchReader) -> None:
        with self._using:
            reader.close()
            self._end()

    def _end(self) -> None:
        self._cursor.close()
        if self._porter is not None:
            self._porter.shutdown(wait=False)


def give_way(niceness: int = 10) -> None:
    """Let other threads go before this one, for as long as it lives; on Linux each has a priority of its own."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


def _too_long(seconds: float) -> Fault:
    return UsageFault(
        f"The query took longer than its limit of {seconds:g} s and was stopped.",
        "Make it smaller (a cone, TOP, fewer joins), or run it as an asynchronous job with a longer duration.",
    )


_KIND = re.compile(r"(Conversion|Out of Range|Out of Memory|Invalid Input|IO) Error")


def meaning(error: BaseException) -> Fault:
    """What a database error means to the user; the database's own words go to the log only."""
    found = _KIND.search(str(error))
    match found[1] if found else None:
        case "Conversion":
            return UsageFault(
                "A value could not be converted to the type that a CAST or a comparison asks for.",
                "Leave out such rows in WHERE, or convert to a wider type.",
            )
        case "Out of Range":
            return UsageFault(
                "A calculation with integers left the range of its type.",
                "Convert an operand: CAST(x AS BIGINT) or CAST(x AS DOUBLE PRECISION).",
            )
        case "Out of Memory":
            _log.warning("statement out of memory: %s", error)
            return TransientFault(
                "The query needs more memory than it may have.",
                "Sort, group or join fewer rows or columns, or try again when the service is less busy.",
                after=60,
            )
    _log.error("statement failed", exc_info=error)
    return FatalFault("The query failed inside the database.", "The cause is in the log of the service.")
