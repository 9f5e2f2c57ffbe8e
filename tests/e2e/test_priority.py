"""Users press, files come in, a release is published again and again, all files are checked; on one machine, at once.

What each side gets done is counted, never timed: first each works alone for a while, which tells how much it does; then
all work together until each has done its floor. The quickest may have done many times as much by then, but not without
bounds: that would mean that another one is kept from its work. A slow or a busy machine slows all of them down.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from archive.backbone import catalogs, gathering
from archive.backbone.ingest import ingest
from archive.backbone.publish import publish
from archive.backbone.receiving import Terms
from tests import archives, clusters
from tests.e2e.conftest import PostgresSite, Site, free_port, wait_for

pytestmark = [
    pytest.mark.service,
    pytest.mark.requirement("DMS-DBB-REQ-0014"),
    pytest.mark.requirement("DMS-DBB-REQ-0022"),
]

USERS = 12
ROWS = 700
PORTION = 1.5  # seconds that each side works alone
CEILING = 6.0  # portions that one side does at most, until all others have done their floors
# Portions that each side does, while all work together. Checks rest nine tenths of the time while others work.
FLOORS = {"users": 0.25, "ingest": 0.25, "publish": 0.25, "verify": 0.02}

QUERIES = (
    "SELECT COUNT(*) AS n FROM sp_test.source AS a JOIN sp_test.source AS b ON a.flux < b.flux",
    "SELECT TOP 5 id, ra FROM sp_test.source WHERE id > 0",
    "SELECT AVG(flux) AS f FROM sp_test.source WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(75, -43, 10))",
)

# Each writes a byte for each unit of its work to its standard output, for ever.
WORK = {
    "ingest": """
        from archive.backbone import gathering
        from archive.backbone.ingest import Intake
        from archive.backbone.receiving import Request, Terms
        from archive.backbone.sources import LocalFile
        terms, number = Terms("intermediate", "sp_test", "pressing"), 0
        with Intake(endpoint) as intake:
            while True:
                path = folder / f"{os.getpid()}-{number}"
                path.write_bytes(os.urandom(2000))
                names = [f"{path.name}-{at}" for at in range(50)]
                intake.take([Request(name, LocalFile(path), terms) for name in names], told=lambda outcome: done())
                number += 1
    """,
    "publish": """
        from archive.backbone.publish import rebuild
        while True:
            rebuild(endpoint, "sp_test")
            done()
    """,
    "verify": """
        from archive.backbone.verification.verify import Terms, verify
        while True:
            verify(endpoint, Terms(deep=True), progress=lambda what, number: done(number) if what == "files" else None)
    """,
}

FRAME = """
import os, sys
from pathlib import Path
from archive.backbone.endpoint import Endpoint
from archive.config import Config
folder = Path(sys.argv[1])
def done(count=1):
    os.write(1, b"." * count)
