"""PostgreSQL ends in the middle of things and comes back: clear messages meanwhile, then service by itself.

Nothing is half published, no job is lost, and none of our processes has to be started again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from archive.backbone import catalogs, steps
from archive.backbone.endpoint import Endpoint
from archive.backbone.publish import publish
from archive.engine.postgres_build import place_of
from archive.faults import TransientFault
from archive.ledger import schema
from archive.query import Question, answer
from tests.archives import make, parquet, reopened, source
from tests.e2e.conftest import PostgresSite, fill, free_port, serving
from tests.postgres import Server, server

pytestmark = pytest.mark.service

BACK_WITHIN = 60  # seconds, on a busy machine
ENDLESS = "SELECT a.star_id FROM ext_tycho2.star AS a, ext_tycho2.star AS b"  # 1e8 rows
MANY = "2000000000"
LONG = f"{ENDLESS} WHERE a.ra < b.ra"

ASKING = "FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state = 'active'"
CREW = 5  # processes: two that serve, two runners of short jobs and one of long ones


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with server(durable=True) as made:
        yield made


def asked(database: Server, statement: str) -> list[sa.Row[tuple[object, ...]]]:
    """What the server's own database answers, over a connection of its own."""
    engine = sa.create_engine(database.url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return list(connection.execute(sa.text(statement)))


def until(state: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + BACK_WITHIN
    while time.monotonic() < end:
        if state():
            return
        time.sleep(0.1)
    pytest.fail(what)


# --- a server that is asked -----------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """An answer over HTTP."""

    status: int
    retry_after: str | None
    body: bytes


@pytest.fixture(scope="module")
def site(running: Server, tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[PostgresSite]:
    """The sample, served by the same processes through all that happens to the database."""
    made = PostgresSite(tmp_path_factory.mktemp("faults") / "archive", free_port(), running.url)
    fill(made, data)
    with serving(made, "--workers", "2"):
        until(lambda: len(processes(running)) == CREW, "not all processes begin")
        before = processes(running)
        yield made
        assert before <= processes(running)
        assert all(Path(f"/proc/{process}").exists() for _, process in before)


def processes(database: Server) -> set[tuple[object, ...]]:
    """Those that serve and that run jobs: how they entered the ledger, and their numbers."""
    return {tuple(row) for row in asked(database, "SELECT id, pid FROM process WHERE role IN ('serve', 'work')")}


def fetched(url: str, form: dict[str, str] | None = None, read: int | None = None) -> Told:
    body = None if form is None else urllib.parse.urlencode(form).encode()
    try:
        with urllib.request.urlopen(url, body, timeout=60) as told:
            return Told(told.status, told.headers["Retry-After"], told.read() if read is None else told.read(read))
    except urllib.error.HTTPError as refusal:
        return Told(refusal.code, refusal.headers["Retry-After"], refusal.read())


def query(site: PostgresSite, text: str) -> Told:
    return fetched(f"{site.tap}/sync", {"LANG": "ADQL", "QUERY": text, "RESPONSEFORMAT": "votable/td"})


def job(site: PostgresSite, text: str, *, run: bool) -> str:
    """A new job's address."""
    given = {"LANG": "ADQL", "QUERY": text, "MAXREC": MANY} | ({"PHASE": "RUN"} if run else {})
    request = urllib.request.Request(f"{site.tap}/async", urllib.parse.urlencode(given).encode())
    with urllib.request.urlopen(request, timeout=60) as told:
        return str(told.url)


def phase(address: str) -> str:
    return fetched(f"{address}/phase").body.decode()


def killed_backend(database: Server) -> None:
    """As when the kernel is out of memory; the server then ends all its processes and starts anew by itself."""
    database.kill(int(str(asked(database, f"SELECT pid {ASKING}")[0][0])))


WAYS: dict[str, Callable[[Server], None]] = {
    "it is stopped at once": lambda database: database.stop(),
    "its first process is killed": lambda database: database.kill(),
    "the process of a query is killed": killed_backend,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_ends_in_mid_query_and_mid_job(way: str, running: Server, site: PostgresSite) -> None:
    stream = urllib.request.urlopen(
        f"{site.tap}/sync",
        urllib.parse.urlencode({"LANG": "ADQL", "QUERY": ENDLESS, "MAXREC": MANY}).encode(),
        timeout=60,
    )
    assert len(stream.read(1_000_000)) == 1_000_000
    busy = job(site, LONG, run=True)
    until(lambda: phase(busy) == "EXECUTING", "the job does not start")
    queued = job(site, f"{LONG} AND a.star_id < 0", run=True)
    pending = job(site, "SELECT COUNT(*) AS n FROM ext_tycho2.star", run=False)
    until(lambda: len(asked(running, f"SELECT 1 {ASKING}")) == 2, "the query of the job does not begin")

    WAYS[way](running)
    end = stream.read()[-1000:]
    assert b'value="ERROR"' in end
    assert b"TransientFault: The database cannot be reached" in end
    if way != "the process of a query is killed":
        _is_away(site, pending)
        running.start()

    until(lambda: query(site, "SELECT COUNT(*) AS n FROM ext_tycho2.star").status == 200, "it does not come back")
    until(lambda: phase(busy) == "ERROR", "the job hangs")
    assert b"database cannot be reached" in fetched(f"{busy}/error").body
    until(lambda: phase(queued) == "COMPLETED", "the queued job is lost")
    assert fetched(f"{pending}/phase", {"PHASE": "RUN"}).status == 200
    until(lambda: phase(pending) == "COMPLETED", "jobs do not run any more")
    assert b":available>true<" in fetched(f"{site.tap}/availability").body


def _is_away(site: PostgresSite, waiting: str) -> None:
    """Everything that needs the database says that it is away, in the form of its standard, and when to come again."""
    for text in ("SELECT COUNT(*) AS n FROM ext_tycho2.star", "SELECT * FROM TAP_SCHEMA.tables"):
        told = query(site, text)
        assert told.status == 503
        assert told.retry_after is not None
        assert b'name="QUERY_STATUS" value="ERROR"' in told.body
        assert b"TransientFault: The database cannot be reached at the moment. Try again in a moment." in told.body
    for told in (
        fetched(waiting),
        fetched(f"{waiting}/phase", {"PHASE": "RUN"}),
        fetched(f"{site.tap}/async", {"LANG": "ADQL", "QUERY": "SELECT 1 AS n"}),
        fetched(f"{site.tap}/tables"),
        fetched(f"{site.url}/"),
    ):
        assert (told.status, told.retry_after is not None) == (503, True), told
        assert b"The database cannot be reached" in told.body
    assert b":available>false<" in fetched(f"{site.tap}/availability").body
    assert fetched(f"{site.url}/metrics").status == 200


def test_a_process_that_begins_while_the_server_is_away_waits_for_it(running: Server, site: PostgresSite) -> None:
    other = replace(site, port=free_port())
    before = processes(running)
    with serving(other, "--workers", "1", "--no-work"):
        ((_, worker),) = processes(running) - before
        running.stop()
        os.kill(int(str(worker)), signal.SIGKILL)
        time.sleep(3)
        running.start()
        until(lambda: query(other, "SELECT COUNT(*) AS n FROM ext_tycho2.star").status == 200, "it does not come back")


# --- a server that is filled ----------------------------------------------------------------------


@pytest.fixture
def endpoint(running: Server, tmp_path: Path, data: Path) -> Iterator[Endpoint]:
    """An archive in a database of its own, in which 1000 rows are published and the files for 2000 more lie by."""
    name = f"d{tmp_path.name[-1]}{abs(hash(tmp_path)):x}"
    engine = sa.create_engine(running.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0")
    url = sa.make_url(running.url).set(database=name).render_as_string(hide_password=False)
    made = make(tmp_path / "home", data, database=url)
    catalogs.load(made, "sp_test", "source", [parquet(tmp_path / "1.parquet", map(source, range(1000)))])
    publish(made, "sp_test")
    yield made
    made.close()


def stars_in(endpoint: Endpoint) -> int:
    result = answer(Question("SELECT COUNT(*) AS n FROM sp_test.source"), endpoint.ledger, endpoint.engine)
    count: int = pa.Table.from_batches(result.batches)[0][0].as_py()
    return count


@dataclass
class Trap:
    """Does something the first time that a step is reached."""

    label: str
    action: Callable[[], None]

    def spring(self) -> None:
        action, self.action = self.action, lambda: None
        action()


LOADING = tuple(label for label in steps.LABELS if label.startswith("load.") and label != "load.registered")


@pytest.mark.parametrize("label", LOADING)
def test_a_server_that_ends_in_mid_load(
    label: str, running: Server, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = [parquet(tmp_path / "2.parquet", map(source, range(1000, 3000)))]
    monkeypatch.setattr(steps, "_trap", Trap(label, running.stop))
    with pytest.raises(TransientFault, match="The database cannot be reached"):
        catalogs.load(endpoint, "sp_test", "source", more)
    running.start()
    assert stars_in(endpoint) == 1000
    assert catalogs.load(endpoint, "sp_test", "source", more).total == 3000
    publish(endpoint, "sp_test")
    assert stars_in(endpoint) == 3000


PUBLISHING = ("publish.begun", "rows", "publish.built", "publish.switching")


@pytest.mark.parametrize("label", PUBLISHING)
def test_a_server_that_ends_in_mid_publication(
    label: str, running: Server, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = endpoint.ledger.published().revision
    trap = Trap(label, running.stop)
    catalogs.load(endpoint, "sp_test", "source", [parquet(tmp_path / "2.parquet", map(source, range(1000, 3000)))])
    monkeypatch.setattr(steps, "_trap", trap)
    with pytest.raises(TransientFault, match="The database cannot be reached"):
        publish(endpoint, "sp_test", lambda table, rows: trap.spring() if label == "rows" else None)
    running.start()
    assert shown_to_all(endpoint) == {(revision, 1000)}
    publish(endpoint, "sp_test")
    assert shown_to_all(endpoint) == {(revision + 1, 3000)}
    _knows_its_tables(endpoint)


@pytest.mark.parametrize("label", PUBLISHING)
def test_a_server_that_is_killed_in_mid_publication(
    label: str, running: Server, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its processes notice a moment later: what was under way may still end well, but only as a whole."""
    revision = endpoint.ledger.published().revision
    trap = Trap(label, running.kill)
    catalogs.load(endpoint, "sp_test", "source", [parquet(tmp_path / "2.parquet", map(source, range(1000, 3000)))])
    monkeypatch.setattr(steps, "_trap", trap)
    with contextlib.suppress(TransientFault):
        publish(endpoint, "sp_test", lambda table, rows: trap.spring() if label == "rows" else None)
    running.start()
    assert shown_to_all(endpoint) in ({(revision, 1000)}, {(revision + 1, 3000)})
    publish(endpoint, "sp_test")
    assert shown_to_all(endpoint) == {(revision + 1, 3000)}
    _knows_its_tables(endpoint)


def shown_to_all(endpoint: Endpoint) -> set[tuple[int, int]]:
    """The revision and the number of rows that this process and one that begins now see."""
    with contextlib.closing(reopened(endpoint.config)) as other:
        return {(each.ledger.published().revision, stars_in(each)) for each in (endpoint, other)}


def _knows_its_tables(endpoint: Endpoint) -> None:
    """Each table is of an edition that the ledger knows: those that were not finished are taken over later."""
    (table,) = endpoint.ledger.published().catalog.tables_named("sp_test", "source")
    with endpoint.ledger.read() as transaction:
        tables = sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'archive_editions'")
        there = set(transaction.execute(tables).scalars()) - {"_removed"}
        known = {
            place_of(table, number) for number in transaction.execute(sa.select(schema.edition.c.number)).scalars()
        }
    assert there <= known


def test_a_server_that_is_away_while_nobody_asks(running: Server, endpoint: Endpoint) -> None:
    """Connections that lie idle die with the server; nobody is told of that."""
    asking = [threading.Thread(target=stars_in, args=(endpoint,)) for _ in range(4)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    running.stop()
    running.start()
    for _ in range(4):
        assert stars_in(endpoint) == 1000
