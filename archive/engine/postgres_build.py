"""Building PostgreSQL editions: Parquet parts become a new table in one transaction, so a crash leaves nothing."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from adbc_driver_manager import Error

from archive.columns import Column
from archive.engine.contract import SINCE
from archive.engine.postgres_dialect import UDF, type_name
from archive.engine.postgres_regions import (
    Cap,
    caps,
    caps_of,
    ordinary,
    pair,
    recorded,
    shapes_asked,
    spots_asked,
)
from archive.engine.sphere import HEALPIX
from archive.tables import Edition, Table

SCHEMA = "archive_editions"
REMOVED = f"{SCHEMA}._removed"
"""The table of editions that are to be dropped."""

_log = logging.getLogger(__name__)

_LOCKED = "55P03"  # SQLSTATE of a lock that was not to be had
_PATIENCE = 200  # milliseconds to wait for a lock
_ROWS = 65_536  # of a part held in memory at once


def build(
    connection: Any,
    table: Table,
    number: int,
    parts: Sequence[Path],
    progress: Callable[[int], None],
    spherical: bool,
    since: Sequence[int] = (),
) -> Edition:
    """Write the rows of ``parts``, in order, to a new table and commit; see ``contract.Engine.build``.

    ``connection`` is one of ADBC outside of a transaction; ``spherical`` tells that pgSphere is at hand.
    """
    healpix = bool(parts) and all(HEALPIX in pq.read_schema(part).names for part in parts)
    several = len(set(since)) > 1
    layout = Layout(table, place_of(table, number), healpix, spherical, several)
    rows = 0
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {layout.name}")
        cursor.execute(f"DELETE FROM {REMOVED} WHERE place = '{layout.place}'")  # noqa: S608 - our names
        cursor.execute(layout.definition())
        for part, state in zip(parts, since if several else [0] * len(parts), strict=True):
            rows += _insert(cursor, layout, part, state)
            progress(rows)
        for statement in finished(layout, healpix and not _in_order(parts)):
            cursor.execute(statement)
        _tell_of_missing(cursor, layout)
    connection.commit()
    _tidy(connection, layout)
    return Edition(table.key, number, layout.place, layout.physical(), rows, healpix)


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of an edition: those described as ``c1``..., circles around regions, the cell."""

    table: Table
    place: str
    healpix: bool
    spherical: bool
    several: bool = False

    @property
    def name(self) -> str:
        return f'{SCHEMA}."{self.place}"'

    @property
    def caps(self) -> dict[str, Cap]:
        return caps_of(self.table)

    def physical(self) -> dict[str, str]:
        """Described names to physical ones, and what is there for the index of the sky."""
        sky = recorded(self.caps, spots_asked(self.table) if self.spherical else ())
        return {**self.columns(), **sky, **({SINCE: SINCE} if self.several else {})}

    def columns(self) -> dict[str, str]:
        return {column.name: f"c{at}" for at, column in enumerate(self.table.columns, 1)}

    def definition(self) -> str:
        """``CREATE TABLE``."""
        columns = [f"c{at} {_stored_type(column)}" for at, column in enumerate(self.table.columns, 1)]
        columns += [f"{name} float8" for cap in self.caps.values() for name in cap.names]
        if self.healpix:
            columns.append(f"{HEALPIX} bigint")
        if self.several:
            columns.append(f"{SINCE} integer")
        return f"CREATE TABLE {self.name} ({', '.join(columns)})"

    def schema(self, part: pa.Schema) -> pa.Schema:
        """The Arrow schema in which the rows of a part are sent."""
        names = [column.name for column in self.table.columns]
        fields = [pa.field(self.columns()[name], sendable(_field(part, name).type)) for name in names]
        fields += [pa.field(name, pa.float64()) for cap in self.caps.values() for name in cap.names]
        if self.healpix:
            fields.append(pa.field(HEALPIX, pa.int64()))
        if self.several:
            fields.append(pa.field(SINCE, pa.int32()))
        return pa.schema(fields)

    def batch(self, batch: pa.RecordBatch, schema: pa.Schema, state: int) -> pa.RecordBatch:
        """Rows of a part, which came with ``state``, as they are sent."""
        given = {name: batch.column(at) for at, name in enumerate(batch.schema.names)}
        arrays = [given[column.name] for column in self.table.columns]
        for name in self.caps:
            arrays += caps(given[name], str(self.table.by_name[name].xtype))
        if self.healpix:
            arrays.append(given[HEALPIX])
        if self.several:
            arrays.append(pa.repeat(pa.scalar(state, pa.int32()), batch.num_rows))
        sending = [sent(values, kind) for values, kind in zip(arrays, schema.types, strict=True)]
        return pa.RecordBatch.from_arrays(sending, schema=schema)


