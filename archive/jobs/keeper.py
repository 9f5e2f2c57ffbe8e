"""``Keeper``: the automatic way out of every state that would otherwise last (design section 4, rule 8)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from archive.faults import NotFound
from archive.jobs.model import Failure, Job
from archive.jobs.names import is_of
from archive.jobs.store import Jobs

_log = logging.getLogger(__name__)

_STRAYS_EVERY = 600.0  # seconds

LOST = Failure("TransientFault", "The process that ran this job ended unexpectedly. Send the job again.")


def was_given_up(jobs: Jobs, job: Job) -> bool:
    """Whether a keeper has ended ``job`` for want of its runner."""
    try:
        return jobs.get(job.id).failure == LOST
    except NotFound:  # deleted
        return False


class Keeper:
    """Ends jobs whose runner died and destroys jobs whose time has come. Any number of keepers may work at once.

    A lease counts as over when the keeper itself has seen no beat for ``lease`` seconds of its own clock: clocks of
    other machines do not matter, and a laptop that slept does not lose its jobs. ``gave_up`` is told of each job that
    was ended for want of its runner: by one keeper only, however many there are.
    """

    def __init__(
        self,
        jobs: Jobs,
        lease: float,
        clock: Callable[[], float] = time.monotonic,
        gave_up: Callable[[Job], None] = lambda job: None,
    ) -> None:
        self._jobs = jobs
        self._lease = lease
        self._gave_up = gave_up
        self._clock = clock
        self._seen: dict[str, tuple[tuple[str, int], float]] = {}
        self._strays_at = clock()

    def round(self) -> None:
        """Look once; to be called every second or so."""
        self._end_leases()
        for job in self._jobs.overdue():
            _log.info("job %s is destroyed: its time has come", job)
            self._jobs.delete(job)
        if self._clock() >= self._strays_at:
            self._strays_at = self._clock() + _STRAYS_EVERY
            for job in self._jobs.folders.strays(self._jobs.known):
                self._jobs.folders.remove(job)

    def lost(self, process: int) -> None:
        """A runner process of this machine is known to have died: end what it held."""
        for job, (runner, _) in self._jobs.beats().items():
            if is_of(runner, process):
                self._end(job, runner)

    def _end_leases(self) -> None:
        seen, self._seen = (
            self._seen,
            {},
        )  # what could not be looked at counts from the next look
        now, beats = self._clock(), self._jobs.beats()
        self._seen = {
            job: (beat, seen[job][1]) if job in seen and seen[job][0] == beat else (beat, now)
            for job, beat in beats.items()
        }
        for job, ((runner, _), since) in self._seen.items():
            if now - since >= self._lease:
                self._end(job, runner)

    def _end(self, job: str, runner: str) -> None:
        if self._jobs.fail(job, LOST, runner=runner):
            _log.warning("job %s: runner %s is gone", job, runner)
            ended = self._jobs.get(job)
            self._jobs.discard(ended)
            self._gave_up(ended)
