"""What the encoders need to know about Arrow arrays and cell sizes, text and binary alike. All of it is vectorised."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from archive.columns import Column
from archive.faults import FatalFault

Ints = NDArray[np.int64]

_SECONDS = len("YYYY-MM-DDThh:mm:ss")
_MICROSECONDS = len("YYYY-MM-DDThh:mm:ss.ffffff")
_YEAR_0, _YEAR_10000 = (np.datetime64(f"{year:04}-01-01", "us").astype(np.int64) for year in (0, 10000))


def fixed_count(column: Column) -> int | None:
    """How many items every cell has (VOTable 1.5 section 2.2): 1 for scalars, 6 for "2x3", None if that varies."""
    if column.arraysize is None:
        return None if column.datatype.is_text else 1
    if column.arraysize.endswith("*"):
        return None
    return prod(int(size) for size in column.arraysize.split("x"))


def dense(array: pa.Array, fill: Any) -> NDArray[Any]:
    """A primitive array as NumPy, NULLs as ``fill`` (what lies below a NULL is never let out)."""
    filled = array.fill_null(fill) if array.null_count else array
    return filled.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def flattened(array: pa.Array) -> tuple[pa.Array, Ints]:
    """The innermost values of a list array, row after row, and how many of them each row has (0 if NULL)."""
    counts = dense(pc.list_value_length(array), 0).astype(np.int64)
    values = array.flatten()
    if not pa.types.is_fixed_size_list(values.type):
        return values, counts
    size = values.type.list_size  # complex numbers: pairs
    inner = values.values.slice(values.offset * size, len(values) * size)
    if values.null_count:
        inner = pc.if_else(pa.array(np.repeat(dense(values.is_valid(), False), size)), inner, None)
    return inner, counts * size


def offsets(counts: Ints) -> NDArray[np.int32]:
    """Where each of so many items begins, and where the last ends."""
    ends = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=ends[1:])
    if ends[-1] > np.iinfo(np.int32).max:
        raise FatalFault("One block of the answer is larger than 2 GiB.", "Ask for fewer or smaller columns.")
    return ends.astype(np.int32)


def content(array: pa.Array) -> tuple[NDArray[np.int32], memoryview]:
    """The offsets (from 0) and the bytes of a string or binary array, without copying the bytes."""
    if not len(array):
        return np.zeros(1, np.int32), memoryview(b"")
    _, ends, data = array.buffers()
    bounds = np.frombuffer(ends, np.int32)[array.offset : array.offset + len(array) + 1]
    whole = memoryview(data) if data is not None else memoryview(b"")
    return bounds - bounds[0], whole[bounds[0] : bounds[-1]]


def joined(kind: pa.DataType, bounds: NDArray[np.int32], data: Any, valid: NDArray[np.bool_] | None = None) -> pa.Array:
    """A string or binary array from offsets and bytes; NULL where ``valid`` is false."""
    bitmap = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(kind, len(bounds) - 1, [bitmap, pa.py_buffer(bounds), pa.py_buffer(data)])


def timestamps(column: Column, array: pa.Array) -> pa.Array:
    """``YYYY-MM-DDThh:mm:ss[.ffffff]`` (DALI 1.1 section 3.3.3); the fraction only where there is one.

    A declared length is a declared precision: 10 gives dates, 19 seconds, 23 milliseconds.
    """
    micros = dense(array.cast(pa.int64()), 0)
    if len(micros) and (micros.min() < _YEAR_0 or micros.max() >= _YEAR_10000):
        raise FatalFault(f"Column {column.name!r} holds a time outside the years 0 to 9999, which no format can carry.")
    # Written in full every text has 26 signs, so the column's bytes are a matrix and the T goes in with one store.
    filled = array.fill_null(0) if array.null_count else array
    signs = np.frombuffer(content(filled.cast(pa.string()))[1], np.uint8).reshape(-1, _MICROSECONDS).copy()
    signs[:, _SECONDS - 9] = ord("T")
    width = _declared_length(column)
    if width >= _MICROSECONDS and bool((micros % 1_000_000 == 0).all()):
        width = _SECONDS
    texts = _rows_as_text(signs[:, :width])
    if width > _SECONDS:
        whole = pa.array(micros % 1_000_000 == 0)
        texts = pc.if_else(whole, _rows_as_text(signs[:, :_SECONDS]), texts)
    return pc.if_else(array.is_valid(), texts, None) if array.null_count else texts


def _declared_length(column: Column) -> int:
    digits = (column.arraysize or "*").rstrip("*")
    length = int(digits) if digits.isdigit() else _MICROSECONDS
    if length >= _SECONDS + 2:
        return min(length, _MICROSECONDS)
    return _SECONDS if length >= _SECONDS else 10


def _rows_as_text(signs: NDArray[np.uint8]) -> pa.Array:
    rows, width = signs.shape
    return joined(pa.string(), np.arange(rows + 1, dtype=np.int32) * width, np.ascontiguousarray(signs))
