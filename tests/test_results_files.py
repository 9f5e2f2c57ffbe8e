"""FITS, Parquet, Arrow, JSON, text and HTML out, each as a reader of its own has it."""

from __future__ import annotations

import io
import json
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given
from lxml import html

from archive.columns import Column
from archive.faults import TransientFault, UsageFault
from archive.results import Result, encode, find
from tests.results_cases import KINDS, NAN, D, all_kinds, batch_of, cut, numbers, one_column, random_results, result_of
from tests.results_cases import written as bytes_of

# --- FITS ---------------------------------------------------------------------------------------------


def hdu(result: Result) -> fits.BinTableHDU:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        document = bytes_of(result, "fits")
        assert len(document) % 2880 == 0
        opened = fits.open(io.BytesIO(document), character_as_bytes=True, logical_as_bytes=True)
        opened.verify("exception")
        return opened[1]


def cell_in_fits(column: Column, cell: Any) -> Any:
    """What FITS can say of a cell: text in ASCII, NULL as NaN, False, empty or (integers) None."""
    size = column.arraysize
    if column.is_timestamp:
        return b"" if cell is None else cell.isoformat().encode()
    if column.datatype.is_text:
        return "".join(sign if " " <= sign <= "~" else "?" for sign in cell or "").encode()
    if column.datatype in (D.FLOAT_COMPLEX, D.DOUBLE_COMPLEX) and cell is not None:
        cell = complex(*cell) if size is None else [complex(*each) for each in cell]
    if _is_logical(column):
        return _logical(cell) if size is None else _logicals(cell, size)
    least = {D.BYTE: 0, D.SHORT: -(2**15), D.INT: -(2**31), D.LONG: -(2**63), D.BIT: False}
    null: Any = least.get(column.datatype, NAN)
    if column.datatype in (D.FLOAT_COMPLEX, D.DOUBLE_COMPLEX):
        null = complex(NAN, NAN)
    if size is None:
        return (None if column.datatype.is_integer else null) if cell is None else cell
    count = 6 if size == "2x3" else 0 if size.endswith("*") else int(size)
    flat = [null] * count if cell is None else [null if each is None else each for each in cell]
    return [flat[0:2], flat[2:4], flat[4:6]] if size == "2x3" else flat


def _is_logical(column: Column) -> bool:
    """Besides booleans, bits where they may be NULL or of varying count."""
    return column.datatype is D.BOOLEAN or (column.datatype is D.BIT and column.arraysize != "11")


def _logical(cell: bool | None) -> bytes:
    return b"" if cell is None else b"T" if cell else b"F"  # NumPy shows a zero byte as an empty text


def _logicals(cells: list[bool | None] | None, size: str) -> list[bytes]:
    return list(map(_logical, [None] * (0 if size == "*" else int(size)) if cells is None else cells))


def plain(cell: Any) -> Any:
    if isinstance(cell, np.ndarray):
        return [plain(each) for each in cell]
    return cell.item() if isinstance(cell, np.generic) else bytes(cell) if isinstance(cell, bytes) else cell


def check_fits(columns: tuple[Column, ...], values: list[list[Any]], result: Result) -> None:
    table = hdu(result)
    assert table.header["NAXIS2"] == len(values[0])
    for number, (column, cells) in enumerate(zip(columns, values, strict=True), 1):
        null = table.header.get(f"TNULL{number}")
        found = [plain(cell) for cell in table.data.field(number - 1)]
        if column.arraysize is None and column.datatype.is_integer:
            found = [None if cell == null else cell for cell in found]
        assert repr(found) == repr([cell_in_fits(column, cell) for cell in cells]), column


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_cell_comes_back_from_fits(kind: str) -> None:
    column, values = KINDS[kind]
    check_fits((column,), [values], one_column(kind))


@given(random_results())
def test_random_tables_come_back_from_fits(given: tuple[Any, ...]) -> None:
    columns, values, cuts = given
    check_fits(columns, values, cut(columns, values, cuts))


