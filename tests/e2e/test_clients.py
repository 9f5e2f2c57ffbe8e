"""Clients that leave, stall or crowd in, and servers that lose a process: everybody else is served all the same."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.e2e.conftest import Site, free_port, wait_for

pytestmark = pytest.mark.service

SMALL = "SELECT COUNT(*) AS n FROM TAP_SCHEMA.tables"
ENDLESS = (
    "SELECT SUM(SIN(a.ra * b.dec * c.ra)) AS s FROM ext_tycho2.star AS a, ext_tycho2.star AS b, ext_tycho2.star AS c"
)
LARGE = "SELECT a.*, b.ra AS r FROM ext_tycho2.star AS a, ext_tycho2.star AS b"
STREAM = (
    "SELECT a.*, b.description AS more FROM TAP_SCHEMA.columns AS a, TAP_SCHEMA.columns AS b, TAP_SCHEMA.columns AS c"
)
SETTINGS = {
    "ARCHIVE_REQUESTS": "16",
    "ARCHIVE_STALL_SECONDS": "30",
    "ARCHIVE_TURN_SECONDS": "2",
    "ARCHIVE_LONG_QUERIES": "2",
    "ARCHIVE_TRUSTED_PROXIES": "127.0.0.9/32",
}


class Server:
    """``archive serve`` over a small archive, and what can be seen of it from outside."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.log = site.home.parent / "serve.log"
        environment = {name: text for name, text in site.environment().items() if name != "ARCHIVE_PUBLIC_URL"}
        command = site.command("serve", "--port", str(site.port), "--workers", "2")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=environment | SETTINGS, stdout=log, stderr=log)
        wait_for(site, self.process, self.log)

    def workers(self) -> list[int]:
        """The processes that answer."""
        ledger = sqlite3.connect(self.site.home / "ledger.sqlite")
        try:
            rows = ledger.execute("SELECT pid FROM process WHERE role = 'serve'").fetchall()
        finally:
            ledger.close()
        return [pid for (pid,) in rows if Path(f"/proc/{pid}").exists()]

    def ask(self, query: str, headers: dict[str, str] | None = None, **parameters: str) -> tuple[int, Any, bytes]:
        """Status, headers and body of a query."""
        connection = http.client.HTTPConnection("127.0.0.1", self.site.port, timeout=30)
        try:
            connection.request("POST", "/tap/sync", _form(query, **parameters), _FORM | (headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def begin(self, query: str, window: int | None = None, **parameters: str) -> socket.socket:
        """A query sent over a connection whose answer nobody has read yet; ``window``: and hardly can be sent."""
        client = socket.socket()
        if window is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        client.connect(("127.0.0.1", self.site.port))
        body = _form(query, **parameters).encode()
        head = f"POST /tap/sync HTTP/1.1\r\nHost: x\r\nContent-Type: {_FORM['Content-Type']}\r\n"
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return client

    def notes(self, text: str) -> list[tuple[str, str, int, int]]:
        """Outcome, request, rows and bytes of the queries with this text in the query log."""
        log = sqlite3.connect(self.site.home / "queries.sqlite")
        try:
            return log.execute(
                "SELECT outcome, request, rows, bytes FROM query_log WHERE text = ? ORDER BY id", (text,)
            ).fetchall()
        finally:
            log.close()

    def number(self, name: str) -> float:
        """The sum of a number of /metrics over its labels."""
        _, _, body = self.site.get("metrics")
        return sum(float(line.rpartition(" ")[2]) for line in body.decode().splitlines() if line.startswith(name))


_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def _form(query: str, **parameters: str) -> str:
    return urlencode({"LANG": "ADQL", "QUERY": query} | parameters)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Server]:
    site = Site(tmp_path_factory.mktemp("clients") / "archive", free_port())
    site.run("init", "--authority", "archive.test", "--publisher", "Tests", "--contact", "tests@archive.test")
    site.run("load", "ext_tycho2", "star", str(data / "sample" / "ext_tycho2.star.parquet"))
    site.run("publish", "ext_tycho2")
    server = Server(site)
    yield server
    server.process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        server.process.wait(60)
    server.process.kill()
    server.process.wait()


def until(holds: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


@contextmanager
def clients(
    server: Server, count: int, query: str, window: int | None = None, **parameters: str
) -> Iterator[list[socket.socket]]:
    """So many connections with a query under way."""
    opened = [server.begin(query, window, **parameters) for _ in range(count)]
    try:
        yield opened
    finally:
        for client in opened:
            client.close()


def _answered(crowd: list[socket.socket]) -> list[socket.socket]:
    """Those whose answer has come."""
    return select.select(crowd, [], [], 0)[0]


def test_a_client_that_leaves_before_the_first_byte_stops_its_statement(server: Server) -> None:
    query = f"{ENDLESS} WHERE a.ra > 1"
    client = server.begin(query)
    assert until(lambda: server.number("archive_queries_under_way") >= 1)
    time.sleep(1)
    client.close()
    left = time.monotonic()
    assert until(lambda: server.number("archive_queries_under_way") == 0)
    assert time.monotonic() - left < 5  # within a second on a machine that has nothing else to do
    assert until(lambda: [outcome for outcome, *_ in server.notes(query)] == ["GONE"])


def test_a_client_that_leaves_in_the_middle_stops_its_statement(server: Server) -> None:
    query = f"{LARGE} WHERE a.ra > 2"
    client = server.begin(query, MAXREC="100000000")
    client.recv(1000)
    client.close()
    assert until(lambda: [outcome for outcome, *_ in server.notes(query)] == ["GONE"])
    assert server.number("archive_queries_under_way") == 0


def test_readers_that_stall_are_let_go_and_others_are_served(server: Server) -> None:
    """The server has room for 32 requests: were those not let go, nobody else would come in."""
    with clients(server, 100, STREAM, 4096, MAXREC="100000000"):
        assert until(lambda: len(server.notes(STREAM)) >= 20)
        for _ in range(5):
            began = time.monotonic()
            assert server.ask(SMALL)[0] == 200
            assert time.monotonic() - began < 25
    assert until(lambda: server.number("archive_queries_under_way") == 0)
    assert {outcome for outcome, *_ in server.notes(STREAM)} == {"GONE"}


def test_too_many_long_queries_are_turned_away_with_advice_and_short_ones_are_answered(server: Server) -> None:
    query = f"{ENDLESS} WHERE a.ra > 4"
    with clients(server, 8, query) as crowd:
        assert server.ask(SMALL)[0] == 200
        assert until(lambda: len(_answered(crowd)) >= 6)  # each of the two processes has one turn for an address
        for client in _answered(crowd):
            answer = http.client.HTTPResponse(client)
            answer.begin()
            assert answer.status == 429
            assert int(answer.headers["Retry-After"]) > 0
            assert b"TransientFault: 1 other queries from your address" in answer.read()
        assert server.ask(SMALL)[0] == 200
    assert until(lambda: server.number("archive_queries_under_way") == 0)


def test_a_killed_process_takes_only_its_own_requests_and_returns(server: Server) -> None:
    before = server.workers()
    client = server.begin(f"{ENDLESS} WHERE a.ra > 5")
    time.sleep(1)
    os.kill(before[0], signal.SIGKILL)
    assert until(lambda: server.ask(SMALL)[0] == 200)
    assert until(lambda: len(set(server.workers()) - {before[0]}) == 2)
    assert [server.ask(SMALL)[0] for _ in range(20)] == [200] * 20
    client.close()
    assert until(lambda: server.number("archive_queries_under_way") == 0)


def test_processes_are_renewed_without_a_request_that_fails(server: Server) -> None:
    before = set(server.workers())
    answers: list[int] = []
    over = threading.Event()

    def keep_asking() -> None:
        while not over.is_set():
            answers.append(server.ask(SMALL)[0])

    askers = [threading.Thread(target=keep_asking) for _ in range(4)]
    for asker in askers:
        asker.start()
    server.process.send_signal(signal.SIGHUP)
    renewed = until(lambda: len(set(server.workers()) - before) == 2 and not before & set(server.workers()), 60)
    over.set()
    for asker in askers:
        asker.join()
    assert renewed
    assert set(answers) == {200}


def test_what_was_asked_is_noted_under_the_name_of_the_request(server: Server) -> None:
    query = f"{SMALL} WHERE 6 = 6"
    status, headers, body = server.ask(query, {"X-Request-Id": "mine-6"}, RESPONSEFORMAT="csv")
    assert (status, headers["X-Request-Id"]) == (200, "mine-6")
    assert until(lambda: server.notes(query) == [("OK", "mine-6", 1, len(body))])
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    (line,) = (line for line in lines if line.get("request") == "mine-6")
    assert (line["event"], line["status"], line["rows"], line["outcome"]) == ("request", 200, 1, "OK")
    assert server.number("archive_rows_total") >= 1


def test_only_a_trusted_proxy_says_where_requests_come_from(server: Server) -> None:
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "sky.example.org", "X-Forwarded-For": "192.0.2.7"}

    def base(source: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", server.site.port, source_address=(source, 0), timeout=30)
        connection.request("GET", "/tap/capabilities", headers=forwarded)
        text = connection.getresponse().read().decode()
        connection.close()
        return text

    assert "https://sky.example.org/tap" in base("127.0.0.9")
    assert "sky.example.org" not in base("127.0.0.8")
