"""FITS out: one binary table (FITS 4.0 section 7.3), in constant memory.

The header comes first and tells the number of rows and the width of each text, which are known last. So rows wait
in a temporary file (in memory while few), as Arrow, and are written from there. Where a look ahead tells what is
coming, the rest is written as it comes, and the first byte leaves soon however many rows there are; else it leaves
when all rows have been seen, and the gain is that a fault met by then can still be told as such.

Text of up to 256 bytes has fixed width, longer text and arrays of varying length lie in the heap. FITS knows only
printable ASCII: any other character becomes ``?``, which a COMMENT counts. Integer NULLs are declared by TNULL;
a column whose NULL value is in use goes out in the next wider type. The primary HDU holds the whole description
as a VOTable without data ("fits-plus", which stilts and TOPCAT read).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from astropy.io import fits

from archive.columns import Column, Datatype, arrow_type
from archive.faults import FatalFault, TransientFault, UsageFault
from archive.results.arrays import content, fixed_count, timestamps
from archive.results.document import Document, ending, unique
from archive.results.flow import pieces, slices
from archive.results.packing import Fixed, Packing, packer
from archive.results.result import Envelope, Extent, Foresight, Result, Seen

_MOST_COLUMNS = 999
_WIDEST = 256  # bytes of text stored in the row
_IN_MEMORY = 8 << 20
_FEW = 1 << 20  # bytes of rows; an answer that has no more is seen whole
_SIGNS_OF_A_TIME = 26
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
    """``result`` as FITS; a fault of the query is raised, before the first byte if its rows had to be seen first."""
    if len(result.columns) > _MOST_COLUMNS:
        raise UsageFault(
            f"A FITS table has at most {_MOST_COLUMNS} columns, the result has {len(result.columns)}.",
            "Select fewer columns, or ask for votable.",
        )
    with closing(_Waiting(result)) as waiting:
        layout = _Layout(waiting)
        columns = zip(layout.columns, result.columns, strict=True)
        described = [replace(stored, xtype=column.xtype) for stored, column in columns]
        primary = Document(waiting.told, envelope, columns=described).whole()
        yield from pieces(memoryview(_primary(len(primary)) + primary + _padding(len(primary))))
        yield _header(waiting, layout)
        for rows in layout.rows():
            yield from pieces(rows)
        for cells in layout.heap():
            yield from pieces(cells)
        if result.rows != waiting.told.rows:
            raise FatalFault("The rows are not as many as was foreseen.", "Ask again, or for votable.")
        yield _padding(result.rows * layout.width + layout.heap_bytes)


class _Waiting:
    """The rows of a result, text already as FITS has it; those drawn so far in a temporary file.

    ``told`` is the result as it will have been, ``seen`` what its columns hold; ``replaced`` counts characters that
    FITS does not know, and is None where that is not known beforehand.
    """

    def __init__(self, result: Result) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by close()
        self._columns = result.columns
        self._schema = pa.schema([pa.field(str(at), _waiting_type(each)) for at, each in enumerate(result.columns)])
        self._rest = slices(result)
        self.described = result.columns
        self.seen: tuple[Seen, ...] = tuple(Seen() for _ in result.columns)
        self.replaced: int | None = 0
        try:
            extent = self._draw(result.foresight)
        except OSError as error:
            self._file.close()
            raise TransientFault(
                "There is no room to prepare the FITS file.", "Ask for votable, which needs none, or try later."
            ) from error
        except BaseException:
            self._file.close()
            raise
        self.told = result
        if extent is not None:
            self.seen = extent.seen
            self.replaced = None if any(column.is_text for column in result.columns) else 0
            self.told = replace(result, rows=extent.rows, overflowed=extent.overflowed)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, from the first; once, or as often as wanted if all of them have been drawn."""
        self._file.seek(0)
        with pa.ipc.open_stream(pa.PythonFile(self._file, "r")) as reader:
            yield from reader
        yield from map(self._taken, self._rest)

    def close(self) -> None:
        self._file.close()

    def _draw(self, foresight: Foresight) -> Extent | None:
        """Put rows aside: the first of them if it can be known what all will be, else all."""
        asked = False
        with pa.ipc.new_stream(pa.PythonFile(self._file, "w"), self._schema) as writer:
            for batch in self._rest:
                writer.write_batch(self._taken(batch))
                if not asked and self._file.tell() > _FEW:
                    asked = True
                    extent = foresight.extent() if all(map(_in_row, self._columns)) else None
                    if extent is not None and all(seen.longest <= _WIDEST for seen in extent.seen):
                        return extent
        return None

    def _taken(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        arrays = map(self._looked_at, self._columns, batch.columns, self.seen)
        return pa.record_batch(list(arrays), self._schema)

    def _looked_at(self, column: Column, array: pa.Array, seen: Seen) -> pa.Array:
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
        if self.replaced is not None:
            self.replaced += found
        return pc.replace_substring_regex(array, _UNPRINTABLE, "?")


def _in_row(column: Column) -> bool:
    """Whether cells of ``column`` need not lie in the heap, which comes after all rows."""
    return column.datatype.is_text or fixed_count(column) is not None


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


def _stored(column: Column, seen: Seen) -> Column:
    """``column`` with the type and size that FITS has for what was seen in it."""
    if column.datatype.is_text:
        width = max(seen.longest, _SIGNS_OF_A_TIME if column.is_timestamp and not seen.longest else 1)
        return replace(column, datatype=Datatype.CHAR, xtype=None, arraysize=str(width) if width <= _WIDEST else "*")
    if column.datatype is Datatype.BIT and (column.arraysize is None or fixed_count(column) is None):
        return replace(column, datatype=Datatype.BOOLEAN)  # one has a NULL; astropy refuses bits in the heap
    if seen.nulls and seen.least == _null(column) and column.datatype in _WIDER:
        return replace(column, datatype=_WIDER[column.datatype])
    return column


def _has_null(stored: Column, seen: Seen) -> bool:
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


def _header(waiting: _Waiting, layout: _Layout) -> bytes:
    result = waiting.told
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
    if waiting.replaced is None:
        header["COMMENT"] = "Where text has a character that FITS does not know, there is '?'."
    elif waiting.replaced:
        header["COMMENT"] = f"{waiting.replaced} characters that FITS does not know stand as '?'."
    return _card_bytes(header)


def _describe(
    header: fits.Header, number: int, name: str, column: Column, stored: Column, seen: Seen, descriptor: str
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
