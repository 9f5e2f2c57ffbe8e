"""VOTable out, as astropy reads it, as its schema defines it and as votlint judges it."""

from __future__ import annotations

import io
import subprocess
import warnings
from base64 import b64decode
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import astropy.io.votable
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from lxml import etree

from archive.columns import Column, Datatype
from archive.faults import Fault, TransientFault, UsageFault
from archive.results import Envelope, Result, encode, error_document, find
from archive.results.document import field_ids
from archive.results.flow import PIECE
from tests.results_cases import KINDS, D, all_kinds, cut, numbers, one_column, random_results, result_of, written

GOLDEN = Path(__file__).parent / "golden"
SERIALIZATIONS = ("votable", "votable/td", "votable/b")
NAMESPACE = {"v": "http://www.ivoa.net/xml/VOTable/v1.3"}

# What a reader gets wrong, not we: astropy takes bits in arrays of varying length for bytes, and counts the rows of
# "2x*" where stilts counts items; stilts fails on a lone bit and on complex numbers of varying count.
ASTROPY_FAILS = ("bits", "rows of pairs")
STILTS_FAILS = ("bit", "complex numbers")
# votlint (stilts 4.1) loses count in arrays of varying length of doubles and bits, in stilts' own files too; and it
# wants elements in cells of TABLEDATA that are empty, which since VOTable 1.3 is NULL.
VOTLINT_FAILS = (*STILTS_FAILS, "polygon", "bits")
EMPTY_CELLS_REFUSED = ("bit", "fixed bits", "fixed ints", "fixed bytes", "fixed booleans", "matrix", *VOTLINT_FAILS)


@pytest.fixture(scope="session")
def schema() -> etree.XMLSchema:
    """The schema of VOTable 1.4, as astropy carries it."""
    return etree.XMLSchema(file=str(Path(astropy.io.votable.__file__).parent / "data" / "VOTable.v1.4.xsd"))


def read(document: bytes) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*W46.*")
        return astropy.io.votable.parse(io.BytesIO(document), verify="exception").get_first_table()


def seen(cell: Any) -> Any:
    """A cell as astropy has it, masked and NaN as None."""
    if isinstance(cell, np.ndarray) and cell is not np.ma.masked:
        return [seen(each) for each in cell]
    if cell is np.ma.masked or (isinstance(cell, (float, complex, np.inexact)) and np.isnan(cell)):
        return None
    return cell.item() if isinstance(cell, np.generic) else cell


def meant(column: Column, cell: Any, serialization: str) -> Any:
    """The same for the cell that went in: what VOTable can say of it."""
    size = column.arraysize
    if column.is_timestamp:
        return "" if cell is None else cell.isoformat()
    if column.datatype.is_text:
        return cell or ""
    if column.datatype in (D.FLOAT_COMPLEX, D.DOUBLE_COMPLEX) and cell is not None:
        cell = complex(*cell) if size is None else [complex(*each) for each in cell]
    if serialization == "votable/b" and column.datatype is D.BIT and cell is None:
        cell = False if size is None else [False] * int(size)
    if serialization == "votable/b" and column.datatype is D.BYTE and size == "2" and cell is None:
        cell = [0, 0]
    if size is None:
        return None if isinstance(cell, float) and np.isnan(cell) else cell
    if size == "2x3":
        flat = [None] * 6 if cell is None else cell
        return [flat[0:2], flat[2:4], flat[4:6]]
    if cell is None:
        return [] if size.endswith("*") else [None] * int(size)
    return [None if isinstance(each, float) and np.isnan(each) else each for each in cell]


def _single(cell: Any) -> Any:
    if isinstance(cell, list):
        return [_single(each) for each in cell]
    return None if cell is None else float(np.float32(cell))


