"""PostgreSQL: the engine for many users. One table per edition, one pooled connection per query, rows by COPY.

Statements run read-only, as a role of their own where one is given, and carry all values as literals, since that is
what lets the driver stream. Queries that touch nothing in the database (TAP_SCHEMA, or uploads alone) are answered
in this process by DuckDB: they would cost more to send than to answer.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from adbc_driver_postgresql import dbapi
from sqlalchemy.pool import QueuePool

from archive.adql.bound import Bound
from archive.columns import Column, arrow_type
from archive.engine import postgres_build
from archive.engine.contract import Bindings, Engine, Limits, Stream
from archive.engine.duckdb import DuckDB
from archive.engine.listed import Viewed
from archive.engine.places import Place, as_of
from archive.engine.postgres_build import SCHEMA, sendable
from archive.engine.postgres_crossmatch import ProbingWriter
from archive.engine.postgres_dialect import DIALECT, filled, pieces
from archive.engine.postgres_listed import Views
from archive.engine.postgres_running import FAILURES, Running, meaning
from archive.engine.postgres_setup import libpq, prepare
from archive.engine.postgres_sphere import FineSphere
from archive.engine.shapes import Shapes, shape
from archive.engine.watch import Watch
from archive.faults import TransientFault
from archive.tables import Edition, Table

_SESSION = {
    "standard_conforming_strings": "on",  # else a backslash in a literal would end it
    "TimeZone": "UTC",
    "search_path": "pg_catalog",  # our statements name every schema
    "jit": "off",  # compiling takes longer than most queries
    "client_connection_check_interval": "5000",  # milliseconds: a server whose client died stops by itself
}
_READING = {
    **_SESSION,
    "default_transaction_read_only": "on",
    "statement_timeout": "7d",  # only for the unforeseen: it counts the time that a client makes us wait
}
_WRITING = {**_SESSION, "maintenance_work_mem": "256MB"}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement and the Arrow tables it names."""

    text: str
    uploads: dict[str, pa.Table]


class Postgres(Engine):
    """The engine over the editions in the database at ``url``.

    Args:
        url: SQLAlchemy URL (``postgresql+psycopg2://user@host/database``); the database is in C or C.UTF-8.
        role: the role as which queries run, made if need be: it may read editions. Default: the user itself.
        pool: most connections that queries take.
        patience: seconds that a query waits for a connection.
    """

    name = "postgresql"

    def __init__(self, url: str, *, role: str | None = None, pool: int = 8, patience: float = 10.0) -> None:
        address = sa.make_url(url).set(drivername="postgresql+psycopg2")
        self.facts = prepare(address, role)
        self._views = Views(address, spherical=self.facts.sphere is not None)
        self._writing = libpq(address, _WRITING)
        self._source = self._connect(libpq(address, {**_READING, **({} if role is None else {"role": role})}))
        self._pool = QueuePool(
            self._source.adbc_clone, pool_size=pool, max_overflow=0, timeout=patience, reset_on_return="rollback"
        )
        self._shapes: Shapes[tuple[str, ...]] = Shapes()
        self._watch = Watch(self.name)
        self._beside: DuckDB | None = None
        self._lock = threading.Lock()  # guards what is made when first needed

    def run(self, query: Bound, bindings: Bindings, limits: Limits) -> Stream:
        if _beside(bindings):
            return self._in_process().run(query, bindings, limits)
        prepared = self._prepare(query, bindings, limits.rows)
        running = self._started(prepared, limits)
        return Stream(query.columns, _exact(running.rows(), query.columns), running.close, running.whole)

    def sql(self, query: Bound, bindings: Bindings) -> str:
        if _beside(bindings):
            return self._in_process().sql(query, bindings)
        return _prepare(query, bindings, None, self._views).text

    def plan(self, query: Bound, bindings: Bindings) -> str:
        if _beside(bindings):
            return self._in_process().plan(query, bindings)
        prepared = _prepare(query, bindings, None, self._views)
        return "\n".join(Running(self._pool, self._watch, None).lines(f"EXPLAIN {prepared.text}", prepared.uploads))

    def build(
        self,
        table: Table,
        number: int,
        parts: Sequence[Path],
        progress: Callable[[int], None] = lambda rows: None,
        since: Sequence[int] = (),
    ) -> Edition:
        connection = self._connect(self._writing)
        try:
            spherical = self.facts.sphere is not None
            return postgres_build.build(connection, table, number, parts, progress, spherical, since)
        except FAILURES as error:
            raise meaning(error) from error
        finally:
            connection.close()

    def remove(self, edition: Edition) -> None:
        connection = self._connect(self._writing)
        try:
            postgres_build.remove(connection, edition.place)
        except FAILURES as error:
            raise meaning(error) from error
        finally:
            connection.close()

    def close(self) -> None:
        self._watch.close()
        self._pool.dispose()
        self._source.close()
        if self._beside is not None:
            self._beside.close()

    def _prepare(self, query: Bound, bindings: Bindings, rows: int | None) -> Prepared:
        """As ``_prepare``; the statement of a query with a shape has been written only once."""
        place = None if bindings.sole is None else _place(bindings.sole)
        found = None if place is None else shape(query, place, rows, FineSphere)
        if place is None or found is None:
            return _prepare(query, bindings, rows, self._views)
        made = self._shapes.get(found.key)
        if made is None:
            writer = ProbingWriter(lambda table: place)
            writer.given = found.given
            made = pieces(str(writer.whole(query, rows).compile(dialect=DIALECT)))
            self._shapes.keep(found.key, made)
        return Prepared(filled(made, found.values), {})

    # --- connections --------------------------------------------------------------------------

    def _connect(self, address: str) -> Any:
        try:
            return dbapi.connect(address)
        except FAILURES as error:
            raise meaning(error) from error

    def _started(self, prepared: Prepared, limits: Limits) -> Running:
        """A statement that was sent. Connections that died while they lay idle are found out here, and replaced."""
        try:
            return self._start(prepared, limits)
        except TransientFault as fault:
            if fault.__cause__ is None or not isinstance(fault.__cause__, FAILURES):
                raise
            self._pool.dispose()
        return self._start(prepared, limits)

    def _start(self, prepared: Prepared, limits: Limits) -> Running:
        running = Running(self._pool, self._watch, limits.seconds, limits.gives_way)
        if limits.stop is not None:
            limits.stop.then(running.close)
        try:
            running.start(prepared.text, prepared.uploads, brief=limits.brief)
        except BaseException:
            running.close()
            raise
        return running

    def _in_process(self) -> DuckDB:
        with self._lock:
            if self._beside is None:
                self._beside = DuckDB(Path(tempfile.mkdtemp(prefix="archive-")), threads=2, memory="1GB")
            return self._beside


