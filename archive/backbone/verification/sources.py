"""Sources: where the right bytes of a file may be had when a copy of it is bad or gone.

This endpoint's other stores are one, making a part again from what was delivered is another; peers will be a third.
Whoever takes bytes from a source compares their digest: what a source gives is never believed, and a source that gives
other bytes is not condemned for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from archive.backbone.endpoint import Endpoint
from archive.backbone.stores import CHUNK, Staged
from archive.ledger import replicas
from archive.ledger.replicas import Has
from archive.ledger.rounds import Copy


class Source(ABC):
    """Somewhere that may have the bytes of a file. ``name`` is how the log calls it."""

    name: ClassVar[str]

    @abstractmethod
    def has(self, wanted: Copy) -> bool:
        """Whether it is worth asking: looks at facts, reads no bytes."""

    @abstractmethod
    def fetch(self, wanted: Copy, staging: Callable[[], Staged]) -> Staged | None:
        """The file as the source has it, in a file from ``staging``; None if it has none after all.

        Raises:
            Fault: it cannot be reached, or fails.
        """


class OtherStores(Source):
    """The copies in this endpoint's other stores that are present."""

    name = "another store"

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def has(self, wanted: Copy) -> bool:
        return bool(self._others(wanted))

    def _others(self, wanted: Copy) -> list[replicas.Place]:
        with self._endpoint.ledger.read() as transaction:
            copies = replicas.of(transaction, [wanted.replica.artifact])[wanted.replica.artifact]
        there = [copy.place for copy in copies if copy.has is Has.PRESENT and copy.place.store != wanted.store]
        return [place for place in there if place.store in self._endpoint.stores]

    def fetch(self, wanted: Copy, staging: Callable[[], Staged]) -> Staged | None:
        places = self._others(wanted)
        for place in places:
            staged = self._copied(place, wanted, staging())
            if staged.sha256 == wanted.sha256 or place is places[-1]:
                return staged
            staged.discard()
        return None

    def _copied(self, place: replicas.Place, wanted: Copy, staged: Staged) -> Staged:
        first = place.offset or 0
        last = None if place.offset is None else first + wanted.size - 1
        try:
            with self._endpoint.stores[place.store].open(place.path, first, last) as opened:
                while data := opened.read(CHUNK):
                    staged.write(data)
            staged.close()
        except BaseException:
            staged.discard()
            raise
        return staged
