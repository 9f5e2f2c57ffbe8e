"""DuckDB: the embedded engine. One immutable file per edition, one cursor per request, on one of two in-memory roots:
statements that read much have a root to themselves, whose threads give way to all others of the machine.

Editions are attached READ_ONLY under names of their own when a query first needs them, and never altered, so any number
of processes read the same files. Nothing but generated statements reaches the database; its reach is the editions
folder, its configuration is locked, its messages are logged and never shown.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from archive.adql.bound import Bound
from archive.columns import Column, arrow_type
from archive.engine import duckdb_build, duckdb_listed
from archive.engine.contract import Bindings, Engine, Limits, Stream
from archive.engine.duckdb_dialect import DIALECT
from archive.engine.duckdb_listed import BoxingWriter
from archive.engine.duckdb_root import Root, Template
from archive.engine.duckdb_running import Running, give_way
from archive.engine.listed import Form, Patched
from archive.engine.places import Place, Spread, as_of
from archive.engine.shapes import shape
from archive.engine.sphere import Sphere
from archive.engine.watch import Watch
from archive.faults import UsageFault
from archive.sky import cells_near, ranges_of
from archive.tables import Edition, Table

_BATCH = 16_384  # rows; the first byte leaves after one of these
_QUICK_SHARE = 0.25  # of the memory, for statements that read little; the rest is for those that give way
_QUICK_THREADS = 1  # in which a statement that reads little computes: more cost it more than they save
_MOST_SPREAD = 100_000  # uploaded rows whose cells are found before the statement is sent
_MEMORY = re.compile(r"([\d.]+)(\D+)")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement with its parameters in order and the Arrow tables it names."""

    text: str | duckdb.Statement
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
    foresees = True

    def __init__(
        self, folder: Path, *, threads: int | None = None, memory: str | None = None, scratch: Path | None = None
    ) -> None:
        self._folder = folder.resolve()
        self._scratch = (scratch or folder / "scratch").resolve()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._scratch.mkdir(parents=True, exist_ok=True)
        self._memory = memory or "60%"
        self._threads = {} if threads is None else {"threads": threads}
        self._lock = threading.Lock()
        self._first = self._root(_QUICK_SHARE, {"threads": _QUICK_THREADS})
        self._second: Root | None = None  # made when first needed
        self._watch = Watch(self.name)

    def run(self, query: Bound, bindings: Bindings, limits: Limits) -> Stream:
        root = self._patient() if limits.gives_way else self._first
        prepared = _shaped(query, bindings, limits.rows, root) or prepare(query, bindings, limits.rows, root.place)
        running = Running(root.cursor(), self._watch, limits.seconds, gives_way=limits.gives_way)
        if limits.stop is not None:
            limits.stop.then(running.close)
        try:
            brief = _schema(query.columns) if limits.brief else None
            running.start(prepared.text, prepared.parameters, _BATCH, prepared.views, brief=brief)
        except BaseException:
            running.close()
            raise
        return Stream(query.columns, _exact(running.batches(), query.columns), running.close, running.whole)

    def sql(self, query: Bound, bindings: Bindings) -> str:
        return str(prepare(query, bindings, None, self._first.place).text)

    def plan(self, query: Bound, bindings: Bindings) -> str:
        prepared = prepare(query, bindings, None, self._first.place)
        cursor = self._first.cursor()
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
        since: Sequence[int] = (),
    ) -> Edition:
        settings = {**self._threads, "memory_limit": self._memory}
        edition = duckdb_build.build(self._folder, table, number, parts, settings, progress, since)
        self._detach(edition.place)
        return edition

    def compact(
        self, form: Form, number: int, before: Edition | None, gone: pa.Array, batches: Iterable[pa.RecordBatch]
    ) -> Edition:
        """A new edition of a table over the ledger: ``before`` without the rows of the things ``gone``, and with those
        of ``batches``; durable on return.
        """
        settings = {**self._threads, "memory_limit": self._memory}
        return duckdb_listed.compact(self._folder, form, number, before, gone, batches, settings)

    def remove(self, edition: Edition) -> None:
        self._detach(edition.place)
        (self._folder / edition.place).unlink(missing_ok=True)

    def close(self) -> None:
        self._watch.close()
        for root in self._roots():
            root.close()

    def _detach(self, place: str) -> None:
        for root in self._roots():
            root.detach(place)

    def _patient(self) -> Root:
        """The root of statements that give way to others. Its threads, all made by one that gives way, do so too."""
        with self._lock:
            if self._second is None:
                with ThreadPoolExecutor(1, initializer=give_way) as helper:
                    self._second = helper.submit(self._root, 1 - _QUICK_SHARE, self._threads).result()
            return self._second

    def _root(self, share: float, threads: Mapping[str, int]) -> Root:
        memory = _MEMORY.fullmatch(self._memory)
        part = self._memory if memory is None else f"{float(memory[1]) * share:g}{memory[2]}"
        return Root(self._folder, self._scratch, {**threads, "memory_limit": part})

    def _roots(self) -> Iterator[Root]:
        yield self._first
        if self._second is not None:
            yield self._second


