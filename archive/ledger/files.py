"""Registered files, what they are to the tables, and the states that parts make up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from archive.faults import TransientFault, UsageFault
from archive.ledger import contents, events, observations, replicas, schema
from archive.ledger.bulk import among, insert_all, numbers, portions
from archive.ledger.database import now
from archive.ledger.events import Json
from archive.ledger.replicas import Has, Place


@dataclass(frozen=True, slots=True)
class Artifact:
    """A registered file: its name for ever, its bytes' sha256 and number.

    ``place`` is where they can be read at this endpoint, None where they cannot; before ``public_from`` (as the
    ledger writes times) it is shown only to those who may see it.
    """

    uri: str
    sha256: str
    size: int
    media_type: str
    place: Place | None = None
    public_from: str | None = None

    @property
    def content(self) -> tuple[str, int]:
        """What tells these bytes from all others."""
        return self.sha256, self.size

    @property
    def here(self) -> Place:
        """Where its bytes can be read.

        Raises:
            TransientFault: this endpoint has no good copy of it now.
        """
        if self.place is None:
            raise TransientFault(f"{self.uri} cannot be read here now.", "This endpoint has no good copy of it.")
        return self.place

    @property
    def path(self) -> str:
        """The path of its bytes in their store."""
        return self.here.path


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knows of a name: the file's number there, its bytes, and since when it is retracted."""

    id: int
    artifact: Artifact
    retracted: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A file that an operator delivered for a table; ``file`` is what they called it."""

    artifact: Artifact
    file: str
    rows: int


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a table, sorted by ``_healpix_29`` from ``first_cell`` to ``last_cell``."""

    artifact: Artifact
    rows: int
    first_cell: int | None
    last_cell: int | None


@dataclass(frozen=True, slots=True)
class State:
    """The rows of a table at one moment: ``parts`` in order. Number 0 is the state before anything was loaded."""

    schema: str
    table: str
    number: int
    rows: int
    parts: tuple[Part, ...]


def find(transaction: Connection, uris: Iterable[str]) -> dict[str, Known]:
    """What is known of these names; those that were never registered are left out."""
    table, wanted = schema.artifact, list(uris)
    rows: list[Row[Any]] = []
    for some in portions(wanted):
        these = among(transaction, table.c.uri, some)
        rows += transaction.execute(select(table).where(these)).all()
    places = replicas.good(transaction, [row.id for row in rows])
    return {row.uri: Known(row.id, _artifact(row, places.get(row.id)), row.retracted) for row in rows}


def kept(transaction: Connection, uris: Sequence[str]) -> set[str]:
    """Those of these names whose files can be read here."""
    table, copy = schema.artifact, schema.replica
    here = select(table.c.uri).join(copy, copy.c.artifact == table.c.id).where(copy.c.has == Has.PRESENT)
    found: set[str] = set()
    for some in portions(uris):
        these = among(transaction, table.c.uri, some)
        found |= set(transaction.execute(here.where(these)).scalars())
    return found


def refusal(known: Known, artifact: Artifact) -> UsageFault | None:
    """Why ``artifact`` cannot have the name that is known; None if it is the same file."""
    if known.retracted is not None:
        return UsageFault(
            f"{artifact.uri} was retracted on {known.retracted[:10]}.",
            "A name is never used again: use another name.",
            http=409,
        )
    if known.artifact.content != artifact.content:
        return UsageFault(
            f"{artifact.uri} is registered with other bytes (sha256 {known.artifact.sha256}).",
            "A name never gets new bytes: use another name.",
            http=409,
        )
    return None


def add_artifact(transaction: Connection, artifact: Artifact) -> int:
    """Register a file; the same one again changes nothing.

    Raises:
        UsageFault: the name is taken by other bytes, or was retracted.
    """
    known = find(transaction, [artifact.uri]).get(artifact.uri)
    if known is None:
        (number,) = add_new(transaction, [(artifact, {})])
        return number
    fault = refusal(known, artifact)
    if fault is not None:
        raise fault
    return known.id


