"""The door of ``/tap/sync``: parameters in, documents out, whatever the client sends."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from typing import Any

import astropy.io.votable as votable
import pyarrow as pa
import pytest
from flask.testing import FlaskClient
from lxml import etree
from werkzeug.test import TestResponse

from archive.config import Config
from archive.faults import FatalFault, TransientFault, UsageFault
from archive.ledger import Site
from archive.query import Question
from tests.faces import Scripted, app, rows

NS = "{http://www.ivoa.net/xml/VOTable/v1.3}"
ASK = {"LANG": "ADQL", "QUERY": "SELECT * FROM dr1.star"}


@pytest.fixture
def serving() -> Scripted:
    return Scripted(Config(sync_seconds=7, default_maxrec=50, hard_maxrec=500, upload_bytes=0))


@pytest.fixture
def client(serving: Scripted) -> FlaskClient:
    return app(serving).test_client()


def status(response: TestResponse) -> list[tuple[str, str]]:
    root = etree.fromstring(response.data)
    infos = root.findall(f"{NS}RESOURCE/{NS}INFO[@name='QUERY_STATUS']")
    return [(info.get("value"), info.text or "") for info in infos]


def error(response: TestResponse) -> str:
    """The message of an error document, which has no table and one status."""
    assert response.content_type == "application/x-votable+xml"
    assert etree.fromstring(response.data).find(f".//{NS}TABLE") is None
    ((value, text),) = status(response)
    assert value == "ERROR"
    return text


# --- parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["get", "post", "multipart", "mixed", "slash", "folded"])
def test_parameters_come_in_all_ways(way: str, client: FlaskClient, serving: Scripted) -> None:
    send: dict[str, Any] = {
        "get": lambda: client.get("/tap/sync", query_string=ASK),
        "post": lambda: client.post("/tap/sync", data=ASK),
        "multipart": lambda: client.post("/tap/sync", data=ASK, content_type="multipart/form-data"),
        "mixed": lambda: client.post("/tap/sync?LANG=ADQL", data={"QUERY": ASK["QUERY"]}),
        "slash": lambda: client.post("/tap/sync/", data=ASK),
        "folded": lambda: client.post("/tap/sync", data={"lang": "adql", "Query": ASK["QUERY"]}),
    }
    response = send[way]()
    assert response.status_code == 200
    assert serving.asked[0].query == ASK["QUERY"]
    assert len(votable.parse_single_table(io.BytesIO(response.data)).array) == 2000


def test_blanks_and_letters_come_through_as_sent(client: FlaskClient, serving: Scripted) -> None:
    client.get("/tap/sync?LANG=ADQL&QUERY=SELECT+%27%CE%B1%2B%27%20FROM%0Adr1.star")
    assert serving.asked[0].query == "SELECT 'α+' FROM\ndr1.star"


def test_the_question_carries_the_limits(client: FlaskClient, serving: Scripted) -> None:
    client.post("/tap/sync", data=ASK | {"MAXREC": "10"})
    client.post("/tap/sync", data=ASK)
    client.post("/tap/sync", data=ASK | {"MAXREC": "0", "RUNID": "x" * 64})
    limits = [(each.maxrec, each.default_maxrec, each.hard_maxrec, each.seconds) for each in serving.asked]
    assert limits == [(10, 50, 500, 7), (None, 50, 500, 7), (0, 50, 500, 7)]


@pytest.mark.parametrize("language", ["ADQL", "adql-2.0", "ADQL-2.1", None])
def test_languages_that_are_spoken(language: str | None, client: FlaskClient, serving: Scripted) -> None:
    asked = {"QUERY": ASK["QUERY"]} | ({"LANG": language} if language else {})
    assert client.post("/tap/sync", data=asked).status_code == 200
    assert serving.asked[0].language == ("ADQL-2.0" if language == "adql-2.0" else "ADQL-2.1")


def test_unknown_parameters_and_relics_are_ignored(client: FlaskClient) -> None:
    relics = {"REQUEST": "doQuery", "VERSION": "1.0", "FOO": "bar", "PHASE": "RUN"}
    assert client.post("/tap/sync", data=ASK | relics).status_code == 200


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"LANG": "SQL"}, "SQL"),
        ({"LANG": "ADQL-9.9"}, "ADQL-9.9"),
        ({"QUERY": None}, "QUERY is missing"),
        ({"QUERY": " \n"}, "QUERY is empty"),
        ({"MAXREC": "-1"}, "MAXREC='-1'"),
        ({"MAXREC": "1.5"}, "MAXREC='1.5'"),
        ({"MAXREC": "ten"}, "MAXREC='ten'"),
        ({"MAXREC": "١٢"}, "MAXREC="),
        ({"MAXREC": "9" * 5000}, None),
        ({"RUNID": "x" * 65}, "RUNID has 65 characters"),
        ({"REQUEST": "getCapabilities"}, "REQUEST='getCapabilities'"),
        ({"RESPONSEFORMAT": "application/x-nothing"}, "application/x-nothing"),
        ({"LANG": ["ADQL", "ADQL"]}, "LANG is given 2 times"),
        ({"MAXREC": ["1", "2"]}, "MAXREC is given 2 times"),
    ],
)
def test_wrong_parameters(change: dict[str, Any], words: str | None, client: FlaskClient, serving: Scripted) -> None:
    asked = {name: value for name, value in (ASK | change).items() if value is not None}
    response = client.post("/tap/sync", data=asked)
    if words is None:
        assert response.status_code == 200
        return
    assert response.status_code == 400
    assert words in error(response)
    assert serving.asked == []


# --- formats --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        (None, "application/x-votable+xml"),
        ("votable", "application/x-votable+xml"),
        ("text/xml", "text/xml"),
        ("application/x-votable+xml", "application/x-votable+xml"),
        ("application/x-votable+xml;serialization=tabledata", "application/x-votable+xml;serialization=TABLEDATA"),
        ("csv", "text/csv;header=present"),
        ("text/csv", "text/csv;header=present"),
        ("tsv", "text/tab-separated-values"),
    ],
)
def test_media_types(asked: str | None, sent: str, client: FlaskClient) -> None:
    for name in ("RESPONSEFORMAT", "FORMAT"):
        response = client.post("/tap/sync", data=ASK | ({name: asked} if asked else {}))
        assert (response.status_code, response.content_type) == (200, sent)


def test_responseformat_wins_over_format(client: FlaskClient) -> None:
    response = client.post("/tap/sync", data=ASK | {"FORMAT": "csv", "RESPONSEFORMAT": "tsv"})
    assert response.content_type == "text/tab-separated-values"


def test_errors_come_in_the_format_asked_for(client: FlaskClient) -> None:
    response = client.post("/tap/sync", data={"LANG": "ADQL", "RESPONSEFORMAT": "csv"})
    assert response.status_code == 400
    assert response.content_type.startswith("text/plain")
    assert "QUERY is missing" in response.text


# --- faults ---------------------------------------------------------------------------------------


def fail(fault: Exception, after: int = 0) -> Any:
    def reply(question: Question) -> Iterator[pa.RecordBatch]:
        yield from rows(10).to_batches() * after
        raise fault

    return reply


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (UsageFault("line 1, column 8: no such column raa.", "Did you mean ra?"), 400),
        (UsageFault("too large", http=413), 413),
        (TransientFault("The archive is busy.", after=30), 503),
        (FatalFault("The disk is gone."), 500),
    ],
)
def test_faults_before_the_first_row_have_their_status(
    fault: Any, code: int, client: FlaskClient, serving: Scripted
) -> None:
    serving.reply = fail(fault)
    response = client.post("/tap/sync", data=ASK)
    assert response.status_code == code
    assert error(response) == f"{fault.dali}: {fault}"
    assert response.headers.get("Retry-After") == ("30" if code == 503 else None)
    assert serving.open == 0


def test_faults_after_rows_end_the_document(client: FlaskClient, serving: Scripted) -> None:
    serving.reply = fail(TransientFault("It took too long."), after=300)  # more rows than are awaited
    response = client.post("/tap/sync", data=ASK)
    assert response.status_code == 200
    assert [value for value, _ in status(response)] == ["OK", "ERROR"]
    assert "It took too long." in status(response)[1][1]


def test_what_is_unforeseen_is_told_by_a_number_only(
    client: FlaskClient, serving: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    serving.reply = fail(RuntimeError("SELECT secret FROM t1"))
    response = client.post("/tap/sync", data=ASK)
    assert response.status_code == 500
    assert "secret" not in response.text
    number = error(response).partition("(incident ")[2][:8]
    assert number in caplog.text
    assert "secret" in caplog.text


def test_a_form_that_is_too_large_gets_a_document(client: FlaskClient) -> None:
    response = client.post("/tap/sync", data=ASK | {"QUERY": "x" * (5 * 2**20)})
    assert response.status_code == 413
    assert error(response)


def test_a_long_query_is_taken(client: FlaskClient, serving: Scripted) -> None:
    query = f"SELECT * FROM dr1.star -- {'x' * 2**20}"
    assert client.post("/tap/sync", data=ASK | {"QUERY": query}).status_code == 200
    assert serving.asked[0].query == query


# --- bodies ---------------------------------------------------------------------------------------


def test_gzip_only_when_asked(client: FlaskClient) -> None:
    plain = client.post("/tap/sync", data=ASK | {"FORMAT": "csv"})
    packed = client.post("/tap/sync", data=ASK | {"FORMAT": "csv"}, headers={"Accept-Encoding": "gzip, deflate"})
    refused = client.post("/tap/sync", data=ASK | {"FORMAT": "csv"}, headers={"Accept-Encoding": "gzip;q=0"})
    assert "Content-Encoding" not in plain.headers
    assert "Content-Encoding" not in refused.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data == refused.data
    assert {each.headers["Vary"] for each in (plain, packed)} == {"Accept-Encoding"}


def test_rows_leave_as_they_come(client: FlaskClient, serving: Scripted) -> None:
    """The body is not collected: of an endless answer the first pieces can be read, and leaving stops it."""

    def endless(question: Question) -> Iterator[pa.RecordBatch]:
        while True:
            yield from rows(5000).to_batches()

    serving.reply = endless
    for encoding in ("gzip", "identity"):
        response = client.post("/tap/sync", data=ASK, buffered=False, headers={"Accept-Encoding": encoding})
        pieces = response.iter_encoded()
        assert next(pieces)
        assert serving.open == 1
        response.close()
        assert serving.open == 0


def test_a_head_asks_and_lets_go(client: FlaskClient, serving: Scripted) -> None:
    response = client.head("/tap/sync", query_string=ASK | {"FORMAT": "csv"})
    assert (response.status_code, response.data) == (200, b"")
    assert response.content_type == "text/csv;header=present"
    response.close()
    assert serving.open == 0


# --- the other resources ----------------------------------------------------------------------------

RESOURCES = {
    "/tap": "application/xhtml+xml",
    "/tap/capabilities": "text/xml",
    "/tap/availability": "text/xml",
    "/tap/tables": "text/xml",
    "/tap/tables?detail=max": "text/xml",
    "/tap/tables/dr1.star": "text/xml",
    "/tap/examples": "application/xhtml+xml",
}


@pytest.mark.parametrize("path", RESOURCES)
def test_resources_answer_with_and_without_slash_and_body(path: str, client: FlaskClient) -> None:
    plain = client.get(path)
    assert (plain.status_code, plain.mimetype) == (200, RESOURCES[path])
    etree.fromstring(plain.data)
    stem, mark, query = path.partition("?")
    if not path.startswith("/tap/tables/"):
        assert client.get(f"{stem}/{mark}{query}").data == plain.data
    head = client.head(path)
    assert (head.status_code, head.data, head.content_type) == (200, b"", plain.content_type)


@pytest.mark.parametrize(
    "path", ["/tap/tables/dr1.%22Source%20Table%22", '/tap/tables/dr1."Source Table"', "/tap/tables/dr1.Source+Table"]
)
def test_tables_with_odd_names(path: str, client: FlaskClient) -> None:
    response = client.get(path)
    if "+" in path:  # a plus is a blank in queries, not in paths
        assert response.status_code == 404
    else:
        assert etree.fromstring(response.data).findtext("name") == 'dr1."Source Table"'


@pytest.mark.parametrize("path", ["/tap/tables/dr1.none", "/tap/nothing", "/tap/async", "/tap/sync/more"])
def test_what_is_not_there_is_404_in_text(path: str, client: FlaskClient) -> None:
    response = client.get(path, headers={"Accept": "text/html"})
    assert response.status_code == 404
    assert response.mimetype == "text/plain"
    assert response.text.startswith("NotFoundFault: ")


def test_methods_that_are_not_offered(client: FlaskClient) -> None:
    response = client.delete("/tap/tables/dr1.star")
    assert (response.status_code, response.mimetype) == (405, "text/plain")
    assert "GET" in response.headers["Allow"]


def test_unknown_detail_is_refused(client: FlaskClient) -> None:
    response = client.get("/tap/tables?detail=some")
    assert response.status_code == 400
    assert "detail='some'" in response.text


def test_other_sites_may_use_the_protocols(client: FlaskClient) -> None:
    asked = client.options("/tap/sync", headers={"Origin": "https://aladin.cds.unistra.fr"})
    assert asked.status_code == 200
    assert "POST" in asked.headers["Access-Control-Allow-Methods"]
    for response in (asked, client.get("/tap/capabilities"), client.post("/tap/sync"), client.get("/tap/nothing")):
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Location" in response.headers["Access-Control-Expose-Headers"]


def test_availability_tells_what_is_wrong(client: FlaskClient, serving: Scripted) -> None:
    serving.notes = ("The disk is gone.",)
    response = client.get("/tap/availability")
    assert response.status_code == 200
    assert "available>false<" in response.text
    assert "The disk is gone." in response.text


@pytest.mark.parametrize(
    ("config", "site", "expected"),
    [
        (Config(), None, "http://archive.test:8080/tap"),
        (Config(public_url="https://a.example.org/sky/"), None, "https://a.example.org/sky/tap"),
        (Config(), "https://b.example.org", "https://b.example.org/tap"),
        (Config(public_url="https://a.example.org"), "https://b.example.org", "https://a.example.org/tap"),
    ],
)
def test_addresses_are_the_public_ones(config: Config, site: str | None, expected: str) -> None:
    serving = Scripted(config, Site("example.org", "Example", "help@example.org", site))
    document = app(serving).test_client().get("/tap/capabilities", base_url="http://archive.test:8080").data
    urls = etree.fromstring(document).xpath("//accessURL/text()")
    base = expected.removesuffix("/tap")
    assert expected in urls
    assert all(url.startswith(f"{base}/") for url in urls)
    assert {url for url in urls if not url.startswith(expected)} == {f"{base}/sia2/query", f"{base}/datalink/links"}
    assert not any(url.endswith("/") for url in urls)