def _in_order(parts: Sequence[Path]) -> bool:
    """True if cells only grow from part to part, by the statistics in the files; each part alone is sorted."""
    last: int | None = None
    for part in parts:
        with pq.ParquetFile(part, pre_buffer=False) as file:
            at = file.schema_arrow.names.index(HEALPIX)
            groups = [file.metadata.row_group(number).column(at) for number in range(file.metadata.num_row_groups)]
        for column in groups:
            if column.statistics is None or not column.statistics.has_min_max:
                continue  # all of them unknown
            if last is not None and column.statistics.min < last:
                return False
            last = column.statistics.max
    return True


def finished(layout: Layout, scattered: bool) -> Iterator[str]:
    """What an edition whose rows are there still needs, quick things first."""
    if layout.healpix:
        yield f"CREATE INDEX {_quoted(f'{layout.place}_cells')} ON {layout.name} ({HEALPIX})"
        if scattered:
            yield f"CLUSTER {layout.name} USING {_quoted(f'{layout.place}_cells')}"
    yield from _indexes(layout)
    yield from _of_the_sky(layout)


def _tidy(connection: Any, layout: Layout) -> None:
    """Statistics, and what makes a table cheap to read: it will never change, so it is frozen at once."""
    connection.adbc_connection.set_autocommit(True)  # VACUUM is refused inside a transaction
    with connection.cursor() as cursor:
        cursor.execute(f"VACUUM (FREEZE, ANALYZE) {layout.name}")


def remove(connection: Any, place: str) -> None:
    """Drop an edition, and those that could not be dropped before because a statement was reading them.

    To wait for such a statement would make all who come after wait too, so what is read is left for the next time.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {REMOVED} VALUES ('{place}') ON CONFLICT DO NOTHING")  # noqa: S608 - our names
        connection.commit()
        cursor.execute(f"SELECT place FROM {REMOVED}")  # noqa: S608 - our names
        places = [row[0] for row in cursor.fetchall()]
        connection.commit()
        for each in places:
            try:
                cursor.execute(f"SET LOCAL lock_timeout = '{_PATIENCE}ms'")
                cursor.execute(f'DROP TABLE IF EXISTS {SCHEMA}."{each}"')
                cursor.execute(f"DELETE FROM {REMOVED} WHERE place = '{each}'")  # noqa: S608 - our names
                connection.commit()
            except Error as error:
                connection.rollback()
                if error.sqlstate != _LOCKED:
                    raise


def place_of(table: Table, number: int) -> str:
    """The physical table of an edition: its name for people, its number, and what tells equal short names apart."""
    readable = re.sub(r"[^a-z0-9]+", "_", table.qualified.lower())[:40]
    digest = hashlib.sha256(repr(table.key).encode()).hexdigest()[:8]
    return f"{readable}_{number}_{digest}"


def _stored_type(column: Column) -> str:
    """Text is compared by code point, whatever the database's own order is."""
    name = type_name(column)
    return f'{name} COLLATE "C"' if name == "text" else name


