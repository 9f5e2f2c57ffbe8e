"""A PostgreSQL statement under way: its connection, its time, its end, and what its errors mean to people."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pyarrow as pa
from adbc_driver_manager import Error
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from archive.faults import FatalFault, Fault, TransientFault, UsageFault

_log = logging.getLogger(__name__)

_TICK = 0.05  # seconds between two looks of the watch
_LONGEST_STOP = 5.0  # seconds; a cancelled statement leaves within one
_BATCH_BYTES = {"adbc.postgresql.batch_size_hint_bytes": str(2**20)}
FAILURES = (Error, OSError, pa.ArrowException, RuntimeError)
"""What the driver raises."""


class Watch:
    """Cancels statements that were stopped or ran out of time, while we wait for the database.

    A cancellation that comes an instant before the database starts to work is lost, so it is repeated at every
    tick for as long as we wait.
    """

    def __init__(self) -> None:
        self._waiting: set[Running] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def enter(self, running: Running) -> None:
        with self._lock:
            self._waiting.add(running)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="postgres-watch", daemon=True)
                self._thread.start()

    def leave(self, running: Running) -> None:
        with self._lock:
            self._waiting.discard(running)

    def close(self) -> None:
        """Stop what waits, and wait until it has left."""
        until = time.monotonic() + _LONGEST_STOP
        while (waiting := self._now_waiting()) and time.monotonic() < until:
            for running in waiting:
                running.close()
            time.sleep(_TICK)
        self._over.set()

    def _now_waiting(self) -> list[Running]:
        with self._lock:
            return list(self._waiting)

    def _look(self) -> None:
        while not self._over.wait(_TICK):
            for running in self._now_waiting():
                running.cancel_if_due()


class Running:
    """One statement on a pooled connection. Only time spent waiting for the database counts against ``seconds``.

    A connection on which anything went wrong, or whose statement was cancelled, is not used again: a cancellation
    that arrives late would hit the next statement.
    """

    def __init__(self, pool: QueuePool, watch: Watch, seconds: float | None, gives_way: bool = False) -> None:
        self._watch = watch
        self._gives_way = gives_way
        self._seconds = seconds
        self._spent = 0.0
        self._entered: float | None = None  # when we began to wait for the database
        self._reason: Fault | None = None
        self._closed = threading.Event()
        self._whole = False  # true once the last row was read
        self._using = threading.Lock()  # held while the connection is used, so that close frees it only afterwards
        self._reader: pa.RecordBatchReader | None = None
        self._freed = False
        try:
            self._connection = pool.connect()
        except PoolTimeout as error:
            raise TransientFault("Too many queries run at the moment.", "Try again in a moment.") from error
        except FAILURES as error:
            raise meaning(error) from error
        self._cursor: Any = self._connection.cursor()

    def start(self, text: str, uploads: Mapping[str, pa.Table]) -> None:
        """Send the statement; raises the user's faults where the database finds them now."""
        self._inside(lambda: self._send(text, uploads))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows as they come; frees the connection at the end, on an error and when the consumer stops."""
        try:
            while True:
                try:
                    batch = self._inside(self._next)
                except StopIteration:
                    self._whole = True
                    return
                if batch.num_rows:
                    yield batch
        finally:
            self._closed.set()
            with self._using:
                self._free()

    def lines(self, text: str, uploads: Mapping[str, pa.Table]) -> list[str]:
        """The lines that a statement such as EXPLAIN prints."""
        try:
            self._inside(lambda: self._send(text, uploads, {"adbc.postgresql.use_copy": "false"}))
            return [str(line) for batch in self.batches() for line in batch.column(0).to_pylist()]
        finally:
            self.close()

    def close(self) -> None:
        """Stop the statement, from any thread; harmless if it has ended."""
        if self._reason is None:
            self._reason = TransientFault("The query was stopped.")
        self._closed.set()
        if self._using.acquire(blocking=False):  # else the watch cancels and whoever waits frees on the way out
            try:
                self._free()
            finally:
                self._using.release()

    def cancel_if_due(self) -> None:
        entered = self._entered
        if entered is None:
            return
        spent = self._spent + time.monotonic() - entered
        if self._reason is None and self._seconds is not None and spent > self._seconds:
            self._reason = _too_long(self._seconds)
        if self._reason is not None:
            self._cancel()

    def _send(self, text: str, uploads: Mapping[str, pa.Table], options: Mapping[str, str] = _BATCH_BYTES) -> None:
        if uploads:
            self._upload(uploads)
        if self._gives_way:  # the server has no priorities; but what takes one core only leaves the others
            self._cursor.execute("SET LOCAL max_parallel_workers_per_gather = 0")
        self._cursor.adbc_statement.set_options(**options)
        self._cursor.execute(text)
        self._reader = self._cursor.fetch_record_batch()

    def _upload(self, uploads: Mapping[str, pa.Table]) -> None:
        """Temporary tables that go with the transaction; it writes nothing after them."""
        self._cursor.execute("SET TRANSACTION READ WRITE")
        for name, rows in uploads.items():
            self._cursor.adbc_ingest(name, rows, mode="create", temporary=True)
            self._cursor.execute(f'ANALYZE pg_temp."{name}"')
        self._cursor.execute("SET TRANSACTION READ ONLY")

    def _next(self) -> pa.RecordBatch:
        assert self._reader is not None
        return self._reader.read_next_batch()

    def _inside(self, visit: Callable[[], Any]) -> Any:
        """Wait for the database once, watched and timed."""
        with self._using:
            if self._reason is not None:
                raise self._reason
            self._entered = time.monotonic()
            self._watch.enter(self)
            try:
                return visit()
            except StopIteration:
                raise
            except FAILURES as error:
                raise self._reason or meaning(error) from error
            finally:
                self._watch.leave(self)
                self._spent += time.monotonic() - self._entered
                self._entered = None
                if self._closed.is_set():
                    self._free()

    def _cancel(self) -> None:
        with suppress(*FAILURES):  # the connection is gone
            self._cursor.adbc_cancel()

    def _free(self) -> None:
        """Give the connection back, or away. In this order: a stream that is not cancelled would be read to its end."""
        if self._freed:
            return
        self._freed = True
        if not self._whole:
            self._cancel()
        if self._reader is not None:
            with suppress(*FAILURES):
                self._reader.close()
        with suppress(*FAILURES):
            self._cursor.close()
        if not self._whole:
            self._connection.invalidate()
        self._connection.close()


def _too_long(seconds: float) -> Fault:
    return UsageFault(
        f"The query took longer than its limit of {seconds:g} s and was stopped.",
        "Make it smaller (a cone, TOP, fewer joins), or run it as an asynchronous job with a longer duration.",
    )


_STATES = (
    ("conversion", r"22P02|22007|22008|22018|22021|42804", r"invalid input syntax|invalid byte sequence"),
    ("range", r"22003|23514|22P03", r"out of range|violates check constraint"),
    ("memory", r"53[12].*|54001", r"out of memory|No space left|could not write"),
    ("away", r"08.*|57P.*|53300|40.*", r"terminating connection|server closed|connection|SSL|no COPY in progress"),
    ("stopped", r"57014", r"canceling statement"),
    ("gone", r"42P01", r"does not exist"),
    ("domain", r"22.*|2201.*", r"argument"),
)


def kind(error: BaseException) -> str:
    """What sort of error it is. Once a stream has begun errors carry no code, only text."""
    state = getattr(error, "sqlstate", None)
    for name, states, words in _STATES:
        if re.fullmatch(states, state) if state else re.search(words, str(error)):
            return name
    return "other"


def meaning(error: BaseException) -> Fault:
    """What a database error means to the user; the database's own words go to the log only."""
    match kind(error):
        case "conversion":
            return UsageFault(
                "A value could not be converted to the type that a CAST or a comparison asks for.",
                "Leave out such rows in WHERE, or convert to a wider type.",
            )
        case "range":
            return UsageFault(
                "A calculation left the range of its type.",
                "Convert an operand: CAST(x AS BIGINT) or CAST(x AS DOUBLE PRECISION).",
            )
        case "domain":
            return UsageFault("A function was given a value for which it is not defined.", "Leave it out in WHERE.")
        case "memory":
            _log.warning("statement out of memory: %s", error)
            return TransientFault(
                "The query needs more memory than it may have.",
                "Sort, group or join fewer rows or columns, or try again when the service is less busy.",
                after=60,
            )
        case "away":
            _log.warning("the database went away: %s", error)
            return TransientFault("The database cannot be reached at the moment.", "Try again in a moment.")
        case "stopped":
            return TransientFault("The query was stopped.")
        case "gone":
            _log.warning("a table is missing: %s", error)
            return TransientFault("Rows of the query are not at hand.", "Try again in a moment.")
    _log.error("statement failed", exc_info=error)
    return FatalFault("The query failed inside the database.", "The cause is in the log of the service.")
