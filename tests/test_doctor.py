"""``archive doctor`` finds what was broken on purpose, tells the remedy, and leaves everything as it is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from archive.backbone import catalogs, diagnosis, publish
from archive.backbone.diagnosis import Finding, Severity
from archive.backbone.endpoint import Endpoint
from archive.cli import archive
from archive.config import Config
from archive.ledger import incidents, replicas, schema
from archive.ledger.connections import connected
from archive.ledger.database import stamp
from tests import archives, clusters

FUTURE = stamp(datetime.now(UTC) + timedelta(days=400))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def config(request: pytest.FixtureRequest, tmp_path: Path, data: Path) -> Config:
    """A healthy archive with one published table."""
    database = None if request.param == "sqlite" else clusters.database(tmp_path)
    made = Config(home=tmp_path / "home", database=database, descriptions=data)
    Endpoint.create(made, archives.SITE).close()
    with archives.reopened(made) as endpoint:
        rows = archives.parquet(tmp_path / "rows.parquet", map(archives.source, range(20)))
        catalogs.load(endpoint, "sp_test", "source", [rows])
        publish.publish(endpoint, "sp_test")
    return made


def ailing(config: Config) -> list[Finding]:
    return [finding for finding in diagnosis.examine(config) if finding.severity is not Severity.GOOD]


def told(config: Config) -> tuple[int, dict[str, Any]]:
    """The exit code of the verb and what it says to programs."""
    environment = {"ARCHIVE_DATABASE": config.database}
    ended = CliRunner().invoke(archive, ["--json", "--home", str(config.home), "doctor"], env=environment)
    return ended.exit_code, json.loads(ended.stdout)


def test_a_healthy_archive(config: Config) -> None:
    with Endpoint.open(config) as endpoint:
        before = archives.snapshot(endpoint)
        assert ailing(config) == []
        assert archives.snapshot(endpoint) == before
    code, said = told(config)
    assert (code, said["worst"]) == (0, "good")
    assert {each["check"] for each in said["findings"]} >= {"layout", "events", "stores", "files", "editions", "clock"}


def test_a_lost_edition_is_made_anew_as_it_says(config: Config) -> None:
    with Endpoint.open(config) as endpoint:
        for edition in endpoint.ledger.published().editions.values():
            endpoint.engine.remove(edition)
    code, said = told(config)
    assert (code, said["worst"]) == (70, "fatal")
    (found,) = ailing(config)
    assert "sp_test.source is published" in found.message
    assert "archive publish sp_test --rebuild" in found.remedy
    environment = {"ARCHIVE_DATABASE": config.database, "ARCHIVE_DESCRIPTIONS": str(config.descriptions)}
    done = CliRunner().invoke(archive, ["--home", str(config.home), "publish", "sp_test", "--rebuild"], env=environment)
    assert "1 tables were made anew" in done.stdout
    assert ailing(config) == []


def test_a_changed_event(config: Config) -> None:
    _change(config, schema.event.update().where(schema.event.c.seq == 2).values(kind="x"))
    (found,) = ailing(config)
    assert (found.check, found.severity) == ("events", Severity.FATAL)
    assert "event 2 is not as it was written" in found.message


def test_a_missing_event(config: Config) -> None:
    _change(config, schema.event.delete().where(schema.event.c.seq == 2))
    (found,) = ailing(config)
    assert "event 2 is missing" in found.message


def test_another_layout(config: Config) -> None:
    _change(config, sa.table("ledger_version", sa.column("version_num")).update().values(version_num="0001"))
    (found,) = ailing(config)
    assert "archive upgrade" in found.remedy


def test_no_archive(tmp_path: Path) -> None:
    (found,) = ailing(Config(home=tmp_path / "none"))
    assert "archive init" in found.remedy
    assert not (tmp_path / "none").exists()


def test_a_store_that_is_not_known(config: Config) -> None:
    _change(config, schema.replica.update().values(store="elsewhere"))
    assert "The ledger names a store 'elsewhere'" in " ".join(finding.message for finding in ailing(config))


def test_a_store_without_room(config: Config) -> None:
    full = Config(home=config.home, database=config.database, reserve=10**18)
    (found,) = ailing(full)
    assert (found.check, found.severity) == ("stores", Severity.FATAL)


def test_a_store_that_is_gone(config: Config) -> None:
    config.store.rename(config.home / "away")
    config.store.write_text("not a folder")
    assert ("stores", Severity.FATAL) in {(finding.check, finding.severity) for finding in ailing(config)}


def test_bad_copies_and_incidents_are_warnings(config: Config) -> None:
    with Endpoint.open(config) as endpoint, endpoint.ledger.write() as transaction:
        number = transaction.execute(sa.select(sa.func.min(schema.artifact.c.id))).scalar_one()
        replicas.mark_bad(transaction, number, "main", "other bytes")
        incidents.open_incident(transaction, "reserve", "main", {})
    assert [finding.check for finding in ailing(config)] == ["files", "incidents", "incidents"]
    assert told(config)[0] == 1


def test_an_archive_that_nobody_may_run(config: Config) -> None:
    _change(config, schema.grant.delete())
    (found,) = ailing(config)
    assert (found.severity, "archive init" in found.remedy) == (Severity.WARNING, True)


def test_a_silent_process_and_a_clock_that_went_back(config: Config) -> None:
    process = {"role": "serve", "host": "h", "pid": 1, "started": FUTURE, "seen": FUTURE, "id": "a"}
    _change(config, schema.process.insert().values(**process, lease="2020-01-01T00:00:00.000000Z"))
    assert [(finding.check, finding.severity) for finding in ailing(config)] == [
        ("processes", Severity.WARNING),
        ("clock", Severity.WARNING),
    ]


@pytest.mark.service
def test_pgsphere_that_is_not_there_is_told(tmp_path: Path) -> None:
    config = Config(home=tmp_path / "home", database=clusters.empty(tmp_path))
    Endpoint.create(config, archives.SITE).close()
    (found,) = ailing(config)
    assert "HEALPix" in found.message
    assert "CREATE EXTENSION pg_sphere" in found.remedy
    engine = connected(str(config.database), pooled=False)
    with engine.begin() as connection:
        connection.execute(sa.DDL("CREATE EXTENSION pg_sphere"))
    (found,) = ailing(config)
    assert "PARALLEL SAFE" in found.remedy


@pytest.mark.service
def test_a_database_that_cannot_be_reached(tmp_path: Path) -> None:
    config = Config(home=tmp_path, database="postgresql+psycopg2://nobody@/none?host=/nowhere")
    code, said = told(config)
    assert (code, said["worst"]) == (70, "fatal")
    assert "nobody" not in json.dumps(said)


def _change(config: Config, statement: sa.Executable) -> None:
    engine = connected(config.ledger_url, pooled=False)
    with engine.execution_options(archive_writes=True).begin() as connection:
        connection.execute(statement)
