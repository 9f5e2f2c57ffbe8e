"""What the capabilities declare works: a query for each language, feature, function form and format."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from lxml import etree

from archive.app import assemble
from archive.config import Config
from archive.engine.duckdb import DuckDB
from archive.ledger import Ledger, Site
from archive.ledger.site import write_site
from archive.serving import Serving

T = "FROM TAP_SCHEMA.schemas"
CIRCLE = "CIRCLE(10, 20, 1)"
POLYGON = "POLYGON(10, 20, 12, 20, 11, 22)"

# form -> (an expression or query that uses it, what the first value of the answer is; None where it may be anything)
FEATURES: dict[str, tuple[str, str | None]] = {
    "WITH": ("WITH n AS (SELECT 7 AS seven FROM TAP_SCHEMA.schemas) SELECT TOP 1 seven FROM n", "7"),
    "UNION": (f"SELECT 7 AS n {T} UNION SELECT 7 AS n {T}", "7"),
    "EXCEPT": (f"SELECT table_type FROM TAP_SCHEMA.tables EXCEPT SELECT 'view' AS v {T}", "table"),
    "INTERSECT": (f"SELECT table_type FROM TAP_SCHEMA.tables INTERSECT SELECT 'table' AS v {T}", "table"),
    "OFFSET": (
        "SELECT table_name FROM TAP_SCHEMA.tables WHERE schema_name = 'TAP_SCHEMA' ORDER BY table_index OFFSET 1",
        "TAP_SCHEMA.tables",
    ),
    "ILIKE": ("SELECT TOP 1 1 AS n FROM TAP_SCHEMA.schemas WHERE schema_name ILIKE 'tap%'", "1"),
    "CAST": ("CAST('12' AS INTEGER)", "12"),
    "LOWER": ("LOWER('ABC')", "abc"),
    "UPPER": ("UPPER('abc')", "ABC"),
    "COALESCE": ("COALESCE(NULL, 3)", "3"),
    "IN_UNIT": ("ROUND(IN_UNIT(DEGREES(1), 'rad'), 6)", "1"),
    "POINT": ("POINT(10, 20)", "10 20"),
    "CIRCLE": (CIRCLE, "10 20 1"),
    "BOX": ("BOX(10, 20, 2, 2)", None),
    "POLYGON": (POLYGON, "10 20 12 20 11 22"),
    "REGION": ("REGION('CIRCLE ICRS 10 20 1')", "10 20 1"),
    "CENTROID": (f"CENTROID({CIRCLE})", "10 20"),
    "AREA": (f"ROUND(AREA({CIRCLE}), 2)", "3.14"),
    "CONTAINS": (f"CONTAINS(POINT(10, 20.5), {CIRCLE})", "1"),
    "INTERSECTS": (f"INTERSECTS({CIRCLE}, {POLYGON})", "1"),
    "DISTANCE": ("ROUND(DISTANCE(10, 20, 10, 21), 6)", "1"),
    "COORD1": ("COORD1(POINT(10, 20))", "10"),
    "COORD2": ("COORD2(POINT(10, 20))", "20"),
    "COORDSYS": ("COORDSYS(POINT(10, 20))", None),
    "MOC(map VARCHAR) -> MOC": ("CONTAINS(POINT(10, 20), MOC('0/0-11'))", "1"),
    "ivo_healpix_index(hpxOrder INTEGER, long DOUBLE, lat DOUBLE) -> BIGINT": ("ivo_healpix_index(0, 1, 1)", "4"),
    "ivo_healpix_index(hpxOrder INTEGER, point POINT) -> BIGINT": ("ivo_healpix_index(0, POINT(1, 1))", "4"),
    "ivo_healpix_center(hpxOrder INTEGER, hpxIndex INTEGER) -> POINT": ("ivo_healpix_center(0, 6)", "180 0"),
    "ivo_geom_transform(from_sys VARCHAR, to_sys VARCHAR, geo GEOMETRY) -> GEOMETRY": (
        "ROUND(COORD1(ivo_geom_transform('ICRS', 'GALACTIC', POINT(120, -23))), 4)",
        "241.1218",
    ),
    "ivo_to_jd(d TIMESTAMP) -> DOUBLE": ("ivo_to_jd('2000-01-02T12:00:00')", "2451546"),
    "ivo_to_mjd(d TIMESTAMP) -> DOUBLE": ("ivo_to_mjd('2000-01-02T12:00:00')", "51545.5"),
    "ivo_string_agg(expression VARCHAR, delimiter VARCHAR) -> VARCHAR": (
        "SELECT ivo_string_agg(schema_name, ';') AS s FROM TAP_SCHEMA.schemas WHERE schema_name LIKE 'TAP%'",
        "TAP_SCHEMA",
    ),
    "ivo_nocasematch(value VARCHAR, pattern VARCHAR) -> INTEGER": ("ivo_nocasematch('ABcabc', 'ab__bc')", "1"),
    "ivo_hasword(haystack VARCHAR, needle VARCHAR) -> INTEGER": ("ivo_hasword('a red star', 'Star red')", "1"),
    "ivo_hashlist_has(hashlist VARCHAR, item VARCHAR) -> INTEGER": ("ivo_hashlist_has('red#green', 'GREEN')", "1"),
    "ivo_histogram(val DOUBLE, lower DOUBLE, upper DOUBLE, nbins INTEGER) -> BIGINT[]": (
        "SELECT ivo_histogram(table_index, 0, 5, 5) AS h FROM TAP_SCHEMA.tables WHERE schema_name = 'TAP_SCHEMA'",
        "0 1 1 1 1 1 0",
    ),
    "ivo_normal_random(mu DOUBLE, sigma DOUBLE) -> DOUBLE": ("ivo_normal_random(3, 0.1)", None),
    "ivo_interval_overlaps(a1 NUMERIC, b1 NUMERIC, a2 NUMERIC, b2 NUMERIC) -> INTEGER": (
        "ivo_interval_overlaps(-2, 2, 2, 3)",
        "1",
    ),
    "ivo_hms_to_degrees(t VARCHAR) -> DOUBLE": ("ROUND(ivo_hms_to_degrees('3:34:45.4'), 6)", "53.689167"),
    "ivo_dms_to_degrees(t VARCHAR) -> DOUBLE": ("ivo_dms_to_degrees('-00:15:00')", "-0.25"),
}
MOTION = {8: "7.6, 11.8, 125, 300, -428.8, 52.51, 2016.0, 1992.25", 6: "7.6, 11.8, 300, -428.8, 2016.0, 1992.25"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """An archive in which nothing but TAP_SCHEMA is published."""
    config = Config(home=tmp_path_factory.mktemp("archive"))
    ledger = Ledger.create(config.ledger_url)
    with ledger.write() as transaction:
        write_site(transaction, Site("archive.test", "Tests", "tests@archive.test"))
    engine = DuckDB(config.editions, scratch=config.scratch_folder)
    yield assemble(Serving(config, ledger, engine)).test_client()
    engine.close()
    ledger.close()


@pytest.fixture(scope="module")
def capabilities(client: FlaskClient) -> etree._Element:
    return etree.fromstring(client.get("/tap/capabilities").data)


def first(client: FlaskClient, query: str, language: str = "ADQL-2.1") -> str:
    """The first value of the answer, as written in TSV."""
    if not query.startswith(("SELECT", "WITH")):
        query = f"SELECT TOP 1 {query} AS answer {T}"
    response = client.post("/tap/sync", data={"LANG": language, "QUERY": query, "FORMAT": "tsv"})
    assert response.status_code == 200, f"{query}: {response.text}"
    return response.text.splitlines()[1].partition("\t")[0]


def test_every_declared_form_works(client: FlaskClient, capabilities: etree._Element) -> None:
    declared = set(capabilities.xpath("//languageFeatures/feature/form/text()"))
    motions = {form for form in declared if form.startswith("ivo_epoch_prop_pos(")}
    assert declared - motions == FEATURES.keys()
    for form in motions:
        assert first(client, f"ivo_epoch_prop_pos({MOTION[form.count(',') + 1]})").startswith("7.5")
    wrong = {}
    for form, (query, expected) in FEATURES.items():
        got = first(client, query)
        if not (got and expected in (None, got)):
            wrong[form] = got
    assert wrong == {}


def test_every_declared_language_works(client: FlaskClient, capabilities: etree._Element) -> None:
    versions = capabilities.xpath("//language[name='ADQL']/version/text()")
    assert versions == ["2.0", "2.1"]
    for language in ("ADQL", *(f"ADQL-{version}" for version in versions)):
        assert first(client, "ABS(-1)", language) == "1"


def test_every_declared_format_works(client: FlaskClient, capabilities: etree._Element) -> None:
    asked = {"LANG": "ADQL", "QUERY": "SELECT table_name, table_index FROM TAP_SCHEMA.tables"}
    for form in capabilities.iter("outputFormat"):
        mime = form.findtext("mime")
        for name in (mime, *(alias.text for alias in form.findall("alias"))):
            response = client.post("/tap/sync", data=asked | {"RESPONSEFORMAT": name})
            assert response.status_code == 200, name
            assert len(response.data) > 100, name
            if name.startswith(("text/", "application/")) and ";" not in name:
                assert response.mimetype == name.partition(";")[0]


def test_availability_asks_the_engine(client: FlaskClient) -> None:
    assert "available>true<" in client.get("/tap/availability").text
