"""Pictures of images: north up, few made at once, kept, and only for those who may have the image."""

from __future__ import annotations

import gzip
import io
import math
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from archive.backbone.copies import Copies
from archive.backbone.previews import Previews, Size, drawing, making
from archive.backbone.previews import frames as frames_module
from archive.backbone.previews.drawing import picture, stretched
from archive.backbone.previews.frames import read_frame
from archive.faults import NotFound, TransientFault
from archive.ledger import holdings
from archive.ledger.holdings import Holding
from tests.imaged import LATER, Imaged, imaged, real
from tests.observations import LSST, TAN, header, image, mosaic, packed, pixels

Array = np.ndarray[Any, Any]


def seen(content: bytes, most: int = 1024) -> Array:
    """The picture of a file as an array: the first row at the top; what is transparent is -1."""
    return looked_at(picture(read_frame(io.BytesIO(content), most), most))


def looked_at(png: bytes) -> Array:
    shown = np.asarray(Image.open(io.BytesIO(png)).convert("LA")).astype(int)
    return np.where(shown[..., 1] == 255, shown[..., 0], -1)


def one_bright(shape: tuple[int, int], x: int, y: int, cards: Mapping[str, Any]) -> bytes:
    """An image with one bright source around the pixel (x, y), counted from 0, in weak noise."""
    values = np.random.default_rng(1).normal(100, 1, shape).astype(np.float32)
    values[max(0, y - 4) : y + 5, max(0, x - 4) : x + 5] = 5000
    return packed([fits.PrimaryHDU(values, header(cards))])


def turned(angle: float, *, mirrored: bool = False, **more: Any) -> dict[str, Any]:
    """A tangent plane turned by ``angle`` degrees."""
    a, scale = math.radians(angle), 1e-4
    cd = scale * np.array([[-math.cos(a), math.sin(a)], [math.sin(a), math.cos(a)]])
    if mirrored:
        cd[:, 0] *= -1
    matrix = {f"CD{i + 1}_{j + 1}": cd[i, j] for i in range(2) for j in range(2)}
    return {**TAN, "CRPIX1": 50.5, "CRPIX2": 50.5, **matrix, **more}


# --- north is up ----------------------------------------------------------------------------------


@settings(max_examples=25)
@given(
    angle=st.floats(0, 360),
    mirrored=st.booleans(),
    dec=st.floats(-80, 80),
    x=st.integers(20, 80),
    y=st.integers(20, 80),
    width=st.integers(100, 160),
)
def test_a_source_is_where_the_sky_has_it(angle: float, mirrored: bool, dec: float, x: int, y: int, width: int) -> None:
    cards = turned(angle, mirrored=mirrored, CRVAL2=dec)
    shown = seen(one_bright((100, width), x, y, cards))
    row, column = np.argwhere(shown == shown.max()).mean(axis=0)
    wcs = WCS(header(cards))
    here, middle = wcs.pixel_to_world(x, y), wcs.pixel_to_world((width - 1) / 2, 49.5)
    east, north = (offset.arcsec / 0.36 for offset in middle.spherical_offsets_to(here))
    height, breadth = shown.shape
    assert column == pytest.approx((breadth - 1) / 2 - east, abs=2)
    assert row == pytest.approx((height - 1) / 2 - north, abs=2)


