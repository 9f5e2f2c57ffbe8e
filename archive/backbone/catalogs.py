"""Catalogs come in: delivered files become registered files, parts and a table's next state, or nothing at all."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial, reduce
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import Connection

from archive import sky
from archive.backbone import keys
from archive.backbone.activities import of_load
from archive.backbone.checks import check
from archive.backbone.deliveries import Delivered, media_type, read, rows_schema
from archive.backbone.endpoint import Endpoint
from archive.backbone.registrar import Arrival, sweep
from archive.backbone.sorting import Sorter
from archive.backbone.steps import step
from archive.backbone.stores import Staged
from archive.faults import NotFound, UsageFault
from archive.ledger import activities, contents, descriptions, events, files
from archive.ledger.descriptions import Registered
from archive.ledger.files import Delivery, Part, State
from archive.ledger.provenance import PART
from archive.releases import find, read_release
from archive.tables import Table

CELL = "_healpix_29"
"""Internal column of parts: HEALPix cell of order 29, nested; NULL where a row has no position."""

Progress = Callable[[str, int], None]
"""Told as work goes on: the name of the step and how much more of it (bytes or rows) is done."""

_ROOM = 2  # a delivery and its parts, as a multiple of the delivery
_ROW_GROUP = 122_880
_PART_ROWS = 4_000_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load did: rows of each new file, files that had been loaded before, the table's rows now."""

    table: str
    rows: dict[str, int]
    known: tuple[str, ...]
    parts: int
    total: int


def load(
    endpoint: Endpoint,
    name: str,
    table: str,
    sources: Sequence[Path],
    *,
    nulls: Sequence[str] = (),
    progress: Progress = lambda step, done: None,
) -> Loaded:
    """Load files into table ``table`` of schema ``name``: all of them or, if anything is wrong, none.

    A file whose bytes were loaded into the table before is left out.

    Raises:
        NotFound: the schema is not described, or has no such table.
        UsageFault: a file is not what is described; file, row, column and remedy are told. Or the release is frozen.
        TransientFault: something else was loaded into the table meanwhile.
    """
    registered = described(endpoint, name)
    target = registered.release.table(table)
    with Arrival(endpoint) as arrival:
        for folder in _folders(target):
            sweep(endpoint, folder)
        return _Load(endpoint, arrival, registered, target, tuple(nulls), progress).run(sources)


def described(endpoint: Endpoint, name: str) -> Registered:
    """The description of ``name`` in force; at its first use it is found in the description folders and registered.

    Raises:
        NotFound: it is described nowhere.
        DescriptionFault: the description found is wrong.
    """
    with endpoint.ledger.read() as transaction:
        registered = descriptions.find(transaction, name)
    if registered is not None:
        return registered
    folders = endpoint.config.description_folders
    path = find(name, folders)
    if path is None:
        looked = " or ".join(str(folder) for folder in folders)
        raise NotFound(f"No schema '{name}' is described.", f"Put {name}.yaml into {looked}.")
    release = read_release(path)
    if release.name != name:
        raise UsageFault(f"{path} describes '{release.name}', not '{name}'.", "A file is called as its schema.")
    with endpoint.ledger.write() as transaction:
        return descriptions.register(transaction, release)


