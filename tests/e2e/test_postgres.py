"""Crowds and departures where all is in one PostgreSQL; all else that clients see stands in the tests of ``site``."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa

from tests import clusters
from tests.e2e.conftest import PostgresSite, fill, free_port, serving

pytestmark = pytest.mark.service

STREAM = "SELECT a.star_id, a.ra, b.dec FROM ext_tycho2.star AS a, ext_tycho2.star AS b"
SILENT = f"{STREAM} WHERE SIN(a.ra * b.dec) > 2"
CONE = "SELECT star_id FROM ext_tycho2.star WHERE DISTANCE(ra, dec, {ra}, {dec}) < 1"
CLIENTS = 100


CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[PostgresSite]:
    home = tmp_path_factory.mktemp("crowds")
    made = PostgresSite(home / "archive", free_port(), clusters.database(home))
    fill(made, data)
    with serving(made, "--workers", "2"):
        yield made


@pytest.fixture(scope="module")
def database(site: PostgresSite) -> Iterator[sa.Connection]:
    engine = sa.create_engine(site.database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection


def at_work(database: sa.Connection) -> int:
    """How many statements of queries run."""
    running = "query LIKE 'COPY%' AND state = 'active' AND datname = current_database()"
    return int(database.scalar(sa.text(f"SELECT count(*) FROM pg_stat_activity WHERE {running}")))


def until(state: Callable[[], bool], seconds: float = 30) -> float:
    """Seconds until ``state`` holds."""
    began = time.monotonic()
    while not state():
        if time.monotonic() - began > seconds:
            pytest.fail(f"not within {seconds} s")
        time.sleep(0.02)
    return time.monotonic() - began


def begin(site: PostgresSite, query: str, window: int | None = None) -> socket.socket:
    """A query whose answer nobody has read yet; ``window``: and little of which can be sent."""
    client = socket.socket()
    if window is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    client.connect(("127.0.0.1", site.port))
    body = urlencode({"LANG": "ADQL", "QUERY": query, "MAXREC": "2000000000"}).encode()
    head = "POST /tap/sync HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return client


def counted(site: PostgresSite, query: str) -> tuple[int, int]:
    """Status and lines of the answer as CSV."""
    status, _, body = site.get("tap/sync?" + urlencode({"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": "csv"}))
    return status, len(body.splitlines())


def answered(site: PostgresSite, query: str) -> tuple[int, int]:
    """As ``counted``, coming again where the answer is 503: on a machine that is busy otherwise turns are few."""
    for _ in range(20):
        status, lines = counted(site, query)
        if status != 503:
            break
        time.sleep(1)
    return status, lines


@pytest.mark.parametrize("read", [0, 1_000, 20_000_000], ids=["before a byte", "soon", "in the middle"])
def test_who_leaves_has_the_statement_cancelled(read: int, site: PostgresSite, database: sa.Connection) -> None:
    """Also while rows are fetched ahead, and while nothing is read of them."""
    client = begin(site, STREAM if read else SILENT)
    until(lambda: at_work(database) == 1)
    while read > 0:
        read -= len(client.recv(1 << 16))
    time.sleep(1)
    assert at_work(database) == 1
    client.close()
    assert until(lambda: at_work(database) == 0) < 5  # within a second on a machine that has nothing else to do


def test_a_hundred_clients_at_once_are_all_answered(site: PostgresSite, database: sa.Connection) -> None:
    expected = {n: answered(site, CONE.format(ra=n * 3.6, dec=n - 50)) for n in range(CLIENTS)}
    found: list[tuple[int, tuple[int, int]]] = []
    most = 0

    def ask(first: int) -> None:
        for n in range(first, first + 5):
            cone = CONE.format(ra=n % CLIENTS * 3.6, dec=n % CLIENTS - 50)
            found.append((n % CLIENTS, answered(site, cone)))

    crowd = [threading.Thread(target=ask, args=(n,)) for n in range(CLIENTS)]
    for thread in crowd:
        thread.start()
    while any(thread.is_alive() for thread in crowd):
        most = max(most, int(database.scalar(sa.text(CONNECTIONS)) or 0))
        time.sleep(0.05)
    assert len(found) == 5 * CLIENTS
    assert all(told == expected[n] and told[0] == 200 for n, told in found)
    assert most < 50, "a server takes a hundred connections at most unless told otherwise"


def test_a_hundred_readers_that_stall_cost_nobody_else_an_answer(site: PostgresSite, database: sa.Connection) -> None:
    crowd = [begin(site, STREAM, window=4096) for _ in range(CLIENTS)]
    try:
        for n in range(5):
            status, _ = counted(site, CONE.format(ra=n, dec=n))
            assert status in (200, 503)  # 503 and when to come again, as long as all turns are taken
    finally:
        for client in crowd:
            client.close()
    until(lambda: at_work(database) == 0)
    assert answered(site, CONE.format(ra=1, dec=1))[0] == 200