def check(columns: tuple[Column, ...], values: list[list[Any]], result: Result, serialization: str) -> None:
    table = read(written(result, serialization))
    names = table.array.dtype.names or ()
    assert len(names) == len(columns)
    for name, column, cells in zip(names, columns, values, strict=True):
        found = [seen(cell) for cell in table.array[name]]
        if column.datatype is D.FLOAT:  # in lists astropy gives them as doubles
            found = [_single(cell) for cell in found]
        assert repr(found) == repr([meant(column, cell, serialization) for cell in cells])  # repr: -0.0 is not 0.0


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ASTROPY_FAILS])
@pytest.mark.parametrize("serialization", SERIALIZATIONS)
def test_every_kind_of_cell_comes_back(kind: str, serialization: str) -> None:
    column, values = KINDS[kind]
    check((column,), [values], one_column(kind), serialization)


@given(random_results())
@pytest.mark.parametrize("serialization", SERIALIZATIONS)
def test_random_tables_come_back(serialization: str, given: tuple[Any, ...]) -> None:
    columns, values, cuts = given
    check(columns, values, cut(columns, values, cuts), serialization)


@pytest.mark.parametrize("serialization", SERIALIZATIONS)
def test_documents_are_valid(serialization: str, schema: etree.XMLSchema) -> None:
    result = all_kinds()
    result.notes, result.query, result.token = ("a note\x00",), "SELECT *\nFROM t", "abc"
    schema.assertValid(etree.fromstring(written(result, serialization)))


def test_field_metadata() -> None:
    columns = (
        Column("Ra", D.DOUBLE, unit="deg", ucd="pos.eq.ra;meta.main", utype="a:b", description="Longitude & more"),
        Column("t", D.CHAR, "*", xtype="timestamp"),
        Column("tai", D.DOUBLE, unit="d", ucd="time.epoch", description="Mid-exposure, MJD, TAI"),
        Column("name", D.UNICODE),
    )
    table = read(written(result_of(columns, [[], [], [], []]), "votable"))
    ra, time, tai, name = table.fields
    assert (ra.name, ra.datatype, ra.unit, ra.ucd, ra.utype) == ("Ra", "double", "deg", "pos.eq.ra;meta.main", "a:b")
    assert (ra.description, ra.arraysize, ra.ref) == ("Longitude & more", None, "_icrs")
    assert (time.xtype, time.ref, tai.ref) == ("timestamp", "_time_utc", "_time_tai_mjd-origin")
    assert name.arraysize == "*"


def test_names_and_ids_are_unique() -> None:
    columns = [Column(name, D.INT) for name in ("x", "x", "X", "a b", "a#b", "2mass", "", "_icrs", "é")]
    document = etree.fromstring(written(result_of(columns, [[]] * 9), "votable"))
    fields = document.findall(".//v:FIELD", NAMESPACE)
    names, ids = ([field.get(key) for field in fields] for key in ("name", "ID"))
    assert names == ["x", "x_", "X", "a b", "a#b", "2mass", "", "_icrs", "é"]
    assert ids == ["x", "x_", "X", "a_b", "a_b_", "c2mass", "c", "icrs", "c_"]
    assert ids == list(field_ids(columns))


def statuses(document: bytes) -> list[tuple[str, str | None, bool]]:
    """(value, text, after the table) of each QUERY_STATUS."""
    resource = etree.fromstring(document).find("v:RESOURCE[@type='results']", NAMESPACE)
    found, after = [], False
    assert resource is not None
    for child in resource:
        after |= child.tag.endswith("TABLE")
        if child.get("name") == "QUERY_STATUS":
            found.append((child.get("value", ""), child.text, after))
    return found


@pytest.mark.parametrize("serialization", SERIALIZATIONS)
def test_overflow_stands_after_the_table(serialization: str) -> None:
    result = numbers(3, 2)
    result.overflowed = True
    document = written(result, serialization)
    assert len(read(document).array) == 6
    assert [(value, after) for value, _, after in statuses(document)] == [("OK", False), ("OVERFLOW", True)]


