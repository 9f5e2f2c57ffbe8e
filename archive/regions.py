"""Regions as text: how columns of ``stcs`` go out, and how such text comes back as the shape it tells of.

Inside they are what geometry of ADQL takes, shapes as numbers in ICRS degrees. Outside they are text in the words of
STC-S with the xtype ``adql:REGION``, as ObsCore 1.1 has its ``s_region`` and TAP 1.0 (section 6) told all regions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from archive.adql import stcs
from archive.adql.types import Refused
from archive.columns import Column, Datatype, arrow_type
from archive.results.arrays import flattened, offsets
from archive.sky import Polygon

XTYPE = "adql:REGION"

_WORDS = {"point": "POSITION", "circle": "CIRCLE", "polygon": "POLYGON"}
_SHAPES = {word: (xtype, size) for (xtype, word), size in zip(_WORDS.items(), ("2", "3", "*"), strict=True)}
_FRAMES = ("", "ICRS", "FK5", "J2000", "UNKNOWNFRAME")  # taken for ICRS, as in REGION('...')
_LONGEST = 1_000_000  # signs of a text that is read


def told(column: Column) -> Column:
    """``column`` as it goes out: one whose regions are told in words is text."""
    if not (column.stcs and column.is_geometry):
        return column
    return replace(column, datatype=Datatype.CHAR, arraysize="*", xtype=XTYPE, unit=None)


def all_told(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Each of ``columns`` as it goes out."""
    return tuple(map(told, columns))


def rows_told(columns: Sequence[Column], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches of ``columns``, by position, as they go out: of the types of ``all_told(columns)``."""
    words = {at: _WORDS[column.xtype or ""] for at, column in enumerate(columns) if told(column) is not column}
    return (_in_words(batch, words) for batch in batches) if words else batches


def _in_words(batch: pa.RecordBatch, words: dict[int, str]) -> pa.RecordBatch:
    arrays = [_texts(words[at], array) if at in words else array for at, array in enumerate(batch.columns)]
    return pa.record_batch(arrays, names=batch.schema.names)


def _texts(word: str, shapes: pa.Array) -> pa.Array:
    """``POLYGON ICRS lon lat ...`` for each shape, with as few digits as give the same number again."""
    values, counts = flattened(shapes)
    numbers = pa.ListArray.from_arrays(offsets(counts), values.cast(pa.string()))
    texts = pc.binary_join_element_wise(f"{word} ICRS", pc.binary_join(numbers, " "), " ")
    return texts if counts.all() else pc.if_else(pa.array(counts > 0), texts, None)


def polygon(text: str) -> Polygon | None:
    """The polygon that ``text`` tells of; None if it is another shape, in another frame, or cannot be read."""
    found = _read(text)
    if found is None or found.kind != "POLYGON":
        return None
    return Polygon(tuple(zip(found.numbers[::2], found.numbers[1::2], strict=True)))


def understood(columns: Sequence[Column], rows: pa.Table) -> tuple[tuple[Column, ...], pa.Table]:
    """A table in which columns of text with the xtype ``adql:REGION`` are shapes, and go out as text again.

    Only where all cells of a column tell of one kind of shape (positions, circles or polygons; ICRS); others stay text.
    """
    described = list(columns)
    for at, column in enumerate(columns):
        if column.is_text and (column.xtype or "").lower() == XTYPE.lower():
            known = _as_shapes(column, rows.column(at).to_pylist())
            if known is not None:
                described[at], shapes = known
                rows = rows.set_column(at, rows.schema.names[at], shapes)
    return tuple(described), rows


def _as_shapes(column: Column, cells: Sequence[str | None]) -> tuple[Column, pa.Array] | None:
    found = {cell: _read(cell) for cell in cells if cell and cell.strip()}
    kinds = {None if shape is None else shape.kind for shape in found.values()}
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind not in _SHAPES:
        return None
    xtype, size = _SHAPES[kind]
    shapes = (found.get(cell or "") for cell in cells)
    shaped = replace(column, datatype=Datatype.DOUBLE, arraysize=size, xtype=xtype, stcs=True)
    return shaped, pa.array([None if shape is None else shape.numbers for shape in shapes], arrow_type(shaped))


def _read(text: str) -> stcs.Shape | None:
    """The shape that ``text`` tells of, if it is one alone and its numbers are ICRS degrees; polygons are left open."""
    if len(text) > _LONGEST:
        return None
    try:
        found = stcs.read(text)
    except Refused:
        return None
    if not isinstance(found, stcs.Shape) or found.frame not in _FRAMES:
        return None
    numbers = found.numbers
    if found.kind == "POLYGON":
        numbers = numbers[:-2] if len(numbers) > 6 and numbers[:2] == numbers[-2:] else numbers
    latitudes = numbers[1::2] if found.kind == "POLYGON" else numbers[1:2]
    return replace(found, numbers=numbers) if all(abs(lat) <= 90 for lat in latitudes) else None