class _Load:
    """One load under way."""

    def __init__(
        self,
        endpoint: Endpoint,
        arrival: Arrival,
        registered: Registered,
        table: Table,
        nulls: tuple[str, ...],
        progress: Progress,
    ) -> None:
        self._endpoint = endpoint
        self._arrival = arrival
        self._registered = registered
        self._table = table
        self._nulls = nulls
        self._progress = progress
        self._begun = datetime.now(UTC)

    def run(self, sources: Sequence[Path]) -> Loaded:
        self._arrival.claim(_ROOM * sum(map(_size, sources)))
        fresh, known = self._sift([(source, self._copy(source)) for source in sources])
        step("load.copied")
        with self._endpoint.ledger.read() as transaction:
            before = files.newest_state(transaction, self._table.key)
            shut = contents.closed(transaction, [self._table.schema])
        if not fresh:
            return Loaded(self._table.qualified, {}, known, 0, before.rows)
        for fault in shut.values():
            raise fault
        rows = dict.fromkeys(fresh, 0)
        staged = self._write_parts(list(fresh), rows)
        step("load.written")
        self._check_keys(list(fresh), staged, before)
        step("load.checked")
        state = self._commit(fresh, rows, staged, before)
        return Loaded(self._table.qualified, {file.name: rows[file] for file in fresh}, known, len(staged), state.rows)

    def _copy(self, source: Path) -> Staged:
        media_type(source.name)  # refuses unknown endings before anything is copied
        return self._arrival.copy(source, partial(self._progress, "copy"))

    def _sift(self, copies: list[tuple[Path, Staged]]) -> tuple[dict[Delivered, Staged], tuple[str, ...]]:
        """New files, and the names of those whose bytes were loaded before or come twice."""
        with self._endpoint.ledger.read() as transaction:
            seen = files.delivered(transaction, self._table.key, [copy.sha256 for _, copy in copies])
        fresh: dict[Delivered, Staged] = {}
        known = []
        for source, copy in copies:
            if copy.sha256 in seen:
                known.append(source.name)
            else:
                fresh[Delivered(copy.path, source.name, self._nulls)] = copy
                seen.add(copy.sha256)
        return fresh, tuple(known)

    def _write_parts(self, fresh: list[Delivered], rows: dict[Delivered, int]) -> list[WrittenPart]:
        checked = self._checked(fresh, rows)
        facts = part_facts(self._registered)
        parts = write_parts(self._arrival, self._table, checked, facts, self._endpoint.config.load_memory << 20)
        pa.default_memory_pool().release_unused()  # the check of the keys, which is next, uses another allocator
        return parts

    def _checked(self, fresh: list[Delivered], rows: dict[Delivered, int]) -> Iterator[pa.RecordBatch]:
        for file in fresh:
            for piece in read(file, self._table):
                check(file, piece, self._table, self._registered.release)
                rows[file] += piece.rows.num_rows
                self._progress("check", piece.rows.num_rows)
                yield piece.rows

    # --- keys -----------------------------------------------------------------------------------------

    def _check_keys(self, fresh: list[Delivered], staged: list[WrittenPart], before: State) -> None:
        rows = before.rows + sum(part.rows for part in staged)
        with ExitStack() as held:
            paths = [part.staged.path for part in staged]
            paths += [held.enter_context(self._endpoint.store.local(part.artifact.path)) for part in before.parts]
            for key in keys.keys_of(self._table):
                values = keys.repeated(paths, rows, key)
                if values is not None:
                    raise self._repeated(fresh, key, values)

    def _repeated(self, fresh: list[Delivered], key: keys.Key, values: tuple[Any, ...]) -> UsageFault:
        """Where in the files the repeated key stands."""
        shown = ", ".join(f"{name} = {value}" for name, value in zip(key, values, strict=True))
        places = [(file, row) for file in fresh for row in self._rows_with(file, key, values)]
        first, last = places[0], places[-1]
        if first == last:
            message = f"{shown} was loaded into {self._table.qualified} before."
        else:
            message = f"{shown} stands also in {first[0].name}, row {first[1] + 1}."
        return last[0].fault(message, "A key may occur only once.", row=last[1], column=", ".join(key))

    def _rows_with(self, file: Delivered, key: keys.Key, values: tuple[Any, ...]) -> Iterator[int]:
        for piece in read(file, self._table):
            cells = zip((piece.rows.column(name) for name in key), values, strict=True)
            equal = [pc.equal(column, pa.scalar(value, column.type)) for column, value in cells]
            mask = pc.fill_null(reduce(pc.and_, equal), False)
            for row in np.flatnonzero(mask.to_numpy(zero_copy_only=False)):
                yield piece.first + int(row)

    # --- commit ---------------------------------------------------------------------------------------

    def _commit(
        self, fresh: dict[Delivered, Staged], rows: dict[Delivered, int], staged: list[WrittenPart], before: State
    ) -> State:
        deliveries_at, parts_at = (f"{folder}/{self._arrival.id}" for folder in _folders(self._table))
        deliveries = [
            Delivery(
                self._arrival.name(copy, f"{deliveries_at}/{number:03d}/{file.name}", media_type(file.name)),
                file.name,
                rows[file],
            )
            for number, (file, copy) in enumerate(fresh.items(), start=1)
        ]
        parts = [
            Part(
                self._arrival.name(part.staged, f"{parts_at}/{number:05d}.parquet", _PARQUET),
                part.rows,
                part.first_cell,
                part.last_cell,
            )
            for number, part in enumerate(staged, start=1)
        ]

        def facts(transaction: Connection) -> State:
            state = files.append_rows(transaction, before, self._registered.id, deliveries, parts)
            self._tell_activity(transaction, deliveries, parts)
            return state

        return self._arrival.commit(facts)

    def _tell_activity(self, transaction: Connection, deliveries: Sequence[Delivery], parts: Sequence[Part]) -> None:
        """That we made the parts, and what from (DMS-DBB-REQ-0008)."""
        done = of_load(
            self._arrival.id,
            self._endpoint.site.authority,
            events.actor_of(transaction),
            self._begun,
            self._table.qualified,
            [each.artifact.uri for each in deliveries],
        )
        made = files.find(transaction, [part.artifact.uri for part in parts])
        activities.record(transaction, [(done, {known.id: PART for known in made.values()})])


def _size(source: Path) -> int:
    """Its bytes; 0 where it cannot be looked at, which is told when it is read."""
    try:
        return source.stat().st_size
    except OSError:
        return 0


def _folders(table: Table) -> tuple[str, str]:
    """Where in the store a table's deliveries and parts lie."""
    place = f"{table.schema}/{quote(table.name, safe='')}"
    return f"deliveries/{place}", f"parts/{place}"


_PARQUET = "application/vnd.apache.parquet"


