"""Images in the terms of ObsCore: footprints, spectra and polarisation from real and made WCS, against astropy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import BarycentricMeanEcliptic, SkyCoord, Supergalactic
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from archive import sky
from archive.backbone.examination import Coverage, coverage, examine
from archive.backbone.inspection import Inspection, inspect
from archive.backbone.obscore import observation
from archive.ledger.files import Artifact
from archive.ledger.observations import Observation
from archive.products import product_types
from archive.releases import shipped
from tests import observations
from tests.observations import DIFFERENCE, LSST, TAN

IMAGES = Path(__file__).parent / "data" / "images"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
TYPES = product_types([shipped()])


def covered(content: bytes) -> Coverage:
    inspection = Inspection("file.fits")
    inspection.feed(content)
    return coverage(inspection.finish().hdus)


def image(cards: Mapping[str, Any], *shape: int) -> bytes:
    """An image of shape (..., rows, columns)."""
    return observations.packed([fits.PrimaryHDU(observations.pixels(*(shape or (12, 16))), observations.header(cards))])


def row(kind: str, content: bytes, given: Mapping[str, str] | None = None) -> Observation:
    inspection = Inspection("file.fits")
    inspection.feed(content)
    found = inspection.finish()
    product = examine(TYPES[kind], found, given, {"*": "not told"}, release="dr1", collection="night")
    artifact = Artifact("archive://a.test/dr1/night/file.fits", "0" * 64, found.size, "application/fits")
    made = observation(product, coverage(found.hdus), TYPES, artifact, NOW)
    assert made is not None
    return made


def vertices(found: Coverage) -> SkyCoord:
    assert found.outline is not None
    return SkyCoord(np.array(found.outline.vertices), unit="deg")


def corners(header: fits.Header) -> SkyCoord:
    """The outer corners of an image by astropy."""
    width, height = header["NAXIS1"], header["NAXIS2"]
    x, y = [-0.5, width - 0.5, width - 0.5, -0.5], [-0.5, -0.5, height - 0.5, height - 0.5]
    return WCS(header).celestial.pixel_to_world(x, y).icrs


def farthest(expected: SkyCoord, found: SkyCoord) -> float:
    """Degrees from any of ``expected`` to the nearest of ``found``, at most."""
    return max(float(each.separation(found).deg.min()) for each in expected)


# --- footprints -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [p for p in sorted(IMAGES.glob("*.fits")) if "M13" not in p.name], ids=lambda p: p.stem
)
def test_real_footprints_are_those_of_astropy(path: Path) -> None:
    found = coverage(inspect(path).hdus)
    expected = corners(fits.getheader(path))
    assert farthest(expected, vertices(found)) < 1e-6
    assert found.fov is not None
    middle = SkyCoord(found.ra, found.dec, unit="deg")
    assert found.fov / 2 == pytest.approx(float(middle.separation(expected).deg.max()), abs=1e-3)


SIP = {
    **TAN,
    "CTYPE1": "RA---TAN-SIP",
    "CTYPE2": "DEC--TAN-SIP",
    "A_ORDER": 2,
    "B_ORDER": 2,
    "A_2_0": 3e-3,
    "B_0_2": -2e-3,
    "A_1_1": 1e-3,
}
FRAMES: dict[str, dict[str, Any]] = {
    "tangent plane": TAN,
    "SIP": SIP,
    "turned": {**TAN, "CD1_1": -4e-5, "CD1_2": 3e-5, "CD2_1": 3e-5, "CD2_2": 4e-5},
    "mirrored": {**TAN, "CD1_1": 5.5e-5},
    "galactic": {**TAN, "CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"},
    "FK4": {**TAN, "RADESYS": "FK4", "EQUINOX": 1950.0},
    "FK5 of date": {**TAN, "RADESYS": "FK5", "EQUINOX": 1975.0},
    "across 0 hours": {**TAN, "CRVAL1": 0.0},
    "at the pole": {**TAN, "CRVAL2": 90.0},
    "plate carree, wide": {
        **TAN,
        "CTYPE1": "RA---CAR",
        "CTYPE2": "DEC--CAR",
        "CRVAL2": 0.0,
        "CD1_1": -2.0,
        "CD2_2": 3.0,
    },
}


@pytest.mark.parametrize("name", FRAMES)
def test_footprints_in_any_frame_and_projection(name: str) -> None:
    content = image(FRAMES[name])
    found = covered(content)
    header = fits.Header.fromstring(content[:5760])
    assert farthest(corners(header), vertices(found)) < 1e-6
    middle = WCS(header).celestial.pixel_to_world(7.5, 5.5).icrs
    assert middle.separation(SkyCoord(found.ra, found.dec, unit="deg")).deg < 1e-9
    assert found.outline is not None
    outline = sky.Outline(found.outline.vertices)
    x, y = (each.ravel() for each in np.meshgrid(np.arange(16), np.arange(12)))
    inside = WCS(header).celestial.pixel_to_world(x, y).icrs
    assert outline.inside(np.asarray(inside.cartesian.xyz.value.T)).all()


@pytest.mark.parametrize(
    ("names", "frame"),
    [(("ELON", "ELAT"), BarycentricMeanEcliptic()), (("SLON", "SLAT"), Supergalactic())],
    ids=["ecliptic", "supergalactic"],
)
def test_frames_that_astropy_does_not_take_from_a_header(names: tuple[str, str], frame: Any) -> None:
    found = covered(image({**TAN, "CTYPE1": f"{names[0]}-TAN", "CTYPE2": f"{names[1]}-TAN"}))
    expected = SkyCoord(53.0 * u.deg, -28.0 * u.deg, frame=frame).icrs
    assert expected.separation(SkyCoord(found.ra, found.dec, unit="deg")).arcsec < 1e-3


def test_outlines_are_counter_clockwise_from_inside() -> None:
    """With north up and east to the left: from the south-east corner west, then north (DALI 1.1 section 3.3.7)."""
    for cards in (TAN, FRAMES["mirrored"], FRAMES["galactic"]):
        found = vertices(covered(image(cards)))
        east = found.ra.wrap_at(found.ra[0] + 180 * u.deg).deg * math.cos(math.radians(found.dec[0].deg))
        north = found.dec.deg
        assert float((east * np.roll(north, -1) - north * np.roll(east, -1)).sum()) < 0


def test_edges_that_are_not_great_circles_have_more_vertices() -> None:
    found = covered(image(FRAMES["plate carree, wide"]))
    assert found.outline is not None
    assert len(found.outline.vertices) > 4
    narrow = covered(image(TAN))
    assert narrow.outline is not None
    assert len(narrow.outline.vertices) == 4


def test_a_mosaic_has_one_footprint() -> None:
    parts = []
    for column in (0, 1):
        cards = {**TAN, "CRPIX1": 8.5 - 20 * column}
        parts.append(fits.ImageHDU(observations.pixels(12, 16), observations.header(cards), name=f"CCD{column}"))
    masks = [fits.ImageHDU(observations.pixels(900, 900), observations.header(TAN), name="MASK")]
    found = covered(observations.packed([fits.PrimaryHDU(), *parts, *masks]))
    assert found.outline is not None
    assert len(found.outline.vertices) == 4
    expected = [corners(part.header) for part in parts]
    assert max(farthest(vertices(found), SkyCoord(each)) for each in [SkyCoord([*expected[0], *expected[1]])]) < 1e-6
    outline = sky.Outline(found.outline.vertices)
    for each in expected:
        points = np.asarray(each.cartesian.xyz.value.T)
        assert (outline.inside(points) | (outline.distance(points) < 1e-9)).all()
    assert found.shape == (16, 12)


def test_the_whole_sky_has_no_outline() -> None:
    cards = {"CTYPE1": "RA---AIT", "CTYPE2": "DEC--AIT", "CRPIX1": 180.5, "CRPIX2": 90.5, "CDELT1": -1.0, "CDELT2": 1.0}
    found = covered(image(cards, 180, 360))
    assert found.outline is None
    assert found.fov is not None
    assert found.fov > 300


def test_images_without_wcs_or_with_a_broken_one() -> None:
    broken = {**TAN, "CD1_1": 0.0, "CD1_2": 0.0}
    for cards in ({}, broken, {**TAN, "CTYPE1": "XLON-ZZZ"}, {**TAN, "A_ORDER": 10**9, "CTYPE1": "RA---TAN-SIP"}):
        found = covered(image(cards))
        assert (found.kind, found.ra, found.outline) == ("image", None, None)
        assert found.shape == (16, 12)


@given(
    lon=st.floats(0, 360),
    lat=st.floats(-90, 90),
    angle=st.floats(0, 360),
    scale=st.floats(1e-6, 1.0),
)
def test_every_pixel_lies_within_the_outline(lon: float, lat: float, angle: float, scale: float) -> None:
    turn = math.radians(angle)
    matrix = {"CD1_1": -math.cos(turn), "CD1_2": math.sin(turn), "CD2_1": math.sin(turn), "CD2_2": math.cos(turn)}
    cards = {**TAN, "CRVAL1": lon, "CRVAL2": lat, **{key: value * scale for key, value in matrix.items()}}
    found = covered(image(cards))
    assert found.outline is not None
    points = np.asarray(
        WCS(observations.header(cards)).pixel_to_world([0, 15, 15, 0, 7], [0, 0, 11, 11, 5]).icrs.cartesian.xyz.value.T
    )
    assert sky.Outline(found.outline.vertices).inside(points).all()


# --- other axes -----------------------------------------------------------------------------------


CUBE = {**TAN, "CRPIX3": 1.0, "CRVAL3": 0.0, "CD3_3": 1.0}


@pytest.mark.parametrize(
    ("cards", "low", "high"),
    [
        (
            {"CTYPE3": "FREQ", "CRVAL3": 1.4e9, "CD3_3": 1e6, "CUNIT3": "Hz"},
            299792458 / 1404.5e6,
            299792458 / 1399.5e6,
        ),
        ({"CTYPE3": "WAVE", "CRVAL3": 500.0, "CD3_3": 2.0, "CUNIT3": "nm"}, 499e-9, 509e-9),
        ({"CTYPE3": "VOPT", "CRVAL3": 0.0, "CD3_3": 1e3, "RESTWAV": 5e-7}, 5e-7 * (1 - 500 / 299792458), None),
        ({"CTYPE3": "VRAD", "CRVAL3": 0.0, "CD3_3": 1e3, "RESTFRQ": 1.42e9}, None, None),
        ({"CTYPE3": "AWAV", "CRVAL3": 500.0, "CD3_3": 2.0, "CUNIT3": "nm"}, 499e-9 * 1.0002943, 509e-9 * 1.0002941),
    ],
    ids=["frequency", "wavelength", "optical velocity", "radio velocity", "wavelength in air"],
)
def test_spectral_axes(cards: dict[str, Any], low: float | None, high: float | None) -> None:
    found = covered(image({**CUBE, **cards}, 5, 12, 16))
    assert (found.kind, found.em_xel) == ("cube", 5)
    assert found.em_min is not None
    assert found.em_max is not None
    assert found.em_min < found.em_max
    rest = 299792458 / 1.42e9 if low is None else None
    assert found.em_min == pytest.approx(low if low is not None else rest / (1 + 500 / 299792458), rel=1e-6)
    if high is not None:
        assert found.em_max == pytest.approx(high, rel=1e-6)


def test_a_velocity_without_rest_frequency_is_no_wavelength() -> None:
    found = coverage(inspect(IMAGES / "l1448_13co.fits").hdus)
    assert (found.kind, found.em_min, found.em_max) == ("cube", None, None)


def test_states_of_polarisation() -> None:
    stokes = {**CUBE, "CTYPE3": "STOKES", "CRVAL3": 1.0}
    assert covered(image(stokes, 4, 12, 16)).states == ("I", "Q", "U", "V")
    assert covered(image({**stokes, "CRVAL3": -5.0, "CD3_3": -1.0}, 2, 12, 16)).states == ("XX", "YY")
    made = row("coadd", image({**stokes, "BUNIT": "Jy/beam", "BMAJ": 0.01, "BMIN": 0.0025}, 1, 12, 16))
    assert (made.pol_states, made.pol_xel, made.dataproduct_type) == ("/I/", 1, "image")
    assert made.s_resolution == pytest.approx(18.0)
    assert (made.o_ucd, made.o_unit) == ("phot.flux.density", "Jy/beam")


# --- rows -----------------------------------------------------------------------------------------


def test_a_row_of_an_exposure() -> None:
    made = row("raw_image", observations.mosaic(LSST))
    assert (made.obs_id, made.obs_collection, made.calib_level) == ("MC_O_20260228_000123", "night", 1)
    assert (made.instrument_name, made.facility_name) == ("LSSTCam", "Simonyi Survey Telescope")
    assert (made.em_min, made.em_max) == pytest.approx((552e-9, 691e-9))
    assert made.t_exptime == made.t_resolution == 30.0
    assert made.t_min == pytest.approx(61100.169789, abs=1e-6)
    assert (made.s_ra, made.s_dec) == pytest.approx((53.0, -28.0))
    assert made.s_pixel_scale == pytest.approx(0.198)
    assert made.s_resolution == 0.71
    assert (made.pol_states, made.pol_xel, made.t_xel, made.em_xel) == (None, 0, 1, 1)
    assert made.proposal_id == "BLOCK-365"


def test_an_image_without_wcs_is_where_its_pointing_is() -> None:
    made = row("raw_image", image({**LSST, "FILTBAND": None, "FILTER": "r_57"}))
    assert (made.s_ra, made.s_dec, made.s_region, made.s_fov) == (53.125, -28.1, None, None)
    assert made.em_max == pytest.approx(691e-9)  # by the filter


def test_levels_and_what_is_no_observation() -> None:
    kernel = [fits.ImageHDU(np.ones((5, 5)), name="KERNEL")]
    assert row("difference_image", observations.image(DIFFERENCE, extensions=kernel)).calib_level == 3
    found = inspect(IMAGES / "gc_2mass_j.fits")
    product = examine(TYPES["other"], found, release="dr1", collection="c")
    artifact = Artifact("archive://a.test/dr1/c/n", "0" * 64, 1, "application/fits")
    assert observation(product, coverage(found.hdus), TYPES, artifact, NOW) is None


@pytest.mark.parametrize(
    ("names", "band"),
    [(("r",), "r"), (("R",), "R"), ((None, "r_57"), "r"), (("R_SPECIAL",), "R"), (("Ks",), "K"), (("clear",), None)],
)
def test_bands(names: tuple[str | None, ...], band: str | None) -> None:
    found = TYPES.band(*names)
    assert (found.name if found else None) == band
