"""UPLOAD: what is sent comes back as it was, can be joined and used as a region, or is refused whole."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Latitude, Longitude
from astropy.io import votable
from astropy.table import Table
from flask.testing import FlaskClient
from mocpy import MOC

from archive.intake import Measure, read
from archive.results import Result, encode, find
from tests.uploading import ask, client

DOCUMENT = """<?xml version="1.0" encoding="UTF-8"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE name="mine">
<FIELD name="truth" datatype="boolean"/>
<FIELD name="flag" datatype="bit"/>
<FIELD name="flags" datatype="bit" arraysize="3"/>
<FIELD name="byte" datatype="unsignedByte"><VALUES null="255"/></FIELD>
<FIELD name="small" datatype="short" unit="pixel"><VALUES null="-1"/></FIELD>
<FIELD name="whole" datatype="int" ucd="meta.number"><VALUES null="-99"/></FIELD>
<FIELD name="large" datatype="long" ucd="meta.id;meta.main"><VALUES null="-999"/></FIELD>
<FIELD name="real" datatype="float" unit="mag" ucd="phot.mag;em.opt.V"/>
<FIELD name="fine" datatype="double" unit="deg" utype="stc:x"><DESCRIPTION>an angle &amp; more</DESCRIPTION></FIELD>
<FIELD name="wave" datatype="floatComplex"/>
<FIELD name="waves" datatype="doubleComplex"/>
<FIELD name="word" datatype="char" arraysize="*"/>
<FIELD name="letter" datatype="char" arraysize="1"/>
<FIELD name="Wort" datatype="unicodeChar" arraysize="*"/>
<FIELD name="seen" datatype="char" arraysize="*" xtype="timestamp"/>
<FIELD name="at" datatype="double" arraysize="2" xtype="point" unit="deg"/>
<FIELD name="ring" datatype="double" arraysize="3" xtype="circle" unit="deg"/>
<FIELD name="outline" datatype="double" arraysize="*" xtype="polygon" unit="deg"/>
<FIELD name="range" datatype="double" arraysize="2" xtype="interval" unit="m"/>
<FIELD name="fixed" datatype="int" arraysize="3"><VALUES null="-1"/></FIELD>
<FIELD name="any" datatype="float" arraysize="*" unit="Jy"/>
<FIELD name="grid" datatype="short" arraysize="2x2"><VALUES null="-1"/></FIELD>
<FIELD name="old point" datatype="char" arraysize="*" xtype="adql:POINT"/>
<DATA><TABLEDATA>
<TR><TD>true</TD><TD>1</TD><TD>101</TD><TD>7</TD><TD>-32768</TD><TD>2147483647</TD><TD>-9223372036854775808</TD>
<TD>1.5</TD><TD>0.1</TD><TD>1.5 -2.5</TD><TD>0.1 1e300</TD><TD>plain</TD><TD>x</TD><TD>Größe Ω 星</TD>
<TD>2026-01-31T12:34:56.789012</TD><TD>10.5 -20.25</TD><TD>10 20 0.5</TD><TD>1 2 3 4 5 6</TD><TD>1e-7 2e-7</TD>
<TD>1 2 3</TD><TD>1.5 2 2.5</TD><TD>1 2 3 4</TD><TD>Position ICRS 1 2</TD></TR>
<TR><TD></TD><TD></TD><TD></TD><TD>255</TD><TD>-1</TD><TD>-99</TD><TD>-999</TD><TD></TD><TD></TD><TD></TD><TD></TD>
<TD></TD><TD></TD><TD></TD><TD></TD><TD></TD><TD></TD><TD></TD><TD></TD><TD></TD><TD></TD><TD></TD><TD></TD></TR>
<TR><TD>false</TD><TD>0</TD><TD>010</TD><TD>0</TD><TD>0</TD><TD>0</TD><TD>0</TD><TD>+Inf</TD><TD>-Inf</TD>
<TD>NaN +Inf</TD><TD>0 0</TD><TD>inner  blanks</TD><TD>&lt;</TD><TD>&amp;</TD><TD>1999-12-31T23:59:59</TD><TD>0 90</TD>
<TD>0 0 180</TD><TD>0 0 1 0 1 1 0 1</TD><TD>-Inf +Inf</TD><TD>0 0 0</TD><TD>1</TD><TD>0 0 0 0</TD><TD></TD></TR>
<TR><TD>T</TD><TD>1</TD><TD>111</TD><TD>254</TD><TD>1</TD><TD>1</TD><TD>1</TD><TD>NaN</TD><TD>NaN</TD><TD>0 0</TD>
<TD>0 0</TD><TD>a,b"c</TD><TD>y</TD><TD>x</TD><TD>2000-01-01T00:00:00</TD><TD>359.9 -90</TD><TD>1 1 1</TD>
<TD>1 1 2 2 1 2</TD><TD>0 1</TD><TD>1 1 1</TD><TD>2 3</TD><TD>9 8 7 6</TD><TD>x</TD></TR>
</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>
"""

STARS = Table({"ra": [10.0, 20.0, 10.5, 200.0], "dec": [20.0, 20.0, 20.5, -45.0], "k": [1, 2, 3, 4]})


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    return client(tmp_path_factory.mktemp("uploads"), upload_rows=1000, upload_bytes=200_000)


def table(content: bytes) -> Any:
    return votable.parse(io.BytesIO(content), verify="ignore").get_first_table()


def written(serialisation: str) -> bytes:
    """``DOCUMENT`` in another serialisation; astropy cannot write all of it."""
    found = read(DOCUMENT.encode(), "mine", Measure())
    return b"".join(encode(Result(found.columns, iter(found.rows.to_batches())), find(serialisation)))


def as_votable(rows: Table) -> bytes:
    out = io.BytesIO()
    rows.write(out, format="votable")
    return out.getvalue()


def rows(content: bytes) -> list[list[str]]:
    assert not content.startswith(b"<"), message(content)
    return list(csv.reader(io.StringIO(content.decode())))[1:]


def message(content: bytes) -> str:
    return " ".join(votable.parse(io.BytesIO(content)).resources[0].infos[0].content.split())


# --- the same again -------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["votable/b2", "votable/td"])
@pytest.mark.parametrize("sent", ["votable/td", "votable/b2", "as is"])
def test_every_type_comes_back_as_it_was_sent(sent: str, answer: str, archive: FlaskClient) -> None:
    content = DOCUMENT.encode() if sent == "as is" else written(sent)
    response = ask(archive, "SELECT * FROM TAP_UPLOAD.mine", answer, mine=content)
    before, after = table(content), table(response.data)
    for was, field in zip(before.fields, after.fields, strict=True):
        assert (field.name, field.datatype, field.unit, field.ucd, field.utype, field.xtype, field.description) == (
            was.name, was.datatype, was.unit, was.ucd, was.utype, was.xtype, was.description
        ), was.name  # fmt: skip
        assert_equal(before.array[was.ID], after.array[field.ID], was.name)


def test_not_a_number_stays_apart_from_null(archive: FlaskClient) -> None:
    query = "SELECT COUNT(*) AS n, COUNT(fine) AS known FROM TAP_UPLOAD.mine WHERE fine = fine OR fine IS NULL"
    assert rows(ask(archive, query, "csv", mine=DOCUMENT.encode()).data) == [["4", "3"]]


def assert_equal(before: Any, after: Any, name: str) -> None:
    for row, (one, other) in enumerate(zip(before, after, strict=True)):
        gone, gone_after = np.all(np.ma.getmaskarray(one)), np.all(np.ma.getmaskarray(other))
        assert gone == gone_after, (name, row, one, other)
        if not gone:
            np.testing.assert_array_equal(np.ma.getdata(one), np.ma.getdata(other), f"{name}, row {row}")


# --- names ----------------------------------------------------------------------------------------


def test_any_name_of_a_column_can_be_used_in_quotes(archive: FlaskClient) -> None:
    odd = Table({"my #1": [1], "2mass": [2], "select": [3], "Größe": [4], 'a"b': [5], "Flux": [6], "flux": [7]})
    query = 'SELECT "my #1", "2mass", "select", "Größe", "a""b", "Flux" FROM TAP_UPLOAD.odd'
    response = ask(archive, query, "csv", odd=as_votable(odd))
    assert rows(response.data) == [["1", "2", "3", "4", "5", "6"]]
    assert len(rows(ask(archive, "SELECT * FROM TAP_UPLOAD.odd", "csv", odd=as_votable(odd)).data)[0]) == 7


@pytest.mark.parametrize("schema", ["TAP_UPLOAD", "tap_upload", "Tap_Upload", '"TAP_UPLOAD"'])
@pytest.mark.parametrize("name", ["stars", "STARS"])
def test_the_schema_and_the_table_are_found_in_any_case(schema: str, name: str, archive: FlaskClient) -> None:
    response = ask(archive, f"SELECT COUNT(*) AS n FROM {schema}.{name}", "csv", stars=as_votable(STARS))
    assert rows(response.data) == [["4"]]


# --- maps -----------------------------------------------------------------------------------------

CONE = MOC.from_cone(lon=Longitude(10 * u.deg), lat=Latitude(20 * u.deg), radius=2 * u.deg, max_depth=10)


def forms(map_: MOC, folder: Path) -> dict[str, bytes]:
    """A map in every form it can be sent in."""
    found = {}
    for old in (True, False):
        path = folder / f"{old}.fits"
        map_.save(path, format="fits", pre_v2=old, overwrite=True)
        found[f"FITS, old {old}"] = path.read_bytes()
    found["ASCII"] = map_.to_string("ascii").encode()
    found["JSON"] = map_.to_string("json").encode()
    found["gzip"] = gzip.compress(found["ASCII"])
    return found


def test_a_map_is_a_region(archive: FlaskClient, tmp_path: Path) -> None:
    query = "SELECT k FROM TAP_UPLOAD.stars JOIN TAP_UPLOAD.patch ON 1 = CONTAINS(POINT(ra, dec), patch.moc) ORDER BY k"
    inside = STARS["k"][CONE.contains_lonlat(STARS["ra"] * u.deg, STARS["dec"] * u.deg)]
    assert len(inside) == 2
    for form, content in forms(CONE, tmp_path).items():
        found = rows(ask(archive, query, "csv", stars=as_votable(STARS), patch=content).data)
        assert [int(k) for (k,) in found] == list(inside), form


@pytest.mark.parametrize(
    "condition",
    [
        "1 = INTERSECTS(patch.moc, POINT(ra, dec))",
        "CONTAINS(POINT(ra, dec), patch.moc) = 1",
        "0 <> CONTAINS(POINT(ra, dec), MOC(patch.moc))",
        "NOT CONTAINS(POINT(ra, dec), patch.moc) = 0",
    ],
)
def test_a_map_can_be_used_wherever_a_region_can(condition: str, archive: FlaskClient) -> None:
    query = f"SELECT k FROM TAP_UPLOAD.stars, TAP_UPLOAD.patch WHERE {condition} ORDER BY k"
    patch = CONE.to_string("ascii").encode()
    assert rows(ask(archive, query, "csv", stars=as_votable(STARS), patch=patch).data) == [["1"], ["3"]]


@pytest.mark.parametrize(
    "query",
    [
        (
            "SELECT k FROM TAP_UPLOAD.stars JOIN (SELECT moc AS m FROM TAP_UPLOAD.patch) AS p "
            "ON 1 = CONTAINS(POINT(ra, dec), p.m)"
        ),
        (
            "SELECT k FROM TAP_UPLOAD.stars, (SELECT q.* FROM (SELECT 1 AS one, moc FROM TAP_UPLOAD.patch) AS q) AS p "
            "WHERE 1 = CONTAINS(POINT(ra, dec), MOC(p.moc))"
        ),
        (
            "WITH p AS (SELECT 'x' AS x, moc FROM TAP_UPLOAD.patch), q AS (SELECT moc FROM p) "
            "SELECT k FROM TAP_UPLOAD.stars, q WHERE 1 = CONTAINS(POINT(ra, dec), q.moc)"
        ),
        (
            "SELECT k FROM TAP_UPLOAD.stars WHERE EXISTS "
            "(SELECT 1 FROM (SELECT moc FROM TAP_UPLOAD.patch) AS p WHERE 1 = CONTAINS(POINT(ra, dec), p.moc))"
        ),
    ],
)
def test_a_map_is_a_region_through_subqueries_too(query: str, archive: FlaskClient) -> None:
    patch = CONE.to_string("ascii").encode()
    found = ask(archive, f"{query} ORDER BY k", "csv", stars=as_votable(STARS), patch=patch)
    assert rows(found.data) == [["1"], ["3"]]
    none = query.replace("FROM TAP_UPLOAD.patch", "FROM TAP_UPLOAD.patch WHERE moc IS NULL")
    assert rows(ask(archive, none, "csv", stars=as_votable(STARS), patch=patch).data) == []


@pytest.mark.parametrize(
    "query",
    [
        "SELECT k FROM TAP_UPLOAD.stars WHERE 1 = CONTAINS(POINT(ra, dec), (SELECT moc FROM TAP_UPLOAD.patch))",
        (
            "SELECT k FROM TAP_UPLOAD.stars, "
            "(SELECT moc FROM TAP_UPLOAD.patch UNION SELECT moc FROM TAP_UPLOAD.patch) AS p "
            "WHERE 1 = CONTAINS(POINT(ra, dec), p.moc)"
        ),
    ],
)
def test_where_a_map_is_not_known_the_message_tells_how(query: str, archive: FlaskClient) -> None:
    answer = ask(archive, query, "csv", stars=as_votable(STARS), patch=b"3/1")
    assert answer.status_code == 400
    assert b"Join the uploaded map itself" in answer.data


def test_a_map_is_a_table_of_one_row(archive: FlaskClient, tmp_path: Path) -> None:
    for form, content in forms(CONE, tmp_path).items():
        got = table(ask(archive, "SELECT moc, AREA(moc) AS a FROM TAP_UPLOAD.patch", patch=content).data)
        (row,) = got.array
        assert MOC.from_string(row["moc"], "json" if form == "JSON" else "ascii") == CONE
        assert row["a"] == pytest.approx(CONE.sky_fraction * 4 * np.pi * np.degrees(1) ** 2)
        assert (got.fields[0].xtype, got.fields[0].datatype) == ("moc", "char")


def test_many_cells_are_as_exact_as_few(archive: FlaskClient) -> None:
    generator = np.random.default_rng(7)
    cells = np.unique(generator.integers(0, 12 * 4**4, 900))
    patch = f"4/{' '.join(map(str, cells))}".encode()
    step = np.arange(900) + 0.5
    sky = Table({"ra": (step * 137.507764) % 360, "dec": np.degrees(np.arcsin(1 - 2 * step / 900))})
    inside = MOC.from_string(patch.decode()).contains_lonlat(sky["ra"] * u.deg, sky["dec"] * u.deg)
    query = "SELECT COUNT(*) AS n FROM TAP_UPLOAD.sky, TAP_UPLOAD.patch WHERE 1 = CONTAINS(POINT(ra, dec), patch.moc)"
    assert rows(ask(archive, query, "csv", sky=as_votable(sky), patch=patch).data) == [[str(inside.sum())]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"3/99999", "has no HEALPix cell 99999"),
        (b"31/1", "Orders go from 0 to 29"),
        (b'{"3": "x"}', "is not a MOC"),
        (b"4/" + b" ".join(b"%d" % cell for cell in range(0, 2400, 2)), "has 1,200 rows; at most 1,000"),
    ],
)
def test_what_is_no_map_is_refused(content: bytes, said: str, archive: FlaskClient) -> None:
    response = ask(archive, "SELECT moc FROM TAP_UPLOAD.patch", patch=content)
    assert response.status_code in (400, 413)
    assert said in message(response.data)


# --- how it is sent -------------------------------------------------------------------------------


def test_a_part_needs_no_file_name_if_it_is_text(archive: FlaskClient) -> None:
    given = {"LANG": "ADQL", "QUERY": "SELECT * FROM TAP_UPLOAD.t", "FORMAT": "csv", "UPLOAD": "t,param:t"}
    answer = archive.post("/tap/sync", data=given | {"t": "a,b\n1,Größe\n"}, content_type="multipart/form-data")
    assert rows(answer.data) == [["1", "Größe"]]
    body = b"--b\r\n".join(
        [b""]
        + [f'Content-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode() for n, v in given.items()]
        + [b'Content-Disposition: form-data; name="t"\r\n\r\n\x1f\x8b\xff\xfe\r\n--b--\r\n']
    )
    answer = archive.post("/tap/sync", data=body, content_type="multipart/form-data; boundary=b")
    assert answer.status_code == 400
    assert b"Send it with a file name" in answer.data


@pytest.mark.parametrize(
    ("upload", "said"),
    [
        ("t,param:missing", "speaks of a part 'missing' that the request does not have"),
        ("t", "UPLOAD value 't' is not understood"),
        ("t,param:t;T,param:t", "names T twice"),
        ("a b,param:t", "UPLOAD name 'a b' is not allowed"),
    ],
)
def test_an_upload_that_is_not_there_is_refused(upload: str, said: str, archive: FlaskClient) -> None:
    given = {"LANG": "ADQL", "QUERY": "SELECT * FROM TAP_UPLOAD.t", "UPLOAD": upload, "t": (io.BytesIO(b"a\n1\n"), "t")}
    answer = archive.post("/tap/sync", data=given, content_type="multipart/form-data")
    assert answer.status_code == 400
    assert said in message(answer.data)


def test_several_tables_come_joined_or_repeated(archive: FlaskClient) -> None:
    given = {"LANG": "ADQL", "QUERY": "SELECT * FROM TAP_UPLOAD.t, TAP_UPLOAD.u, TAP_UPLOAD.v", "FORMAT": "csv"}
    parts = {name: (io.BytesIO(f"{name}\n1\n".encode()), name) for name in "tuv"}
    many = {**given, **parts, "UPLOAD": ["t,param:t;tap_upload.u,param:u", "v,param:v"]}
    answer = archive.post("/tap/sync", data=many, content_type="multipart/form-data")
    assert rows(answer.data) == [["1", "1", "1"]]


def test_without_an_upload_the_message_tells_how(archive: FlaskClient) -> None:
    answer = ask(archive, "SELECT * FROM TAP_UPLOAD.t")
    assert "UPLOAD=t," in message(answer.data)
