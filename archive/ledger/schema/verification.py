"""Looking after stored files: which store is which, how far each round of checks has come, and what was lost."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, String, Table

from archive.ledger.schema.layout import Id, metadata

store_mark = Table(  # what stands at the root of each store, so that an empty mount is not taken for it
    "store_mark",
    metadata,
    Column("store", String, primary_key=True),
    Column("mark", String, nullable=False),
    Column("since", String, nullable=False),
)

check_round = Table(  # of checks; one that has not ended goes on where it was
    "check_round",
    metadata,
    Column("id", Id, primary_key=True),
    Column("store", String, nullable=False, index=True),
    Column("deep", Boolean, nullable=False),  # all bytes read; else names and sizes
    Column("begun", String, nullable=False),  # a deep round reads what was last read before
    Column("seen", String, nullable=False),  # when it last came on
    Column("ended", String),
    Column("after", String, nullable=False),  # the last path that was looked at; "" before the first
    Column("files", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
)

loss = Table(  # files that a person has declared lost
    "loss",
    metadata,
    Column("artifact", ForeignKey("artifact.id"), primary_key=True),
    Column("declared", String, nullable=False),
    Column("reason", String, nullable=False),
)
