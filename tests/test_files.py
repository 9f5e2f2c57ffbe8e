"""Files go out over HTTP: whole or in part, to those who may have them, and never from a copy that is not good."""

from __future__ import annotations

import hashlib
import os
import random
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from werkzeug.test import Client, TestResponse

from archive.app import assemble
from archive.backbone import copies as copies_module
from archive.backbone.copies import Copies
from archive.backbone.endpoint import Endpoint
from archive.backbone.registrar import register
from archive.bearers import Bearers
from archive.datalink.files import FilesFace
from archive.datalink.given import Given
from archive.faults import FatalFault
from archive.ledger import grants, holdings, incidents, replicas, schema, tokens
from archive.ledger.replicas import Place
from tests.archives import SITE, make
from tests.faces import Scripted

SMALL = b"0123456789"
LARGE = random.Random(3).randbytes(5 * 2**20 + 17)


@dataclass
class Out:
    """An archive that gives files away, and somebody who asks for them."""

    endpoint: Endpoint
    client: Client
    folder: Path

    def add(self, path: str, content: bytes, media_type: str = "application/fits") -> Path:
        """Register a file; gives where it lies."""
        source = self.folder / "source"
        source.write_bytes(content)
        return self.endpoint.config.store / register(self.endpoint, source, path, media_type).path

    def get(self, path: str, method: str = "GET", **headers: str) -> TestResponse:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.open(f"/files/{path}", method=method, headers=names)

    def copies(self, path: str) -> list[replicas.Replica]:
        with self.endpoint.ledger.read() as transaction:
            held = holdings.find(transaction, SITE.uri(path))
            assert held is not None
            return replicas.of(transaction, [held.id])[held.id]

    def incidents(self) -> list[tuple[str, str]]:
        with self.endpoint.ledger.read() as transaction:
            return [(found.kind, found.subject) for found in incidents.open_incidents(transaction)]

    def token(self, actor: str, role: str) -> str:
        with self.endpoint.ledger.write() as transaction:
            grants.add(transaction, actor, role)
            return tokens.create(transaction, actor, role)

    def change(self, table: str, **values: str | None) -> None:
        with self.endpoint.ledger.write() as transaction:
            transaction.execute(update(schema.metadata.tables[table]).values(**values))


@pytest.fixture
def out(tmp_path: Path, data: Path) -> Out:
    endpoint = make(tmp_path / "home", data)
    return Out(endpoint, client(endpoint), tmp_path)


def client(endpoint: Endpoint) -> Client:
    """A server of its own."""
    given = Given(endpoint.site, endpoint.ledger, Bearers(endpoint.ledger))
    face = FilesFace(given, Copies(endpoint.ledger, endpoint.stores))
    return Client(assemble(Scripted(), others=[("/files", face.blueprint())]))


def damaged(path: Path, *, quietly: bool = False) -> None:
    """Flip a bit; ``quietly`` as a disk would, without a trace in the file system."""
    about = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    if quietly:
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


# --- whole files ----------------------------------------------------------------------------------


