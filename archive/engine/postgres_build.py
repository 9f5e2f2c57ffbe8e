"""Building PostgreSQL editions: Parquet parts become a new table in one transaction, so a crash leaves nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from adbc_driver_manager import Error

from archive.columns import Column
from archive.engine.postgres_dialect import type_name
from archive.engine.sphere import HEALPIX
from archive.tables import Edition, Table

SCHEMA = "archive_editions"
REMOVED = f"{SCHEMA}._removed"
"""The table of editions that are to be dropped."""

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
) -> Edition:
    """Write the rows of ``parts``, in order, to a new table and commit; see ``contract.Engine.build``.

    ``connection`` is one of ADBC outside of a transaction; ``spherical`` tells that pgSphere is at hand.
    """
    place = place_of(table, number)
    healpix = bool(parts) and all(HEALPIX in pq.read_schema(part).names for part in parts)
    rows = 0
    with connection.cursor() as cursor:
        cursor.execute(f'DROP TABLE IF EXISTS {SCHEMA}."{place}"')
        cursor.execute(f"DELETE FROM {REMOVED} WHERE place = '{place}'")  # noqa: S608 - our names
        cursor.execute(_create(table, place, healpix))
        for part in parts:
            rows += _insert(cursor, table, place, part, healpix)
            progress(rows)
        for index in _indexes(table, place, healpix, spherical):
            cursor.execute(index)
        cursor.execute(f'GRANT SELECT ON {SCHEMA}."{place}" TO PUBLIC')
        cursor.execute(f'ANALYZE {SCHEMA}."{place}"')
    connection.commit()
    physical = {column.name: f"c{at}" for at, column in enumerate(table.columns, 1)}
    return Edition(table.key, number, place, physical, rows, healpix)


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


def _create(table: Table, place: str, healpix: bool) -> str:
    columns = [f"c{at} {_stored_type(column)}" for at, column in enumerate(table.columns, 1)]
    if healpix:
        columns.append(f"{HEALPIX} bigint")
    return f'CREATE TABLE {SCHEMA}."{place}" ({", ".join(columns)})'


def _stored_type(column: Column) -> str:
    """Text is compared by code point, whatever the database's own order is."""
    name = type_name(column)
    return f'{name} COLLATE "C"' if name == "text" else name


def _insert(cursor: Any, table: Table, place: str, part: Path, healpix: bool) -> int:
    """Append one part; the driver sends it by COPY."""
    names = [*(column.name for column in table.columns), *([HEALPIX] if healpix else [])]
    with pq.ParquetFile(part, pre_buffer=False) as file:
        at = [file.schema_arrow.names.index(name) for name in names]
        fields = [pa.field(f"c{i}", sendable(file.schema_arrow.field(p).type)) for i, p in enumerate(at, 1)]
        if healpix:
            fields[-1] = pa.field(HEALPIX, pa.int64())
        schema = pa.schema(fields)
        reader = pa.RecordBatchReader.from_batches(schema, _batches(file, at, schema))
        cursor.adbc_ingest(place, reader, mode="append", db_schema_name=SCHEMA)
        return int(file.metadata.num_rows)


def _batches(file: pq.ParquetFile, at: Sequence[int], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in file.iter_batches(batch_size=_ROWS):
        arrays = [sent(batch.column(p), kind) for p, kind in zip(at, schema.types, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


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


def _indexes(table: Table, place: str, healpix: bool, spherical: bool) -> Iterator[str]:
    """The index of the sky and those the description names: its keys and indexes, each once."""
    on = f'CREATE INDEX ON {SCHEMA}."{place}"'
    if healpix:
        yield f"{on} ({HEALPIX})"
    physical = {column.name: f"c{at}" for at, column in enumerate(table.columns, 1)}
    asked = dict.fromkeys([table.primary_key, *table.unique, *(index.columns for index in table.indexes)])
    for columns in filter(None, asked):
        shapes = [table.by_name[name] for name in columns if table.by_name[name].arraysize is not None]
        if all(column.datatype.is_text for column in shapes):
            yield f"{on} ({', '.join(physical[name] for name in columns)})"
