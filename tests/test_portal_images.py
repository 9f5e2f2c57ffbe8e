"""The search for images on the portal: what people write, what is found, and the map of where it lies."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html

from archive.faults import UsageFault
from archive.portal.images import MOST
from archive.portal.places import place, sexagesimal
from archive.portal.skymap import HEIGHT, WIDTH, Footprint, sky_map
from archive.sky import Circle, Polygon
from tests.imaged import LATER, Imaged, imaged, real
from tests.observations import LSST, TAN, image

CENTRE = "17:45:40 -29:00:28"

# --- positions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "266.41667 -29.00778",
        "266.41667,-29.00778",
        " 266.41667 ,  -29.00778 ",
        "-93.58333 -29.00778",
        "266.41667° -29.00778°",
        "17:45:40 -29:00:28",
        "17 45 40.0 -29 00 28.0",
        "17h45m40s -29d00m28s",
        "17h45m40s, -29°00′28″",
        "17:45:40 \N{MINUS SIGN}29:00:28",
        "17:45.6667 -29:00.4667".replace("45.6667", "45:40").replace("00.4667", "00:28"),
    ],
)
def test_ways_to_write_a_position(text: str) -> None:
    lon, lat = place(text)
    assert (lon, lat) == (pytest.approx(266.41667, abs=1e-4), pytest.approx(-29.00778, abs=1e-4))


@settings(max_examples=40)
@given(st.floats(0, 359.9999), st.floats(-90, 90))
def test_positions_are_read_as_they_are_told(lon: float, lat: float) -> None:
    told = sexagesimal(lon, lat)
    here = SkyCoord(*place(told), unit="deg")
    assert here.separation(SkyCoord(lon, lat, unit="deg")).arcsec < 1.1
    there = SkyCoord(told.replace("\N{MINUS SIGN}", "-"), unit=(u.hourangle, u.deg))
    assert here.separation(there).arcsec < 1e-6


@pytest.mark.parametrize(
    "text",
    [
        "",
        "M31",
        "10",
        "10 95",
        "400 10",
        "24:00:00 +10:00:00",
        "12:60:00 +10:00:00",
        "12:00:00 10:00:00",
        "1 2 3",
        "nan 1",
    ],
)
def test_what_is_no_position(text: str) -> None:
    with pytest.raises(UsageFault):
        place(text)


# --- the map --------------------------------------------------------------------------------------


def points(path: str) -> np.ndarray:
    return np.array([[float(x), float(y)] for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path)])


@settings(max_examples=25)
@given(st.floats(0, 360), st.floats(-85, 85), st.floats(0.01, 5))
def test_a_field_is_the_tangent_plane_of_astropy(lon: float, lat: float, radius: float) -> None:
    corners = SkyCoord(lon, lat, unit="deg").directional_offset_by(np.arange(4) * 80 * u.deg, radius * u.deg)
    outline = Polygon(tuple(zip(corners.ra.deg.tolist(), corners.dec.deg.tolist(), strict=True)))
    found = sky_map([Footprint(1, outline, (lon, lat), "it")], Circle(lon, lat, radius))
    (drawn,) = found.drawn
    assert (drawn.x, drawn.y) == (WIDTH / 2, HEIGHT / 2)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [lon, lat], [1, 1]
    scale = math.degrees(math.tan(math.radians(1.3 * radius))) / (HEIGHT / 2)
    wcs.wcs.cdelt = [-scale, scale]
    x, y = wcs.world_to_pixel(corners)
    expected = np.stack((WIDTH / 2 + x, HEIGHT / 2 - y), axis=1)
    np.testing.assert_allclose(points(drawn.path)[:4], expected, atol=0.06)


def test_a_field_has_a_grid_and_what_was_searched() -> None:
    found = sky_map([], Circle(266.4, -29.0, 0.5))
    assert found.told == "The sky around 266.4, -29: 1.3° from top to bottom"
    ring = points(found.searched) - (WIDTH / 2, HEIGHT / 2)
    np.testing.assert_allclose(np.hypot(*ring.T), HEIGHT / 2 / 1.3, rtol=1e-3)
    assert {"-28.8°", "-29.0°"} <= {label.text for label in found.labels if label.vertical}
    assert {"266.0°", "266.5°"} <= {label.text for label in found.labels if not label.vertical}


@pytest.mark.parametrize("lat", [90.0, -90.0, 89.9, 84.0])
@pytest.mark.parametrize("radius", [1e-6, 0.1, 10.0, 49.0])
def test_maps_of_the_poles(lat: float, radius: float) -> None:
    found = sky_map([Footprint(1, None, (10.0, lat), "it")], Circle(10.0, lat, radius))
    assert found.grid
    assert "nan" not in "".join(found.grid) + found.searched


def test_the_whole_sky_breaks_outlines_at_its_edge() -> None:
    across = Polygon(((170.0, -10.0), (190.0, -10.0), (190.0, 10.0), (170.0, 10.0)))
    found = sky_map([Footprint(1, across, (180.0, 0.0), "it")], None)
    (drawn,) = found.drawn
    path = points(drawn.path)
    assert path[:, 0].min() < 60
    assert path[:, 0].max() > WIDTH - 60
    pieces = [points(piece) for piece in re.findall(r"M[^M]+", drawn.path)]
    assert all(np.abs(np.diff(piece[:, 0])).max(initial=0) < WIDTH / 4 for piece in pieces)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in path)


def test_small_footprints_are_dots_above_large_ones() -> None:
    small = Polygon(((10.0, 0.0), (10.1, 0.0), (10.1, 0.1)))
    large = Polygon(((0.0, -10.0), (20.0, -10.0), (20.0, 10.0), (0.0, 10.0)))
    shapes = [Footprint(1, small, (10.0, 0.0), "small"), Footprint(2, large, (10.0, 0.0), "large")]
    drawn = sky_map(shapes, None).drawn
    assert [(each.name, each.is_dot) for each in drawn] == [("large", False), ("small", True)]


# --- the page -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Imaged]:
    made = imaged(tmp_path_factory.mktemp("portal"), data, asked=True)
    for band in "jhk":
        made.add("coadd", f"2mass/gc_{band}.fits", real(f"gc_2mass_{band}"), band=band.upper())
    made.add("coadd", "cubes/l1448.fits", real("l1448_13co"))
    made.add("raw_image", "raw/secret.fits", image(LSST | TAN), LATER)
    made.add("raw_image", "raw/<b>.fits", image(LSST | TAN | {"OBSID": "<i>&amp;"}))
    yield made
    made.close()


def page(archive: Imaged, status: int = 200, **given: str) -> html.HtmlElement:
    answer = archive.client.get("/images", query_string=given)
    assert answer.status_code == status
    return html.fromstring(answer.text)


def names(shown: html.HtmlElement) -> list[str]:
    return [each.text_content() for each in shown.xpath("//*[@class='file']")]


def facts(shown: html.HtmlElement, number: int) -> Mapping[str, str]:
    (listed,) = shown.xpath(f"//*[@id='image-{number}']")
    return {each[0].text_content(): each[1].text_content() for each in listed.xpath(".//dl/div")}


def test_images_by_position_the_nearest_first(archive: Imaged) -> None:
    shown = page(archive, pos=CENTRE, radius="30")
    assert sorted(names(shown)) == ["gc_h.fits", "gc_j.fits", "gc_k.fits"]
    assert shown.xpath("//h2")[0].text_content() == "3 images, the nearest first"
    assert len(shown.xpath("//svg//a[@data-image]")) == 3
    told = facts(shown, 1)
    assert told["Collection"] == "2mass"
    assert re.fullmatch(r"17:4\d:\d\d\.\d −2\d:\d\d:\d\d", told["Position"])
    assert shown.xpath("//input[@name='pos']/@value") == [CENTRE]
    where = facts(page(archive, collection="cubes"), 1)["Position"]
    near = page(archive, pos=where, radius="1")
    assert names(near) == ["l1448.fits"]
    assert told["Light"].endswith(" µm")
    assert names(page(archive, pos="10 10", radius="30")) == []
    assert names(page(archive, pos="10 10", radius="170", unit="deg", collection="cubes")) == ["l1448.fits"]


def test_addresses_lead_to_the_image_its_pictures_and_what_belongs_to_it(archive: Imaged) -> None:
    shown = page(archive, pos=CENTRE, radius="30", collection="2mass")
    types = {"previews": "image/png", "thumbnails": "image/png", "files": "application/fits", "datalink": "text/html"}
    (listed,) = shown.xpath("//*[@id='image-1']")
    found = {}
    for address in (*listed.xpath(".//a/@href"), *listed.xpath(".//img/@src")):
        answer = archive.client.get(address)
        found[address.split("/")[1]] = answer.content_type.partition(";")[0]
        assert answer.status_code == 200
    assert found == types
    (same,) = shown.xpath("//a[contains(@href, 'sia2/query')]/@href")
    assert archive.client.get(f"{same}&RESPONSEFORMAT=csv").text.count("gc_") >= 3


def test_without_a_position_all_are_shown(archive: Imaged) -> None:
    shown = page(archive)
    assert len(names(shown)) == 6
    assert "whole sky" in shown.xpath("//svg/@aria-label")[0]
    assert names(page(archive, **{"from": "2026-03-01", "to": "2026-03-01"})).count("secret.fits") == 1
    assert names(page(archive, **{"from": "2026-03-02", "collection": "raw"})) == []


def test_what_is_not_public_is_told_and_not_shown(archive: Imaged) -> None:
    shown = page(archive, collection="raw")
    (secret,) = [each for each in shown.xpath("//li[@data-image]") if "secret.fits" in each.text_content()]
    assert secret.xpath(".//img") == []
    assert "proprietary" in secret.text_content()


def test_names_are_harmless(archive: Imaged) -> None:
    answer = archive.client.get("/images", query_string={"pos": "<script>", "collection": '"><b>'})
    assert answer.status_code == 400
    assert "<script>'" not in answer.text
    assert '"><b>' not in answer.text
    assert "<b>.fits" not in archive.client.get("/images").text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pos": "M31"}, "'M31' is no position."),
        ({"pos": "1 2", "radius": "x"}, "'x arcmin' is no radius."),
        ({"pos": "1 2", "radius": "nan"}, "A radius of nan arcmin is none."),
        ({"pos": "1 2", "radius": "-1"}, "A radius of -1 arcmin is none."),
        ({"pos": "1 2", "unit": "parsec"}, "'10 parsec' is no radius."),
        ({"from": "yesterday"}, "'yesterday' is no day."),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "The first day is after the last."),
    ],
)
def test_what_cannot_be_understood_is_told_above_the_form(archive: Imaged, given: dict[str, str], message: str) -> None:
    shown = page(archive, 400, **given)
    assert message in shown.xpath("//*[@role='alert']")[0].text_content()
    assert shown.xpath("//input[@name='pos']/@value") == [given.get("pos", "")]


def test_more_than_a_page_is_told(archive: Imaged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archive.portal.images.MOST", 2)
    assert MOST == 100
    shown = page(archive)
    assert len(names(shown)) == 2
    assert "There are more" in shown.xpath("//*[@class='notice']")[0].text_content()
