"""The descriptions in force: verbatim copies of reviewed files, numbered per schema."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache

from sqlalchemy import Connection, Row, func, select

from archive.adql.proof import unsound
from archive.compact import packed, shape, unpacked
from archive.faults import UsageFault
from archive.ledger import events, idblocks, schema
from archive.ledger.database import now
from archive.releases import FACTS, Kind, Release, breaking_changes, from_documents


@dataclass(frozen=True, slots=True)
class Registered:
    """A description in the ledger; ``number`` counts the descriptions of its schema."""

    id: int
    number: int
    release: Release


def find(transaction: Connection, name: str) -> Registered | None:
    """The description in force for the schema ``name``."""
    table = schema.description
    row = transaction.execute(
        select(table).where(table.c.schema == name).order_by(table.c.number.desc()).limit(1)
    ).one_or_none()
    return None if row is None else _registered(row)


def by_id(transaction: Connection, number: int) -> Registered:
    """The description with that ``id``."""
    return _registered(transaction.execute(select(schema.description).where(schema.description.c.id == number)).one())


def newest(transaction: Connection) -> list[Registered]:
    """All descriptions in force, by name."""
    table = schema.description
    last = select(table.c.schema, func.max(table.c.number).label("number")).group_by(table.c.schema).subquery()
    rows = transaction.execute(
        select(table)
        .join(last, (table.c.schema == last.c.schema) & (table.c.number == last.c.number))
        .order_by(table.c.schema)
    )
    return [_registered(row) for row in rows]


def register(transaction: Connection, release: Release) -> Registered:
    """Put a checked description in force; the same one again changes nothing.

    Raises:
        UsageFault: rows were loaded under the one in force and this one does not fit them, the ID block is taken
            by another schema, or nothing is said of the IDs of data of ours.
    """
    before = find(transaction, release.name)
    if before is not None and before.release.digest == release.digest:
        return before
    _check_facts(release)
    _check_versions(release)
    idblocks.allocate(transaction, release)
    if before is not None and _has_rows(transaction, release.name):
        _check_fits(before.release, release)
    number = 1 if before is None else before.number + 1
    values = {
        "schema": release.name,
        "number": number,
        "version": release.version,
        "kind": release.kind.value,
        "id_block": release.id_block,
        "sha256": release.digest,
        "documents": [list(pair) for pair in release.documents.items()],
        "registered": now(),
        **_compacted(release),
    }
    result = transaction.execute(schema.description.insert().values(**values))
    events.append(transaction, "description", {"schema": release.name, "number": number, "sha256": release.digest})
    key = result.inserted_primary_key
    assert key is not None
    return Registered(key[0], number, release)


def _check_facts(release: Release) -> None:
    if release.kind is Kind.STANDING:
        raise UsageFault(f"{release.name} is made from the other descriptions.", "It is not registered and not loaded.")
    if release.kind is not Kind.EXTERNAL and not release.has_facts:
        raise UsageFault(
            f"Nothing is said of the IDs of {release.name}.",
            f"Write {release.name}{FACTS} beside its description, with 'schema', 'kind', 'id_block' and 'tables'.",
        )


def _check_versions(release: Release) -> None:
    if troubles := unsound(release):
        raise UsageFault(
            "\n".join((f"The versions of {release.name} cannot be shown:", *(f"  {trouble}" for trouble in troubles))),
            "Correct the expressions in the facts beside its description; 'archive schema check' tells the same.",
        )


def _check_fits(old: Release, new: Release) -> None:
    changes = breaking_changes(old, new)
    if changes:
        raise UsageFault(
            f"{new.name} holds rows that were loaded under another description: {'; '.join(changes)}.",
            "Only words (descriptions, UCDs, titles) and new tables may change while rows are there.",
        )


def _has_rows(transaction: Connection, name: str) -> bool:
    state = select(schema.state.c.number).where(schema.state.c.schema == name).limit(1)
    return transaction.execute(state).first() is not None


def refresh(transaction: Connection) -> int:
    """Write down again what was read from descriptions by a program with other classes; returns how many.

    Without it they are parsed by every process, which takes longer.
    """
    table = schema.description
    stale = transaction.execute(select(table).where(table.c.shape.is_distinct_from(shape(Release)))).all()
    for row in stale:
        release = _registered(row).release
        transaction.execute(table.update().where(table.c.id == row.id).values(**_compacted(release)))
    return len(stale)


def _compacted(release: Release) -> dict[str, str]:
    alone = replace(release, documents={})
    return {"compact": json.dumps(packed(alone, Release), separators=(",", ":")), "shape": shape(Release)}


def _registered(row: Row[tuple[object, ...]]) -> Registered:
    documents = tuple((name, text) for name, text in row.documents)
    if row.shape == shape(Release):
        return Registered(row.id, row.number, _unpacked(documents, row.compact))
    return Registered(row.id, row.number, _read(documents))


@lru_cache(maxsize=64)
def _unpacked(documents: tuple[tuple[str, str], ...], compact: str) -> Release:
    return replace(unpacked(Release, json.loads(compact)), documents=dict(documents))


@lru_cache(maxsize=64)
def _read(documents: tuple[tuple[str, str], ...]) -> Release:
    return from_documents(dict(documents))