@pytest.mark.parametrize("name", ["gc_2mass_j", "gc_bolocam_gps", "spitzer_example_image", "l1448_13co"])
def test_the_brightest_source_of_a_real_image_is_in_its_quadrant(name: str) -> None:
    """The quadrant is that of astropy, by the position of the brightest pixels in the image."""
    content = real(name)
    with fits.open(io.BytesIO(content)) as hdus:
        data, wcs = np.asarray(hdus[0].data, float), WCS(hdus[0].header).celestial
    flat = data if data.ndim == 2 else np.nanmean(data[np.linspace(0, len(data) - 1, 16).round().astype(int)], axis=0)
    y, x = np.unravel_index(np.nanargmax(flat), flat.shape)
    here = wcs.pixel_to_world(x, y).icrs
    middle = wcs.pixel_to_world((flat.shape[1] - 1) / 2, (flat.shape[0] - 1) / 2).icrs
    east, north = (offset.deg for offset in middle.spherical_offsets_to(here))
    pixel = float(np.sqrt(wcs.proj_plane_pixel_area().to_value("deg2")))
    shown = seen(content)
    height, breadth = shown.shape
    row, column = round((height - 1) / 2 - north / pixel), round((breadth - 1) / 2 - east / pixel)
    around = shown[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
    assert around.max() > 250, "it is as bright as anything where it should be"
    assert abs(east) > 3 * pixel or abs(north) > 3 * pixel, "it is not in the middle, where any picture would have it"


def test_without_a_wcs_the_first_row_is_at_the_bottom() -> None:
    shown = seen(one_bright((60, 100), 10, 20, {}))
    assert shown.shape == (60, 100)
    row, column = np.argwhere(shown == 255).mean(axis=0)
    assert (row, column) == (39, 10)


def test_right_angles_keep_every_pixel() -> None:
    values = np.random.default_rng(2).uniform(0, 1, (40, 30)).astype(np.float32)
    plain = seen(packed([fits.PrimaryHDU(values)]))
    for quarters in range(4):
        cards = turned(90.0 * quarters, CRPIX1=15.5, CRPIX2=20.5, CRVAL2=0.0)
        shown = seen(packed([fits.PrimaryHDU(values, header(cards))]))
        same = [np.array_equal(shown, np.rot90(plain, turns)) for turns in range(4)]
        assert sum(same) == 1


@pytest.mark.parametrize(
    "cards",
    [
        {**TAN, "CD1_1": 0.0, "CD2_2": 0.0},
        {**TAN, "CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"},
        {**TAN, "CRVAL2": 95.0},
        {**TAN, "CD1_1": 1.0, "CD2_2": 1e-9},
        {"CTYPE1": "FREQ", "CTYPE2": "DEC--TAN", "CTYPE3": "RA---TAN"},
        {"CTYPE1": "RA---TAN", "CTYPE2": "FREQ", "CTYPE3": "DEC--TAN"},
    ],
)
def test_a_wcs_that_is_none_does_no_harm(cards: dict[str, Any]) -> None:
    assert seen(packed([fits.PrimaryHDU(pixels(3, 20, 30), header(cards))])).shape == (20, 30)


@pytest.mark.parametrize("dec", [90.0, -90.0, 89.99999])
def test_the_poles(dec: float) -> None:
    assert seen(one_bright((50, 50), 10, 10, turned(30, CRPIX1=25.5, CRPIX2=25.5, CRVAL2=dec))).max() == 255


# --- which pixels, and how bright -----------------------------------------------------------------


def test_a_mosaic_shows_its_first_image_also_if_it_is_compressed() -> None:
    assert seen(mosaic(LSST, 3)).shape == seen(image(LSST | TAN)).shape == (12, 16)


def test_planes_of_a_cube_are_averaged_and_of_polarisation_the_first_is_taken() -> None:
    cube = np.zeros((2, 9, 20, 20), np.float32)
    cube[0, 3, 5, 6] = 1.0
    cube[1] = np.nan
    cards = {"CTYPE3": "FREQ", "CTYPE4": "STOKES"}
    shown = seen(packed([fits.PrimaryHDU(cube, header(cards))]))
    assert np.argwhere(shown == shown.max()).tolist() == [[14, 6]]


def test_large_images_are_made_small_by_averages() -> None:
    values = np.zeros((1000, 2050), np.float32)
    values[500:510, 1000:1010] = 7.0
    values[0:10, 0:10] = np.nan
    frame = read_frame(io.BytesIO(packed([fits.PrimaryHDU(values)])), 256)
    assert frame.step == 9
    assert frame.pixels.shape == (112, 228)
    assert np.isnan(frame.pixels[0, 0])
    expected = np.full((112 * 9, 228 * 9), np.nan)
    expected[:1000, :2050] = values
    blocks = expected.reshape(112, 9, 228, 9).transpose(0, 2, 1, 3).reshape(112, 228, 81)
    counts = np.isfinite(blocks).sum(axis=2)
    means = np.where(counts > 0, np.nansum(blocks, axis=2) / np.maximum(counts, 1), np.nan)
    np.testing.assert_allclose(frame.pixels, means)


def test_of_the_largest_only_some_rows_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "_MOST_READ", 200_000)
    monkeypatch.setattr(frames_module, "_AT_ONCE", 5_000)
    content = packed([fits.PrimaryHDU(np.tile(np.arange(1000, dtype=np.float32), (2000, 1)))])
    counting = Counting(content)
    frame = read_frame(counting, 100)
    assert frame.pixels.shape == (100, 50)
    np.testing.assert_allclose(frame.pixels[40], np.arange(50) * 20 + 9.5)
    assert counting.given < 1_000_000, "of 8 megabytes"


