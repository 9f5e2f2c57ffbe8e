"""Tokens over HTTP, and the pages of saved queries, on an application over a real archive."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from lxml import etree

from archive.app import create_app
from archive.backbone.endpoint import Endpoint
from archive.config import Config
from archive.ledger import Site
from tests.test_repeats import DATA, grow

pytestmark = pytest.mark.requirement("DMS-DBB-REQ-0030")

QUERY = "SELECT id, flux FROM sp_test.source WHERE flux > 90"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("saved")


@pytest.fixture(scope="module")
def endpoint(folder: Path) -> Iterator[Endpoint]:
    config = Config(home=folder / "home", descriptions=DATA, grace=0.0)
    with Endpoint.create(config, Site("archive.test", "Test Observatory", "tests@archive.test")) as made:
        grow(made, folder, range(100))
        yield made


@pytest.fixture(scope="module")
def client(endpoint: Endpoint) -> FlaskClient:
    return create_app(endpoint.config).test_client()


def token_of(client: FlaskClient, **more: str) -> str:
    answer = client.get("/tap/sync", query_string={"LANG": "ADQL", "QUERY": QUERY, "FORMAT": "csv", **more})
    assert answer.status_code == 200, answer.text
    answer.close()  # as servers do; only then is the visit over
    return answer.headers["X-Archive-Token"]


def saved(client: FlaskClient, token: str, **more: str) -> str:
    """The path of the page of what is saved; its answer has to reach the query log first."""
    deadline = time.monotonic() + 30
    while (answer := client.post("/tap/saved", data={"TOKEN": token, **more})).status_code == 404:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.2)
    assert answer.status_code == 303, answer.text
    return re.sub(r"^https?://[^/]+", "", answer.headers["Location"])


def test_an_answer_is_saved_cited_and_asked_again(client: FlaskClient, endpoint: Endpoint, folder: Path) -> None:
    token = token_of(client)
    path = saved(client, token, AUTHOR="A. Stronomer", TITLE="Bright <ones>")
    assert saved(client, token, AUTHOR="Somebody else") == path
    landing = client.get(path)
    assert landing.status_code == 200
    told = " ".join(etree.fromstring(landing.data).itertext())
    for word in (
        "A. Stronomer",
        "Bright <ones>",
        QUERY,
        token,
        "sp_test at schema version 1",
        "Test Observatory",
        "9 rows",
    ):
        assert word in told
    facts = client.get(path, headers={"Accept": "application/json"}).get_json()
    assert (facts["answered"]["rows"], facts["answered"]["text"]) == (9, QUERY)
    assert facts["address"].endswith(path)
    verdicts = client.get(f"{path}/rerun?FORMAT=json").get_json()
    assert [verdicts[when]["verdict"] for when in ("then", "now")] == ["identical", "identical"]
    grow(endpoint, folder, range(100, 110))
    verdicts = client.get(f"{path}/rerun?FORMAT=json").get_json()
    assert [verdicts[when]["verdict"] for when in ("then", "now")] == ["identical", "superset"]
    assert (verdicts["now"]["added"], verdicts["now"]["gone"]) == (10, 0)
    page = etree.fromstring(client.get(f"{path}/rerun").data)
    told = " ".join(page.itertext())
    for word in ("The same 9 rows.", "superset", "Those rows and 10 new ones: 19 in all."):
        assert word in told
    again = client.get("/tap/sync", query_string={"LANG": "ADQL", "QUERY": QUERY, "TOKEN": token, "FORMAT": "csv"})
    assert len(again.text.split()) == 1 + 9
    assert again.headers["X-Archive-Token"] == token


@pytest.mark.parametrize("form", ["votable", "votable/td", "json", "html", "text", "fits", "parquet", "arrow"])
def test_every_format_carries_the_token(client: FlaskClient, form: str) -> None:
    answer = client.get("/tap/sync", query_string={"LANG": "ADQL", "QUERY": QUERY, "FORMAT": form})
    assert answer.headers["X-Archive-Token"].encode() in answer.data.replace(b"&amp;", b"&")


def test_a_votable_tells_its_digest_or_why_there_is_no_token(client: FlaskClient) -> None:
    def infos(query: str) -> dict[str, str]:
        document = etree.fromstring(client.get("/tap/sync", query_string={"LANG": "ADQL", "QUERY": query}).data)
        return {info.get("name"): info.get("value") for info in document.iter("{*}INFO")}

    whole = infos(QUERY)
    assert re.fullmatch("[0-9a-f]{32}", whole["DIGEST"])
    assert "REPEATABLE" not in whole
    open_ = infos("SELECT TOP 3 id FROM sp_test.source")
    assert (open_["REPEATABLE"], "TOKEN" in open_) == ("no", False)


@pytest.mark.parametrize(
    ("form", "status", "told"),
    [
        ({}, 400, "TOKEN is missing"),
        ({"TOKEN": "1~0123456789abcdef~sp_test.1~.source.1"}, 404, "No whole answer"),
        ({"TOKEN": "x", "TITLE": "y" * 201}, 400, "TITLE may have"),
    ],
)
def test_what_cannot_be_saved_is_told(client: FlaskClient, form: dict[str, str], status: int, told: str) -> None:
    answer = client.post("/tap/saved", data=form)
    assert (answer.status_code, answer.mimetype) == (status, "text/plain")
    assert told in answer.text


def test_what_is_not_saved_is_not_found(client: FlaskClient) -> None:
    for path in ("/tap/saved/000000000000", "/tap/saved/000000000000/rerun"):
        answer = client.get(path)
        assert (answer.status_code, answer.mimetype) == (404, "text/plain")


def test_a_wrong_token_ends_in_an_error_document(client: FlaskClient) -> None:
    answer = client.get("/tap/sync", query_string={"LANG": "ADQL", "QUERY": QUERY, "TOKEN": "nonsense"})
    assert answer.status_code == 400
    assert b"The token is not understood" in answer.data
    assert json.loads(client.get("/tap/sync?FORMAT=json&LANG=ADQL&QUERY=x&TOKEN=y").data)["status"] == "ERROR"
