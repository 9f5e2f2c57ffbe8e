"""The whole archive on one PostgreSQL: ledger, catalogs and jobs in the database that one setting names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import pyvo

from tests import clusters
from tests.e2e.conftest import PostgresSite, fill, free_port, serving
from tests.e2e.sky import Stars


@pytest.fixture(scope="module")
def tap(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[pyvo.dal.TAPService]:
    home = tmp_path_factory.mktemp("postgres")
    site = PostgresSite(home / "archive", free_port(), clusters.database(home))
    fill(site, data)
    with serving(site):
        yield pyvo.dal.TAPService(site.tap)


def test_a_cone_finds_the_stars_in_it(tap: pyvo.dal.TAPService, stars: Stars) -> None:
    found = tap.search(
        "SELECT star_id FROM ext_tycho2.star WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(56.75, 24.12, 1))"
    )
    assert len(found) > 0
    assert len(tap.search("SELECT star_id FROM ext_tycho2.star", maxrec=10_000_000)) == len(stars.ra)


def test_its_tables_are_described(tap: pyvo.dal.TAPService) -> None:
    assert "ext_tycho2.star" in tap.tables
    assert len(tap.search("SELECT * FROM TAP_SCHEMA.tables")) > 5


def test_jobs_run(tap: pyvo.dal.TAPService) -> None:
    job = tap.submit_job("SELECT COUNT(*) AS n FROM ext_tycho2.star")
    job.run()
    job.wait(timeout=60)
    job.raise_if_error()
    assert job.fetch_result()["n"][0] > 0


def test_uploads_are_joined(tap: pyvo.dal.TAPService) -> None:
    few = tap.search("SELECT TOP 20 star_id, ra, dec FROM ext_tycho2.star").to_table()
    joined = tap.search(
        "SELECT m.star_id FROM TAP_UPLOAD.mine AS m JOIN ext_tycho2.star AS s"
        " ON DISTANCE(m.ra, m.dec, s.ra, s.dec) < 0.0001",
        uploads={"mine": few},
    )
    assert len(joined) >= 20
