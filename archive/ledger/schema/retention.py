"""Which files are kept beyond their time, and which left: pins, files dropped, copies on their way out."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, String, Table

from archive.ledger.schema.layout import metadata

pin = Table(  # as long as a file has one, no rule drops it
    "pin",
    metadata,
    Column("artifact", ForeignKey("artifact.id"), primary_key=True),
    Column("actor", String, primary_key=True),  # each has their own
    Column("since", String, nullable=False),
    Column("until", String),  # null: until it is removed
    Column("reason", String, nullable=False),
)

dropping = Table(  # files of which no copy is kept here, on purpose
    "dropping",
    metadata,
    Column("artifact", ForeignKey("artifact.id"), primary_key=True),
    Column("rule", String, nullable=False),
    Column("since", String, nullable=False),
    Column("returned", String),  # when it came back, from which its time counts anew; null while it is gone
)

leaving = Table(  # copies that nobody sees any more and whose bytes are deleted when their grace has passed
    "leaving",
    metadata,
    Column("artifact", ForeignKey("artifact.id"), primary_key=True),
    Column("store", String, primary_key=True),
    Column("since", String, nullable=False),
    Column("until", String, nullable=False),
    Column("taken", String),  # since when its bytes are being deleted: from then on it cannot come back
    Index("leaving_until", "until"),
)
