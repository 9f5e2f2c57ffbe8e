"""CSV and TSV out, as Python's own reader has them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from archive.columns import Column, Datatype
from archive.faults import TransientFault
from archive.results import Envelope, Result, encode, find
from archive.results.flow import PIECE
from tests.results_cases import D, cut, numbers, random_results, result_of, written

ANY_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


def rows(document: bytes, **form: Any) -> list[list[str]]:
    return list(csv.reader(io.StringIO(document.decode(), newline=""), strict=True, **form))


@given(st.lists(st.tuples(st.none() | ANY_TEXT, st.none() | ANY_TEXT)))
def test_any_text_comes_back_from_csv(cells: list[tuple[str | None, str | None]]) -> None:
    columns = (Column('a "name", here', D.UNICODE, "*"), Column("b", D.CHAR, "*"))
    document = written(result_of(columns, [[row[0] for row in cells], [row[1] for row in cells]]), "csv")
    assert rows(document) == [['a "name", here', "b"], *([text or "" for text in row] for row in cells)]
    assert document.count(b"\r\n") >= len(cells) + 1


def test_null_and_empty_text_differ_in_csv() -> None:
    result = result_of((Column("a", D.CHAR, "*"), Column("b", D.INT)), [["", None, "x"], [1, None, 2]])
    assert written(result, "csv") == b'a,b\r\n"",1\r\n,\r\nx,2\r\n'


@given(st.lists(ANY_TEXT))
def test_tsv_has_no_tabs_and_line_ends_within(cells: list[str]) -> None:
    columns = (Column("a", D.UNICODE, "*"), Column("b", D.UNICODE, "*"))
    lines = written(result_of(columns, [cells, cells]), "tsv").decode().split("\n")
    assert lines[0] == "a\tb"
    assert lines[-1] == ""
    clean = [text.translate({9: " ", 10: " ", 13: " "}) for text in cells]
    assert [line.split("\t") for line in lines[1:-1]] == [[text, text] for text in clean]


@given(random_results())
def test_numbers_come_back_exactly(given: tuple[Any, ...]) -> None:
    columns, values, cuts = given
    found = rows(written(cut(columns, values, cuts), "csv"))
    assert found[0] == [column.name for column in columns]
    for index, (column, cells) in enumerate(zip(columns, values, strict=True)):
        if column.is_scalar_number:
            number = int if column.datatype.is_integer else np.dtype(_FLOATS[column.datatype]).type
            again = [number(row[index]) if row[index] else None for row in found[1:]]
            assert repr(again) == repr([None if cell is None else number(cell) for cell in cells])


_FLOATS = {D.FLOAT: "f4", D.DOUBLE: "f8"}


def test_spelling_of_the_rest() -> None:
    columns = (
        Column("flag", D.BOOLEAN),
        Column("x", D.DOUBLE),
        Column("pos", D.DOUBLE, "2", xtype="point"),
        Column("n", D.INT, "*"),
    )
    values: list[list[object]] = [
        [True, False],
        [float("nan"), float("-inf")],
        [[10.5, -0.25], None],
        [[1, None], []],
    ]
    assert rows(written(result_of(columns, values), "csv"))[1:] == [
        ["true", "NaN", "10.5 -0.25", "1 null"],
        ["false", "-Infinity", "", ""],
    ]


def test_columns_of_one_name_get_two() -> None:
    result = result_of((Column("x", D.INT), Column("x", D.INT)), [[1], [2]])
    assert written(result, "tsv") == b"x\tx_\n1\t2\n"


def test_the_header_comes_alone_and_pieces_are_small() -> None:
    pieces = list(encode(numbers(100_000, 2), find("csv")))
    assert pieces[0] == b"n,x\r\n"
    assert max(map(len, pieces)) <= PIECE
    assert len(b"".join(pieces).splitlines()) == 200_001


@pytest.mark.parametrize("name", ["csv", "tsv", "arrow", "parquet", "fits"])
def test_a_fault_breaks_off_what_cannot_tell_of_it(name: str) -> None:
    closed: list[bool] = []
    fault = TransientFault("The query took longer than 60 s.")
    result = numbers(10, 1, lambda: closed.append(True))
    good = result.batches

    def batches() -> Iterator[pa.RecordBatch]:
        yield from good
        raise fault

    result.batches = batches()
    with pytest.raises(TransientFault):
        b"".join(encode(result, find(name)))
    assert result.fault is fault
    assert closed


def test_no_rows() -> None:
    result = Result((Column("a", D.CHAR, "*"), Column("b", D.INT)), iter(()))
    assert written(result, "csv") == b"a,b\r\n"


def test_no_line_of_csv_is_empty() -> None:
    assert written(result_of((Column("a", D.INT),), [[1, None]]), "csv") == b'a\r\n1\r\n""\r\n'


Numbers = tuple[float | None, float | None, int | None]


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
            st.one_of(st.none(), st.floats(width=32, allow_nan=False, allow_infinity=False)),
            st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        ),
        min_size=1,
        max_size=20,
    )
)
@example([(1e-5, 0.5, 0), (1e22, None, -1), (-0.0, 3.0, None), (1.0, 1e10, 7), (5e-324, 1e-45, 2**62)])
def test_numbers_are_spelt_alike_however_they_are_written(rows: list[Numbers]) -> None:
    """Columns of plain numbers are written by Arrow; beside an infinity they are put together cell by cell."""
    columns = (Column("d", Datatype.DOUBLE), Column("f", Datatype.FLOAT), Column("n", Datatype.LONG))

    def lines(more: list[Numbers]) -> list[bytes]:
        arrays = [
            pa.array(values, kind)
            for values, kind in zip(zip(*more, strict=True), (pa.float64(), pa.float32(), pa.int64()), strict=True)
        ]
        batch = pa.record_batch(arrays, names=["d", "f", "n"])
        return b"".join(encode(Result(columns, iter([batch])), find("csv"), Envelope())).split(b"\r\n")

    assert lines(rows) == [*lines([*rows, (float("inf"), None, None)])[:-2], b""]
