"""Further copies: what comes in lies in several stores before anybody is told that it is kept (DMS-DBB-REQ-0019).

The setting ``copies`` names stores beside ``main``. Each takes a copy of every file that is brought in, read back from
the first, checked against its digest, flushed and under its name, before the transaction that registers the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Connection

from archive.backbone import reserve
from archive.backbone.endpoint import Endpoint
from archive.backbone.stores import Staged, Store
from archive.faults import FatalFault
from archive.ledger import arrivals, replicas
from archive.ledger.arrivals import Arrival
from archive.ledger.files import Artifact
from archive.ledger.replicas import Place

_SIDE_BY_SIDE = 8

Places = Mapping[str, Sequence[Place]]
"""Where further copies of files lie, by their URIs."""


class Further:
    """The further copies of one arrival, which has an arrival of its own in each of their stores."""

    def __init__(self, endpoint: Endpoint, arrival: Arrival) -> None:
        self._endpoint = endpoint
        self._main = endpoint.stores[arrival.store]
        self._process = arrival.process
        self._stores = [endpoint.stores[name] for name in endpoint.config.copies]
        self.arrivals = tuple(
            Arrival(f"{arrival.id}@{store.name}", arrival.process, store.name, arrival.folder) for store in self._stores
        )

    @property
    def ids(self) -> list[str]:
        return [arrival.id for arrival in self.arrivals]

    def claim(self, size: int, *, new: bool) -> None:
        """Claim room for ``size`` bytes in each store.

        Raises:
            TransientFault: one of them has not so much.
        """
        for store, arrival in zip(self._stores, self.arrivals, strict=True):
            reserve.claim(self._endpoint, store, arrival, size, new=new)

    def copy(self, artifacts: Sequence[Artifact]) -> Places:
        """Copy files that have their names in the first store to the others; on return all copies are safe.

        Raises:
            FatalFault: a store fails, or what was read back is not what was written.
        """
        found: dict[str, list[Place]] = {artifact.uri: [] for artifact in artifacts}
        try:
            for store in self._stores if artifacts else ():
                for artifact, place in zip(artifacts, self._copied(artifacts, store), strict=True):
                    found[artifact.uri].append(place)
        except BaseException:
            for store, path in self.unused(found, found):
                store.delete(path)
            raise
        return found

    def _copied(self, artifacts: Sequence[Artifact], store: Store) -> list[Place]:
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as threads:
            staged = list(threads.map(lambda artifact: self._staged(artifact, store), artifacts))
        paths = [artifact.here.path for artifact in artifacts]
        store.commit_all(list(zip(staged, paths, strict=True)))
        return [Place(store.name, path, fingerprint=each.fingerprint) for each, path in zip(staged, paths, strict=True)]

    def _staged(self, artifact: Artifact, store: Store) -> Staged:
        with self._main.local(artifact.here.path) as path:
            staged = store.copy(path, self._process)
        if (staged.sha256, staged.size) != artifact.content:
            staged.discard()
            raise FatalFault(
                f"{artifact.uri} was read back with other bytes from the store '{self._main.name}'.",
                "Its disk is not to be trusted: look at the log of the machine.",
            )
        return staged

    def register(self, transaction: Connection, places: Places, files: Mapping[int, Artifact]) -> None:
        """Say where the further copies of these files lie, by their numbers in the ledger."""
        for at, store in enumerate(self._stores):
            placed = {number: places[file.uri][at] for number, file in files.items() if places.get(file.uri)}
            if placed:
                replicas.add(transaction, placed)
                arrivals.note(transaction, store.name, len(placed), sum(files[number].size for number in placed))

    def unused(self, places: Places, uris: Iterable[str]) -> Iterator[tuple[Store, str]]:
        """Copies of files that were not registered after all."""
        for uri in uris:
            for place in places.get(uri, ()):
                yield self._endpoint.stores[place.store], place.path

    def leave(self) -> None:
        """Remove what was staged and did not get its name."""
        for store in self._stores:
            store.leave(self._process)
