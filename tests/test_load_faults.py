"""Bad files: one clear fault that names file, row and column, and nothing changes."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from archive.backbone import catalogs
from archive.backbone.endpoint import Endpoint
from archive.faults import Fault, UsageFault
from tests.archives import FIRST, SOURCE, make, parquet, snapshot, source

HEADER = "left,right,nick"
PAIRS = f"{HEADER}\na,1,x\nb,2,y\n"
ROWS = [source(number) for number in range(200)]

Write = Callable[[Path], object]


def filled(folder: Path, data: Path) -> Endpoint:
    """An archive that holds some rows already."""
    endpoint = make(folder / "home", data)
    catalogs.load(endpoint, "sp_test", "source", [parquet(folder / "before.parquet", [source(1000)])])
    (folder / "before.csv").write_text(f"{HEADER}\nz,26,zed\n")
    catalogs.load(endpoint, "sp_test", "pair", [folder / "before.csv"])
    return endpoint


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Endpoint:
    """One archive for all bad files: none of them changes it."""
    return filled(tmp_path_factory.mktemp("refused"), data)


@pytest.fixture
def fresh(tmp_path: Path, data: Path) -> Endpoint:
    """An archive for files that turn out to be good."""
    return filled(tmp_path, data)


def refused(endpoint: Endpoint, table: str, path: Path) -> str:
    """The fault of loading ``path``; what the archive holds must be the same afterwards."""
    before = snapshot(endpoint)
    with pytest.raises(Fault) as caught:
        catalogs.load(endpoint, "sp_test", table, [path])
    assert snapshot(endpoint) == before
    assert not list((endpoint.config.store / "staging").iterdir())
    assert not list(endpoint.config.scratch_folder.iterdir())
    assert isinstance(caught.value, UsageFault)
    assert str(caught.value).endswith("Nothing was loaded.")
    return str(caught.value)


def text(content: str | bytes) -> Write:
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content)


def changed(change: Callable[[pa.Table], pa.Table]) -> Write:
    return lambda path: pq.write_table(change(pa.Table.from_pylist(ROWS, schema=SOURCE)), path)


def column(name: str, values: Callable[[pa.Table], pa.Array]) -> Write:
    """The rows with other values in one column."""
    return changed(lambda rows: rows.set_column(rows.column_names.index(name), name, values(rows)))


def cell(row: int, **values: Any) -> Write:
    """The rows with one of them changed (counted from 1)."""
    rows = [source(number) for number in range(200)]
    rows[row - 1] |= values
    return lambda path: parquet(path, rows)


def cut(content: bytes, part: float) -> bytes:
    return content[: int(len(content) * part)]


def as_parquet(tmp: Path) -> bytes:
    return parquet(tmp, ROWS).read_bytes()


# --- whole files ----------------------------------------------------------------------------------

FILES: dict[str, tuple[str, Write, str, str]] = {
    "an unknown ending": ("a.dat", text(PAIRS), "a.dat: files of this ending are not read.", ".parquet, .csv"),
    "nothing, Parquet": ("a.parquet", text(""), "a.parquet: the file is empty.", "again"),
    "nothing, CSV": ("a.csv", text(""), "a.csv: the file is empty.", "again"),
    "no rows, CSV": ("a.csv", text(f"{HEADER}\n"), "a.csv: the file has no rows.", "one that has"),
    "no rows, no end of line": ("a.csv", text(HEADER), "a.csv: the file has no rows.", "one that has"),
    "nothing but ends of line": ("a.csv", text("\n\n\n"), "a.csv: ", ""),
    "no rows, gzip": ("a.csv.gz", text(gzip.compress(b"")), "a.csv.gz: ", ""),
    "CSV called Parquet": ("a.parquet", text(PAIRS), "not Parquet as its ending says: its first bytes", "right ending"),
    "CSV called gzip": ("a.csv.gz", text(PAIRS), "not gzip as its ending says", "right ending"),
    "gzip called CSV": (
        "a.csv",
        text(gzip.compress(PAIRS.encode())),
        "not text as its ending says: it is gzip",
        "right",
    ),
    "FITS called CSV": ("a.csv", text(b"SIMPLE  =" + b" " * 3000), "it is FITS", "right ending"),
    "VOTable called TSV": ("a.tsv", text("<?xml version='1.0'?><VOTABLE/>"), "it is XML (VOTable?)", "right ending"),
    "bytes called CSV": ("a.csv", text(bytes(range(256))), "not text as its ending says: it is not text", "right"),
    "TSV called CSV": ("a.csv", text(PAIRS.replace(",", "\t")), "not separated as the ending says", "'....tsv'"),
    "CSV called TSV": ("a.tsv", text(PAIRS), "not separated as the ending says", "'....csv'"),
    "gzip cut short": (
        "a.csv.gz",
        text(cut(gzip.compress(PAIRS.encode() * 9000), 0.9)),
        "damaged or cut short",
        "again",
    ),
    "not UTF-8": (
        "a.csv",
        text(f"{HEADER}\na,1,x\nb,2,\xff\n".encode("latin-1")),
        "row 2, column 'nick': the text is not UTF-8",
        "",
    ),
    "a row without end": (
        "a.csv",
        text(PAIRS + 'c,3,"' + "x" * (9 << 20) + '"\n'),
        "row 3 or one soon after it is longer than 4 MB.",
        "Is a quote missing?",
    ),
    "an open quote": ("a.csv", text(f'{HEADER}\na,1,"x\nb,2,y\n'), "row 1: a value is opened by a quote", "Close it"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_not_what_it_seems(case: str, endpoint: Endpoint, tmp_path: Path) -> None:
    name, write, message, remedy = FILES[case]
    write(tmp_path / name)
    told = refused(endpoint, "pair", tmp_path / name)
    assert message in told
    assert remedy in told


def test_a_file_that_is_not_there(endpoint: Endpoint, tmp_path: Path) -> None:
    before = snapshot(endpoint)
    with pytest.raises(UsageFault, match=r"none\.csv cannot be read: No such file or directory"):
        catalogs.load(endpoint, "sp_test", "pair", [tmp_path / "none.csv"])
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageFault, match=r"\.csv cannot be read: Is a directory"):
        catalogs.load(endpoint, "sp_test", "pair", [tmp_path / "folder.csv"])
    assert snapshot(endpoint) == before


def test_a_zip_archive(endpoint: Endpoint, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.csv", "w") as archive:
        archive.writestr("a.csv", PAIRS)
    assert "it is a zip archive" in refused(endpoint, "pair", tmp_path / "a.csv")


@pytest.mark.parametrize("part", [0.02, 0.3, 0.9, 0.999])
def test_parquet_cut_short(endpoint: Endpoint, tmp_path: Path, part: float) -> None:
    (tmp_path / "a.parquet").write_bytes(cut(as_parquet(tmp_path / "whole.parquet"), part))
    assert "a.parquet: the file is damaged or cut short" in refused(endpoint, "source", tmp_path / "a.parquet")


@pytest.mark.parametrize("part", [0.1, 0.25, 0.4])
def test_parquet_with_bytes_overwritten(endpoint: Endpoint, tmp_path: Path, part: float) -> None:
    content = bytearray(as_parquet(tmp_path / "whole.parquet"))
    start = int(len(content) * part)
    content[start : start + 64] = b"\xff" * 64
    (tmp_path / "a.parquet").write_bytes(content)
    assert refused(endpoint, "source", tmp_path / "a.parquet").startswith("a.parquet")


# --- columns --------------------------------------------------------------------------------------

COLUMNS: dict[str, tuple[Write, str, str]] = {
    "a column is missing": (
        changed(lambda rows: rows.drop(["note"])),
        "it lacks 'note'",
        "exactly the described columns",
    ),
    "a column too many": (
        changed(lambda rows: rows.append_column("extra", rows["n"])),
        "it has 'extra', which sp_test.source has not",
        "exactly",
    ),
    "another name": (
        changed(lambda rows: rows.rename_columns({"flux": "fluxx"})),
        "it lacks 'flux'; it has 'fluxx', which sp_test.source has not (Did you mean 'flux'?)",
        "",
    ),
    "another case": (
        changed(lambda rows: rows.rename_columns({"Band": "band"})),
        "it lacks 'Band'; it has 'band', which sp_test.source has not (Did you mean 'Band'?)",
        "case-sensitive",
    ),
    "an internal column": (
        changed(lambda rows: rows.append_column("_healpix_29", rows["id"])),
        "it has '_healpix_29', which sp_test.source has not",
        "",
    ),
    "a column twice": (changed(lambda rows: rows.append_column("n", rows["n"])), "it has 'n' twice", ""),
    "text for numbers": (
        column("ra", lambda rows: rows["ra"].cast(pa.string())),
        "column 'ra': is of type string, described is double.",
        "described type",
    ),
    "numbers for text": (
        column("note", lambda rows: rows["n"]),
        "column 'note': is of type int16, described is unicodeChar[12*].",
        "described type",
    ),
    "digits would be lost": (
        column("flux", lambda rows: rows["flux"].cast(pa.float64())),
        "column 'flux': is of type double, described is float.",
        "Digits would be lost",
    ),
    "whole numbers that a float cannot hold": (
        column("flux", lambda rows: rows["id"]),
        "column 'flux': is of type int64, described is float.",
        "Digits would be lost",
    ),
    "a zone": (
        column("seen", lambda rows: pa.nulls(len(rows), pa.timestamp("us", tz="UTC"))),
        "column 'seen': is a timestamp in zone UTC.",
        "without a zone",
    ),
    "a date": (
        column("seen", lambda rows: pa.nulls(len(rows), pa.date32())),
        "column 'seen': is of type date32[day], described is timestamp.",
        "",
    ),
    "one number for an array": (
        column("mags", lambda rows: rows["flux"]),
        "column 'mags': is of type float, described is float[2].",
        "",
    ),
    "another unit": (
        changed(lambda rows: rows.cast(_with_unit(rows.schema, "ra", "rad"))),
        "column 'ra': is in 'rad', described is 'deg'.",
        "Multiply the values by 57.2958",
    ),
    "a unit of something else": (
        changed(lambda rows: rows.cast(_with_unit(rows.schema, "ra", "Jy"))),
        "column 'ra': is in 'Jy', described is 'deg'.",
        "Deliver it in the unit",
    ),
}


def _with_unit(schema: pa.Schema, name: str, unit: str) -> pa.Schema:
    number = schema.get_field_index(name)
    return schema.set(number, schema.field(number).with_metadata({"unit": unit}))


@pytest.mark.parametrize("case", COLUMNS)
def test_columns_that_are_not_those_described(case: str, endpoint: Endpoint, tmp_path: Path) -> None:
    write, message, remedy = COLUMNS[case]
    write(tmp_path / "a.parquet")
    told = refused(endpoint, "source", tmp_path / "a.parquet")
    assert told.startswith("a.parquet")
    assert message in told
    assert remedy in told


def test_the_same_unit_written_otherwise_is_the_same(fresh: Endpoint, tmp_path: Path) -> None:
    changed(lambda rows: rows.cast(_with_unit(rows.schema, "ra", "degree")))(tmp_path / "a.parquet")
    assert catalogs.load(fresh, "sp_test", "source", [tmp_path / "a.parquet"]).total == 201


# --- values in Parquet ----------------------------------------------------------------------------

VALUES: dict[str, tuple[Write, str, str]] = {
    "a number too large": (
        column("n", lambda rows: pa.array([0] * 150 + [40000] * 50, pa.int64())),
        "row 151, column 'n': '40000' is not a whole number in -32768..32767.",
        "Correct the value.",
    ),
    "no key": (
        column("id", lambda rows: pa.array([*rows["id"].to_pylist()[:-1], None])),
        "row 200, column 'id': the value is missing.",
        "Give it a value",
    ),
    "no value": (
        column("flux", lambda rows: pa.array([*[1.0] * 77, None, *[1.0] * 122], pa.float32())),
        "row 78, column 'flux': the value is missing.",
        "nullable",
    ),
    "no number": (cell(5, flux=float("nan")), "row 5, column 'flux': the value is NaN, which counts as missing.", ""),
    "a right ascension below 0": (
        cell(3, ra=-0.001),
        "row 3, column 'ra': -0.001 lies outside 0..360 degrees.",
        "ICRS",
    ),
    "a right ascension above 360": (cell(3, ra=360.001), "row 3, column 'ra': 360.001 lies outside 0..360", ""),
    "a declination above 90": (cell(9, dec=90.5), "row 9, column 'dec': 90.5 lies outside -90..90 degrees.", "ICRS"),
    "an infinite declination": (cell(9, dec=float("-inf")), "row 9, column 'dec': -inf lies outside -90..90", ""),
    "an ID of another release": (
        cell(8, id=(6 << 56) + 1),
        f"row 8, column 'id': {(6 << 56) + 1} is no ID of sp_test, whose IDs are {5 << 56}..{(6 << 56) - 1}.",
        "block 5",
    ),
    "a small ID": (cell(8, id=8), "row 8, column 'id': 8 is no ID of sp_test", "high bits"),
    "a text too long": (
        cell(30, note="x" * 13),
        f"row 30, column 'note': the text '{'x' * 13}' is longer than the 12 characters described.",
        "Shorten it",
    ),
    "a text of foreign signs": (cell(31, Band="é"), "row 31, column 'Band': the text 'é' is not ASCII.", "'unicode'"),
    "a NUL in a text": (cell(31, note="a\0b"), "row 31, column 'note': the text holds a NUL character.", "Remove"),
    "an array too short": (
        column("mags", lambda rows: pa.array([*[[1.0, 2.0]] * 60, [1.0], *[[1.0, 2.0]] * 139], pa.list_(pa.float32()))),
        "row 61, column 'mags': it has 1 elements, described are 2.",
        "",
    ),
    "an array that is not in pairs": (
        cell(62, moments=[1.0, 2.0, 3.0]),
        "row 62, column 'moments': 3 elements do not fit an array of '2x*'.",
        "",
    ),
    "half a microsecond": (
        column("seen", lambda rows: pa.array([*[0] * 40, 1500, *[0] * 159], pa.timestamp("ns"))),
        "row 41, column 'seen': '1970-01-01 00:00:00.000001500' is not a time in whole microseconds.",
        "",
    ),
}


@pytest.mark.parametrize("case", VALUES)
def test_values_that_are_not_those_described(case: str, endpoint: Endpoint, tmp_path: Path) -> None:
    write, message, remedy = VALUES[case]
    write(tmp_path / "a.parquet")
    told = refused(endpoint, "source", tmp_path / "a.parquet")
    assert told.startswith(f"a.parquet, {message}")
    assert remedy in told


# --- values in text -------------------------------------------------------------------------------

LINE = f"{FIRST},10.5,-20.25,1.5,g,note,true,2026-11-23T04:05:06,7,20.5 21.5,1 2"
NAMES = "id,ra,dec,flux,Band,note,good,seen,n,mags,moments"
CELLS = {
    "id": ("12x", "'12x' is not a whole number in -9223372036854775808..9223372036854775807."),
    "ra": ("ten", "'ten' is not a number."),
    "dec": ("1,5", "it has 12 values, the header has 11 names."),
    "flux": ("", "the value is missing."),
    "Band": ("gg", "the text 'gg' is longer than the 1 characters described."),
    "note": ("a,b", "it has 12 values, the header has 11 names."),
    "good": ("yes", "'yes' is not true or false."),
    "seen": ("23.11.2026", "'23.11.2026' is not a time like 2026-11-23T04:05:06.789 without a zone."),
    "n": ("1.0", "'1.0' is not a whole number in -32768..32767."),
    "mags": ("20.5 x", "'x' is not a number."),
    "moments": ("1 2 3", "3 elements do not fit an array of '2x*'."),
}
MANY = ("dec", "seen", "mags")


@pytest.mark.parametrize(("name", "rows"), [*((name, 3) for name in CELLS), *((name, 90_000) for name in MANY)])
def test_a_bad_cell(name: str, rows: int, endpoint: Endpoint, tmp_path: Path) -> None:
    """Wherever the bad cell stands, at the beginning or after many blocks, its row is told."""
    bad, message = CELLS[name]
    values = LINE.split(",")
    values[NAMES.split(",").index(name)] = bad
    lines = [f"{FIRST + number}{LINE[len(str(FIRST)) :]}" for number in range(rows - 1)]
    lines.insert(rows - 2, ",".join(values))
    (tmp_path / "a.csv").write_text("\n".join((NAMES, *lines, "")))
    told = refused(endpoint, "source", tmp_path / "a.csv")
    assert told.startswith(f"a.csv, row {rows - 1}")
    assert message in told
    assert f"column '{name}'" in told or "values" in message


def test_too_few_values(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{PAIRS}c,3\n")
    assert refused(endpoint, "pair", tmp_path / "a.csv").startswith(
        "a.csv, row 3: it has 2 values, the header has 3 names."
    )


def test_a_zone_in_text(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{NAMES}\n{LINE.replace('05:06', '05:06Z')}\n")
    assert "row 1, column 'seen': '2026-11-23T04:05:06Z' is not a time" in refused(
        endpoint, "source", tmp_path / "a.csv"
    )


def test_the_first_bad_row_is_told_whatever_its_column(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{HEADER}\na,1,x\nb,two,y\nc,3,z\n,4,v\n")
    assert refused(endpoint, "pair", tmp_path / "a.csv").startswith("a.csv, row 2, column 'right': 'two'")


# --- keys -----------------------------------------------------------------------------------------


def test_a_key_twice_in_a_file(endpoint: Endpoint, tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", [*ROWS, source(17)])
    assert refused(endpoint, "source", path).startswith(
        f"a.parquet, row 201, column 'id': id = {FIRST + 17} stands also in a.parquet, row 18. A key may"
    )


def test_a_key_in_two_files(endpoint: Endpoint, tmp_path: Path) -> None:
    one = parquet(tmp_path / "a.parquet", [source(1), source(2)])
    two = parquet(tmp_path / "b.parquet", [source(3), source(2, n=9)])
    before = snapshot(endpoint)
    with pytest.raises(UsageFault) as caught:
        catalogs.load(endpoint, "sp_test", "source", [one, two])
    assert f"b.parquet, row 2, column 'id': id = {FIRST + 2} stands also in a.parquet, row 2." in str(caught.value)
    assert snapshot(endpoint) == before


def test_a_key_that_was_loaded_before(endpoint: Endpoint, tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", [source(1), source(1000, n=5)])
    assert f"a.parquet, row 2, column 'id': id = {FIRST + 1000} was loaded into sp_test.source before." in refused(
        endpoint, "source", path
    )


def test_a_key_of_two_columns(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{HEADER}\na,1,\na,2,\nb,1,\nb,2,\na,2,\n")
    assert refused(endpoint, "pair", tmp_path / "a.csv").startswith(
        "a.csv, row 5, column 'left, right': left = a, right = 2 stands also in a.csv, row 2."
    )


def test_a_unique_column_may_hold_many_nulls_but_each_value_once(fresh: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{HEADER}\na,1,\na,2,\nb,1,zed\n")
    assert refused(fresh, "pair", tmp_path / "a.csv").startswith(
        "a.csv, row 3, column 'nick': nick = zed was loaded into sp_test.pair before."
    )
    (tmp_path / "a.csv").write_text(f"{HEADER}\na,1,\na,2,\nb,1,zoe\n")
    assert catalogs.load(fresh, "sp_test", "pair", [tmp_path / "a.csv"]).total == 4


def test_keys_are_found_in_every_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the rows are divided to keep memory low, a repeated key is found."""
    from archive.backbone import keys

    monkeypatch.setattr(keys, "_GROUP", 10)
    pq.write_table(pa.table({"a": list(range(500))}), tmp_path / "one.parquet")
    assert keys.repeated([tmp_path / "one.parquet"], 500, ("a",)) is None
    for number in range(0, 500, 50):
        pq.write_table(pa.table({"a": [-1, number]}), tmp_path / "two.parquet")
        found = keys.repeated([tmp_path / "one.parquet", tmp_path / "two.parquet"], 502, ("a",))
        assert found == (number,)


def test_one_bad_file_of_several(endpoint: Endpoint, tmp_path: Path) -> None:
    good = parquet(tmp_path / "good.parquet", [source(1)])
    bad = parquet(tmp_path / "bad.parquet", [source(2, dec=100.0)])
    before = snapshot(endpoint)
    with pytest.raises(UsageFault, match=r"bad\.parquet, row 1, column 'dec'"):
        catalogs.load(endpoint, "sp_test", "source", [good, bad])
    assert snapshot(endpoint) == before
