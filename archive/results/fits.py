"""FITS out: one binary table (FITS 4.0 section 7.3), in constant memory.

The header comes first and tells the number of rows and the width of each text, which are known last. So rows wait
in a temporary file (in memory while small), as Arrow, and are written from there; the price is that the first byte
comes late, the gain that a fault met by then can still be told as such, and that the header knows how it ended.

Text of up to 256 bytes has fixed width, longer text and arrays of varying length lie in the heap. FITS knows only
printable ASCII: any other character becomes ``?``, which a COMMENT counts. Integer NULLs are declared by TNULL;
a column whose NULL value is in use goes out in the next wider type. The primary HDU holds the whole description
as a VOTable without data ("fits-plus", which stilts and TOPCAT read).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from astropy.io import fits

from archive.columns import Column, Datatype, arrow_type
from archive.faults import TransientFault, UsageFault
from archive.results.arrays import content, fixed_count, timestamps
from archive.results.document import Document, ending, unique
from archive.results.flow import pieces, slices
from archive.results.packing import Fixed, Packing, packer
from archive.results.result import Envelope, Result

_MOST_COLUMNS = 999
_WIDEST = 256  # bytes of text stored in the row
_IN_MEMORY = 8 << 20
_BLOCK = 2880
_LETTERS = {
    Datatype.BOOLEAN: "L",
    Datatype.BIT: "X",
    Datatype.BYTE: "B",
    Datatype.SHORT: "I",
    Datatype.INT: "J",
    Datatype.LONG: "K",
    Datatype.CHAR: "A",
    Datatype.FLOAT: "E",
    Datatype.DOUBLE: "D",
    Datatype.FLOAT_COMPLEX: "C",
    Datatype.DOUBLE_COMPLEX: "M",
}
_WIDER = {Datatype.BYTE: Datatype.SHORT, Datatype.SHORT: Datatype.INT, Datatype.INT: Datatype.LONG}
_UNPRINTABLE = r"[^\x20-\x7e]"


def table(result: Result, envelope: Envelope) -> Iterator[bytes]:
    """``result`` as FITS; a fault of the query is raised before the first byte."""
    if len(result.columns) > _MOST_COLUMNS:
        raise UsageFault(
            f"A FITS table has at most {_MOST_COLUMNS} columns, the result has {len(result.columns)}.",
            "Select fewer columns, or ask for votable.",
        )
    with closing(_Waiting(result)) as waiting:
        layout = _Layout(waiting)
        columns = zip(layout.columns, result.columns, strict=True)
        described = [replace(stored, xtype=column.xtype) for stored, column in columns]
        primary = Document(result, envelope, columns=described).whole()
        yield from pieces(memoryview(_primary(len(primary)) + primary + _padding(len(primary))))
        yield _header(result, waiting, layout)
        for rows in layout.rows():
            yield from pieces(rows)
        for cells in layout.heap():
            yield from pieces(cells)
        yield _padding(result.rows * layout.width + layout.heap_bytes)


@dataclass(slots=True)
class _Seen:
    """What the cells of a column were found to hold."""

    nulls: bool = False
    least: int | None = None
    longest: int = 0  # bytes of text, items of an array


class _Waiting:
    """All rows of a result, in a temporary file; text already as FITS has it."""

    def __init__(self, result: Result) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by close()
        self.replaced = 0
        self.seen = [_Seen() for _ in result.columns]
        self.described = result.columns
        schema = pa.schema([pa.field(str(index), _waiting_type(each)) for index, each in enumerate(result.columns)])
        try:
            with pa.ipc.new_stream(pa.PythonFile(self._file, "w"), schema) as writer:
                for batch in slices(result):
                    arrays = map(self._taken, result.columns, batch.columns, self.seen)
                    writer.write_batch(pa.record_batch(list(arrays), schema))
        except OSError as error:
            self._file.close()
            raise TransientFault(
                "There is no room to prepare the FITS file.", "Ask for votable, which needs none, or try later."
            ) from error
        except BaseException:
            self._file.close()
            raise

    def _taken(self, column: Column, array: pa.Array, seen: _Seen) -> pa.Array:
        if column.datatype.is_text:
            array = self._printable(timestamps(column, array) if column.is_timestamp else array)
            seen.longest = max(seen.longest, pc.max(pc.binary_length(array)).as_py() or 0)
        elif column.is_scalar_number and column.datatype.is_integer and array.null_count:
            seen.nulls = True
        elif fixed_count(column) is None:
            seen.longest = max(seen.longest, pc.max(pc.list_value_length(array)).as_py() or 0)
        if column.is_scalar_number and column.datatype.is_integer and len(array) > array.null_count:
            least = pc.min(array).as_py()
            seen.least = least if seen.least is None else min(seen.least, least)
        return array

    def _printable(self, array: pa.Array) -> pa.Array:
        found = pc.sum(pc.count_substring_regex(array, _UNPRINTABLE)).as_py()
        if not found:
            return array
        self.replaced += found
        return pc.replace_substring_regex(array, _UNPRINTABLE, "?")

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, from the first; as often as wanted."""
        self._file.seek(0)
        with pa.ipc.open_stream(pa.PythonFile(self._file, "r")) as reader:
            yield from reader

    def close(self) -> None:
        self._file.close()


