"""The one registrar: how files that belong together become registered, all of them or none.

Bytes first, truth second: files are staged, hashed and flushed, then they get their names, and then one
transaction of the ledger registers them together with all that is to be known of them. If anything fails before
that, nothing is left of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection

from archive.backbone import reserve
from archive.backbone.endpoint import Endpoint
from archive.backbone.further import Further, Places
from archive.backbone.steps import step
from archive.backbone.stores import Staged, Store
from archive.ledger import arrivals, files, replicas
from archive.ledger.files import Artifact
from archive.ledger.processes import living
from archive.ledger.replicas import MAIN, Place

T = TypeVar("T")

_SHORT = 8


class Arrival:
    """Files on their way in, all of which are registered by ``commit`` or none. A context manager.

    ``id`` tells when and by which process; folders for what comes in carry it, so that their owner can be found.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._attendance = endpoint.attend("ingest")
        self.id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{self._attendance.id[:_SHORT]}"
        self._arrival = arrivals.Arrival(self.id, self._attendance.id, endpoint.store.name, None)
        self._further = Further(endpoint, self._arrival)
        self._named: list[tuple[Staged, Artifact]] = []

    def __enter__(self) -> Self:
        self._attendance.begin()
        sweep_abandoned(self._endpoint)
        with self._endpoint.ledger.write() as transaction:
            for arrival in (self._arrival, *self._further.arrivals):
                arrivals.begin(transaction, arrival)
        return self

    def __exit__(self, *_: object) -> None:
        self._endpoint.store.leave(self._attendance.id)
        self._further.leave()
        with self._endpoint.ledger.write() as transaction:
            arrivals.end(transaction, [self.id, *self._further.ids])
        self._attendance.leave()

    def claim(self, size: int) -> None:
        """Claim room for ``size`` bytes in all.

        Raises:
            TransientFault: there is not so much room.
        """
        reserve.claim(self._endpoint, self._endpoint.store, self._arrival, size, new=False)
        self._further.claim(size, new=False)

    def copy(self, source: Path, progress: Callable[[int], None] = lambda size: None) -> Staged:
        """A byte-for-byte copy of ``source``, not yet named."""
        return self._endpoint.store.copy(source, self._attendance.id, progress)

    def stage(self) -> Staged:
        """A new file to be written, not yet named."""
        return self._endpoint.store.stage(self._attendance.id)

    def scratch(self) -> Path:
        """A folder for what does not fit into memory."""
        folder = self._endpoint.config.scratch_folder
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def process(self) -> str:
        """The process that brings them, as the ledger knows it."""
        return self._attendance.id

    def name(self, staged: Staged, path: str, media_type: str, *, called: str | None = None) -> Artifact:
        """Decide under which path ``staged`` is to be registered, and how it is ``called`` if not so."""
        staged.close()
        place = Place(MAIN, path)
        artifact = Artifact(self._endpoint.uri(quote(called or path)), staged.sha256, staged.size, media_type, place)
        self._named.append((staged, artifact))
        return artifact

    def commit(self, facts: Callable[[Connection], T], by: str | None = None, reason: str | None = None) -> T:
        """Give the named files their names and register them with all ``facts`` in one transaction.

        The log says that ``by`` did it, and the ``reason``.
        """
        placed = [artifact for _, artifact in self._named]
        self._endpoint.store.commit_all([(staged, artifact.here.path) for staged, artifact in self._named])
        elsewhere: Places = {}
        try:
            step("load.named")
            elsewhere = self._further.copy(placed)
            with self._endpoint.ledger.write(by, reason) as transaction:
                arrivals.check_own(transaction, self._arrival)
                for staged, artifact in self._named:
                    place = replace(artifact.here, fingerprint=staged.fingerprint)
                    number = files.add_artifact(transaction, replace(artifact, place=place))
                    self._further.register(transaction, elsewhere, {number: artifact})
                arrivals.note(transaction, self._endpoint.store.name, len(placed), sum(each.size for each in placed))
                found = facts(transaction)
                step("load.registering")
        except BaseException:
            self._withdraw(placed, elsewhere)
            raise
        step("load.registered")
        return found

    def _withdraw(self, placed: list[Artifact], elsewhere: Places) -> None:
        """Take back names that did not become facts; a commit whose outcome is unknown is looked up."""
        with self._endpoint.ledger.read() as transaction:
            orphans = [artifact for artifact in placed if not files.is_registered(transaction, artifact.uri)]
        for artifact in orphans:
            self._endpoint.store.delete(artifact.here.path)
        for store, path in self._further.unused(elsewhere, [artifact.uri for artifact in orphans]):
            store.delete(path)


def sweep_abandoned(endpoint: Endpoint) -> None:
    """Remove what processes left behind that died over files on their way in: staged, or named and not registered."""
    with endpoint.ledger.write() as transaction:
        left = arrivals.abandoned(transaction)
        alive = living(transaction)
    for store in {endpoint.store.name, *(each.store for each in left)} & endpoint.stores.keys():
        endpoint.stores[store].sweep(alive)
    for arrival in left:
        if arrival.folder is not None and arrival.store in endpoint.stores:
            remove_unregistered(endpoint, arrival.store, arrival.folder)
    if left:
        with endpoint.ledger.write() as transaction:
            arrivals.end(transaction, [arrival.id for arrival in left])


def remove_unregistered(endpoint: Endpoint, store: str, folder: str) -> None:
    """Remove the files in a folder of a store that the ledger knows nothing of."""
    with endpoint.ledger.read() as transaction:
        registered = replicas.paths(transaction, store, folder)
    for path in list(endpoint.stores[store].paths(folder)):
        if path not in registered:
            endpoint.stores[store].delete(path)


def sweep(endpoint: Endpoint, folder: str) -> None:
    """Remove files in ``folder`` of the store that got their names but were never registered, by a process now gone.

    The folders below it are called as the ``Arrival`` that made them.
    """
    for name in (MAIN, *endpoint.config.copies):
        _sweep(endpoint, endpoint.stores[name], folder)


def _sweep(endpoint: Endpoint, store: Store, folder: str) -> None:
    there = list(store.paths(folder))
    with endpoint.ledger.write() as transaction:
        arrivals.abandoned(transaction)  # who is dead now registers nothing any more, and only then it is looked up
        alive = {owner[:_SHORT] for owner in living(transaction)}
        registered = replicas.paths(transaction, store.name, folder)
    for path in there:
        made_by = path.removeprefix(f"{folder}/").partition("/")[0]
        if path not in registered and made_by.rpartition("-")[2] not in alive:
            store.delete(path)


def register(endpoint: Endpoint, source: Path, path: str, media_type: str) -> Artifact:
    """Register a copy of ``source`` under ``path``; the same bytes again change nothing.

    Raises:
        UsageFault: the source cannot be read, or the name is taken by other bytes.
    """
    with Arrival(endpoint) as arrival:
        artifact = arrival.name(arrival.copy(source), path, media_type)
        with endpoint.ledger.write() as transaction:
            if files.is_registered(transaction, artifact.uri):
                files.add_artifact(transaction, artifact)  # the same bytes, or a fault
                return artifact
        return arrival.commit(lambda transaction: artifact)