def add_new(
    transaction: Connection, arrived: Sequence[tuple[Artifact, Mapping[str, Json]]], has: Has = Has.PRESENT
) -> list[int]:
    """Register files whose names are new; ``has`` tells what is known of those with a place.

    The event of each holds, besides what it is, the facts given with it. Returns their numbers, in order.
    """
    if not arrived:
        return []
    table, time = schema.artifact, now()
    given = numbers(transaction, table.c.id, len(arrived))
    rows = [
        {
            "id": number,
            "uri": artifact.uri,
            "sha256": artifact.sha256,
            "size": artifact.size,
            "media_type": artifact.media_type,
            "registered": time,
            "public_from": artifact.public_from,
        }
        for number, (artifact, _) in zip(given, arrived, strict=True)
    ]
    insert_all(transaction, table, rows)
    placed = zip(given, (artifact.place for artifact, _ in arrived), strict=True)
    replicas.add(transaction, {number: place for number, place in placed if place is not None}, has, new=True)
    told = ("uri", "sha256", "size", "media_type", "public_from")
    happened = [
        ("artifact", {**{key: row[key] for key in told}, **facts})
        for row, (_, facts) in zip(rows, arrived, strict=True)
    ]
    events.append_all(transaction, happened)
    return given


def retract(transaction: Connection, due: Mapping[int, str]) -> None:
    """Take files back (numbers and URIs): they count as never delivered, but for their names, which stay taken.

    Raises:
        UsageFault: one of them belongs to a release that is frozen or withdrawn.
    """
    contents.check_open_files(transaction, due)
    table, time = schema.artifact, now()
    for some in portions(list(due)):
        transaction.execute(table.update().where(table.c.id.in_(some)).values(retracted=time))
    replicas.drop(transaction, list(due))
    observations.remove(transaction, due)
    events.append_all(transaction, [("retract", {"uri": uri}) for uri in due.values()])


def is_registered(transaction: Connection, uri: str) -> bool:
    """Whether a file of that name is registered."""
    return transaction.execute(select(schema.artifact.c.id).where(schema.artifact.c.uri == uri)).first() is not None


def delivered(transaction: Connection, key: tuple[str, str], sha256s: Iterable[str]) -> set[str]:
    """Which of these bytes were already delivered for the table."""
    table = schema.delivery
    rows = transaction.execute(
        select(table.c.sha256).where(
            table.c.schema == key[0], table.c.table == key[1], table.c.sha256.in_(list(sha256s))
        )
    )
    return set(rows.scalars())


def state(transaction: Connection, key: tuple[str, str], number: int) -> State:
    """What the table held in that state, which there is."""
    table = schema.state
    rows = transaction.execute(
        select(table.c.rows).where(table.c.schema == key[0], table.c.table == key[1], table.c.number == number)
    ).scalar_one()
    return State(*key, number, rows, _parts(transaction, key, number))


def newest_state(transaction: Connection, key: tuple[str, str]) -> State:
    """What the table holds now."""
    table = schema.state
    row = transaction.execute(
        select(table).where(table.c.schema == key[0], table.c.table == key[1]).order_by(table.c.number.desc()).limit(1)
    ).one_or_none()
    if row is None:
        return State(*key, 0, 0, ())
    return State(*key, row.number, row.rows, _parts(transaction, key, row.number))


def _parts(transaction: Connection, key: tuple[str, str], number: int) -> tuple[Part, ...]:
    place, part, artifact = schema.state_part, schema.part, schema.artifact
    rows = transaction.execute(
        select(part, artifact)
        .select_from(place)
        .join(part, part.c.artifact == place.c.part)
        .join(artifact, artifact.c.id == part.c.artifact)
        .where(place.c.schema == key[0], place.c.table == key[1], place.c.state == number)
        .order_by(place.c.position)
    ).all()
    places = replicas.good(transaction, [row.id for row in rows])
    return tuple(Part(_artifact(row, places.get(row.id)), row.rows, row.first_cell, row.last_cell) for row in rows)


