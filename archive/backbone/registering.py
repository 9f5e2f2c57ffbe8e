"""The end of an ingest: received files are flushed, get their names, and become facts in one short transaction."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from archive.backbone.activities import doings
from archive.backbone.endpoint import Endpoint
from archive.backbone.further import Further, Places
from archive.backbone.receiving import Outcome, Received, Status
from archive.backbone.registrar import remove_unregistered
from archive.backbone.returning import returned
from archive.backbone.sources import Stored
from archive.backbone.steps import step
from archive.backbone.stores import Store
from archive.faults import Fault, UsageFault
from archive.ledger import activities, arrivals, contents, events, files, losses, observations, products, replicas
from archive.ledger.arrivals import Arrival
from archive.ledger.events import Json
from archive.ledger.files import Artifact, Known
from archive.ledger.replicas import Place

_SIDE_BY_SIDE = 8


@dataclass(frozen=True, slots=True)
class Who:
    """On whose behalf files are registered, and why if they said so."""

    by: str | None = None
    reason: str | None = None


@dataclass(slots=True)
class _Sorted:
    """A batch as the ledger sees it: new files, those whose copy is restored, and those that change nothing."""

    new: list[Received] = field(default_factory=list)
    restored: dict[int, Received] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)


class Registering:
    """Registers the batches of one arrival."""

    def __init__(self, endpoint: Endpoint, arrival: Arrival, who: Who) -> None:
        self.further = Further(endpoint, arrival)
        self._elsewhere: Places = {}  # further copies of the batch at hand
        self._endpoint = endpoint
        self._arrival = arrival
        self._who = who
        self._store = endpoint.stores[arrival.store]
        self.seconds = 0.0  # that the last transaction took

    def finish(self, received: Sequence[Received], claimed: int | None) -> list[Outcome]:
        """Register a batch; afterwards the arrival claims so many bytes, or is over if that is None.

        Raises:
            TransientFault: the process was taken for dead.
            FatalFault: the store or the ledger fails; nothing of the batch is left.
        """
        step("ingest.staged")
        try:
            placed = self._place(received)
            step("ingest.named")
            begun = time.monotonic()
            found, left = self._register(placed, claimed)
            self.seconds = time.monotonic() - begun
        except BaseException:
            self._withdraw()
            raise
        step("ingest.registered")
        for store, path in left:
            store.delete(path)
        return found

    def _place(self, received: Sequence[Received]) -> list[Received]:
        """Flush the files and give them their names; what lay in a store already stays where it is."""
        staged = [(each, self._path(each)) for each in received if each.staged is not None]
        self._store.commit_all([(each.staged, path) for each, path in staged if each.staged is not None])
        places = {
            id(each): Place(self._store.name, path, fingerprint=each.staged.fingerprint)
            for each, path in staged
            if each.staged is not None
        }
        adopted = [(each, each.request.source) for each in received if isinstance(each.request.source, Stored)]
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as threads:
            list(threads.map(lambda source: source.store.secure(source.path), [source for _, source in adopted]))
        places |= {id(each): Place(source.store.name, source.path, adopted=True) for each, source in adopted}
        placed = [replace(each, artifact=replace(each.artifact, place=places.get(id(each)))) for each in received]
        self._elsewhere = self.further.copy([each.artifact for each in placed if each.staged is not None])
        return placed

    def _path(self, received: Received) -> str:
        return f"{self._arrival.folder}/{received.request.path}"

    def _register(
        self, placed: Sequence[Received], claimed: int | None
    ) -> tuple[list[Outcome], list[tuple[Store, str]]]:
        """What became of each, and the files that are needed no more."""
        with self._endpoint.ledger.write(self._who.by, self._who.reason) as transaction:
            arrivals.check_own(transaction, self._arrival)
            known = files.find(transaction, [each.artifact.uri for each in placed])
            found = _sort(placed, known, _refusals(transaction, placed))
            self._add_new(transaction, found.new)
            left = self._restore(transaction, found.restored)
            if claimed is None:
                arrivals.end(transaction, [self._arrival.id, *self.further.ids])
            else:
                for arrival in (self._arrival.id, *self.further.ids):
                    arrivals.claim(transaction, arrival, claimed)
            step("ingest.registering")
        used = {id(each) for each in (*found.new, *found.restored.values())}
        unused = [each.artifact for each in placed if id(each) not in used]
        places = (each.place for each in unused)
        left += [(self._store, place.path) for place in places if place and not place.adopted]
        left += self.further.unused(self._elsewhere, [each.uri for each in unused])
        return found.outcomes, left

    def _add_new(self, transaction: Connection, new: Sequence[Received]) -> None:
        told = [(each.artifact, _facts(each)) for each in new]
        numbers = files.add_new(transaction, told)
        known = {number: each.product for number, each in zip(numbers, new, strict=True) if each.product is not None}
        products.add(transaction, known)
        given = {number: each.request.terms.activity for number, each in zip(numbers, new, strict=True)}
        activities.record(transaction, doings(known, given, self._endpoint.site.authority))
        seen = {number: each.observed for number, each in zip(numbers, new, strict=True) if each.observed is not None}
        observations.add(transaction, seen)
        here = {number: each.artifact for number, each in zip(numbers, new, strict=True)}
        self.further.register(transaction, self._elsewhere, here)
        self._note(transaction, (each.artifact for each in new))

    def _restore(self, transaction: Connection, restored: dict[int, Received]) -> list[tuple[Store, str]]:
        """Files that have a good copy again; returns the copies that they had, for removal."""
        if not restored:
            return []
        places = {number: each.artifact.place for number, each in restored.items() if each.artifact.place}
        before = replicas.of(transaction, places)
        replicas.add(transaction, places)
        here = {number: each.artifact for number, each in restored.items()}
        self.further.register(transaction, self._elsewhere, here)
        now = {
            number: {place.store: place.path for place in (*self._elsewhere.get(each.artifact.uri, ()), places[number])}
            for number, each in restored.items()
            if number in places
        }
        returned(self._endpoint, transaction, here)
        losses.found_again(transaction, restored)
        for each in restored.values():
            events.append(transaction, "restore", {"uri": each.artifact.uri})
        self._note(transaction, (each.artifact for each in restored.values()))
        return [
            (self._endpoint.stores[copy.place.store], copy.place.path)
            for number, copies in before.items()
            for copy in copies
            if now[number].get(copy.place.store, copy.place.path) != copy.place.path
            if not copy.place.adopted and copy.place.bundle is None
        ]

    def _note(self, transaction: Connection, came: Iterable[Artifact]) -> None:
        sizes = [each.size for each in came if each.place is not None and not each.place.adopted]
        if sizes:
            arrivals.note(transaction, self._store.name, len(sizes), sum(sizes))

    def _withdraw(self) -> None:
        """Take back names that did not become facts; a commit whose outcome is unknown is looked up."""
        for arrival in (self._arrival, *self.further.arrivals):
            if arrival.folder is not None:
                remove_unregistered(self._endpoint, arrival.store, arrival.folder)


def _facts(received: Received) -> dict[str, Json]:
    """What the event of a new file tells of it."""
    facts = received.product.facts() if received.product else {}
    return facts | ({"coverage": received.observed.facts} if received.observed else {})


def taken_places(transaction: Connection, artifacts: Iterable[Artifact]) -> dict[str, UsageFault]:
    """Of files that lie in a store already: why those cannot be registered whose bytes are another file's there."""
    by_store: dict[str, dict[str, str]] = {}
    for each in artifacts:
        if each.place is not None and each.place.adopted:
            by_store.setdefault(each.place.store, {})[each.uri] = each.place.path
    found: dict[str, UsageFault] = {}
    for store, paths in by_store.items():
        owners = replicas.owners(transaction, store, list(paths.values()))
        for uri, path in paths.items():
            if owners.setdefault(path, uri) != uri:
                found[uri] = UsageFault(
                    f"{store}:{path} is registered already, as {owners[path]}.",
                    "A file in a store has one name: leave out --adopt to have a copy under another one.",
                    http=409,
                )
    return found


