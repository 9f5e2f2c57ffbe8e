"""Patience: checks read every byte there is, so they step back while somebody else needs the disk.

Who does is told by the ledger: each serving process says with its signs of life how many requests it was at work on, on
the average since the last one, and files on their way in claim their room. While there are any, checks work a tenth of
the time and rest for nine: so users and ingest have the disk, and checks never stop (they keep a floor, whatever users
ask).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from archive.faults import Fault
from archive.ledger import Ledger
from archive.ledger.underway import at_work

_LOOK = 2.0  # seconds between two looks at who is at work
_CALM = 0.2  # requests at work on the average that do no harm: monitors ask all the time
SHARE = 0.1
"""Of the time that checks work while others are at work."""
_LONGEST = 5.0  # seconds of one rest


class Patience:
    """Rests as is due, each time that a thread says it has done something. Safe for threads."""

    def __init__(
        self,
        others: Callable[[], float],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._others = others
        self._clock = clock
        self._sleep = sleep
        self._looked = float("-inf")
        self._crowded = False
        self._lock = threading.Lock()
        self._own = threading.local()
        self.rested = 0.0  # seconds, of all threads

    def begin(self) -> None:
        """This thread begins to work: until now it waited for something else."""
        self._own.since = self._clock()

    def step(self) -> None:
        """This thread has worked since it began or last rested; on return it may go on."""
        now = self._clock()
        worked, self._own.since = now - getattr(self._own, "since", now), now
        if not self._is_crowded(now):
            return
        rest = min(worked * (1 / SHARE - 1), _LONGEST)
        self._sleep(rest)
        with self._lock:
            self.rested += rest
        self._own.since = self._clock()

    def _is_crowded(self, now: float) -> bool:
        with self._lock:
            if now - self._looked >= _LOOK:
                self._looked = now
                self._crowded = self._others() > _CALM
            return self._crowded


def of(ledger: Ledger) -> Patience:
    """Patience with all who are at work on the archive of this ledger."""

    def others() -> float:
        try:
            with ledger.read() as transaction:
                return at_work(transaction)
        except Fault:
            return 1.0  # whoever keeps the ledger busy is at work

    return Patience(others)