def test_no_rows_but_overflow() -> None:
    result = Result((Column("n", D.INT),), iter(()), overflowed=True)
    document = written(result, "votable")
    assert statuses(document)[-1][0] == "OVERFLOW"
    assert len(read(document).array) == 0


def failing(fault: Exception) -> Result:
    result = numbers(1000, 3)
    good = result.batches

    def batches() -> Iterator[pa.RecordBatch]:
        yield next(good)
        raise fault

    result.batches = batches()
    return result


@pytest.mark.parametrize("serialization", SERIALIZATIONS)
def test_a_fault_on_the_way_ends_the_document(serialization: str, schema: etree.XMLSchema) -> None:
    fault = TransientFault("The query took longer than 60 s.", "Ask for an async job.")
    result = failing(fault)
    document = written(result, serialization)
    schema.assertValid(etree.fromstring(document))
    assert len(read(document).array) == result.rows == 1000
    text = "TransientFault: The query took longer than 60 s. Ask for an async job."
    assert statuses(document) == [("OK", None, False), ("ERROR", text, True)]
    assert result.fault is fault


def test_what_is_no_fault_is_not_hidden() -> None:
    closed: list[bool] = []
    result = failing(ZeroDivisionError())
    result.close = lambda: closed.append(True)
    with pytest.raises(ZeroDivisionError):
        written(result, "votable")
    assert closed


def test_the_head_comes_before_the_first_row_is_asked_for() -> None:
    asked: list[bool] = []
    result = numbers(1, 1)
    rows = result.batches

    def batches() -> Iterator[pa.RecordBatch]:
        asked.append(True)
        yield from rows

    result.batches = batches()
    body = encode(result, find("votable"))
    assert next(body).rstrip().endswith(b'<STREAM encoding="base64">')
    assert not asked
    assert b"</VOTABLE>" in b"".join(body)
    assert asked


@pytest.mark.parametrize("serialization", SERIALIZATIONS)
def test_pieces_are_small_and_whole(serialization: str) -> None:
    pieces = list(encode(numbers(100_000, 3), find(serialization)))
    assert max(map(len, pieces)) <= PIECE * 4 // 3 + 16
    assert (read(b"".join(pieces)).array["n"] == np.arange(300_000)).all()


def test_the_query_is_closed_at_the_end_and_when_the_reader_goes() -> None:
    for reads in (0, 1, 2, None):
        closed: list[bool] = []
        body = encode(numbers(100_000, 3, partial(closed.append, True)), find("votable"))
        for _ in body if reads is None else range(reads):
            if reads is not None:
                next(body)
        body.close()
        assert closed, reads


@pytest.mark.parametrize("serialization", SERIALIZATIONS)
def test_bits_and_pairs_of_varying_count_by_our_own_reading(serialization: str) -> None:
    """What astropy cannot read in a binary stream, it can in TABLEDATA; the bytes are the same as of known kinds."""
    if serialization == "votable/td":
        assert [list(cell) for cell in read(written(one_column("bits"), serialization)).array["x"]] == [
            [True, True, False, True],
            [],
            [False] * 8 + [True],
            [],
        ]
    else:
        stream = etree.fromstring(written(one_column("bits"), serialization)).findtext(".//v:STREAM", "", NAMESPACE)
        flag, null = (b"\0", b"\x80") if serialization == "votable" else (b"", b"")
        cells = [b"\0\0\0\4\xd0", b"\0\0\0\0", b"\0\0\0\x09\0\x80", b"\0\0\0\0"]
        expected = flag + cells[0] + flag + cells[1] + flag + cells[2] + null + cells[3]
        assert np.frombuffer(_base64(stream), np.uint8).tobytes() == expected


def _base64(text: str) -> bytes:
    return b"".join(map(b64decode, text.split()))