def test_fits_tells_about_columns_and_the_ending() -> None:
    columns = (
        Column("Mag", D.SHORT, unit="mag", ucd="phot.mag", utype="a:b", description="Magnitude – very " + "long " * 30),
        Column("mag", D.UNICODE, "*"),
        Column("m", D.INT, "2x3"),
    )
    result = result_of(columns, [[-(2**15), None], ["Å" * 300, "b"], [None, None]])
    result.overflowed = True
    header = hdu(result).header
    assert [header[f"TTYPE{n}"] for n in (1, 2, 3)] == ["Mag", "mag_", "m"]
    assert [header[f"TFORM{n}"] for n in (1, 2, 3)] == ["1J", "1PA(300)", "6J"]
    assert (header["TNULL1"], header["TUNIT1"], header["TUCD1"]) == (-(2**31), "mag", "phot.mag")
    assert header["TDIM3"] == "(2,3)"
    assert header["TCOMM1"].startswith("Magnitude ? very long long")
    assert any("OVERFLOW" in line for line in header["COMMENT"])
    assert any("300 characters" in line for line in header["COMMENT"])


def test_fits_of_no_rows() -> None:
    table = hdu(Result((Column("a", D.INT), Column("b", D.CHAR, "*")), iter(())))
    assert table.header["NAXIS2"] == 0


def test_fits_has_at_most_999_columns() -> None:
    columns = tuple(Column(f"c{number}", D.INT) for number in range(1000))
    with pytest.raises(UsageFault, match="999 columns"):
        bytes_of(Result(columns, iter(())), "fits")


def test_fits_larger_than_memory_kept_for_it() -> None:
    table = hdu(numbers(200_000, 5))
    assert (table.data["n"] == np.arange(1_000_000)).all()


def test_fits_without_room_is_told_before_the_first_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.SpooledTemporaryFile", lambda size: Full())
    with pytest.raises(TransientFault, match="no room"):
        next(encode(numbers(10, 1), find("fits")))


@pytest.mark.service
@pytest.mark.parametrize("reader", ["fits", "fits-plus"])
def test_stilts_reads_fits(reader: str, program: Callable[[str], str], tmp_path: Path) -> None:
    path = tmp_path / "result.fits"
    path.write_bytes(bytes_of(all_kinds(), "fits"))
    command = [program("stilts"), "tpipe", f"in={path}", f"ifmt={reader}", "ofmt=csv", "cmd=keepcols 'int char'"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert answer.splitlines()[:3] == ["int,char", "0,a<b & c>d", "-7,"]


# --- Parquet ------------------------------------------------------------------------------------------

# astropy stacks the rows below an empty table made from the footer and fails on NULLs in these, however written
ASTROPY_PARQUET = ("boolean", "bit", "matrix", "fixed complex numbers", *(f"fixed {x}" for x in ("ints", "bytes")))
ASTROPY_PARQUET += ("fixed booleans", "fixed bits")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ASTROPY_PARQUET])
def test_astropy_reads_voparquet(kind: str) -> None:
    column, values = KINDS[kind]
    result = result_of([Column(column.name, column.datatype, column.arraysize, column.xtype, "m", "src")], [values])
    table = Table.read(io.BytesIO(bytes_of(result, "parquet")), format="parquet.votable")
    assert len(table) == len(values)
    assert str(table["x"].unit) == "m"
    first = table["x"][0]
    if column.is_timestamp:
        assert first == values[0].isoformat()  # type: ignore[attr-defined]
    elif column.arraysize is None or column.datatype.is_text:
        assert list(np.atleast_1d(first)) == (values[0] if isinstance(values[0], list) else [values[0]])


@pytest.mark.filterwarnings("ignore")
def test_astropy_reads_voparquet_of_no_rows() -> None:
    result = Result((Column("a", D.INT, unit="s"), Column("b", D.CHAR, "*")), iter(()))
    table = Table.read(io.BytesIO(bytes_of(result, "parquet")), format="parquet.votable")
    assert (len(table), table.colnames, str(table["a"].unit)) == (0, ["a", "b"], "s")


