"""What tables over the ledger (``ivoa.obscore``, ``backbone.*``) are kept as beside it, and what changed since.

PostgreSQL queries read the ledger itself. Where the ledger is a SQLite file, they read an edition of each table and, of
what changed since it was made, the rows as they are now. Which those are triggers note, so that no writer can forget.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import DDL, BigInteger, Column, String, Table, UniqueConstraint, event

from archive.ledger.schema.datasets import collection, dataset, dataset_file
from archive.ledger.schema.files import artifact, derived_from, product, product_input, replica
from archive.ledger.schema.layout import OF_THIS_DATABASE, Id, metadata
from archive.ledger.schema.observations import observation
from archive.ledger.schema.provenance import activity, used, was_generated_by
from archive.ledger.schema.releases import release

changed = Table(  # each thing once, with a number that is higher than all before
    "changed",
    metadata,
    Column("number", Id, primary_key=True),
    Column("subject", String, nullable=False),  # file, dataset, collection, activity
    Column("key", BigInteger, nullable=False),  # its number in the ledger
    UniqueConstraint("subject", "key"),
    sqlite_autoincrement=True,
    info=OF_THIS_DATABASE,
)

inventory = Table(  # editions of tables over the ledger
    "inventory",
    metadata,
    Column("number", Id, primary_key=True),
    Column("schema", String, nullable=False),
    Column("table", String, nullable=False),
    Column("form", String, nullable=False),  # digest of what the table is and how it is read
    Column("place", String, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("upto", BigInteger, nullable=False),  # all that had changed up to this number is in it
    Column("made", String, nullable=False),
    Column("replaced", String),  # when a newer one took its place
    sqlite_autoincrement=True,
    info=OF_THIS_DATABASE,
)

# --- what SQLite notes by itself --------------------------------------------------------------------

_ALWAYS = ("INSERT", "UPDATE", "DELETE")
_DATASETS = "SELECT 'dataset', dataset FROM dataset_file WHERE artifact = {row}.{key}"
_FILE = "SELECT 'file', {row}.{key}"
_MADE = "SELECT 'file', entity FROM was_generated_by WHERE activity = {row}.{key}"

_NOTED: tuple[tuple[Table, tuple[str, ...], str, tuple[str, ...]], ...] = (
    (artifact, ("UPDATE",), "id", (_FILE, _DATASETS)),  # a new one is not seen before it has a copy
    (replica, ("INSERT", "UPDATE OF has", "DELETE"), "artifact", (_FILE, _DATASETS)),
    (product, _ALWAYS, "artifact", (_FILE,)),
    (observation, _ALWAYS, "artifact", (_FILE,)),
    (product_input, _ALWAYS, "artifact", (_FILE,)),
    (derived_from, _ALWAYS, "artifact", (_FILE,)),
    (was_generated_by, _ALWAYS, "entity", (_FILE,)),
    (activity, _ALWAYS, "id", ("SELECT 'activity', {row}.{key}",)),
    (used, _ALWAYS, "activity", ("SELECT 'activity', {row}.{key}", _MADE)),
    (release, ("UPDATE OF withdrawn",), "name", ("SELECT 'file', artifact FROM product WHERE release = {row}.{key}",)),
    (dataset, _ALWAYS, "id", ("SELECT 'dataset', {row}.{key}",)),
    (dataset_file, _ALWAYS, "dataset", ("SELECT 'dataset', {row}.{key}",)),
    (collection, _ALWAYS, "id", ("SELECT 'collection', {row}.{key}",)),
)


def _triggers() -> Iterator[tuple[Table, str]]:
    for table, events, key, noted in _NOTED:
        for when in events:
            word = when.partition(" ")[0].lower()
            keys = (each.format(row="old" if word == "delete" else "new", key=key) for each in noted)
            notes = " ".join(f"INSERT OR REPLACE INTO changed (subject, key) {each};" for each in keys)
            name = f"changed_{table.name}_{word}"
            yield table, f'CREATE TRIGGER {name} AFTER {when} ON "{table.name}" BEGIN {notes} END'


TRIGGERS = tuple(_triggers())
"""For each ledger table the statements that make SQLite note its changes."""

for _table, _statement in TRIGGERS:
    event.listen(_table, "after_create", DDL(_statement).execute_if(dialect="sqlite"))  # type: ignore[no-untyped-call]
