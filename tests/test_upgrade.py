"""``archive upgrade``: an archive of an older program goes on with this one, and nothing is lost on the way."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from archive.backbone import upgrading
from archive.backbone.endpoint import Endpoint
from archive.cli import archive
from archive.config import Config
from archive.faults import FatalFault, NotFound, TransientFault
from archive.jobs.tables import LAYOUT as JOBS
from archive.ledger import Ledger, collections, files, finding, schema
from archive.ledger.connections import connected
from archive.ledger.migrations import migrate
from archive.ledger.querylog import LAYOUT as QUERIES
from tests import clusters

ENDED = "2020-01-01T00:00:00.000000Z"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Gives the URL of an empty database for a name."""
    if request.param == "sqlite":
        return lambda name: f"sqlite:///{tmp_path}/{name}.sqlite"
    return lambda name: clusters.empty(tmp_path / name)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    """An archive as the first program left it, with one file."""
    database = None if request.param == "sqlite" else clusters.empty(tmp_path)
    config = Config(home=tmp_path / "home", database=database)
    for layout, url in upgrading.stores_of(config):
        migrate(url, layout, to=1)
    with _changing(config) as connection:
        _insert(connection, "site", one=1, authority="archive.test", publisher="Tests", contact="t@archive.test")
        _insert(
            connection,
            "artifact",
            uri="archive://archive.test/a.csv",
            sha256="0" * 64,
            size=3,
            media_type="text/csv",
            path="a.csv",
            registered=ENDED,
        )
    return config


def test_an_old_archive_is_refused_until_it_is_upgraded(config: Config) -> None:
    with pytest.raises(FatalFault, match="archive upgrade"):
        Endpoint.open(config)
    done = upgrading.upgrade(config)
    assert [(each.layout.name, each.found) for each in done.done] == [("ledger", 1), ("jobs", 1), ("queries", 1)]
    with Endpoint.open(config) as endpoint, endpoint.ledger.read() as transaction:
        found = files.find(transaction, ["archive://archive.test/a.csv"])
        assert found["archive://archive.test/a.csv"].artifact.here.path == "a.csv"
    assert upgrading.upgrade(config) == upgrading.Upgraded((), None)


def test_files_of_layout_two_are_in_runs(urls: Callable[[str], str]) -> None:
    """What came in before there were collections is found by the run that it came into."""
    url = urls("ledger")
    migrate(url, schema.LAYOUT, to=2)
    facts = {"size": 3, "media_type": "text/csv", "registered": ENDED}
    engine = connected(url, pooled=False)
    with engine.execution_options(archive_writes=True).begin() as connection:
        for number, collection in enumerate(["raw", "raw", "night/one"], start=1):
            path = f"{number}.csv"
            _insert(connection, "artifact", id=number, uri=f"archive://archive.test/{path}", sha256="0" * 64, **facts)
            copy = {"store": "main", "path": path, "has": "present", "want": "keep", "adopted": False}
            _insert(connection, "replica", artifact=number, **copy)
            told = {"type": "other", "release": "dr1", "collection": collection, "metadata": {}, "revision": 1}
            _insert(connection, "product", artifact=number, **told)
    migrate(url, schema.LAYOUT)
    with closing(Ledger.open(url)) as ledger, ledger.read() as transaction:
        runs = [(each.name, each.kind, each.created) for each in collections.all_of(transaction)]
        found = [hit.uri for hit in finding.find(transaction, finding.Criteria(release="dr1", collection="raw"))]
    assert runs == [("dr1/night/one", "run", ENDED), ("dr1/raw", "run", ENDED)]
    assert found == ["archive://archive.test/1.csv", "archive://archive.test/2.csv"]


def test_sqlite_files_are_kept_as_they_were(tmp_path: Path) -> None:
    config = Config(home=tmp_path)
    migrate(config.ledger_url, schema.LAYOUT, to=1)
    done = upgrading.upgrade(config)
    assert done.kept is not None
    assert [file.name for file in done.kept.iterdir()] == ["ledger.sqlite"]
    with closing(sqlite3.connect(done.kept / "ledger.sqlite")) as kept:
        assert kept.execute("SELECT version_num FROM ledger_version").fetchone() == ("0001",)
        assert kept.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_nothing_is_upgraded_under_a_process_at_work(config: Config) -> None:
    with _changing(config) as connection:
        process = {"id": "p", "role": "serve", "host": "h", "pid": 7, "started": ENDED, "seen": ENDED}
        _insert(connection, "process", **process, lease="2999-01-01T00:00:00.000000Z")
    with pytest.raises(TransientFault, match=r"serve on h \(process 7\)"):
        upgrading.upgrade(config)
    with _changing(config) as connection:
        connection.execute(_table(connection, "process").update().values(lease=ENDED))
    assert upgrading.upgrade(config).done != ()


def test_a_step_that_fails_leaves_the_archive_as_it_was(config: Config) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        upgrading.upgrade(config, fail)
    assert upgrading.version(config.ledger_url, schema.LAYOUT) == 1
    with _changing(config) as connection:
        assert connection.execute(sa.select(_table(connection, "artifact").c.path)).scalars().all() == ["a.csv"]


def test_the_verb_tells_and_does(config: Config) -> None:
    def run(*arguments: str) -> Result:
        environment = {"ARCHIVE_DATABASE": config.database}
        return CliRunner().invoke(archive, ["--home", str(config.home), *arguments], env=environment)

    told = json.loads(run("--json", "upgrade", "--dry-run").stdout)
    assert [(each["store"], each["from"], each["to"]) for each in told["upgrades"]] == [
        ("ledger", 1, schema.LAYOUT.version),
        ("jobs", 1, JOBS.version),
        ("queries", 1, QUERIES.version),
    ]
    assert (told["done"], upgrading.version(config.ledger_url, schema.LAYOUT)) == (False, 1)
    assert "The layout of ledger was brought from 1" in run("upgrade").stdout
    assert "up to date" in run("upgrade").stdout


def test_where_no_archive_is_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="archive init"):
        upgrading.upgrade(Config(home=tmp_path / "home"))
    assert not (tmp_path / "home").exists()


def _table(connection: sa.Connection, name: str) -> sa.Table:
    return sa.Table(name, sa.MetaData(), autoload_with=connection)


def _insert(connection: sa.Connection, name: str, **values: object) -> None:
    connection.execute(_table(connection, name).insert().values(**values))


@contextmanager
def _changing(config: Config) -> Iterator[sa.Connection]:
    """The ledger's database, beside the program."""
    engine = connected(config.ledger_url, pooled=False)
    with engine.execution_options(archive_writes=True).begin() as connection:
        yield connection
