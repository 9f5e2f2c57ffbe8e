"""Examples: each is a query that the language takes, and the document is what DALI asks for."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from lxml import etree

from archive.adql import parse, resolve
from archive.examples import Example, examples
from archive.tables import Catalog, Schema, Table
from tests.faces import CATALOG, ID, STARS, Scripted, app

X = "{http://www.w3.org/1999/xhtml}"
OTHER = Schema("ext_other", (Table("ext_other", "star", STARS.columns, position=STARS.position),))


def made(catalog: Catalog) -> tuple[Example, ...]:
    serving = Scripted()
    serving.published = catalog
    return examples(serving.catalog())


@pytest.mark.parametrize(
    "catalog",
    [
        CATALOG,
        Catalog((*CATALOG.schemas, OTHER)),
        Catalog((Schema("dr1", (Table("dr1", "plain", (ID,)),)),)),
        Catalog(()),
    ],
    ids=["one schema", "two schemas", "without positions", "empty"],
)
def test_each_query_is_understood(catalog: Catalog) -> None:
    serving = Scripted()
    serving.published = catalog
    found = made(catalog)
    assert len(found) >= 2
    for example in found:
        bound = resolve(parse(example.query), serving.shelf.catalog)
        assert len(bound.tables) == len(set(example.tables))
    assert len({example.key for example in found}) == len(found)


def test_the_usual_questions_are_there() -> None:
    names = [example.name for example in made(Catalog((*CATALOG.schemas, OTHER)))]
    assert names == [
        "dr1.star: the 2000 brightest, over the whole sky",
        "dr1.star: 5 degrees around the Pleiades",
        "dr1.star: how many of each magnitude",
        "ext_other.star: 5 degrees around the Pleiades",
        'dr1."Source Table" with dr1.star: what belongs together',
        "dr1.star with ext_other.star: the same place within 2 arcsec",
        "Tables by number of columns",
        "Columns that are positions or magnitudes",
    ]


@pytest.fixture
def document() -> etree._Element:
    client: FlaskClient = app(Scripted()).test_client()
    return etree.fromstring(client.get("/tap/examples").data)


def test_the_document_is_xhtml_with_one_vocabulary(document: etree._Element) -> None:
    assert document.tag == f"{X}html"
    assert document.xpath("//@vocab") == ["http://www.ivoa.net/rdf/examples#"]


def test_each_example_has_a_name_a_query_and_a_place(document: etree._Element) -> None:
    found = document.xpath("//*[@vocab]//*[@typeof='example']")
    assert len(found) == len(made(CATALOG))
    for element, example in zip(found, made(CATALOG), strict=True):
        assert (element.get("resource"), element.get("id")) == (f"#{example.key}", example.key)
        told = {name: element.xpath(f".//*[@property='{name}']") for name in ("name", "query", "table")}
        assert [each.text for each in told["name"]] == [example.name]
        assert [each.text for each in told["query"]] == [example.query]
        assert [each.text for each in told["table"]] == list(example.tables)
    assert not document.xpath("//*[@vocab]//*[@property][@href or @src]")
