"""Cells of a VOTable: their shape on the wire, their text form, and columns of them as Arrow."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

import pyarrow as pa

from archive.columns import GEOMETRY_XTYPES, Column, Datatype, arrow_type
from archive.faults import UsageFault

_MOST_CELL_ITEMS = 1_000_000
_ARRAYSIZE = re.compile(r"(?:\d+x)*(?:\d+|\d*\*)\Z")


@dataclass(frozen=True, slots=True)
class Shape:
    """A FIELD as its cells are laid out.

    ``count`` is the number of items in each cell, or None where it varies; ``null`` stands for NULL among integers.
    """

    column: Column
    count: int | None
    null: int | None = None

    @classmethod
    def of(cls, column: Column, null: str | None, table: str) -> Shape:
        """The shape a FIELD declares; raises ``UsageFault`` for an arraysize that is none or too large."""
        size = (column.arraysize or "").strip()
        if size and not _ARRAYSIZE.match(size):
            raise UsageFault(f"{table}: FIELD {column.name} has the arraysize {size!r}, which VOTable does not know.")
        dimensions = [int(part) for part in re.findall(r"\d+(?=x|\Z)", size)]
        count = None if size.endswith("*") else prod(dimensions)
        if prod(dimensions) > _MOST_CELL_ITEMS:
            raise UsageFault(f"{table}: FIELD {column.name} has cells of more than {_MOST_CELL_ITEMS:,} items.")
        return cls(_travelling(column, size), count, _null(column, null))

    @property
    def is_scalar(self) -> bool:
        return self.column.arraysize is None


def _travelling(column: Column, size: str) -> Column:
    """The column as its values travel here: text is varying text, geometry only what has the numbers for it."""
    if column.datatype.is_text:
        kept = column.xtype if column.xtype not in GEOMETRY_XTYPES else None
        return replace(column, arraysize=size or "1", xtype=kept)
    xtype = column.xtype
    wrong = {"point": size != "2", "circle": size != "3", "polygon": not size}.get(xtype or "", False)
    return replace(column, arraysize=size or None, xtype=None if wrong or xtype == "timestamp" else xtype)


def _null(column: Column, null: str | None) -> int | None:
    if null is None or not column.datatype.is_integer:
        return None
    try:
        return int(null, 0)
    except ValueError:
        return None


def parse_cell(text: str | None, shape: Shape, table: str, row: int) -> object:
    """The value of one TD (VOTable 1.5 section 5.1); an empty one is NULL.

    Raises:
        UsageFault: the text is no value of the column's type.
    """
    if text is None or text == "":
        return None
    datatype = shape.column.datatype
    parser = _PARSERS.get(datatype)
    if parser is None:
        return text
    try:
        if shape.column.arraysize is None:
            value = parser(text.strip())
            return None if shape.null is not None and value == shape.null else value
        return _array(text, datatype)
    except (ValueError, OverflowError, KeyError) as error:
        shown = text if len(text) <= 40 else text[:40] + "..."
        raise UsageFault(f"{table}, row {row}, column {shape.column.name}: {shown!r} is no {datatype}.") from error


def _array(text: str, datatype: Datatype) -> list[object]:
    if datatype is Datatype.BIT:
        return [_PARSERS[datatype](character) for character in text if not character.isspace()]
    items = text.split()
    if datatype in (Datatype.FLOAT_COMPLEX, Datatype.DOUBLE_COMPLEX):
        return [float(item) for item in items]
    return [_PARSERS[datatype](item) for item in items]


_BOOLEANS = {"t": True, "true": True, "1": True, "f": False, "false": False, "0": False, "?": None, "": None}


def _boolean(text: str) -> bool | None:
    return _BOOLEANS[text.lower()]


def _integer(low: int, high: int) -> Callable[[str], int | None]:
    def parse(text: str) -> int | None:
        if not text:
            return None
        value = int(text, 16) if text[:2].lower() == "0x" else int(text)
        if not low <= value <= high:
            raise OverflowError
        return value

    return parse


def _complex(text: str) -> list[float]:
    real, imaginary = text.split()
    return [float(real), float(imaginary)]


def _number(text: str) -> float | None:
    return float(text) if text else None


# Of all that is not text.
_PARSERS: dict[Datatype, Callable[[str], object]] = {
    Datatype.BOOLEAN: _boolean,
    Datatype.BIT: _boolean,
    Datatype.BYTE: _integer(0, 2**8 - 1),
    Datatype.SHORT: _integer(-(2**15), 2**15 - 1),
    Datatype.INT: _integer(-(2**31), 2**31 - 1),
    Datatype.LONG: _integer(-(2**63), 2**63 - 1),
    Datatype.FLOAT: _number,
    Datatype.DOUBLE: _number,
    Datatype.FLOAT_COMPLEX: _complex,
    Datatype.DOUBLE_COMPLEX: _complex,
}


def arrow_column(cells: list[object], shape: Shape, table: str) -> pa.Array:
    """Cells as an Arrow array of the column's type; timestamps are read as DALI writes them, ``Z`` allowed."""
    column = shape.column
    if column.is_geometry:
        cells = [None if _is_nowhere(cell) else cell for cell in cells]
    if column.is_timestamp:
        cells = [_timestamp(cell, column, table, row) for row, cell in enumerate(cells, start=1)]
    try:
        return pa.array(cells, arrow_type(column))
    except (pa.ArrowException, OverflowError, TypeError) as error:
        raise UsageFault(
            f"{table}: column {column.name} has cells that do not fit its arraysize {column.arraysize}."
        ) from error


def _is_nowhere(cell: object) -> bool:
    """A shape of which nothing is known: how NULL is written where a cell cannot be empty (DALI 1.1 section 3.3.5)."""
    return isinstance(cell, list) and all(isinstance(number, float) and math.isnan(number) for number in cell)


def _timestamp(cell: object, column: Column, table: str, row: int) -> datetime.datetime | None:
    if cell is None or not str(cell).strip():
        return None
    try:
        moment = datetime.datetime.fromisoformat(str(cell).strip())
    except ValueError as error:
        raise UsageFault(
            f"{table}, row {row}, column {column.name}: {str(cell)[:40]!r} is no timestamp.",
            "Write YYYY-MM-DDThh:mm:ss.",
        ) from error
    return moment if moment.tzinfo is None else moment.astimezone(datetime.UTC).replace(tzinfo=None)
