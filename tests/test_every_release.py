"""One suite over every release that is served: all answer alike, but for what their descriptions declare."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import angular_separation
from astropy.io import fits, votable
from flask.testing import FlaskClient
from lxml import etree

from archive.app import create_app
from archive.backbone.endpoint import Endpoint
from archive.ledger import descriptions
from archive.query import Question, prepare
from archive.releases import Aspect
from archive.standing import column_name, known_keys, shelf, table_name
from archive.tables import Catalog, Schema, Table
from tests import clusters, served

pytestmark = [pytest.mark.requirement("DMS-DBB-REQ-0049"), pytest.mark.requirement("DMS-DBB-REQ-0048")]

SERVED = {"embedded": (*served.MADE, *served.LSST), "postgresql": served.MADE}
SERVICE = {"postgresql": pytest.mark.service}
DEPLOYMENTS = [pytest.param(name, marks=SERVICE.get(name, ())) for name in SERVED]
RELEASES = [
    pytest.param(deployment, release, marks=SERVICE.get(deployment, ()), id=f"{deployment}-{release}")
    for deployment, releases in SERVED.items()
    for release in releases
]
FEW = 2000  # rows; what is compared row by row has no more
STANDING = ("TAP_SCHEMA", "ivoa", "backbone")

Row = tuple[str, ...]


class Service:
    """An archive and what a client of it sees."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.client: FlaskClient = create_app(endpoint.config).test_client()

    def get(self, path: str, **parameters: object) -> Any:
        answer = self.client.get(path, query_string=parameters)
        assert answer.status_code == 200, answer.text[:2000]
        answer.close()
        return answer

    def sync(self, query: str, form: str = "csv", **more: object) -> Any:
        return self.get("/tap/sync", LANG="ADQL", QUERY=query, FORMAT=form, **more)

    def rows(self, query: str) -> list[Row]:
        return [tuple(row) for row in csv.reader(io.StringIO(self.sync(query).text))][1:]

    def number(self, query: str) -> int:
        ((only,),) = self.rows(query)
        return int(only)

    @cached_property
    def catalog(self) -> Catalog:
        """What is listed."""
        return shelf(self.endpoint.ledger.published(), listed=True).shown

    def schema(self, name: str) -> Schema:
        return next(schema for schema in self.catalog.schemas if schema.name == name)

    def differences(self, name: str) -> dict[Aspect, str]:
        with self.endpoint.ledger.read() as transaction:
            found = descriptions.find(transaction, name)
        assert found is not None
        return dict(found.release.differences)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Service]]:
    """The archive of each deployment, made when it is first asked for."""
    made: dict[str, Service] = {}

    def service(deployment: str) -> Service:
        if deployment not in made:
            home = tmp_path_factory.mktemp(deployment)
            database = clusters.empty(home / "database") if deployment == "postgresql" else None
            lsst = set(served.LSST) <= set(SERVED[deployment])
            made[deployment] = Service(served.make(home, lsst=lsst, database=database))
        return made[deployment]

    yield service
    for each in made.values():
        each.endpoint.close()


# --- what must hold for each ----------------------------------------------------------------------