def _insert(cursor: Any, layout: Layout, part: Path, state: int) -> int:
    """Append one part; the driver sends it by COPY."""
    with pq.ParquetFile(part, pre_buffer=False) as file:
        schema = layout.schema(file.schema_arrow)
        batches = (layout.batch(batch, schema, state) for batch in file.iter_batches(batch_size=_ROWS))
        reader = pa.RecordBatchReader.from_batches(schema, batches)
        cursor.adbc_ingest(layout.place, reader, mode="append", db_schema_name=SCHEMA)
        return int(file.metadata.num_rows)


def _field(part: pa.Schema, name: str) -> pa.Field:
    return part.field(part.names.index(name))


def sendable(kind: pa.DataType) -> pa.DataType:
    """The Arrow type as which the driver takes values of ``kind``."""
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(sendable(kind.value_type))
    if pa.types.is_uint8(kind):
        return pa.int16()
    return kind


def sent(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """``values`` as they are stored: NaN becomes NULL, since databases hold NaN above all numbers."""
    if values.type != kind:
        values = values.cast(kind)
    if pa.types.is_floating(kind):
        unknown = pc.is_nan(values)
        if pc.any(unknown).as_py():
            return pc.if_else(unknown, pa.scalar(None, kind), values)
    return values


def _indexes(layout: Layout) -> Iterator[str]:
    """The indexes by order that the description names, where their values are short enough for one."""
    physical = layout.columns()
    for at, columns in enumerate(_ordered(layout.table), 1):
        index = f"CREATE INDEX {_quoted(f'{layout.place}_by{at}')} ON {layout.name}"
        create = f"{index} ({', '.join(physical[name] for name in columns)})"
        yield f"DO $$ BEGIN {create}; EXCEPTION WHEN program_limit_exceeded THEN NULL; END $$"


def _ordered(table: Table) -> list[tuple[str, ...]]:
    """Keys and indexes by order, each once."""
    named = [ordinary(table, index) for index in table.indexes if pair(table, index.columns) is None]
    return list(dict.fromkeys(filter(None, [table.primary_key, *table.unique, *named])))


def _tell_of_missing(cursor: Any, layout: Layout) -> None:
    """Say which indexes the description asks for and the edition does not have."""
    table = layout.table
    for index in table.indexes:
        kept = set(ordinary(table, index)) | {column.name for column in shapes_asked(table)}
        if pair(table, index.columns) is None and not kept.issuperset(index.columns):
            _log.warning("%s: arrays are left out of index %s", table.qualified, index.name)
    for at, columns in enumerate(_ordered(table), 1):
        cursor.execute(f"SELECT to_regclass('{SCHEMA}.{_quoted(f'{layout.place}_by{at}')}') IS NULL")
        if cursor.fetchone()[0]:
            _log.warning("%s: no index of %s, some values are too long", table.qualified, ", ".join(columns))


def _of_the_sky(layout: Layout) -> Iterator[str]:
    """The indexes of places and regions that the description asks for: by pgSphere, which must be there."""
    table, physical = layout.table, layout.columns()
    spots, shapes = list(spots_asked(table)), list(shapes_asked(table))
    if not layout.spherical:
        if spots or shapes:
            _log.warning("%s: no index of the sky, since the database has no pgSphere", table.qualified)
        return
    keys = []
    for spot in spots:
        names = [physical[name] for name in spot]
        keys.append(f"spot({', '.join(names if len(names) == 2 else (f'{names[0]}[1]', f'{names[0]}[2]'))})")
    wide = [layout.caps[column.name] for column in shapes if column.name in layout.caps]
    keys += [f"cap({', '.join(cap.names)})" for cap in wide]
    for at, key in enumerate(keys, 1):
        yield f"CREATE INDEX {_quoted(f'{layout.place}_sky{at}')} ON {layout.name} USING gist ({UDF}.{key})"
    for cap in wide:  # those that are too wide to be in the index of caps
        yield f"CREATE INDEX ON {layout.name} ({cap.reach}) WHERE {cap.reach} > 90"


def _quoted(name: str) -> str:
    return f'"{name}"'
