"""A statement under way on any engine: its time, its end, and the watch that stops what is due."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from typing import Any, ClassVar

import pyarrow as pa

from archive.faults import Fault, TransientFault, UsageFault

_TICK = 0.05  # seconds between two looks of the watch
_LONGEST_STOP = 5.0  # seconds; an interrupted statement leaves within one
_FEW = 16_384  # rows that are drawn while a statement is started


class Watch:
    """Interrupts statements that were stopped or ran out of time, while we wait for the database.

    An interruption that comes an instant before the database starts to work is lost, so it is repeated at every
    tick for as long as we wait.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: set[Watched] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def enter(self, watched: Watched) -> None:
        with self._lock:
            self._waiting.add(watched)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name=f"{self._name}-watch", daemon=True)
                self._thread.start()

    def leave(self, watched: Watched) -> None:
        with self._lock:
            self._waiting.discard(watched)

    def close(self) -> None:
        """Stop what waits, and wait until it has left."""
        until = time.monotonic() + _LONGEST_STOP
        while (waiting := self._now_waiting()) and time.monotonic() < until:
            for watched in waiting:
                watched.close()
            time.sleep(_TICK)
        self._over.set()

    def _now_waiting(self) -> list[Watched]:
        with self._lock:
            return list(self._waiting)

    def _look(self) -> None:
        while not self._over.wait(_TICK):
            for watched in self._now_waiting():
                watched.interrupt_if_due()


class Watched(ABC):
    """One statement, watched and timed. Only time spent waiting for the database counts against ``seconds``.

    An engine opens ``_reader`` in a visit (``_inside``) and says how a visit is made, how the statement is
    interrupted, how all is freed and what errors mean.
    """

    failures: ClassVar[tuple[type[BaseException], ...]]
    """What the driver raises."""

    def __init__(self, watch: Watch, seconds: float | None) -> None:
        self._watch = watch
        self._seconds = seconds
        self._spent = 0.0
        self._entered: float | None = None  # when the present visit to the database began
        self._reason: Fault | None = None
        self._closed = False
        self._freed = False
        self._whole = False  # true once the last row was read
        self._drawn: list[pa.RecordBatch] = []  # read ahead of ``batches``
        self._using = threading.Lock()  # held while the database is visited, so that all is freed only afterwards
        self._reader: pa.RecordBatchReader | None = None

    @property
    def reason(self) -> Fault | None:
        """Why the statement was stopped, if it was."""
        return self._reason

    @property
    def whole(self) -> bool:
        """Whether every row has been read: the database has nothing more to do."""
        return self._whole

    def batches(self) -> Generator[pa.RecordBatch]:
        """The rows as they come; frees everything at the end, on an error and when the consumer stops."""
        try:
            for batch in self._drawn:
                if self._reason is not None:
                    raise self._reason
                yield batch
            while not self._whole:
                try:
                    batch = self._inside(self._next)
                except StopIteration:
                    self._whole = True
                    return
                if batch.num_rows:
                    yield batch
        finally:
            self._closed = True
            self._release()

    def close(self) -> None:
        """Stop the statement, from any thread; harmless if it has ended."""
        if self._reason is None:
            self._reason = TransientFault("The query was stopped.")
        self._closed = True
        self._release()  # if it is being visited, the watch interrupts it and the visitor frees it

    def interrupt_if_due(self) -> None:
        """Interrupt the present visit if the statement was stopped or its time is over."""
        entered = self._entered
        if entered is None:
            return
        spent = self._spent + time.monotonic() - entered
        if self._reason is None and self._seconds is not None and spent > self._seconds:
            self._reason = _too_long(self._seconds)
        if self._reason is not None:
            self._interrupt()

    @abstractmethod
    def _interrupt(self) -> None:
        """Make the present visit end soon; called from other threads, also an instant after it has ended."""

    @abstractmethod
    def _free(self) -> None:
        """Let go of everything; called once, by whoever holds ``_using``."""

    @abstractmethod
    def _meaning(self, error: BaseException) -> Fault:
        """What an error of the driver means to people."""

    def _visited(self, visit: Callable[[], Any]) -> Any:
        return visit()

    def _next(self) -> pa.RecordBatch:
        assert self._reader is not None
        return self._reader.read_next_batch()

    def _draw(self) -> None:
        """Within a visit: read the first rows. If they are all, the visit ends with everything freed."""
        drawn = 0
        try:
            while drawn < _FEW:
                batch = self._next()
                if batch.num_rows:
                    self._drawn.append(batch)
                    drawn += batch.num_rows
        except StopIteration:
            self._whole = self._closed = True

    def _inside(self, visit: Callable[[], Any]) -> Any:
        """Make one visit to the database, watched and timed."""
        try:
            with self._using:
                if self._reason is not None:
                    raise self._reason
                self._entered = time.monotonic()
                self._watch.enter(self)
                try:
                    return self._visited(visit)
                except StopIteration:
                    raise
                except self.failures as error:
                    raise self._reason or self._meaning(error) from error
                finally:
                    self._watch.leave(self)
                    self._spent += time.monotonic() - self._entered
                    self._entered = None
        finally:
            if self._closed:
                self._release()

    def _release(self) -> None:
        """Free everything unless somebody is inside, who does it on the way out."""
        if self._using.acquire(blocking=False):
            try:
                if not self._freed:
                    self._freed = True
                    self._free()
            finally:
                self._using.release()


def _too_long(seconds: float) -> Fault:
    return UsageFault(
        f"The query took longer than its limit of {seconds:g} s and was stopped.",
        "Make it smaller (a cone, TOP, fewer joins), or run it as an asynchronous job with a longer duration.",
    )
