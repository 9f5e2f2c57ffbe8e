"""VOTable out: BINARY2, BINARY and TABLEDATA, streamed."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pyarrow as pa

from archive.columns import Column, Datatype
from archive.results import cells
from archive.results.arrays import fixed_count
from archive.results.document import Document, E, Info, rows_in
from archive.results.flow import PIECE, blocks, pieces
from archive.results.packing import COMPLEX, Packing, Rows, null_integer
from archive.results.result import Envelope, Result

# Within an array of integers a NULL is the declared null value; bytes have no value to spare.
_TABLEDATA = cells.Spelling(
    text=cells.xml,
    true="T",
    false="F",
    unknown="?",
    infinity="+Inf",
    minus_infinity="-Inf",
    element=lambda datatype: str(null_integer(datatype)) if datatype.is_integer else "0",
)


def tabledata(result: Result, envelope: Envelope) -> Iterator[bytes]:
    """``result`` as VOTable with TABLEDATA (VOTable 1.5 section 5.1)."""
    document = Document(result, envelope, rows_in(E.TABLEDATA()), nulls=_array_null)
    yield document.head

    def encode(batch: pa.RecordBatch) -> memoryview:
        texts = cells.table(result.columns, batch, _TABLEDATA)
        texts = [_nan_rows(column, text) for column, text in zip(result.columns, texts, strict=True)]
        return cells.rows(texts, "<TR><TD>", "</TD><TD>", "</TD></TR>\n")

    for block in blocks(result, encode):
        yield from pieces(block)
    yield document.tail()


def _nan_rows(column: Column, texts: pa.Array) -> pa.Array:
    """A NULL array of floats (so a NULL point) is one of NaN: votlint and astropy refuse an empty cell there."""
    floats = (*COMPLEX, Datatype.FLOAT, Datatype.DOUBLE)
    if not texts.null_count or column.datatype not in floats or column.is_scalar_number:
        return texts
    elements = (fixed_count(column) or 0) * (2 if column.datatype in COMPLEX else 1)
    return texts.fill_null(" ".join(["NaN"] * elements))


def binary2(result: Result, envelope: Envelope) -> Iterator[bytes]:
    """``result`` as VOTable with BINARY2 (VOTable 1.5 section 5.4): NULL is a flag."""
    stream = rows_in(E.STREAM(encoding="base64"))
    document = Document(result, envelope, E.BINARY2(stream), nulls=_array_null)
    return _base64(result, document, Rows(result.columns, Packing(utf8=envelope.utf8), flags=True))


def binary(result: Result, envelope: Envelope) -> Iterator[bytes]:
    """``result`` as VOTable with BINARY (VOTable 1.5 section 5.3): an integer NULL is a value that the FIELD tells.

    Bytes have no value to spare, so a column of bytes that may be NULL goes out as ``short``.
    """
    columns = tuple(map(_with_null, result.columns))
    stream = rows_in(E.STREAM(encoding="base64"))
    document = Document(result, envelope, E.BINARY(stream), columns=columns, nulls=_any_null)
    return _base64(result, document, Rows(columns, Packing(utf8=envelope.utf8), flags=False))


def _with_null(column: Column) -> Column:
    if column.datatype is Datatype.BYTE and column.arraysize is None and column.nullable:
        return replace(column, datatype=Datatype.SHORT)
    return column


def _array_null(column: Column) -> int | None:
    if column.arraysize is None or not column.datatype.is_integer or column.datatype is Datatype.BYTE:
        return None
    return null_integer(column.datatype)


def _any_null(column: Column) -> int | None:
    if column.nullable and column.datatype.is_integer and column.datatype is not Datatype.BYTE:
        return null_integer(column.datatype)
    return _array_null(column)


def _base64(result: Result, document: Document, rows: Rows) -> Iterator[bytes]:
    yield document.head
    yield from base64_pieces(blocks(result, rows.pack, rows.columns))
    yield document.tail(*_replaced(rows.packing))


def _replaced(packing: Packing) -> tuple[Info, ...]:
    if not packing.replaced:
        return ()
    text = f"{packing.replaced} characters outside ASCII stand as '?' in columns of type char; votable/td has them all."
    return (("WARNING", "characters replaced", text),)


def base64_pieces(blocks: Iterable[memoryview]) -> Iterator[bytes]:
    """One base64 stream of all ``blocks``, a line per piece; at most two bytes wait for the next block."""
    rest = b""
    for block in blocks:
        begin = 0
        if rest:
            begin = min(3 - len(rest), len(block))
            rest += bytes(block[:begin])
            if len(rest) < 3:
                continue
        whole = begin + (len(block) - begin) // 3 * 3
        for start in range(begin, whole, PIECE):
            piece = b2a_base64(block[start : min(start + PIECE, whole)])
            yield b2a_base64(rest, newline=False) + piece if rest else piece
            rest = b""
        if rest:
            yield b2a_base64(rest)
        rest = bytes(block[whole:])
    if rest:
        yield b2a_base64(rest)
