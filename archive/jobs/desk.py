"""``Desk``: what a task is given to work with, and the watch that sees to it that it stops when it must."""

from __future__ import annotations

import enum
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType

import pyarrow as pa
from sqlalchemy.exc import SQLAlchemyError

from archive.faults import Fault, TransientFault
from archive.jobs.bells import Bell
from archive.jobs.keeper import was_given_up
from archive.jobs.model import Failure, Job, Lane, Product
from archive.jobs.store import Jobs
from archive.results.result import Result

_log = logging.getLogger(__name__)

DEAF = os.EX_TEMPFAIL  # how a process ends whose task does not stop: inside a database that has not yielded a row, say


class Stop(enum.Enum):
    """Why work on a job ends before it is done."""

    TAKEN = "aborted, deleted or given up for lost"
    OVERTIME = "its execution duration is over"
    LEAVING = "the runner was told to leave"


@dataclass(frozen=True, slots=True)
class Ending:
    """How work on a job has ended: why the job failed, if it did, and whether it was ended from outside.

    ``last`` if the process ends as well, right away and without ceremony.
    """

    failure: Failure | None = None
    stopped: bool = False
    last: bool = False


class Desk:
    """One job under way, as its task sees it.

    A task reads ``job``, does the work, hands every result to ``write``, and returns; or it raises a fault.
    """

    def __init__(self, jobs: Jobs, job: Job) -> None:
        self.job = job
        self.rows = 0
        self.products: list[Product] = []
        self.fault: Fault | None = None
        self.stop: Stop | None = None
        self._jobs = jobs
        self._close: Callable[[], None] = lambda: None
        self._note: Callable[[Ending], None] = lambda ending: None
        self._lock = threading.Lock()

    def counted(self, result: Result) -> Result:
        """``result``, whose rows are counted as they come, which stops with the job, and whose fault is kept.

        Encoders end a document in good order when rows end in a fault; for a job that is an error all the same.
        """
        self.on_stop(result.close)
        result.batches = self._counting(result.batches)
        return result

    def on_stop(self, close: Callable[[], None]) -> None:
        """Have ``close`` called, by another thread, when the job must stop; at once if it must already."""
        with self._lock:
            self._close = close
            stopped = self.stop is not None
        if stopped:
            close()

    def on_end(self, note: Callable[[Ending], None]) -> None:
        """Have ``note`` called when the job has ended and its end is written; by another thread, maybe.

        It is not called for a job that was given up for lost: whoever did that has noted it.
        """
        self._note = note

    def ended(self, ending: Ending) -> None:
        """The job has ended; called by whoever wrote that, once."""
        self._note(ending)

    def write(
        self,
        name: str,
        media: str,
        extension: str,
        chunks: Iterable[bytes],
        token: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Store a result of the job under ``name``; nobody sees it before the job is COMPLETED.

        ``token`` gives what it can be had again with; it is asked once all is written.
        """
        file = f"{name}.{extension}"
        size = self._jobs.folders.write(self.job.id, file, chunks, self._jobs.terms.result)
        if self.fault is not None:
            raise self.fault
        self.products.append(Product(name, media, file, size, token()))

    def end(self, stop: Stop) -> None:
        """Make the task stop; called by the watch."""
        with self._lock:
            if self.stop is not None:
                return
            self.stop, close = stop, self._close
        try:
            close()
        except Exception:  # the process ends if the task does not
            _log.exception("job %s does not stop in good order", self.job.id)

    def _counting(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            for batch in batches:
                self.rows += batch.num_rows
                yield batch
        except Fault as fault:
            self.fault = fault
            raise


@dataclass(frozen=True, slots=True)
class Pace:
    """Times in seconds: how often a lease is renewed and after how long without that it is over, how long a job may
    stay in the short lane, how long a runner that is told to leave may go on with its job, how long a stopped task may
    take to return before its process ends.
    """

    beat: float = 0.5
    lease: float = 8
    short: float = 30
    grace: float = 5
    patience: float = 0.25


class Watch:
    """Looks after a job while its task runs, in a thread: renews the lease, and ends the task when it must stop.

    It sleeps at the runner's bell, so an abort reaches it at once. A task that does not return after it has been
    stopped is stopped for good: the process ends, and the crew starts another.
    """

    def __init__(
        self,
        jobs: Jobs,
        desk: Desk,
        runner: str,
        bell: Bell,
        pace: Pace,
        slow: Callable[[], None] = lambda: None,
        orphaned: Callable[[], bool] = lambda: False,
    ) -> None:
        self._jobs = jobs
        self._desk = desk
        self._runner = runner
        self._bell = bell
        self._pace = pace
        self._slow = slow
        self._orphaned = orphaned
        self._slowed = desk.job.lane is Lane.LONG
        self._duration = desk.job.duration
        self._done = threading.Event()
        self._began = time.monotonic()
        self._leave_at: float | None = None
        self._thread = threading.Thread(target=self._look_after, name=f"watch {desk.job.id}", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._bell.ring()
        self._thread.join()

    def leave(self) -> None:
        """The runner is to leave: the job gets its time of grace."""
        self._leave_at = self._leave_at or time.monotonic() + self._pace.grace

    def _look_after(self) -> None:
        beat_at = self._began + self._pace.beat
        while True:
            rung = self._bell.wait(max(0.0, min(beat_at, self._ends_at()) - time.monotonic()))
            if self._done.is_set():
                return
            if signal.SIGTERM in rung or signal.SIGINT in rung or self._orphaned():
                self.leave()
            now = time.monotonic()
            stop = self._reason_to_stop(now, due=now >= min(beat_at, self._ends_at()))
            if stop is not None:
                self._end(stop)
                return
            if now >= beat_at:
                self._yield_lane(now)
                beat_at = now + self._pace.beat

    def _reason_to_stop(self, now: float, *, due: bool) -> Stop | None:
        if not self._held(due):
            return Stop.TAKEN
        if self._leave_at is not None and now >= self._leave_at:
            return Stop.LEAVING
        return Stop.OVERTIME if now >= self._ends_at() else None

    def _ends_at(self) -> float:
        """When the task must stop, as things stand."""
        over = self._began + self._duration if self._duration else math.inf
        return over if self._leave_at is None else min(over, self._leave_at)

    def _held(self, renew: bool) -> bool:
        """Whether the job is still this runner's; renews the lease if it is time to."""
        job = self._desk.job.id
        try:
            if not renew:
                return self._jobs.holds(job, self._runner)
            granted = self._jobs.pulse(job, self._runner, self._desk.rows)
        except (SQLAlchemyError, TransientFault) as error:  # the lease is long enough to try again
            _log.warning("job %s: the lease could not be renewed: %s", job, error)
            return True
        self._duration = granted or 0
        return granted is not None

    def _yield_lane(self, now: float) -> None:
        if self._slowed or now < self._began + self._pace.short:
            return
        try:
            moved = self._jobs.slow(self._desk.job.id, self._runner)
        except (SQLAlchemyError, TransientFault) as error:  # there is time to try again
            _log.warning("job %s: it could not be moved to the long lane: %s", self._desk.job.id, error)
            return
        self._slowed = True
        if moved:
            self._slow()

    def _end(self, stop: Stop) -> None:
        """The job's end is written first: what the task does then is too late to be seen."""
        job = self._desk.job
        try:
            self._write_end(stop)
        except (SQLAlchemyError, TransientFault) as error:
            _log.warning("job %s: its end could not be written, a keeper will do it: %s", job.id, error)
        self._desk.end(stop)
        if not self._done.wait(self._pace.patience):
            _log.info("job %s does not stop by itself (%s): its runner ends", job.id, stop.value)
            self._leave_deaf(job)
            os._exit(DEAF)

    def _leave_deaf(self, job: Job) -> None:
        """What can still be done for a job before its process ends; that it ends is more important."""
        try:
            self._jobs.discard(job)  # or what was written goes when the job goes
            if not was_given_up(self._jobs, job):
                self._desk.ended(Ending(stopped=True, last=True))
        except Exception:
            _log.exception("job %s: it ended without being noted", job.id)

    def _write_end(self, stop: Stop) -> None:
        match stop:
            case Stop.OVERTIME:
                self._jobs.abort(self._desk.job.id, _overtime(self._duration), runner=self._runner)
            case Stop.LEAVING:
                self._jobs.fail(self._desk.job.id, STOPPED, runner=self._runner)


STOPPED = Failure("TransientFault", "The service was stopped while this job ran. Send the job again.")


def _overtime(duration: int) -> Failure:
    return Failure(
        "UsageFault",
        f"The job ran longer than its execution duration of {duration} s and was stopped. "
        "Ask for a longer EXECUTIONDURATION, or for less.",
    )
