"""Where this endpoint has its files, and whether they are good: what it *has* beside what it *wants*.

A reader sees a file only through a replica that is present. What is wanted and absent is work to be done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, Row, select

from archive.ledger import incidents, schema
from archive.ledger.bulk import among, insert_all, portions
from archive.ledger.database import now

MAIN = "main"
"""The store that every endpoint has."""


class Has(StrEnum):
    """What this endpoint knows of its copy."""

    ABSENT = "absent"
    PRESENT = "present"
    BAD = "bad"  # a check failed: never served again


class Want(StrEnum):
    """What is to become of the copy."""

    KEEP = "keep"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Place:
    """Where bytes lie: a path in a store; with an ``offset`` they are a part of the file there, a bundle.

    What is ``adopted`` lay there before it was registered: it is never moved and never deleted by us.
    """

    store: str
    path: str
    adopted: bool = False
    bundle: int | None = None
    offset: int | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Replica:
    """A copy of a registered file (``artifact`` is its number in the ledger) at this endpoint."""

    artifact: int
    place: Place
    has: Has
    want: Want
    checked: str | None


def add(transaction: Connection, placed: Mapping[int, Place], has: Has = Has.PRESENT, *, new: bool = False) -> None:
    """Say where the files with these numbers lie; those that are present were read and found right just now.

    A copy that the same store was said to have is replaced by this one; ``new`` files have none.
    """
    table = schema.replica
    checked = now() if has is Has.PRESENT else None
    for numbers in () if new else portions(list(placed)):
        stores = {placed[number].store for number in numbers}
        transaction.execute(table.delete().where(table.c.artifact.in_(numbers), table.c.store.in_(stores)))
    rows = [
        {
            "artifact": number,
            "store": place.store,
            "path": place.path,
            "has": has,
            "want": Want.KEEP,
            "adopted": place.adopted,
            "checked": checked,
            "fingerprint": place.fingerprint,
            "bundle": place.bundle,
            "offset": place.offset,
        }
        for number, place in placed.items()
    ]
    insert_all(transaction, table, rows)


def of(transaction: Connection, artifacts: Iterable[int]) -> dict[int, list[Replica]]:
    """All copies of each of these files, those in the main store first."""
    table = schema.replica
    found: dict[int, list[Replica]] = {number: [] for number in artifacts}
    for numbers in portions(list(found)):
        for row in transaction.execute(select(table).where(table.c.artifact.in_(numbers)).order_by(table.c.store)):
            found[row.artifact].append(_replica(row))
    for copies in found.values():
        copies.sort(key=lambda copy: copy.place.store != MAIN)
    return found


def good(transaction: Connection, artifacts: Iterable[int]) -> dict[int, Place]:
    """Where each of these files can be read; those without a present copy are left out."""
    copies = of(transaction, artifacts)
    present = {number: [copy for copy in list_of if copy.has is Has.PRESENT] for number, list_of in copies.items()}
    return {number: list_of[0].place for number, list_of in present.items() if list_of}


def mark_checked(transaction: Connection, artifact: int, store: str, fingerprint: str | None = None) -> None:
    """The whole copy was read and is right: it is present from now on."""
    _update(transaction, artifact, store, has=Has.PRESENT, checked=now(), fingerprint=fingerprint)


def mark_bad(transaction: Connection, artifact: int, store: str, found: str) -> None:
    """A check of the copy failed: it is not served again; an incident tells what was ``found``."""
    uri = transaction.execute(select(schema.artifact.c.uri).where(schema.artifact.c.id == artifact)).scalar_one()
    _update(transaction, artifact, store, has=Has.BAD)
    incidents.open_incident(transaction, "bad-copy", uri, {"store": store, "found": found})


def drop(transaction: Connection, artifacts: Sequence[int]) -> None:
    """Nobody wants the copies of these files: what we stored is to be dropped, what we adopted is ours no more."""
    table = schema.replica
    for numbers in portions(artifacts):
        theirs = table.c.artifact.in_(numbers)
        transaction.execute(table.delete().where(theirs, table.c.adopted))
        transaction.execute(table.update().where(theirs).values(want=Want.DROP))


def owners(transaction: Connection, store: str, paths: Sequence[str]) -> dict[str, str]:
    """The URIs of the files that lie by themselves at these paths of the store; other paths are left out."""
    table, file = schema.replica, schema.artifact
    own = select(table.c.path, file.c.uri).join(file, file.c.id == table.c.artifact)
    found: dict[str, str] = {}
    for some in portions(paths):
        here = (table.c.store == store) & among(transaction, table.c.path, some) & table.c.bundle.is_(None)
        found |= {row.path: row.uri for row in transaction.execute(own.where(here))}
    return found


def paths(transaction: Connection, store: str, folder: str) -> set[str]:
    """The paths of all files that are said to lie in a folder of the store."""
    table = schema.replica
    below = table.c.path.startswith(f"{folder}/", autoescape=True)
    return set(transaction.execute(select(table.c.path).where(table.c.store == store, below)).scalars())


def _update(transaction: Connection, artifact: int, store: str, **values: str | None) -> None:
    table = schema.replica
    transaction.execute(table.update().where(table.c.artifact == artifact, table.c.store == store).values(**values))


def _replica(row: Row[tuple[object, ...]]) -> Replica:
    place = Place(row.store, row.path, row.adopted, row.bundle, row.offset, row.fingerprint)
    return Replica(row.artifact, place, Has(row.has), Want(row.want), row.checked)