def _beside(bindings: Bindings) -> bool:
    """True for queries that need nothing of the database."""
    return bool(bindings.arrow) and not bindings.editions and not bindings.listed


def _prepare(query: Bound, bindings: Bindings, rows: int | None, views: Views) -> Prepared:
    uploads: dict[str, pa.Table] = {}
    given: dict[tuple[str, str], Place] = {}

    def locate(table: Table) -> Place:
        edition = bindings.editions.get(table.key)
        if edition is not None:
            return as_of(_place(edition), bindings.states.get(table.key))
        listed = bindings.listed.get(table.key)
        if isinstance(listed, Viewed):
            return views.place(listed)
        if table.key not in given:
            given[table.key] = _upload(table, bindings.arrow[table.key], uploads)
        return given[table.key]

    return Prepared(str(ProbingWriter(locate).whole(query, rows).compile(dialect=DIALECT)), uploads)


def _place(edition: Edition) -> Place:
    return Place(sa.table(edition.place, schema=SCHEMA), edition.physical, edition.rows, edition.healpix)


def _upload(table: Table, rows: pa.Table, uploads: dict[str, pa.Table]) -> Place:
    """A name for Arrow rows that came with the request; their columns are ``c1``... by position."""
    name = f"u{len(uploads) + 1}"
    physical = {column.name: f"c{at}" for at, column in enumerate(table.columns, 1)}
    arrays = [column.cast(sendable(column.type)) for column in rows.columns]
    uploads[name] = pa.table(arrays, names=list(physical.values()))
    return Place(sa.table(name, schema="pg_temp"), physical, rows.num_rows, healpix=False)


def _exact(batches: Iterator[pa.RecordBatch], columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
    """The same batches in exactly the types that ``columns`` have between rooms."""
    types = [arrow_type(column) for column in columns]
    schema = pa.schema([pa.field(f"c{at}", kind) for at, kind in enumerate(types, 1)])
    for batch in batches:
        arrays = [
            array if array.type == kind else array.cast(kind) for array, kind in zip(batch.columns, types, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)