@pytest.mark.requirement("DMS-DBB-REQ-0047")
@pytest.mark.parametrize("content", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
def test_a_file(out: Out, content: bytes) -> None:
    out.add("dr1/a/image.fits", content)
    answer = out.get("dr1/a/image.fits")
    digest = hashlib.sha256(content)
    assert answer.status_code == 200
    assert answer.data == content
    assert answer.headers["Content-Type"] == "application/fits"
    assert answer.headers["Content-Length"] == str(len(content))
    assert answer.headers["ETag"] == f'"{digest.hexdigest()}"'
    assert answer.headers["Repr-Digest"] == f"sha-256=:{b64encode(digest.digest()).decode()}:"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="image.fits"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Repr-Digest" in answer.headers["Access-Control-Expose-Headers"]
    assert answer.last_modified is not None
    assert abs(datetime.now(UTC) - answer.last_modified) < timedelta(minutes=5)
    head = out.get("dr1/a/image.fits", "HEAD", Range="bytes=2-3")
    assert (head.status_code, head.data) == (200, b"")
    different = {name for name, value in answer.headers.items() if head.headers.get(name) != value}
    assert different == {"X-Request-Id"}


def test_an_older_way_to_ask_for_a_digest(out: Out) -> None:
    out.add("a", SMALL)
    assert "Digest" not in out.get("a").headers
    digest = b64encode(hashlib.sha256(SMALL).digest()).decode()
    assert out.get("a", Want_Digest="adler32, SHA-256;q=0.5").headers["Digest"] == f"SHA-256={digest}"


@pytest.mark.parametrize(
    ("name", "url", "disposition"),
    [
        ("plain", "plain", 'attachment; filename="plain"'),
        ("ü #%?", "%C3%BC%20%23%25%3F", "attachment; filename=\"_ #_?\"; filename*=UTF-8''%C3%BC%20%23%25%3F"),
        ('a"b\\c', "a%22b%5Cc", "attachment; filename=\"a_b_c\"; filename*=UTF-8''a%22b%5Cc"),
        ("a;\tb", "a;%09b", "attachment; filename=\"a;_b\"; filename*=UTF-8''a%3B%09b"),
    ],
)
def test_names(out: Out, name: str, url: str, disposition: str) -> None:
    out.add(f"dr1/{name}", SMALL)
    answer = out.get(f"dr1/{url}")
    assert answer.data == SMALL
    assert answer.headers["Content-Disposition"] == disposition


@pytest.mark.parametrize(
    "path",
    [
        "nothing",
        "",
        "../ledger.sqlite",
        "..%2f..%2fledger.sqlite",
        "%2e%2e/ledger.sqlite",
        "/etc/passwd",
        "staging/",
        "%00",
    ],
)
def test_nothing_else_is_given_away(out: Out, path: str) -> None:
    out.add("a", SMALL)
    answer = out.get(path)
    assert answer.status_code in (404, 308)
    assert b"SQLite" not in answer.data


def test_other_methods(out: Out) -> None:
    out.add("a", SMALL)
    assert out.get("a", "DELETE").status_code == 405
    assert out.get("a").data == SMALL


# --- ranges ---------------------------------------------------------------------------------------

SIZE = len(SMALL)


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=2-5", 2, 5),
        ("BYTES = 2-5", 2, 5),
        ("bytes=5-", 5, 9),
        ("bytes=5-99", 5, 9),
        ("bytes=-1", 9, 9),
        ("bytes=-99", 0, 9),
        ("bytes=0-,", 0, 9),
    ],
)
def test_a_range(out: Out, asked: str, first: int, last: int) -> None:
    out.add("a", SMALL)
    answer = out.get("a", Range=asked)
    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert answer.headers["Content-Length"] == str(last - first + 1)
    assert answer.data == SMALL[first : last + 1]
    assert answer.headers["Repr-Digest"] == out.get("a").headers["Repr-Digest"], "of the whole"


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=0-1,4-5", "bytes=0-0, -1"])
def test_a_range_that_is_not_sent(out: Out, asked: str) -> None:
    out.add("a", SMALL)
    answer = out.get("a", Range=asked)
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"
    assert answer.text.startswith("UsageFault: ")


@pytest.mark.parametrize(
    "asked", ["bytes", "bytes=", "bytes=x", "bytes=5-2", "bytes=-", "lines=1-2", "bytes=1-2,x", "bytes=١-٢"]
)
def test_a_range_that_makes_no_sense_is_ignored(out: Out, asked: str) -> None:
    out.add("a", SMALL)
    answer = out.client.get("/files/a", headers={"Range": asked.encode().decode("latin-1")})
    assert (answer.status_code, answer.data) == (200, SMALL)


def test_ranges_of_an_empty_file(out: Out) -> None:
    out.add("a", b"")
    assert out.get("a", Range="bytes=0-").status_code == 416
    assert (out.get("a", Range="bytes=-5").status_code, out.get("a", Range="bytes=-5").data) == (200, b"")


# --- conditions -----------------------------------------------------------------------------------