@given(random_results())
def test_random_tables_come_back_from_parquet(given: tuple[Any, ...]) -> None:
    columns, values, cuts = given
    table = pq.read_table(io.BytesIO(bytes_of(cut(columns, values, cuts), "parquet")))
    assert table.num_rows == len(values[0])
    for index, (column, cells) in enumerate(zip(columns, values, strict=True)):
        if column.is_timestamp:
            cells = [None if cell is None else cell.isoformat() for cell in cells]
        elif column.datatype in (D.FLOAT_COMPLEX, D.DOUBLE_COMPLEX) and column.arraysize:
            cells = [None if cell is None else [part for pair in cell for part in pair] for cell in cells]
        if pa.types.is_fixed_size_list(table.column(index).type) and not column.datatype.is_integer:
            null = None if column.datatype in (D.BOOLEAN, D.BIT) else [NAN] * table.column(index).type.list_size
            cells = [null if cell is None else cell for cell in cells]
        assert repr(table.column(index).to_pylist()) == repr(cells)


def test_the_footer_of_parquet_describes_columns_and_the_ending() -> None:
    result = result_of((Column("x", D.INT, unit="mag"), Column("x", D.CHAR, "*")), [[1], ["né"]])
    result.overflowed = True
    metadata = pq.read_metadata(io.BytesIO(bytes_of(result, "parquet"))).metadata
    assert metadata[b"IVOA.VOTable-Parquet.version"] == b"1.0"
    document = metadata[b"IVOA.VOTable-Parquet.content"].decode()
    assert '<FIELD ID="x" name="x" datatype="int" unit="mag"/>' in document
    assert '<FIELD ID="x_" name="x_" datatype="char" arraysize="3"/>' in document
    assert 'value="OVERFLOW"' in document
    assert "DATA" not in document


def test_parquet_comes_in_row_groups() -> None:
    pieces = list(encode(numbers(500_000, 8), find("parquet")))
    metadata = pq.read_metadata(io.BytesIO(b"".join(pieces)))
    assert metadata.num_rows == 4_000_000
    assert metadata.num_row_groups > 1


# --- Arrow --------------------------------------------------------------------------------------------


@given(random_results())
def test_random_tables_come_back_from_arrow(given: tuple[Any, ...]) -> None:
    columns, values, cuts = given
    table = pa.ipc.open_stream(bytes_of(cut(columns, values, cuts), "arrow")).read_all()
    expected = batch_of(columns, values)
    assert table.schema.types == expected.schema.types
    found = [column.to_pylist() for column in table.columns]
    assert repr(found) == repr([array.to_pylist() for array in expected.columns])


def test_arrow_says_what_is_known_of_columns() -> None:
    result = result_of((Column("x", D.DOUBLE, unit="deg", ucd="pos.eq.ra", description="naïve"),), [[1.0]])
    field = pa.ipc.open_stream(bytes_of(result, "arrow")).schema.field("x")
    assert field.metadata == {
        b"datatype": b"double",
        b"unit": b"deg",
        b"ucd": b"pos.eq.ra",
        b"description": "naïve".encode(),
    }


# --- JSON, text, HTML ---------------------------------------------------------------------------------


def json_cell(column: Column, cell: Any) -> Any:
    if cell is not None and column.is_timestamp:
        return cell.isoformat()
    if cell is not None and column.datatype is D.BIT:
        return int(cell) if column.arraysize is None else [int(each) for each in cell]
    if cell is not None and column.arraysize and column.datatype in (D.FLOAT_COMPLEX, D.DOUBLE_COMPLEX):
        return [json_number(part) for pair in cell for part in pair]
    return [json_number(each) for each in cell] if isinstance(cell, list) else json_number(cell)


def json_number(value: Any) -> Any:
    if isinstance(value, float) and not np.isfinite(value):
        return "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def same(found: Any, meant: Any, single: bool) -> bool:
    if isinstance(meant, list) and isinstance(found, list):
        return len(found) == len(meant) and all(same(a, b, single) for a, b in zip(found, meant, strict=True))
    if isinstance(meant, float) and isinstance(found, (int, float)):
        return bool(np.float32(found) == np.float32(meant)) if single else found == meant
    return found == meant and type(found) is type(meant)