def _waiting_type(column: Column) -> pa.DataType:
    return pa.string() if column.datatype.is_text else arrow_type(column)


class _Layout:
    """Where the cells lie: in rows of ``width`` bytes, with descriptors of what lies in the heap."""

    def __init__(self, waiting: _Waiting) -> None:
        self._waiting = waiting
        self.columns = tuple(map(_stored, waiting.described, waiting.seen))
        packing = Packing(unknown=0)
        self._packers = [packer(column, packing) for column in self.columns]
        self._in_heap = [index for index, each in enumerate(self._packers) if not isinstance(each, Fixed)]
        self.heap_bytes = sum(len(cells) for cells in self.heap())
        self.descriptor = "P" if self.heap_bytes <= np.iinfo(np.int32).max else "Q"
        pair = np.dtype((">i4" if self.descriptor == "P" else ">i8", (2,)))
        self._row = np.dtype(
            [(str(i), each.dtype if isinstance(each, Fixed) else pair) for i, each in enumerate(self._packers)]
        )
        self.width = self._row.itemsize

    def rows(self) -> Iterator[memoryview]:
        """The rows of the table, a batch at a time."""
        place = 0
        for batch in self._batches():
            rows = np.zeros(batch.num_rows, self._row)
            for index, each in enumerate(self._packers):
                cells = each.cells(batch.column(index))
                if isinstance(cells, np.ndarray):
                    rows[str(index)] = cells
                    continue
                counts, stored = cells
                bounds = content(stored)[0].astype(np.int64)
                rows[str(index)][:, 0] = counts
                rows[str(index)][:, 1] = place + bounds[:-1]
                place += int(bounds[-1])
            yield rows.view(np.uint8).data

    def heap(self) -> Iterator[memoryview]:
        """The cells of varying length, batch by batch and in each column by column."""
        for batch in self._batches() if self._in_heap else ():
            for index in self._in_heap:
                cells = self._packers[index].cells(batch.column(index))
                yield content(cells[1])[1]

    def _batches(self) -> Iterator[pa.RecordBatch]:
        wanted = [_waiting_type(column) for column in self.columns]
        for batch in self._waiting.batches():
            arrays = [array.cast(want) for array, want in zip(batch.columns, wanted, strict=True)]
            yield pa.record_batch(arrays, list(map(str, range(len(arrays)))))