# --- the one writer of parts ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """A part that is written and flushed but has no name yet."""

    staged: Staged
    rows: int
    first_cell: int | None
    last_cell: int | None


class Workplace(Protocol):
    """Where parts are written before they have names."""

    def stage(self) -> Staged: ...

    def scratch(self) -> Path: ...


def part_facts(registered: Registered) -> dict[str, str]:
    """What a part's own footer says of where it belongs."""
    release = registered.release
    return {"archive.schema": release.name, "archive.version": release.version, "archive.description": release.digest}


def remake(
    place: Workplace, registered: Registered, table: Table, deliveries: Sequence[Delivered], budget: int
) -> list[WrittenPart]:
    """The parts of one load again, from what was delivered then; whether they are the same, their digests tell."""
    rows = (piece.rows for file in deliveries for piece in read(file, table))
    return write_parts(place, table, rows, part_facts(registered), budget)


def write_parts(
    arrival: Workplace, table: Table, batches: Iterable[pa.RecordBatch], facts: dict[str, str], budget: int
) -> list[WrittenPart]:
    """Write rows of ``table`` as Parquet parts, sorted by their place on the sky where the table has positions.

    Each part has the described columns and then, with positions, ``_healpix_29``. Memory is bounded by about three
    times ``budget`` bytes.
    """
    schema = _part_schema(table, facts)
    if table.position is None:
        return list(_parts(arrival, schema, (pa.Table.from_batches([batch]) for batch in batches)))
    with tempfile.TemporaryDirectory(dir=arrival.scratch()) as folder:
        sorter = Sorter(CELL, budget, Path(folder))
        for batch in batches:
            sorter.add(_with_cells(batch, table))
        return list(_parts(arrival, schema, (_with_nulls(piece) for piece in sorter.sorted())))


def _part_schema(table: Table, facts: dict[str, str]) -> pa.Schema:
    fields = [
        pa.field(
            field.name,
            field.type,
            nullable=column.nullable,
            metadata={
                key: value
                for key, value in (("unit", column.unit), ("ucd", column.ucd), ("description", column.description))
                if value
            },
        )
        for field, column in zip(rows_schema(table), table.columns, strict=True)
    ]
    if table.position is not None:
        fields.append(pa.field(CELL, pa.int64()))
    return pa.schema(fields, metadata=facts | {"archive.table": table.name})


def _with_cells(batch: pa.RecordBatch, table: Table) -> pa.RecordBatch:
    """The rows and the cell of each; a row without a position gets a number above all cells."""
    assert table.position is not None
    lon, lat = (batch.column(name).cast(pa.float64()) for name in (table.position.lon, table.position.lat))
    cells = sky.healpix_29(*(pc.fill_null(angle, float("nan")).to_numpy(zero_copy_only=False) for angle in (lon, lat)))
    cells = np.where(cells < 0, sky.CELLS, cells)
    return batch.append_column(CELL, pa.array(cells, pa.int64()))


def _with_nulls(rows: pa.Table) -> pa.Table:
    at = rows.num_columns - 1
    cells = rows.column(at)
    nowhere = pc.equal(cells, sky.CELLS)
    return rows.set_column(at, CELL, pc.if_else(nowhere, pa.scalar(None, pa.int64()), cells))


def _parts(arrival: Workplace, schema: pa.Schema, pieces: Iterator[pa.Table]) -> Iterator[WrittenPart]:
    """Cut the rows into parts of at most ``_PART_ROWS``, each in row groups of ``_ROW_GROUP``."""
    groups = _regrouped(pieces, _ROW_GROUP)
    group = next(groups, None)
    while group is not None:
        staged = arrival.stage()
        rows, first, last = 0, None, None
        with pq.ParquetWriter(staged, schema, compression="zstd", compression_level=1) as writer:
            while group is not None and rows + group.num_rows <= _PART_ROWS:
                writer.write_table(group.cast(schema), row_group_size=_ROW_GROUP)
                rows += group.num_rows
                first, last = _cell_range(group, first, last)
                group = next(groups, None)
        staged.close()
        yield WrittenPart(staged, rows, first, last)


def _regrouped(pieces: Iterator[pa.Table], size: int) -> Iterator[pa.Table]:
    """The same rows in tables of exactly ``size`` rows, but for the last."""
    waiting: list[pa.Table] = []
    count = 0
    for piece in pieces:
        start = 0
        while count + piece.num_rows - start >= size:
            waiting.append(piece.slice(start, size - count))
            start += size - count
            yield pa.concat_tables(waiting)
            waiting, count = [], 0
        if start < piece.num_rows:
            waiting.append(piece.slice(start))
            count += piece.num_rows - start
    if waiting:
        yield pa.concat_tables(waiting)


def _cell_range(group: pa.Table, first: int | None, last: int | None) -> tuple[int | None, int | None]:
    if CELL not in group.column_names:
        return None, None
    bounds = pc.min_max(group.column(CELL)).as_py()
    low, high = bounds["min"], bounds["max"]
    return (low if first is None else first), (last if high is None else high)
