"""Where this endpoint has its files, and whether they are good: what it *has* beside what it *wants*.

A reader sees a file only through a replica that is present. What is wanted and absent is work to be done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, Row, bindparam, select

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
        gone = schema.leaving
        transaction.execute(gone.delete().where(gone.c.artifact.in_(numbers), gone.c.store.in_(stores)))
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


def is_present(artifact: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether the file of that number can be read here, for a statement that asks it of many."""
    table = schema.replica
    return select(table.c.artifact).where(table.c.artifact == artifact, table.c.has == Has.PRESENT).exists()


def mark_checked(transaction: Connection, artifact: int, store: str, fingerprint: str | None = None) -> None:
    """The whole copy was read and is right: it is present from now on, unless nobody wants it any more."""
    table = schema.replica
    here = (table.c.artifact == artifact) & (table.c.store == store) & (table.c.want == Want.KEEP)
    transaction.execute(table.update().where(here).values(has=Has.PRESENT, checked=now(), fingerprint=fingerprint))


def mark_bad(transaction: Connection, artifact: int, store: str, found: str, *, told: bool = True) -> None:
    """A check of the copy failed: it is not served again; if ``told``, an incident tells what was ``found``."""
    uri = transaction.execute(select(schema.artifact.c.uri).where(schema.artifact.c.id == artifact)).scalar_one()
    _update(transaction, artifact, store, has=Has.BAD)
    if told:
        incidents.open_incident(transaction, "bad-copy", uri, {"store": store, "found": found})


def mark_right(transaction: Connection, right: Sequence[tuple[Replica, str]]) -> None:
    """These whole copies were read and are right, each with its fingerprint: they are present from now on.

    One that lies elsewhere meanwhile, or is on its way out, is let be.
    """
    table, time = schema.replica, now()
    here = (table.c.artifact == bindparam("_artifact")) & (table.c.store == bindparam("_store"))
    right_now = table.update().where(here, table.c.path == bindparam("_path"), table.c.want == Want.KEEP)
    rows = [
        {"_artifact": copy.artifact, "_store": copy.place.store, "_path": copy.place.path, "_fingerprint": fingerprint}
        for copy, fingerprint in right
    ]
    if rows:
        values = {"has": Has.PRESENT, "checked": time, "fingerprint": bindparam("_fingerprint")}
        transaction.execute(right_now.values(values), rows)


def mark_absent(transaction: Connection, artifact: int, store: str, *, told: bool = True) -> None:
    """The store, which is there, has no such file: it is not looked for there; if ``told``, by an incident."""
    uri, path = transaction.execute(
        select(schema.artifact.c.uri, schema.replica.c.path)
        .join(schema.replica, schema.replica.c.artifact == schema.artifact.c.id)
        .where(schema.artifact.c.id == artifact, schema.replica.c.store == store)
    ).one()
    _update(transaction, artifact, store, has=Has.ABSENT)
    if told:
        incidents.open_incident(transaction, "missing-copy", uri, {"store": store, "path": path})


def move_members(transaction: Connection, bundle: int, store: str, path: str) -> None:
    """A bundle lies in the store under another path now, whole and right; and so do its members."""
    table = schema.replica
    theirs = (table.c.bundle == bundle) & (table.c.store == store)
    transaction.execute(table.update().where(theirs).values(path=path, has=Has.PRESENT, checked=now()))


def drop(transaction: Connection, artifacts: Sequence[int]) -> None:
    """Nobody wants the copies of these files: what we stored is to be dropped, what we adopted is ours no more."""
    table, gone = schema.replica, schema.leaving
    for numbers in portions(artifacts):
        theirs = table.c.artifact.in_(numbers)
        adopted = select(table.c.store).where(table.c.artifact == gone.c.artifact, table.c.store == gone.c.store)
        ours_no_more = adopted.where(table.c.adopted).exists()
        transaction.execute(gone.delete().where(gone.c.artifact.in_(numbers), ours_no_more))
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
