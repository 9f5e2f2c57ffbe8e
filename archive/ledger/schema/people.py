"""Who may what, and what wants people's eyes."""

from __future__ import annotations

from sqlalchemy import JSON, Column, String, Table

from archive.ledger.schema.layout import Id, metadata

grant = Table(
    "grant",
    metadata,
    Column("actor", String, primary_key=True),
    Column("role", String, primary_key=True),
    Column("since", String, nullable=False),
    Column("by", String, nullable=False),
)

token = Table(
    "token",
    metadata,
    Column("id", String, primary_key=True),
    Column("actor", String, nullable=False, index=True),
    Column("role", String, nullable=False),
    Column("hash", String(64), nullable=False),  # sha256 of the secret, which is nowhere
    Column("created", String, nullable=False),
    Column("expires", String),
    Column("revoked", String),
    Column("last_used", String),
)

incident = Table(
    "incident",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False, index=True),  # the URI or the thing that it is about
    Column("opened", String, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("closed", String),
)
