"""What happened here, in order: each event has the next number of its origin and chains the one before.

Numbers have no gaps and are in commit order because they are given in a transaction that holds the write lock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from sqlalchemy import Connection, select

from archive.ledger import schema
from archive.ledger.database import now
from archive.ledger.site import read_site

_BEFORE_ALL = "0" * 64

Body = Mapping[str, str | int | float | list[str] | None]


def append(transaction: Connection, kind: str, body: Body) -> int:
    """Note that something of ``kind`` happened in this transaction; returns its number."""
    origin = read_site(transaction).authority
    last = transaction.execute(
        select(schema.event.c.seq, schema.event.c.digest)
        .where(schema.event.c.origin == origin)
        .order_by(schema.event.c.seq.desc())
        .limit(1)
        .with_for_update()
    ).one_or_none()
    seq, before = (1, _BEFORE_ALL) if last is None else (last.seq + 1, last.digest)
    time = now()
    transaction.execute(
        schema.event.insert().values(
            origin=origin,
            seq=seq,
            time=time,
            kind=kind,
            body=dict(body),
            digest=digest(before, origin, seq, time, kind, body),
        )
    )
    return seq


def digest(before: str, origin: str, seq: int, time: str, kind: str, body: Body) -> str:
    """The chained digest of an event: sha256 over the one before and the event as canonical JSON."""
    text = json.dumps([before, origin, seq, time, kind, dict(body)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
