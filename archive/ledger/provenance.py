"""What was made from what: the ways between files, up to their origins and down to all that would not be without them.

Three things tell of an input: who delivered a product or its header (``product_input``), the parts of our own tables
(``derived_from``), and what the activity that made a file used (``used``). An input is known by its URI, and may be
none of our files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Select, String, func, literal, select

from archive.ledger import activities, schema
from archive.ledger.activities import Activity
from archive.ledger.bulk import among, portions
from archive.ledger.replicas import Has

DELIVERY = "delivery"
"""The role of what an operator delivered in the load that made parts of it; the type of these files too."""

PART = "part"
"""The type of parts of tables, and their role in the load that made them."""


class Way(StrEnum):
    """In which direction one follows what was made from what."""

    ORIGINS = "origins"
    DERIVED = "derived"


class Presence(StrEnum):
    """What is known here of a file."""

    HERE = "here"
    AWAY = "no good copy here"
    RETRACTED = "retracted"
    UNKNOWN = "not registered here"


@dataclass(frozen=True, slots=True)
class Entity:
    """A file, or something that is known by its URI only (then ``type`` is None)."""

    uri: str
    type: str | None
    release: str | None
    size: int | None
    presence: Presence


@dataclass(frozen=True, slots=True)
class Derivation:
    """``product`` was made from ``source``, which had the ``role`` in the activity of that URI, where it is known."""

    product: str
    source: str
    role: str
    activity: str | None


@dataclass(frozen=True, slots=True)
class Lineage:
    """All that is known of where files come from, or of what was made from them.

    ``roots`` are what was asked for. If it is ``cut``, there is more than was wanted.
    """

    roots: tuple[str, ...]
    way: Way
    entities: Mapping[str, Entity]
    activities: Mapping[str, Activity]
    made_by: Mapping[str, str]
    derivations: tuple[Derivation, ...]
    cut: bool = False


def lineage(transaction: Connection, roots: Sequence[str], way: Way = Way.ORIGINS, most: int = 10_000) -> Lineage:
    """Everything that ``roots`` were made from, step by step down to what was made from nothing that is known; or the
    other way round, all that was made from them. At most so many files are told.
    """
    found: dict[tuple[str, str, str], None] = {}
    seen, current, cut = dict.fromkeys(roots), list(dict.fromkeys(roots)), False
    while current and not cut:
        following: dict[str, None] = {}
        for product, source, role in _steps(transaction, current, way):
            far = source if way is Way.ORIGINS else product
            if far not in seen and len(seen) >= most:
                cut = True
                continue
            found[product, role, source] = None
            if far not in seen:
                seen[far] = following[far] = None
        current = list(following)
    made_by = _makers(transaction, list(seen))
    doing = {uri: activity for uri, (_, activity) in activities.find(transaction, set(made_by.values())).items()}
    told = tuple(Derivation(product, source, role, made_by.get(product)) for product, role, source in sorted(found))
    return Lineage(tuple(roots), way, _entities(transaction, list(seen)), doing, made_by, told, cut)


def made_from(transaction: Connection, sources: Mapping[int, str]) -> list[str]:
    """The URIs of all files that are not retracted and were made from ``sources`` (numbers and URIs), step by step."""
    seen = set(sources.values())
    found: list[str] = []
    current = list(sources.values())
    while current:
        new = dict.fromkeys(product for product, _, _ in _steps(transaction, current, Way.DERIVED))
        current = [product for product in new if product not in seen]
        seen |= set(current)
        found += current
    return found


def tables_of(transaction: Connection, artifacts: Iterable[int]) -> set[str]:
    """The qualified names of the tables into which these files were delivered, or whose parts they are."""
    found: set[str] = set()
    for numbers in portions(list(artifacts)):
        for table in (schema.delivery, schema.part):
            rows = transaction.execute(select(table.c.schema, table.c.table).where(table.c.artifact.in_(numbers)))
            found |= {f"{row.schema}.{row.table}" for row in rows}
    return found


def needed(transaction: Connection, sources: Mapping[int, str]) -> dict[str, list[str]]:
    """Which of ``sources`` (numbers and URIs) nobody may delete, each with the files that were made from it in one
    step and are not retracted (DMS-DBB-REQ-0047).
    """
    found: dict[str, list[str]] = {}
    for product, source, _ in _steps(transaction, list(sources.values()), Way.DERIVED):
        found.setdefault(source, []).append(product)
    return {source: sorted(set(products)) for source, products in found.items()}


# --- one step -------------------------------------------------------------------------------------


def _steps(transaction: Connection, uris: Sequence[str], way: Way) -> Iterator[tuple[str, str, str]]:
    """Product, source and role of each derivation that leads one step on from ``uris``.

    What was retracted counts as made from nothing, and as no origin's reason to stay.
    """
    for some in portions(uris):
        for rows in (_told(transaction, some, way), _derived(transaction, some, way), _used(transaction, some, way)):
            yield from (tuple(row) for row in transaction.execute(rows))


def _told(transaction: Connection, uris: Sequence[str], way: Way) -> Select[Any]:
    file, inputs = schema.artifact, schema.product_input
    near = file.c.uri if way is Way.ORIGINS else inputs.c.uri
    pairs = select(file.c.uri, inputs.c.uri, inputs.c.role).join(inputs, inputs.c.artifact == file.c.id)
    return _kept(pairs, way).where(among(transaction, near, uris))


def _derived(transaction: Connection, uris: Sequence[str], way: Way) -> Select[Any]:
    file, derived, source = schema.artifact, schema.derived_from, schema.artifact.alias()
    near = file.c.uri if way is Way.ORIGINS else source.c.uri
    pairs = (
        select(file.c.uri, source.c.uri, literal(DELIVERY, String))
        .join(derived, derived.c.artifact == file.c.id)
        .join(source, source.c.id == derived.c.source)
    )
    return _kept(pairs, way).where(among(transaction, near, uris))


def _used(transaction: Connection, uris: Sequence[str], way: Way) -> Select[Any]:
    file, made, used = schema.artifact, schema.was_generated_by, schema.used
    near = file.c.uri if way is Way.ORIGINS else used.c.entity
    pairs = (
        select(file.c.uri, used.c.entity, used.c.role)
        .join(made, made.c.entity == file.c.id)
        .join(used, used.c.activity == made.c.activity)
    )
    return _kept(pairs, way).where(among(transaction, near, uris))


def _kept(pairs: Select[Any], way: Way) -> Select[Any]:
    return pairs if way is Way.ORIGINS else pairs.where(schema.artifact.c.retracted.is_(None))


# --- who is who -----------------------------------------------------------------------------------


def _makers(transaction: Connection, uris: Sequence[str]) -> dict[str, str]:
    """The activity that made each of these files, where it is known."""
    file, made, doing = schema.artifact, schema.was_generated_by, schema.activity
    pairs = (
        select(file.c.uri, doing.c.uri)
        .join(made, made.c.entity == file.c.id)
        .join(doing, doing.c.id == made.c.activity)
    )
    found: dict[str, str] = {}
    for some in portions(uris):
        rows = transaction.execute(pairs.where(among(transaction, file.c.uri, some)))
        found |= {row[0]: row[1] for row in rows}
    return found


def _entities(transaction: Connection, uris: Sequence[str]) -> dict[str, Entity]:
    file, product, part, delivery = schema.artifact, schema.product, schema.part, schema.delivery
    copy = schema.replica
    here = select(copy.c.artifact).where(copy.c.artifact == file.c.id, copy.c.has == Has.PRESENT).exists()
    told = (
        select(file, here.label("here"), product.c.type)
        .add_columns(part.c.artifact.label("part"), delivery.c.artifact.label("delivery"))
        .add_columns(func.coalesce(product.c.release, part.c.schema, delivery.c.schema).label("release"))
        .outerjoin(product, product.c.artifact == file.c.id)
        .outerjoin(part, part.c.artifact == file.c.id)
        .outerjoin(delivery, delivery.c.artifact == file.c.id)
    )
    found = {uri: Entity(uri, None, None, None, Presence.UNKNOWN) for uri in uris}
    for some in portions(uris):
        for row in transaction.execute(told.where(among(transaction, file.c.uri, some))):
            found[row.uri] = Entity(row.uri, _type(row), row.release, row.size, _presence(row))
    return found


def _type(row: Any) -> str:
    if row.type is not None:
        return str(row.type)
    return PART if row.part is not None else DELIVERY if row.delivery is not None else str(row.media_type)


def _presence(row: Any) -> Presence:
    if row.retracted is not None:
        return Presence.RETRACTED
    return Presence.HERE if row.here else Presence.AWAY
