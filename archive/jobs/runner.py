"""``Runner``: takes jobs of one lane, one after the other, and has their tasks done."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

from sqlalchemy.exc import SQLAlchemyError

from archive.faults import FatalFault, Fault, TransientFault, UsageFault
from archive.jobs.desk import Desk, Ending, Pace, Watch
from archive.jobs.keeper import was_given_up
from archive.jobs.model import CONTROLS, Failure, Job, Lane
from archive.jobs.names import new_name
from archive.jobs.store import Jobs

_log = logging.getLogger(__name__)

_LOOK = 1.0  # seconds after which an idle runner looks for jobs although no bell rang

Task = Callable[[Desk], None]


class Runner:
    """One slot of a lane; lives in the main thread of a process of its own.

    ``tasks`` tells what to do for the jobs of each service. ``most`` is how many jobs of the lane may execute at
    once in the whole deployment. ``slow`` is called when a job has outstayed the short lane; the runner then leaves
    after that job. ``orphaned`` tells whether whoever started the runner is gone.
    """

    def __init__(
        self,
        jobs: Jobs,
        tasks: Mapping[str, Task],
        lane: Lane,
        *,
        pace: Pace | None = None,
        most: int | None = None,
        slow: Callable[[], None] = lambda: None,
        orphaned: Callable[[], bool] = lambda: False,
    ) -> None:
        self.name = new_name()
        self._jobs = jobs
        self._tasks = tasks
        self._lane = lane
        self._pace = pace or Pace()
        self._most = most
        self._slow = slow
        self._orphaned = orphaned
        self._leaving = False
        self._bell = jobs.bells.hang(self.name)

    def heed_signals(self) -> None:
        """Leave in good order on SIGTERM and SIGINT, even while the main thread is inside a database."""
        signal.set_wakeup_fd(self._bell.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._leave)

    def run(self) -> None:
        """Work until told to leave."""
        try:
            while not (self._leaving or self._orphaned()):
                if not self._stepped():
                    self._bell.wait(_LOOK)
        finally:
            self._bell.close()

    def step(self) -> bool:
        """Do the next job; false if there is none."""
        job = self._jobs.claim(self.name, self._lane, self._most)
        if job is None:
            return False
        self._do(job)
        return True

    def _stepped(self) -> bool:
        """As ``step``; a store that fails for a while (full, or out of reach) does not end the runner."""
        try:
            return self.step()
        except TransientFault as fault:
            _log.warning("runner %s: no look for jobs: %s", self.name, fault)
        except (SQLAlchemyError, Fault, OSError):
            _log.exception("runner %s: the job store failed; it will be tried again", self.name)
        return False

    def _do(self, job: Job) -> None:
        desk = Desk(self._jobs, job)
        watch = Watch(self._jobs, desk, self.name, self._bell, self._pace, self._outstayed, self._orphaned)
        with watch:
            failure = self._tried(desk)
            ours = self._written(lambda: self._ended(desk, failure))
        done = ours and failure is None
        if not done:
            self._jobs.discard(job)
        if ours or not was_given_up(self._jobs, job):
            desk.ended(Ending(failure, stopped=not ours or desk.stop is not None))
        _log.info("job %s: %s", job.id, "completed" if done else failure or desk.stop)

    def _ended(self, desk: Desk, failure: Failure | None) -> bool:
        """Write how the job ended; false if it was no longer ours."""
        if failure is None:
            return self._jobs.complete(desk.job.id, self.name, desk.products, desk.rows)
        return self._jobs.fail(desk.job.id, failure, runner=self.name)

    def _written(self, write: Callable[[], bool]) -> bool:
        """What ``write`` returns. While the store cannot be reached it is tried again: no work is lost meanwhile."""
        while True:
            try:
                return write()
            except (SQLAlchemyError, TransientFault) as error:
                if self._leaving or self._orphaned():
                    raise
                _log.warning("runner %s: the end of a job waits to be written: %s", self.name, error)
            time.sleep(_LOOK)

    def _tried(self, desk: Desk) -> Failure | None:
        """Why the task failed, or None. Once the job was stopped, what the task says is of no account."""
        try:
            _check_controls(desk.job)
            self._tasks[desk.job.service](desk)
        except Fault as fault:
            return Failure.of(fault)
        except Exception as error:
            return _incident(desk, error)
        return None

    def _outstayed(self) -> None:
        step_back()
        self._leaving = True
        self._slow()

    def _leave(self, number: int, frame: FrameType | None) -> None:
        self._leaving = True


def _check_controls(job: Job) -> None:
    """A control among the parameters made no sense when the job was created; it was no reason to refuse it then."""
    wrong = [parameter for parameter in job.parameters if parameter.name.upper() in CONTROLS]
    if wrong:
        raise UsageFault(
            f"{wrong[0].name}={wrong[0].value[:80]!r} makes no sense.",
            "PHASE can be RUN, RUNID has up to 64 characters, EXECUTIONDURATION is a number of seconds, "
            "DESTRUCTION a time such as 2026-01-31T12:00:00Z.",
        )


def _incident(desk: Desk, error: Exception) -> Failure:
    if desk.stop is None:
        _log.error("job %s failed", desk.job.id, exc_info=error)
    return Failure.of(
        FatalFault(f"The service failed (job {desk.job.id}).", "If it happens again, tell its operators this number.")
    )


def step_back(niceness: int = 10) -> None:
    """Let others go first: what takes long gets the processor when nothing short wants it."""
    threads = Path("/proc/self/task")  # on Linux each thread has a priority of its own
    for thread in threads.iterdir() if threads.is_dir() else ():
        with contextlib.suppress(OSError):  # it has just ended
            os.setpriority(os.PRIO_PROCESS, int(thread.name), niceness)
