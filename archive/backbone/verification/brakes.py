"""Brakes: what keeps a failing disk, or one that is not there, from being mended to death.

Two things stop all mending in a store and open an incident: more than 1 % failures among the last checks, and a store
that does not show its mark. Checks go on; what they find is still noted.
"""

from __future__ import annotations

import uuid
from collections import deque

from archive.backbone.endpoint import Endpoint
from archive.backbone.stores import Store
from archive.faults import Fault
from archive.ledger import events, incidents, rounds

WINDOW = 1000  # checks
SHARE = 0.01
LEAST = 5  # failures that always may be: in a small archive one file is more than its hundredth part
TRIPPED, AWAY = "brakes", "store-away"
_TRIED = 20  # copies of which one must be there in a store that has no mark yet


class Brake:
    """Counts failures among the last checks of one store."""

    def __init__(self, window: int = WINDOW, share: float = SHARE, least: int = LEAST) -> None:
        self._checks: deque[bool] = deque(maxlen=window)
        self._share = share
        self._least = least
        self.failed = 0
        self.tripped = False

    @property
    def checks(self) -> int:
        """How many checks are looked at."""
        return len(self._checks)

    def check(self, *, failed: bool) -> bool:
        """Count one check; True if with it the brake trips. It never comes off by itself."""
        if len(self._checks) == self._checks.maxlen:
            self.failed -= self._checks[0]
        self._checks.append(failed)
        self.failed += failed
        over = self.failed >= self._least and self.failed > self._share * len(self._checks)
        trips = over and not self.tripped
        self.tripped |= over
        return trips


def away(endpoint: Endpoint, store: Store, *, dry: bool = False) -> str | None:
    """Why a store is not the one that it is taken for, None if it is; an incident is opened, or closed.

    A store of which nothing is known gets its mark if one of its files lies in it, or none should.
    """
    why = _away(endpoint, store, dry=dry)
    if not dry:
        with endpoint.ledger.write() as transaction:
            if why is None:
                incidents.close_incident(transaction, AWAY, store.name)
            else:
                incidents.open_incident(transaction, AWAY, store.name, {"found": why})
    return why


def _away(endpoint: Endpoint, store: Store, *, dry: bool) -> str | None:
    with endpoint.ledger.read() as transaction:
        known = rounds.mark_of(transaction, store.name)
        some = rounds.by_path(transaction, store.name, "", _TRIED)
    try:
        found = store.mark()
        if found == known is not None:
            return None
        if known is not None:
            return "it has no mark" if found is None else f"its mark says '{found}' instead of '{known}'"
        if some and all(store.size(copy.path) is None for copy in some):
            return "it has no mark, and none of its files"
        if not dry:
            _adopt(endpoint, store, found)
    except Fault as fault:
        return str(fault)
    return None


def _adopt(endpoint: Endpoint, store: Store, found: str | None) -> None:
    """Give a store its mark, if it can be written; one that it has already is taken."""
    mark = found or f"{store.name} of {endpoint.site.authority}, {uuid.uuid4().hex[:12]}"
    if found is None:
        if not store.writable:
            return
        store.set_mark(mark)
    with endpoint.ledger.write() as transaction:
        if rounds.mark_of(transaction, store.name) is None:
            rounds.note_mark(transaction, store.name, mark)
            events.append(transaction, "store", {"store": store.name, "mark": mark})
