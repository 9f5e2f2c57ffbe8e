"""Dropping by real processes, killed at each labelled step; what the verbs say; what is told of a dropped file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy import select

from archive.app import create_app
from archive.backbone.dropping import drop, sweep, undrop
from archive.backbone.endpoint import Endpoint
from archive.backbone.ingest import ingest
from archive.backbone.receiving import Request, Terms
from archive.backbone.sources import LocalFile
from archive.backbone.steps import LABELS, VARIABLE
from archive.cli import archive
from archive.faults import Fault
from archive.ledger import chain, holdings, schema
from tests.archives import make, run_verb, silence

URI = "archive://archive.test/sp_test/c/f"
DROP = [label for label in LABELS if label.startswith("drop.")]
UNDROP = [label for label in LABELS if label.startswith("undrop.")]
SWEEP = [label for label in LABELS if label.startswith("sweep.")]


@pytest.fixture
def endpoint(tmp_path: Path, data: Path) -> Endpoint:
    """An archive with one file that may be dropped."""
    endpoint = make(tmp_path / "home", data, reserve=0)
    (tmp_path / "f").write_bytes(b"content")
    ingest(endpoint, [Request("f", LocalFile(tmp_path / "f"), Terms("intermediate", "sp_test", "c"))])
    return endpoint


def is_seen(endpoint: Endpoint) -> bool:
    with endpoint.ledger.read() as transaction:
        assert chain.check(transaction) is None
        held = holdings.find(transaction, URI)
    assert held is not None
    return bool(held.copies)


def check_stored(endpoint: Endpoint) -> None:
    """What lies in the store is what the ledger says, byte for byte."""
    with endpoint.ledger.read() as transaction:
        known = set(transaction.execute(select(schema.replica.c.path)).scalars())
    assert set(endpoint.store.paths()) == known


def end_grace(endpoint: Endpoint) -> None:
    with endpoint.ledger.write() as transaction:
        transaction.execute(schema.leaving.update().values(until="2026-01-01T00:00:00.000000Z"))


def killed(endpoint: Endpoint, label: str, *arguments: str) -> None:
    done = run_verb(endpoint, *arguments, **{VARIABLE: f"{label}=kill"})
    assert done.returncode == -9, done.stdout + done.stderr
    silence(endpoint)


@pytest.mark.requirement("DMS-DBB-REQ-0019")
@pytest.mark.parametrize("label", DROP)
def test_a_drop_that_is_killed(label: str, endpoint: Endpoint) -> None:
    killed(endpoint, label, "drop", URI, "--force", "--reason", "room")
    assert is_seen(endpoint) == (label == "drop.noting")
    check_stored(endpoint)
    drop(endpoint, [URI], reason="room", forced=True)
    assert not is_seen(endpoint)
    assert undrop(endpoint, [URI], reason="needed") == [URI]
    assert is_seen(endpoint)


@pytest.mark.requirement("DMS-DBB-REQ-0019")
@pytest.mark.parametrize("label", UNDROP)
def test_a_return_that_is_killed(label: str, endpoint: Endpoint) -> None:
    drop(endpoint, [URI], reason="room", forced=True)
    killed(endpoint, label, "undrop", URI, "--reason", "needed")
    assert is_seen(endpoint) == (label == "undrop.noted")
    undrop(endpoint, [URI], reason="needed")
    assert is_seen(endpoint)
    check_stored(endpoint)


@pytest.mark.requirement("DMS-DBB-REQ-0019")
@pytest.mark.parametrize("label", SWEEP)
def test_a_sweep_that_is_killed(label: str, endpoint: Endpoint) -> None:
    drop(endpoint, [URI], reason="room", forced=True)
    end_grace(endpoint)
    killed(endpoint, label, "sweep")
    assert not is_seen(endpoint)
    assert bool(list(endpoint.store.paths())) == (label == "sweep.taken")
    assert sweep(endpoint).copies == (0 if label == "sweep.noted" else 1)
    assert list(endpoint.store.paths()) == []
    check_stored(endpoint)


@pytest.fixture
def client(endpoint: Endpoint) -> FlaskClient:
    return create_app(endpoint.config).test_client()


def test_who_asks_for_a_file_that_was_dropped_is_told_since_when(endpoint: Endpoint, client: FlaskClient) -> None:
    assert client.get("/files/sp_test/c/f").data == b"content"
    drop(endpoint, [URI], reason="room", forced=True)
    answer = client.get("/files/sp_test/c/f")
    assert answer.status_code == 410
    assert "is not kept here since 20" in answer.text
    undrop(endpoint, [URI], reason="needed")
    assert client.get("/files/sp_test/c/f").data == b"content"


def said(endpoint: Endpoint, *arguments: str, code: int = 0) -> str:
    settings = {"ARCHIVE_HOME": str(endpoint.config.home), "ARCHIVE_DESCRIPTIONS": str(endpoint.config.descriptions)}
    done = CliRunner(env=settings).invoke(archive, list(arguments), standalone_mode=False)
    if isinstance(done.exception, Fault):
        assert done.exception.exit_code == code
        return str(done.exception)
    assert done.exception is None, done.exception
    assert code == 0
    return done.stdout


def test_the_verbs_say_what_they_do(endpoint: Endpoint) -> None:
    assert "is pinned until 20" in said(endpoint, "pin", "add", URI, "--days", "3", "--reason", "a paper")
    (pin,) = json.loads(said(endpoint, "--json", "pin", "list"))["pins"]
    assert (pin["uri"], pin["reason"]) == (URI, "a paper")
    refused = said(endpoint, "drop", URI, "--reason", "room", "--force", code=2)
    assert "has pinned it until 20" in refused
    assert "is pinned no more" in said(endpoint, "pin", "remove", URI)
    assert "Say which files." in said(endpoint, "drop", "--reason", "room", code=2)
    assert "0 files (0 bytes) would be dropped." in said(
        endpoint, "drop", "--rule", "expired", "--reason", "x", "--dry-run"
    )
    with endpoint.ledger.write() as transaction:
        transaction.execute(schema.artifact.update().values(registered="2026-01-01T00:00:00.000000Z"))
    told = said(endpoint, "drop", "--rule", "expired", "--reason", "nightly", "--dry-run")
    assert f"{URI}: its 30 days ended on 2026-01-31.\n1 files (7 bytes) would be dropped." in told
    assert is_seen(endpoint)
    assert json.loads(said(endpoint, "--json", "drop", "--rule", "expired", "--reason", "nightly")) == {
        "dropped": {"expired": 1},
        "bytes": 7,
        "dry_run": False,
    }
    assert "is here again" in said(endpoint, "undrop", URI, "--reason", "needed")
    assert "was not dropped" in said(endpoint, "undrop", URI, "--reason", "needed")
    said(endpoint, "drop", URI, "--force", "--reason", "room")
    end_grace(endpoint)
    assert "1 copies (7 bytes) would be deleted." in said(endpoint, "sweep", "--dry-run")
    assert json.loads(said(endpoint, "--json", "sweep")) == {"copies": 1, "bytes": 7, "held": [], "dry_run": False}
    assert "ingest it again" in said(endpoint, "undrop", URI, "--reason", "late", code=2)
