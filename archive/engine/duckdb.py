"""DuckDB: the embedded engine. One immutable file per edition, one in-memory root per process, one cursor per request.

Editions are attached READ_ONLY under names of their own when a query first needs them, and never altered, so any number
of processes read the same files. Nothing but generated statements reaches the database; its reach is the editions
folder, its configuration is locked, its messages are logged and never shown.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from archive.adql.bound import Bound
from archive.columns import Column, arrow_type
from archive.engine import duckdb_build
from archive.engine.contract import Bindings, Engine, Limits, Stream
from archive.engine.duckdb_dialect import DIALECT
from archive.engine.duckdb_macros import MACROS
from archive.engine.duckdb_running import Running, Watch
from archive.engine.select import Place, statement
from archive.faults import TransientFault
from archive.tables import Edition, Table

_log = logging.getLogger(__name__)

_BATCH = 16_384  # rows; the first byte leaves after one of these


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement with its parameters in order and the Arrow tables it names."""

    text: str
    parameters: list[Any]
    views: dict[str, pa.Table]


class DuckDB(Engine):
    """The engine over the editions below ``folder``.

    Args:
        folder: where editions lie; made if missing.
        threads: most threads this process computes with (default: all cores).
        memory: most memory it may use, as DuckDB writes it (``"4GB"``; default: 60 % of the machine's).
        scratch: where it spills what does not fit (default: ``folder/scratch``).
    """

    name = "duckdb"

    def __init__(
        self, folder: Path, *, threads: int | None = None, memory: str | None = None, scratch: Path | None = None
    ) -> None:
        self._folder = folder.resolve()
        self._scratch = (scratch or folder / "scratch").resolve()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._scratch.mkdir(parents=True, exist_ok=True)
        self._settings = {"memory_limit": memory or "60%", **({} if threads is None else {"threads": threads})}
        self._lock = threading.Lock()  # guards the root connection and what is attached to it
        self._attached: dict[str, Place] = {}  # by place
        self._count = 0
        self._root = self._open()
        self._watch = Watch()

    def run(self, query: Bound, bindings: Bindings, limits: Limits) -> Stream:
        prepared = self._prepare(query, bindings, limits.rows)
        with self._lock:
            cursor = self._root.cursor()
        running = Running(cursor, self._watch, limits.seconds)
        if limits.stop is not None:
            limits.stop.then(running.close)
        try:
            reader = running.start(prepared.text, prepared.parameters, _BATCH, prepared.views)
        except BaseException:
            running.close()
            raise
        return Stream(query.columns, _exact(running.batches(reader), query.columns), running.close)

    def sql(self, query: Bound, bindings: Bindings) -> str:
        return self._prepare(query, bindings, None).text

    def plan(self, query: Bound, bindings: Bindings) -> str:
        prepared = self._prepare(query, bindings, None)
        with self._lock:
            cursor = self._root.cursor()
        try:
            for name, table in prepared.views.items():
                cursor.register(name, table)
            rows = cursor.execute(f"EXPLAIN {prepared.text}", prepared.parameters).fetchall()
        finally:
            cursor.close()
        return "\n".join(str(row[1]) for row in rows)

    def build(
        self,
        table: Table,
        number: int,
        parts: Sequence[Path],
        progress: Callable[[int], None] = lambda rows: None,
    ) -> Edition:
        edition = duckdb_build.build(self._folder, table, number, parts, self._settings, progress)
        self._detach(edition.place)
        return edition

    def remove(self, edition: Edition) -> None:
        self._detach(edition.place)
        (self._folder / edition.place).unlink(missing_ok=True)

    def close(self) -> None:
        self._watch.close()
        with self._lock:
            self._root.close()

    # --- the root -----------------------------------------------------------------------------

    def _open(self) -> duckdb.DuckDBPyConnection:
        root = duckdb.connect(
            ":memory:",
            config={
                **self._settings,
                "temp_directory": str(self._scratch),
                "python_enable_replacements": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        root.execute(MACROS)
        root.execute("SET GLOBAL error_on_division_by_zero = false")
        root.execute("SET GLOBAL allowed_directories = [$1]", [str(self._folder)])
        root.execute("SET GLOBAL enable_external_access = false")
        root.execute("SET GLOBAL lock_configuration = true")
        return root

    def _place(self, edition: Edition) -> Place:
        """Where an edition's rows lie, attaching its file if this process has not yet."""
        place = self._attached.get(edition.place)
        if place is not None:
            return place
        with self._lock:
            if edition.place not in self._attached:
                self._forget_removed()
                self._attached[edition.place] = self._attach(edition)
            return self._attached[edition.place]

    def _attach(self, edition: Edition) -> Place:
        file = self._folder / edition.place
        self._count += 1
        name = f"e{self._count}"
        try:
            self._root.execute(f"ATTACH {_quoted(str(file))} AS {name} (READ_ONLY)")
        except duckdb.Error as error:
            _log.exception("edition %s cannot be attached", file)
            raise TransientFault(
                f"The rows of {'.'.join(edition.key)} are not at hand.", "Try again in a moment."
            ) from error
        return Place(sa.table("t", schema=name), edition.physical, edition.rows, edition.healpix)

    def _detach(self, place: str) -> None:
        with self._lock:
            attached = self._attached.pop(place, None)
            if attached is not None:
                self._root.execute(f"DETACH {attached.source.schema}")

    def _forget_removed(self) -> None:
        """Detach editions that another process removed, so that their bytes are freed."""
        for place in [place for place in self._attached if not (self._folder / place).exists()]:
            self._root.execute(f"DETACH {self._attached.pop(place).source.schema}")

    # --- statements ---------------------------------------------------------------------------

    def _prepare(self, query: Bound, bindings: Bindings, rows: int | None) -> Prepared:
        views: dict[str, pa.Table] = {}
        given: dict[tuple[str, str], Place] = {}

        def locate(table: Table) -> Place:
            if table.key in bindings.editions:
                return self._place(bindings.editions[table.key])
            if table.key not in given:
                given[table.key] = _view(table, bindings.arrow[table.key], views)
            return given[table.key]

        compiled = statement(query, locate, rows).compile(dialect=DIALECT)
        values = compiled.params
        return Prepared(str(compiled), [values[name] for name in compiled.positiontup or ()], views)


def _view(table: Table, rows: pa.Table, views: dict[str, pa.Table]) -> Place:
    """A name for Arrow rows that came with the request; their columns are ``c1``... by position."""
    name = f"a{len(views) + 1}"
    physical = {column.name: f"c{at}" for at, column in enumerate(table.columns, 1)}
    views[name] = rows.rename_columns(list(physical.values()))
    return Place(sa.table(name), physical, rows.num_rows, healpix=False)


def _exact(batches: Iterator[pa.RecordBatch], columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
    """The same batches in exactly the types that ``columns`` have between rooms."""
    types = [arrow_type(column) for column in columns]
    schema = pa.schema([pa.field(f"c{at}", kind) for at, kind in enumerate(types, 1)])
    for batch in batches:
        arrays = [
            array if array.type == kind else array.cast(kind) for array, kind in zip(batch.columns, types, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