def cone(service: Service, schema: Schema) -> None:
    """Cones around stored positions, one of them across the whole field, hold what lies in them."""
    placed = [table for table in schema.tables if table.position is not None and table.rows]
    assert placed, f"no table of {schema.name} has positions"
    for table in placed:
        assert table.position is not None
        lon, lat = (column_name(table, name) for name in (table.position.lon, table.position.lat))
        known = service.rows(f"SELECT {lon}, {lat} FROM {table_name(table)} WHERE {lon} IS NOT NULL")
        places = np.radians(np.array(known, float))
        for radius in (1e-4, 0.1, 2.0):
            x, y = places[len(places) // 2]
            near = angular_separation(x, y, places[:, 0], places[:, 1]) < np.radians(radius)
            circle = f"CIRCLE({np.degrees(x)!r}, {np.degrees(y)!r}, {radius})".replace("np.float64", "")
            inside = f"1 = CONTAINS(POINT({lon}, {lat}), {circle})"
            assert service.number(f"SELECT COUNT(*) AS n FROM {table_name(table)} WHERE {inside}") == near.sum()


def repeat(service: Service, schema: Schema) -> None:
    """An answer and that to its token are the same, up to the digest."""
    for table in schema.tables:
        query = f"SELECT * FROM {table_name(table)}"
        first = service.sync(query, "votable/td")
        again = service.sync(query, "votable/td", TOKEN=first.headers["X-Archive-Token"])
        assert again.headers["X-Archive-Token"] == first.headers["X-Archive-Token"]
        assert _digest(again.data) == _digest(first.data)


def _digest(document: bytes) -> tuple[str, int]:
    (digest,) = (
        info.get("value") for info in etree.fromstring(document).iter("{*}INFO") if info.get("name") == "DIGEST"
    )
    return digest, document.count(b"<TR>")


def metadata(service: Service, schema: Schema) -> None:
    """Answers, TAP_SCHEMA and the list of tables tell the same of each column."""
    for table in schema.tables:
        fields = _told(service.sync(f"SELECT * FROM {table_name(table)}", "votable/td", MAXREC=0).data)
        listed = service.rows(
            "SELECT column_name, datatype, arraysize, unit, ucd FROM TAP_SCHEMA.columns"
            f" WHERE table_name = '{table_name(table)}' ORDER BY column_index"
        )
        described = _listed(service.get(f"/tap/tables/{table_name(table)}").data)
        # an arraysize of 1 is the same as none (VOTable 1.3 erratum 3)
        assert fields == [(name.strip('"'), kind, size if size != "1" else "", *of) for name, kind, size, *of in listed]
        assert [(name, unit, ucd) for name, _, _, unit, ucd in fields] == described
        assert len(fields) == len(table.columns)


def _told(document: bytes) -> list[Row]:
    names = ("name", "datatype", "arraysize", "unit", "ucd")
    fields = etree.fromstring(document).iter("{*}FIELD")
    return [tuple(each.get(name) or "" for name in names) for each in fields]


def _listed(document: bytes) -> list[Row]:
    columns = etree.fromstring(document).iterfind("column")
    return [tuple((each.findtext(name) or "").strip('"') for name in ("name", "unit", "ucd")) for each in columns]


def order(service: Service, schema: Schema) -> None:
    """TOP and OFFSET in the order of the primary key, both ways."""
    keyed = [table for table in schema.tables if table.primary_key and 8 < (table.rows or 0) <= FEW]
    assert keyed, f"no table of {schema.name} has a key"
    for table in keyed:
        key = [column_name(table, name) for name in table.primary_key]
        words = [table.by_name[name].datatype.is_text for name in table.primary_key]
        listed = ", ".join(key)
        known = sorted(_values(service.rows(f"SELECT {listed} FROM {table_name(table)}"), words))
        first = f"SELECT TOP 5 {listed} FROM {table_name(table)} ORDER BY {listed} OFFSET 3"
        last = f"SELECT TOP 5 {listed} FROM {table_name(table)} ORDER BY {', '.join(f'{each} DESC' for each in key)}"
        assert _values(service.rows(first), words) == known[3:8]
        assert _values(service.rows(last), words) == known[::-1][:5]


def _values(rows: list[Row], words: list[bool]) -> list[tuple[str | Decimal, ...]]:
    return [tuple(cell if word else Decimal(cell) for cell, word in zip(row, words, strict=True)) for row in rows]


def join(service: Service, schema: Schema) -> None:
    """Tables are joined by their keys: each row fits the rows that its key names."""
    keys = [(table, key, target) for table in schema.tables for key, target in known_keys(table, service.catalog)]
    assert keys, f"no table of {schema.name} refers to another"
    for table, key, target in keys:
        here = [column_name(table, name) for name in key.columns]
        there = [column_name(target, name) for name in key.target_columns]
        on = " AND ".join(f"a.{one} = b.{other}" for one, other in zip(here, there, strict=True))
        joined = f"SELECT COUNT(*) AS n FROM {table_name(table)} AS a JOIN {table_name(target)} AS b ON {on}"
        assert service.number(joined) == _fitting(service, (table, here), (target, there))


def _fitting(service: Service, *sides: tuple[Table, list[str]]) -> int:
    one, other = (
        Counter(row for row in service.rows(f"SELECT {', '.join(names)} FROM {table_name(table)}") if "" not in row)
        for table, names in sides
    )
    return sum(count * other[row] for row, count in one.items())


def formats(service: Service, schema: Schema) -> None:
    """The same rows in every format that programs read."""
    table = next(table for table in schema.tables if table.primary_key and 0 < (table.rows or 0) <= FEW)
    key = column_name(table, table.primary_key[0])
    query = f"SELECT {key} AS k FROM {table_name(table)}"
    expected = sorted(row[0] for row in service.rows(query))
    assert len(expected) == table.rows
    for form, read in READERS.items():
        assert (form, sorted(map(str, read(service.sync(query, form).data)))) == (form, expected)
    for form in ("html", "text"):
        told = service.sync(query, form).text
        assert all(value in told for value in expected)


def _votable(document: bytes) -> list[object]:
    table = votable.parse(io.BytesIO(document), verify="exception").get_first_table()
    return table.array["k"].tolist()


READERS: dict[str, Callable[[bytes], list[object]]] = {
    "votable": _votable,
    "votable/td": _votable,
    "votable/b": _votable,
    "tsv": lambda document: list(document.decode().split("\n")[1:-1]),
    "fits": lambda document: fits.getdata(io.BytesIO(document), 1)["k"].tolist(),
    "parquet": lambda document: pq.read_table(io.BytesIO(document))["k"].to_pylist(),
    "arrow": lambda document: pa.ipc.open_stream(document).read_all()["k"].to_pylist(),
}
SUITE: dict[Aspect, Callable[[Service, Schema], None]] = {
    Aspect.CONE: cone,
    Aspect.REPEAT: repeat,
    Aspect.METADATA: metadata,
    Aspect.ORDER: order,
    Aspect.JOIN: join,
    Aspect.FORMATS: formats,
}


@pytest.mark.requirement("DMS-DBB-REQ-0055")
@pytest.mark.parametrize("aspect", Aspect)
@pytest.mark.parametrize(("deployment", "release"), RELEASES)
def test_a_release_answers_as_all_do_but_for_what_it_declares(
    services: Callable[[str], Service], deployment: str, release: str, aspect: Aspect
) -> None:
    service = services(deployment)
    check, schema = SUITE[aspect], service.schema(release)
    if aspect in service.differences(release):
        with pytest.raises(AssertionError):  # a difference that there is not must not be declared
            check(service, schema)
    else:
        check(service, schema)


# --- side by side ---------------------------------------------------------------------------------


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_the_suite_goes_over_all_that_is_served(services: Callable[[str], Service], deployment: str) -> None:
    """A dozen releases, an external catalog and a special program: in TAP_SCHEMA, in the list of tables and here."""
    service = services(deployment)
    listed = {name for (name,) in service.rows("SELECT schema_name FROM TAP_SCHEMA.schemas")} - {*STANDING}
    assert listed == {*SERVED[deployment]}
    tables = etree.fromstring(service.get("/tap/tables").data)
    assert {*tables.xpath("schema/name/text()")} - {*STANDING} == listed
    assert len(tables.xpath("schema/table")) == service.number("SELECT COUNT(*) AS n FROM TAP_SCHEMA.tables")
    assert service.differences(served.UNPLACED).keys() == {Aspect.CONE}


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_releases_external_catalogs_and_special_programs_are_joined(
    services: Callable[[str], Service], deployment: str
) -> None:
    service = services(deployment)
    by_number = " ".join(f"JOIN {name}.star AS {name} ON {name}.number = dr12.number" for name in served.MADE[:-3])
    every = f"SELECT dr12.number, dr3.mag3, dr5.mag5, dr5.brightness FROM dr12.star AS dr12 {by_number}"
    rows = service.rows(f"{every} WHERE dr12.number < 40 ORDER BY dr12.number")
    assert [int(row[0]) for row in rows] == list(range(40))
    assert all(old == new for _, _, old, new in rows)  # dr5 by its former name and by its present one
    across = (
        "SELECT COUNT(*) AS n, COUNT(DISTINCT g.star_id) AS stars FROM dr12.star AS s"
        f" JOIN {served.GUIDE}.star AS g ON 1 = CONTAINS(POINT(s.ra, s.dec), CIRCLE(g.ra, g.dec, 0.0001))"
        f" JOIN {served.PROGRAM}.star AS p ON p.number = g.number JOIN {served.PROGRAM}.seen AS m"
        " ON m.star_id = p.star_id"
    )
    ((pairs, stars),) = service.rows(across)
    assert int(pairs) == served.MEASUREMENTS
    assert int(stars) == service.number(f"SELECT COUNT(DISTINCT star_id) AS n FROM {served.PROGRAM}.seen")


def test_the_largest_descriptions_join_the_others(services: Callable[[str], Service]) -> None:
    """The releases and the live schema of the survey beside a small one: four schemas in one query."""
    service = services("embedded")
    query = (
        "SELECT COUNT(*) AS n FROM dr1.Object AS a JOIN dr2.Object AS b"
        " ON 1 = CONTAINS(POINT(a.coord_ra, a.coord_dec), CIRCLE(b.coord_ra, b.coord_dec, 0.0001))"
        " LEFT JOIN prompt.DiaObject AS d ON d.ra = a.coord_ra JOIN dr7.star AS s ON s.number = 1"
    )
    assert service.number(query) >= service.number("SELECT COUNT(*) AS n FROM dr1.Object")


# --- old releases are asked as new ones are --------------------------------------------------------

QUERIES = (
    "SELECT star_id, mag{own} FROM {name}.star WHERE DISTANCE(ra, dec, 45, -80) < 0.5",
    "SELECT star_id, mag{own} FROM {name}.star WHERE star_id = 17 + {first}",
    "SELECT number, AVG(flux{own}) AS light FROM {name}.star JOIN {name}.seen USING (star_id) GROUP BY number",
    "SELECT TOP 3 star_id, visit FROM {name}.seen ORDER BY star_id DESC, visit",
)


@pytest.mark.requirement("DMS-DBB-REQ-0053")
@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_an_old_release_is_searched_by_the_plan_of_the_new_one(
    services: Callable[[str], Service], deployment: str, query: str
) -> None:
    """dr5, five releases back and at schema version 2, beside dr10, which has the same columns."""
    endpoint = services(deployment).endpoint
    new, old = (_planned(endpoint, query, name) for name in ("dr10", served.EVOLVED))
    assert old == new
    assert new[1]


def _planned(endpoint: Endpoint, query: str, name: str) -> tuple[str, list[str]]:
    """The SQL without the names of the edition, and the words of the plan (which has "1 row" or "2 rows")."""
    own = served.own(name)
    prepared = prepare(Question(query.format(name=name, own=own, first=int(own) << 56)), endpoint.ledger.published())
    sql, plan = (each(prepared.query, prepared.bindings) for each in (endpoint.engine.sql, endpoint.engine.plan))
    edition = rf"\be\d+\b|\b{name}_(star|seen)_\w+|\b\d{{18,}}\b"
    return re.sub(edition, "#", sql), re.findall(r"[A-Za-z_]+", re.sub(edition, "#", plan).replace(" rows", " row"))
