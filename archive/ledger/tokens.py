"""Tokens: secrets by which programs act for somebody over HTTP.

A token is ``<id>.<secret>``. The ledger holds the sha256 of the secret and never the secret, which has 256 random bits:
so its digest tells nothing of it, and needs no salt and no slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Row, select

from archive.ledger import events, grants, schema
from archive.ledger.database import now, stamp
from archive.ledger.ledger import Ledger

_ID_BYTES, _SECRET_BYTES = 6, 32
_ID = re.compile(f"[0-9a-f]{{{2 * _ID_BYTES}}}")
_NOTED_EVERY = timedelta(hours=1)  # how exactly it is known when a token was last used
_NOBODYS = "0" * 64  # compared with where there is no such token, so that it takes as long


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token; times as the ledger writes them. ``last_used`` is true to about an hour."""

    id: str
    actor: str
    role: str
    created: str
    expires: str | None
    revoked: str | None
    last_used: str | None

    def is_valid(self, moment: str) -> bool:
        """Whether it was not revoked and has not expired at ``moment``."""
        return self.revoked is None and (self.expires is None or moment < self.expires)


def create(transaction: Connection, actor: str, role: str, expires: str | None = None) -> str:
    """A new token, as it is given to whoever is to use it; it can never be told again."""
    number, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    row = {"id": number, "actor": actor, "role": role, "created": now(), "expires": expires}
    transaction.execute(schema.token.insert().values(**row, hash=_hash(secret)))
    events.append(transaction, "token", {"token": number, "to": actor, "role": role, "expires": expires})
    return f"{number}.{secret}"


def revoke(transaction: Connection, number: str) -> bool | None:
    """Make a token worthless for ever; whether it was not so before, None if there is none."""
    table = schema.token
    row = transaction.execute(select(table.c.revoked).where(table.c.id == number)).one_or_none()
    if row is None:
        return None
    if row.revoked is not None:
        return False
    transaction.execute(table.update().where(table.c.id == number).values(revoked=now()))
    events.append(transaction, "token-revoked", {"token": number})
    return True


def everything(transaction: Connection) -> Sequence[Token]:
    """All tokens there ever were, oldest first."""
    rows = transaction.execute(select(schema.token).order_by(schema.token.c.created))
    return [_token(row) for row in rows]


def find(ledger: Ledger, text: str) -> Token | None:
    """The valid token that was given as ``text``, whose actor still has its role; else None."""
    number, _, secret = text.partition(".")
    if _ID.fullmatch(number) is None:
        number = ""  # looked up all the same
    moment = datetime.now(UTC)
    with ledger.read() as transaction:
        row = transaction.execute(select(schema.token).where(schema.token.c.id == number)).one_or_none()
        granted = row is not None and row.role in grants.roles(transaction, row.actor)
    right = hmac.compare_digest(_hash(secret), _NOBODYS if row is None else row.hash)
    if row is None or not right or not granted or not (found := _token(row)).is_valid(stamp(moment)):
        return None
    if found.last_used is None or found.last_used < stamp(moment - _NOTED_EVERY):
        with ledger.write() as transaction:
            table = schema.token
            transaction.execute(table.update().where(table.c.id == number).values(last_used=stamp(moment)))
    return found


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


def _token(row: Row[tuple[object, ...]]) -> Token:
    return Token(row.id, row.actor, row.role, row.created, row.expires, row.revoked, row.last_used)
