"""Tables from outside: what our own writers and astropy write is read exactly; what is hostile is refused."""

from __future__ import annotations

import base64
import gzip
import io
import struct
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.columns import Column, Datatype, arrow_type
from archive.faults import UsageFault
from archive.intake import Measure, read
from archive.results import encode, find
from archive.results.result import Result

D = Datatype

KINDS: tuple[tuple[Column, st.SearchStrategy[object]], ...] = (
    (Column("flag", D.BOOLEAN), st.booleans()),
    (Column("byte", D.BYTE), st.integers(0, 255)),
    (Column("small", D.SHORT), st.integers(-(2**15), 2**15 - 1)),
    (Column("whole", D.INT, unit="pixel", ucd="meta.number"), st.integers(-(2**31), 2**31 - 1)),
    (Column("large", D.LONG), st.integers(-(2**63), 2**63 - 1)),
    (Column("real", D.FLOAT, unit="mag"), st.floats(width=32, allow_nan=False)),
    (Column("fine", D.DOUBLE, unit="deg", ucd="pos.eq.ra", description="Right ascension"), st.floats(allow_nan=False)),
    (Column("word", D.UNICODE, "*"), st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF), min_size=1)),
    (Column("when", D.CHAR, "*", "timestamp"), st.datetimes()),
    (Column("place", D.DOUBLE, "2", "point"), st.lists(st.floats(0, 360), min_size=2, max_size=2)),
    (Column("ring", D.DOUBLE, "3", "circle"), st.lists(st.floats(0, 360), min_size=3, max_size=3)),
    (Column("outline", D.DOUBLE, "*", "polygon"), st.lists(st.floats(0, 360), min_size=6, max_size=12)),
    (Column("counts", D.INT, "*"), st.lists(st.integers(-9, 9), min_size=1, max_size=5)),
)

COLUMNS = tuple(column for column, _ in KINDS)


def result_of(rows: list[tuple[object, ...]]) -> Result:
    cells = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
    arrays = [pa.array(list(cell), arrow_type(column)) for cell, column in zip(cells, COLUMNS, strict=True)]
    return Result(COLUMNS, iter([pa.record_batch(arrays, names=[column.name for column in COLUMNS])]))


def row_strategy() -> st.SearchStrategy[list[tuple[object, ...]]]:
    return st.lists(st.tuples(*(st.none() | kind for _, kind in KINDS)), max_size=6)


@pytest.mark.parametrize("serialisation", ["votable/b2", "votable/td"])
@settings(max_examples=100, deadline=None)
@given(rows=row_strategy())
def test_what_we_write_is_read_back_exactly(serialisation: str, rows: list[tuple[object, ...]]) -> None:
    content = b"".join(encode(result_of(rows), find(serialisation)))
    back = read(content, "t", Measure())
    assert [list(row.values()) for row in back.rows.to_pylist()] == [list(row) for row in rows]
    for sent, seen in zip(COLUMNS, back.columns, strict=True):
        assert (seen.name, seen.datatype, seen.unit, seen.ucd) == (sent.name, sent.datatype, sent.unit, sent.ucd)
        assert seen.xtype == sent.xtype


def astropy_table() -> Table:
    table = Table({"n": np.arange(4, dtype="i4"), "x": np.linspace(0, 1, 4), "s": ["a", "bc", "", "d"]})
    table["v"] = np.arange(8.0).reshape(4, 2)
    table["m"] = MaskedColumn([1, 2, 3, 4], mask=[0, 1, 0, 0], dtype="i8")
    table["x"].unit = "deg"
    return table


def expected(empty: str | None) -> list[dict[str, object]]:
    words = ["a", "bc", empty, "d"]
    return [
        {"n": i, "x": i / 3, "s": words[i], "v": [2.0 * i, 2.0 * i + 1], "m": None if i == 1 else i + 1}
        for i in range(4)
    ]


@pytest.mark.parametrize("serialisation", ["tabledata", "binary2"])
def test_what_astropy_writes_is_read(serialisation: str) -> None:
    content = io.BytesIO()
    from_table(astropy_table()).to_xml(content, tabledata_format=serialisation)
    back = read(content.getvalue(), "t", Measure())
    assert back.rows.to_pylist() == expected(None if serialisation == "tabledata" else "")
    assert back.columns[1].unit == "deg"


@pytest.mark.parametrize("packed", [False, True])
def test_fits_tables_are_read_gzipped_too(packed: bool) -> None:
    content = io.BytesIO()
    astropy_table().write(content, format="fits")
    sent = gzip.compress(content.getvalue()) if packed else content.getvalue()
    back = read(sent, "t", Measure())
    assert back.rows.to_pylist() == expected("")
    assert back.columns[1].unit == "deg"


