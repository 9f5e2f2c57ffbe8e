"""Mending: copies that are bad or absent are made again from good bytes.

A copy is made under a new name beside the bad one, and its digest compared. When it is registered, in one transaction,
the bad one is removed: there is no moment at which fewer good bytes are there than before. What was adopted is never
removed. What nobody has is told, and stays as it is: no step here gives up a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Self

from archive.backbone import reserve
from archive.backbone.endpoint import Endpoint
from archive.backbone.registrar import sweep_abandoned
from archive.backbone.steps import step
from archive.backbone.stores import Staged, Store
from archive.backbone.verification.sources import Source
from archive.faults import Fault
from archive.ledger import arrivals, events, incidents, losses, replicas, rounds
from archive.ledger.arrivals import Arrival
from archive.ledger.replicas import Has, Place
from archive.ledger.rounds import Copy

_FOLDER = "mended"
_PAGE = 500
_UNMENDED = "not-mended"


@dataclass(frozen=True, slots=True)
class Mended:
    """A copy that is good again, or would be: from which source, and in which store it lies now."""

    copy: Copy
    source: str
    store: str


@dataclass(frozen=True, slots=True)
class Unmended:
    """A copy that could not be made again, and why."""

    copy: Copy
    why: str


Outcome = Mended | Unmended


def foresee(endpoint: Endpoint, store: Store, sources: Sequence[Source], found: Sequence[Copy]) -> Iterator[Outcome]:
    """What ``mend`` would do, if copies that were ``found`` bad or absent just now were known as such."""
    for copy in (*_wanting(endpoint, store), *found):
        yield _foreseen(copy, sources)


def mend(endpoint: Endpoint, store: Store, sources: Sequence[Source]) -> Iterator[Outcome]:
    """Make all copies of a store again that are bad or absent and wanted; what became of each, as it becomes so."""
    after = -1
    with _Workshop(endpoint) as workshop:
        while True:
            with endpoint.ledger.read() as transaction:
                page = rounds.wanting(transaction, store.name, after, _PAGE)
            for copy in page:
                yield workshop.mend(copy, store, sources)
            if len(page) < _PAGE:
                return
            after = page[-1].replica.artifact


def _wanting(endpoint: Endpoint, store: Store) -> Iterator[Copy]:
    after, page = -1, list[Copy]()
    while after < 0 or len(page) == _PAGE:
        with endpoint.ledger.read() as transaction:
            page = list(rounds.wanting(transaction, store.name, after, _PAGE))
        yield from page
        after = page[-1].replica.artifact if page else 0


def _foreseen(copy: Copy, sources: Sequence[Source]) -> Outcome:
    source = next((source for source in sources if source.has(copy)), None)
    return Unmended(copy, _nobody()) if source is None else Mended(copy, source.name, copy.store)


def _nobody() -> str:
    return "nobody has its bytes"


class _Workshop:
    """Where copies are made: a living process with an arrival for each of them. A context manager."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._ledger = endpoint.ledger
        self._attendance = endpoint.attend("verify")
        self._numbers = count(1)

    def __enter__(self) -> Self:
        self._attendance.begin()
        sweep_abandoned(self._endpoint)
        return self

    def __exit__(self, *_: object) -> None:
        for store in self._endpoint.stores.values():
            if store.writable:
                store.leave(self._attendance.id)
        self._attendance.leave()

    def mend(self, copy: Copy, store: Store, sources: Sequence[Source]) -> Outcome:
        """Make one copy again; in the main store if its own takes none."""
        target = store if store.writable else self._endpoint.store
        if target is not store and self._is_kept(copy, target):
            return Unmended(copy, f"the store '{store.name}' is read-only, and others have it")
        why = _nobody()
        for source in (source for source in sources if source.has(copy)):
            try:
                if self._mended(copy, target, source):
                    return Mended(copy, source.name, target.name)
                why = f"{source.name} gave other bytes"
            except Fault as fault:
                why = f"{source.name}: {fault.message}"
        self._tell(copy, why)
        return Unmended(copy, why)

    def _is_kept(self, copy: Copy, target: Store) -> bool:
        with self._ledger.read() as transaction:
            copies = replicas.of(transaction, [copy.replica.artifact])[copy.replica.artifact]
        return any(each.place.store == target.name or each.has is Has.PRESENT for each in copies)

    def _tell(self, copy: Copy, why: str) -> None:
        with self._ledger.write() as transaction:
            if not losses.are(transaction, [copy.replica.artifact]):
                incidents.open_incident(transaction, _UNMENDED, copy.uri, {"store": copy.store, "found": why})

    def _mended(self, copy: Copy, target: Store, source: Source) -> bool:
        time = datetime.now(UTC)
        mark = f"{time:%H%M%S}-{self._attendance.id[:8]}-{next(self._numbers)}"
        arrival = Arrival(
            f"{time:%Y%m%dT}{mark}", self._attendance.id, target.name, f"{_FOLDER}/{time:%Y-%m-%d}/{mark}"
        )
        reserve.claim(self._endpoint, target, arrival, copy.size, new=True)
        try:
            staged = source.fetch(copy, lambda: target.stage(self._attendance.id))
            if staged is None:
                return False
            try:
                return self._placed(copy, target, source, arrival, staged)
            finally:
                staged.discard()
        finally:
            with self._ledger.write() as transaction:
                arrivals.end(transaction, [arrival.id])

    def _placed(self, copy: Copy, target: Store, source: Source, arrival: Arrival, staged: Staged) -> bool:
        if (staged.sha256, staged.size) != (copy.sha256, copy.size):
            return False
        path = f"{arrival.folder}/{_own_name(copy.path)}"
        staged.commit(path)
        step("mend.named")
        try:
            registered = self._register(copy, source, arrival, Place(target.name, path, fingerprint=staged.fingerprint))
        except BaseException:
            self._withdraw(copy, target, path)
            raise
        step("mend.registered")
        if not registered:
            target.delete(path)
        elif target.name == copy.store and copy.replica.has is Has.BAD and not copy.replica.place.adopted:
            target.delete(copy.path)
        return registered

    def _register(self, copy: Copy, source: Source, arrival: Arrival, place: Place) -> bool:
        """Let the new copy be the copy, unless somebody else changed it meanwhile."""
        artifact = copy.replica.artifact
        with self._ledger.write() as transaction:
            arrivals.check_own(transaction, arrival)
            now = rounds.again(transaction, copy)
            if now is None or now.replica.has is Has.PRESENT or now.replica.want is not copy.replica.want:
                return False
            replicas.add(transaction, {artifact: place})
            if place.store == copy.store:
                replicas.move_members(transaction, artifact, place.store, place.path)
            arrivals.note(transaction, place.store, 1, copy.size)
            events.append(transaction, "mend", {"uri": copy.uri, "store": place.store, "source": source.name})
            losses.found_again(transaction, [artifact])
            step("mend.registering")
        return True

    def _withdraw(self, copy: Copy, target: Store, path: str) -> None:
        """Take back a name that did not become a fact; a commit whose outcome is unknown is looked up."""
        with self._ledger.read() as transaction:
            named = replicas.owners(transaction, target.name, [path])
        if not named:
            target.delete(path)


def _own_name(path: str) -> str:
    """The path that a file had before it was mended for the first time."""
    steps = path.split("/")
    return "/".join(steps[3:]) if steps[0] == _FOLDER and len(steps) > 3 else path
