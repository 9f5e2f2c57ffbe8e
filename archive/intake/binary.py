"""BINARY and BINARY2 streams of VOTable (1.5 sections 5.3 and 5.4) to rows of cells."""

from __future__ import annotations

import struct

import numpy as np

from archive.columns import Datatype
from archive.faults import UsageFault
from archive.intake.cells import Shape
from archive.intake.delivered import Measure

_WIRE = {
    Datatype.BOOLEAN: np.dtype("S1"),
    Datatype.BYTE: np.dtype("u1"),
    Datatype.SHORT: np.dtype(">i2"),
    Datatype.INT: np.dtype(">i4"),
    Datatype.LONG: np.dtype(">i8"),
    Datatype.CHAR: np.dtype("S1"),
    Datatype.UNICODE: np.dtype("S2"),
    Datatype.FLOAT: np.dtype(">f4"),
    Datatype.DOUBLE: np.dtype(">f8"),
    Datatype.FLOAT_COMPLEX: np.dtype(">f4"),
    Datatype.DOUBLE_COMPLEX: np.dtype(">f8"),
}

_AGAIN = "It may be truncated; send it again."
_TRUE, _FALSE = b"Tt1", b"Ff0"


def read_rows(content: bytes, shapes: list[Shape], table: str, measure: Measure, *, flags: bool) -> list[list[object]]:
    """All rows of a stream; ``flags`` tells that each begins with its NULL flags (BINARY2).

    Raises:
        UsageFault: a row ends beyond the stream, or a length cannot be true; row and column are named.
    """
    at, flag_bytes = 0, (len(shapes) + 7) // 8 if flags else 0
    if all(shape.is_scalar and shape.column.datatype.is_numeric for shape in shapes):
        return _read_numbers(content, shapes, table, measure, flag_bytes)
    rows: list[list[object]] = []
    while at < len(content):
        number = len(rows) + 1
        measure.check_rows(number, table)
        nulls = _flags(content[at : at + flag_bytes], len(shapes))
        at += flag_bytes
        row: list[object] = []
        for index, shape in enumerate(shapes):
            value, at = _cell(content, at, shape, f"{table}, row {number}, column {shape.column.name}")
            row.append(None if nulls and nulls[index] else value)
        rows.append(row)
        if not shapes:
            break
    return rows


def _read_numbers(
    content: bytes, shapes: list[Shape], table: str, measure: Measure, flag_bytes: int
) -> list[list[object]]:
    """As ``read_rows`` for rows that are all of one size, since they hold single numbers only."""
    fields = [(f"c{number}", _WIRE[shape.column.datatype]) for number, shape in enumerate(shapes)]
    row = np.dtype([("flags", np.uint8, (flag_bytes,)), *fields])
    count, rest = divmod(len(content), row.itemsize) if row.itemsize else (0, 0)
    measure.check_rows(count, table)
    if rest:
        number, column = count + 1, _cut_column(row, rest, shapes)
        raise UsageFault(f"{table}, row {number}, column {column}: the stream ends within the row.", _AGAIN)
    records = np.frombuffer(content, row, count)
    nulls = np.unpackbits(records["flags"], axis=1).astype(bool) if flag_bytes else None
    columns = []
    for number, shape in enumerate(shapes):
        values = records[f"c{number}"]
        gone = np.zeros(count, bool) if nulls is None else nulls[:, number]
        if shape.null is not None:
            gone = gone | (values == shape.null)
        cells = values.astype(object)
        cells[gone] = None
        columns.append(cells.tolist())
    return [list(cells) for cells in zip(*columns, strict=True)]


def _cut_column(row: np.dtype[np.void], rest: int, shapes: list[Shape]) -> str:
    """The name of the column in which a row of ``rest`` bytes ends."""
    ends = (
        (row.fields[f"c{number}"][1] + row[f"c{number}"].itemsize if row.fields else 0, shape.column.name)
        for number, shape in enumerate(shapes)
    )
    return next((name for end, name in ends if rest < end), "")


def _flags(content: bytes, count: int) -> list[bool] | None:
    if not content:
        return None
    bits = np.unpackbits(np.frombuffer(content, np.uint8))
    return [bool(bit) for bit in bits[:count]]


def _cell(content: bytes, at: int, shape: Shape, place: str) -> tuple[object, int]:
    """The value at ``at`` and the offset behind it."""
    count = shape.count
    if count is None:
        if at + 4 > len(content):
            raise UsageFault(f"{place}: the stream ends within the row.", "It may be truncated; send it again.")
        count = struct.unpack_from(">i", content, at)[0]
        at += 4
    size = _size(shape.column.datatype, count)
    if count < 0 or at + size > len(content):
        raise UsageFault(f"{place}: the cell claims {count} items, more than the stream has.", "It may be truncated.")
    return _value(content[at : at + size], count, shape), at + size


def _size(datatype: Datatype, count: int) -> int:
    if datatype is Datatype.BIT:
        return (count + 7) // 8
    pairs = 2 if datatype in (Datatype.FLOAT_COMPLEX, Datatype.DOUBLE_COMPLEX) else 1
    return count * pairs * _WIRE[datatype].itemsize


def _value(raw: bytes, count: int, shape: Shape) -> object:
    match shape.column.datatype:
        case Datatype.CHAR:
            return raw.split(b"\x00", 1)[0].decode("utf-8", "replace")
        case Datatype.UNICODE:
            return raw.decode("utf-16-be", "replace").split("\x00", 1)[0]
        case Datatype.BOOLEAN:
            items: list[object] = [True if b in _TRUE else False if b in _FALSE else None for b in raw]
        case Datatype.BIT if shape.is_scalar:
            items = [any(raw)]  # which of the eight bits is meant is told differently by different writers
        case Datatype.BIT:
            items = [bool(bit) for bit in np.unpackbits(np.frombuffer(raw, np.uint8))[:count]]
        case datatype:
            items = np.frombuffer(raw, _WIRE[datatype]).tolist()
    if not shape.is_scalar or len(items) > 1:
        return items
    return None if shape.null is not None and items[0] == shape.null else items[0]