def test_parquet_arrow_csv_and_tsv_are_read() -> None:
    table = pa.table({"n": pa.array([1, None], pa.int32()), "x": [0.5, 1.5], "s": ["a", None]})
    parquet, stream = io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet)
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    for content in (
        parquet.getvalue(),
        stream.getvalue(),
        b"n,x,s\n1,0.5,a\n,1.5,\n",
        b"n\tx\ts\n1\t0.5\ta\n\t1.5\t\n",
    ):
        assert read(content, "t", Measure()).rows.to_pylist() == table.to_pylist()


def votable(fields: str, data: str = "") -> bytes:
    head = '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>'
    return f"{head}{fields}<DATA>{data}</DATA></TABLE></RESOURCE></VOTABLE>".encode()


def stream(raw: bytes, kind: str = "BINARY") -> str:
    return f'<{kind}><STREAM encoding="base64">{base64.b64encode(raw).decode()}</STREAM></{kind}>'


def test_names_that_adql_would_confuse_are_made_distinct() -> None:
    fields = "".join(f'<FIELD name="{name}" datatype="int"/>' for name in ("a b", "A B", "", "x", "X"))
    names = [column.name for column in read(votable(fields), "t", Measure()).columns]
    assert names == ["a b", "A B_2", "column_3", "x", "X_2"]


def test_nulls_among_integers_are_told_by_values() -> None:
    field = '<FIELD name="n" datatype="short"><VALUES null="-99"/></FIELD>'
    rows = "<TABLEDATA><TR><TD>-99</TD></TR><TR><TD>0x10</TD></TR><TR><TD/></TR></TABLEDATA>"
    assert read(votable(field, rows), "t", Measure()).rows.to_pylist() == [{"n": None}, {"n": 16}, {"n": None}]
    raw = struct.pack(">hh", -99, 7)
    assert read(votable(field, stream(raw)), "t", Measure()).rows.to_pylist() == [{"n": None}, {"n": 7}]


@pytest.mark.parametrize("serialisation", ["votable/b2", "votable/td"])
@settings(max_examples=50, deadline=None)
@given(rows=st.lists(st.tuples(*(st.none() | kind for _, kind in KINDS[1:7])), max_size=9))
def test_tables_of_single_numbers_are_read_back_exactly(serialisation: str, rows: list[tuple[object, ...]]) -> None:
    columns = COLUMNS[1:7]
    arrays = [pa.array([row[i] for row in rows], arrow_type(column)) for i, column in enumerate(columns)]
    batch = pa.record_batch(arrays, names=[column.name for column in columns])
    content = b"".join(encode(Result(columns, iter([batch])), find(serialisation)))
    assert [tuple(row.values()) for row in read(content, "t", Measure()).rows.to_pylist()] == rows


BOMB = b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><VOTABLE>&b;</VOTABLE>'
INT, VARYING = '<FIELD name="n" datatype="int"/>', '<FIELD name="n" datatype="int" arraysize="*"/>'


def arrow(table: pa.Table, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


LONG = pa.array(["x" * 1_000_000])
REPEATED = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1000, np.int8)), LONG)
VIEWS = pa.Array.from_buffers(
    pa.string_view(),
    1000,
    [None, pa.py_buffer(struct.pack("<i4sii", 1_000_000, b"xxxx", 0, 0) * 1000), pa.py_buffer(b"x" * 1_000_000)],
)

