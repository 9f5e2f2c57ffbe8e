"""Files that a person has declared lost: no step of the program does so (design: invariant 5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, select

from archive.ledger import events, incidents, schema
from archive.ledger.bulk import portions
from archive.ledger.database import now
from archive.ledger.replicas import Has

_OF_A_COPY = ("bad-copy", "missing-copy", "unreadable-copy", "not-mended")


@dataclass(frozen=True, slots=True)
class Loss:
    """A file that was declared lost, when, and why."""

    uri: str
    size: int
    declared: str
    reason: str


def declare(transaction: Connection, artifact: int, uri: str, reason: str) -> None:
    """Note that the bytes of a file are lost; what is known of it stays, and its incidents are over."""
    transaction.execute(schema.loss.insert().values(artifact=artifact, declared=now(), reason=reason))
    events.append(transaction, "loss", {"uri": uri})
    for kind in _OF_A_COPY:
        incidents.close_incident(transaction, kind, uri)


def are(transaction: Connection, artifacts: Sequence[int]) -> set[int]:
    """Which of these files are declared lost."""
    table, found = schema.loss, set[int]()
    for some in portions(artifacts):
        found |= set(transaction.execute(select(table.c.artifact).where(table.c.artifact.in_(some))).scalars())
    return found


def all_of(transaction: Connection) -> list[Loss]:
    """All losses, the oldest first."""
    table, file = schema.loss, schema.artifact
    rows = transaction.execute(
        select(file.c.uri, file.c.size, table.c.declared, table.c.reason)
        .join(table, table.c.artifact == file.c.id)
        .order_by(table.c.declared, file.c.uri)
    )
    return [Loss(*row) for row in rows]


def found_again(transaction: Connection, artifacts: Iterable[int]) -> None:
    """These files have a good copy: they are not lost, and incidents of those whose copies are all good are over."""
    for some in portions(list(artifacts)):
        lost = are(transaction, some)
        rows = transaction.execute(select(schema.artifact.c.id, schema.artifact.c.uri).where(_among(some))).all()
        transaction.execute(delete(schema.loss).where(schema.loss.c.artifact.in_(lost)))
        events.append_all(transaction, [("found", {"uri": row.uri}) for row in rows if row.id in lost])
        failing = _failing(transaction, some)
        for row in rows:
            for kind in _OF_A_COPY if row.id not in failing else ():
                incidents.close_incident(transaction, kind, row.uri)


def _among(artifacts: Sequence[int]) -> ColumnElement[bool]:
    return schema.artifact.c.id.in_(artifacts)


def _failing(transaction: Connection, artifacts: Sequence[int]) -> set[int]:
    """Those of these files of which a copy is bad or absent."""
    copy = schema.replica
    wrong = copy.c.artifact.in_(artifacts) & copy.c.has.in_([Has.BAD, Has.ABSENT])
    return set(transaction.execute(select(copy.c.artifact).where(wrong)).scalars())
