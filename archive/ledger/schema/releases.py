"""The content of releases: open, frozen under a sealed manifest, or withdrawn."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, String, Table

from archive.ledger.schema.layout import metadata

release = Table(  # one that has no row is open
    "release",
    metadata,
    Column("name", String, primary_key=True),  # that of its schema, and of its files
    Column("state", String, nullable=False),
    Column("created", String, nullable=False),
    Column("freezing", String),  # the process that is writing its manifest; not a foreign key: it may die over that
    Column("frozen", String),
    Column("manifest", ForeignKey("artifact.id")),  # its sha256 is the release's digest
    Column("files", BigInteger),  # in the manifest
    Column("bytes", BigInteger),
    Column("published", String),  # since when the public has it
    Column("withdrawn", String),
    Column("reason", String),  # why it was withdrawn, as the public is told
    CheckConstraint("state in ('open', 'frozen', 'withdrawn')", name="release_state"),
    CheckConstraint("state <> 'frozen' or manifest is not null", name="release_sealed"),
)