HOSTILE = {
    "compressed arrow": (arrow(pa.table({"a": np.zeros(1000)}), "zstd"), "compressed"),
    "compressed dictionary": (arrow(pa.table({"a": REPEATED}), "lz4"), "compressed"),
    "repeated text in arrow": (arrow(pa.table({"a": REPEATED})), "larger than"),
    "repeated views": (arrow(pa.table({"a": VIEWS})), "larger than"),
    "dictionary of arrays": (
        arrow(pa.table({"a": pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.int8()), pa.array([[1.0, 2.0]]))})),
        "dictionary of arrays",
    ),
    "encoding in disguise": (b'<?xml version="1.0" encoding="UTF-7"?>+ADw-VOTABLE', "other than UTF-8"),
    "more cells than columns": (votable(INT, "<TABLEDATA><TR>" + "<TD/>" * 100_000), "more cells than columns"),
    "many elements": (b"<VOTABLE>" + b"<a/>" * 100_001, "elements beside its rows"),
    "long tag": (b"<VOTABLE " + b"".join(b'a%d=">" ' % n for n in range(9999)) + b"/>", "a tag that is longer"),
    "many columns": (b"," * 6000 + b"\n1", "more than 5000 columns"),
    "fits header without end": (b"SIMPLE  =                    T".ljust(2880), "header has no end"),
    "entity bomb": (BOMB, "entities"),
    "deep nesting": (b"<a>" * 100_000, "nests deeper"),
    "huge arraysize": (votable('<FIELD name="n" datatype="double" arraysize="4000000000"/>'), "more than 1,000,000"),
    "huge dimensions": (votable('<FIELD name="n" datatype="double" arraysize="9999x9999x*"/>'), "more than 1,000,000"),
    "odd arraysize": (votable('<FIELD name="n" datatype="int" arraysize="-3"/>'), "arraysize '-3'"),
    "false length": (votable(VARYING, stream(struct.pack(">i", 2**31 - 1))), "row 1, column n"),
    "negative length": (votable(VARYING, stream(struct.pack(">i", -5))), "claims -5 items"),
    "row cut short": (votable(INT, stream(b"\x00\x00\x00\x01\x00")), "row 2, column n"),
    "data elsewhere": (votable(INT, '<BINARY><STREAM href="http://example.org/x"/></BINARY>'), "elsewhere"),
    "bad base64": (votable(INT, '<BINARY><STREAM encoding="base64">A</STREAM></BINARY>'), "base64"),
    "unknown datatype": (votable('<FIELD name="n" datatype="quark"/>'), "unknown datatype 'quark'"),
    "word for a number": (votable(INT, "<TABLEDATA><TR><TD>x</TD></TR></TABLEDATA>"), "row 1, column n: 'x' is no int"),
    "too large a number": (votable(INT, "<TABLEDATA><TR><TD>3000000000</TD></TR></TABLEDATA>"), "is no int"),
    "too few cells": (votable(INT + INT, "<TABLEDATA><TR><TD>1</TD></TR></TABLEDATA>"), "1 cells for 2 columns"),
    "truncated": (votable(INT)[:-20], "not well-formed"),
    "no table": (b"<VOTABLE/>", "no TABLE"),
    "utf-16": ("<VOTABLE/>".encode("utf-16"), "other than UTF-8"),
    "empty": (b" \n", "is empty"),
    "bad timestamp": (
        votable(
            '<FIELD name="t" datatype="char" arraysize="*" xtype="timestamp"/>',
            "<TABLEDATA><TR><TD>yesterday</TD></TR></TABLEDATA>",
        ),
        "is no timestamp",
    ),
    "parquet cut short": (b"PAR1" + b"\x00" * 20, "Parquet"),
    "fits cut short": (b"SIMPLE  =                    T".ljust(80) + b"END".ljust(80), "FITS"),
    "binary rubbish": (b"\x00\x01\x02\x03", "neither VOTable"),
    "gzip cut short": (gzip.compress(b"a,b\n1,2\n" * 100)[:-8], "unpacked"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_and_broken_tables_are_refused_without_spending_memory(case: str) -> None:
    content, words = HOSTILE[case]
    tracemalloc.start()
    try:
        with pytest.raises(UsageFault, match=words):
            read(content, "t", Measure())
        assert tracemalloc.get_traced_memory()[1] < 20 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_tables_after_the_first_are_passed_over() -> None:
    first = votable(INT, "<TABLEDATA><TR><TD>1</TD></TR></TABLEDATA>").decode()
    second = f"<TABLE>{INT * 3}<DATA><TABLEDATA>{'<TR><TD/><TD/><TD/></TR>' * 9}</TABLEDATA></DATA></TABLE>"
    content = first.replace("</RESOURCE>", f"{second}</RESOURCE>").encode()
    assert read(content, "t", Measure(rows=5)).rows.to_pylist() == [{"n": 1}]


def test_what_is_too_large_is_refused_whole() -> None:
    rows = "<TABLEDATA>" + "<TR><TD>1</TD></TR>" * 11 + "</TABLEDATA>"
    small = Measure(rows=10, size=100_000)
    cases = [votable(INT, rows), votable(INT, stream(b"\x00\x00\x00\x01" * 11)), b"n\n" + b"1\n" * 11]
    table = io.BytesIO()
    fits.BinTableHDU.from_columns([fits.Column("n", "J", array=np.arange(11))]).writeto(table)
    for content in (*cases, table.getvalue()):
        with pytest.raises(UsageFault, match="at most 10") as refusal:
            read(content, "t", small)
        assert refusal.value.status == 413
    for content in (b"n\n" + b"1\n" * 60_000, gzip.compress(b"n\n" + b"1\n" * 60_000)):
        with pytest.raises(UsageFault, match="larger than") as refusal:
            read(content, "t", small)
        assert refusal.value.status == 413
