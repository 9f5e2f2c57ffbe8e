"""What is on its way and what the public does not see yet: for staff only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from archive.ledger import schema
from archive.ledger.database import now
from archive.ledger.replicas import Has


@dataclass(frozen=True, slots=True)
class TableUnderway:
    """A table whose newest state is not shown: its rows as loaded and as shown (None if it is not shown at all)."""

    name: str
    state: int
    loaded: int
    shown: int | None


@dataclass(frozen=True, slots=True)
class ArrivalUnderway:
    """Files that a process brings in: since when, who takes them, bytes that may still come. ``alive`` if it lives."""

    id: str
    store: str
    role: str | None
    host: str | None
    begun: str
    claimed: int
    alive: bool


@dataclass(frozen=True, slots=True)
class Underway:
    """All that is on its way; ``proprietary`` counts files that are not public yet, ``copies`` copies by state."""

    tables: Sequence[TableUnderway]
    building: Sequence[str]
    arrivals: Sequence[ArrivalUnderway]
    proprietary: int
    copies: Mapping[str, int]


def underway(transaction: Connection) -> Underway:
    """What is on its way at this moment."""
    return Underway(
        tuple(_tables(transaction)),
        tuple(_building(transaction)),
        tuple(_arrivals(transaction)),
        _proprietary(transaction),
        _copies(transaction),
    )


def at_work(transaction: Connection) -> float:
    """How many requests are being worked on, as living processes said last, and how many arrivals claim room."""
    process, arrival, moment = schema.process, schema.arrival, now()
    alive = process.c.lease >= moment
    busy = transaction.execute(select(func.coalesce(func.sum(process.c.busy), 0.0)).where(alive)).scalar_one()
    coming = select(func.count()).select_from(arrival).join(process, process.c.id == arrival.c.process)
    return float(busy) + int(transaction.execute(coming.where(alive, arrival.c.claimed > 0)).scalar_one())


def _tables(transaction: Connection) -> list[TableUnderway]:
    state, shown, edition = schema.state, schema.published, schema.edition
    newest = select(state.c.schema, state.c.table, func.max(state.c.number).label("number"))
    last = newest.group_by(state.c.schema, state.c.table).subquery()
    here = (state.c.schema == last.c.schema) & (state.c.table == last.c.table) & (state.c.number == last.c.number)
    rows = transaction.execute(
        select(state, edition.c.rows.label("shown"))
        .join(last, here)
        .outerjoin(shown, (shown.c.schema == state.c.schema) & (shown.c.table == state.c.table))
        .outerjoin(edition, edition.c.number == shown.c.edition)
        .where(shown.c.state.is_(None) | (shown.c.state < state.c.number))
        .order_by(state.c.schema, state.c.table)
    )
    return [TableUnderway(f"{row.schema}.{row.table}", row.number, row.rows, row.shown) for row in rows]


def _building(transaction: Connection) -> list[str]:
    """The tables of which an edition is being built."""
    edition = schema.edition
    rows = transaction.execute(select(edition.c.schema, edition.c.table).where(edition.c.place.is_(None)))
    return sorted(".".join(row) for row in rows)


def _arrivals(transaction: Connection) -> list[ArrivalUnderway]:
    arrival, process = schema.arrival, schema.process
    rows = transaction.execute(
        select(arrival, process.c.role, process.c.host, process.c.lease)
        .outerjoin(process, process.c.id == arrival.c.process)
        .order_by(arrival.c.begun)
    )
    moment = now()
    return [
        ArrivalUnderway(
            row.id,
            row.store,
            row.role,
            row.host,
            row.begun,
            row.claimed,
            alive=row.lease is not None and row.lease >= moment,
        )
        for row in rows
    ]


def _proprietary(transaction: Connection) -> int:
    file = schema.artifact
    return int(
        transaction.execute(
            select(func.count()).select_from(file).where(file.c.public_from > now(), file.c.retracted.is_(None))
        ).scalar_one()
    )


def _copies(transaction: Connection) -> dict[str, int]:
    copy = schema.replica
    rows = transaction.execute(select(copy.c.has, func.count()).group_by(copy.c.has))
    return {str(Has(row[0])): row[1] for row in rows}
