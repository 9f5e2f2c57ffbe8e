"""Turns: how many statements one process computes at once, and that nobody takes them all.

A turn is held while the database computes, not while the client reads what came out of it. So a reader that stalls
takes nothing from anybody, and a long stream comes back for its turn piece by piece. What is long has turns of its
own: however much of it there is, what is short does not wait for it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from archive.engine.contract import Stop
from archive.faults import Fault, TransientFault

_WAITING = 500  # statements that may wait in one process; more would only wait in vain
_AFTER = 5  # seconds after which those who are turned away should try again


@dataclass(eq=False, slots=True)
class _Ticket:
    asker: str
    called: threading.Event = field(default_factory=threading.Event)
    granted: bool = False


class Turns:
    """``most`` turns at once, of them ``each`` for one asker; who comes first is served first. Safe for threads."""

    def __init__(self, most: int, each: int, patience: float) -> None:
        self._most = max(most, 1)
        self._each = min(max(each, 1), self._most)
        self._patience = patience
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()
        self._waiting: list[_Ticket] = []

    @contextmanager
    def taken(self, asker: str, stop: Stop, *, patient: bool = False) -> Iterator[None]:
        """A turn of ``asker``, waited for as long as the patience lasts; ``patient`` waits for as long as it takes.

        Raises:
            TransientFault: none came in time (503; 429 if it is for the asker's own other queries), or ``stop``
                was pulled meanwhile.
        """
        self._take(asker, stop, None if patient else self._patience)
        try:
            yield
        finally:
            self._give_back(asker)

    @property
    def under_way(self) -> int:
        """How many turns are taken."""
        with self._lock:
            return self._taken.total()

    @property
    def waiting(self) -> int:
        """How many wait for theirs."""
        return len(self._waiting)

    def _take(self, asker: str, stop: Stop, patience: float | None) -> None:
        ticket = _Ticket(asker)
        with self._lock:
            if patience is not None and len(self._waiting) >= _WAITING:
                raise self._refusal(asker)
            self._waiting.append(ticket)
            self._call()
        if not ticket.granted:
            stop.then(ticket.called.set)
            ticket.called.wait(patience)
            self._leave_queue(ticket, stop)

    def _leave_queue(self, ticket: _Ticket, stop: Stop) -> None:
        with self._lock:
            if ticket.granted:
                return
            self._waiting.remove(ticket)
            raise TransientFault("The query was stopped.") if stop.pulled else self._refusal(ticket.asker)

    def _give_back(self, asker: str) -> None:
        with self._lock:
            self._taken[asker] -= 1
            if not self._taken[asker]:
                del self._taken[asker]
            self._call()

    def _call(self) -> None:
        """Grant what can be granted, first come, first served; who has all the turns he may have is passed over."""
        free = self._most - self._taken.total()
        for ticket in list(self._waiting) if free else ():
            if self._taken[ticket.asker] < self._each:
                self._waiting.remove(ticket)
                self._taken[ticket.asker] += 1
                ticket.granted = True
                ticket.called.set()
                free -= 1
                if not free:
                    return

    def _refusal(self, asker: str) -> Fault:
        if self._taken[asker] >= self._each < self._most:
            return TransientFault(
                f"{self._each} other queries from your address are being answered.",
                "Wait for them to end, or send long queries as jobs (TAP: /async).",
                http=429,
                after=_AFTER,
            )
        return TransientFault(
            "The service is busy: too many queries are being answered.",
            "Try again in a moment, or send the query as a job (TAP: /async).",
            after=_AFTER,
        )