endpoint = Endpoint.open(Config.load())
"""


@pytest.fixture(scope="module", params=["embedded", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Site]:
    """One process serves; its priority is that of the shipped settings."""
    folder = tmp_path_factory.mktemp("priority")
    site: Site = Pressed(folder / "archive", free_port())
    if request.param == "postgresql":
        site = PressedPostgres(site.home, site.port, clusters.database(folder))
    database = getattr(site, "database", None)
    endpoint = archives.make(site.home, data, database=database, reserve=0)
    rows = archives.parquet(folder / "rows.parquet", map(archives.source, range(1, ROWS)))
    catalogs.load(endpoint, "sp_test", "source", [rows])
    publish(endpoint, "sp_test")
    kept = folder / "kept"
    kept.mkdir()
    for number in range(200):
        (kept / f"{number}").write_bytes(os.urandom(50_000))
    ingest(endpoint, gathering.copied([kept], Terms("intermediate", "sp_test", "kept")))
    endpoint.close()
    log = folder / "serve.log"
    with log.open("wb") as told:
        command = site.command("serve", "--port", str(site.port), "--workers", "1")
        server = subprocess.Popen(command, env=site.environment(), stdout=told, stderr=told)
    try:
        wait_for(site, server, log)
        assert os.getpriority(os.PRIO_PROCESS, server.pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 5)
        yield site
    finally:
        server.terminate()
        server.wait()


class Pressed(Site):
    def environment(self) -> dict[str, str]:
        return _shipped(super().environment())


class PressedPostgres(PostgresSite):
    def environment(self) -> dict[str, str]:
        return _shipped(super().environment())


def _shipped(environment: dict[str, str]) -> dict[str, str]:
    told = {"ARCHIVE_DESCRIPTIONS": str(Path(__file__).parent.parent / "data"), "ARCHIVE_HEARTBEAT": "0.5"}
    told |= {"ARCHIVE_RESERVE": "0", "ARCHIVE_SHORT_QUERIES_EACH": "8"}
    return {name: value for name, value in environment.items() if name != "ARCHIVE_NICENESS"} | told


class Side:
    """Somebody at work; ``done`` is how much they did. ``check`` fails the test if they work no more."""

    def __init__(self, check: Callable[[], None] = lambda: None) -> None:
        self.done = 0
        self.check = check
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self.done += count


@contextmanager
def users(site: Site) -> Iterator[Side]:
    """Many clients, each of whom asks again as soon as it has an answer; answers are counted."""
    side, over = Side(), threading.Event()

    def ask(number: int) -> None:
        while not over.is_set():
            form = urllib.parse.urlencode({"LANG": "ADQL", "QUERY": QUERIES[number % len(QUERIES)], "FORMAT": "csv"})
            number += 1
            try:
                with urllib.request.urlopen(f"{site.tap}/sync", form.encode(), timeout=120) as answer:
                    answer.read()
                side.add(1)
            except urllib.error.HTTPError:  # it was not their turn
                over.wait(0.2)

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(USERS)]
    for thread in threads:
        thread.start()
    try:
        yield side
    finally:
        over.set()
        for thread in threads:
            thread.join()


@contextmanager
def worker(site: Site, name: str, folder: Path) -> Iterator[Side]:
    """A process that does one kind of work all the time."""
    program = FRAME + "\n".join(line[8:] for line in WORK[name].splitlines())
    command = [sys.executable, "-c", program, str(folder)]
    log = folder / f"{name}.log"
    with log.open("ab") as told:
        process = subprocess.Popen(command, env=site.environment(), stdout=subprocess.PIPE, stderr=told)
    assert process.stdout is not None
    out = process.stdout.fileno()

    def check() -> None:
        assert process.poll() is None, log.read_text()

    def count() -> None:
        while units := os.read(out, 65536):
            side.add(len(units))

    side = Side(check)
    counting = threading.Thread(target=count, daemon=True)
    counting.start()
    try:
        yield side
        check()
    finally:
        process.terminate()
        process.wait()
        counting.join()


def until(holds: Callable[[], bool], check: Callable[[], None] = lambda: None, seconds: float = 120) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        check()
        time.sleep(0.05)
    return holds()


def alone(side: Side) -> int:
    """How much a side does in a while, when it has begun; something at least."""
    assert until(lambda: side.done > 0, side.check)
    before = side.done
    time.sleep(PORTION)
    assert until(lambda: side.done > before, side.check)
    return side.done - before


def test_nobody_is_kept_from_work_by_the_others(site: Site, tmp_path: Path) -> None:
    sides: dict[str, Callable[[], AbstractContextManager[Side]]] = {"users": partial(users, site)}
    sides |= {name: partial(worker, site, name, tmp_path) for name in WORK}
    portions = {}
    for name, begin in sides.items():
        with begin() as side:
            portions[name] = alone(side)
    with ExitStack() as together:
        working = {name: together.enter_context(begin()) for name, begin in sides.items()}
        for side in working.values():
            assert until(lambda side=side: side.done > 0, side.check)  # type: ignore[misc]
        before = {name: side.done for name, side in working.items()}

        def shares() -> dict[str, float]:
            return {name: (side.done - before[name]) / portions[name] for name, side in working.items()}

        def below() -> dict[str, float]:
            return {name: share for name, share in shares().items() if share < FLOORS[name]}

        assert until(lambda: not below() or max(shares().values()) > CEILING)
        found = shares()
    assert {name: share for name, share in found.items() if share < FLOORS[name]} == {}, (found, portions)
