"""Regions go out as STC-S and come back as shapes: the columns of ObsCore that are told so, and uploads."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io.votable import parse
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from werkzeug.test import Client

from archive import regions
from archive.columns import Column, Datatype, arrow_type
from archive.sky import Polygon
from tests import seen

POINT = Column("p", Datatype.DOUBLE, "2", "point", "deg", stcs=True)
CIRCLE = Column("c", Datatype.DOUBLE, "3", "circle", "deg", stcs=True)
POLYGON = Column("v", Datatype.DOUBLE, "*", "polygon", "deg", stcs=True)
SHAPES = (POINT, CIRCLE, POLYGON)
TEXT = Column("t", Datatype.CHAR, "*", "adql:REGION")

numbers = st.floats(-90, 90)
polygons = st.lists(st.lists(numbers, min_size=6, max_size=16).filter(lambda n: len(n) % 2 == 0 and n[:2] != n[-2:]))


def in_words(column: Column, values: list[Any]) -> list[str | None]:
    rows = pa.record_batch([pa.array(values, arrow_type(column))], names=["c1"])
    (told,) = regions.rows_told((column,), iter([rows]))
    (array,) = told.columns
    assert array.type == arrow_type(regions.told(column))
    return array.to_pylist()


def understood(*texts: str | None) -> tuple[Column, list[Any]]:
    ((column,), rows) = regions.understood((TEXT,), pa.table({"t": pa.array(texts, pa.string())}))
    assert rows.column(0).type == arrow_type(column)
    return column, rows.column(0).to_pylist()


# --- words ----------------------------------------------------------------------------------------


def test_shapes_in_words() -> None:
    assert in_words(POINT, [[10.0, -0.5], None]) == ["POSITION ICRS 10 -0.5", None]
    assert in_words(CIRCLE, [None, [359.99999999999994, 90, 1e-7]]) == [None, "CIRCLE ICRS 359.99999999999994 90 1e-7"]
    assert in_words(POLYGON, [[1, 2, 3, 4, 5, 6.25], []]) == ["POLYGON ICRS 1 2 3 4 5 6.25", None]
    assert in_words(POLYGON, []) == []


def test_part_of_a_batch_is_told_by_itself() -> None:
    whole = pa.record_batch(
        [pa.array([[1.0, 1, 2, 2, 3, 1], None, [4.0, 4, 5, 5, 6, 4]], arrow_type(POLYGON)), pa.array([1, 2, 3])],
        names=["c1", "c2"],
    )
    columns = (POLYGON, Column("n", Datatype.LONG))
    (told,) = regions.rows_told(columns, iter([whole.slice(1)]))
    assert [column.to_pylist() for column in told.columns] == [[None, "POLYGON ICRS 4 4 5 5 6 4"], [2, 3]]


def test_only_marked_geometry_is_told_in_words() -> None:
    others = (Column("v", Datatype.DOUBLE, "*", "polygon"), Column("a", Datatype.DOUBLE, "*", stcs=True))
    assert regions.all_told(others) == others
    batches = iter([pa.record_batch([pa.array([1])], names=["c1"])])
    assert regions.rows_told(others, batches) is batches


@given(polygons)
def test_no_digit_is_lost(shapes: list[list[float]]) -> None:
    texts = in_words(POLYGON, shapes)
    assert [seen.numbers_told(text) for text in texts] == shapes
    if shapes:
        column, values = understood(*texts)
        assert (column.xtype, column.stcs, values) == ("polygon", True, shapes)


def test_what_others_write_is_understood() -> None:
    column, values = understood("Polygon 1 1 2 1 2 2 1 1", None, " ", "POLYGON J2000 TOPOCENTER 4 4 5 4 5 5")
    assert (column.datatype, column.arraysize, column.xtype) == (Datatype.DOUBLE, "*", "polygon")
    assert values == [[1, 1, 2, 1, 2, 2], None, None, [4, 4, 5, 4, 5, 5]]
    assert understood("Circle ICRS 10 -20 0.5")[1] == [[10, -20, 0.5]]
    assert understood("POSITION 10 -20")[0].xtype == "point"
    assert regions.polygon("POLYGON ICRS 1 1 2 1 2 2 1 1") == Polygon(((1, 1), (2, 1), (2, 2)))


@pytest.mark.parametrize(
    "texts",
    [
        ("POLYGON GALACTIC 1 1 2 1 2 2",),
        ("CIRCLE ICRS 1 1 1", "POLYGON ICRS 1 1 2 1 2 2"),
        ("UNION ICRS (CIRCLE 1 1 1 CIRCLE 2 2 1)",),
        ("BOX ICRS 1 1 2 2",),
        ("CIRCLE ICRS 1 91 1",),
        ("CIRCLE ICRS 1 1 1", "somewhere"),
        ("CIRCLE FILLFACTOR",),
        ("POLYGON ICRS" + " 1 1 2 1 2 2" * 100_000,),
        (None, ""),
    ],
    ids=lambda texts: str(texts)[:40],
)
def test_other_regions_stay_text(texts: tuple[str | None, ...]) -> None:
    assert understood(*texts) == (TEXT, list(texts))
    assert regions.polygon(texts[0] or "") is None


# --- answers --------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["embedded", pytest.param("postgresql", marks=pytest.mark.service)])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Client]:
    with seen.asked(tmp_path_factory.mktemp("regions"), data, ROWS, embedded=request.param == "embedded") as client:
        yield client


ROWS = seen.images(60)
OUTLINES = {row.obs_publisher_did: row.s_region for row in ROWS if row.s_region is not None}


def ask(client: Client, query: str, form: str = "csv", upload: bytes | None = None) -> bytes:
    told: dict[str, Any] = {"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": form}
    if upload is not None:
        told |= {"UPLOAD": "mine,param:mine", "mine": (io.BytesIO(upload), "mine")}
    answer = client.post("/tap/sync", data=told)
    assert answer.status_code == 200, answer.text
    return answer.data


def rows(answer: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(answer.decode())))[1:]


def flat(outline: Polygon) -> list[float]:
    return [part for vertex in outline.vertices for part in vertex]


QUERIES = {
    "itself": "SELECT obs_publisher_did, s_region FROM ivoa.obscore",
    "renamed": "SELECT d, r FROM (SELECT obs_publisher_did AS d, s_region AS r FROM ivoa.obscore) AS o",
    "common": "WITH o AS (SELECT * FROM ivoa.obscore) SELECT obs_publisher_did, s_region FROM o",
    "joined": "SELECT d, s_region FROM (SELECT obs_publisher_did AS d FROM ivoa.obscore) AS a JOIN ivoa.obscore AS b"
    " ON a.d = b.obs_publisher_did",
    "united": "SELECT obs_publisher_did, s_region FROM ivoa.obscore WHERE AREA(s_region) > 0"
    " UNION ALL SELECT obs_publisher_did, s_region FROM ivoa.obscore WHERE s_region IS NULL",
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_the_column_itself_is_told_in_words(client: Client, query: str) -> None:
    document = parse(io.BytesIO(ask(client, query, "votable")), verify="exception")
    table = document.get_first_table()
    _, field = table.fields
    assert (field.datatype, field.arraysize, field.xtype, field.unit) == ("char", "*", "adql:REGION", None)
    assert len(table.array) == len(ROWS)
    for did, text in table.array.filled(""):
        assert seen.numbers_told(text) == (flat(OUTLINES[did]) if did in OUTLINES else None)


def test_what_is_made_of_it_is_an_array(client: Client) -> None:
    query = "SELECT CAST(s_region AS POLYGON) AS v, CENTROID(s_region) AS p FROM ivoa.obscore WHERE AREA(s_region) > 0"
    table = parse(io.BytesIO(ask(client, query, "votable"))).get_first_table()
    assert [(field.datatype, field.xtype) for field in table.fields] == [("double", "polygon"), ("double", "point")]
    assert sorted(list(map(float, row[0])) for row in table.array) == sorted(map(flat, OUTLINES.values()))


@pytest.mark.parametrize("form", ["votable", "votable/td", "votable/b"])
def test_an_answer_can_be_sent_back_and_used_as_a_region(client: Client, form: str) -> None:
    answer = ask(client, "SELECT obs_publisher_did, s_region FROM ivoa.obscore", form)
    (did, outline), *_ = OUTLINES.items()
    (lon, lat), *_ = outline.vertices
    query = "SELECT s_region FROM TAP_UPLOAD.mine AS m WHERE 1 = INTERSECTS(m.s_region, CIRCLE({}, {}, 0.001))"
    found = rows(ask(client, f"{query.format(lon, lat)} AND obs_publisher_did = '{did}'", upload=answer))
    assert [seen.numbers_told(text) for (text,) in found] == [flat(outline)]


def test_formats_of_tables_keep_it_as_text(client: Client) -> None:
    """Of FITS nobody can foresee how long the texts are."""
    query = "SELECT s_region FROM ivoa.obscore"
    texts = sorted(text for (text,) in rows(ask(client, query)))
    table = Table.read(io.BytesIO(ask(client, query, "fits")), format="fits")
    assert sorted(table["s_region"].filled("")) == texts
    kept = pq.read_table(io.BytesIO(ask(client, query, "parquet")))["s_region"].to_pylist()
    assert sorted(text or "" for text in kept) == texts
    with pa.ipc.open_stream(ask(client, query, "arrow")) as stream:
        assert sorted(text or "" for text in stream.read_all()["s_region"].to_pylist()) == texts


@pytest.mark.parametrize("form", ["tsv", "json", "text", "html"])
def test_people_read_it(client: Client, form: str) -> None:
    answer = ask(client, "SELECT s_region FROM ivoa.obscore", form).decode()
    assert answer.count("POLYGON ICRS ") == len(OUTLINES)


def test_the_tables_that_tell_of_tables_say_so(client: Client) -> None:
    query = "SELECT datatype, arraysize, xtype FROM TAP_SCHEMA.columns WHERE column_name = 's_region'"
    assert rows(ask(client, query + " AND table_name LIKE 'ivoa.%'")) == [["char", "*", "adql:REGION"]]
    described = etree.fromstring(client.get("/tap/tables/ivoa.obscore").data)
    (kind,) = described.xpath("//column[name = 's_region']/dataType")
    assert (kind.text, kind.get("arraysize"), kind.get("extendedType")) == ("char", "*", "adql:REGION")
    assert b"REGION" in client.get("/table/ivoa/obscore").data
    empty = client.post("/tap/sync", data={"LANG": "ADQL", "QUERY": "SELECT s_region FROM ivoa.obscore", "MAXREC": "0"})
    (field,) = parse(io.BytesIO(empty.data)).get_first_table().fields
    assert (field.datatype, field.xtype) == ("char", "adql:REGION")
