"""What went wrong and wants people's eyes: opened once for each subject, closed when it is put right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, select

from archive.faults import NotFound
from archive.ledger import events, schema
from archive.ledger.database import now
from archive.ledger.events import Json


@dataclass(frozen=True, slots=True)
class Incident:
    """Something of ``kind`` that is wrong with ``subject`` (a URI, a store, ...) since ``opened``, until ``closed``."""

    id: int
    kind: str
    subject: str
    opened: str
    detail: Mapping[str, Json]
    closed: str | None = None


def open_incident(transaction: Connection, kind: str, subject: str, detail: Mapping[str, Json]) -> int:
    """Note that something is wrong; while it is open, the same again only renews its details."""
    table = schema.incident
    here = (table.c.kind == kind) & (table.c.subject == subject) & table.c.closed.is_(None)
    known = transaction.execute(select(table.c.id).where(here)).scalar_one_or_none()
    if known is not None:
        transaction.execute(table.update().where(table.c.id == known).values(detail=dict(detail)))
        return int(known)
    values = {"kind": kind, "subject": subject, "opened": now(), "detail": dict(detail)}
    result = transaction.execute(table.insert().values(**values))
    events.append(transaction, "incident", {"kind": kind, "subject": subject, "detail": detail})
    key = result.inserted_primary_key
    assert key is not None
    return int(key[0])


def close_incident(transaction: Connection, kind: str, subject: str) -> bool:
    """Note that it is put right; returns whether it was open."""
    table = schema.incident
    here = (table.c.kind == kind) & (table.c.subject == subject) & table.c.closed.is_(None)
    closed = transaction.execute(table.update().where(here).values(closed=now())).rowcount
    if closed:
        events.append(transaction, "incident-closed", {"kind": kind, "subject": subject})
    return bool(closed)


def open_incidents(transaction: Connection) -> Sequence[Incident]:
    """All that is wrong now, oldest first."""
    return _found(transaction, _all().where(schema.incident.c.closed.is_(None)))


def everything(transaction: Connection) -> Sequence[Incident]:
    """All incidents there ever were, oldest first."""
    return _found(transaction, _all())


def named(transaction: Connection, number: int) -> Incident:
    """The incident with that number.

    Raises:
        NotFound: there is none.
    """
    found = _found(transaction, _all().where(schema.incident.c.id == number))
    if not found:
        raise NotFound(f"There is no incident {number}.", "Which there are: archive incident list --all")
    return found[0]


def _all() -> Select[Any]:
    table = schema.incident
    columns = (table.c.id, table.c.kind, table.c.subject, table.c.opened, table.c.detail, table.c.closed)
    return select(*columns).order_by(table.c.id)


def _found(transaction: Connection, wanted: Select[Any]) -> Sequence[Incident]:
    return [Incident(*row) for row in transaction.execute(wanted)]
