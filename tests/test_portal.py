"""The pages as documents: what they tell, where they lead, and that they let nothing in."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from lxml import etree, html

from archive.config import Config
from archive.dali import Parameters
from archive.ledger import Site
from archive.tables import Catalog
from archive.tap.request import TapRequest
from tests.faces import Scripted, app

PAGES = (
    "/",
    "/images",
    "/table/dr1/star",
    "/table/dr1/Source%20Table",
    "/table/TAP_SCHEMA/columns",
    "/columns/dr1/star",
)


@pytest.fixture
def serving() -> Scripted:
    return Scripted(site=Site("example.org", "Tom & Jerry's <Observatory>", "help@example.org"))


@pytest.fixture
def client(serving: Scripted) -> FlaskClient:
    return app(serving).test_client()


def page(client: FlaskClient, path: str) -> html.HtmlElement:
    response = client.get(path)
    assert response.status_code == 200
    return html.fromstring(response.text)


def text(element: html.HtmlElement) -> str:
    return " ".join(element.text_content().split())


def test_the_overview_tells_what_is_here(client: FlaskClient) -> None:
    home = page(client, "/")
    assert text(home.find(".//h1")) == "Tom & Jerry's <Observatory>"
    assert text(home.find_class("totals")[0]) == "12 345 rows in 2 tables of 1 schema"
    assert home.get_element_by_id("tap-url").get("value") == "http://localhost/tap"
    assert [text(each) for each in home.find_class("schema")[0].xpath(".//li//*[@class='name']")] == [
        "star",
        "Source Table",
    ]


def test_examples_are_there_to_click(client: FlaskClient) -> None:
    queries = [button.get("data-example") for button in page(client, "/").xpath("//*[@data-example]")]
    assert len(queries) >= 5
    assert any("CONTAINS" in query for query in queries)
    assert page(client, "/").find(".//textarea").text == queries[0]


def test_only_small_tables_are_read_for_who_passes_by(client: FlaskClient, serving: Scripted) -> None:
    assert len(page(client, "/").xpath("//*[@data-at-once]")) == 1


def test_without_scripts_the_form_still_asks(client: FlaskClient, serving: Scripted) -> None:
    form = page(client, "/").get_element_by_id("ask")
    fields = dict(form.form_values()) | {"RESPONSEFORMAT": "votable"}
    assert form.get("method") == "post"
    response = client.post(form.get("action"), data=fields)
    assert response.status_code == 200
    assert serving.asked[0].maxrec == 5000


def test_a_table_has_a_page(client: FlaskClient) -> None:
    table = page(client, "/table/dr1/star")
    rows = [[text(cell) for cell in row] for row in table.xpath("//tbody/tr")]
    assert rows[0] == ["id key indexed", "BIGINT", "", "meta.id;meta.main", "identifier"]
    assert rows[3] == ["mag", "REAL", "mag", "phot.mag;em.opt.V", "magnitude in V"]
    assert rows[5][:2] == ['"Näme"', "VARCHAR"]
    assert [row[1] for row in rows[6:]] == ["DOUBLE", "DOUBLE[3]", "TIMESTAMP"]
    assert "One row per star & <nothing else>." in text(table)
    assert text(table.xpath("//*[@class='keys']/li")[0]) == 'id = dr1."Source Table" star which star'
    assert table.xpath("//a[@class='run']")[0].get("href") == "/#query=SELECT%20TOP%20100%20%2A%0AFROM%20dr1.star"


def test_every_link_inside_leads_somewhere(client: FlaskClient) -> None:
    for path in PAGES:
        for address in _addresses(page(client, path)):
            response = client.get(address.partition("#")[0] or "/")
            assert response.status_code == 200, f"{path} leads to {address}"
            response.close()


def _addresses(root: html.HtmlElement) -> set[str]:
    return {
        value
        for element in root.iter(etree.Element)
        for name, value in element.items()
        if name in ("href", "src", "data-columns") and not value.startswith("#")
    }


def test_nothing_comes_from_elsewhere(client: FlaskClient) -> None:
    for path in PAGES:
        assert all(address.startswith("/") for address in _addresses(page(client, path)))
        response = client.get(path)
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]
        assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=", response.text)


@pytest.mark.parametrize(
    "path", ["/table/dr1/none", "/table/DR1/star", "/table/dr1_v1/star", "/columns/x/y", "/nothing"]
)
def test_what_is_not_there_has_a_page_of_its_own(path: str, client: FlaskClient) -> None:
    shown = client.get(path, headers={"Accept": "text/html"})
    assert (shown.status_code, shown.mimetype) == (404, "text/html")
    assert "There is no" in shown.text or "There is nothing" in shown.text
    told = client.get(path, headers={"Accept": "application/json"})
    assert (told.status_code, told.mimetype) == (404, "text/plain")


def test_what_is_not_there_is_named_harmlessly(client: FlaskClient) -> None:
    response = client.get("/table/dr1/%3Cscript%3Ealert(1)%3C%2Fscript%3E", headers={"Accept": "text/html"})
    assert "<script>alert" not in response.text
    assert "&lt;script&gt;alert" in response.text


def test_below_a_path_of_a_proxy_all_links_stay_below_it() -> None:
    serving = Scripted(Config(public_url="https://example.org/sky/"))
    client = app(serving).test_client()
    for path in PAGES:
        assert all(address.startswith("/sky/") for address in _addresses(page(client, path)))
    assert page(client, "/").get_element_by_id("tap-url").get("value") == "https://example.org/sky/tap"


def test_an_empty_archive_has_a_page_too(client: FlaskClient, serving: Scripted) -> None:
    serving.published = Catalog(())
    home = page(client, "/")
    assert text(home.find_class("totals")[0]) == "Nothing has been published yet."
    assert {"TAP_SCHEMA" in button.get("data-example") for button in home.xpath("//*[@data-example]")} == {True}


def test_the_answer_is_read_in_a_format_there_is() -> None:
    asked = TapRequest.read(Parameters.of_pairs([("QUERY", "x"), ("RESPONSEFORMAT", "votable/td")]))
    assert "TABLEDATA" in asked.format.content_type
