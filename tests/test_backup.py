"""The drill: an archive is backed up, destroyed and restored, and gives the same answers."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from archive.backbone import catalogs, publish, registrar
from archive.backbone.endpoint import Endpoint
from archive.cli import archive
from archive.config import Config
from archive.ledger import chain, schema
from archive.ledger.querylog import Entry, QueryLog
from archive.query import Question
from archive.serving import Serving
from tests import archives, clusters

QUERIES = (
    'SELECT id, ra, flux, "Band", note, good, seen, mags, moments FROM sp_test.source ORDER BY id',
    "SELECT COUNT(*) AS n, AVG(flux) AS f FROM sp_test.source WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(75, -43, 5))",
    "SELECT table_name, description FROM TAP_SCHEMA.tables ORDER BY table_name",
)
SQLITE, POSTGRES = "sqlite", pytest.param("postgresql", marks=pytest.mark.service)


class Site:
    """An archive that can be lost: its settings, and the command as its operator runs it."""

    def __init__(self, folder: Path, kind: str, descriptions: Path) -> None:
        self.folder = folder
        self.descriptions = descriptions
        self.config = self.another("first", kind)

    def another(self, name: str, kind: str) -> Config:
        """Settings of an archive that is not there yet."""
        home = self.folder / name
        database = None if kind == SQLITE else clusters.database(home)
        return Config(home=home, database=database, descriptions=self.descriptions)

    def run(self, *arguments: str, config: Config | None = None) -> Result:
        config = config or self.config
        environment = {"ARCHIVE_DATABASE": config.database, "ARCHIVE_DESCRIPTIONS": str(self.descriptions)}
        return CliRunner().invoke(archive, ["--json", "--home", str(config.home), *arguments], env=environment)

    def done(self, *arguments: str, config: Config | None = None) -> dict[str, Any]:
        ended = self.run(*arguments, config=config)
        assert ended.exception is None, ended.exception
        result: dict[str, Any] = json.loads(ended.stdout)
        return result


@pytest.fixture(params=[SQLITE, POSTGRES])
def site(request: pytest.FixtureRequest, tmp_path: Path, data: Path) -> Site:
    """An archive on each kind of database."""
    return made(Site(tmp_path, request.param, data))


@pytest.fixture
def small(tmp_path: Path, data: Path) -> Site:
    """An archive on SQLite, for what does not depend on the database."""
    return made(Site(tmp_path, SQLITE, data))


def made(made: Site) -> Site:
    """With a published table in two parts, rows that are not published yet, and a query log."""
    tmp_path = made.folder
    Endpoint.create(made.config, archives.SITE).close()
    with archives.reopened(made.config) as endpoint:
        for number in (1, 2):
            rows = (archives.source(each) for each in range(number * 500, number * 500 + 400))
            file = archives.parquet(tmp_path / f"{number}.parquet", rows)
            catalogs.load(endpoint, "sp_test", "source", [file])
        publish.publish(endpoint, "sp_test")
        late = archives.parquet(tmp_path / "late.parquet", [archives.source(9000)])
        catalogs.load(endpoint, "sp_test", "source", [late])
    log = QueryLog(made.config.query_log_url)
    log.note(Entry("r", "192.0.2.1", "pyvo", "sync", "ADQL", "SELECT 1", datetime.now(UTC), 0.1, 1, 10, "OK"))
    log.close()
    return made


def answers(config: Config) -> list[list[dict[str, Any]]]:
    """What the archive says to ``QUERIES``."""
    with Endpoint.open(config) as endpoint:
        serving = Serving(config, endpoint.ledger, endpoint.engine)
        given = []
        for query in QUERIES:
            result = serving.answer(Question(query))
            names = [column.name for column in result.columns]
            rows = [row for batch in result.batches for row in batch.rename_columns(names).to_pylist()]
            result.close()
            given.append(rows)
        return given


def facts(config: Config) -> dict[str, Any]:
    """What the ledger says of files and tables."""
    tables = (schema.artifact, schema.replica, schema.part, schema.state, schema.state_part, schema.description)
    with Endpoint.open(config) as endpoint, endpoint.ledger.read() as transaction:
        return {table.name: sorted(map(str, transaction.execute(select(table)))) for table in tables}


@pytest.mark.requirement("DMS-DBB-REQ-0023")
@pytest.mark.parametrize("onto", [SQLITE, POSTGRES])
def test_the_drill(site: Site, tmp_path: Path, onto: str) -> None:
    before, known = answers(site.config), facts(site.config)
    site.run("backup", str(tmp_path / "backup"), "--files")
    shutil.rmtree(site.config.home)
    again = site.another("second", onto)
    done = site.done("restore", str(tmp_path / "backup"), config=again)
    assert (done["missing"], done["left_out"], done["editions"]) == ([], [], 1)
    assert done["brought"] == done["files"] > 5
    assert done["seconds"] > 0
    assert answers(again) == before
    assert facts(again) == known
    with Endpoint.open(again) as endpoint, endpoint.ledger.read() as transaction:
        assert chain.check(transaction) is None
        kinds = transaction.execute(select(schema.event.c.kind).order_by(schema.event.c.seq)).scalars().all()
    assert "restore" in kinds
    log = QueryLog(again.query_log_url)
    assert [row["text"] for row in log.latest(5)] == ["SELECT 1"]
    log.close()


def test_files_that_survived_need_not_be_in_the_backup(site: Site, tmp_path: Path) -> None:
    before = answers(site.config)
    site.run("backup", str(tmp_path / "backup"))
    again = site.another("second", SQLITE)
    shutil.copytree(site.config.store, again.store)
    done = site.done("restore", str(tmp_path / "backup"), config=again)
    assert (done["brought"], done["missing"]) == (0, [])
    assert done["files"] > 5
    assert answers(again) == before


def test_missing_files_are_told_before_anything_is_made(small: Site, tmp_path: Path) -> None:
    small.run("backup", str(tmp_path / "backup"))
    again = small.another("second", SQLITE)
    shutil.copytree(small.config.store, again.store)
    lost = sorted(again.store.rglob("*.parquet"))[0]
    lost.unlink()
    refused = small.run("restore", str(tmp_path / "backup"), config=again)
    assert refused.exception is not None
    assert lost.relative_to(again.store).as_posix() in str(refused.exception)
    assert {path.name for path in again.home.iterdir()} == {"store", "editions"}
    assert list(again.editions.glob("*.duckdb")) == []


@pytest.fixture
def without_part(small: Site, tmp_path: Path) -> Config:
    """An archive restored though a part of its published table is nowhere."""
    with Endpoint.open(small.config) as endpoint, endpoint.ledger.read() as transaction:
        part = (
            transaction.execute(
                select(schema.replica.c.path).join(schema.part, schema.part.c.artifact == schema.replica.c.artifact)
            )
            .scalars()
            .first()
        )
    small.run("backup", str(tmp_path / "backup"))
    again = small.another("second", SQLITE)
    shutil.copytree(small.config.store, again.store)
    (again.store / str(part)).unlink()
    ended = small.run("restore", str(tmp_path / "backup"), "--incomplete", config=again)
    assert ended.exit_code == 1
    done = json.loads(ended.stdout)
    assert (len(done["missing"]), done["left_out"], done["editions"]) == (1, ["sp_test.source"], 0)
    return again


def test_what_is_incomplete_is_not_shown(without_part: Config) -> None:
    with Endpoint.open(without_part) as endpoint, endpoint.ledger.read() as transaction:
        assert endpoint.ledger.published().editions == {}
        copies = transaction.execute(select(schema.replica.c.has)).scalars().all()
    assert copies.count("absent") == 1


def test_a_wrong_file_is_not_taken_for_a_right_one(small: Site, tmp_path: Path) -> None:
    small.run("backup", str(tmp_path / "backup"), "--files")
    again = small.another("second", SQLITE)
    shutil.copytree(small.config.store, again.store)
    wrong = sorted(again.store.rglob("*.parquet"))[0]
    wrong.write_bytes(b"x" + wrong.read_bytes()[1:])
    refused = small.run("restore", str(tmp_path / "backup"), "--incomplete", config=again)
    assert "not what was registered" in str(refused.exception)
    assert not (again.home / "ledger.sqlite").exists()
    wrong.unlink()
    assert small.done("restore", str(tmp_path / "backup"), config=again)["brought"] == 1


def test_nothing_is_overwritten(site: Site, tmp_path: Path) -> None:
    site.run("backup", str(tmp_path / "backup"), "--files")
    before = facts(site.config)
    refused = site.run("restore", str(tmp_path / "backup"))
    assert refused.exit_code != 0
    assert "There is an archive already" in str(refused.exception)
    again = site.run("backup", str(tmp_path / "backup"))
    assert "is there already" in str(again.exception)
    assert facts(site.config) == before


def test_a_backup_that_fails_leaves_nothing(small: Site, tmp_path: Path) -> None:
    part = sorted(small.config.store.rglob("*.parquet"))[0]
    part.write_bytes(part.read_bytes()[:-1])
    there = set(tmp_path.iterdir())
    failed = small.run("backup", str(tmp_path / "backup"), "--files")
    assert "is not what was registered" in str(failed.exception)
    assert set(tmp_path.iterdir()) == there
    assert small.run("backup", str(tmp_path / "backup")).exit_code == 0


@pytest.mark.parametrize("name", ["ledger.sqlite", "files.csv", "queries.sqlite"])
def test_a_changed_backup_is_no_backup(small: Site, tmp_path: Path, name: str) -> None:
    small.run("backup", str(tmp_path / "backup"))
    with (tmp_path / "backup" / name).open("ab") as file:
        file.write(b"\n")
    refused = small.run("restore", str(tmp_path / "backup"), config=small.another("second", SQLITE))
    assert f"{name} is not as it was" in str(refused.exception)


def test_what_is_no_backup(small: Site, tmp_path: Path) -> None:
    refused = small.run("restore", str(small.config.home), config=small.another("second", SQLITE))
    assert "is no backup" in str(refused.exception)


def test_damaged_events_are_found(small: Site, tmp_path: Path) -> None:
    with Endpoint.open(small.config) as endpoint, endpoint.ledger.write() as transaction:
        transaction.execute(schema.event.update().where(schema.event.c.seq == 2).values(kind="x"))
    small.run("backup", str(tmp_path / "backup"), "--files")
    refused = small.run("restore", str(tmp_path / "backup"), config=small.another("second", SQLITE))
    assert "event 2 is not as it was written" in str(refused.exception)


def test_a_backup_is_of_one_moment(site: Site, tmp_path: Path) -> None:
    """While files come in one after another, the list, the events and the ledger in a backup agree."""
    ended = threading.Event()

    def deliver() -> None:
        with Endpoint.open(site.config) as endpoint:
            for number in itertools.count():
                if ended.is_set():
                    return
                source = tmp_path / f"note{number}"
                source.write_text(f"{number}")
                registrar.register(endpoint, source, f"notes/{number}.txt", "text/plain")

    with ThreadPoolExecutor(1) as helper:
        busy = helper.submit(deliver)
        try:
            site.run("backup", str(tmp_path / "backup"), "--files")
        finally:
            ended.set()
        busy.result()
    done = site.done("restore", str(tmp_path / "backup"), config=site.another("second", SQLITE))
    assert done["missing"] == []


def test_the_newest_number_goes_on(site: Site, tmp_path: Path) -> None:
    """On the restored archive work goes on: counters have not gone back."""
    site.run("backup", str(tmp_path / "backup"), "--files")
    again = site.another("second", (site.config.database and "postgresql") or SQLITE)
    site.run("restore", str(tmp_path / "backup"), config=again)
    with archives.reopened(again) as endpoint:
        more = archives.parquet(tmp_path / "more.parquet", [archives.source(9001)])
        catalogs.load(endpoint, "sp_test", "source", [more])
        publish.publish(endpoint, "sp_test")
    assert answers(again)[0][-1]["id"] == archives.source(9001)["id"]


def test_editions_are_made_anew(site: Site) -> None:
    before = answers(site.config)
    with Endpoint.open(site.config) as endpoint:
        old = endpoint.ledger.published()
        for edition in old.editions.values():
            endpoint.engine.remove(edition)
        assert publish.rebuild(endpoint, "sp_test") == 1
        assert endpoint.ledger.published().revision > old.revision
    assert answers(site.config) == before
