"""``archive serve`` as a process: it says where it is, is seen in the ledger, takes long queries, leaves cleanly."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.e2e.conftest import Site, free_port, wait_for

pytestmark = pytest.mark.service


class Served(Site):
    """An archive without tables and its server; ``log`` holds all that the server said."""

    def start(self) -> None:
        self.log.write_bytes(b"")
        command = self.command("serve", "--port", str(self.port), "--workers", "2")
        with self.log.open("wb") as log:
            process = subprocess.Popen(command, env=self.environment(), stdout=log, stderr=log)
        object.__setattr__(self, "process", process)
        wait_for(self, process, self.log)

    @property
    def log(self) -> Path:
        return self.home.parent / "serve.log"

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def attending(self) -> list[tuple[str, int]]:
        """Role and oldest served revision of each process that the ledger knows of."""
        ledger = sqlite3.connect(self.home / "ledger.sqlite")
        try:
            return ledger.execute("SELECT role, revision FROM process ORDER BY 1").fetchall()
        finally:
            ledger.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    site = Served(tmp_path_factory.mktemp("served") / "archive", free_port())
    site.run("init", "--authority", "archive.test", "--publisher", "Tests", "--contact", "tests@archive.test")
    site.start()
    yield site
    site.process.kill()
    site.process.wait()


def until(holds: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def test_it_says_where_it_is(served: Served) -> None:
    said = served.log.read_text()
    assert f"{served.url}/" in said
    assert f'pyvo.dal.TAPService("{served.tap}")' in said


def test_it_names_itself_and_not_its_parts(served: Served) -> None:
    with urllib.request.urlopen(f"{served.tap}/availability") as answer:
        assert answer.headers["Server"].startswith("archive/")
        assert b"available>true<" in answer.read()


def test_a_long_query_may_come_in_the_address(served: Served) -> None:
    text = f"SELECT COUNT(*) AS n FROM TAP_SCHEMA.tables WHERE schema_name = 'TAP_SCHEMA' -- {'x' * 100_000}"
    status, media, body = served.get(f"tap/sync?{urlencode({'LANG': 'ADQL', 'QUERY': text, 'FORMAT': 'csv'})}")
    assert (status, media, body.split()) == (200, "text/csv;header=present", [b"n", b"5"])


def test_its_processes_are_known_while_they_serve_and_forgotten_after(served: Served) -> None:
    assert until(lambda: [role for role, _ in served.attending()].count("serve") == 2), served.attending()
    assert {revision for role, revision in served.attending() if role == "serve"} == {0}
    assert served.stop() == 0
    assert served.attending() == []
    assert "Traceback" not in served.log.read_text()
    assert "leaked" not in served.log.read_text()