def _refusals(transaction: Connection, placed: Sequence[Received]) -> Mapping[str, Fault]:
    """Why those of these files, by their URIs, cannot be registered whose names are new."""
    shut = contents.closed(transaction, {each.request.terms.release for each in placed})
    closed = {each.artifact.uri: shut.get(each.request.terms.release) for each in placed}
    found: dict[str, Fault] = {uri: fault for uri, fault in closed.items() if fault is not None}
    return found | taken_places(transaction, [each.artifact for each in placed])


def _sort(placed: Sequence[Received], known: dict[str, Known], refusals: Mapping[str, Fault]) -> _Sorted:
    found = _Sorted()
    for each in placed:
        before = known.get(each.artifact.uri)
        fault = files.refusal(before, each.artifact) if before is not None else refusals.get(each.artifact.uri)
        if fault is not None:
            status = Status.REFUSED
        elif before is None:
            found.new.append(each)
            status = Status.NEW
        elif before.artifact.place is None and each.artifact.place is not None:
            found.restored[before.id] = each
            status = Status.RESTORED
        else:
            status = Status.KNOWN
        artifact = before.artifact if before is not None and status is Status.KNOWN else each.artifact
        found.outcomes.append(Outcome(each.request, each.artifact.uri, status, None if fault else artifact, fault))
    return found
