"""Files lie in further stores before they count as kept: nothing is acknowledged that has one copy only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from archive.backbone import catalogs, gathering
from archive.backbone.copies import Copies
from archive.backbone.endpoint import Endpoint
from archive.backbone.ingest import Ingested, ingest
from archive.backbone.receiving import Status, Terms
from archive.config import Config
from archive.faults import FatalFault, UsageFault
from archive.ledger import holdings, schema
from tests import archives

pytestmark = pytest.mark.requirement("DMS-DBB-REQ-0019")

TERMS = Terms("other", "sp_test", "notes")


@pytest.fixture
def endpoint(tmp_path: Path, data: Path) -> Endpoint:
    """An archive with a second and a third store."""
    stores = tuple(f"{name}=file://{tmp_path / name}" for name in ("second", "third"))
    for name in ("second", "third"):
        (tmp_path / name).mkdir()
    return archives.make(tmp_path / "home", data, stores=stores, copies=("second", "third"), reserve=0)


@pytest.fixture
def night(tmp_path: Path) -> Path:
    folder = tmp_path / "night"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.txt").write_text(f"file {number}")
    return folder


def take(endpoint: Endpoint, *paths: Path, **options: Any) -> Ingested:
    return ingest(endpoint, gathering.copied(paths, TERMS), **options)


def lying(endpoint: Endpoint) -> dict[str, set[str]]:
    """The files of each store, by path."""
    return {name: set(store.paths()) for name, store in endpoint.stores.items()}


def registered(endpoint: Endpoint) -> dict[str, set[str]]:
    """The files that the ledger says each store has."""
    with endpoint.ledger.read() as transaction:
        rows = transaction.execute(schema.replica.select()).all()
    return {name: {row.path for row in rows if row.store == name} for name in endpoint.stores}


def test_each_file_lies_in_every_store_under_one_path(endpoint: Endpoint, night: Path) -> None:
    assert take(endpoint, night).counts == {Status.NEW: 12}
    assert lying(endpoint) == registered(endpoint)
    assert {len(paths) for paths in lying(endpoint).values()} == {12}
    assert take(endpoint, night).counts == {Status.KNOWN: 12}
    assert {len(paths) for paths in lying(endpoint).values()} == {12}


def test_what_the_first_store_lost_is_read_from_another(endpoint: Endpoint, night: Path) -> None:
    take(endpoint, night)
    with endpoint.ledger.read() as transaction:
        held = holdings.find(transaction, "archive://archive.test/sp_test/notes/night/3.txt")
    assert held is not None
    assert len(held.copies) == 3
    (endpoint.config.store / held.copies[0].place.path).write_bytes(b"fil3 3")
    copies = Copies(endpoint.ledger, endpoint.stores)
    assert b"".join(copies.read(held, 0, held.size - 1).pieces()) == b"file 3"


def test_catalogs_have_further_copies_too(endpoint: Endpoint, tmp_path: Path) -> None:
    rows = archives.parquet(tmp_path / "rows.parquet", [archives.source(number) for number in range(5)])
    catalogs.load(endpoint, "sp_test", "source", [rows])
    assert lying(endpoint) == registered(endpoint)
    assert {len(paths) for paths in lying(endpoint).values()} == {2}


def test_nothing_is_kept_where_one_store_fails(
    endpoint: Endpoint, night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    third = endpoint.stores["third"]

    def failing(*_: object) -> None:
        raise FatalFault("The store cannot be written: No space left on device.", "Is there room on the disk?")

    with monkeypatch.context() as patched:
        patched.setattr(third, "commit_all", failing)
        with pytest.raises(FatalFault):
            take(endpoint, night)
        rows = archives.parquet(tmp_path / "rows.parquet", [archives.source(1)])
        with pytest.raises(FatalFault):
            catalogs.load(endpoint, "sp_test", "source", [rows])
    assert lying(endpoint) == registered(endpoint) == {"main": set(), "second": set(), "third": set()}
    assert take(endpoint, night).counts == {Status.NEW: 12}


def test_a_file_that_comes_back_otherwise_is_not_kept(
    endpoint: Endpoint, night: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = endpoint.store
    commit_all = main.commit_all

    def rotting(files: Any) -> None:
        commit_all(files)
        for _, path in files:
            (endpoint.config.store / path).write_bytes(b"rotten")

    monkeypatch.setattr(main, "commit_all", rotting)
    with pytest.raises(FatalFault, match="read back with other bytes"):
        take(endpoint, night)
    assert registered(endpoint) == {"main": set(), "second": set(), "third": set()}


@pytest.mark.parametrize("label", ["ingest.staged", "store.named", "ingest.named", "ingest.registering"])
def test_a_process_that_is_killed_leaves_nothing_half_in_any_store(endpoint: Endpoint, night: Path, label: str) -> None:
    """``store.named`` is reached once in each store: the second time the first one has its files already."""
    times = "@2" if label == "store.named" else ""
    command = [str(Path(sys.executable).parent / "archive"), "ingest", str(night), "--type", "other"]
    command += ["--release", "sp_test", "--collection", "notes"]
    settings = {
        "ARCHIVE_HOME": str(endpoint.config.home),
        "ARCHIVE_DESCRIPTIONS": str(endpoint.config.descriptions),
        "ARCHIVE_STORES": " ".join(endpoint.config.stores),
        "ARCHIVE_COPIES": "second third",
        "ARCHIVE_RESERVE": "0",
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ARCHIVE_")}
    killed = subprocess.run(command, env=clean | settings | {"CRASH_AT": f"{label}=kill{times}"}, capture_output=True)
    assert killed.returncode == -9, killed.stderr
    assert registered(endpoint) == {"main": set(), "second": set(), "third": set()}
    with endpoint.ledger.write() as transaction:
        transaction.execute(schema.process.update().values(lease="2000-01-01T00:00:00.000000Z"))
    assert take(endpoint, night).counts == {Status.NEW: 12}
    assert lying(endpoint) == registered(endpoint)
    assert {len(paths) for paths in lying(endpoint).values()} == {12}


@pytest.mark.parametrize("copies", [("main",), ("fourth",), ("kept",)])
def test_copies_are_stores_that_take_files(tmp_path: Path, data: Path, copies: tuple[str, ...]) -> None:
    stores = (f"kept=file://{tmp_path}?readonly=yes",)
    with pytest.raises(UsageFault, match=f"'{copies[0]}', which is no other store that takes files"):
        archives.make(tmp_path / "home", data, stores=stores, copies=copies)


def test_the_setting_is_a_list_of_names(tmp_path: Path) -> None:
    told = Config.load({"ARCHIVE_HOME": str(tmp_path), "ARCHIVE_COPIES": "second, third"})
    assert told.copies == ("second", "third")
