"""Tables that users bring along, through the whole service: pyvo, stilts, jobs, and what is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
import pyvo
from astropy.coordinates import Latitude, Longitude
from astropy.table import Table
from mocpy import MOC

from tests.e2e.conftest import Site
from tests.e2e.sky import Stars

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def service(site: Site) -> pyvo.dal.TAPService:
    return pyvo.dal.TAPService(site.tap)


def targets(stars: Stars, count: int) -> Table:
    """Positions of the first ``count`` stars, each a little off."""
    return Table({"target": np.arange(count), "my ra": stars.ra[:count] + 1e-5, "dec": stars.dec[:count]})


def test_what_is_sent_comes_back(service: pyvo.dal.TAPService, stars: Stars) -> None:
    sent = targets(stars, 20)
    got = service.run_sync('SELECT target, "my ra" FROM tap_upload.Mine ORDER BY target', uploads={"mine": sent})
    assert list(got["my ra"]) == list(sent["my ra"])


@pytest.mark.parametrize("run", ["run_sync", "run_async"])
def test_crossmatch_with_a_published_table(run: str, service: pyvo.dal.TAPService, stars: Stars) -> None:
    query = (
        'SELECT t.target, DISTANCE(s.ra, s.dec, t."my ra", t."dec") AS d FROM TAP_UPLOAD.mine AS t '
        'JOIN ext_tycho2.star AS s ON 1 = CONTAINS(POINT(s.ra, s.dec), CIRCLE(t."my ra", t."dec", 0.0001))'
    )
    got = getattr(service, run)(query, uploads={"mine": targets(stars, 50)})
    assert set(got["target"]) == set(range(50))
    assert max(got["d"]) < 0.0001


def test_stilts_sends_two_tables(site: Site, tmp_path: Path, program: Callable[[str], str]) -> None:
    for name in ("a", "b"):
        Table({"k": np.arange(4), name: np.arange(4.0)}).write(tmp_path / f"{name}.fits")
    command = [
        program("stilts"), "tapquery", f"tapurl={site.tap}", "nupload=2", f"upload1={tmp_path}/a.fits",
        f"upload2={tmp_path}/b.fits", "upname1=one", "upname2=two", "sync=true", "ofmt=csv",
        "adql=SELECT one.k, a + b AS s FROM TAP_UPLOAD.one JOIN TAP_UPLOAD.two ON one.k = two.k ORDER BY 1",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.split() == ["k,s", "0,0.0", "1,2.0", "2,4.0", "3,6.0"], done.stderr


def test_a_coverage_map_selects_published_stars(service: pyvo.dal.TAPService, stars: Stars, tmp_path: Path) -> None:
    area = MOC.from_cone(lon=Longitude(80 * u.deg), lat=Latitude(-66 * u.deg), radius=7 * u.deg, max_depth=9)
    (tmp_path / "area.txt").write_text(area.to_string("ascii"))  # pyvo reads files as text
    query = "SELECT s.star_id FROM ext_tycho2.star AS s, TAP_UPLOAD.lmc WHERE 1 = CONTAINS(POINT(s.ra, s.dec), lmc.moc)"
    got = service.run_sync(query, uploads={"lmc": str(tmp_path / "area.txt")})
    inside = area.contains_lonlat(stars.ra * u.deg, stars.dec * u.deg)
    assert inside.sum() > 20
    assert set(got["star_id"]) == set(stars.star_id[inside])


def test_taplint_has_nothing_to_say_of_uploads(site: Site, program: Callable[[str], str]) -> None:
    command = [program("stilts"), "taplint", f"tapurl={site.tap}", "stages=CAP UPL", "report=EWF"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    told = [line for line in done.stdout.splitlines() if line[:2] in ("E-", "W-", "F-") and "-UPL-" in line]
    assert (done.returncode, told) == (0, [])
    assert "Errors: 0" in done.stdout