def prepare(query: Bound, bindings: Bindings, rows: int | None, place: Callable[[Edition], Place]) -> Prepared:
    """The statement of ``query``, of at most ``rows`` rows; ``place`` tells where those of an edition lie."""
    views: dict[str, pa.Table] = {}
    given: dict[tuple[str, str], Place] = {}

    def locate(table: Table) -> Place:
        if table.key in bindings.editions:
            return as_of(place(bindings.editions[table.key]), bindings.states.get(table.key))
        if table.key not in given:
            listed = bindings.listed.get(table.key)
            if isinstance(listed, Patched):
                given[table.key] = duckdb_listed.place_of(listed, place, views)
            else:
                given[table.key] = _view(table, bindings.arrow[table.key], views)
        return given[table.key]

    def spread(table: Table, lon: str, lat: str, radius: float) -> Spread | None:
        rows = bindings.arrow.get(table.key)
        return None if rows is None else _spread(table, rows, views, (lon, lat, radius))

    try:
        compiled = BoxingWriter(locate, spread).whole(query, rows).compile(dialect=DIALECT)
    except RecursionError:
        raise UsageFault("The query is nested too deeply.", "Split it with WITH, or into several queries.") from None
    values = compiled.params
    return Prepared(str(compiled), [values[name] for name in compiled.positiontup or ()], views)


def _shaped(query: Bound, bindings: Bindings, rows: int | None, root: Root) -> Prepared | None:
    """As ``prepare``, for a query with a shape: its statement has been written, and read by the database, only once."""
    if bindings.sole is None:
        return None
    place = root.place(bindings.sole)
    found = shape(query, place, rows, Sphere)
    if found is None:
        return None
    made = root.shapes.get(found.key)
    if made is None:
        writer = BoxingWriter(lambda table: place)
        writer.given = found.given
        compiled = writer.whole(query, rows).compile(dialect=DIALECT)
        made = Template(root.read(str(compiled)), compiled.positiontup or (), compiled.params)
        root.shapes.keep(found.key, made)
    return Prepared(made.statement, made.parameters(found.values), {})


def _view(table: Table, rows: pa.Table, views: dict[str, pa.Table]) -> Place:
    """A name for Arrow rows that came with the request; their columns are ``c1``... by position."""
    name = f"a{len(views) + 1}"
    physical = {column.name: f"c{at}" for at, column in enumerate(table.columns, 1)}
    views[name] = rows.rename_columns(list(physical.values()))
    return Place(sa.table(name), physical, rows.num_rows, healpix=False)


def _spread(table: Table, rows: pa.Table, views: dict[str, pa.Table], around: tuple[str, str, float]) -> Spread | None:
    """Arrow rows that came with the request, each once for every cell near its position; few, so done here."""
    lon, lat, radius = around
    if rows.num_rows > _MOST_SPREAD:
        return None
    names = [column.name for column in table.columns]
    degrees = [rows.column(names.index(name)).cast(pa.float64()).to_numpy() for name in (lon, lat)]
    shift, index, cells = cells_near(degrees[0], degrees[1], radius)
    place = _view(table, rows.take(index), views)
    name = place.source.name
    views[name] = views[name].append_column("k1", pa.array(cells))
    return Spread(place, shift, ranges_of(cells, shift))


def _exact(batches: Iterator[pa.RecordBatch], columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
    """The same batches in exactly the types that ``columns`` have between rooms."""
    schema = _schema(columns)
    for batch in batches:
        arrays = [
            array if array.type == kind else array.cast(kind)
            for array, kind in zip(batch.columns, schema.types, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _schema(columns: Sequence[Column]) -> pa.Schema:
    return pa.schema([pa.field(f"c{at}", arrow_type(column)) for at, column in enumerate(columns, 1)])
