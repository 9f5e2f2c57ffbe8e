"""Registered files, what they are to the tables, and the states that parts make up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from archive.faults import TransientFault, UsageFault
from archive.ledger import events, schema
from archive.ledger.database import now


@dataclass(frozen=True, slots=True)
class Artifact:
    """A registered file: its name for ever, its bytes' sha256 and number, and where they lie in the store."""

    uri: str
    sha256: str
    size: int
    media_type: str
    path: str


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


def add_artifact(transaction: Connection, artifact: Artifact) -> int:
    """Register a file; the same one again changes nothing.

    Raises:
        UsageFault: the name is taken by other bytes.
    """
    table = schema.artifact
    known = transaction.execute(select(table).where(table.c.uri == artifact.uri)).one_or_none()
    if known is not None:
        if (known.sha256, known.size) != (artifact.sha256, artifact.size):
            raise UsageFault(
                f"{artifact.uri} is registered with other bytes (sha256 {known.sha256}).",
                "A name never gets new bytes: use another name.",
            )
        return int(known.id)
    result = transaction.execute(
        table.insert().values(
            uri=artifact.uri,
            sha256=artifact.sha256,
            size=artifact.size,
            media_type=artifact.media_type,
            path=artifact.path,
            registered=now(),
        )
    )
    events.append(transaction, "artifact", {"uri": artifact.uri, "sha256": artifact.sha256, "size": artifact.size})
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])


def is_registered(transaction: Connection, uri: str) -> bool:
    """Whether a file of that name is registered."""
    return transaction.execute(select(schema.artifact.c.id).where(schema.artifact.c.uri == uri)).first() is not None


def registered_paths(transaction: Connection, folder: str) -> set[str]:
    """The paths of all registered files in a folder of the store."""
    path = schema.artifact.c.path
    return set(transaction.execute(select(path).where(path.startswith(f"{folder}/", autoescape=True))).scalars())


def delivered(transaction: Connection, key: tuple[str, str], sha256s: Iterable[str]) -> set[str]:
    """Which of these bytes were already delivered for the table."""
    table = schema.delivery
    rows = transaction.execute(
        select(table.c.sha256).where(
            table.c.schema == key[0], table.c.table == key[1], table.c.sha256.in_(list(sha256s))
        )
    )
    return set(rows.scalars())


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
    )
    return tuple(
        Part(Artifact(row.uri, row.sha256, row.size, row.media_type, row.path), row.rows, row.first_cell, row.last_cell)
        for row in rows
    )


def append_rows(
    transaction: Connection,
    before: State,
    description: int,
    deliveries: Sequence[Delivery],
    parts: Sequence[Part],
) -> State:
    """Register deliveries and the parts made from them; the table's new state is the old one and these parts.

    Raises:
        TransientFault: the table changed since ``before`` was read, so what was checked may no longer hold.
    """
    key = (before.schema, before.table)
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
