"""Queries that somebody wants to be found again, with the answer they gave."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, String, Table

from archive.ledger.schema.layout import metadata

saved_query = Table(
    "saved_query",
    metadata,
    Column("id", String, primary_key=True),  # made from the token: saving again finds the same one
    Column("token", String, nullable=False, unique=True),
    Column("language", String, nullable=False),
    Column("text", String, nullable=False),
    Column("asked", String, nullable=False),  # when it gave the answer that is meant
    Column("rows", BigInteger, nullable=False),
    Column("digest", String, nullable=False),  # of the rows, in any order
    Column("cut", BigInteger),  # the most rows it was to give, where there were more
    Column("schemas", JSON, nullable=False),  # [[schema, its schema version, version of its description], ...]
    Column("saved", String, nullable=False),
    Column("author", String, nullable=False),  # as they call themselves; empty if they do not
    Column("title", String, nullable=False),
)
