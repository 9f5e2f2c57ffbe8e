"""Second thoughts: metadata corrected, files taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from archive.backbone import catalogs, gathering
from archive.backbone.amendments import amend, retract
from archive.backbone.endpoint import Endpoint
from archive.backbone.ingest import ingest
from archive.backbone.receiving import Status, Terms
from archive.faults import NotFound, UsageFault
from archive.ledger import files, products, schema
from tests import clusters
from tests.archives import make, parquet, snapshot, source
from tests.observations import DIFFERENCE, image

PLACE = "archive://archive.test/sp_test"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path, data: Path) -> Endpoint:
    database = None if request.param == "sqlite" else clusters.empty(tmp_path)
    return make(tmp_path / "home", data, database=database, reserve=0)


def telemetry(endpoint: Endpoint, folder: Path, name: str = "t.csv") -> str:
    """Ingest a file of telemetry; returns its URI."""
    (folder / name).write_text("time,temperature\n1,2\n")
    terms = Terms("engineering_data", "sp_test", "efd", {"subsystem": "dome"}, {"*": "not told"})
    ingest(endpoint, gathering.copied([folder / name], terms))
    return f"{PLACE}/efd/{name}"


def difference(endpoint: Endpoint, folder: Path, science: str) -> str:
    """Ingest a difference image made from ``science``; returns its URI."""
    (folder / "d.fits").write_bytes(image({**DIFFERENCE, "SCIENCE": science}))
    terms = Terms("difference_image", "sp_test", "diff", nulls={"*": "not told"})
    ingest(endpoint, gathering.copied([folder / "d.fits"], terms))
    return f"{PLACE}/diff/d.fits"


def happened(endpoint: Endpoint, kind: str) -> list[dict[str, Any]]:
    with endpoint.ledger.read() as transaction:
        return list(transaction.execute(select(schema.event.c.body).where(schema.event.c.kind == kind)).scalars())


def test_metadata_is_corrected_and_the_log_keeps_what_was_said(endpoint: Endpoint, tmp_path: Path) -> None:
    uri = telemetry(endpoint, tmp_path)
    done = amend(endpoint, uri, {"subsystem": "mount"}, reason="mixed up", by="carol")
    assert (done.revision, done.changed) == (2, ("subsystem",))
    with endpoint.ledger.read() as transaction:
        number = files.find(transaction, [uri])[uri].id
        found = products.find(transaction, [number])[number]
    assert found.revision == 2
    assert found.product.metadata["subsystem"]["value"] == "mount"  # type: ignore[index,call-overload]
    (told,) = happened(endpoint, "amend")
    assert (told["uri"], told["revision"], told["actor"], told["reason"]) == (uri, 2, "carol", "mixed up")
    (first,) = happened(endpoint, "artifact")
    assert first["product"]["metadata"]["subsystem"]["value"] == "dome"
    before = snapshot(endpoint)
    assert amend(endpoint, uri, {"subsystem": "mount"}, reason="again").changed == ()
    assert amend(endpoint, uri, {"subsystem": "x"}, reason="try", dry_run=True).changed == ("subsystem",)
    assert snapshot(endpoint) == before


def test_amendments_that_are_wrong(endpoint: Endpoint, tmp_path: Path) -> None:
    uri = telemetry(endpoint, tmp_path)
    before = snapshot(endpoint)
    with pytest.raises(UsageFault, match="No reason is given"):
        amend(endpoint, uri, {"subsystem": "x"}, reason=" ")
    with pytest.raises(UsageFault, match="subsytem"):
        amend(endpoint, uri, {"subsytem": "x"}, reason="typo")
    with pytest.raises(NotFound, match="no such file"):
        amend(endpoint, f"{uri}x", {"subsystem": "x"}, reason="other")
    assert snapshot(endpoint) == before


def test_what_was_retracted_never_comes_back(endpoint: Endpoint, tmp_path: Path) -> None:
    uri = telemetry(endpoint, tmp_path)
    assert retract(endpoint, [uri], reason="wrong night", by="carol") == (uri,)
    assert retract(endpoint, [uri], reason="again") == ()
    with endpoint.ledger.read() as transaction:
        assert files.find(transaction, [uri])[uri].retracted is not None
        assert transaction.execute(select(schema.replica.c.want)).scalar_one() == "drop"
    (told,) = happened(endpoint, "retract")
    assert (told["uri"], told["actor"], told["reason"]) == (uri, "carol", "wrong night")
    terms = Terms("engineering_data", "sp_test", "efd", {"subsystem": "dome"}, {"*": "not told"})
    again = ingest(endpoint, gathering.copied([tmp_path / "t.csv"], terms))
    assert again.counts == {Status.REFUSED: 1}
    assert "was retracted" in str(again.refused[0].fault)
    with pytest.raises(UsageFault, match="was retracted"):
        amend(endpoint, uri, {"subsystem": "x"}, reason="late")


@pytest.mark.requirement("DMS-DBB-REQ-0047")
def test_what_others_were_made_from_is_kept(endpoint: Endpoint, tmp_path: Path) -> None:
    science = telemetry(endpoint, tmp_path)
    made = difference(endpoint, tmp_path, science)
    before = snapshot(endpoint)
    with pytest.raises(UsageFault, match=r"diff/d\.fits was made from these files\. Name all of them too"):
        retract(endpoint, [science], reason="bad")
    assert snapshot(endpoint) == before
    assert retract(endpoint, [science, made], reason="bad", dry_run=True) == (science, made)
    assert snapshot(endpoint) == before
    assert set(retract(endpoint, [science, made], reason="bad")) == {science, made}


def test_inputs_of_tables_are_kept(endpoint: Endpoint, tmp_path: Path) -> None:
    catalogs.load(endpoint, "sp_test", "source", [parquet(tmp_path / "a.parquet", [source(1)])])
    with endpoint.ledger.read() as transaction:
        uris = list(transaction.execute(select(schema.artifact.c.uri)).scalars())
    for uri in uris:
        with pytest.raises(UsageFault, match=r"Rows of sp_test\.source were made from"):
            retract(endpoint, [uri], reason="bad")


def test_nothing_is_retracted_if_one_is_unknown(endpoint: Endpoint, tmp_path: Path) -> None:
    uri = telemetry(endpoint, tmp_path)
    with pytest.raises(NotFound, match="no such file"):
        retract(endpoint, [uri, f"{uri}x"], reason="bad")
    assert happened(endpoint, "retract") == []
