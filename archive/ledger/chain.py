"""Are the events of a ledger whole? Each has the next number of its origin and a digest over the one before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, select

from archive.ledger import schema
from archive.ledger.events import BEFORE_ALL, digest

_BATCH = 2000  # events


@dataclass(frozen=True, slots=True)
class Head:
    """The last event of an origin."""

    origin: str
    seq: int
    digest: str


@dataclass(frozen=True, slots=True)
class Break:
    """An event that does not follow from the one before it."""

    origin: str
    seq: int
    found: str


def heads(transaction: Connection) -> tuple[Head, ...]:
    """The last event of each origin."""
    event, later = schema.event, schema.event.alias()
    newest = ~select(later.c.seq).where(later.c.origin == event.c.origin, later.c.seq > event.c.seq).exists()
    rows = transaction.execute(
        select(event.c.origin, event.c.seq, event.c.digest).where(newest).order_by(event.c.origin)
    )
    return tuple(Head(*row) for row in rows)


def check(transaction: Connection, told: Callable[[int], None] = lambda events: None) -> Break | None:
    """Follow the chain of every origin; the first place where it does not hold, None if it is whole."""
    event = schema.event
    rows = transaction.execution_options(yield_per=_BATCH).execute(select(event).order_by(event.c.origin, event.c.seq))
    origin, seq, before = "", 0, BEFORE_ALL
    for batch in rows.partitions():
        for row in batch:
            if row.origin != origin:
                origin, seq, before = row.origin, 0, BEFORE_ALL
            seq += 1
            if row.seq != seq:
                return Break(origin, seq, f"event {seq} is missing")
            if row.digest != digest(before, origin, seq, row.time, row.kind, row.body):
                return Break(origin, seq, f"event {seq} is not as it was written")
            before = row.digest
        told(len(batch))
    return None
