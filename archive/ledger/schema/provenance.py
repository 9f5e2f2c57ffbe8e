"""What was made from what, by whom and how, in the words of the IVOA Provenance Data Model 1.0."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, String, Table

from archive.ledger.schema.layout import Id, metadata

activity = Table(
    "activity",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uri", String, nullable=False, unique=True),
    Column("name", String, nullable=False),
    Column("start_time", String),  # as all times here
    Column("stop_time", String),
    Column("software", String),
    Column("version", String),
    Column("agent", String),  # the person or organisation that it was done for
    Column("comment", String),
    Column("told", String, nullable=False),  # by whom: who delivered the files, their headers, or this archive
    CheckConstraint("told in ('deliverer', 'header', 'archive')", name="activity_told"),
)

activity_parameter = Table(
    "activity_parameter",
    metadata,
    Column("activity", ForeignKey("activity.id"), primary_key=True),
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
)

used = Table(
    "used",
    metadata,
    Column("activity", ForeignKey("activity.id"), primary_key=True),
    Column("role", String, primary_key=True),
    Column("entity", String, primary_key=True),  # URI, no foreign key: what was used may come later
    Index("used_entity", "entity"),
)

was_generated_by = Table(
    "was_generated_by",
    metadata,
    Column("entity", ForeignKey("artifact.id"), primary_key=True),
    Column("activity", ForeignKey("activity.id"), nullable=False, index=True),
    Column("role", String),
)
