"""Parquet out, as VOParquet 1.0 (IVOA Note, 2025): a VOTable without data in the footer describes the columns.

Parquet is written from front to back, so it streams: memory holds one row group. The footer comes last: it knows
how the query ended, so it tells of rows cut off, and how long the longest text of each column is.

Cells are what their FIELD says, as readers of VOParquet (astropy among them) expect: timestamps are text, complex
numbers pairs, and a NULL array of fixed length of floats, such as a point, is one of NaN. All other NULLs are
Parquet's own. Who wants timestamps as such takes the Arrow stream.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from archive.columns import Column, Datatype
from archive.results.arrays import dense, flattened, offsets, timestamps
from archive.results.arrow import described
from archive.results.document import Document
from archive.results.flow import Drain, slices
from archive.results.packing import COMPLEX
from archive.results.result import Envelope, Result

GROUP_BYTES = 2 << 20  # of Arrow data in a row group: what a reader skips by, and what we hold several times over
_GROUP_ROWS = 10_000  # but not fewer than so many, since the footer grows with each group,
_WIDE_BYTES = 32 << 20  # except where they are as wide as this
_PAGE_BYTES = 1 << 18  # of a column, encoded at a time
_VERSION = "IVOA.VOTable-Parquet.version"
_CONTENT = "IVOA.VOTable-Parquet.content"
_ARROW = "ARROW:schema"
_LENGTH = "table::len::"  # astropy's key: the longest text of a column; without it, it fails on NULLs and no rows


def voparquet(result: Result, envelope: Envelope) -> Iterator[bytes]:
    """``result`` as Parquet with the footer of VOParquet; a fault breaks it off before the footer."""
    columns = tuple(map(_as_stored, result.columns))
    schema = _schema(columns)
    lengths = [1 if column.datatype.is_text else 0 for column in columns]
    drain = Drain()
    with _writer(drain, schema) as writer:
        yield from drain.taken()
        for group in _groups(result, schema):
            writer.write_table(group)
            lengths = [_longest(cells, length) if length else 0 for cells, length in zip(group, lengths, strict=True)]
            yield from drain.taken()
        known = [
            replace(column, arraysize=str(length)) if length else column
            for column, length in zip(columns, lengths, strict=True)
        ]
        document = Document(result, envelope, columns=known)
        writer.add_key_value_metadata(_footer(document, schema, lengths))
    yield from drain.taken()


def _writer(drain: Drain, schema: pa.Schema) -> pq.ParquetWriter:
    words = [field.name for field in schema if pa.types.is_string(field.type)]  # only these gain by a dictionary
    return pq.ParquetWriter(
        drain,
        schema,
        use_dictionary=words,
        compression="zstd",
        compression_level=1,
        store_schema=False,
        data_page_size=_PAGE_BYTES,
    )


def _longest(cells: pa.ChunkedArray, least: int) -> int:
    return max(least, pc.max(pc.binary_length(cells)).as_py() or 0)


def _footer(document: Document, schema: pa.Schema, lengths: Sequence[int]) -> dict[str, str]:
    """The footer's keys, given with the Arrow schema too: only there do readers through Arrow look for them."""
    keys = {_VERSION: "1.0", _CONTENT: document.whole().decode()}
    keys |= {f"{_LENGTH}{name}": str(length) for name, length in zip(schema.names, lengths, strict=True) if length}
    told = schema.with_metadata(keys).serialize().to_pybytes()
    return keys | {_ARROW: b64encode(told).decode()}


def _as_stored(column: Column) -> Column:
    """``column`` with a type that Parquet has: a complex number is a pair, the innermost dimension."""
    if column.datatype not in COMPLEX:
        return column
    part = Datatype.FLOAT if column.datatype is Datatype.FLOAT_COMPLEX else Datatype.DOUBLE
    return replace(column, datatype=part, arraysize=f"2x{column.arraysize}" if column.arraysize else "2")


def _schema(columns: Sequence[Column]) -> pa.Schema:
    schema = described(columns)
    for index, column in enumerate(columns):
        if column.is_timestamp:
            schema = schema.set(index, schema.field(index).with_type(pa.string()))
    return schema


def _groups(result: Result, schema: pa.Schema) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    size = rows = 0
    for batch in slices(result):
        arrays = map(_cells, result.columns, batch.columns)
        waiting.append(pa.record_batch(list(arrays), schema))
        size += batch.nbytes
        rows += batch.num_rows
        if size >= GROUP_BYTES and (rows >= _GROUP_ROWS or size >= _WIDE_BYTES):
            yield pa.Table.from_batches(waiting, schema)
            waiting, size, rows = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting, schema)


def _cells(column: Column, array: pa.Array) -> pa.Array:
    if column.is_timestamp:
        return timestamps(column, array)
    if column.datatype in COMPLEX and column.arraysize is not None:
        values, counts = flattened(array)
        rows = pa.ListArray.from_arrays(offsets(counts), values)
        return pc.if_else(array.is_valid(), rows, None) if array.null_count else rows
    kind = array.type
    if not (array.null_count and pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type)):
        return array
    cells = np.full((len(array), kind.list_size), np.nan, kind.value_type.to_pandas_dtype())
    cells[dense(array.is_valid(), False)] = dense(flattened(array)[0], np.nan).reshape(-1, kind.list_size)
    return pa.FixedSizeListArray.from_arrays(pa.array(cells.reshape(-1)), type=kind)
