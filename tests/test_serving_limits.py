"""What a client is told of limits: cut answers, their way to the rest, request names, numbers, legacy identifiers."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pyarrow as pa
import pytest
from flask.testing import FlaskClient
from lxml import etree

from archive import dali
from archive.config import Config
from archive.faults import TransientFault, UsageFault
from archive.query import Question
from tests.faces import Scripted, app, rows

ASK = {"LANG": "ADQL", "QUERY": "SELECT * FROM dr1.star"}


@pytest.fixture
def serving() -> Scripted:
    return Scripted(Config(hard_maxrec=500))


@pytest.fixture
def client(serving: Scripted) -> FlaskClient:
    return app(serving).test_client()


def test_few_rows_that_come_in_many_batches_are_sent_whole(
    client: FlaskClient, serving: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dali, "_MOMENT", 60.0)
    serving.reply = lambda question: iter(rows(7).to_batches(max_chunksize=1))
    answer = client.post("/tap/sync", data=ASK)
    assert "Content-Length" in answer.headers
    monkeypatch.setattr(dali, "_MOMENT", 0.0)
    serving.reply = lambda question: iter(rows(7).to_batches(max_chunksize=1))
    slow = client.post("/tap/sync", data=ASK)
    assert "Content-Length" not in slow.headers
    assert slow.data == answer.data


def test_an_answer_known_to_be_cut_says_so_in_a_header_and_in_words(client: FlaskClient, serving: Scripted) -> None:
    answer = serving.answer

    def cut(question: Question) -> object:
        result = answer(question)
        result.overflowed = True
        return result

    serving.reply = lambda question: iter(rows(7).to_batches())
    whole = client.post("/tap/sync", data=ASK)
    serving.answer = cut  # type: ignore[method-assign,assignment]
    short = client.post("/tap/sync", data=ASK)
    assert "X-Archive-Overflow" not in whole.headers
    assert "Link" not in whole.headers
    assert short.headers["X-Archive-Overflow"] == "rows=7"
    assert short.headers["Link"].startswith('<http://localhost/tap/async>; rel="related"')
    assert "X-Archive-Overflow" in short.headers["Access-Control-Expose-Headers"]
    words = etree.fromstring(short.data).xpath("string(//*[@name='QUERY_STATUS' and @value='OVERFLOW'])")
    for part in ("first 7", "MAXREC (up to 500)", "http://localhost/tap/async"):
        assert part in words


def test_short_answers_have_a_length_and_long_ones_do_not(client: FlaskClient, serving: Scripted) -> None:
    serving.reply = lambda question: iter(rows(3).to_batches())
    short = client.post("/tap/sync", data=ASK)
    assert int(short.headers["Content-Length"]) == len(short.data)
    serving.reply = lambda question: iter(rows(5000).to_batches())
    assert "Content-Length" not in client.post("/tap/sync", data=ASK).headers


def test_what_fits_into_a_packet_is_not_compressed(client: FlaskClient, serving: Scripted) -> None:
    wanted = {"Accept-Encoding": "gzip"}
    serving.reply = lambda question: iter(rows(3).to_batches())
    tiny = client.post("/tap/sync", data=ASK | {"FORMAT": "csv"}, headers=wanted)
    assert "Content-Encoding" not in tiny.headers
    serving.reply = lambda question: iter(rows(1000).to_batches())
    short = client.post("/tap/sync", data=ASK | {"FORMAT": "csv"}, headers=wanted)
    assert len(gzip.decompress(short.data).splitlines()) == 1001


def test_a_fault_behind_few_rows_still_has_its_status(client: FlaskClient, serving: Scripted) -> None:
    def reply(question: Question) -> Iterator[pa.RecordBatch]:
        yield from rows(3).to_batches()
        raise TransientFault("The disk is full.", after=60)

    serving.reply = reply
    answer = client.post("/tap/sync", data=ASK | {"FORMAT": "csv"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")


@pytest.mark.parametrize(("named", "kept"), [("run-7.a:b", True), ("x" * 65, False), ("a b", False), (None, False)])
def test_requests_have_names(named: str | None, kept: bool, client: FlaskClient) -> None:
    answer = client.get("/tap/capabilities", headers={"X-Request-Id": named} if named else {})
    assert (answer.headers["X-Request-Id"] == named) is kept
    assert 0 < len(answer.headers["X-Request-Id"]) <= 64


def test_who_asks_and_how_to_stop_go_with_the_question(client: FlaskClient, serving: Scripted) -> None:
    client.post("/tap/sync", data=ASK)
    assert serving.asked[0].asker == "127.0.0.1"
    assert serving.asked[0].stop is not None
    assert not serving.asked[0].stop.pulled


def test_numbers_tell_of_queries_and_faults(client: FlaskClient, serving: Scripted) -> None:
    client.post("/tap/sync", data=ASK).close()
    serving.reply = _wrong
    client.post("/tap/sync", data=ASK).close()
    told = client.get("/metrics").text
    assert 'archive_queries_total{face="sync",outcome="OK"} 1.0' in told
    assert 'archive_queries_total{face="sync",outcome="UsageFault"} 1.0' in told
    assert 'archive_faults_total{kind="UsageFault"} 1.0' in told
    assert 'archive_rows_total{face="sync"} 2000.0' in told
    assert 'archive_requests_total{face="tap/sync",method="POST",status="400"} 1.0' in told
    assert "archive_queries_under_way 0.0" in told
    assert "archive_requests_under_way 1.0" in told  # this one


def _wrong(question: Question) -> pa.RecordBatch:
    raise UsageFault("There is no such column.")


@pytest.mark.parametrize("legacy", [False, True])
def test_language_features_are_declared_under_old_identifiers_on_request(legacy: bool) -> None:
    document = app(Scripted(Config(legacy_features=legacy))).test_client().get("/tap/capabilities").data
    kinds = etree.fromstring(document).xpath("//languageFeatures/@type")
    prefix = "ivo://ivoa.net/std/TAPRegExt#" if legacy else "ivo://ivoa.net/std/tapregext#"
    others = {kind for kind in kinds if not kind.startswith(f"{prefix}features-")}
    assert len(kinds) > 5
    assert others == ({"ivo://ivoa.net/std/tapregext#features-adql-conditional"} if legacy else set())