@given(random_results())
def test_random_tables_come_back_from_json(given: tuple[Any, ...]) -> None:
    columns, values, cuts = given
    answer = json.loads(bytes_of(cut(columns, values, cuts), "json"))
    assert [field["datatype"] for field in answer["metadata"]] == [str(column.datatype) for column in columns]
    assert (answer["status"], answer["message"]) == ("OK", "")
    assert len(answer["data"]) == len(values[0])
    for index, (column, cells) in enumerate(zip(columns, values, strict=True)):
        single = column.datatype in (D.FLOAT, D.FLOAT_COMPLEX)
        assert same([row[index] for row in answer["data"]], [json_cell(column, cell) for cell in cells], single)


def test_json_escapes_every_control_character() -> None:
    text = "".join(map(chr, range(160))) + '\\"\u2028𝄞'
    result = result_of((Column('na"me', D.UNICODE, "*"),), [[text]])
    answer = json.loads(bytes_of(result, "json"))
    assert (answer["data"], answer["metadata"][0]["name"]) == ([[text]], 'na"me')


@pytest.mark.parametrize("name", ["json", "text", "html"])
def test_what_can_tell_the_ending_does(name: str) -> None:
    over = numbers(3, 1)
    over.overflowed = True
    assert "OVERFLOW" in bytes_of(over, name).decode()
    fault = TransientFault("Too <slow>.")

    def batches() -> Any:
        yield next(numbers(3, 1).batches)
        raise fault

    broken = Result(over.columns, batches())
    document = bytes_of(broken, name).decode()
    assert "TransientFault: Too" in document
    assert broken.fault is fault
    if name == "json":
        answer = json.loads(document)
        assert (len(answer["data"]), answer["status"]) == (3, "ERROR")


def test_text_is_aligned() -> None:
    columns = (Column("id", D.LONG), Column("ra", D.DOUBLE, unit="deg"), Column("name", D.UNICODE, "*"))
    values: list[list[object]] = [[1, 12345, None], [0.5, 359.125, None], ["Å\t1", None, "last"]]
    result = Result(columns, iter([batch_of(columns, values)]))
    assert bytes_of(result, "text").decode().splitlines() == [
        "  id  |    ra   | name",
        "      |  [deg]  |",
        "------+---------+-----",
        "    1 |     0.5 | Å 1 ",
        "12345 | 359.125 |     ",
        "      |         | last",
    ]


def test_html_is_a_table() -> None:
    columns = (Column("a<b", D.UNICODE, "*", unit="deg", description='the "a"'), Column("n", D.INT))
    result = result_of(columns, [["<script>x</script>", None], [1, None]])
    result.query, result.notes = "SELECT <x>", ("a & b",)
    page = html.document_fromstring(bytes_of(result, "html"))
    assert page.xpath("//script") == []
    assert [cell.text_content() for cell in page.xpath("//th")] == ["a<bdeg", "n"]
    assert [cell.text_content() for cell in page.xpath("//td")] == ["<script>x</script>", "1", "", ""]
    assert page.xpath("//pre")[0].text == "SELECT <x>"


def test_html_lets_people_follow_addresses_of_the_web_alone() -> None:
    addresses = ["https://a.test/b?c=1&d=%20", "javascript:alert(1)", 'http://a.test/"onclick="x', "http://a b", None]
    column = Column("access_url", D.CHAR, "*", ucd="meta.ref.url")
    page = html.document_fromstring(bytes_of(result_of((column,), [addresses]), "html"))
    assert page.xpath("//td/a/@href") == addresses[:1]
    assert [cell.text_content() for cell in page.xpath("//td")] == [each or "" for each in addresses]


@pytest.mark.parametrize("name", ["fits", "parquet", "arrow", "json", "text", "html"])
def test_rows_are_counted_and_the_query_closed(name: str) -> None:
    closed: list[bool] = []
    result = numbers(10, 3, lambda: closed.append(True))
    assert bytes_of(result, name)
    assert result.rows == 30
    assert closed
