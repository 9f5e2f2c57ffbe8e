"""The one registrar: how bytes become registered files.

Bytes first, truth second: files are staged, hashed and flushed, then they get their names, and then one
transaction of the ledger registers them together with all that is to be known of them. If anything fails before
that, nothing is left of them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection

from archive.backbone.endpoint import Endpoint
from archive.backbone.stores import Staged
from archive.ledger import files, replicas
from archive.ledger.files import Artifact
from archive.ledger.processes import forget_silent, living
from archive.ledger.replicas import MAIN, Place

T = TypeVar("T")

_SHORT = 8


class Ingest:
    """Files on their way in, all of which are registered by ``commit`` or none. A context manager.

    ``id`` tells when and by which process; folders for what comes in carry it, so that their owner can be found.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._attendance = endpoint.attend("ingest")
        self.id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{self._attendance.id[:_SHORT]}"
        self._named: list[tuple[Staged, Artifact]] = []

    def __enter__(self) -> Self:
        self._attendance.begin()
        self._endpoint.store.sweep(_alive(self._endpoint))
        return self

    def __exit__(self, *_: object) -> None:
        self._endpoint.store.leave(self._attendance.id)
        self._attendance.leave()

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

    def name(self, staged: Staged, path: str, media_type: str) -> Artifact:
        """Decide under which path ``staged`` is to be registered."""
        staged.close()
        place = Place(MAIN, path)
        artifact = Artifact(self._endpoint.uri(quote(path)), staged.sha256, staged.size, media_type, place)
        self._named.append((staged, artifact))
        return artifact

    def commit(self, facts: Callable[[Connection], T]) -> T:
        """Give the named files their names and register them with all ``facts`` in one transaction."""
        placed: list[Artifact] = []
        try:
            for staged, artifact in self._named:
                staged.commit(artifact.path)
                placed.append(artifact)
            with self._endpoint.ledger.write() as transaction:
                for artifact in placed:
                    files.add_artifact(transaction, artifact)
                return facts(transaction)
        except BaseException:
            self._withdraw(placed)
            raise

    def _withdraw(self, placed: list[Artifact]) -> None:
        """Take back names that did not become facts; a commit whose outcome is unknown is looked up."""
        with self._endpoint.ledger.read() as transaction:
            orphans = [artifact for artifact in placed if not files.is_registered(transaction, artifact.uri)]
        for artifact in orphans:
            self._endpoint.store.delete(artifact.path)


def _alive(endpoint: Endpoint) -> set[str]:
    with endpoint.ledger.write() as transaction:
        forget_silent(transaction)
        return living(transaction)


def sweep(endpoint: Endpoint, folder: str) -> None:
    """Remove files in ``folder`` of the store that got their names but were never registered, by a process now gone.

    The folders below it are called as the ``Ingest`` that made them.
    """
    with endpoint.ledger.read() as transaction:
        registered = replicas.paths(transaction, MAIN, folder)
    orphans = [path for path in endpoint.store.paths(folder) if path not in registered]
    alive = {owner[:_SHORT] for owner in _alive(endpoint)} if orphans else set()
    for path in orphans:
        made_by = path.removeprefix(f"{folder}/").partition("/")[0]
        if made_by.rpartition("-")[2] not in alive:
            endpoint.store.delete(path)


def register(endpoint: Endpoint, source: Path, path: str, media_type: str) -> Artifact:
    """Register a copy of ``source`` under ``path``; the same bytes again change nothing.

    Raises:
        UsageFault: the source cannot be read, or the name is taken by other bytes.
    """
    with Ingest(endpoint) as ingest:
        artifact = ingest.name(ingest.copy(source), path, media_type)
        with endpoint.ledger.write() as transaction:
            if files.is_registered(transaction, artifact.uri):
                files.add_artifact(transaction, artifact)  # the same bytes, or a fault
                return artifact
        return ingest.commit(lambda transaction: artifact)
