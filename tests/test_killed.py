"""Loading and publishing by real processes that are killed, or whose disk fails, at each labelled step.

What ingest does is in ``test_ingest.py``.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import select

from archive.backbone import catalogs
from archive.backbone.endpoint import Endpoint
from archive.backbone.publish import publish
from archive.backbone.steps import LABELS, VARIABLE
from archive.faults import FatalFault
from archive.ledger import chain, files, schema
from archive.query import Question, answer
from tests import clusters
from tests.archives import make, parquet, reopened, run_verb, silence, source

pytestmark = [
    pytest.mark.service,
    pytest.mark.requirement("DMS-DBB-REQ-0019"),
    pytest.mark.requirement("DMS-DBB-REQ-0056"),
]

LOAD = [label for label in LABELS if label.startswith(("load.", "store."))]
PUBLISH = [label for label in LABELS if label.startswith("publish.")]
ERRORS = ("ENOSPC", "EIO")
PUBLISHED = ("publish.switched", "publish.removed")


@pytest.fixture(params=["sqlite", "postgresql"])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path, data: Path) -> Endpoint:
    """One row is shown."""
    database = None if request.param == "sqlite" else clusters.empty(tmp_path)
    endpoint = make(tmp_path / "home", data, database=database, reserve=0)
    catalogs.load(endpoint, "sp_test", "source", [parquet(tmp_path / "first.parquet", [source(1)])])
    publish(endpoint, "sp_test")
    return endpoint


@pytest.fixture
def more(tmp_path: Path) -> Path:
    return parquet(tmp_path / "more.parquet", map(source, range(2, 50)))


def shown(endpoint: Endpoint) -> int:
    """The rows that a process sees which begins now."""
    other = reopened(endpoint.config)
    result = answer(Question("SELECT COUNT(*) AS n FROM sp_test.source"), other.ledger, other.engine)
    rows: int = pa.Table.from_batches(result.batches)[0][0].as_py()
    other.close()
    return rows


def loaded(endpoint: Endpoint) -> int:
    with endpoint.ledger.read() as transaction:
        assert chain.check(transaction) is None
        return files.newest_state(transaction, ("sp_test", "source")).rows


def check_stored(endpoint: Endpoint) -> None:
    """The store holds what is registered and nothing else."""
    with endpoint.ledger.read() as transaction:
        registered = set(transaction.execute(select(schema.replica.c.path)).scalars())
        assert transaction.execute(select(schema.arrival)).all() == []
    assert registered == set(endpoint.store.paths())
    assert list(endpoint.config.store.glob("staging/*/*")) == []


def check_loading_completes(endpoint: Endpoint, label: str, more: Path) -> None:
    """What was registered stays, of all else nothing is left; the same again is harmless, or completes it."""
    assert (shown(endpoint), loaded(endpoint)) == (1, 49 if label == "load.registered" else 1)
    catalogs.load(endpoint, "sp_test", "source", [more])
    check_stored(endpoint)
    publish(endpoint, "sp_test")
    assert (shown(endpoint), loaded(endpoint)) == (49, 49)


@pytest.mark.parametrize("label", LOAD)
def test_a_load_that_is_killed(label: str, endpoint: Endpoint, more: Path) -> None:
    killed = run_verb(endpoint, "load", "sp_test", "source", str(more), **{VARIABLE: f"{label}=kill"})
    assert killed.returncode == -9, killed.stderr
    silence(endpoint)
    check_loading_completes(endpoint, label, more)


@pytest.mark.parametrize(("label", "error"), list(zip(LOAD, itertools.cycle(ERRORS), strict=False)))
def test_a_load_whose_disk_fails(label: str, error: str, endpoint: Endpoint, more: Path) -> None:
    failed = run_verb(endpoint, "load", "sp_test", "source", str(more), **{VARIABLE: f"{label}={error}"})
    assert (failed.returncode, "Traceback" in failed.stderr) == (FatalFault.exit_code, False)
    check_stored(endpoint)
    check_loading_completes(endpoint, label, more)


@pytest.mark.parametrize("label", PUBLISH)
def test_a_publication_that_is_killed(label: str, endpoint: Endpoint, more: Path) -> None:
    catalogs.load(endpoint, "sp_test", "source", [more])
    killed = run_verb(endpoint, "publish", "sp_test", **{VARIABLE: f"{label}=kill"})
    assert killed.returncode == -9, killed.stderr
    silence(endpoint)
    check_publishing_completes(endpoint, label)


@pytest.mark.parametrize(("label", "error"), list(zip(PUBLISH, itertools.cycle(ERRORS), strict=False)))
def test_a_publication_whose_disk_fails(label: str, error: str, endpoint: Endpoint, more: Path) -> None:
    catalogs.load(endpoint, "sp_test", "source", [more])
    failed = run_verb(endpoint, "publish", "sp_test", **{VARIABLE: f"{label}={error}"})
    assert (failed.returncode, "Traceback" in failed.stderr) == (FatalFault.exit_code, False)
    check_publishing_completes(endpoint, label)


def check_publishing_completes(endpoint: Endpoint, label: str) -> None:
    assert shown(endpoint) == (49 if label in PUBLISHED else 1)
    publish(endpoint, "sp_test")
    assert shown(endpoint) == 49
    with endpoint.ledger.read() as transaction:
        unfinished = select(schema.edition.c.number).where(schema.edition.c.place.is_(None))
        assert transaction.execute(unfinished).all() == []
