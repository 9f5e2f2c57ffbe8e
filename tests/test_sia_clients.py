"""Images found with pyvo's client of SIA 2.0, parameter by parameter, and with stilts, which checks the answers too."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import astropy.units as u
import pytest
import pyvo
from astropy.coordinates import SkyCoord
from astropy.time import Time

from tests.faces import listening
from tests.imaged import Imaged, filled, imaged

pytestmark = pytest.mark.service

GALAXY = {"gc_j", "gc_h", "gc_k"}
TAN = {"raw", "secret", "processed", "difference"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Imaged]:
    made = imaged(tmp_path_factory.mktemp("sia"), data, asked=True)
    yield made
    made.close()


@pytest.fixture(scope="module")
def uris(archive: Imaged) -> Mapping[str, str]:
    return filled(archive)


@pytest.fixture(scope="module")
def address(archive: Imaged, uris: Mapping[str, str]) -> Iterator[str]:
    with listening(archive.client.application) as url:
        yield url


CENTRE = SkyCoord(266.42, -29.0, unit="deg")
NIGHT = Time("2026-03-01T04:04:00", scale="utc")
SEARCHES: list[tuple[dict[str, Any], set[str]]] = [
    ({"pos": (CENTRE, 0.1 * u.deg)}, GALAXY),
    ({"pos": (266.4, -29.0, 1e-6)}, GALAXY),
    ({"pos": (266.3, 266.5, -29.1, -28.9)}, GALAXY),
    ({"pos": (52.9, -28.1, 53.1, -28.1, 53.0, -27.9)}, TAN),
    ({"pos": [(266.4, -29.0, 0.1), (53.0, -28.0, 0.1)]}, GALAXY | TAN),
    ({"band": (1.2e-6 * u.m, 1.3e-6 * u.m)}, {"gc_j"}),
    ({"band": (600 * u.nm, 620 * u.nm)}, TAN),
    ({"time": (NIGHT, NIGHT + 60 * u.s)}, TAN),
    ({"time": Time("2000-01-01")}, set()),
    ({"pol": "I"}, set()),
    ({"field_of_view": (0.1, 1.0)}, GALAXY),
    ({"spatial_resolution": (0.5 * u.arcsec, 1 * u.arcsec)}, {"raw", "secret"}),
    ({"spectral_resolving_power": (7.0, 8.0)}, {"gc_j"}),
    ({"exptime": 30}, TAN),
    ({"timeres": (10, 40)}, TAN),
    ({"publisher_did": "IVO://archive.test/files?sp_test/2MASS/gc_2mass_j.fits"}, {"gc_j"}),
    ({"facility": "Simonyi Survey Telescope"}, {"raw", "secret"}),
    ({"collection": "2mass"}, GALAXY),
    ({"instrument": "LSSTCam"}, TAN),
    ({"data_type": "image"}, GALAXY | TAN),
    ({"data_type": "cube"}, set()),
    ({"calib_level": [1, 2]}, {"raw", "secret", "processed"}),
    ({"target_name": "ddf_ecdfs"}, {"raw", "secret"}),
    ({"res_format": "application/x-votable+xml;content=datalink"}, GALAXY | TAN),
    ({"instrument": "LSSTCam", "calib_level": 3}, {"difference"}),
]


@pytest.mark.parametrize(("asked", "expected"), SEARCHES, ids=lambda each: "-".join(sorted(each)) or "nothing")
def test_pyvo_finds_images(asked: dict[str, Any], expected: set[str], uris: Mapping[str, str], address: str) -> None:
    rows = pyvo.dal.SIA2Service(f"{address}/sia2").search(**asked)
    names = {uri.replace("archive://archive.test/", "ivo://archive.test/files?"): name for name, uri in uris.items()}
    assert {names[row.obs_publisher_did] for row in rows} == expected


def test_pyvo_knows_the_columns_by_what_they_are(address: str) -> None:
    (row,) = pyvo.dal.SIA2Service(f"{address}/sia2").search(pos=(CENTRE, 0.1 * u.deg), band=1.25e-6)
    assert SkyCoord(row.s_ra, row.s_dec, unit="deg").separation(CENTRE) < 0.1 * u.deg
    assert row.em_min < 1.25e-6 * u.m < row.em_max
    assert row.access_format == "application/x-votable+xml;content=datalink"
    assert row.getdataurl().startswith(f"{address}/datalink/links?ID=")


def test_more_than_asked_for_is_told(address: str) -> None:
    found = pyvo.dal.SIA2Service(f"{address}/sia2").search(maxrec=2)
    assert (len(found), found.status[0]) == (2, "OVERFLOW")


def test_pyvo_shows_what_was_wrong(address: str) -> None:
    with pytest.raises(pyvo.dal.DALQueryError, match="DPTYPE takes image, cube"):
        pyvo.dal.SIA2Service(f"{address}/sia2").search(data_type="picture")


# --- stilts ---------------------------------------------------------------------------------------


# In TABLEDATA: votlint loses count in BINARY2 with arrays, in stilts' own files too (tests/test_results_votable.py).
@pytest.mark.parametrize("asked", ["", "MAXREC=0", "MAXREC=2&POS=CIRCLE+266.4+-29+0.1", "POS=x"])
def test_stilts_finds_no_fault_in_answers(
    archive: Imaged, uris: Mapping[str, str], stilts: Callable[..., str], tmp_path: Path, asked: str
) -> None:
    document = tmp_path / "images.vot"
    document.write_bytes(archive.client.get(f"/sia2/query?RESPONSEFORMAT=votable/td&{asked}").data)
    report = stilts("votlint", f"votable={document}").splitlines()
    assert [line for line in report if re.match(r"ERROR|WARNING|[EWF]-", line)] == []


def test_stilts_finds_the_images_at_each_of_many_places(
    address: str, stilts: Callable[..., str], tmp_path: Path
) -> None:
    places = tmp_path / "places.csv"
    places.write_text("place,ra,dec\ncentre,266.42,-29.0\nfield,53.0,-28.0\nnowhere,10,10\n")
    told = stilts(
        "coneskymatch", "servicetype=sia2", f"serviceurl={address}/sia2/query", f"in={places}", "ifmt=csv",
        "ra=ra", "dec=dec", "sr=0.05", "find=all", "ofmt=csv", "copycols=place", "emptyok=true",
    )  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(told)))
    found = [(row["place"], row["obs_collection"]) for row in rows]
    assert sorted(found) == sorted(
        [("centre", "2mass")] * 3 + [("field", "raw")] * 2 + [("field", "processed"), ("field", "difference")]
    )