def test_text_that_xml_cannot_hold() -> None:
    column = Column("x", D.UNICODE, "*", description="a\x02b\ufffe")
    result = result_of([column], [["nul\x00", "bell\x07 & <tab\t>", "line\r\nend", "\ufffe\uffff", "ok"]])
    result.notes = ("esc \x1b",)
    table = read(written(result, "votable/td"))
    assert list(table.array["x"]) == ["nul?", "bell? & <tab\t>", "line\r\nend", "\ufffd\ufffd", "ok"]
    assert table.fields[0].description == "a?b\ufffd"


def test_text_outside_ascii_in_char() -> None:
    """Readers of today fail on it in a binary stream: it is replaced, and the document says so; or VOTable 1.6."""
    column = Column("x", D.CHAR, "*")
    values = [["naïve", "plain", "日本", None]]
    cells = etree.fromstring(written(result_of([column], values), "votable/td")).findall(".//v:TD", NAMESPACE)
    assert [cell.text for cell in cells] == ["naïve", "plain", "日本", None]
    document = written(result_of([column], values), "votable")
    assert list(read(document).array["x"]) == ["na?ve", "plain", "??", ""]
    warning = etree.fromstring(document).find(".//v:INFO[@name='WARNING']", NAMESPACE)
    assert warning is not None
    assert "3 characters" in (warning.text or "")
    utf8 = written(result_of([column], values), "votable", Envelope(utf8=True))
    stream = etree.fromstring(utf8).findtext(".//v:STREAM", "", NAMESPACE)
    assert "naïve".encode() in _base64(stream)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        ("*", "2020-01-02T03:04:05.678900"),
        ("26", "2020-01-02T03:04:05.678900"),
        ("23", "2020-01-02T03:04:05.678"),
        ("23*", "2020-01-02T03:04:05.678"),
        ("20", "2020-01-02T03:04:05"),
        ("19", "2020-01-02T03:04:05"),
        ("10", "2020-01-02"),
    ],
)
def test_a_declared_length_of_time_is_its_precision(size: str, text: str) -> None:
    column, (time, *_) = KINDS["timestamp"]
    column = Column("x", column.datatype, size, xtype="timestamp")
    for serialization in SERIALIZATIONS:
        assert list(read(written(result_of([column], [[time]]), serialization)).array["x"]) == [text]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (Column("x", D.CHAR, "3"), "abcd"),
        (Column("x", D.UNICODE, "3"), "abc𝄞"),
        (Column("x", D.INT, "2x3"), [1, 2, 3]),
    ],
)
def test_a_value_larger_than_described_is_never_cut(column: Column, value: object) -> None:
    result = result_of([column], [[value]])
    status, text, _ = statuses(written(result, "votable"))[-1]
    assert status == "ERROR"
    assert "arraysize" in (text or "")


def test_a_time_that_has_no_text_is_told() -> None:
    column = KINDS["timestamp"][0]
    batch = pa.record_batch([pa.array([2**62], pa.timestamp("us"))], ["x"])
    assert "years 0 to 9999" in (statuses(written(Result((column,), iter([batch])), "votable/td"))[-1][1] or "")


def test_null_integers_in_binary_are_declared() -> None:
    columns = (
        Column("a", D.INT),
        Column("b", D.INT, nullable=False),
        Column("c", D.BYTE),
        Column("d", D.BYTE, nullable=False),
        Column("e", D.LONG, "*"),
    )
    document = etree.fromstring(written(result_of(columns, [[1], [1], [255], [255], [[1]]]), "votable/b"))
    fields = document.findall(".//v:FIELD", NAMESPACE)
    nulls = [None if (values := field.find("v:VALUES", NAMESPACE)) is None else values.get("null") for field in fields]
    assert nulls == [str(-(2**31)), None, str(-(2**15)), None, str(-(2**63))]
    assert [field.get("datatype") for field in fields] == ["int", "int", "short", "unsignedByte", "long"]


def golden(name: str, document: bytes) -> None:
    assert document.decode() == (GOLDEN / name).read_text(encoding="utf-8")


