"""The log: what happened here, when, by whom and why, as the events tell it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, select

from archive.ledger import schema

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events: all, or those of a kind, by an actor, about a subject, from a moment on (as the ledger writes it).

    ``subject`` is a URI, a schema, a table, the name of an actor or whatever else an event is about.
    """

    kind: str | None = None
    actor: str | None = None
    subject: str | None = None
    since: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One event; ``facts`` is what it is about."""

    origin: str
    seq: int
    time: str
    kind: str
    actor: str
    reason: str | None
    facts: dict[str, Any]


def entries(transaction: Connection, wanted: Wanted, after: tuple[str, int] | None = None) -> Iterator[Entry]:
    """The events that are wanted, in the order of their times; those ``after`` one (origin, number) of its origin."""
    rows = transaction.execution_options(yield_per=_BATCH).execute(_statement(wanted, after))
    for row in rows:
        facts = dict(row.body)
        entry = Entry(row.origin, row.seq, row.time, row.kind, facts.pop("actor", ""), facts.pop("reason", None), facts)
        if wanted.subject is None or _is_about(facts, wanted.subject):
            yield entry


def _statement(wanted: Wanted, after: tuple[str, int] | None) -> Select[Any]:
    event = schema.event
    statement = select(event).order_by(event.c.time, event.c.origin, event.c.seq)
    if wanted.kind is not None:
        statement = statement.where(event.c.kind == wanted.kind)
    if wanted.actor is not None:
        statement = statement.where(event.c.body["actor"].as_string() == wanted.actor)
    if wanted.since is not None:
        statement = statement.where(event.c.time >= wanted.since)
    if after is not None:
        statement = statement.where(event.c.origin == after[0], event.c.seq > after[1])
    return statement


def _is_about(facts: dict[str, Any], subject: str) -> bool:
    """Whether an event names ``subject``: as a value, in a list, or as schema and table."""
    if subject == f"{facts.get('schema')}.{facts.get('table')}":
        return True
    values = [each for value in facts.values() for each in (value if isinstance(value, list) else [value])]
    return subject in values
