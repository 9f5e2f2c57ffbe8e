"""Datasets: files and rows of tables that belong together, sealed once, and found whole or said to be incomplete.

A dataset is one *attempt* at what a run, a type and a data id name. While it is open members come; it ends sealed or
failed. The first that is sealed whole is *found*, every later one a *spare*; a database constraint holds that. What is
sealed never changes: bytes that are lost make it incomplete, not smaller. An open one that nobody touches until its
lease ends has failed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Row, Select, func, select

from archive.faults import NotFound, UsageFault
from archive.ledger import collections, events, members, schema
from archive.ledger.bulk import insert_all
from archive.ledger.collections import Collection, Kind
from archive.ledger.database import now, stamp
from archive.ledger.dataids import DataId
from archive.ledger.events import Json
from archive.ledger.members import Missing, RowGroup
from archive.ledger.site import read_site

LEASE = timedelta(days=7)
"""So long a dataset stays open when nothing comes."""


class State(StrEnum):
    """What became of an attempt."""

    OPEN = "open"
    FOUND = "found"  # sealed, and the first that was
    SPARE = "spare"  # sealed, but another one was before it
    FAILED = "failed"  # without a result; another may be made
    GIVEN_UP = "given-up"  # for good
    WITHDRAWN = "withdrawn"  # sealed and a mistake

    @property
    def is_sealed(self) -> bool:
        return self in (State.FOUND, State.SPARE, State.WITHDRAWN)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset as the ledger knows it. ``files``, ``size`` (bytes) and ``rows`` are sums over its members; ``digest``
    is over all that it holds, from when it was sealed.
    """

    id: int
    uri: str
    collection: str
    type: str
    data_id: DataId
    attempt: int
    state: State
    opened: str
    lease: str | None
    ended: str | None
    reason: str | None
    digest: str | None
    files: int
    size: int
    rows: int

    @property
    def key(self) -> tuple[str, str]:
        """Type and data id, of which each collection has one."""
        return self.type, str(self.data_id)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A dataset that was sealed, and the one that is found under its name: itself, or who was first."""

    dataset: Dataset
    found: Dataset

    @property
    def won(self) -> bool:
        return self.dataset == self.found


def begin(
    transaction: Connection,
    collection: Collection,
    kind: str,
    data_id: DataId,
    *,
    lease: timedelta = LEASE,
    again: bool = False,
) -> Dataset:
    """Open a dataset of type ``kind`` in a run: the next attempt at it.

    Raises:
        UsageFault: it was given up, and is not to be tried ``again``.
    """
    expire(transaction)
    collections.check_kind(collection, Kind.RUN)
    table = schema.dataset
    here = (table.c.collection == collection.id) & (table.c.type == kind) & (table.c.data_id == str(data_id))
    given_up = transaction.execute(select(table.c.reason).where(here, table.c.state == State.GIVEN_UP)).first()
    if given_up is not None and not again:
        raise UsageFault(
            f"{kind} of {data_id} in {collection.name} was given up: {given_up.reason}",
            "Give --again to try it all the same.",
            http=409,
        )
    attempt = 1 + int(transaction.execute(select(func.coalesce(func.max(table.c.attempt), 0)).where(here)).scalar_one())
    path = quote(f"{collection.name}/{kind}/{data_id}/{attempt}", safe="/=,+%:")
    uri = read_site(transaction).uri(f"datasets/{path}")
    values = {"collection": collection.id, "type": kind, "data_id": str(data_id), "attempt": attempt, "uri": uri}
    counts = {"files": 0, "bytes": 0, "rows": 0}
    until = stamp(datetime.now(UTC) + lease)
    added = transaction.execute(table.insert().values(**values, **counts, state=State.OPEN, opened=now(), lease=until))
    assert added.inserted_primary_key is not None
    number = int(added.inserted_primary_key[0])
    told = [{"dataset": number, "key": key, "value": value} for key, value in data_id.values]
    insert_all(transaction, schema.dataset_value, told)
    events.append(
        transaction,
        "dataset",
        {"dataset": uri, "collection": collection.name, "type": kind, "data_id": str(data_id), "attempt": attempt},
    )
    return named(transaction, uri)


def add_files(transaction: Connection, dataset: Dataset, files: Mapping[int, str | None]) -> int:
    """Add registered files (number and role) to an open dataset; those that are in it stay as they are. Returns how
    many are new.

    Raises:
        UsageFault: it is not open.
    """
    check_open(dataset)
    new = members.add_files(transaction, dataset.id, files)
    if new:
        size = members.size_of(transaction, new)
        _grow(transaction, dataset, files=len(new), bytes=size)
        told = [[uri, files[number]] for number, uri in new.items()]
        events.append(transaction, "dataset-files", {"dataset": dataset.uri, "files": told})
    return len(new)


def add_rows(transaction: Connection, dataset: Dataset, group: RowGroup) -> bool:
    """Add rows of a table to an open dataset; returns whether they are new.

    Raises:
        UsageFault: it is not open, or holds these rows as they were in another state of the table.
    """
    check_open(dataset)
    if not members.add_rows(transaction, dataset.id, group):
        return False
    _grow(transaction, dataset, rows=group.rows)
    events.append(transaction, "dataset-rows", {"dataset": dataset.uri, **group.facts()})
    return True


def seal(transaction: Connection, dataset: Dataset, *, expected: int | None = None) -> Sealed:
    """Seal a dataset: it is whole, and from now on what it is. Sealing it again changes nothing.

    Raises:
        UsageFault: it has failed, is empty, has not the ``expected`` number of files, or is not whole here.
    """
    if dataset.state in (State.FOUND, State.SPARE):
        return Sealed(dataset, _winner(transaction, dataset))
    check_open(dataset)
    _check_whole(transaction, dataset, expected)
    first = found(transaction, dataset.collection, *dataset.key)
    state = State.FOUND if first is None else State.SPARE
    digest = digest_of(transaction, dataset)
    _end(transaction, dataset, state, digest=digest)
    after = named(transaction, dataset.uri)
    best = after if first is None else first
    body = {"dataset": after.uri, "digest": digest, "state": state, "found": best.uri}
    events.append(transaction, "dataset-seal", body | {"files": after.files, "bytes": after.size, "rows": after.rows})
    return Sealed(after, best)


def fail(transaction: Connection, dataset: Dataset, reason: str, *, for_good: bool = False) -> Dataset:
    """An attempt had no result; ``for_good``: nor will any other. The same again changes nothing.

    Raises:
        UsageFault: it is sealed.
    """
    state = State.GIVEN_UP if for_good else State.FAILED
    if dataset.state == state:
        return dataset
    if dataset.state is not State.FAILED:
        check_open(dataset)
    _end(transaction, dataset, state, reason=reason)
    events.append(transaction, "dataset-fail", {"dataset": dataset.uri, "state": state, "why": reason})
    return named(transaction, dataset.uri)


def withdraw(transaction: Connection, dataset: Dataset, reason: str) -> Dataset:
    """A sealed dataset was a mistake: it is found no more, another may be made. The same again changes nothing.

    Raises:
        UsageFault: it is not sealed, or a collection holds it.
    """
    if dataset.state is State.WITHDRAWN:
        return dataset
    if not dataset.state.is_sealed:
        raise UsageFault(f"{dataset.uri} is not sealed.", "Let it fail: 'archive dataset fail'.")
    holding = collections.holding(transaction, dataset.id)
    if holding:
        raise UsageFault(
            f"{', '.join(holding)} holds {dataset.uri}.", "Take it out of there first: untag or decertify."
        )
    values = {"state": State.WITHDRAWN, "reason": reason}
    transaction.execute(schema.dataset.update().where(schema.dataset.c.id == dataset.id).values(**values))
    events.append(transaction, "dataset-withdraw", {"dataset": dataset.uri, "why": reason})
    return named(transaction, dataset.uri)


def expire(transaction: Connection) -> int:
    """Let open datasets fail whose lease is over; returns how many."""
    table = schema.dataset
    due = transaction.execute(_asked().where(table.c.state == State.OPEN, table.c.lease < now())).all()
    for dataset in map(_dataset, due):
        fail(transaction, dataset, f"nothing came until {dataset.lease}")
    return len(due)


# --- looking ----------------------------------------------------------------------------------------


def find(transaction: Connection, uris: Iterable[str]) -> dict[str, Dataset]:
    """The datasets of these names; those that there are not are left out."""
    rows = transaction.execute(_asked().where(schema.dataset.c.uri.in_(list(uris))))
    return {row.uri: _dataset(row) for row in rows}


def named(transaction: Connection, uri: str) -> Dataset:
    """The dataset of that name.

    Raises:
        NotFound: there is none.
    """
    known = find(transaction, [uri]).get(uri)
    if known is None:
        raise NotFound(f"There is no dataset '{uri}'.", "See 'archive dataset list'.")
    return known


def found(transaction: Connection, collection: str, kind: str, data_id: str) -> Dataset | None:
    """The one dataset that is found of a type and data id in a run or a tagged collection."""
    table, place, tagged = schema.dataset, schema.collection, schema.tagged
    made = (place.c.name == collection) & (table.c.type == kind) & (table.c.data_id == data_id)
    row = transaction.execute(_asked().where(made, table.c.state == State.FOUND)).one_or_none()
    if row is None:
        chosen = (
            select(tagged.c.dataset)
            .join(place, place.c.id == tagged.c.collection)
            .where(place.c.name == collection, tagged.c.type == kind, tagged.c.data_id == data_id)
        )
        row = transaction.execute(_asked().where(table.c.id.in_(chosen))).one_or_none()
    return None if row is None else _dataset(row)


def attempts(transaction: Connection, collection: str, kind: str, data_id: str) -> list[Dataset]:
    """All attempts at a type and data id in a run, in order."""
    table, place = schema.dataset, schema.collection
    here = (place.c.name == collection) & (table.c.type == kind) & (table.c.data_id == data_id)
    return [_dataset(row) for row in transaction.execute(_asked().where(here).order_by(table.c.attempt))]


def of_files(transaction: Connection, artifacts: Sequence[int]) -> dict[int, list[Dataset]]:
    """The sealed datasets that are not withdrawn and hold these files (by their numbers)."""
    holds = members.holders(transaction, artifacts)
    numbers = sorted({number for each in holds.values() for number in each})
    known = {each.id: each for each in by_number(transaction, numbers) if each.state in (State.FOUND, State.SPARE)}
    return {file: [known[each] for each in sets if each in known] for file, sets in holds.items()}


def by_number(transaction: Connection, numbers: Sequence[int]) -> list[Dataset]:
    """The datasets with these numbers in the ledger, in their order there."""
    table = schema.dataset
    return [_dataset(row) for row in transaction.execute(_asked().where(table.c.id.in_(numbers)).order_by(table.c.id))]


def listed(
    transaction: Connection,
    *,
    collection: str | None = None,
    kind: str | None = None,
    values: Mapping[str, str] | None = None,
    states: Sequence[State] = (),
    most: int | None = None,
) -> list[Dataset]:
    """Datasets made in a run or held by a tagged collection, of a type, with these values in their data id, in one of
    these states; newest first, at most so many.
    """
    table, place, told, tagged = schema.dataset, schema.collection, schema.dataset_value, schema.tagged
    asked = _asked().order_by(table.c.id.desc()).limit(most)
    if collection is not None:
        held = select(tagged.c.dataset).join(place, place.c.id == tagged.c.collection).where(place.c.name == collection)
        asked = asked.where((place.c.name == collection) | table.c.id.in_(held))
    if kind is not None:
        asked = asked.where(table.c.type == kind)
    for key, value in (values or {}).items():
        asked = asked.where(table.c.id.in_(select(told.c.dataset).where(told.c.key == key, told.c.value == value)))
    if states:
        asked = asked.where(table.c.state.in_(states))
    return [_dataset(row) for row in transaction.execute(asked)]


def missing(transaction: Connection, datasets: Iterable[Dataset]) -> dict[str, tuple[Missing, ...]]:
    """What each of these datasets lacks at this endpoint, by their URIs; nothing where it is whole."""
    by_number = {each.id: each.uri for each in datasets}
    return {by_number[number]: lacks for number, lacks in members.missing(transaction, list(by_number)).items()}


def digest_of(transaction: Connection, dataset: Dataset) -> str:
    """The digest over what a dataset holds now: sha256 over its type, data id and members in one order, as canonical
    JSON. Equal at every endpoint.
    """
    files, rows = members.contents(transaction, dataset.id)
    said: dict[str, Json] = {
        "type": dataset.type,
        "data_id": str(dataset.data_id),
        "files": [[each.uri, each.sha256, each.size, each.role] for each in files],
        "rows": [[each.schema, each.table, each.condition, each.parts, each.rows] for each in rows],
    }
    return hashlib.sha256(events.canonical(said).encode()).hexdigest()


def check_open(dataset: Dataset) -> None:
    """Refuse to change a dataset that is not open.

    Raises:
        UsageFault: it is not.
    """
    if dataset.state is State.OPEN:
        return
    if dataset.state.is_sealed:
        raise UsageFault(f"{dataset.uri} is sealed.", "It never changes; begin another one.", http=409)
    raise UsageFault(
        f"{dataset.uri} has failed: {dataset.reason or dataset.state}.", "Begin the next attempt.", http=409
    )


def _check_whole(transaction: Connection, dataset: Dataset, expected: int | None) -> None:
    if not dataset.files and not dataset.rows:
        raise UsageFault(f"{dataset.uri} is empty.", "Add what belongs to it: 'archive dataset add'.")
    if expected is not None and dataset.files != expected:
        raise UsageFault(f"{dataset.uri} has {dataset.files:,} files of {expected:,}.", "Add the others first.")
    lacks = members.missing(transaction, [dataset.id])[dataset.id]
    if lacks:
        more = f" and {len(lacks) - 1:,} more" if len(lacks) > 1 else ""
        raise UsageFault(
            f"{dataset.uri} is not whole: {lacks[0].what} {lacks[0].why}{more}.",
            "Bring it in again, or let this one fail.",
        )


def _winner(transaction: Connection, dataset: Dataset) -> Dataset:
    first = found(transaction, dataset.collection, *dataset.key)
    return dataset if first is None else first


def _grow(transaction: Connection, dataset: Dataset, **more: int) -> None:
    table = schema.dataset
    values: dict[str, Any] = {name: table.c[name] + count for name, count in more.items()}
    values["lease"] = max(dataset.lease or "", stamp(datetime.now(UTC) + LEASE))
    transaction.execute(table.update().where(table.c.id == dataset.id).values(**values))


def _end(transaction: Connection, dataset: Dataset, state: State, **values: str) -> None:
    table = schema.dataset
    changed = {"state": state, "lease": None, "ended": now(), **values}
    transaction.execute(table.update().where(table.c.id == dataset.id).values(**changed))


def _asked() -> Select[Any]:
    table, place = schema.dataset, schema.collection
    return select(table, place.c.name.label("run")).join(place, place.c.id == table.c.collection)


def _dataset(row: Row[Any]) -> Dataset:
    return Dataset(
        id=row.id,
        uri=row.uri,
        collection=row.run,
        type=row.type,
        data_id=DataId.read(row.data_id),
        attempt=row.attempt,
        state=State(row.state),
        opened=row.opened,
        lease=row.lease,
        ended=row.ended,
        reason=row.reason,
        digest=row.digest,
        files=row.files,
        size=row.bytes,
        rows=row.rows,
    )
