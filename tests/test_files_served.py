"""Downloads from a server as a process: side by side in flat memory, resumed, and broken off when a copy is damaged."""

from __future__ import annotations

import hashlib
import http.client
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from archive.backbone.endpoint import Endpoint
from archive.backbone.registrar import register
from archive.config import Config
from archive.ledger import schema
from tests.e2e.conftest import Site, free_port, serving

pytestmark = pytest.mark.service

LARGE = random.Random(5).randbytes(24 * 2**20)
MEGABYTE = 2**20


class Roomy(Site):
    """Has room for all: where it is crowded, clients that rest for two seconds are sent away (archive/visits.py)."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"ARCHIVE_REQUESTS": "200"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("files") / "archive"
    site = Roomy(home, free_port())
    site.run("init", "--authority", "archive.test", "--publisher", "Tests", "--contact", "tests@archive.test")
    with serving(site, "--workers", "1", "--no-work"):
        yield site


def add(site: Site, name: str, content: bytes) -> Path:
    """Register a file; gives where it lies."""
    source = site.home.parent / "source"
    source.write_bytes(content)
    with Endpoint.open(Config(home=site.home)) as endpoint:
        return endpoint.config.store / register(endpoint, source, name, "application/octet-stream").path


def get(site: Site, name: str, **headers: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
    connection.request("GET", f"/files/{name}", headers=headers)
    return connection, connection.getresponse()


def resident(site: Site) -> int:
    """Bytes of memory that the worker of the server has."""
    (worker,) = [
        process
        for process in Path("/proc").glob("[0-9]*")
        if str(site.port) in _words(process) and _parent(process) in _servers(site)
    ]
    pages = int((worker / "statm").read_text().split()[1])
    return pages * 4096


def _servers(site: Site) -> set[str]:
    return {process.name for process in Path("/proc").glob("[0-9]*") if str(site.port) in _words(process)}


def _words(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _parent(process: Path) -> str:
    return (process / "stat").read_text().rpartition(")")[2].split()[1]


@pytest.mark.requirement("DMS-DBB-REQ-0047")
@pytest.mark.parametrize("checked", [True, False], ids=["sent by the system", "hashed on its way"])
def test_a_hundred_at_once_in_flat_memory(site: Site, checked: bool) -> None:
    name = f"flat/{checked}"
    add(site, name, LARGE)
    if not checked:
        with Endpoint.open(Config(home=site.home)) as endpoint, endpoint.ledger.write() as transaction:
            transaction.execute(sa.update(schema.replica).values(checked="2020-01-01T00:00:00.000000Z"))
    get(site, "nothing")
    before, most = resident(site), 0
    digests: list[str] = []

    def download() -> None:
        connection, answer = get(site, name)
        digest = hashlib.sha256()
        while piece := answer.read(MEGABYTE):
            digest.update(piece)
        connection.close()
        digests.append(digest.hexdigest())

    threads = [threading.Thread(target=download) for _ in range(100)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most = max(most, resident(site))
        time.sleep(0.05)
    assert digests == [hashlib.sha256(LARGE).hexdigest()] * 100
    assert most - before < (64 if checked else 400) * MEGABYTE, "100 whole files would be 2.4 GiB"


def test_a_download_is_resumed(site: Site) -> None:
    add(site, "resumed", LARGE)
    connection, answer = get(site, "resumed")
    etag = answer.headers["ETag"]
    got = answer.read(5 * MEGABYTE)
    connection.close()
    connection, answer = get(site, "resumed", Range=f"bytes={len(got)}-", **{"If-Range": etag})
    assert answer.status == 206
    assert got + answer.read() == LARGE
    connection.request("HEAD", "/files/resumed")
    head = connection.getresponse()
    head.read()
    assert head.headers["Content-Length"] == str(len(LARGE))
    connection.request("GET", "/files/resumed", headers={"Range": "bytes=-7"})
    assert connection.getresponse().read() == LARGE[-7:], "over the same connection"


def test_a_download_of_a_damaged_copy_is_broken_off(site: Site) -> None:
    path = add(site, "damaged", LARGE)
    with path.open("r+b") as file:
        file.seek(len(LARGE) - 9)
        file.write(b"!")
    _, answer = get(site, "damaged")
    assert answer.status == 200
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        answer.read()
    _, again = get(site, "damaged")
    assert again.status == 503
    assert again.headers["Retry-After"] == "60"


def test_names_that_lead_elsewhere(site: Site) -> None:
    for path in ("../../ledger.sqlite", "..%2f..%2fledger.sqlite", "%2e%2e/%2e%2e/ledger.sqlite", "/%2fetc/passwd"):
        _, answer = get(site, path)
        assert answer.status in (308, 404), path
        assert b"SQLite format" not in answer.read()


def test_a_client_that_leaves_is_forgotten(site: Site) -> None:
    add(site, "left", LARGE)
    for _ in range(5):
        connection, answer = get(site, "left")
        answer.read(1000)
        connection.close()
    assert site.get("files/left")[2] == LARGE
