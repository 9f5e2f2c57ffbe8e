"""What happened here, in order: each event has the next number of its origin and chains the one before.

Numbers have no gaps and are in commit order because they are given in a transaction that holds the write lock.
Each event's body says who did it (``actor``) and, where they said so, why (``reason``): both belong to the
transaction, see ``Ledger.write``.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
from collections.abc import Mapping, Sequence
from functools import cache

from sqlalchemy import Connection, select

from archive.ledger import schema
from archive.ledger.bulk import Encoded, insert_all
from archive.ledger.database import now
from archive.ledger.site import read_site

BEFORE_ALL = "0" * 64
_ARCHIVE = "archive"  # the actor where a process has no user with a name
_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"))  # the canonical way

Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]
Body = Mapping[str, Json]


def append(transaction: Connection, kind: str, body: Body) -> int:
    """Note that something of ``kind`` happened in this transaction; returns its number."""
    return append_all(transaction, [(kind, body)])


def append_all(transaction: Connection, happened: Sequence[tuple[str, Body]]) -> int:
    """Note all that ``happened``, in order, each with its kind; returns the number of the last."""
    origin = read_site(transaction).authority
    last = transaction.execute(
        select(schema.event.c.seq, schema.event.c.digest)
        .where(schema.event.c.origin == origin)
        .order_by(schema.event.c.seq.desc())
        .limit(1)
        .with_for_update()
    ).one_or_none()
    seq, before = (0, BEFORE_ALL) if last is None else (last.seq, last.digest)
    time, who = now(), _who(transaction)
    rows = []
    for kind, said in happened:
        seq += 1
        body = canonical({**said, **who})
        before = _digest(before, origin, seq, time, kind, body)
        rows.append({"origin": origin, "seq": seq, "time": time, "kind": kind, "body": body, "digest": before})
    insert_all(transaction, schema.event, rows)
    return seq


def _who(transaction: Connection) -> dict[str, Json]:
    options = transaction.get_execution_options()
    return {"actor": actor_of(transaction), "reason": options.get("archive_reason")}


def actor_of(transaction: Connection) -> str:
    """Who acts in this transaction."""
    by: str | None = transaction.get_execution_options().get("archive_by")
    return by or own_actor()


@cache
def own_actor() -> str:
    """Who acts where nobody is named: the user whose process this is."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return _ARCHIVE


def digest(before: str, origin: str, seq: int, time: str, kind: str, body: Body) -> str:
    """The chained digest of an event: sha256 over the one before and the event as canonical JSON."""
    return _digest(before, origin, seq, time, kind, canonical(body))


def _digest(before: str, origin: str, seq: int, time: str, kind: str, body: str) -> str:
    head = _JSON.encode([before, origin, seq, time, kind])
    return hashlib.sha256(f"{head[:-1]},{body}]".encode()).hexdigest()


def canonical(body: Body) -> Encoded:
    """A mapping as canonical JSON: keys sorted, no spaces, ASCII. Values that are ``Encoded`` so are not told twice."""
    pieces: list[str] = []
    plain: dict[str, Json] = {}
    for key in sorted(body):
        value = body[key]
        if not isinstance(value, Encoded):
            plain[key] = value
            continue
        if plain:
            pieces.append(_JSON.encode(plain)[1:-1])
            plain = {}
        pieces.append(f"{_JSON.encode(key)}:{value}")
    if plain:
        pieces.append(_JSON.encode(plain)[1:-1])
    return Encoded(f"{{{','.join(pieces)}}}")