def told() -> Result:
    """A result with everything that can be said of one."""
    columns = (
        Column("source_id", D.LONG, ucd="meta.id;meta.main", description="Identifier, unique in the release"),
        Column("ra", D.DOUBLE, unit="deg", ucd="pos.eq.ra;meta.main", description="Right ascension (ICRS)"),
        Column("dec", D.DOUBLE, unit="deg", ucd="pos.eq.dec;meta.main", description="Declination (ICRS)"),
        Column("name", D.UNICODE, "*", ucd="meta.id", description="Name & <designation>"),
        Column("seen", D.CHAR, "*", xtype="timestamp", ucd="time.epoch"),
        Column("pos", D.DOUBLE, "2", xtype="point", unit="deg", ucd="pos"),
    )
    values: list[list[object]] = [
        [1, 2**62],
        [10.5, None],
        [-0.25, float("nan")],
        ["Vega <α>", None],
        [KINDS["timestamp"][1][0], None],
        [[10.5, -0.25], None],
    ]
    result = result_of(columns, values)
    result.query = "SELECT *\nFROM stars WHERE ra < 11"
    result.notes = ("Columns of stars are those of version 2.",)
    result.token = "dr1:2:abc"
    result.infos = (("citation", "2020A&A...1....1X", "The release paper"),)
    return result


@pytest.mark.parametrize(
    ("serialization", "name"), [("votable", "binary2"), ("votable/td", "tabledata"), ("votable/b", "binary")]
)
def test_golden_documents(serialization: str, name: str) -> None:
    envelope = Envelope((("standardID", "ivo://ivoa.net/std/SIA#query-2.0", ""),))
    golden(f"{name}.xml", written(told(), serialization, envelope))


def test_golden_errors() -> None:
    fault: Fault = UsageFault("line 1, column 8: there is no column 'raa' & no <x>.", "Did you mean 'ra'?")
    golden("error.xml", error_document(fault, find("votable")))


@pytest.mark.service
@pytest.mark.parametrize("serialization", SERIALIZATIONS)
def test_votlint_has_nothing_to_say(serialization: str, program: Callable[[str], str], tmp_path: Path) -> None:
    path = tmp_path / "result.vot"
    left_out = EMPTY_CELLS_REFUSED if serialization == "votable/td" else VOTLINT_FAILS
    path.write_bytes(written(all_kinds(*left_out), serialization))
    done = subprocess.run([program("stilts"), "votlint", str(path)], capture_output=True, text=True, check=False)
    assert (done.stdout + done.stderr).strip() == ""
    path.write_bytes(written(told(), serialization))
    done = subprocess.run([program("stilts"), "votlint", str(path)], capture_output=True, text=True, check=False)
    assert (done.stdout + done.stderr).strip() == ""


@pytest.mark.service
def test_stilts_reads_the_same_from_every_serialization(program: Callable[[str], str], tmp_path: Path) -> None:
    """Among others what astropy cannot read: bits and pairs of varying count."""
    answers = []
    # where BINARY has no NULL, and what stilts shows otherwise in TABLEDATA
    left_out = (*STILTS_FAILS, "complex", "double complex", "fixed complex numbers", "point", "circle", "fixed bits")
    left_out += ("fixed ints", "fixed bytes", "fixed booleans", "matrix")
    for serialization in SERIALIZATIONS:
        path = tmp_path / "result.vot"
        path.write_bytes(written(all_kinds(*left_out), serialization))
        command = [program("stilts"), "tpipe", f"in={path}", "ifmt=votable", "ofmt=csv"]
        answers.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert answers[0] == answers[1] == answers[2]
    assert '"(true, true, false, true)"' in answers[0]
    assert '"((1, 2), (3, 4))"' in answers[0]


def test_datatypes_are_all_there() -> None:
    """The cases name every datatype of VOTable."""
    assert {column.datatype for column, _ in KINDS.values()} == set(Datatype)
