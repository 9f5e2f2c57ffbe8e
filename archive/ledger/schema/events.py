"""What happened, in order."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, String, Table

from archive.ledger.schema.layout import metadata

event = Table(
    "event",
    metadata,
    Column("origin", String, primary_key=True),  # the endpoint where it happened
    Column("seq", BigInteger, primary_key=True, autoincrement=False),  # 1, 2, ... without a gap, in commit order
    Column("time", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("body", JSON, nullable=False),  # with "actor" and "reason": who did it, and why if they said
    Column("digest", String(64), nullable=False),  # sha256 over the digest before and this event
)
