"""Parts of catalogs made again from what was delivered: the same rows, sorted and written in the same way.

The same program makes the same bytes; another version of the libraries may not, and then the digest says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from archive.backbone import catalogs
from archive.backbone.deliveries import Delivered
from archive.backbone.endpoint import Endpoint
from archive.backbone.stores import Staged
from archive.backbone.verification.sources import Source
from archive.ledger import descriptions, replicas, schema
from archive.ledger.descriptions import Registered
from archive.ledger.replicas import Place
from archive.ledger.rounds import Copy


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What a part was made of: under which description, for which table, and the deliveries in their order."""

    registered: Registered
    table: str
    deliveries: tuple[tuple[str, Place], ...]  # what each was called, and where it can be read


class Deliveries(Source):
    """Makes a part again from the deliveries that it was made from, if all of them can be read."""

    name = "what was delivered"

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def has(self, wanted: Copy) -> bool:
        return self._recipe(wanted) is not None

    def _recipe(self, wanted: Copy) -> _Recipe | None:
        with self._endpoint.ledger.read() as transaction:
            found = _recipe(transaction, wanted.replica.artifact)
        there = found is not None and all(place.store in self._endpoint.stores for _, place in found.deliveries)
        return found if there else None

    def fetch(self, wanted: Copy, staging: Callable[[], Staged]) -> Staged | None:
        recipe = self._recipe(wanted)
        if recipe is None:
            return None
        with ExitStack() as held:
            deliveries = [
                Delivered(held.enter_context(self._endpoint.stores[place.store].local(place.path)), name)
                for name, place in recipe.deliveries
            ]
            made = self._made(recipe, deliveries, _Bench(staging, self._endpoint.config.scratch_folder))
        same = [staged for staged in made if staged.sha256 == wanted.sha256]
        for staged in made:
            if staged is not (same[0] if same else None):
                staged.discard()
        return same[0] if same else None

    def _made(self, recipe: _Recipe, deliveries: Sequence[Delivered], bench: _Bench) -> list[Staged]:
        table = recipe.registered.release.table(recipe.table)
        budget = self._endpoint.config.load_memory << 20
        try:
            return [part.staged for part in catalogs.remake(bench, recipe.registered, table, deliveries, budget)]
        except BaseException:
            bench.clear()
            raise


class _Bench:
    """Where parts are written: what ``catalogs`` asks of it."""

    def __init__(self, staging: Callable[[], Staged], scratch: Path) -> None:
        self._staging = staging
        self._scratch = scratch
        self._made: list[Staged] = []

    def stage(self) -> Staged:
        self._made.append(self._staging())
        return self._made[-1]

    def scratch(self) -> Path:
        self._scratch.mkdir(parents=True, exist_ok=True)
        return self._scratch

    def clear(self) -> None:
        for staged in self._made:
            staged.discard()


def _recipe(transaction: Connection, artifact: int) -> _Recipe | None:
    part = schema.part
    row = transaction.execute(select(part).where(part.c.artifact == artifact)).one_or_none()
    if row is None:
        return None
    sources = dict(_sources(transaction, artifact))
    places = replicas.good(transaction, sources)
    if not sources or places.keys() != sources.keys():
        return None
    deliveries = tuple((name, places[number]) for number, name in sources.items())
    return _Recipe(descriptions.by_id(transaction, row.description), row.table, deliveries)


def _sources(transaction: Connection, artifact: int) -> Iterator[tuple[int, str]]:
    """The deliveries that a part was made from, in the order in which they were loaded, and what each was called."""
    derived, delivery = schema.derived_from, schema.delivery
    rows = transaction.execute(
        select(delivery.c.artifact, delivery.c.file)
        .join(derived, derived.c.source == delivery.c.artifact)
        .where(derived.c.artifact == artifact)
        .order_by(delivery.c.artifact)
    )
    return ((row.artifact, row.file) for row in rows)