ETAG = f'"{hashlib.sha256(SMALL).hexdigest()}"'
BEFORE, AFTER = "Thu, 01 Jan 1998 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If_None_Match": ETAG}, 304),
        ({"If_None_Match": f'"x", W/{ETAG}'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": '"x"'}, 200),
        ({"If_None_Match": '"x"', "If_Modified_Since": AFTER}, 200),
        ({"If_Modified_Since": AFTER}, 304),
        ({"If_Modified_Since": BEFORE}, 200),
        ({"If_Modified_Since": "yesterday"}, 200),
        ({"If_Match": ETAG}, 200),
        ({"If_Match": "*"}, 200),
        ({"If_Match": '"x"'}, 412),
        ({"If_Match": f"W/{ETAG}"}, 412),
        ({"If_Match": ETAG, "If_Unmodified_Since": BEFORE}, 200),
        ({"If_Match": ETAG, "If_None_Match": ETAG}, 304),
        ({"If_Unmodified_Since": BEFORE}, 412),
        ({"If_Unmodified_Since": AFTER}, 200),
        ({"If_Match": '"x"', "Range": "bytes=1-2"}, 412),
        ({"If_None_Match": ETAG, "Range": "bytes=1-2"}, 304),
        ({"If_Range": ETAG, "Range": "bytes=1-2"}, 206),
        ({"If_Range": '"x"', "Range": "bytes=1-2"}, 200),
        ({"If_Range": '"x"', "Range": "bytes=99-"}, 200),
        ({"If_Range": f"W/{ETAG}", "Range": "bytes=1-2"}, 200),
        ({"If_Range": AFTER, "Range": "bytes=1-2"}, 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions(out: Out, method: str, headers: dict[str, str], status: int) -> None:
    out.add("a", SMALL)
    answer = out.get("a", method, **headers)
    expected = 200 if method == "HEAD" and status == 206 else status
    assert answer.status_code == expected
    assert answer.headers["ETag"] == ETAG
    if expected in (304, 412) or method == "HEAD":
        assert answer.data == b""


def test_a_range_if_it_is_of_the_same_date(out: Out) -> None:
    out.add("a", SMALL)
    date = out.get("a").headers["Last-Modified"]
    assert out.get("a", If_Range=date, Range="bytes=1-2").status_code == 206


# --- who, and until when --------------------------------------------------------------------------


def test_proprietary_until_its_day(out: Out) -> None:
    out.add("a", SMALL)
    out.change("artifact", public_from="2100-01-01T00:00:00.000000Z")
    for headers in ({}, {"If_None_Match": ETAG}, {"Range": "bytes=0-1"}):
        for method in ("GET", "HEAD"):
            answer = out.get("a", method, **headers)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert SMALL not in answer.data
            assert "ETag" not in answer.headers
    producer, reader = out.token("pipeline", "producer"), out.token("ada", "reader")
    assert out.get("a", Authorization=f"Bearer {producer}").status_code == 403
    assert out.get("a", Authorization="Bearer 123.wrong").status_code == 401
    answer = out.get("a", Authorization=f"Bearer {reader}")
    assert (answer.status_code, answer.data) == (200, SMALL)
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Vary"] == "Authorization"
    out.change("artifact", public_from="2020-01-01T00:00:00.000000Z")
    answer = out.get("a")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-cache")


def test_retracted(out: Out) -> None:
    out.add("a", SMALL)
    out.change("artifact", retracted="2026-01-02T00:00:00.000000Z")
    answer = out.get("a")
    assert answer.status_code == 410
    assert "was retracted on 2026-01-02" in answer.text


# --- only from good copies --------------------------------------------------------------------------


def lengthened(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shortened(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


@pytest.mark.requirement("DMS-DBB-REQ-0035")
@pytest.mark.parametrize("harm", [damaged, lengthened, shortened])
@pytest.mark.parametrize("asked", [{}, {"Range": "bytes=0-1"}, {"Range": "bytes=-1"}], ids=["whole", "head", "tail"])
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_a_damaged_copy(out: Out, content: bytes, asked: dict[str, str], harm: Callable[[Path], None]) -> None:
    path = out.add("a", content)
    assert out.get("a").data == content
    harm(path)
    if content is LARGE and harm is damaged and not asked:
        answer = out.client.get("/files/a", buffered=False)
        with pytest.raises(FatalFault, match="damaged"):
            list(answer.response)
    else:
        answer = out.get("a", **asked)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "60"
    assert [copy.has for copy in out.copies("a")] == ["bad"]
    assert out.incidents() == [("bad-copy", SITE.uri("a"))]
    for method in ("GET", "HEAD"):
        assert out.get("a", method).status_code == 503
    assert Client(client(out.endpoint).application).get("/files/a").status_code == 503, "in no other process either"


def test_what_is_sent_of_a_damaged_copy_is_never_all(out: Out) -> None:
    """The client gets fewer bytes than it was told, so it knows."""
    path = out.add("a", LARGE)
    damaged(path)
    answer = out.client.get("/files/a", buffered=False)
    got: list[bytes] = []
    with pytest.raises(FatalFault):
        got.extend(answer.response)
    assert 0 < sum(map(len, got)) < len(LARGE) == int(answer.headers["Content-Length"])


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_another_copy_is_taken(out: Out, content: bytes) -> None:
    path = out.add("a", content)
    other = out.endpoint.stores["main"]
    staged = other.stage("me")
    staged.write(content)
    staged.commit("elsewhere")
    with out.endpoint.ledger.write() as transaction:
        held = holdings.find(transaction, SITE.uri("a"))
        assert held is not None
        replicas.add(transaction, {held.id: Place("second", "elsewhere", fingerprint=staged.fingerprint)})
    shortened(path)
    ledger = out.endpoint.ledger
    face = FilesFace(Given(SITE, ledger, Bearers(ledger)), Copies(ledger, {"main": other, "second": other}))
    answer = Client(assemble(Scripted(), others=[("/files", face.blueprint())])).get("/files/a")
    assert (answer.status_code, answer.data) == (200, content)
    assert [copy.has for copy in out.copies("a")] == ["bad", "present"]


def test_a_copy_that_is_gone_is_for_people_to_judge(out: Out) -> None:
    path = out.add("a", SMALL)
    path.rename(out.folder / "away")
    assert out.get("a").status_code == 503
    assert [copy.has for copy in out.copies("a")] == ["present"]
    assert out.incidents() == [("missing-copy", SITE.uri("a"))]
    (out.folder / "away").rename(path)
    assert out.get("a").data == SMALL


def test_a_store_that_is_not_mounted_condemns_nothing(out: Out) -> None:
    out.add("a", SMALL)
    store = out.endpoint.config.store
    store.rename(out.folder / "unmounted")
    assert out.get("a").status_code == 503
    assert out.incidents() == []
    (out.folder / "unmounted").rename(store)
    assert out.get("a").data == SMALL


def test_a_copy_touched_but_unharmed_is_checked_once(out: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    path = out.add("a", LARGE)
    os.utime(path)
    checks = counted(monkeypatch)
    assert out.get("a", Range="bytes=5-6").data == LARGE[5:7]
    assert len(checks) == 1
    assert client(out.endpoint).get("/files/a").data == LARGE
    assert len(checks) == 1, "the ledger knows"


def test_damage_beneath_the_file_system_is_found_by_the_first_whole_read_of_a_day(out: Out) -> None:
    path = out.add("a", LARGE)
    damaged(path, quietly=True)
    out.change("replica", checked="2026-01-01T00:00:00.000000Z")
    answer = client(out.endpoint).get("/files/a", buffered=False)
    with pytest.raises(FatalFault, match="damaged"):
        list(answer.response)
    assert [copy.has for copy in out.copies("a")] == ["bad"]


def test_a_file_just_ingested_is_not_read_twice(out: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    out.add("a", LARGE)
    out.endpoint.store.open(out.copies("a")[0].place.path).close()
    checks = counted(monkeypatch)
    assert out.get("a").data == LARGE
    assert out.get("a", Range="bytes=1-2").data == LARGE[1:3]
    assert checks == []


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The whole checks from now on."""
    checks: list[str] = []
    end = copies_module._Checking.end

    def counting(checking: copies_module._Checking) -> None:
        checks.append("check")
        end(checking)

    monkeypatch.setattr(copies_module._Checking, "end", counting)
    return checks


def test_a_member_of_a_bundle(out: Out) -> None:
    whole = b"head" + SMALL + b"tail"
    path = out.add("bundle", whole)
    out.add("member", SMALL)
    with out.endpoint.ledger.write() as transaction:
        bundle, member = (holdings.find(transaction, SITE.uri(name)) for name in ("bundle", "member"))
        assert bundle is not None
        assert member is not None
        place = Place("main", bundle.copies[0].place.path, bundle=bundle.id, offset=4)
        replicas.add(transaction, {member.id: place})
    assert out.get("member").data == SMALL
    assert out.get("member", Range="bytes=-3").data == b"789"
    assert out.get("bundle").data == whole
    os.truncate(path, 10)
    assert out.get("member").status_code == 503
    assert [copy.has for copy in out.copies("member")] == ["bad"]
