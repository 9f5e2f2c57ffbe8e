"""``Copies``: the bytes of registered files, from copies that are known to be good.

Reading each file twice, once to check it and once to give it away, would halve what an archive can serve. So a whole
check notes the copy's fingerprint (of a file: inode, time of change and size). A copy that still has it is given away
as it is; one that has not is checked before or while its bytes go out, and so is, once a day, whatever is read whole.
A copy that fails is marked bad, with an incident, and never read for users again.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from archive.backbone.stores import CHUNK, Opened, Store
from archive.faults import FatalFault, Fault, NotFound, TransientFault
from archive.ledger import Ledger, holdings, incidents, replicas
from archive.ledger.holdings import Holding
from archive.ledger.replicas import Replica

_FRESH = timedelta(days=1)
_REMEMBERED = 10_000  # checks
_COME_AGAIN = 60  # seconds
_BY = "archive"
_log = logging.getLogger(__name__)


class _Bad(Exception):
    """A copy failed a check; the ledger knows."""


@dataclass(frozen=True, slots=True)
class _Check:
    """A whole check that a copy passed."""

    fingerprint: str
    when: datetime


class Reading:
    """Some bytes of a file on their way out. Close it at the end."""

    def __init__(self, opened: Opened, checking: _Checking | None = None) -> None:
        self.opened = opened
        self._checking = checking

    @property
    def is_checked(self) -> bool:
        """Whether the bytes are known to be good; else they have to go through ``pieces``, which finds out."""
        return self._checking is None

    def pieces(self) -> Iterator[bytes]:
        """The bytes, in pieces of about a megabyte. The last comes only if all are as registered.

        Raises:
            FatalFault: they are not; what was given before is worth nothing.
        """
        held = b""
        while piece := self.opened.read(CHUNK):
            if self._checking is not None:
                self._checking.feed(piece)
            if held:
                yield held
            held = piece
        if self._checking is not None:
            self._checking.end()
        if held:
            yield held

    def close(self) -> None:
        self.opened.close()


class Copies:
    """Reads files from the ``stores`` of an endpoint. Shared by all threads of a process."""

    def __init__(self, ledger: Ledger, stores: Mapping[str, Store]) -> None:
        self._ledger = ledger
        self._stores = stores
        self._checks: dict[tuple[int, str], _Check] = {}
        self._under_check: dict[tuple[int, str], threading.Lock] = {}
        self._lock = threading.Lock()

    def read(self, held: Holding, first: int, last: int) -> Reading:
        """The bytes ``first`` to ``last`` of a file, both included, from its first copy that is good.

        Raises:
            TransientFault: there is none here now.
        """
        for copy in held.copies:
            try:
                return self._read(held, copy, first, last)
            except _Bad:
                continue
            except NotFound:
                self._tell_missing(held, copy)
            except Fault as fault:
                _log.warning("%s in store %s: %s", held.uri, copy.place.store, fault)
        raise TransientFault(
            f"{held.uri} cannot be read here now: no good copy is at hand.", "Come again later.", after=_COME_AGAIN
        )

    def _read(self, held: Holding, copy: Replica, first: int, last: int) -> Reading:
        whole = (first, last) == (0, held.size - 1)
        opened = self._open(held, copy, first, last)
        try:
            known = self._known(copy)
            same = known is not None and known.fingerprint == opened.fingerprint
            if same and known is not None and (not whole or datetime.now(UTC) - known.when < _FRESH):
                return Reading(opened)
            if whole and held.size > CHUNK:
                return Reading(opened, _Checking(self, held, copy, opened.fingerprint))
        except BaseException:
            opened.close()
            raise
        opened.close()
        fingerprint = self._check(held, copy, opened.fingerprint)
        opened = self._open(held, copy, first, last)
        if opened.fingerprint != fingerprint:
            opened.close()
            raise TransientFault("It is being changed.")
        return Reading(opened)

    def _open(self, held: Holding, copy: Replica, first: int, last: int) -> Opened:
        """A copy opened; only one that has the right size."""
        place = copy.place
        store = self._stores.get(place.store)
        if store is None:
            raise FatalFault(f"There is no store '{place.store}'.", "See the setting stores.")
        offset = place.offset or 0
        opened = store.open(place.path, offset + first, offset + last)
        right = opened.size == held.size if place.offset is None else opened.size >= offset + held.size
        if not right:
            opened.close()
            self.condemn(held, copy, f"{opened.size} bytes instead of {offset + held.size}")
        return opened

    def _known(self, copy: Replica) -> _Check | None:
        """The last whole check of a copy, as this process or the ledger remembers it."""
        found = self._checks.get((copy.artifact, copy.place.store))
        place = copy.place
        if found is None and place.fingerprint is not None and copy.checked is not None:
            return _Check(place.fingerprint, datetime.fromisoformat(copy.checked))
        return found

    def _check(self, held: Holding, copy: Replica, fingerprint: str) -> str:
        """Check a copy whole, unless another thread just did; gives its fingerprint."""
        with self._alone(copy):
            known = self._known(copy)
            if known is not None and known.fingerprint == fingerprint and datetime.now(UTC) - known.when < _FRESH:
                return fingerprint
            opened = self._open(held, copy, 0, held.size - 1)
            with opened:
                checking = _Checking(self, held, copy, opened.fingerprint)
                while piece := opened.read(CHUNK):
                    checking.feed(piece)
            try:
                checking.end()
            except FatalFault:
                raise _Bad from None
            return opened.fingerprint

    @contextmanager
    def _alone(self, copy: Replica) -> Iterator[None]:
        key = (copy.artifact, copy.place.store)
        with self._lock:
            lock = self._under_check.setdefault(key, threading.Lock())
        try:
            with lock:
                yield
        finally:
            with self._lock:
                self._under_check.pop(key, None)

    # --- verdicts ---------------------------------------------------------------------------------

    def acquit(self, held: Holding, copy: Replica, fingerprint: str) -> None:
        """Note that a copy was found right. The ledger hears of it if it can; it is not worth failing for."""
        with self._lock:
            if len(self._checks) >= _REMEMBERED:
                self._checks.clear()
            self._checks[copy.artifact, copy.place.store] = _Check(fingerprint, datetime.now(UTC))
        try:
            with self._ledger.write(by=_BY) as transaction:
                holdings.note_checked(transaction, copy, fingerprint)
        except Fault as fault:
            _log.warning("the check of %s is not noted: %s", held.uri, fault)

    def condemn(self, held: Holding, copy: Replica, found: str) -> None:
        """Mark a copy bad.

        Raises:
            _Bad: always.
        """
        _log.error("bad copy of %s in store %s: %s", held.uri, copy.place.store, found)
        with self._lock:
            self._checks.pop((copy.artifact, copy.place.store), None)
        with self._ledger.write(by=_BY, reason="a check while it was read") as transaction:
            replicas.mark_bad(transaction, copy.artifact, copy.place.store, found)
        raise _Bad

    def _tell_missing(self, held: Holding, copy: Replica) -> None:
        """A file that is not found may lie on a disk that is not mounted: that is for people to decide."""
        _log.error("no copy of %s in store %s, where one should be", held.uri, copy.place.store)
        with self._ledger.write(by=_BY) as transaction:
            where = {"store": copy.place.store, "path": copy.place.path}
            incidents.open_incident(transaction, "missing-copy", held.uri, where)


class _Checking:
    """The check of a copy whose bytes pass by from the first to the last."""

    def __init__(self, copies: Copies, held: Holding, copy: Replica, fingerprint: str) -> None:
        self._copies = copies
        self._held = held
        self._copy = copy
        self._fingerprint = fingerprint
        self._digest = hashlib.sha256()
        self._size = 0

    def feed(self, piece: bytes) -> None:
        self._digest.update(piece)
        self._size += len(piece)

    def end(self) -> None:
        """All bytes have passed.

        Raises:
            TransientFault: they are not all; that says nothing of the copy.
            FatalFault: they are not those registered.
        """
        if self._size < self._held.size:
            raise TransientFault(f"The store gave {self._held.uri} only in part.", "Ask for it again.")
        found = self._digest.hexdigest()
        if found == self._held.sha256:
            self._copies.acquit(self._held, self._copy, self._fingerprint)
            return
        try:
            self._copies.condemn(self._held, self._copy, f"sha256 {found}")
        except _Bad:
            raise FatalFault(f"The copy of {self._held.uri} is damaged.", "Ask for it again.") from None
