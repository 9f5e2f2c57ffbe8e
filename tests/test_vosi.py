"""VOSI documents over a small catalog with every awkward name."""

from __future__ import annotations

import datetime
from dataclasses import replace

import pytest
from lxml import etree

from archive import vosi
from archive.config import Config
from archive.standing import Shelf
from archive.tap import capabilities
from tests.faces import CATALOG, Scripted
from tests.xsd import schema

XSI = f"{{{vosi.XSI}}}type"
BASE = "https://archive.example.org/tap"


@pytest.fixture
def shelf() -> Shelf:
    return Scripted().shelf


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> etree.XMLSchema:
    return schema(tmp_path_factory.mktemp("xsd"))


def capabilities_document(config: Config | None = None) -> bytes:
    records = [*vosi.own_capabilities(BASE), *capabilities.records(BASE, config or Config())]
    return vosi.capabilities(records)


def availability_document(available: bool = True, *notes: str) -> bytes:
    return vosi.availability(available, datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC), notes)


@pytest.mark.service
def test_documents_are_valid(valid: etree.XMLSchema, shelf: Shelf) -> None:
    documents = {
        "capabilities": capabilities_document(),
        "availability": availability_document(False, "The disk is full.", "Come back at noon."),
        "tables": vosi.tableset(shelf.shown, columns=True),
        "names of tables": vosi.tableset(shelf.shown, columns=False),
        "one table": vosi.table(shelf.shown, CATALOG.schemas[0].tables[1]),
    }
    for name, document in documents.items():
        valid.validate(etree.fromstring(document))
        assert not list(valid.error_log), f"{name}: {valid.error_log}"


@pytest.mark.service
def test_the_check_of_validity_can_fail(valid: etree.XMLSchema) -> None:
    """An element in the wrong place inside a type that is named by xsi:type only is noticed."""
    root = etree.fromstring(capabilities_document())
    tap = root.find("capability[@standardID='ivo://ivoa.net/std/TAP']")
    tap.insert(0, tap.find("outputLimit"))
    assert not valid.validate(root)


def test_limits_without_an_element_are_told_in_words() -> None:
    limits = {
        "sync_seconds": 11.0,
        "short_queries_each": 2222,
        "long_queries_each": 3333,
        "turn_seconds": 44.0,
        "active_jobs": 5555,
        "kept_jobs": 6666,
        "result_bytes": 7777,
        "stored_bytes": 8888,
    }
    root = etree.fromstring(capabilities_document(replace(Config(), **limits)))
    told = root.findtext("capability[@standardID='ivo://ivoa.net/std/TAP']/description") or ""
    assert [f"{limit:g}" for limit in limits.values() if f" {limit:g} " not in told] == []


def test_capabilities_hold_what_clients_look_for() -> None:
    root = etree.fromstring(capabilities_document())
    urls = {each.get("standardID"): each.findtext("interface/accessURL") for each in root}
    assert urls == {
        "ivo://ivoa.net/std/VOSI#capabilities": f"{BASE}/capabilities",
        "ivo://ivoa.net/std/VOSI#availability": f"{BASE}/availability",
        "ivo://ivoa.net/std/VOSI#tables-1.1": f"{BASE}/tables",
        "ivo://ivoa.net/std/TAP": BASE,
        "ivo://ivoa.net/std/DALI#examples": f"{BASE}/examples",
    }
    assert root.findtext(".//outputLimit/default") == str(Config().default_maxrec)
    assert root.find(".//outputLimit/hard") is None
    forms = {
        each.get("type").partition("#")[2]: each.xpath("feature/form/text()") for each in root.iter("languageFeatures")
    }
    assert "CONTAINS" in forms["features-adqlgeo"]
    assert any(form.startswith("ivo_healpix_index(") for form in forms["features-udf"])
    assert sorted(forms["features-adql-sets"]) == ["EXCEPT", "INTERSECT", "UNION"]


def test_limits_are_those_of_the_configuration() -> None:
    root = etree.fromstring(capabilities_document(Config(default_maxrec=7, hard_maxrec=70)))
    limits = {each.tag: (each.text, each.get("unit")) for each in root.find(".//outputLimit")}
    assert limits == {"default": ("7", "row"), "hard": ("70", "row")}


def test_tables_say_what_is_described(shelf: Shelf) -> None:
    root = etree.fromstring(vosi.tableset(shelf.shown, columns=True))
    assert root.xpath("schema/name/text()") == ["dr1", "TAP_SCHEMA"]
    star, visits = root.findall("schema/table")[:2]
    assert (star.findtext("name"), star.get("type"), star.findtext("nrows")) == ("dr1.star", "table", "12345")
    assert star.findtext("description") == "One row per star & <nothing else>."
    assert visits.findtext("name") == 'dr1."Source Table"'
    columns = {each.findtext("name"): each for each in star.findall("column")}
    assert list(columns) == ["id", "ra", "dec", "mag", '"size"', '"Näme"', '"flux"', '"Flux"', "seen"]
    assert [flag.text for flag in columns["id"].findall("flag")] == ["indexed", "primary"]
    assert columns["mag"].findtext("unit") == "mag"
    assert columns["mag"].findtext("ucd") == "phot.mag;em.opt.V"
    seen = columns["seen"].find("dataType")
    assert (seen.text, seen.get("arraysize"), seen.get("extendedType")) == ("char", "*", "timestamp")
    assert seen.get(XSI) == "vs:VOTableType"
    assert columns['"Flux"'].find("dataType").get("arraysize") == "3"
    assert columns["ra"].find("dataType").get("arraysize") is None


def test_keys_lead_to_tables_that_are_here(shelf: Shelf) -> None:
    root = etree.fromstring(vosi.tableset(shelf.shown, columns=True))
    keys = root.xpath("schema[name='dr1']/table/foreignKey")
    assert [key.findtext("targetTable") for key in keys] == ["dr1.star"]
    assert (keys[0].findtext("fkColumn/fromColumn"), keys[0].findtext("fkColumn/targetColumn")) == ("star", "id")
    assert len(root.xpath("schema[name='TAP_SCHEMA']/table/foreignKey")) == 5


def test_names_alone(shelf: Shelf) -> None:
    root = etree.fromstring(vosi.tableset(shelf.shown, columns=False))
    assert len(root.findall("schema/table")) == 7
    assert not root.xpath("//column | //foreignKey")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("dr1.star", "star"),
        ("DR1.STAR", "star"),
        ('dr1."Source Table"', "Source Table"),
        ("dr1.Source Table", "Source Table"),
        ("tap_schema.columns", "columns"),
    ],
)
def test_a_table_is_found_by_its_name(name: str, found: str, shelf: Shelf) -> None:
    table = vosi.find_table(shelf.shown, name)
    assert table is not None
    assert table.name == found


@pytest.mark.parametrize("name", ["star", "dr1.", "dr9.star", "dr1_v1.star", "", "dr1.star.id"])
def test_other_names_find_nothing(name: str, shelf: Shelf) -> None:
    assert vosi.find_table(shelf.shown, name) is None


def test_availability_tells_why_not() -> None:
    root = etree.fromstring(availability_document(False, "The disk is full."))
    texts = [(etree.QName(each).localname, each.text) for each in root]
    assert texts == [("available", "false"), ("upSince", "2026-01-02T03:04:05Z"), ("note", "The disk is full.")]
