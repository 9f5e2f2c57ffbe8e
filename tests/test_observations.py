"""Rows of ``ivoa.obscore`` in the ledger: they come, change and go in the transactions of the files they tell of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from click.testing import CliRunner
from sqlalchemy import select

from archive import sky
from archive.backbone import gathering, observing
from archive.backbone.amendments import amend, retract
from archive.backbone.endpoint import Endpoint
from archive.backbone.examination import Coverage, coverage
from archive.backbone.ingest import ingest
from archive.backbone.inspection import inspect, skim
from archive.backbone.obscore import observed_types
from archive.backbone.receiving import Terms
from archive.backbone.steps import VARIABLE
from archive.cli import archive
from archive.ledger import files, observations, schema
from archive.ledger.observations import Observation
from archive.products import product_types
from archive.releases import shipped
from tests import clusters
from tests.archives import make, run_verb, snapshot
from tests.observations import DIFFERENCE, LSST, image, mosaic

IMAGES = Path(__file__).parent / "data" / "images"
PLACE = "archive://archive.test/sp_test"
TERMS = Terms("coadd", "sp_test", "survey", nulls={"*": "not told"})
TYPES = product_types([shipped()])


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path, data: Path) -> Endpoint:
    database = None if request.param == "sqlite" else clusters.empty(tmp_path)
    return make(tmp_path / "home", data, database=database, reserve=0)


def take(endpoint: Endpoint, *paths: Path, terms: Terms = TERMS) -> None:
    done = ingest(endpoint, gathering.copied(paths, terms))
    assert done.refused == ()


def exposure(folder: Path, name: str, **cards: Any) -> Path:
    (folder / name).write_bytes(mosaic({**LSST, **cards}))
    return folder / name


def rows(endpoint: Endpoint) -> dict[str, Observation]:
    """All rows by the names of their files."""
    with endpoint.ledger.read() as transaction:
        numbers = transaction.execute(select(schema.observation.c.artifact)).scalars().all()
        found = observations.find(transaction, numbers)
    return {each.obs_publisher_did.rpartition("/")[2]: each for each in found.values()}


def stored(endpoint: Endpoint, name: str) -> Any:
    """The row of a file as it stands."""
    table = schema.observation
    with endpoint.ledger.read() as transaction:
        return transaction.execute(select(table).where(table.c.obs_publisher_did.endswith(f"/{name}"))).one()


@pytest.mark.requirement("DMS-DBB-REQ-0002")
def test_images_are_observations_once_they_are_registered(endpoint: Endpoint, tmp_path: Path) -> None:
    paths = sorted(IMAGES.glob("*.fits"))
    take(endpoint, *paths)
    take(endpoint, exposure(tmp_path, "x.fits"), terms=replace(TERMS, type="raw_image", collection="raw"))
    kernel = fits.ImageHDU(np.ones((5, 5)), name="KERNEL")
    (tmp_path / "d.fits").write_bytes(image({**DIFFERENCE, "TIMESYS": "UTC"}, extensions=[kernel]))
    take(endpoint, tmp_path / "d.fits", terms=replace(TERMS, type="difference_image"))
    found = rows(endpoint)
    assert set(found) == {*(path.name for path in paths), "x.fits", "d.fits"}
    assert found["d.fits"].obs_creation_date == datetime(2026, 3, 2)
    assert found["d.fits"].calib_level == 3
    for path in paths:
        covered = coverage(inspect(path).hdus)
        row = found[path.name]
        assert (row.s_region, row.s_ra, row.s_fov, row.em_min) == (
            covered.outline,
            covered.ra,
            covered.fov,
            row.em_min if covered.em_min is None else covered.em_min,
        )
        assert row.obs_publisher_did == f"ivo://archive.test/files?sp_test/survey/{path.name}"
        assert row.access_estsize == -(-path.stat().st_size // 1000)
    assert found["l1448_13co.fits"].dataproduct_type == "cube"
    assert found["x.fits"].obs_title == "raw image: LSSTCam, exposure MC_O_20260228_000123, detector R22_S11, band r"
    released = found["x.fits"].obs_release_date
    assert released is not None
    assert datetime.now(UTC).replace(tzinfo=None) - released < timedelta(minutes=10)


def test_footprints_have_a_circle_around_them_and_positions_a_cell(endpoint: Endpoint) -> None:
    take(endpoint, IMAGES / "gc_2mass_j.fits", IMAGES / "M13_blue_0001.fits")
    row = stored(endpoint, "gc_2mass_j.fits")
    assert row._mapping["_healpix_29"] == sky.healpix_29([row.s_ra], [row.s_dec])[0]
    corners = SkyCoord(list(row.s_region[::2]), list(row.s_region[1::2]), unit="deg")
    middle = SkyCoord(row.s_region_lon, row.s_region_lat, unit="deg")
    assert middle.separation(corners).deg.max() <= row.s_region_reach
    assert row.s_region_reach < 0.6 * row.s_fov
    nowhere = stored(endpoint, "M13_blue_0001.fits")
    assert (nowhere.s_region, nowhere.s_region_reach, nowhere._mapping["_healpix_29"]) == (None, None, None)


def test_many_rows_at_once_are_as_single_ones(endpoint: Endpoint, tmp_path: Path) -> None:
    """PostgreSQL takes them by COPY then."""
    take(endpoint, exposure(tmp_path, "one.fits"))
    names = [exposure(tmp_path, f"{number}.fits", OBJECT=rf"a\N{number}") for number in range(12)]
    take(endpoint, *names)
    found = rows(endpoint)
    assert len(found) == 13
    for number in range(12):
        same = {"obs_publisher_did", "target_name", "obs_id", "obs_release_date", "access_estsize"}
        one, other = found["one.fits"], found[f"{number}.fits"]
        assert {name: getattr(one, name) for name in observations.COLUMNS if name not in same} == {
            name: getattr(other, name) for name in observations.COLUMNS if name not in same
        }
        assert other.target_name == rf"a\N{number}"


def test_what_is_no_image_has_no_row(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    take(endpoint, tmp_path / "notes.txt", terms=Terms("other", "sp_test", "notes"))
    assert rows(endpoint) == {}
    assert observing.due(endpoint) == []


def test_proprietary_images_are_told_of_and_say_so(endpoint: Endpoint) -> None:
    take(endpoint, IMAGES / "gc_2mass_j.fits", terms=replace(TERMS, public_from="2999-01-02T00:00:00.000000Z"))
    (row,) = rows(endpoint).values()
    assert (row.data_rights, row.obs_release_date) == ("proprietary", datetime(2999, 1, 2))


def test_amendments_reach_the_row(endpoint: Endpoint, tmp_path: Path) -> None:
    take(endpoint, exposure(tmp_path, "x.fits"), terms=replace(TERMS, type="raw_image"))
    before = rows(endpoint)["x.fits"]
    amend(endpoint, f"{PLACE}/survey/x.fits", {"band": "z", "target_name": "M 31"}, reason="mixed up")
    after = rows(endpoint)["x.fits"]
    assert (before.target_name, after.target_name) == ("ddf_ecdfs", "M 31")
    assert after.em_min is not None
    assert before.em_max is not None
    assert after.em_min > before.em_max
    kept = ("s_region", "s_fov", "obs_publisher_did", "obs_release_date", "t_min", "s_xel1", "access_estsize")
    assert [getattr(before, name) for name in kept] == [getattr(after, name) for name in kept]


def test_retracted_images_are_gone(endpoint: Endpoint) -> None:
    take(endpoint, IMAGES / "gc_2mass_j.fits", IMAGES / "gc_2mass_h.fits")
    retract(endpoint, [f"{PLACE}/survey/gc_2mass_j.fits"], reason="wrong field")
    assert set(rows(endpoint)) == {"gc_2mass_h.fits"}
    assert observing.due(endpoint) == []


def test_a_row_is_there_with_its_file_or_neither_is(endpoint: Endpoint) -> None:
    arguments: tuple[str, ...] = ("ingest", str(IMAGES / "gc_2mass_j.fits"), "--type", "coadd", "--release", "sp_test")
    arguments += ("--collection", "survey", "--null", "*=not told")
    done = run_verb(endpoint, *arguments, **{VARIABLE: "ingest.registering=kill"})
    assert done.returncode == -9
    assert rows(endpoint) == {}
    done = run_verb(endpoint, *arguments, **{VARIABLE: "ingest.registered=kill"})
    assert done.returncode == -9
    assert set(rows(endpoint)) == {"gc_2mass_j.fits"}


def test_the_event_tells_what_is_covered(endpoint: Endpoint) -> None:
    take(endpoint, IMAGES / "gc_bolocam_gps.fits")
    table = schema.event
    with endpoint.ledger.read() as transaction:
        bodies = transaction.execute(select(table.c.body).where(table.c.kind == "artifact")).scalars().all()
    told = [Coverage.from_json(body["coverage"]) for body in bodies if "coverage" in body]
    assert told == [coverage(inspect(IMAGES / "gc_bolocam_gps.fits").hdus)]


# --- files of which it is not known yet -----------------------------------------------------------


def forget(endpoint: Endpoint) -> None:
    """The ledger as an older program left it."""
    with endpoint.ledger.write() as transaction:
        transaction.execute(schema.observation.delete())
        transaction.execute(schema.coverage.delete())


def test_older_images_are_looked_at_again(endpoint: Endpoint, tmp_path: Path) -> None:
    take(endpoint, *sorted(IMAGES.glob("*.fits")))
    take(endpoint, exposure(tmp_path, "x.fits"), terms=replace(TERMS, type="raw_image"))
    before = rows(endpoint)
    forget(endpoint)
    assert len(observing.due(endpoint)) == 8
    done = observing.observe(endpoint)
    assert (done.files, done.unread) == (8, ())
    now = rows(endpoint)
    assert {name: replace(row, obs_release_date=None) for name, row in now.items()} == {
        name: replace(row, obs_release_date=None) for name, row in before.items()
    }
    again = snapshot(endpoint)
    assert observing.observe(endpoint).files == 0
    assert snapshot(endpoint) == again


def run(endpoint: Endpoint, *arguments: str) -> str:
    config = endpoint.config
    environment = {"ARCHIVE_DATABASE": config.database, "ARCHIVE_DESCRIPTIONS": str(config.descriptions)}
    return CliRunner().invoke(archive, ["--home", str(config.home), *arguments], env=environment).stdout


def test_the_upgrade_looks_at_them_and_tells_what_it_could_not_read(endpoint: Endpoint) -> None:
    take(endpoint, IMAGES / "gc_2mass_j.fits", IMAGES / "gc_2mass_h.fits")
    forget(endpoint)
    with endpoint.ledger.read() as transaction:
        known = files.find(transaction, [f"{PLACE}/survey/gc_2mass_j.fits"])
    (endpoint.config.store / known[f"{PLACE}/survey/gc_2mass_j.fits"].artifact.path).write_bytes(b"SIMPLE  = broken")
    assert "The headers of 2 files would be read." in run(endpoint, "upgrade", "--dry-run")
    told = run(endpoint, "upgrade")
    assert "The headers of 1 files were read." in told
    assert "1 files could not be read" in told
    assert set(rows(endpoint)) == {"gc_2mass_h.fits"}
    retract(endpoint, [f"{PLACE}/survey/gc_2mass_j.fits"], reason="broken")
    assert "up to date" in run(endpoint, "upgrade", "--dry-run")


@pytest.mark.parametrize("path", sorted(IMAGES.glob("*.fits")), ids=lambda path: path.stem)
def test_skimmed_headers_are_those_that_were_inspected(path: Path) -> None:
    content = path.read_bytes()
    skimmed = skim(path.name, len(content), lambda first, last: content[first:last])
    whole = inspect(path).hdus
    assert [(str(each), each.kind, each.shape, each.start, each.data_start) for each in skimmed] == [
        (str(each), each.kind, each.shape, each.start, each.data_start) for each in whole
    ]
    assert [each.header.tostring() for each in skimmed] == [each.header.tostring() for each in whole]


def test_types_that_are_observations() -> None:
    assert observed_types(TYPES) == ("raw_image", "processed_image", "difference_image", "coadd")
