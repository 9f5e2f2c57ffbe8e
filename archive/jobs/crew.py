"""``Crew``: the process that keeps the runners of both lanes going, and the rules that keep jobs from getting stuck."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import FrameType

from sqlalchemy.exc import SQLAlchemyError

from archive.faults import Fault, TransientFault
from archive.jobs.desk import DEAF, Pace
from archive.jobs.keeper import Keeper
from archive.jobs.model import Job, Lane
from archive.jobs.runner import Runner, Task, step_back
from archive.jobs.store import Jobs

_log = logging.getLogger(__name__)

_ROUND = 1.0  # seconds between two looks at everything
_YOUNG = 5.0  # a runner that dies before this age is not replaced at once
_SLOWED = b"s"
_ORDERS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many runners each lane has."""

    short: int = 2
    long: int = 1


@dataclass(slots=True)
class _Slot:
    """A runner process: its lane, the pipe it reports by, when it began."""

    lane: Lane
    pipe: int
    born: float
    slowed: bool = False


class Crew:
    """Starts runners as child processes, replaces those that end, and keeps the house in order.

    ``open_jobs(pooled)`` opens the store and ``tasks()`` whatever tasks need; both are called anew in each process,
    since no connection survives a fork. The crew itself holds no connection open and has one thread. ``parent`` is
    the process whose end ends the crew. ``ended`` is told of each runner process that has ended, however it did,
    ``gave_up`` of each job whose runner is gone.

    A runner whose job outstays the short lane goes on in the long lane, and another takes its place in the short
    one; so a short job finds a runner although its lane was misjudged for others. At most as many as the short lane
    has runners are out like that at a time.
    """

    def __init__(
        self,
        open_jobs: Callable[[bool], Jobs],
        tasks: Callable[[], AbstractContextManager[Mapping[str, Task]]],
        *,
        sizes: Sizes | None = None,
        pace: Pace | None = None,
        parent: int | None = None,
        ended: Callable[[int], None] = lambda process: None,
        gave_up: Callable[[Job], None] = lambda job: None,
    ) -> None:
        self._open_jobs = open_jobs
        self._tasks = tasks
        self._ended = ended
        self._gave_up = gave_up
        self._sizes = sizes or Sizes()
        self._pace = pace or Pace()
        self._parent = parent
        self._slots: dict[int, _Slot] = {}
        self._leaving = False
        self._failures = 0
        self._rest_until = 0.0

    def work(self) -> None:
        """Work until told to leave (SIGTERM, SIGINT) or until the parent is gone; then all runners have ended."""
        awake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (*_ORDERS, signal.SIGCHLD):
            signal.signal(number, self._note)
        keeper = Keeper(self._open_jobs(False), self._pace.lease, gave_up=self._gave_up)
        try:
            while not self._leaving and not orphaned(self._parent):
                self._fill()
                self._listen(awake)
                self._bury(keeper)
                _guarded(keeper.round)
        finally:
            self._dismiss(keeper)

    # --- slots --------------------------------------------------------------------------------------

    def _fill(self) -> None:
        if time.monotonic() < self._rest_until:
            return
        slots = self._slots.values()
        slowed = sum(slot.slowed for slot in slots)
        short = sum(slot.lane is Lane.SHORT and not slot.slowed for slot in slots)
        for _ in range(self._sizes.short - short - max(0, slowed - self._sizes.short)):
            self._start(Lane.SHORT)
        for _ in range(self._sizes.long - sum(slot.lane is Lane.LONG for slot in slots)):
            self._start(Lane.LONG)

    def _start(self, lane: Lane) -> None:
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        sys.stdout.flush()
        sys.stderr.flush()
        signal.pthread_sigmask(signal.SIG_BLOCK, _ORDERS)  # what comes before the runner can heed it waits until then
        crew, process = os.getpid(), os.fork()
        if process == 0:
            self._be_runner(lane, writing, crew)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ORDERS)
        os.close(writing)
        self._slots[process] = _Slot(lane, reading, time.monotonic())

    def _be_runner(self, lane: Lane, report: int, crew: int) -> None:
        """The life of a child process; never returns."""
        status = os.EX_SOFTWARE
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for slot in self._slots.values():
                os.close(slot.pipe)
            self._run(lane, report, crew)
            status = os.EX_OK
        except BaseException:
            _log.exception("a runner of the %s lane fails", lane)
        finally:
            logging.shutdown()
            os._exit(status)

    def _run(self, lane: Lane, report: int, crew: int) -> None:
        if lane is Lane.LONG:
            step_back()
        with contextlib.closing(self._open_jobs(True)) as jobs, self._tasks() as tasks:
            runner = Runner(
                jobs,
                tasks,
                lane,
                pace=self._pace,
                most=self._sizes.long if lane is Lane.LONG else None,
                slow=lambda: _report(report, _SLOWED),
                orphaned=lambda: orphaned(crew),
            )
            runner.heed_signals()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ORDERS)
            runner.run()

    # --- rounds -------------------------------------------------------------------------------------

    def _listen(self, awake: int) -> None:
        """Sleep until a runner reports or ends, or a signal comes, or it is time for a round."""
        reports = {slot.pipe: slot for slot in self._slots.values() if not slot.slowed}
        ready, _, _ = select.select([awake, *reports], [], [], _ROUND)
        for pipe in ready:
            told = os.read(pipe, 4096)
            if pipe in reports and _SLOWED in told:
                reports[pipe].slowed = True

    def _bury(self, keeper: Keeper) -> None:
        """Take ended runners off the list; what they held has failed."""
        for process in list(self._slots):
            ended, status = os.waitpid(process, os.WNOHANG)
            if not ended:
                continue
            slot = self._slots.pop(process)
            os.close(slot.pipe)
            self._settle(process, keeper)
            self._think_over(slot, os.waitstatus_to_exitcode(status))

    def _settle(self, process: int, keeper: Keeper) -> None:
        """A runner has ended: what it held has failed, and nobody counts it among the living."""
        _guarded(lambda: keeper.lost(process))
        _guarded(lambda: self._ended(process))

    def _think_over(self, slot: _Slot, code: int) -> None:
        """Runners that die young, one after the other, are replaced ever more slowly."""
        if code in (os.EX_OK, DEAF) or time.monotonic() - slot.born > _YOUNG:
            self._failures = 0
            return
        self._failures += 1
        self._rest_until = time.monotonic() + min(30.0, 0.1 * 2**self._failures)
        _log.warning("a runner of the %s lane ended with %d", slot.lane, code)

    def _dismiss(self, keeper: Keeper) -> None:
        """Tell all runners to leave; end those that do not in time."""
        for process in self._slots:
            os.kill(process, signal.SIGTERM)
        deadline = time.monotonic() + self._pace.grace + 2
        while self._slots and time.monotonic() < deadline:
            time.sleep(0.02)
            self._bury(keeper)
        for process in self._slots:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            self._settle(process, keeper)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._leaving = self._leaving or number != signal.SIGCHLD


def orphaned(parent: int | None) -> bool:
    """Whether process ``parent``, which started this one, is gone."""
    return parent is not None and os.getppid() != parent


def _report(pipe: int, word: bytes) -> None:
    with contextlib.suppress(OSError):  # the crew is gone
        os.write(pipe, word)


def _guarded(duty: Callable[[], None]) -> None:
    """A database that fails for a while must not end the crew."""
    try:
        duty()
    except TransientFault as fault:
        _log.warning("keeping jobs in order has to wait: %s", fault)
    except (Fault, SQLAlchemyError, OSError):
        _log.exception("keeping jobs in order failed; it will be tried again")
