"""Collections: what datasets were made in (a run), what somebody chose of them (tagged), which calibration is valid
when (calibration; see ``certified``).

A run is called ``RELEASE/PATH``, which is where the files that came into it have their names. Of one type and data id a
tagged collection holds at most one dataset.
"""

from __future__ import annotations

import re
from collections.abc import Collection as Many
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, Row, select

from archive.documents import near
from archive.faults import NotFound, UsageFault
from archive.ledger import events, schema
from archive.ledger.database import now

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)+")


class Kind(StrEnum):
    """What a collection is for."""

    RUN = "run"
    TAGGED = "tagged"
    CALIBRATION = "calibration"


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection by its ``name``; ``about`` says in words what it is."""

    id: int
    name: str
    kind: Kind
    created: str
    about: str | None = None

    @property
    def release(self) -> str:
        """The release that it belongs to: the first step of its name."""
        return self.name.partition("/")[0]


def create(transaction: Connection, name: str, kind: Kind, about: str | None = None) -> Collection:
    """Make a collection; the same again changes nothing.

    Raises:
        UsageFault: the name is no name of a collection, or is that of one of another kind.
    """
    known = find(transaction, [name]).get(name)
    if known is not None:
        return check_kind(known, kind)
    check_name(name)
    created = now()
    result = transaction.execute(
        schema.collection.insert().values(name=name, kind=kind, created=created, about=about)
    ).inserted_primary_key
    assert result is not None
    events.append(transaction, "collection", {"collection": name, "kind": kind, "about": about})
    return Collection(int(result[0]), name, kind, created, about)


def note_runs(transaction: Connection, names: Many[str]) -> None:
    """See that there are runs of these names: those that files came into. The events of the files tell it.

    Raises:
        UsageFault: one of them is a collection of another kind.
    """
    known = find(transaction, names)
    for collection in known.values():
        check_kind(collection, Kind.RUN)
    created = now()
    rows = [{"name": name, "kind": Kind.RUN, "created": created} for name in sorted(set(names) - known.keys())]
    if rows:
        transaction.execute(schema.collection.insert(), rows)


def find(transaction: Connection, names: Many[str]) -> dict[str, Collection]:
    """The collections of these names; those that there are not are left out."""
    table = schema.collection
    rows = transaction.execute(select(table).where(table.c.name.in_(sorted(names))))
    return {row.name: _collection(row) for row in rows}


def named(transaction: Connection, name: str, kind: Kind | None = None) -> Collection:
    """The collection of that name, which is of that kind.

    Raises:
        NotFound: there is none; the message names the nearest.
        UsageFault: it is of another kind.
    """
    known = find(transaction, [name]).get(name)
    if known is None:
        names = transaction.execute(select(schema.collection.c.name)).scalars().all()
        raise NotFound(f"There is no collection '{name}'.", near(name, names) or "See 'archive collection list'.")
    return known if kind is None else check_kind(known, kind)


def all_of(transaction: Connection, kind: Kind | None = None) -> list[Collection]:
    """All collections, or those of one kind, by name."""
    table = schema.collection
    asked = select(table).order_by(table.c.name)
    return [
        _collection(row) for row in transaction.execute(asked if kind is None else asked.where(table.c.kind == kind))
    ]


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a collection.

    Raises:
        UsageFault: so it is.
    """
    if not _NAME.fullmatch(name):
        raise UsageFault(
            f"'{name}' is no name of a collection.",
            "Write RELEASE/NAME, such as dr1/raw, in letters, digits and . _ + -",
        )


def check_kind(collection: Collection, kind: Kind) -> Collection:
    """The collection, which is of that kind.

    Raises:
        UsageFault: it is not.
    """
    if collection.kind is kind:
        return collection
    raise UsageFault(f"'{collection.name}' is a collection of kind {collection.kind}, not {kind}.", _REMEDIES[kind])


_REMEDIES = {
    Kind.RUN: "Files and new datasets come into runs: give one that is, or a new name.",
    Kind.TAGGED: "Make one with 'archive collection create NAME --kind tagged'.",
    Kind.CALIBRATION: "Make one with 'archive collection create NAME --kind calibration'.",
}


# --- what a tagged collection holds -----------------------------------------------------------------


def tag(
    transaction: Connection,
    collection: Collection,
    dataset: int,
    uri: str,
    key: tuple[str, str],
    *,
    replace: bool = False,
) -> bool:
    """Put a sealed dataset (its number and name; ``key`` is its type and data id) into a tagged collection; returns
    whether that changed anything.

    Raises:
        UsageFault: there is another one of its type and data id, and it is not to ``replace`` that.
    """
    table = schema.tagged
    here = (table.c.collection == collection.id) & (table.c.type == key[0]) & (table.c.data_id == key[1])
    other = transaction.execute(
        select(schema.dataset.c.id, schema.dataset.c.uri)
        .join(table, table.c.dataset == schema.dataset.c.id)
        .where(here)
    ).one_or_none()
    if other is not None and other.id == dataset:
        return False
    if other is not None and not replace:
        raise UsageFault(
            f"{collection.name} holds {other.uri} as {key[0]} of {key[1]}.", "Give --replace to have this one instead."
        )
    if other is not None:
        transaction.execute(table.delete().where(here))
    transaction.execute(table.insert().values(collection=collection.id, type=key[0], data_id=key[1], dataset=dataset))
    body = {"collection": collection.name, "dataset": uri, "instead": None if other is None else other.uri}
    events.append(transaction, "tag", body)
    return True


def untag(transaction: Connection, collection: Collection, dataset: int, uri: str) -> bool:
    """Take a dataset out of a tagged collection; returns whether it was in it."""
    table = schema.tagged
    here = (table.c.collection == collection.id) & (table.c.dataset == dataset)
    if not transaction.execute(table.delete().where(here)).rowcount:
        return False
    events.append(transaction, "untag", {"collection": collection.name, "dataset": uri})
    return True


def holding(transaction: Connection, dataset: int) -> list[str]:
    """The names of the tagged and calibration collections that a dataset is in."""
    table = schema.collection
    found: set[str] = set()
    for place in (schema.tagged, schema.certified):
        found |= set(
            transaction.execute(
                select(table.c.name).join(place, place.c.collection == table.c.id).where(place.c.dataset == dataset)
            ).scalars()
        )
    return sorted(found)


def _collection(row: Row[tuple[object, ...]]) -> Collection:
    return Collection(row.id, row.name, Kind(row.kind), row.created, row.about)