class Counting(io.BytesIO):
    given = 0

    def read(self, size: int | None = -1) -> bytes:
        found = super().read(size)
        self.given += len(found)
        return found


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=60),
    st.integers(1, 5),
)
def test_any_pixels_can_be_drawn(values: list[float], width: int) -> None:
    array = np.array(values, np.float64)[: len(values) // width * width or None]
    array = array.reshape(-1, width) if len(array) % width == 0 else array.reshape(-1, 1)
    bright, known = stretched(array)
    assert np.array_equal(known, np.isfinite(array))
    order = np.argsort(array[known], kind="stable")
    assert (np.diff(bright[known][order].astype(int)) >= 0).all(), "what is brighter is not darker in the picture"


def test_faint_and_bright_are_both_seen() -> None:
    shown = seen(one_bright((100, 100), 30, 30, {}))
    noise = shown[50:]
    assert 10 < np.median(noise) < 100
    assert noise.std() > 5


# --- over HTTP ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Imaged:
    made = imaged(tmp_path_factory.mktemp("previews"), data)
    made.add("coadd", "2mass/gc.fits", real("gc_2mass_j"))
    made.add("coadd", "2mass/ü b.fits", real("spitzer_example_image"))
    made.add("raw_image", "raw/secret.fits", image(LSST | TAN), LATER)
    made.add("other", "notes/a.txt", b"no image")
    made.add("other", "notes/large.fits", one_bright((300, 400), 50, 60, turned(10)))
    made.add("other", "notes/table.fits", packed([fits.PrimaryHDU(), fits.BinTableHDU(np.zeros(3, "i4,f8"))]))
    made.add("other", "notes/packed.fits.gz", gzip.compress(image(LSST)))
    return made


def held(archive: Imaged, path: str) -> Holding:
    with archive.endpoint.ledger.read() as transaction:
        found = holdings.find(transaction, f"archive://archive.test/sp_test/{path}")
    assert found is not None
    return found


@pytest.mark.parametrize("path", ["2mass/gc.fits", "2mass/%C3%BC%20b.fits", "notes/packed.fits.gz"])
def test_a_preview_and_a_thumbnail(archive: Imaged, path: str) -> None:
    sizes = []
    for place in ("previews", "thumbnails"):
        answer = archive.client.get(f"/{place}/sp_test/{path}.png")
        assert (answer.status_code, answer.content_type) == (200, "image/png"), answer.text
        assert answer.headers["Cache-Control"] == "public, max-age=3600"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        with Image.open(io.BytesIO(answer.data)) as shown:
            sizes.append(max(shown.size))
        again = archive.client.get(f"/{place}/sp_test/{path}.png", headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")
    assert sizes[1] <= Size.THUMBNAIL
    assert sizes[0] <= Size.PREVIEW


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("2mass/none.fits.png", 404, "There is no file archive://archive.test/sp_test/2mass/none.fits."),
        ("2mass/gc.fits", 404, "There is nothing at this address. A picture's address ends with .png."),
        ("notes/a.txt.png", 404, "There is no picture of archive://archive.test/sp_test/notes/a.txt: It is no FITS"),
        ("notes/table.fits.png", 404, "It holds no image of two axes."),
        ("raw/secret.fits.png", 401, "is proprietary until 2999-01-01"),
    ],
)
def test_what_there_is_no_picture_of(archive: Imaged, path: str, status: int, message: str) -> None:
    for _ in range(2):  # the second time it is remembered
        answer = archive.client.get(f"/previews/sp_test/{path}", headers={"Accept": "text/html"})
        assert answer.status_code == status
        assert message in answer.text
        assert answer.content_type.startswith("text/plain")


