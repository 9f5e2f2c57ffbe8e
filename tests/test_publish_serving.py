"""Publishing again and again while real server processes answer: no answer fails, none mixes two publications."""

from __future__ import annotations

import csv
import io
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest
import requests
from sqlalchemy import Connection, select

from archive.backbone import catalogs
from archive.backbone.endpoint import Endpoint
from archive.backbone.publish import publish, remove_retired
from archive.backbone.registrar import Arrival
from archive.ledger import files, schema
from archive.ledger.files import Part, State
from tests.archives import make

PUBLICATIONS = 200
READERS = 8
SERVERS = 2
ROWS = 300
TABLES = ("one", "two")

TOGETHER = """
SELECT MIN(a.generation) AS a_low, MAX(a.generation) AS a_high,
       MIN(b.generation) AS b_low, MAX(b.generation) AS b_high, COUNT(*) AS n
FROM sp_twin.one AS a JOIN sp_twin.two AS b ON a.id = b.id
"""
ALL = "SELECT a.generation, b.generation FROM sp_twin.one AS a JOIN sp_twin.two AS b ON a.id = b.id"


def write_generation(endpoint: Endpoint, generation: int) -> None:
    """Make both tables' next states: the same ids, all rows of this generation and no others."""
    registered = catalogs.described(endpoint, "sp_twin")
    ids, same = pa.array(range(ROWS), pa.int32()), pa.array([generation] * ROWS, pa.int32())
    with Arrival(endpoint) as ingest:
        parts = {}
        for table in TABLES:
            rows = pa.record_batch({"id": ids, "generation": same})
            (part,) = catalogs.write_parts(ingest, registered.release.table(table), [rows], {}, 1 << 20)
            artifact = ingest.name(part.staged, f"parts/sp_twin/{table}/{generation}.parquet", "parquet")
            parts[table] = Part(artifact, ROWS, None, None)

        def replace(transaction: Connection) -> None:
            for table, part in parts.items():
                before = files.newest_state(transaction, ("sp_twin", table))
                state = files.append_rows(transaction, before, registered.id, [], [part])
                forget_older_parts(transaction, state)

        ingest.commit(replace)


def forget_older_parts(transaction: Connection, state: State) -> None:
    """Leave the state its newest part alone, as no load does yet."""
    place = schema.state_part
    of_state = (place.c.table == state.table) & (place.c.state == state.number)
    parts = transaction.execute(select(place.c.part).where(of_state).order_by(place.c.position)).scalars().all()
    transaction.execute(place.delete().where(of_state & (place.c.part != parts[-1])))


@pytest.fixture
def endpoint(tmp_path: Path, data: Path) -> Iterator[Endpoint]:
    with make(tmp_path / "home", data, grace=1.0, heartbeat=0.5) as endpoint:
        (endpoint.config.home / "archive.toml").write_text("grace = 1.0\nheartbeat = 0.5\n")
        write_generation(endpoint, 0)
        publish(endpoint, "sp_twin")
        yield endpoint


@pytest.fixture
def address(endpoint: Endpoint) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    archive = str(Path(sys.executable).parent / "archive")
    command = [archive, "--home", str(endpoint.config.home), "serve", "--port", str(port), "--workers", str(SERVERS)]
    with (endpoint.config.home / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait(f"http://127.0.0.1:{port}/tap/availability", server)
        yield f"http://127.0.0.1:{port}/tap/sync"
    finally:
        server.terminate()
        server.wait(timeout=60)


def wait(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert server.poll() is None
        try:
            if requests.get(url, timeout=5).status_code == 200:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    pytest.fail("the server did not come up")


@dataclass
class Reader:
    """Asks the same things again and again and keeps what was wrong."""

    address: str
    stop: threading.Event
    answers: int = 0
    generations: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    def run(self) -> None:
        with requests.Session() as session:
            while not self.stop.is_set() and len(self.wrong) < 5:
                for query in (TOGETHER, ALL):
                    self.ask(session, query)
                time.sleep(0.05)  # leaves the machine some time for publishing

    def ask(self, session: requests.Session, query: str) -> None:
        try:
            answer = session.post(self.address, {"LANG": "ADQL", "FORMAT": "csv", "QUERY": query}, timeout=60)
        except requests.RequestException as error:
            self.wrong.append(f"no answer: {error}")
            return
        self.answers += 1
        rows = list(csv.reader(io.StringIO(answer.text)))
        if answer.status_code != 200:
            self.wrong.append(f"{answer.status_code}: {answer.text[:500]}")
        elif query == TOGETHER:
            self.check(rows[1][:4], rows[1][4])
        else:
            self.check([value for row in rows[1:] for value in row], str(len(rows) - 1))

    def check(self, generations: list[str], rows: str) -> None:
        if len(set(generations)) != 1 or rows != str(ROWS):
            self.wrong.append(f"mixed: generations {sorted(set(generations))} in {rows} rows")
        self.generations |= {int(value) for value in set(generations)}


@pytest.mark.service
@pytest.mark.requirement("DMS-DBB-REQ-0056")
def test_no_answer_fails_or_mixes_while_all_is_published_again_and_again(endpoint: Endpoint, address: str) -> None:
    stop = threading.Event()
    readers = [Reader(address, stop) for _ in range(READERS)]
    threads = [threading.Thread(target=reader.run) for reader in readers]
    for thread in threads:
        thread.start()
    try:
        for generation in range(1, PUBLICATIONS + 1):
            write_generation(endpoint, generation)
            publish(endpoint, "sp_twin")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert [wrong for reader in readers for wrong in reader.wrong] == []
    assert all(reader.answers > 10 for reader in readers)
    seen = set().union(*(reader.generations for reader in readers))
    assert len(seen) > PUBLICATIONS / 10, "readers must have met many of the publications"
    assert_tidy(endpoint)


def assert_tidy(endpoint: Endpoint) -> None:
    """Once the servers are past them, all editions but the last two are removed."""
    for _ in range(100):
        remove_retired(endpoint)
        left = list(endpoint.config.editions.glob("*.duckdb"))
        if len(left) == len(TABLES):
            return
        time.sleep(0.1)
    pytest.fail(f"{len(left)} editions are left")