def _stored(column: Column, seen: _Seen) -> Column:
    """``column`` with the type and size that FITS has for what was seen in it."""
    if column.datatype.is_text:
        width = max(seen.longest, 1)
        return replace(column, datatype=Datatype.CHAR, xtype=None, arraysize=str(width) if width <= _WIDEST else "*")
    if column.datatype is Datatype.BIT and (column.arraysize is None or fixed_count(column) is None):
        return replace(column, datatype=Datatype.BOOLEAN)  # one has a NULL; astropy refuses bits in the heap
    if seen.nulls and seen.least == _null(column) and column.datatype in _WIDER:
        return replace(column, datatype=_WIDER[column.datatype])
    return column


def _has_null(stored: Column, seen: _Seen) -> bool:
    if not stored.datatype.is_integer:
        return False
    # Not for arrays of varying length, where astropy's tables fail on it; nor for bytes, which have no value to spare.
    return seen.nulls or (bool(stored.arraysize) and bool(fixed_count(stored)) and stored.datatype is not Datatype.BYTE)


def _null(column: Column) -> int:
    return Packing().null(column)


def _primary(size: int) -> bytes:
    header = fits.Header()
    header["SIMPLE"] = (True, "conforms to FITS")
    header["BITPIX"] = (8, "bytes")
    header["NAXIS"] = (1, "of a VOTable")
    header["NAXIS1"] = (size, "its length")
    header["VOTMETA"] = (True, "it describes the columns of the table")
    header["EXTEND"] = True
    header["NTABLE"] = (1, "the table follows")
    return _card_bytes(header)


def _header(result: Result, waiting: _Waiting, layout: _Layout) -> bytes:
    header = fits.Header()
    header["XTENSION"] = ("BINTABLE", "a binary table")
    header["BITPIX"] = 8
    header["NAXIS"] = 2
    header["NAXIS1"] = (layout.width, "bytes in a row")
    header["NAXIS2"] = (result.rows, "rows")
    header["PCOUNT"] = (layout.heap_bytes, "bytes in the heap")
    header["GCOUNT"] = 1
    header["TFIELDS"] = (len(layout.columns), "columns")
    header["EXTNAME"] = "RESULT"
    names = unique(map(_ascii, (column.name for column in result.columns)), folded=True)
    for number, each in enumerate(zip(names, result.columns, layout.columns, waiting.seen, strict=True), 1):
        _describe(header, number, *each, layout.descriptor)
    for _, status, message in ending(result):
        header["COMMENT"] = _ascii(f"{status}: {message}")
    if waiting.replaced:
        header["COMMENT"] = f"{waiting.replaced} characters that FITS does not know stand as '?'."
    return _card_bytes(header)


def _describe(
    header: fits.Header, number: int, name: str, column: Column, stored: Column, seen: _Seen, descriptor: str
) -> None:
    header[f"TTYPE{number}"] = name
    count = fixed_count(stored)
    letter = _LETTERS[stored.datatype]
    header[f"TFORM{number}"] = f"{count}{letter}" if count is not None else f"1{descriptor}{letter}({seen.longest})"
    if _has_null(stored, seen):
        header[f"TNULL{number}"] = _null(stored)
    if count is not None and stored.arraysize and "x" in stored.arraysize:
        header[f"TDIM{number}"] = f"({stored.arraysize.replace('x', ',')})"
    said = {
        "TUNIT": column.unit,
        "TUCD": column.ucd,
        "TUTYP": column.utype,
        "TXTYP": column.xtype,
        "TCOMM": column.description,
    }
    for keyword, value in said.items():
        if value:
            header[f"{keyword}{number}"] = _ascii(value)


def _ascii(text: str) -> str:
    return "".join(sign if " " <= sign <= "~" else "?" for sign in " ".join(text.split()))


def _card_bytes(header: fits.Header) -> bytes:
    block: bytes = header.tostring(padding=True).encode("ascii")
    return block


def _padding(length: int) -> bytes:
    return bytes(-length % _BLOCK)
