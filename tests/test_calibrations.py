"""Calibrations: valid for a time, never two at once, and exactly one for an exposure."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from archive.backbone import collecting, datasets, gathering
from archive.backbone.calibrations import Fit, for_exposure
from archive.backbone.endpoint import Endpoint
from archive.backbone.ingest import ingest
from archive.backbone.receiving import Terms
from archive.faults import NotFound, TransientFault, UsageFault
from archive.ledger import certified, collections, files, replicas, schema
from archive.ledger.certified import Certified
from archive.ledger.collections import Kind
from archive.ledger.connections import connected
from archive.sky import Interval
from tests import clusters
from tests.archives import make
from tests.observations import BIAS, LSST, TAN, image

PLACE = "archive://archive.test/sp_test"
CALIB = "sp_test/calib"
EXPOSURE = LSST["OBSID"]
TAKEN = 61100.16979  # MJD of the exposure
SCOPE = {"type": "bias", "instrument": "LSSTCam"}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path, data: Path) -> Endpoint:
    database = None if request.param == "sqlite" else clusters.empty(tmp_path)
    made = make(tmp_path / "home", data, database=database, reserve=0)
    collecting.create(made, CALIB, Kind.CALIBRATION)
    return made


def kept(endpoint: Endpoint, folder: Path, kind: str, name: str, cards: Any) -> str:
    """Ingest an image; returns its URI."""
    (folder / name).write_bytes(image(cards))
    terms = Terms(kind, "sp_test", kind, nulls={"*": "not told"})
    done = ingest(endpoint, gathering.copied([folder / name], terms))
    assert not done.refused
    return f"{PLACE}/{kind}/{name}"


def bias(endpoint: Endpoint, folder: Path, name: str = "bias.fits", **cards: Any) -> str:
    return kept(endpoint, folder, "calibration", name, {**BIAS, **cards})


def exposed(endpoint: Endpoint, folder: Path, detector: str = "R22_S11") -> str:
    return kept(endpoint, folder, "raw_image", f"{detector}.fits", {**TAN, **LSST, "DETECTOR": detector})


def fit(endpoint: Endpoint, kind: str = "bias", **options: Any) -> Fit:
    (found,) = for_exposure(endpoint, EXPOSURE, kind, **options)
    return found


def valid(endpoint: Endpoint) -> list[Certified]:
    with endpoint.ledger.read() as transaction:
        return certified.of(transaction, collections.named(transaction, CALIB))


@pytest.mark.requirement("DMS-DBB-REQ-0012")
def test_the_calibration_for_an_exposure_is_exactly_one(endpoint: Endpoint, tmp_path: Path) -> None:
    first, second = exposed(endpoint, tmp_path), exposed(endpoint, tmp_path, "R22_S12")
    march = bias(endpoint, tmp_path)
    other = bias(endpoint, tmp_path, "other.fits", DETECTOR="R22_S12")
    april = bias(endpoint, tmp_path, "april.fits", VALIDBEG="2026-04-01T00:00:00", VALIDEND="2026-05-01")
    with pytest.raises(NotFound, match="No bias of LSSTCam, detector R22_S11"):
        fit(endpoint, detector="R22_S11")
    for uri in (april, march, other):
        assert collecting.certify(endpoint, CALIB, uri)[1]
        assert not collecting.certify(endpoint, CALIB, uri)[1]
    found = for_exposure(endpoint, EXPOSURE, "zero")  # another word for bias
    assert [(each.file, each.files) for each in found] == [(first, (march,)), (second, (other,))]
    assert [each.files for each in for_exposure(endpoint, second, "bias")] == [(other,)]
    with pytest.raises(NotFound, match="No flat_broadband"):
        fit(endpoint, "flat", detector="R22_S11")
    with pytest.raises(NotFound, match="no exposure"):
        for_exposure(endpoint, "never", "bias")
    with endpoint.ledger.write() as transaction:
        replicas.mark_bad(transaction, files.find(transaction, [march])[march].id, "main", "other bytes")
    with pytest.raises(TransientFault, match="not complete here"):
        fit(endpoint, detector="R22_S11")


@pytest.mark.requirement("DMS-DBB-REQ-0012")
def test_what_fits_twice_is_told(endpoint: Endpoint, tmp_path: Path) -> None:
    exposed(endpoint, tmp_path)
    collecting.create(endpoint, "sp_test/others", Kind.CALIBRATION)
    uri = bias(endpoint, tmp_path)
    collecting.certify(endpoint, CALIB, uri)
    collecting.certify(endpoint, "sp_test/others", uri)
    with pytest.raises(UsageFault, match="Several bias") as caught:
        fit(endpoint)
    assert CALIB in caught.value.message
    assert fit(endpoint, collection="sp_test/others").calibration.collection == "sp_test/others"


@pytest.mark.requirement("DMS-DBB-REQ-0012")
def test_validities_do_not_overlap(endpoint: Endpoint, tmp_path: Path) -> None:
    old = bias(endpoint, tmp_path)
    new = bias(endpoint, tmp_path, "new.fits", **{"DATE-BEG": "2026-03-01T20:00:00"})
    every = bias(endpoint, tmp_path, "all.fits", **{"DETECTOR": "", "DATE-BEG": "2026-03-02T20:00:00"})
    collecting.certify(endpoint, CALIB, old, 10, 20)
    for uri, span in ((new, (19, 30)), (new, (5, 11)), (new, (12, 13)), (every, (0, 100))):
        with pytest.raises(UsageFault, match="is valid in sp_test/calib from MJD 10") as caught:
            collecting.certify(endpoint, CALIB, uri, *span)
        assert "--replace" in caught.value.remedy
    collecting.certify(endpoint, CALIB, new, 20, 30)
    with pytest.raises(UsageFault, match="no time"):
        collecting.certify(endpoint, CALIB, new, 40, 40)
    collecting.certify(endpoint, CALIB, every, 12, 25, replace=True)
    assert [(each.scope.detector, each.valid) for each in valid(endpoint)] == [
        (None, Interval(12, 25)),
        ("R22_S11", Interval(10, 12)),
        ("R22_S11", Interval(25, 30)),
    ]
    collecting.certify(endpoint, CALIB, every, 24, 26, replace=True)  # its own time grows
    assert valid(endpoint)[0].valid == Interval(12, 26)
    assert collecting.decertify(endpoint, CALIB, every, Interval(15, 16)) == 1
    assert [each.valid for each in valid(endpoint)[:2]] == [Interval(12, 15), Interval(16, 26)]
    assert collecting.decertify(endpoint, CALIB, every) == 2
    (sealed,) = {each.uri for each in valid(endpoint) if each.valid.low == 26}
    with pytest.raises(UsageFault, match=CALIB):
        datasets.withdraw(endpoint, sealed, reason="wrong")


def test_datasets_of_several_files_are_certified_by_their_data_id(endpoint: Endpoint, tmp_path: Path) -> None:
    uris = [bias(endpoint, tmp_path, f"{name}.fits", DETECTOR=name) for name in ("a", "b")]
    made = datasets.begin(endpoint, "sp_test/calibration", "bias", {"instrument": "LSSTCam", "month": "2026-03"})
    datasets.add(endpoint, made.uri, uris)
    with pytest.raises(UsageFault, match="is open"):
        collecting.certify(endpoint, CALIB, made.uri, 61000)
    datasets.seal(endpoint, made.uri)
    with pytest.raises(UsageFault, match="Since when"):
        collecting.certify(endpoint, CALIB, made.uri)
    found, _ = collecting.certify(endpoint, CALIB, made.uri, 61000)
    assert (found.scope.detector, found.valid) == (None, Interval(61000))
    exposed(endpoint, tmp_path)
    assert fit(endpoint).files == tuple(uris)
    unnamed = datasets.begin(endpoint, "sp_test/calibration", "bias", {"month": "2026-04"})
    datasets.add(endpoint, unnamed.uri, uris)
    datasets.seal(endpoint, unnamed.uri)
    with pytest.raises(UsageFault, match="For which instrument"):
        collecting.certify(endpoint, CALIB, unnamed.uri, 62000)


@pytest.mark.requirement("DMS-DBB-REQ-0012")
def test_the_database_lets_none_overlap(endpoint: Endpoint, tmp_path: Path) -> None:
    """Writers that go round the ledger's lock and its questions: of overlapping rows one comes in at most."""
    sealed, _ = collecting.certify(endpoint, CALIB, bias(endpoint, tmp_path), 10, 20)
    table = schema.certified
    with endpoint.ledger.read() as transaction:
        place = collections.named(transaction, CALIB).id
    row: dict[str, Any] = {"collection": place, "dataset": sealed.dataset, **SCOPE}
    refused: list[dict[str, Any]] = [
        {"detector": "R22_S11", "valid_from": 19.0, "valid_to": 21.0},
        {"detector": None, "valid_from": None, "valid_to": 11.0},
        {"detector": "R22_S11", "filter": "r", "valid_from": 5.0, "valid_to": None},
        {"detector": None, "valid_from": None, "valid_to": None},
    ]
    taken: list[dict[str, Any]] = [
        {"detector": "R22_S11", "valid_from": 20.0, "valid_to": 21.0},
        {"detector": "R22_S11", "valid_from": None, "valid_to": 10.0},
        {"detector": "R22_S12", "valid_from": 10.0, "valid_to": 20.0},
    ]
    engine = connected(endpoint.config.ledger_url, pooled=False).execution_options(archive_writes=True)
    for values in refused:
        with pytest.raises(DBAPIError, match="certified_once"), engine.begin() as connection:
            connection.execute(table.insert().values(**row, **values))
    for values in taken:
        with engine.begin() as connection:
            connection.execute(table.insert().values(**row, **values))
    with pytest.raises(DBAPIError, match="certified_once"), engine.begin() as connection:
        connection.execute(table.update().where(table.c.valid_from == 20.0).values(valid_from=19.0))
    together = threading.Barrier(4)
    ends: list[bool] = []

    def write(number: int) -> None:
        with engine.connect() as connection:
            together.wait()
            try:
                with connection.begin():
                    span = {"valid_from": 100.0 + number, "valid_to": 110.0 + number}
                    connection.execute(table.insert().values(**row, detector="R22_S11", **span))
                ends.append(True)
            except DBAPIError:
                ends.append(False)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == [False, False, False, True]
    with engine.begin() as connection:
        late = connection.execute(sa.select(sa.func.count()).where(table.c.valid_from >= 100)).scalar_one()
    assert late == 1
    engine.dispose()
