"""CSV and TSV out, streamed.

Neither can tell of a fault or of rows cut off: a fault is raised to whoever reads (so that the transfer breaks off
instead of ending well), and overflow is told by the face, in a header.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyarrow.csv import WriteOptions, write_csv

from archive.results import cells
from archive.results.arrays import dense
from archive.results.document import unique
from archive.results.flow import pieces, slices
from archive.results.result import Envelope, Result

_CSV = cells.Spelling(text=cells.csv)
_TSV = cells.Spelling(text=cells.one_line)


def csv(result: Result, envelope: Envelope) -> Iterator[bytes]:
    """``result`` as CSV (RFC 4180) with a header line.

    NULL is an empty field, an empty text ``""``; arrays are their elements with blanks between. In a single column
    NULL is ``""`` too, since readers leave out empty lines.
    """
    return _delimited(result, _CSV, ",", "\r\n", '""' if len(result.columns) == 1 else "")


def tsv(result: Result, envelope: Envelope) -> Iterator[bytes]:
    """``result`` as tab-separated values with a header line; tabs and line ends within texts become blanks."""
    return _delimited(result, _TSV, "\t", "\n", "")


def _delimited(result: Result, spelling: cells.Spelling, between: str, after: str, null: str) -> Iterator[bytes]:
    names = unique(column.name for column in result.columns)
    titles = [spelling.text(pa.array([name])) for name in names]
    yield bytes(cells.rows(titles, "", between, after))
    plain = WriteOptions(include_header=False, batch_size=1 << 20, delimiter=between, eol=after, quoting_style="none")
    for batch in slices(result):
        if batch.num_columns > 1 and all(map(_is_plain, batch.columns)):
            sink = pa.BufferOutputStream()
            write_csv(batch, sink, plain)
            yield from pieces(memoryview(sink.getvalue()))
        else:
            yield from pieces(cells.rows(cells.table(result.columns, batch, spelling), "", between, after, null))


def _is_plain(array: pa.Array) -> bool:
    """Whether Arrow's own writer, which is faster, spells the cells as we do: numbers that are finite, or NULL."""
    if pa.types.is_floating(array.type):
        return bool(np.isfinite(dense(array, 0)).all())
    return bool(pa.types.is_integer(array.type))
