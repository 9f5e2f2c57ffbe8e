"""Collections, datasets and their members, and which calibration is valid when."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import ExcludeConstraint

from archive.ledger.schema.layout import Id, metadata

collection = Table(
    "collection",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String, nullable=False, unique=True),  # RELEASE/PATH: where the files of a run have their names
    Column("kind", String, nullable=False),
    Column("created", String, nullable=False),
    Column("about", String),
    CheckConstraint("kind in ('run', 'tagged', 'calibration')", name="collection_kind"),
)

dataset = Table(  # each is one attempt at what it is named by: a run, a type and a data id
    "dataset",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uri", String, nullable=False, unique=True),
    Column("collection", ForeignKey("collection.id"), nullable=False),  # the run that it was made in
    Column("type", String, nullable=False),
    Column("data_id", String, nullable=False),  # key=value,..., in one way only
    Column("attempt", Integer, nullable=False),  # 1, 2, ...
    Column("state", String, nullable=False),
    Column("opened", String, nullable=False),
    Column("lease", String),  # until when it may stay open without being touched
    Column("ended", String),  # when it was sealed, or failed
    Column("reason", String),  # why it failed or was withdrawn
    Column("digest", String(64)),  # over all that it holds; from then on it never changes
    Column("files", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    CheckConstraint("state in ('open', 'found', 'spare', 'failed', 'given-up', 'withdrawn')", name="dataset_state"),
    CheckConstraint("(state in ('found', 'spare', 'withdrawn')) = (digest is not null)", name="dataset_sealed"),
    CheckConstraint("(state = 'open') = (lease is not null)", name="dataset_lease"),
    UniqueConstraint("collection", "type", "data_id", "attempt"),
)
Index(  # at most one is found
    "dataset_found",
    dataset.c.collection,
    dataset.c.type,
    dataset.c.data_id,
    unique=True,
    sqlite_where=dataset.c.state == "found",
    postgresql_where=dataset.c.state == "found",
)

dataset_value = Table(  # the data id again, to be searched
    "dataset_value",
    metadata,
    Column("dataset", ForeignKey("dataset.id"), primary_key=True),
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
    Index("dataset_by_value", "key", "value"),
)

dataset_file = Table(
    "dataset_file",
    metadata,
    Column("dataset", ForeignKey("dataset.id"), primary_key=True),
    Column("artifact", ForeignKey("artifact.id"), primary_key=True, index=True),
    Column("role", String),
)

dataset_rows = Table(
    "dataset_rows",
    metadata,
    Column("dataset", ForeignKey("dataset.id"), primary_key=True),
    Column("schema", String, primary_key=True),
    Column("table", String, primary_key=True),
    Column("condition", String, primary_key=True),  # what follows WHERE in ADQL; empty: all rows
    Column("state", Integer, nullable=False),  # of the table
    Column("parts", String(64), nullable=False),  # digest over the parts of that state
    Column("rows", BigInteger, nullable=False),
    ForeignKeyConstraint(["schema", "table", "state"], ["state.schema", "state.table", "state.number"]),
)

tagged = Table(
    "tagged",
    metadata,
    Column("collection", ForeignKey("collection.id"), primary_key=True),
    Column("type", String, primary_key=True),
    Column("data_id", String, primary_key=True),  # so there is one of each here too
    Column("dataset", ForeignKey("dataset.id"), nullable=False, index=True),
)

_SAME = "numrange({0}::numeric, {0}::numeric, '[]')"  # of what is null: everything
_HASHED = "hashtextextended({0}, 0)"

certified = Table(  # which calibration is valid when, for what
    "certified",
    metadata,
    Column("id", Id, primary_key=True),
    Column("collection", ForeignKey("collection.id"), nullable=False),
    Column("dataset", ForeignKey("dataset.id"), nullable=False, index=True),
    Column("type", String, nullable=False),
    Column("instrument", String, nullable=False),
    Column("detector", String),  # null: for all
    Column("filter", String),  # null: for all
    Column("valid_from", Double),  # MJD, UTC; null: since ever
    Column("valid_to", Double),  # just before this; null: for ever
    CheckConstraint("valid_from < valid_to", name="certified_time"),
    ExcludeConstraint(  # of numbers and ranges only: text would need an extension
        (text(_SAME.format("collection")), "&&"),
        (text(_SAME.format(_HASHED.format("type"))), "&&"),
        (text(_SAME.format(_HASHED.format("instrument"))), "&&"),
        (text(_SAME.format(_HASHED.format("detector"))), "&&"),
        (text(_SAME.format(_HASHED.format("filter"))), "&&"),
        (text("numrange(valid_from::numeric, valid_to::numeric)"), "&&"),
        name="certified_once",
        using="gist",
    ).ddl_if("postgresql"),
    Index("certified_for", "type", "instrument", "valid_from"),
)

# --- what the databases see to themselves -----------------------------------------------------------

_OVERLAPPING = """
CREATE TRIGGER certified_once_{when} BEFORE {what} ON certified
WHEN EXISTS (
    SELECT 1 FROM certified AS other
    WHERE other.id IS NOT new.id AND other.collection = new.collection AND other.type = new.type
    AND other.instrument = new.instrument
    AND (other.detector = new.detector OR other.detector IS NULL OR new.detector IS NULL)
    AND (other.filter = new.filter OR other.filter IS NULL OR new.filter IS NULL)
    AND (other.valid_from < new.valid_to OR other.valid_from IS NULL OR new.valid_to IS NULL)
    AND (new.valid_from < other.valid_to OR new.valid_from IS NULL OR other.valid_to IS NULL)
)
BEGIN SELECT RAISE(ABORT, 'certified_once'); END
"""

_SEALED = """
CREATE TRIGGER {table}_sealed_{when} BEFORE {what} ON {table}
WHEN EXISTS (SELECT 1 FROM dataset WHERE id = old.dataset AND digest IS NOT NULL)
BEGIN SELECT RAISE(ABORT, '{table}_sealed'); END
"""

_SEALED_FUNCTION = """
CREATE OR REPLACE FUNCTION dataset_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM dataset WHERE id = old.dataset AND digest IS NOT NULL) THEN
        RAISE integrity_constraint_violation USING MESSAGE = tg_table_name || '_sealed';
    END IF;
    IF tg_op = 'DELETE' THEN
        RETURN old;
    END IF;
    RETURN new;
END $$
"""

_SEALED_ON_POSTGRESQL = """
CREATE TRIGGER {table}_sealed BEFORE UPDATE OR DELETE ON {table}
FOR EACH ROW EXECUTE FUNCTION dataset_sealed()
"""


def _guards() -> Iterator[tuple[Table, str, str]]:
    for what in ("INSERT", "UPDATE"):
        yield certified, "sqlite", _OVERLAPPING.format(when=what.lower(), what=what)
    for table in (dataset_file, dataset_rows):
        for what in ("UPDATE", "DELETE"):
            yield table, "sqlite", _SEALED.format(table=table.name, when=what.lower(), what=what)
        yield table, "postgresql", _SEALED_FUNCTION
        yield table, "postgresql", _SEALED_ON_POSTGRESQL.format(table=table.name)


GUARDS = tuple(_guards())
"""For each table, by database, the statements that make it hold what no constraint can say."""

for _table, _dialect, _statement in GUARDS:
    event.listen(_table, "after_create", DDL(_statement).execute_if(dialect=_dialect))  # type: ignore[no-untyped-call]
