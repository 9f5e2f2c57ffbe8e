"""Tables over the ledger in PostgreSQL: views of it in the schema of editions, which the role of queries may read.

A view is made when it is first needed, and named by a digest of what it is, so that programs which differ have views of
their own. A statement sees the ledger as it is when it begins: what was committed before, and nothing half.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import URL, Connection

from archive.columns import Column, Datatype
from archive.engine import elements as el
from archive.engine import postgres_intervals
from archive.engine.listed import KEY, Form, Viewed
from archive.engine.places import Place
from archive.engine.postgres_build import SCHEMA
from archive.engine.postgres_dialect import DIALECT, UDF
from archive.engine.postgres_regions import PARTS, caps_of, recorded
from archive.engine.postgres_setup import connected
from archive.engine.sphere import HEALPIX
from archive.tables import Table

_LOCK = 0x6172_6C76  # of the advisory lock under which one process makes views
_PREFIX = "over_ledger_"


class Views:
    """The views of the database at ``address``. Safe for threads."""

    def __init__(self, address: URL, *, spherical: bool) -> None:
        self._address = address
        self._spherical = spherical
        self._lock = threading.Lock()
        self._known: dict[Form, str] = {}

    def place(self, viewed: Viewed) -> Place:
        """Where the rows lie; the view is made if it is not there."""
        form = viewed.form
        name = self._known.get(form)
        if name is None:
            with self._lock:
                name = self._known[form] = self._known.get(form) or self._made(viewed)
        physical = form.physical | recorded(caps_of(_stored(form)), ()) | postgres_intervals.recorded(viewed.intervals)
        return Place(sa.table(name, schema=SCHEMA), physical, viewed.size, form.healpix)

    def _made(self, viewed: Viewed) -> str:
        text = str(_definition(viewed).compile(dialect=DIALECT))
        indexes = [*_folded(viewed), *_spans(viewed), *(_indexes(viewed) if self._spherical else ())]
        digest = hashlib.sha256("\n".join([text, *(each.statement for each in indexes)]).encode()).hexdigest()
        name = f"{_PREFIX}{viewed.form.table.name}_{digest[:12]}"
        with connected(self._address) as connection:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            if not _is_there(connection, name):
                plain = connection.execution_options(no_parameters=True)
                plain.exec_driver_sql(f"CREATE VIEW {SCHEMA}.{name} AS {text}")
                for index in indexes:
                    plain.exec_driver_sql(index.statement)
                for table in dict.fromkeys(index.table for index in indexes):
                    plain.exec_driver_sql(
                        f'ANALYZE "{table}"'
                    )  # an index of what is computed has statistics of its own
        return name


def drop_views(connection: Connection) -> None:
    """Take all views away, since a table that is changed must have none; they are made again when needed."""
    found = connection.execute(
        sa.text("SELECT viewname FROM pg_views WHERE schemaname = :schema AND viewname LIKE :named"),
        {"schema": SCHEMA, "named": f"{_PREFIX}%"},
    )
    for name in found.scalars().all():
        connection.exec_driver_sql(f'DROP VIEW {SCHEMA}."{name}"')


def _is_there(connection: Connection, name: str) -> bool:
    query = sa.text("SELECT to_regclass(:name) IS NOT NULL")
    return bool(connection.execute(query, {"name": f"{SCHEMA}.{name}"}).scalar_one())


def _stored(form: Form) -> Table:
    """The stored columns as those of a table, by which the names of circles are given."""
    return Table(form.table.schema, form.table.name, form.columns)


def _definition(viewed: Viewed) -> sa.Select[tuple[object, ...]]:
    """All physical columns, each of exactly the type that it has in editions."""
    form, rows = viewed.form, viewed.rows.subquery("s")
    columns = [el.As(el.Ref("s", column.name), column).label(form.physical[column.name]) for column in form.columns]
    for name, cap in caps_of(_stored(form)).items():
        columns += [el.Ref("s", f"{name}_{part}").label(at) for part, at in zip(PARTS, cap.names, strict=True)]
    columns += [el.Ref("s", HEALPIX).label(HEALPIX)] if form.healpix else []
    return sa.select(*columns, el.Ref("s", KEY).label(KEY)).select_from(rows)


@dataclass(frozen=True, slots=True)
class _Index:
    """An index of one of the ledger's own tables, and how it is made."""

    table: str
    statement: str


def _folded(viewed: Viewed) -> Iterator[_Index]:
    """Indexes of texts in lower case, in the words in which LOWER of ADQL is written."""
    for name in viewed.folded:
        column = viewed.rows.selected_columns[name]
        table, term = column.table.name, el.Invoke("lower", [el.As(sa.literal_column(f'"{column.name}"'), _TEXT)])
        words = f'CREATE INDEX IF NOT EXISTS {table}_{name}_folded ON "{table}" ({term.compile(dialect=DIALECT)})'
        yield _Index(table, words)


_TEXT = Column("", Datatype.CHAR, arraysize="*")


def _spans(viewed: Viewed) -> Iterator[_Index]:
    """Indexes of intervals."""
    for low, high in viewed.intervals:
        columns = [viewed.rows.selected_columns[name] for name in (low, high)]
        table = columns[0].table.name
        term = postgres_intervals.span(*(sa.literal_column(f'"{column.name}"') for column in columns))
        words = f'CREATE INDEX IF NOT EXISTS {table}_{low}_span ON "{table}" USING gist'
        yield _Index(table, f"{words} ({term.compile(dialect=DIALECT)})")


def _indexes(viewed: Viewed) -> Iterator[_Index]:
    """Indexes of the circles around regions on the ledger's own tables, by pgSphere."""
    for region in viewed.form.regions:
        columns = [viewed.rows.selected_columns[f"{region}_{part}"] for part in PARTS]
        (table,) = {column.table.name for column in columns}
        names = ", ".join(f'"{column.name}"' for column in columns)
        words = f'CREATE INDEX IF NOT EXISTS {table}_{region}_sky ON "{table}" USING gist ({UDF}.cap({names}))'
        yield _Index(table, words)
