"""From pixels to a PNG: the stretch that shows sky and stars alike, north up and east to the left."""

from __future__ import annotations

import io

import numpy as np
from astropy.visualization import ZScaleInterval
from numpy.typing import NDArray
from PIL import Image

from archive.backbone.previews.frames import Floats, Frame

_BRIGHTEST = 99.7  # percent of the pixels are not brighter than white
_DARKER = 16.0  # percent of the pixels are darker than the middle by more than the noise
_BLACK, _WHITE = 1.5, 8.0  # times the noise: so far below the middle is black, and at least so far above it is white
_KNEE = 0.3  # of the way from dark sky to the bright end of the common pixels: from there on the scale is logarithmic
_NEARLY = 0.01  # a picture that is turned by so little (radians) is not turned
_LEAST = 4  # pixels that tell how they are spread


def picture(frame: Frame, most: int) -> bytes:
    """The frame as a PNG of at most ``most`` pixels each way, grey; transparent where there are no pixels."""
    bright, known = stretched(frame.pixels)
    return png(turned(bright, known, frame.sky, most))


def stretched(pixels: Floats) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Brightness from 0 to 255, and which pixels are known.

    The scale is that of an arcus sinus hyperbolicus between the dark end of the common pixels (the zscale of IRAF) and
    the brightest but for a few: nearly linear in the faint, logarithmic in the bright.
    """
    known = np.isfinite(pixels)
    values = pixels[known]
    bright = np.zeros(pixels.shape, np.uint8)
    if len(values) < _LEAST or values.min() == values.max():
        bright[known] = 128
        return bright, known
    low, common = map(float, ZScaleInterval().get_limits(values))
    dark, middle, bright_end = np.percentile(values, (_DARKER, 50.0, _BRIGHTEST)).tolist()
    noise = middle - dark
    low = max(low, middle - _BLACK * noise)
    high = max(common, bright_end, min(middle + _WHITE * noise, float(values.max())))
    if not high > low:
        low, high = float(values.min()), float(values.max())
        common = high
    soft = max((common - low) * _KNEE, (high - low) * 1e-6)
    scaled = np.arcsinh(np.clip(values - low, 0, high - low) / soft) / np.arcsinh((high - low) / soft)
    bright[known] = np.rint(255 * scaled)
    return bright, known


def turned(bright: NDArray[np.uint8], known: NDArray[np.bool_], sky: Floats | None, most: int) -> Image.Image:
    """The picture as it is seen: north up and east to the left, or the first row at the bottom where that is all.

    ``most`` is how many pixels it may have each way.
    """
    shown = np.array([[1.0, 0.0], [0.0, -1.0]]) if sky is None else _upright(-sky)
    height, width = bright.shape
    corners = np.array([[-width, -width, width, width], [-height, height, -height, height]]) / 2
    reach = np.abs(shown @ corners).max(axis=1) * 2
    shrink = min(1.0, most / float(reach.max()))
    size = tuple(int(each) for each in np.maximum(1, np.rint(reach * shrink)))
    back = np.linalg.inv(shown * shrink)
    start = np.array([width, height]) / 2 - back @ np.array(size) / 2
    matrix = (back[0, 0], back[0, 1], start[0], back[1, 0], back[1, 1], start[1])
    exact = bool(np.isin(np.abs(shown), (0.0, 1.0)).all()) and shrink == 1.0
    way = Image.Resampling.NEAREST if exact else Image.Resampling.BILINEAR
    grey = Image.fromarray(bright).transform((size[0], size[1]), Image.Transform.AFFINE, matrix, way)
    mask = Image.fromarray(known.astype(np.uint8) * 255)
    clear = mask.transform((size[0], size[1]), Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)
    return grey if clear.getextrema() == (255, 255) else Image.merge("LA", (grey, clear))


def _upright(shown: Floats) -> Floats:
    """Without what is hardly seen: then pixels stay as they are."""
    straight = np.rint(shown)
    return straight if np.abs(shown - straight).max() < _NEARLY and abs(np.linalg.det(straight)) == 1 else shown


def png(image: Image.Image) -> bytes:
    """The image as a file."""
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=False)
    return stream.getvalue()


def smaller(picture: bytes, most: int) -> bytes:
    """A picture made to fit into ``most`` pixels each way."""
    with Image.open(io.BytesIO(picture)) as image:
        image.thumbnail((most, most), Image.Resampling.LANCZOS)
        return png(image)