def test_a_proprietary_picture_is_for_those_who_may_have_the_image(archive: Imaged) -> None:
    path = "/thumbnails/sp_test/raw/secret.fits.png"
    assert archive.client.get(path, headers=archive.bearing("producer")).status_code == 403
    answer = archive.client.get(path, headers=archive.bearing("reader"))
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert archive.client.get(path, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 401


# --- making and keeping ---------------------------------------------------------------------------


@pytest.fixture
def previews(archive: Imaged, tmp_path: Path) -> Previews:
    return maker(archive, tmp_path)


def maker(archive: Imaged, folder: Path, **settings: Any) -> Previews:
    copies = Copies(archive.endpoint.ledger, archive.endpoint.stores)
    return Previews(copies, folder / "kept", **{"most": 10**9, "turns": 1, "patience": 10.0, **settings})


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Grows by one with each picture that is drawn."""
    found: list[int] = []
    draw = making.picture

    def counted(frame: frames_module.Frame, most: int) -> bytes:
        found.append(most)
        return draw(frame, most)

    monkeypatch.setattr(making, "picture", counted)
    return found


def test_a_picture_is_made_once_for_all_who_ask_at_once(archive: Imaged, previews: Previews, drawn: list[int]) -> None:
    image = held(archive, "notes/large.fits")
    found: list[bytes] = []
    sizes = [Size.PREVIEW, Size.THUMBNAIL] * 4
    threads = [threading.Thread(target=lambda size=size: found.append(previews.picture(image, size))) for size in sizes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 2
    assert len(drawn) == 1


def test_what_was_made_outlives_the_process(archive: Imaged, tmp_path: Path, drawn: list[int]) -> None:
    image = held(archive, "2mass/gc.fits")
    first = maker(archive, tmp_path).picture(image, Size.THUMBNAIL)
    assert maker(archive, tmp_path).picture(image, Size.THUMBNAIL) == first
    assert len(drawn) == 1
    assert not [path for path in (tmp_path / "kept").iterdir() if path.name.startswith(".")]


def test_no_more_is_kept_than_there_is_room_for(archive: Imaged, tmp_path: Path) -> None:
    made = maker(archive, tmp_path, most=1)
    for path in ("2mass/gc.fits", "2mass/%C3%BC%20b.fits", "notes/packed.fits.gz"):
        made.picture(held(archive, path), Size.PREVIEW)
    assert len(list((tmp_path / "kept").iterdir())) == 1


def test_who_comes_when_all_turns_are_taken_is_told_to_come_again(
    archive: Imaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = maker(archive, tmp_path, patience=0.01)
    begun, end = threading.Event(), threading.Event()
    draw = making.picture

    def slow(frame: frames_module.Frame, most: int) -> bytes:
        begun.set()
        end.wait(60)
        return draw(frame, most)

    monkeypatch.setattr(making, "picture", slow)
    thread = threading.Thread(target=lambda: made.picture(held(archive, "2mass/gc.fits"), Size.PREVIEW))
    thread.start()
    assert begun.wait(60)
    with pytest.raises(TransientFault, match="Many pictures are being made"):
        made.picture(held(archive, "notes/packed.fits.gz"), Size.PREVIEW)
    end.set()
    thread.join()
    monkeypatch.setattr(making, "picture", draw)
    assert made.picture(held(archive, "notes/packed.fits.gz"), Size.PREVIEW), "and gets it then"


def test_what_takes_too_long_is_given_up(archive: Imaged, previews: Previews, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_SECONDS", -1.0)
    for _ in range(2):
        with pytest.raises(NotFound, match="takes longer than"):
            previews.picture(held(archive, "2mass/gc.fits"), Size.THUMBNAIL)


def test_what_is_too_large_to_be_unpacked(archive: Imaged, previews: Previews, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_MOST_PACKED", 10)
    with pytest.raises(NotFound, match="too large to be unpacked"):
        previews.picture(held(archive, "notes/packed.fits.gz"), Size.PREVIEW)


def test_a_small_picture_keeps_what_is_transparent() -> None:
    large = seen(real("spitzer_example_image"))
    small = looked_at(drawing.smaller(picture(read_frame(io.BytesIO(real("spitzer_example_image")), 1024), 1024), 50))
    assert (large < 0).any()
    assert (small < 0).any()
    assert max(small.shape) == 50
