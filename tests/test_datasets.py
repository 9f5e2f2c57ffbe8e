"""Datasets: files and rows that belong together, sealed once, found whole, never smaller."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from archive.backbone import catalogs, collecting, datasets, gathering
from archive.backbone.amendments import retract
from archive.backbone.endpoint import Endpoint
from archive.backbone.ingest import ingest
from archive.backbone.publish import publish
from archive.backbone.receiving import Terms
from archive.faults import NotFound, UsageFault
from archive.ledger import collections, files, replicas, schema
from archive.ledger import datasets as facts
from archive.ledger.collections import Kind
from archive.ledger.datasets import Dataset, State
from tests import clusters
from tests.archives import make, parquet, source

PLACE = "archive://archive.test/sp_test"
RUN = "sp_test/run1"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path, data: Path) -> Endpoint:
    database = None if request.param == "sqlite" else clusters.empty(tmp_path)
    return make(tmp_path / "home", data, database=database, reserve=0)


def kept(endpoint: Endpoint, folder: Path, *names: str) -> list[str]:
    """Ingest a small file for each name; returns their URIs."""
    for name in names:
        (folder / name).write_text(f"{name}\n")
    terms = Terms("other", "sp_test", "run1")
    ingest(endpoint, gathering.copied([folder / name for name in names], terms))
    return [f"{PLACE}/run1/{name}" for name in names]


def begun(endpoint: Endpoint, exposure: str = "1", **options: Any) -> Dataset:
    return datasets.begin(endpoint, RUN, "raw_exposure", {"exposure": exposure, "instrument": "cam"}, **options)


def whole(endpoint: Endpoint, uris: Sequence[str], exposure: str = "1") -> Dataset:
    """A sealed dataset of these files."""
    dataset = begun(endpoint, exposure)
    datasets.add(endpoint, dataset.uri, uris)
    return datasets.seal(endpoint, dataset.uri).dataset


def lose(endpoint: Endpoint, uri: str) -> None:
    with endpoint.ledger.write() as transaction:
        number = files.find(transaction, [uri])[uri].id
        replicas.mark_bad(transaction, number, "main", "other bytes")


def found(endpoint: Endpoint, exposure: str = "1") -> Dataset | None:
    with endpoint.ledger.read() as transaction:
        return facts.found(transaction, RUN, "raw_exposure", f"exposure={exposure},instrument=cam")


def happened(endpoint: Endpoint, kind: str) -> list[dict[str, Any]]:
    with endpoint.ledger.read() as transaction:
        return list(transaction.execute(select(schema.event.c.body).where(schema.event.c.kind == kind)).scalars())


@pytest.mark.requirement("DMS-DBB-REQ-0032")
def test_files_and_rows_are_sealed_together(endpoint: Endpoint, tmp_path: Path) -> None:
    uris = kept(endpoint, tmp_path, "a", "b")
    catalogs.load(endpoint, "sp_test", "source", [parquet(tmp_path / "s.parquet", map(source, range(20)))])
    publish(endpoint, "sp_test")
    dataset = begun(endpoint)
    assert dataset.uri == "archive://archive.test/datasets/sp_test/run1/raw_exposure/exposure=1,instrument=cam/1"
    assert found(endpoint) is None
    assert datasets.add(endpoint, dataset.uri, uris, role="image").files == 2
    assert datasets.add(endpoint, dataset.uri, uris).files == 0
    assert datasets.add_rows(endpoint, dataset.uri, "sp_test.source", "flux < 5").rows == 5
    assert datasets.add_rows(endpoint, dataset.uri, "sp_test.source", "flux < 5").rows == 0
    sealed = datasets.seal(endpoint, dataset.uri, expected=2)
    assert sealed.won
    assert found(endpoint) == sealed.dataset
    shown = datasets.show(endpoint, f"{RUN}/raw_exposure/exposure=1,instrument=cam")
    assert shown.complete
    assert [(each.uri, each.role) for each in shown.files] == [(uri, "image") for uri in uris]
    assert [(each.name, each.rows) for each in shown.rows] == [("sp_test.source where flux < 5", 5)]
    assert (shown.dataset.files, shown.dataset.size, shown.dataset.rows) == (2, 4, 5)
    assert datasets.seal(endpoint, dataset.uri) == sealed
    kinds = ("dataset", "dataset-files", "dataset-rows", "dataset-seal")
    assert [len(happened(endpoint, kind)) for kind in kinds] == [1, 1, 1, 1]
    assert happened(endpoint, "dataset-seal")[0]["digest"] == shown.dataset.digest


def test_only_conditions_on_the_table_alone_choose_rows(endpoint: Endpoint, tmp_path: Path) -> None:
    catalogs.load(endpoint, "sp_test", "source", [parquet(tmp_path / "s.parquet", map(source, range(3)))])
    publish(endpoint, "sp_test")
    dataset = begun(endpoint)
    for condition in (
        "1=1 GROUP BY flux",
        "flux IN (SELECT flux FROM sp_test.source)",
        "1=1 UNION SELECT 1 FROM x",
        "n =",
    ):
        with pytest.raises(UsageFault):
            datasets.add_rows(endpoint, dataset.uri, "sp_test.source", condition)
    with pytest.raises(NotFound, match="published"):
        datasets.add_rows(endpoint, dataset.uri, "sp_test.nothing")
    assert datasets.add_rows(endpoint, dataset.uri, "sp_test.source").rows == 3


@pytest.mark.requirement("DMS-DBB-REQ-0032")
def test_losing_bytes_makes_it_incomplete_never_smaller(endpoint: Endpoint, tmp_path: Path) -> None:
    uris = kept(endpoint, tmp_path, "a", "b")
    dataset = whole(endpoint, uris)
    lose(endpoint, uris[1])
    shown = datasets.show(endpoint, dataset.uri)
    assert not shown.complete
    assert [(each.what, each.why) for each in shown.missing] == [(uris[1], "has no good copy here")]
    assert shown.dataset == dataset
    assert len(shown.files) == 2
    kept(endpoint, tmp_path, "b")
    assert datasets.show(endpoint, dataset.uri).complete


@pytest.mark.requirement("DMS-DBB-REQ-0033")
def test_what_is_not_whole_is_not_sealed(endpoint: Endpoint, tmp_path: Path) -> None:
    uris = kept(endpoint, tmp_path, "a", "b")
    dataset = begun(endpoint)
    with pytest.raises(UsageFault, match="is empty"):
        datasets.seal(endpoint, dataset.uri)
    datasets.add(endpoint, dataset.uri, uris)
    with pytest.raises(UsageFault, match="2 files of 3"):
        datasets.seal(endpoint, dataset.uri, expected=3)
    lose(endpoint, uris[0])
    with pytest.raises(UsageFault, match="has no good copy here") as caught:
        datasets.seal(endpoint, dataset.uri)
    assert uris[0] in caught.value.message
    assert found(endpoint) is None


@pytest.mark.requirement("DMS-DBB-REQ-0033")
def test_every_attempt_ends_in_success_or_failure(endpoint: Endpoint, tmp_path: Path) -> None:
    uris = kept(endpoint, tmp_path, "a")
    first = begun(endpoint)
    assert datasets.fail(endpoint, first.uri, reason="no memory").state is State.FAILED
    with pytest.raises(UsageFault, match="no memory"):
        datasets.add(endpoint, first.uri, uris)
    second = begun(endpoint)
    assert second.attempt == 2
    assert datasets.fail(endpoint, second.uri, reason="bad header", for_good=True).state is State.GIVEN_UP
    with pytest.raises(UsageFault, match="given up: bad header") as caught:
        begun(endpoint)
    assert "--again" in caught.value.remedy
    third = begun(endpoint, again=True)
    datasets.add(endpoint, third.uri, uris)
    assert datasets.seal(endpoint, third.uri).won
    states = [each.state for each in datasets.show(endpoint, third.uri).attempts]
    assert states == [State.FAILED, State.GIVEN_UP, State.FOUND]
    with pytest.raises(UsageFault, match="sealed"):
        datasets.fail(endpoint, third.uri, reason="second thoughts")


def test_an_attempt_that_nobody_touches_has_failed_in_time(endpoint: Endpoint) -> None:
    left = begun(endpoint, lease=timedelta(seconds=-1))
    after = begun(endpoint)
    assert after.attempt == 2
    assert datasets.show(endpoint, left.uri).dataset.state is State.FAILED


@pytest.mark.requirement("DMS-DBB-REQ-0033")
def test_the_second_whole_result_is_told_which_is_found(endpoint: Endpoint, tmp_path: Path) -> None:
    uris = kept(endpoint, tmp_path, "a", "b")
    first, second = begun(endpoint), begun(endpoint)
    datasets.add(endpoint, first.uri, uris[:1])
    datasets.add(endpoint, second.uri, uris[1:])
    assert datasets.seal(endpoint, second.uri).won
    lost = datasets.seal(endpoint, first.uri)
    assert not lost.won
    assert (lost.dataset.state, lost.found.uri) == (State.SPARE, second.uri)
    assert datasets.seal(endpoint, first.uri) == lost
    assert found(endpoint) == lost.found
    with pytest.raises(UsageFault, match="No reason"):
        datasets.withdraw(endpoint, second.uri, reason=" ")
    datasets.withdraw(endpoint, second.uri, reason="wrong flat")
    assert found(endpoint) is None
    third = begun(endpoint)
    datasets.add(endpoint, third.uri, uris)
    assert datasets.seal(endpoint, third.uri).won


def test_the_database_holds_what_is_sealed_and_that_one_is_found(endpoint: Endpoint, tmp_path: Path) -> None:
    uris = kept(endpoint, tmp_path, "a", "b")
    first = whole(endpoint, uris[:1])
    second = begun(endpoint)
    datasets.add(endpoint, second.uri, uris[1:])
    spare = datasets.seal(endpoint, second.uri).dataset
    dataset, member = schema.dataset, schema.dataset_file
    for change in (
        dataset.update().where(dataset.c.id == spare.id).values(state="found"),
        member.delete().where(member.c.dataset == first.id),
        member.update().where(member.c.dataset == first.id).values(role="other"),
    ):
        engine = endpoint.ledger._database._writing
        with pytest.raises(DBAPIError), engine.connect() as connection, connection.begin():
            connection.execute(change)
    with endpoint.ledger.write() as transaction:
        transaction.execute(
            member.insert().values(dataset=first.id, artifact=files.find(transaction, uris)[uris[1]].id)
        )
    assert not datasets.show(endpoint, first.uri).intact


@pytest.mark.requirement("DMS-DBB-REQ-0032")
def test_files_of_a_dataset_that_stands_are_not_retracted(endpoint: Endpoint, tmp_path: Path) -> None:
    (uri,) = kept(endpoint, tmp_path, "a")
    dataset = whole(endpoint, [uri])
    with pytest.raises(UsageFault, match="raw_exposure"):
        retract(endpoint, [uri], reason="a mistake")
    datasets.withdraw(endpoint, dataset.uri, reason="a mistake")
    assert retract(endpoint, [uri], reason="a mistake") == (uri,)
    with pytest.raises(UsageFault, match="retracted"):
        datasets.add(endpoint, begun(endpoint).uri, [uri])


def test_a_tagged_collection_holds_one_of_each(endpoint: Endpoint, tmp_path: Path) -> None:
    uris = kept(endpoint, tmp_path, "a", "b")
    first = whole(endpoint, uris[:1])
    second = whole(endpoint, uris[1:])
    with endpoint.ledger.write() as transaction:
        collections.create(transaction, "sp_test/best", Kind.TAGGED, "what we like")
    name = f"{RUN}/raw_exposure/exposure=1,instrument=cam"
    assert collecting.tag(endpoint, "sp_test/best", [name]) == 1
    assert collecting.tag(endpoint, "sp_test/best", [first.uri]) == 0
    with pytest.raises(UsageFault, match=first.uri):
        collecting.tag(endpoint, "sp_test/best", [second.uri])
    assert collecting.tag(endpoint, "sp_test/best", [second.uri], replace=True) == 1
    shown = datasets.show(endpoint, "sp_test/best/raw_exposure/exposure=1,instrument=cam")
    assert (shown.dataset.uri, shown.held_by) == (second.uri, ("sp_test/best",))
    with pytest.raises(UsageFault, match="sp_test/best"):
        datasets.withdraw(endpoint, second.uri, reason="a mistake")
    with pytest.raises(UsageFault, match="is open"):
        collecting.tag(endpoint, "sp_test/best", [begun(endpoint).uri])
    assert collecting.untag(endpoint, "sp_test/best", [second.uri]) == 1
    assert collecting.untag(endpoint, "sp_test/best", [second.uri]) == 0


def test_files_come_into_runs_alone(endpoint: Endpoint, tmp_path: Path) -> None:
    kept(endpoint, tmp_path, "a")
    with endpoint.ledger.read() as transaction:
        assert [(each.name, each.kind) for each in collections.all_of(transaction)] == [(RUN, Kind.RUN)]
    with endpoint.ledger.write() as transaction:
        collections.create(transaction, "sp_test/best", Kind.TAGGED)
    with pytest.raises(UsageFault, match="of kind tagged"):
        ingest(endpoint, gathering.copied([tmp_path / "a"], Terms("other", "sp_test", "best")))
    with pytest.raises(UsageFault, match="of kind tagged"):
        datasets.begin(endpoint, "sp_test/best", "x", {"a": "b"})
    with endpoint.ledger.write() as transaction, pytest.raises(UsageFault, match="of kind run"):
        collections.create(transaction, RUN, Kind.CALIBRATION)


@pytest.mark.parametrize(
    ("collection", "kind", "data_id"),
    [("raw", "x", {"a": "b"}), ("dr1/raw", "X y", {"a": "b"}), ("dr1/raw", "x", {}), ("dr1/raw", "x", {"A": "b"}),
     ("dr1/raw", "x", {"a": " "})],
)  # fmt: skip
def test_names_are_checked(endpoint: Endpoint, collection: str, kind: str, data_id: dict[str, str]) -> None:
    with pytest.raises(UsageFault):
        datasets.begin(endpoint, collection, kind, data_id)


def test_what_is_not_there_is_told(endpoint: Endpoint, tmp_path: Path) -> None:
    dataset = begun(endpoint)
    with pytest.raises(NotFound, match="no such file"):
        datasets.add(endpoint, dataset.uri, [f"{PLACE}/run1/never"])
    for name in ("archive://archive.test/datasets/x", f"{RUN}/raw_exposure/exposure=7", "nothing"):
        with pytest.raises(NotFound):
            datasets.show(endpoint, name)


RACER = """
import sys
from pathlib import Path
from archive.backbone import datasets
from archive.backbone.endpoint import Endpoint
from archive.config import Config
with Endpoint.open(Config.load(home=Path(sys.argv[1]))) as endpoint:
    print("ready", flush=True)
    sys.stdin.readline()
    sealed = datasets.seal(endpoint, sys.argv[2])
    print(sealed.dataset.state, sealed.found.uri)
"""


@pytest.mark.requirement("DMS-DBB-REQ-0033")
def test_of_racing_writers_exactly_one_is_found(endpoint: Endpoint, tmp_path: Path) -> None:
    names = "abcd"
    uris = kept(endpoint, tmp_path, *names)
    attempts = []
    for uri in uris:
        attempts.append(begun(endpoint))
        datasets.add(endpoint, attempts[-1].uri, [uri])
    config = endpoint.config
    environment = {"ARCHIVE_DESCRIPTIONS": str(config.descriptions), "PATH": ""}
    environment |= {"ARCHIVE_DATABASE": config.database} if config.database else {}
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(config.home), each.uri],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for each in attempts
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    told = [racer.communicate(timeout=60)[0].split() for racer in racers]
    assert sorted(state for state, _ in told) == ["found", "spare", "spare", "spare"]
    best = found(endpoint)
    assert best is not None
    assert {uri for _, uri in told} == {best.uri}
    assert [each.uri for each, (state, _) in zip(attempts, told, strict=True) if state == "found"] == [best.uri]
