"""An archive at work: pipelines bring files in, operators look after it, and nobody notices."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Site

TERMS = "type=other&release=dr1&collection=logs"


@pytest.fixture(scope="module")
def token(site: Site) -> str:
    """A producer's."""
    site.run("grant", "add", "pipeline", "producer")
    made: str = site.json("token", "create", "pipeline", "--role", "producer", "--days", "1")["token"]
    return made


def put(site: Site, name: str, body: bytes | Iterator[bytes], token: str | None) -> tuple[int, Any]:
    """Status and body of a PUT; a body that comes piece by piece is sent in chunks."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    connection.request("PUT", f"/files/dr1/logs/{name}?{TERMS}", body, headers, encode_chunked=True)
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    return answer.status, json.loads(said) if answer.headers["Content-Type"] == "application/json" else said.decode()


def refused(site: Site, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(site.command(*arguments), env=site.environment(), capture_output=True, text=True)
    return done.returncode, done.stderr


def test_pipelines_bring_files_in(site: Site, token: str) -> None:
    content = bytes(range(256)) * 40_000
    status, facts = put(site, "whole.bin", content, token)
    assert (status, facts["sha256"]) == (201, hashlib.sha256(content).hexdigest())
    assert site.get("files/dr1/logs/whole.bin")[2] == content
    assert put(site, "whole.bin", content, token)[0] == 200
    assert put(site, "whole.bin", b"other", token)[0] == 409
    newest = json.loads(site.run("--json", "log", "--subject", facts["uri"]).splitlines()[-1])
    assert (newest["kind"], newest["actor"]) == ("artifact", "pipeline")


def test_a_body_in_chunks(site: Site, token: str) -> None:
    status, facts = put(site, "chunks.bin", (b"x" * 10_000 for _ in range(100)), token)
    assert (status, facts["size"]) == (201, 1_000_000)


def test_strangers_are_asked_who_they_are(site: Site) -> None:
    status, said = put(site, "stranger.bin", b"x" * 100_000, None)
    assert status == 401
    assert "token" in said
    assert site.get("files/dr1/logs/stranger.bin")[0] == 404
    assert site.get("staff/status")[0] == 401


def test_a_sender_that_vanishes_leaves_nothing(site: Site, token: str) -> None:
    with socket.create_connection(("127.0.0.1", site.port)) as connection:
        head = f"PUT /files/dr1/logs/half.bin?{TERMS} HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n"
        connection.sendall(f"{head}Authorization: Bearer {token}\r\n\r\n".encode() + b"x" * 4_000_000)
        within(lambda: site.json("status")["arrivals"] != [])
    within(lambda: site.json("status")["arrivals"] == [])
    assert site.get("files/dr1/logs/half.bin")[0] == 404
    assert put(site, "half.bin", b"now it is whole", token)[0] == 201


def test_no_secret_is_written_down(site: Site, token: str) -> None:
    """Neither in the server's log nor in any file of the archive, nor in its log of events."""
    secret = token.partition(".")[2]
    put(site, "secret.bin", b"x", token)
    put(site, "secret.bin", b"other", token)
    put(site, "secret.bin", b"x", f"{token}x")
    assert secret not in site.home.with_name("serve.log").read_text(errors="replace")
    assert secret not in site.run("--json", "log")
    for path in (path for path in site.home.rglob("*") if path.is_file()):
        assert secret.encode() not in path.read_bytes(), path


def test_a_healthy_archive_and_its_backup(site: Site, tmp_path: Path) -> None:
    assert site.json("doctor")["worst"] == "good"
    made = site.json("backup", str(tmp_path / "backup"), "--files")
    assert made["files"] > 5
    assert made["seconds"] > 0
    assert len(list((tmp_path / "backup" / "files").rglob("*"))) > 5


def test_nothing_is_upgraded_or_restored_under_a_server(site: Site, tmp_path: Path) -> None:
    assert "up to date" in site.run("upgrade")
    site.run("backup", str(tmp_path / "backup"))
    code, said = refused(site, "restore", str(tmp_path / "backup"))
    assert (code, "There is an archive already" in said) == (2, True)


def test_another_layout_is_not_served(tmp_path: Path) -> None:
    from archive.backbone.upgrading import stores_of
    from archive.config import Config
    from archive.ledger.migrations import migrate

    site = Site(tmp_path / "old", 1)
    layout, url = stores_of(Config(home=site.home))[0]
    migrate(url, layout, to=1)
    for verb in ("serve", "work"):
        code, said = refused(site, verb)
        assert (code, "archive upgrade" in said) == (70, True)


def within(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until ``holds``, not for ever."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)
