"""Cells as binary, big-endian: the row layouts of VOTable BINARY and BINARY2 and of FITS binary tables.

Cells of fixed width are stored column by column into a NumPy record array. Cells of varying width become
Arrow binary arrays, which one kernel weaves with the fixed segments between them; no Python runs per row.

``char`` holds ASCII: that is all VOTable up to 1.5 allows, and readers in use (astropy 8 among them) fail on the
whole table at the first other byte. A character outside ASCII becomes ``?``, counted in ``Packing.replaced`` so
that the document can say so. With ``utf8`` cells are UTF-8 and sizes count bytes, as VOTable 1.6 drafts it.
``unicodeChar`` is UTF-16, two bytes a unit. Integer arrays have no NULL elements of their own: they hold
``null_integer``, which the FIELD declares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from archive.columns import Column, Datatype
from archive.faults import FatalFault
from archive.results.arrays import Ints, content, dense, fixed_count, flattened, joined, offsets, timestamps

Cells = NDArray[Any]

STORED: dict[Datatype, np.dtype[Any]] = {
    Datatype.BOOLEAN: np.dtype("u1"),
    Datatype.BYTE: np.dtype("u1"),
    Datatype.SHORT: np.dtype(">i2"),
    Datatype.INT: np.dtype(">i4"),
    Datatype.LONG: np.dtype(">i8"),
    Datatype.FLOAT: np.dtype(">f4"),
    Datatype.DOUBLE: np.dtype(">f8"),
    Datatype.FLOAT_COMPLEX: np.dtype(">f4"),
    Datatype.DOUBLE_COMPLEX: np.dtype(">f8"),
    Datatype.CHAR: np.dtype("S1"),
    Datatype.UNICODE: np.dtype(">u2"),
}
COMPLEX = (Datatype.FLOAT_COMPLEX, Datatype.DOUBLE_COMPLEX)
_COUNT = np.dtype(">i4")
_TRUE, _FALSE, _UNKNOWN = ord("T"), ord("F"), ord("?")


def null_integer(datatype: Datatype) -> int:
    """What stands for NULL where there is no flag: the least value of the type; bytes have none to spare."""
    return 0 if datatype is Datatype.BYTE else int(np.iinfo(STORED[datatype]).min)


@dataclass(slots=True)
class Packing:
    """Options of a layout, and what happened while packing."""

    utf8: bool = False
    unknown: int = _UNKNOWN  # how a boolean NULL is stored
    null: Callable[[Column], int] = lambda column: null_integer(column.datatype)
    replaced: int = field(default=0, init=False)  # characters that became "?"


@dataclass(frozen=True, slots=True)
class Fixed:
    """Cells of one width: ``cells(array)`` has one row per cell, ready to be stored as ``dtype``."""

    dtype: np.dtype[Any]
    cells: Callable[[pa.Array], Cells]


@dataclass(frozen=True, slots=True)
class Varying:
    """Cells of any width: ``cells(array)`` gives the number of items in each and a binary array of their bytes."""

    cells: Callable[[pa.Array], tuple[Ints, pa.Array]]


def packer(column: Column, packing: Packing) -> Fixed | Varying:
    """How cells of ``column`` are stored."""
    count = fixed_count(column)
    if column.datatype.is_text:
        return _text(column, packing, count)
    if column.datatype is Datatype.BIT:
        return _bits(column, count)
    stored = STORED[column.datatype]
    if column.arraysize is None and column.datatype not in COMPLEX:
        return Fixed(stored, lambda array: _stored(column, array, packing))
    parts = 2 if column.datatype in COMPLEX else 1
    if count is not None:
        width = count * parts
        return Fixed(
            np.dtype((stored, (width,))),
            lambda array: _matrix(column, array, width, lambda values: _stored(column, values, packing)),
        )

    def varying(array: pa.Array) -> tuple[Ints, pa.Array]:
        values, counts = flattened(array)
        cells = _stored(column, values, packing).astype(stored)
        return counts // parts, joined(pa.binary(), offsets(counts * stored.itemsize), cells)

    return Varying(varying)


class Rows:
    """Whole rows as bytes: ``pack(batch)`` for batches of ``columns``, with BINARY2's NULL flags if ``flags``."""

    def __init__(self, columns: Sequence[Column], packing: Packing, *, flags: bool) -> None:
        self.columns = columns
        self.packing = packing
        self._flags = (len(columns) + 7) // 8 if flags else 0
        self._packers = [packer(column, packing) for column in columns]
        # The rows' segments of fixed width; all but the last end in the count of the varying cell after them.
        flags_field = ("flags", np.dtype(("u1", (self._flags,))))
        fields: list[list[tuple[str, Any]]] = [[flags_field] if flags else []]
        for index, each in enumerate(self._packers):
            if isinstance(each, Fixed):
                fields[-1].append((str(index), each.dtype))
            else:
                fields[-1].append((str(index), _COUNT))
                fields.append([])
        self._segments = [np.dtype(segment) for segment in fields]

    def pack(self, batch: pa.RecordBatch) -> memoryview:
        """The rows of ``batch``, one after the other."""
        segments = [np.zeros(batch.num_rows, segment) for segment in self._segments]
        if self._flags:
            segments[0]["flags"] = self._null_flags(batch)
        woven: list[Any] = []
        current = 0
        for index, (each, array) in enumerate(zip(self._packers, batch.columns, strict=True)):
            if isinstance(each, Fixed):
                segments[current][str(index)] = each.cells(array)
                continue
            counts, cells = each.cells(array)
            segments[current][str(index)] = counts
            woven += [_as_binary(segments[current]), cells]
            current += 1
        if not woven:
            return segments[0].view(np.uint8).data
        if self._segments[-1].itemsize:
            woven.append(_as_binary(segments[-1]))
        return content(pc.binary_join_element_wise(*woven, b""))[1]

    def _null_flags(self, batch: pa.RecordBatch) -> NDArray[np.uint8]:
        flags = np.zeros((batch.num_rows, self._flags), np.uint8)
        for index, array in enumerate(batch.columns):
            if array.null_count:
                flags[:, index // 8] |= dense(array.is_null(), True).astype(np.uint8) << (7 - index % 8)
        return flags


def _as_binary(segment: Cells) -> pa.Array:
    bounds = offsets(np.full(len(segment), segment.dtype.itemsize))
    return joined(pa.binary(), bounds, segment.view(np.uint8).reshape(-1))


def _stored(column: Column, values: pa.Array, packing: Packing) -> Cells:
    """Primitive values (not bits, not text) as they are stored, in the machine's byte order."""
    if column.datatype is Datatype.BOOLEAN:
        cells = np.where(dense(values, False), np.uint8(_TRUE), np.uint8(_FALSE))
        if values.null_count:
            cells[dense(values.is_null(), True)] = packing.unknown
        return cells
    fill = packing.null(column) if column.datatype.is_integer else np.nan
    return dense(values, fill)


def _matrix(column: Column, array: pa.Array, width: int, cells: Callable[[pa.Array], Cells]) -> Cells:
    """Arrays of ``width`` items each as a matrix; a NULL row is a row of NULL elements."""
    values, counts = flattened(array)
    valid = dense(array.is_valid(), False)
    if not bool((counts[valid] == width).all()):
        raise _wrong_size(column)
    if valid.all():
        return cells(values).reshape(-1, width)
    matrix = np.repeat(cells(pa.nulls(1, values.type)), len(array) * width).reshape(-1, width)
    matrix[valid] = cells(values).reshape(-1, width)
    return matrix


def _wrong_size(column: Column) -> FatalFault:
    return FatalFault(
        f"Column {column.name!r} is described with arraysize {column.arraysize}, and a value has another size.",
        "Ask for another format, such as votable/td, and tell the archive's keepers.",
    )


def _bits(column: Column, count: int | None) -> Fixed | Varying:
    """Bits, eight to a byte, the first one highest (VOTable 1.5 section 2.1; FITS 4.0 section 7.3.3)."""
    if column.arraysize is None:
        # The standard's bit is the highest, astropy reads 0x08: with both set everyone sees the same.
        return Fixed(np.dtype("u1"), lambda array: dense(array, False) * np.uint8(0x88))
    if count is not None:
        return Fixed(
            np.dtype(("u1", ((count + 7) // 8,))),
            lambda array: np.packbits(_matrix(column, array, count, lambda values: dense(values, False)), axis=1),
        )
    return Varying(_varying_bits)


def _varying_bits(array: pa.Array) -> tuple[Ints, pa.Array]:
    values, counts = flattened(array)
    bounds = offsets((counts + 7) // 8)
    spread = np.zeros(int(bounds[-1]) * 8, bool)
    begins = np.cumsum(counts) - counts
    spread[np.repeat(bounds[:-1].astype(np.int64) * 8 - begins, counts) + np.arange(len(values))] = dense(values, False)
    return counts, joined(pa.binary(), bounds, np.packbits(spread))


def _text(column: Column, packing: Packing, count: int | None) -> Fixed | Varying:
    stored = STORED[column.datatype]

    def cells(array: pa.Array) -> tuple[Ints, pa.Array]:
        plain = timestamps(column, array) if column.is_timestamp else array
        if plain.null_count:
            plain = plain.fill_null("")
        binary = _utf16(plain) if column.datatype is Datatype.UNICODE else _char(plain, packing)
        return np.diff(content(binary)[0]).astype(np.int64) // stored.itemsize, binary

    if count is None:
        return Varying(cells)
    dtype = np.dtype(f"S{count}") if column.datatype is Datatype.CHAR else np.dtype((stored, (count,)))
    return Fixed(dtype, lambda array: _padded(column, cells(array)[1], dtype))


def _char(array: pa.Array, packing: Packing) -> pa.Array:
    bounds, data = content(array)
    if packing.utf8 or bytes(data).isascii():
        return joined(pa.binary(), bounds, data)
    packing.replaced += int(pc.sum(pc.count_substring_regex(array, r"[^\x00-\x7f]")).as_py())
    return pc.replace_substring_regex(array, r"[^\x00-\x7f]", "?").cast(pa.binary())


def _utf16(array: pa.Array) -> pa.Array:
    bounds, data = content(array)
    signs = np.frombuffer(data, np.uint8)
    # UTF-8 says at the first byte of a character how long it is; from four bytes on UTF-16 needs a pair.
    units = ((signs & 0xC0) != 0x80).astype(np.int8) + (signs >= 0xF0)
    before = offsets(units)
    return joined(pa.binary(), before[bounds] * 2, bytes(data).decode().encode("utf-16-be"))


def _padded(column: Column, cells: pa.Array, dtype: np.dtype[Any]) -> Cells:
    """Texts in ``dtype.itemsize`` bytes each, zeros behind."""
    width = dtype.itemsize
    bounds, data = content(cells)
    lengths = np.diff(bounds)
    if len(lengths) and lengths.max() > width:
        raise _wrong_size(column)
    spread = np.zeros(len(lengths) * width, np.uint8)
    shift = np.arange(len(lengths), dtype=np.int64) * width - bounds[:-1]
    spread[np.repeat(shift, lengths) + np.arange(len(data))] = np.frombuffer(data, np.uint8)
    return spread.view(dtype.base).reshape(-1, *dtype.shape)
