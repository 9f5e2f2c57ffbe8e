"""Releases: open, frozen under a manifest that says all, published in one commit, withdrawn from the public alone."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from archive.app import create_app
from archive.backbone import catalogs, gathering, releasing, sealing
from archive.backbone.amendments import amend, retract
from archive.backbone.endpoint import Endpoint
from archive.backbone.ingest import ingest
from archive.backbone.receiving import Status, Terms
from archive.cli import archive
from archive.faults import NotFound, TransientFault, UsageFault
from archive.ledger import contents, grants, schema, tokens
from archive.ledger.contents import Seal, State
from tests import clusters
from tests.archives import make, parquet, snapshot, source

PLACE = "archive://archive.test/sp_test"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path, data: Path) -> Endpoint:
    database = None if request.param == "sqlite" else clusters.database(tmp_path)
    return make(tmp_path / "home", data, database=database, reserve=0)


def deliver(endpoint: Endpoint, folder: Path, name: str, public_from: str | None = None) -> Status:
    """Ingest a file of telemetry; tells what became of it."""
    (folder / name).write_text(f"time,temperature\n1,{name}\n")
    terms = Terms("engineering_data", "sp_test", "efd", {"subsystem": "dome"}, {"*": "not told"}, public_from)
    (status,) = ingest(endpoint, gathering.copied([folder / name], terms)).counts
    return status


def filled(endpoint: Endpoint, folder: Path) -> Endpoint:
    """The release ``sp_test`` with two files and a table."""
    releasing.create(endpoint, "sp_test")
    for name in ("b.csv", "a.csv"):
        assert deliver(endpoint, folder, name) is Status.NEW
    catalogs.load(endpoint, "sp_test", "source", [parquet(folder / "s.parquet", [source(1), source(2)])])
    return endpoint


def manifest(endpoint: Endpoint) -> bytes:
    with endpoint.ledger.read() as transaction:
        content = contents.named(transaction, "sp_test")
        place = transaction.execute(
            select(schema.replica.c.path)
            .join(schema.artifact, schema.artifact.c.id == schema.replica.c.artifact)
            .where(schema.artifact.c.uri == content.manifest)
        ).scalar_one()
    with endpoint.store.local(place) as path:
        return path.read_bytes()


def happened(endpoint: Endpoint) -> list[tuple[str, dict[str, Any]]]:
    """The events of releases."""
    with endpoint.ledger.read() as transaction:
        rows = transaction.execute(select(schema.event).order_by(schema.event.c.seq)).all()
    return [(row.kind, row.body) for row in rows if row.kind.startswith("release-")]


@pytest.mark.requirement("DMS-DBB-REQ-0032")
def test_a_frozen_release_is_all_in_its_manifest(endpoint: Endpoint, tmp_path: Path) -> None:
    filled(endpoint, tmp_path)
    content = sealing.freeze(endpoint, "sp_test", by="carol", reason="reviewed")
    text = manifest(endpoint)
    assert hashlib.sha256(text).hexdigest() == content.digest
    told = json.loads(text)
    assert (told["format"], told["release"]) == ("archive-release/1", "sp_test")
    assert [each["uri"] for each in told["products"]] == [f"{PLACE}/efd/a.csv", f"{PLACE}/efd/b.csv"]
    (part,), (delivery,) = told["parts"], told["deliveries"]
    assert (part["table"], part["rows"], delivery["rows"]) == ("sp_test.source", 2, 2)
    files = [*told["products"], part, delivery]
    assert told["totals"] == {"files": 4, "bytes": sum(each["size"] for each in files)}
    assert (content.state, content.files, content.bytes) == (State.FROZEN, 4, told["totals"]["bytes"])
    for entry in files:
        with endpoint.ledger.read() as transaction:
            known = transaction.execute(
                select(schema.artifact.c.sha256).where(schema.artifact.c.uri == entry["uri"])
            ).scalar_one()
        assert entry["sha256"] == known
    (created, _), (frozen, body) = happened(endpoint)
    assert (created, frozen) == ("release-created", "release-frozen")
    assert (body["actor"], body["reason"], body["sha256"]) == ("carol", "reviewed", content.digest)
    before = snapshot(endpoint)
    assert sealing.freeze(endpoint, "sp_test") == content
    assert snapshot(endpoint) == before


def test_the_same_content_has_the_same_manifest_wherever_it_lies(tmp_path: Path, data: Path) -> None:
    """Times, the order of arrival and the paths in stores are not in it; of tables, the names of parts are."""
    digests = set()
    for home, names in (("one", ("a.csv", "b.csv")), ("two", ("b.csv", "a.csv"))):
        endpoint = make(tmp_path / home, data, reserve=0)
        releasing.create(endpoint, "sp_test")
        for name in names:
            deliver(endpoint, tmp_path, name)
        digests.add(sealing.freeze(endpoint, "sp_test").digest)
        endpoint.close()
    assert len(digests) == 1


def test_nothing_frozen_changes(endpoint: Endpoint, tmp_path: Path) -> None:
    filled(endpoint, tmp_path)
    manifest_ = str(sealing.freeze(endpoint, "sp_test").manifest)
    before = snapshot(endpoint)
    refused: list[Callable[[], object]] = [
        lambda: amend(endpoint, f"{PLACE}/efd/a.csv", {"subsystem": "mount"}, reason="better known"),
        lambda: amend(endpoint, f"{PLACE}/efd/a.csv", {"subsystem": "mount"}, reason="try", dry_run=True),
        lambda: retract(endpoint, [f"{PLACE}/efd/a.csv"], reason="a mistake"),
        lambda: retract(endpoint, [manifest_], reason="a mistake"),
        lambda: catalogs.load(endpoint, "sp_test", "source", [parquet(tmp_path / "t.parquet", [source(3)])]),
    ]
    for change in refused:
        with pytest.raises(UsageFault, match="'sp_test' was frozen on") as caught:
            change()
        assert caught.value.status == 409
    assert deliver(endpoint, tmp_path, "c.csv") is Status.REFUSED
    assert snapshot(endpoint) == before
    assert deliver(endpoint, tmp_path, "a.csv") is Status.KNOWN  # what is there may come again
    again = catalogs.load(endpoint, "sp_test", "source", [tmp_path / "s.parquet"])
    assert again.known == ("s.parquet",)


def test_a_release_that_is_being_frozen_is_left_alone_as_long_as_its_process_lives(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    filled(endpoint, tmp_path)
    with endpoint.attend("ingest") as slow:
        with endpoint.ledger.write() as transaction:
            contents.begin_freezing(transaction, "sp_test", slow.id)
        with pytest.raises(TransientFault, match="is being frozen"):
            retract(endpoint, [f"{PLACE}/efd/a.csv"], reason="a mistake")
        with pytest.raises(TransientFault, match="is being frozen"):
            sealing.freeze(endpoint, "sp_test")
        assert deliver(endpoint, tmp_path, "c.csv") is Status.REFUSED
        with endpoint.ledger.write() as transaction:  # taken for dead
            transaction.execute(schema.process.update().values(lease="2000-01-01T00:00:00.000000Z"))
        assert deliver(endpoint, tmp_path, "c.csv") is Status.NEW
        slow.beat()
        with endpoint.ledger.write() as transaction, pytest.raises(TransientFault, match="taken for dead"):
            contents.freeze(transaction, "sp_test", slow.id, Seal(1, "0" * 64, 3, 10))
    assert sealing.freeze(endpoint, "sp_test").files == 5


def test_of_a_freeze_and_changes_at_the_same_time_one_comes_first(endpoint: Endpoint, tmp_path: Path) -> None:
    """Whatever was told to be kept is in the manifest, and what was refused is not."""
    filled(endpoint, tmp_path)
    became: dict[str, Status] = {}

    def keep_delivering() -> None:
        for number in range(12):
            (folder := tmp_path / f"n{number}").mkdir()
            became[f"n{number}.csv"] = deliver(endpoint, folder, f"n{number}.csv")

    busy = threading.Thread(target=keep_delivering)
    busy.start()
    sealing.freeze(endpoint, "sp_test")
    busy.join()
    listed = {each["uri"].rpartition("/")[2] for each in json.loads(manifest(endpoint))["products"]}
    assert listed == {"a.csv", "b.csv", *(name for name, status in became.items() if status is Status.NEW)}
    assert releasing.look(endpoint, "sp_test").is_whole


def test_what_is_not_whole_is_not_frozen(endpoint: Endpoint, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no release 'sp_test'"):
        sealing.freeze(endpoint, "sp_test")
    filled(endpoint, tmp_path)
    with endpoint.ledger.write() as transaction:
        transaction.execute(schema.replica.update().values(has="bad"))
    with pytest.raises(UsageFault, match=r"not whole: .*efd/a\.csv.* cannot be read here"):
        sealing.freeze(endpoint, "sp_test")
    with endpoint.ledger.write() as transaction:
        assert contents.named(transaction, "sp_test").freezing is None
        transaction.execute(schema.replica.update().values(has="present"))
    assert sealing.freeze(endpoint, "sp_test").state is State.FROZEN


def test_the_public_gets_files_and_tables_of_a_frozen_release_in_one_commit(endpoint: Endpoint, tmp_path: Path) -> None:
    filled(endpoint, tmp_path)
    deliver(endpoint, tmp_path, "secret.csv", "2099-01-01T00:00:00.000000Z")
    with pytest.raises(UsageFault, match="is not frozen"):
        releasing.publish(endpoint, "sp_test")
    sealing.freeze(endpoint, "sp_test")
    done = releasing.publish(endpoint, "sp_test", by="carol")
    assert (dict(done.rows), done.files) == ({"sp_test.source": 2}, 1)
    kind, body = happened(endpoint)[-1]
    assert (kind, body["files"], body["actor"]) == ("release-published", 1, "carol")
    assert ("sp_test", "source") in endpoint.ledger.published().editions
    before = snapshot(endpoint)
    assert (dict((again := releasing.publish(endpoint, "sp_test")).rows), again.files) == ({}, 0)
    assert snapshot(endpoint) == before


def test_looking_compares_what_is_here_with_what_was_sealed(endpoint: Endpoint, tmp_path: Path) -> None:
    filled(endpoint, tmp_path)
    sealing.freeze(endpoint, "sp_test")
    found = releasing.look(endpoint, "sp_test")
    assert found.is_whole
    assert found.holds.products == {"engineering_data": 2}
    assert found.holds.tables == {"sp_test.source": 2}
    with endpoint.ledger.write() as transaction:
        number = select(schema.artifact.c.id).where(schema.artifact.c.uri == f"{PLACE}/efd/a.csv").scalar_subquery()
        transaction.execute(schema.replica.update().where(schema.replica.c.artifact == number).values(has="bad"))
        other = select(schema.artifact.c.id).where(schema.artifact.c.uri == f"{PLACE}/efd/b.csv").scalar_subquery()
        transaction.execute(
            schema.product.update().where(schema.product.c.artifact == other).values(collection="other")
        )
    found = releasing.look(endpoint, "sp_test")
    assert found.missing == (f"{PLACE}/efd/a.csv",)
    assert [line.partition(":")[0] for line in found.wrong] == [
        "Sealed, and not in the ledger",
        "In the ledger, and not sealed",
    ]
    assert all("efd/b.csv" in line for line in found.wrong)


def test_a_withdrawn_release_is_closed(endpoint: Endpoint, tmp_path: Path) -> None:
    filled(endpoint, tmp_path)
    sealing.freeze(endpoint, "sp_test")
    releasing.publish(endpoint, "sp_test")
    revision = endpoint.ledger.published().revision
    with pytest.raises(UsageFault, match="No reason"):
        releasing.withdraw(endpoint, "sp_test", reason=" ")
    assert releasing.withdraw(endpoint, "sp_test", reason="wrong photometry")
    assert endpoint.ledger.published().revision > revision
    assert not releasing.withdraw(endpoint, "sp_test", reason="again")
    for change in (releasing.publish, sealing.freeze):
        with pytest.raises(NotFound, match=r"was withdrawn on .*: wrong photometry"):
            change(endpoint, "sp_test")
    assert deliver(endpoint, tmp_path, "c.csv") is Status.REFUSED
    assert releasing.look(endpoint, "sp_test").is_whole


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def test_the_public_is_told_that_a_release_was_withdrawn_and_staff_still_have_it(
    kind: str, tmp_path: Path, data: Path
) -> None:
    database = None if kind == "sqlite" else clusters.database(tmp_path)
    endpoint = filled(make(tmp_path / "home", data, database=database, reserve=0), tmp_path)
    sealing.freeze(endpoint, "sp_test")
    releasing.publish(endpoint, "sp_test")
    with endpoint.ledger.write() as transaction:
        grants.add(transaction, "ruth", "reader")
        staff = {"Authorization": f"Bearer {tokens.create(transaction, 'ruth', 'reader')}"}
    client = create_app(endpoint.config).test_client()

    def asked(query: str, **headers: str) -> tuple[int, str]:
        given = {"LANG": "ADQL", "FORMAT": "csv", "QUERY": query}
        response = client.get("/tap/sync", query_string=given, headers=headers)
        return response.status_code, response.text

    count = "SELECT COUNT(*) AS n FROM sp_test.source"
    listed = "SELECT COUNT(*) AS n FROM TAP_SCHEMA.tables WHERE schema_name = 'sp_test'"
    files = "SELECT COUNT(*) AS n FROM backbone.files WHERE release = 'sp_test'"
    assert asked(count) == (200, "n\r\n2\r\n")
    assert asked(listed) != (200, "n\r\n0\r\n")
    assert asked(files) != (200, "n\r\n0\r\n")
    assert client.get("/files/sp_test/efd/a.csv").status_code == 200
    releasing.withdraw(endpoint, "sp_test", reason="wrong photometry")
    for query in (count, f"SELECT * FROM ({count}) AS t"):
        status, text = asked(query)
        assert (status, "'sp_test' was withdrawn on" in text, "wrong photometry" in text) == (410, True, True)
    assert asked(count, **staff) == (200, "n\r\n2\r\n")
    assert asked(listed) == (200, "n\r\n0\r\n")
    assert asked(files) == (200, "n\r\n0\r\n")
    assert client.get("/files/sp_test/efd/a.csv").status_code == 410
    assert client.get("/files/sp_test/efd/a.csv", headers=staff).status_code == 200


def test_verbs(tmp_path: Path, data: Path) -> None:
    endpoint = filled(make(tmp_path / "home", data, reserve=0), tmp_path)

    def run(*arguments: str) -> Result:
        home = ["--home", str(endpoint.config.home)]
        settings = {"ARCHIVE_RESERVE": "0", "ARCHIVE_DESCRIPTIONS": str(data)}
        return CliRunner().invoke(archive, [*home, "release", *arguments], env=settings, standalone_mode=False)

    assert "not frozen" in str(run("publish", "sp_test").exception)
    assert "is frozen: 4 files" in run("freeze", "sp_test").output
    assert "All of it is here and as it was sealed" in (shown := run("show", "sp_test")).output
    assert shown.return_value == 0
    assert "2 rows are shown" in run("publish", "sp_test").output
    with endpoint.ledger.write() as transaction:
        transaction.execute(schema.replica.update().where(schema.replica.c.path.endswith("a.csv")).values(has="bad"))
    assert f"Cannot be read here: {PLACE}/efd/a.csv" in (shown := run("show", "sp_test")).output
    assert shown.return_value == 2
    assert "is withdrawn" in run("withdraw", "sp_test", "--reason", "wrong").output
    assert "sp_test: created" in (told := run("list").output)
    assert "withdrawn" in told