def _artifact(row: Row[Any], place: Place | None) -> Artifact:
    return Artifact(row.uri, row.sha256, row.size, row.media_type, place, row.public_from)


def since(transaction: Connection, state: State) -> list[int]:
    """For each part of ``state`` the number of the state with which it came.

    Should an earlier state have had a part that is not there any more, what it held cannot be told from ``state``: then
    all parts count as come with it.
    """
    place = schema.state_part
    of_table = (place.c.schema == state.schema) & (place.c.table == state.table)
    rows = transaction.execute(
        select(place.c.part, func.min(place.c.state))
        .where(of_table, place.c.state <= state.number)
        .group_by(place.c.part)
    )
    first = {part: int(number) for part, number in rows}
    here = transaction.execute(
        select(place.c.part).where(of_table, place.c.state == state.number).order_by(place.c.position)
    ).scalars()
    parts = list(here)
    return [first[part] if len(first) == len(parts) else state.number for part in parts]


def append_rows(
    transaction: Connection,
    before: State,
    description: int,
    deliveries: Sequence[Delivery],
    parts: Sequence[Part],
) -> State:
    """Register deliveries and the parts made from them; the table's new state is the old one and these parts.

    Raises:
        UsageFault: the release is frozen or withdrawn.
        TransientFault: the table changed since ``before`` was read, so what was checked may no longer hold.
    """
    key = (before.schema, before.table)
    contents.check_open(transaction, [before.schema])
    if newest_state(transaction, key).number != before.number:
        raise TransientFault(f"Something else was loaded into {'.'.join(key)} meanwhile.", "Load again.")
    sources = [_add_delivery(transaction, key, delivery) for delivery in deliveries]
    ids = [_add_part(transaction, key, description, part, sources) for part in parts]
    kept = transaction.execute(
        select(schema.state_part.c.part)
        .where(
            schema.state_part.c.schema == key[0],
            schema.state_part.c.table == key[1],
            schema.state_part.c.state == before.number,
        )
        .order_by(schema.state_part.c.position)
    ).scalars()
    state = State(*key, before.number + 1, before.rows + sum(part.rows for part in parts), (*before.parts, *parts))
    transaction.execute(
        schema.state.insert().values(schema=key[0], table=key[1], number=state.number, rows=state.rows, made=now())
    )
    places = [
        {"schema": key[0], "table": key[1], "state": state.number, "position": position, "part": part}
        for position, part in enumerate([*kept, *ids], start=1)
    ]
    transaction.execute(schema.state_part.insert(), places)
    events.append(transaction, "state", {"schema": key[0], "table": key[1], "number": state.number, "rows": state.rows})
    return state


def _add_delivery(transaction: Connection, key: tuple[str, str], delivery: Delivery) -> int:
    artifact = add_artifact(transaction, delivery.artifact)
    transaction.execute(
        schema.delivery.insert().values(
            artifact=artifact,
            schema=key[0],
            table=key[1],
            sha256=delivery.artifact.sha256,
            file=delivery.file,
            rows=delivery.rows,
        )
    )
    return artifact


def _add_part(
    transaction: Connection, key: tuple[str, str], description: int, part: Part, sources: Iterable[int]
) -> int:
    artifact = add_artifact(transaction, part.artifact)
    transaction.execute(
        schema.part.insert().values(
            artifact=artifact,
            schema=key[0],
            table=key[1],
            description=description,
            rows=part.rows,
            first_cell=part.first_cell,
            last_cell=part.last_cell,
        )
    )
    for source in sources:
        transaction.execute(schema.derived_from.insert().values(artifact=artifact, source=source))
    return artifact


def states(transaction: Connection, name: str) -> dict[str, int]:
    """Number of the newest state of each table of the schema that holds rows."""
    table = schema.state
    rows = transaction.execute(
        select(table.c.table, func.max(table.c.number)).where(table.c.schema == name).group_by(table.c.table)
    )
    return {row[0]: row[1] for row in rows}
