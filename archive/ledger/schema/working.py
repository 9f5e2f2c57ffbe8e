"""Processes at work, files on their way in, and how fast stores fill."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Integer, String, Table

from archive.ledger.schema.layout import metadata

process = Table(
    "process",
    metadata,
    Column("id", String, primary_key=True),
    Column("role", String, nullable=False),  # the verb it runs: serve, load, publish
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", String, nullable=False),
    Column("seen", String, nullable=False),
    Column("lease", String, nullable=False),  # until then it counts as alive
    Column("revision", BigInteger),  # the oldest it still serves; null if it serves none
    Column("busy", Double),  # requests at work on the average since its last sign of life; null if it serves none
)

arrival = Table(  # files on their way in
    "arrival",
    metadata,
    Column("id", String, primary_key=True),
    Column("process", String, nullable=False),  # not a foreign key: when it dies, this tells what it leaves behind
    Column("store", String, nullable=False),
    Column("folder", String),  # all files that it names lie below; null if they lay there before
    Column("claimed", BigInteger, nullable=False),  # bytes that it may still write
    Column("begun", String, nullable=False),
)

taken_in = Table(  # how fast a store fills
    "taken_in",
    metadata,
    Column("store", String, primary_key=True),
    Column("hour", String, primary_key=True),  # 2026-11-23T04
    Column("files", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)
