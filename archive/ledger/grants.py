"""Grants: which actor has which role, since when and by whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from archive.ledger import events, schema
from archive.ledger.database import now


@dataclass(frozen=True, slots=True)
class Grant:
    """A role that an actor has."""

    actor: str
    role: str
    since: str
    by: str


def add(transaction: Connection, actor: str, role: str) -> bool:
    """Give ``actor`` a role; whether that is new."""
    if role in roles(transaction, actor):
        return False
    by = events.actor_of(transaction)
    transaction.execute(schema.grant.insert().values(actor=actor, role=role, since=now(), by=by))
    events.append(transaction, "grant", {"to": actor, "role": role})
    return True


def remove(transaction: Connection, actor: str, role: str) -> bool:
    """Take a role from ``actor``; whether they had it."""
    table = schema.grant
    gone = transaction.execute(table.delete().where(table.c.actor == actor, table.c.role == role)).rowcount
    if gone:
        events.append(transaction, "grant-removed", {"to": actor, "role": role})
    return bool(gone)


def roles(transaction: Connection, actor: str) -> set[str]:
    """The roles that an actor has."""
    return set(transaction.execute(select(schema.grant.c.role).where(schema.grant.c.actor == actor)).scalars())


def holders(transaction: Connection, role: str) -> set[str]:
    """The actors who have a role."""
    return set(transaction.execute(select(schema.grant.c.actor).where(schema.grant.c.role == role)).scalars())


def everyone(transaction: Connection) -> Sequence[Grant]:
    """All grants, by actor and role."""
    table = schema.grant
    rows = transaction.execute(select(table).order_by(table.c.actor, table.c.role))
    return [Grant(row.actor, row.role, row.since, row.by) for row in rows]
