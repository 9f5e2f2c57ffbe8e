"""Saved queries: each with the token of its answer, so that it can be asked again and compared."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, select

from archive.ledger import events, schema
from archive.ledger.database import now

_LETTERS = 12  # of an id, hexadecimal


@dataclass(frozen=True, slots=True)
class Answered:
    """What a query gave when it was ``asked`` (ISO 8601): ``rows``, the first ``cut`` of more if that is given."""

    token: str
    language: str
    text: str
    asked: str
    rows: int
    digest: str
    cut: int | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """A query as it was saved; ``schemas`` are (name, schema version, version of the description)."""

    id: str
    answered: Answered
    schemas: tuple[tuple[str, int, str], ...]
    saved: str
    author: str
    title: str


def save(
    transaction: Connection, answered: Answered, schemas: Sequence[tuple[str, int, str]], *, author: str, title: str
) -> Saved:
    """Save a query; one with the same token that was saved before stays as it is, and is returned."""
    identity = hashlib.sha256(answered.token.encode()).hexdigest()[:_LETTERS]
    before = find(transaction, identity)
    if before is not None:
        return before
    saved = Saved(identity, answered, tuple(schemas), now(), author, title)
    values = asdict(answered) | {"schemas": [list(each) for each in schemas], "saved": saved.saved}
    transaction.execute(schema.saved_query.insert().values(id=identity, author=author, title=title, **values))
    events.append(transaction, "query.save", {"id": identity, "author": author, "title": title, **values})
    return saved


def find(transaction: Connection, identity: str) -> Saved | None:
    """The saved query with that id, or with that token."""
    table = schema.saved_query
    row = transaction.execute(select(table).where((table.c.id == identity) | (table.c.token == identity))).one_or_none()
    if row is None:
        return None
    answered = Answered(row.token, row.language, row.text, row.asked, row.rows, row.digest, row.cut)
    schemas = tuple((name, number, version) for name, number, version in row.schemas)
    return Saved(row.id, answered, schemas, row.saved, row.author, row.title)


def texts(transaction: Connection) -> list[tuple[str, str]]:
    """All saved queries as (language, text), the newest first."""
    table = schema.saved_query
    rows = transaction.execute(select(table.c.language, table.c.text).order_by(table.c.saved.desc()))
    return [(row.language, row.text) for row in rows]
