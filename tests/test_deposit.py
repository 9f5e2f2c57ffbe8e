"""Pipelines bring files in over HTTP with a token; staff see what is on its way, the public does not."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.test import Client, TestResponse

from archive.app import assemble, kept
from archive.backbone import catalogs, publish
from archive.backbone.endpoint import Endpoint
from archive.config import Config
from archive.ledger import grants, schema, tokens
from archive.ledger.database import stamp
from tests import archives, clusters
from tests.faces import Scripted

CONTENT = b"a log of the night\n"
TERMS = {"type": "other", "release": "sp_test", "collection": "logs"}
PLACE = "/files/sp_test/logs/night.txt"


@dataclass
class In:
    """An archive that takes files in, and somebody who sends them."""

    endpoint: Endpoint
    client: Client
    tokens: dict[str, str]

    def put(
        self, content: bytes = CONTENT, role: str | None = "producer", path: str = PLACE, **more: Any
    ) -> TestResponse:
        given = {**TERMS, **more.pop("terms", {})}
        headers = {**({} if role is None else self.bearing(role)), **more.pop("headers", {})}
        return self.client.put(path, query_string=given, data=content, headers=headers, **more)

    def bearing(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[role]}"}

    def registered(self) -> list[str]:
        with self.endpoint.ledger.read() as transaction:
            return sorted(transaction.execute(select(schema.artifact.c.uri)).scalars())


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def into(request: pytest.FixtureRequest, tmp_path: Path, data: Path) -> Iterator[In]:
    database = None if request.param == "sqlite" else clusters.database(tmp_path)
    config = Config(home=tmp_path / "home", database=database, descriptions=data, reserve=0)
    Endpoint.create(config, archives.SITE).close()
    with Endpoint.open(config) as endpoint:
        with endpoint.ledger.write() as transaction:
            made = {}
            for role in ("reader", "producer", "curator", "operator", "peer"):
                grants.add(transaction, f"the {role}", role)
                made[role] = tokens.create(transaction, f"the {role}", role)
        yield In(endpoint, Client(assemble(Scripted(), others=kept(endpoint))), made)


def digest(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


# --- what is taken --------------------------------------------------------------------------------


@pytest.mark.requirement("DMS-DBB-REQ-0034")
def test_a_file_comes_in_and_goes_out(into: In) -> None:
    answer = into.put(headers={"Repr-Digest": digest(CONTENT)}, terms={"reason": "the nightly run"})
    assert answer.status_code == 201, answer.text
    facts = answer.json
    assert facts["uri"] == "archive://archive.test/sp_test/logs/night.txt"
    assert (facts["status"], facts["size"], facts["sha256"]) == ("new", 19, hashlib.sha256(CONTENT).hexdigest())
    assert answer.headers["Repr-Digest"] == digest(CONTENT)
    out = into.client.get(answer.headers["Location"])
    assert (out.status_code, out.data, out.headers["ETag"]) == (200, CONTENT, answer.headers["ETag"])
    with into.endpoint.ledger.read() as transaction:
        bodies = transaction.execute(select(schema.event.c.body).where(schema.event.c.kind == "artifact")).scalars()
        (body,) = bodies.all()
    assert (body["actor"], body["reason"]) == ("the producer", "the nightly run")


def test_the_same_again_changes_nothing(into: In) -> None:
    into.put()
    again = into.put()
    assert (again.status_code, again.json["status"]) == (200, "known")
    assert len(into.registered()) == 1


def test_other_bytes_under_the_same_name(into: In) -> None:
    into.put()
    answer = into.put(b"other bytes")
    assert answer.status_code == 409
    assert into.client.get(PLACE).data == CONTENT


@pytest.mark.parametrize("role", ["producer", "curator", "operator"])
def test_who_may(into: In, role: str) -> None:
    assert into.put(role=role).status_code == 201


def test_a_body_of_unknown_length(into: In) -> None:
    stream = io.BytesIO(CONTENT)
    answer = into.client.put(
        PLACE,
        query_string=TERMS,
        input_stream=stream,
        headers={**into.bearing("producer"), "Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert (answer.status_code, answer.json["size"]) == (201, len(CONTENT))


def test_a_file_larger_than_any_form(into: In) -> None:
    content = bytes(into.endpoint.config.upload_bytes + (8 << 20))
    assert into.put(content).status_code == 201


def test_the_content_digest_counts_too(into: In) -> None:
    both = {"Repr-Digest": f"md5=:AAAA:, {digest(CONTENT)}", "Content-Digest": digest(CONTENT)}
    assert into.put(headers=both).status_code == 201
    assert into.put(headers={"Repr-Digest": "sha-512=:AAAA:"}).status_code == 200


def test_proprietary_until_a_day(into: In) -> None:
    day = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    assert into.put(terms={"public_from": day}).status_code == 201
    unknown = into.client.get(PLACE)
    assert (unknown.status_code, unknown.headers["WWW-Authenticate"]) == (401, 'Bearer realm="archive"')
    for role, status in (("producer", 403), ("reader", 200), ("curator", 200), ("operator", 200), ("peer", 200)):
        assert into.client.get(PLACE, headers=into.bearing(role)).status_code == status, role
        assert into.client.head(PLACE, headers=into.bearing(role)).status_code == status, role
    with into.endpoint.ledger.write() as transaction:
        transaction.execute(schema.artifact.update().values(public_from=stamp(datetime.now(UTC))))
    assert into.client.get(PLACE).data == CONTENT


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.requirement("DMS-DBB-REQ-0034")
@pytest.mark.parametrize(
    ("header", "status", "challenge"),
    [
        (None, 401, 'Bearer realm="archive"'),
        ("Basic dXNlcjpwYXNz", 401, 'Bearer realm="archive"'),
        ("Bearer", 401, 'Bearer realm="archive", error="invalid_token"'),
        ("Bearer no.such", 401, 'Bearer realm="archive", error="invalid_token"'),
        ("reader", 403, 'Bearer realm="archive", error="insufficient_scope"'),
        ("peer", 403, 'Bearer realm="archive", error="insufficient_scope"'),
    ],
)
def test_who_may_not(into: In, header: str | None, status: int, challenge: str) -> None:
    """Refused before anything of the body is read."""
    stream = io.BytesIO(CONTENT)
    given = into.bearing(header) if header in into.tokens else {} if header is None else {"Authorization": header}
    answer = into.client.put(PLACE, query_string=TERMS, input_stream=stream, headers=given)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (status, challenge)
    assert answer.text.startswith(("AuthenticationFault: ", "AuthorizationFault: "))
    assert stream.tell() == 0
    assert into.registered() == []


def test_a_wrong_token_is_told_also_where_none_is_needed(into: In) -> None:
    """Public files are for everybody; what a client bears does not matter there."""
    into.put()
    assert into.client.get(PLACE, headers={"Authorization": "Bearer no.such"}).status_code == 200


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        ({"terms": {"type": "nonsense"}}, 400, "nonsense"),
        ({"terms": {"type": ""}}, 400, "'type' is missing"),
        ({"terms": {"colour": "red"}}, 400, "'colour' is not known"),
        ({"terms": {"release": "dr99"}}, 400, "does not begin with release and collection"),
        ({"terms": {"set": "no equals sign"}}, 400, "KEY=VALUE"),
        ({"terms": {"public_from": "soon"}}, 400, "is no date"),
        ({"path": "/files/sp_test/logs/"}, 400, "does not begin with release and collection"),
        ({"path": "/files/sp_test/logs/../../x"}, 400, ""),
        ({"headers": {"Repr-Digest": digest(b"other")}}, 400, "its sha256 is"),
        ({"headers": {"Repr-Digest": "sha-256=:AAAA:"}}, 400, "is no sha-256 digest"),
        ({"headers": {"Repr-Digest": "sha-256=AAAA"}}, 400, "is no sha-256 digest"),
        ({"headers": {"Repr-Digest": digest(CONTENT), "Content-Digest": digest(b"x")}}, 400, "differ"),
        ({"headers": {"Content-Range": "bytes 0-9/20"}}, 400, "taken in whole"),
        ({"headers": {"Content-Encoding": "gzip"}}, 415, "as they are"),
    ],
)
def test_what_is_wrong_is_told(into: In, more: dict[str, Any], status: int, message: str) -> None:
    answer = into.put(**more)
    assert (answer.status_code, message in answer.text) == (status, True), answer.text
    assert into.registered() == []
    assert list(into.endpoint.store.paths()) == []


def test_a_connection_that_breaks_off_leaves_nothing(into: In) -> None:
    answer = into.client.put(
        PLACE,
        query_string=TERMS,
        input_stream=io.BytesIO(CONTENT),
        environ_overrides={"CONTENT_LENGTH": "1000"},
        headers=into.bearing("producer"),
    )
    assert answer.status_code == 400
    assert "broke off" in answer.text
    assert into.registered() == []
    assert list(into.endpoint.store.paths()) == []


def test_no_room(into: In, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(into.endpoint.store), "free", lambda store: 10)
    answer = into.put()
    assert (answer.status_code, answer.headers["Retry-After"]) == (507, "3600")


# --- staff ----------------------------------------------------------------------------------------


@pytest.mark.requirement("DMS-DBB-REQ-0056")
def test_staff_see_what_the_public_does_not(into: In, tmp_path: Path) -> None:
    for rows, shown in ((10, True), (15, False)):
        file = archives.parquet(tmp_path / f"{rows}.parquet", (archives.source(rows * 100 + n) for n in range(rows)))
        catalogs.load(into.endpoint, "sp_test", "source", [file])
        if shown:
            publish.publish(into.endpoint, "sp_test")
    into.put(terms={"public_from": "2999-01-01"})
    answer = into.client.get("/staff/status", headers=into.bearing("producer"))
    assert answer.status_code == 200
    facts = json.loads(answer.text)
    assert facts["tables"] == [{"name": "sp_test.source", "state": 2, "loaded": 25, "shown": 10}]
    assert (facts["proprietary"], facts["arrivals"], facts["building"]) == (1, [], [])
    assert set(facts["copies"]) == {"present"}
    assert answer.headers["Cache-Control"] == "no-store"
    for headers, status in (({}, 401), (into.bearing("reader"), 403)):
        refused = into.client.get("/staff/status", headers=headers)
        assert (refused.status_code, "source" in refused.text) == (status, False)
    assert {edition.rows for edition in into.endpoint.ledger.published().editions.values()} == {10}


@pytest.mark.requirement("DMS-DBB-REQ-0056")
def test_an_arrival_shows_while_it_lasts(into: In) -> None:
    """The public finds no file until it is whole; staff see that something comes."""
    seen: list[Any] = []

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if not seen:
                seen.append(into.client.get("/staff/status", headers=into.bearing("operator")).json)
                seen.append(into.client.get(PLACE).status_code)
            return super().read(size)

        def readinto(self, buffer: Any, /) -> int:
            data = self.read(len(buffer))
            buffer[: len(data)] = data
            return len(data)

    answer = into.client.put(
        PLACE,
        query_string=TERMS,
        input_stream=Slow(CONTENT),
        content_length=len(CONTENT),
        headers=into.bearing("producer"),
    )
    assert answer.status_code == 201
    (arrival,) = seen[0]["arrivals"]
    assert (arrival["alive"], arrival["role"], seen[1]) == (True, "ingest", 404)
