"""The drill: the newest backup comes back in a scratch place, on either database, and nothing else is touched."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from archive.backbone import backup, catalogs, drill, publish
from archive.backbone.endpoint import Endpoint
from archive.cli import archive
from archive.faults import UsageFault
from archive.ledger import schema
from tests import archives, clusters

pytestmark = pytest.mark.requirement("DMS-DBB-REQ-0001")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path, data: Path) -> Iterator[Endpoint]:
    """An archive with a published table, and a backup of it in ``backups``; a little has happened since."""
    database = None if request.param == "sqlite" else clusters.database(tmp_path)
    with archives.make(tmp_path / "home", data, database=database, reserve=0) as made:
        for number in (1, 2):
            rows = [archives.source(number * 100 + each) for each in range(50)]
            catalogs.load(made, "sp_test", "source", [archives.parquet(tmp_path / f"{number}.parquet", rows)])
            if number == 1:
                publish.publish(made, "sp_test")
                backup.backup(made, tmp_path / "backups" / "older")
                backup.backup(made, tmp_path / "backups" / "newer")
        yield made


def ran(endpoint: Endpoint, *arguments: str) -> Any:
    config = endpoint.config
    settings = {"ARCHIVE_DATABASE": config.database, "ARCHIVE_DESCRIPTIONS": str(config.descriptions)}
    return CliRunner().invoke(archive, ["--json", "--home", str(config.home), "drill", *arguments], env=settings)


def databases(endpoint: Endpoint) -> set[str]:
    """The databases on the archive's server."""
    if endpoint.config.database is None:
        return set()
    server = sa.create_engine(endpoint.config.database, poolclass=sa.NullPool)
    with server.connect() as connection:
        return set(connection.execute(sa.text("SELECT datname FROM pg_database")).scalars())


@pytest.mark.requirement("DMS-DBB-REQ-0023")
@pytest.mark.parametrize("whole", [False, True])
def test_the_newest_backup_comes_back_and_its_time_is_told(endpoint: Endpoint, tmp_path: Path, whole: bool) -> None:
    before, there = archives.snapshot(endpoint)["files"], databases(endpoint)
    done = ran(endpoint, str(tmp_path / "backups"), *(("--whole",) if whole else ()))
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["backup"].endswith("newer")
    assert told["seconds"] > 0
    assert told["differences"] == []
    assert told["behind"] > 0
    assert (told["files"], told["editions"]) == ((2, 1) if whole else (None, None))
    assert archives.snapshot(endpoint)["files"] == before
    assert databases(endpoint) == there
    assert not list(endpoint.config.scratch_folder.glob("drill-*"))
    with endpoint.ledger.read() as transaction:
        kinds = transaction.execute(sa.text("SELECT kind FROM event ORDER BY seq DESC LIMIT 1")).scalar_one()
    assert kinds == "drill"


def test_a_backup_that_is_not_of_this_history_is_told(endpoint: Endpoint, tmp_path: Path) -> None:
    """As when the archive was restored from an older backup, and went another way since."""
    with endpoint.ledger.write() as transaction:
        transaction.execute(schema.event.update().values(digest="another"))
    done = drill.drill(endpoint, tmp_path / "backups" / "newer")
    assert [each for each in done.differences if "is not that of the archive at work" in each]


def test_what_is_no_backup_of_the_archive(tmp_path: Path, data: Path) -> None:
    with archives.make(tmp_path / "home", data, reserve=0) as endpoint:
        with pytest.raises(UsageFault, match="There is no backup in"):
            drill.drill(endpoint, tmp_path)
        backup.backup(endpoint, tmp_path / "mine")
        with sqlite3.connect(endpoint.config.home / "ledger.sqlite") as ledger:
            ledger.execute("UPDATE site SET authority = 'another.test'")
        with pytest.raises(UsageFault, match=r"is a backup of archive\.test, not of another\.test"):
            drill.drill(archives.reopened(endpoint.config), tmp_path / "mine")
        damaged = tmp_path / "mine" / "ledger.sqlite"
        damaged.write_bytes(damaged.read_bytes()[:-1])
        with pytest.raises(UsageFault, match="not as it was when the backup was made"):
            drill.drill(endpoint, tmp_path / "mine")


@pytest.mark.service
def test_who_may_make_no_database_is_told_what_to_do(tmp_path: Path, data: Path) -> None:
    url = clusters.database(tmp_path)
    with archives.make(tmp_path / "home", data, database=url, reserve=0) as endpoint:
        backup.backup(endpoint, tmp_path / "mine")
        refused = replace(endpoint.config, database=url.replace("/d", "/no_such_"))
        endpoint.config = refused
        with pytest.raises(UsageFault, match="No database can be made for the drill"):
            drill.drill(endpoint, tmp_path / "mine")
        done = drill.drill(endpoint, tmp_path / "mine", database=clusters.database(tmp_path / "empty"))
        assert done.differences == ()
