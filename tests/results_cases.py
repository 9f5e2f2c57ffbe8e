"""Results to encode: one column of every kind with its nasty values, and random ones."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from archive.columns import Column, Datatype, arrow_type
from archive.results import Envelope, Result, encode, find

D = Datatype
TIME = dt.datetime(2020, 1, 2, 3, 4, 5, 678900)
SECOND = dt.datetime(1999, 12, 31, 23, 59, 59)
NAN, INF = float("nan"), float("inf")

# name -> column, values; the last value is always NULL
KINDS: dict[str, tuple[Column, list[object]]] = {
    "boolean": (Column("x", D.BOOLEAN), [True, False, None]),
    "bit": (Column("x", D.BIT), [True, False, None]),
    "byte": (Column("x", D.BYTE), [0, 7, 255, None]),
    "short": (Column("x", D.SHORT), [0, -7, 32767, -32767, None]),
    "int": (Column("x", D.INT), [0, -7, 2**31 - 1, -(2**31) + 1, None]),
    "long": (Column("x", D.LONG), [0, -7, 2**63 - 1, -(2**63) + 1, 2**53 + 1, None]),
    "float": (Column("x", D.FLOAT, unit="mag"), [1.5, NAN, INF, -INF, -0.0, float(np.float32(0.1)), None]),
    "double": (Column("x", D.DOUBLE, unit="deg"), [0.1, NAN, INF, -INF, -0.0, 5e-324, 1.7976931348623157e308, None]),
    "char": (Column("x", D.CHAR, "*"), ["a<b & c>d", "", "]]>", 'say "x", then', "two\nlines", None]),
    "fixed char": (Column("x", D.CHAR, "5"), ["abc", "abcde", "", None]),
    "bounded char": (Column("x", D.CHAR, "5*"), ["abc", "abcde", "", None]),
    "unicode": (Column("x", D.UNICODE, "*"), ["naïve <𝄞>", "", "Ångström", None]),
    "fixed unicode": (Column("x", D.UNICODE, "4"), ["ééé", "abcd", "", None]),
    "timestamp": (Column("x", D.CHAR, "*", xtype="timestamp"), [TIME, SECOND, None]),
    "timestamp to the second": (Column("x", D.CHAR, "19", xtype="timestamp"), [SECOND, None]),
    "complex": (Column("x", D.FLOAT_COMPLEX), [[1.5, -2.0], [0.0, 0.0], None]),
    "double complex": (Column("x", D.DOUBLE_COMPLEX), [[0.1, -2.0], [0.0, 0.0], None]),
    "point": (Column("x", D.DOUBLE, "2", xtype="point", unit="deg"), [[10.5, -20.25], [0.1, 90.0], None]),
    "circle": (Column("x", D.DOUBLE, "3", xtype="circle", unit="deg"), [[10.5, -20.25, 1.0], None]),
    "polygon": (Column("x", D.DOUBLE, "*", xtype="polygon", unit="deg"), [[1.0, 2.0, 3.0, 4.0, 5.0, 6.5], [], None]),
    "floats": (Column("x", D.FLOAT, "*"), [[1.5, NAN, -INF], [], [None, 2.0], None]),
    "fixed ints": (Column("x", D.INT, "3"), [[1, 2, 3], [1, None, 3], None]),
    "shorts": (Column("x", D.SHORT, "*"), [[1, 2], [], [None], None]),
    "bounded longs": (Column("x", D.LONG, "8*"), [[2**62, -1], [], None]),
    "bytes": (Column("x", D.BYTE, "*"), [[0, 255], [], None]),
    "fixed bytes": (Column("x", D.BYTE, "2"), [[0, 255], None]),
    "booleans": (Column("x", D.BOOLEAN, "*"), [[True, False, None], [], None]),
    "fixed booleans": (Column("x", D.BOOLEAN, "3"), [[True, False, True], [None, False, True], None]),
    "fixed bits": (Column("x", D.BIT, "11"), [[True] * 11, [False] * 10 + [True], None]),
    "bits": (Column("x", D.BIT, "*"), [[True, True, False, True], [], [False] * 8 + [True], None]),
    "complex numbers": (Column("x", D.DOUBLE_COMPLEX, "*"), [[[1.0, 2.0], [3.0, 4.0]], [], None]),
    "fixed complex numbers": (Column("x", D.FLOAT_COMPLEX, "2"), [[[1.0, 2.0], [3.0, 4.0]], None]),
    "matrix": (Column("x", D.INT, "2x3"), [[1, 2, 3, 4, 5, 6], None]),
    "rows of pairs": (Column("x", D.INT, "2x*"), [[1, 2, 3, 4], [], None]),
}


def one_column(kind: str) -> Result:
    """A result of the one column of that kind."""
    column, values = KINDS[kind]
    return result_of([column], [values])


def all_kinds(*leave_out: str) -> Result:
    """A result with a column of each kind; short columns are filled up with NULL."""
    kept = {name: kind for name, kind in KINDS.items() if name not in leave_out}
    rows = max(len(values) for _, values in kept.values())
    columns = [column.named(name.replace(" ", "_")) for name, (column, _) in kept.items()]
    return result_of(columns, [values + [None] * (rows - len(values)) for _, values in kept.values()])


def arrays(columns: Iterable[Column], values: Iterable[list[object]]) -> list[pa.Array]:
    return [pa.array(cells, arrow_type(column)) for column, cells in zip(columns, values, strict=True)]


def batch_of(columns: Iterable[Column], values: Iterable[list[object]]) -> pa.RecordBatch:
    found = arrays(columns, values)
    return pa.record_batch(found, [f"f{index}" for index in range(len(found))])


def result_of(columns: Iterable[Column], values: Iterable[list[object]]) -> Result:
    """A result in several batches, one of them a slice with an offset, as engines make them."""
    columns = tuple(columns)
    batch = batch_of(columns, values)
    return Result(columns, iter([batch.slice(0, 1), batch.slice(1), batch.slice(0, 0)]))


def written(result: Result, name: str, envelope: Envelope | None = None) -> bytes:
    return b"".join(encode(result, find(name), envelope or Envelope()))


def numbers(rows: int, batches: int, close: Callable[[], None] = lambda: None) -> Result:
    """Many rows of an int and a double; ``batches`` are made as they are asked for."""
    columns = (Column("n", D.INT, nullable=False), Column("x", D.DOUBLE))

    def made() -> Iterator[pa.RecordBatch]:
        for number in range(batches):
            first = number * rows
            cells = np.arange(first, first + rows)
            yield pa.record_batch([pa.array(cells.astype(np.int32)), pa.array(cells / 7)], ["n", "x"])

    return Result(columns, made(), close)


# --- random results -----------------------------------------------------------------------------------

_SIGNS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp", "Cn"))
_ASCII = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12)
_TIMES = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31))
_CELLS: dict[Datatype, st.SearchStrategy[object]] = {
    D.BOOLEAN: st.booleans(),
    D.BIT: st.booleans(),
    D.BYTE: st.integers(0, 255),
    D.SHORT: st.integers(-(2**15) + 1, 2**15 - 1),
    D.INT: st.integers(-(2**31) + 1, 2**31 - 1),
    D.LONG: st.integers(-(2**63) + 1, 2**63 - 1),
    D.FLOAT: st.floats(width=32),
    D.DOUBLE: st.floats(),
    D.FLOAT_COMPLEX: st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=2),
    D.DOUBLE_COMPLEX: st.lists(st.floats(allow_nan=False), min_size=2, max_size=2),
}


@st.composite
def _columns(draw: st.DrawFn) -> tuple[Column, st.SearchStrategy[object]]:
    kind, _ = draw(st.sampled_from([KINDS[name] for name in KINDS if name not in ("bits", "rows of pairs")]))
    if kind.is_timestamp:
        return kind, _TIMES if kind.arraysize == "*" else _TIMES.map(lambda time: time.replace(microsecond=0))
    if kind.datatype is D.CHAR:
        return kind, _ASCII if kind.arraysize == "*" else _ASCII.map(lambda text: text[:5])
    if kind.datatype is D.UNICODE:
        if kind.arraysize == "*":
            return kind, st.text(_SIGNS, max_size=12)
        return kind, st.text(st.characters(max_codepoint=0xFFF, categories=("L", "N")), max_size=4)
    cell = _CELLS[kind.datatype]
    if kind.arraysize is None:
        return kind, cell
    if kind.arraysize == "2x3":
        return kind, st.lists(cell, min_size=6, max_size=6)
    least, most = (0, 5) if kind.arraysize.endswith("*") else (int(kind.arraysize),) * 2
    return kind, st.lists(cell, min_size=least, max_size=most)


@st.composite
def random_results(draw: st.DrawFn) -> tuple[tuple[Column, ...], list[list[object]], list[int]]:
    """Columns, their values (NULLs among them), and where to cut the rows into batches."""
    kinds = draw(st.lists(_columns(), min_size=1, max_size=10))
    rows = draw(st.integers(0, 12))
    columns = tuple(replace(column, name=f"c{index}") for index, (column, _) in enumerate(kinds))
    values = [draw(st.lists(st.none() | cells, min_size=rows, max_size=rows)) for _, cells in kinds]
    return columns, values, sorted(draw(st.lists(st.integers(0, rows), max_size=3)))


def cut(columns: tuple[Column, ...], values: list[list[object]], cuts: list[int]) -> Result:
    batch = batch_of(columns, values)
    bounds = [0, *cuts, batch.num_rows]
    return Result(columns, iter([batch.slice(a, b - a) for a, b in itertools.pairwise(bounds)]))
