"""``Frame``: the first image of a FITS file, made small while it is read, in little memory whatever its size.

Pixels are averaged in squares. Of an image that is too large to be read in a moment, only some rows of each square
are read; of a cube, some planes evenly spread over it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.io.fits import Header
from numpy.typing import NDArray

from archive.backbone.examination import positions
from archive.backbone.inspection import said
from archive.faults import NotFound

Floats = NDArray[np.float64]

_MOST_READ = 64_000_000  # pixels
_PLANES = 16  # of a cube
_AT_ONCE = 4_000_000  # pixels
_NARROW = 20.0  # by how much the scales of two axes may differ, or the axes lean, for a picture of true shape


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Pixels with the first row at the bottom, NaN where there are none; each is the mean of ``step`` by ``step``.

    ``sky`` tells how far a step of one pixel along each axis leads on the sky at the middle of the image: the rows are
    east and north, the columns x and y, in units that make the area of a pixel 1. None where that is not known.
    """

    pixels: Floats
    step: int
    sky: Floats | None


def read_frame(file: BinaryIO, most: int) -> Frame:
    """The first image of two axes in a FITS file, at most ``most`` pixels wide and high.

    Raises:
        NotFound: there is none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is odd in a header was told when the file came in
        with fits.open(file, mode="readonly", memmap=False, lazy_load_hdus=True) as hdus:
            for hdu in hdus:
                if _is_picture(hdu):
                    return _frame(hdu, most)
    raise NotFound("It holds no image of two axes.")


def _is_picture(hdu: Any) -> bool:
    shape = hdu.shape if hdu.is_image else ()
    return len(shape) > 1 and 0 not in shape and max(shape[-2:]) > 1


def _frame(hdu: Any, most: int) -> Frame:
    height, width = hdu.shape[-2:]
    step = max(1, math.ceil(max(height, width) / most))
    planes = _planes(hdu)
    share = _MOST_READ / (height * width * len(planes))
    rows = max(1, min(step, int(step * share)))
    pixels = np.full((math.ceil(height / step), math.ceil(width / step)), np.nan)
    for line in range(len(pixels)):
        top = min(line * step + rows, height)
        pixels[line] = _mean(hdu, planes, line * step, top, step)
    return Frame(pixels, step, _sky(hdu.header, width, height))


def _planes(hdu: Any) -> Sequence[tuple[int, ...]]:
    """Which planes of a cube are averaged: of all but the two axes of the image; of polarisation the first state."""
    lengths = [
        1 if str(said(hdu.header, f"CTYPE{len(hdu.shape) - at}") or "").startswith("STOKES") else length
        for at, length in enumerate(hdu.shape[:-2])
    ]
    count = math.prod(lengths)
    chosen = np.unique(np.linspace(0, count - 1, min(count, _PLANES)).round().astype(int))
    return [tuple(int(each) for each in np.unravel_index(at, lengths)) if lengths else () for at in chosen]


def _mean(hdu: Any, planes: Sequence[tuple[int, ...]], first: int, last: int, step: int) -> Floats:
    """The mean of rows ``first`` to ``last`` (not included) in pieces of ``step`` pixels, over all planes."""
    pieces = math.ceil(hdu.shape[-1] / step)
    total, count = np.zeros(pieces), np.zeros(pieces)
    for plane in planes:
        for rows in _pieces(first, last, max(1, _AT_ONCE // hdu.shape[-1])):
            values = np.asarray(hdu.section[(*plane, rows, slice(None))], dtype=np.float64)
            padded = np.full((len(values), pieces * step), np.nan)
            padded[:, : values.shape[1]] = values
            known = np.isfinite(padded)
            total += np.where(known, padded, 0.0).reshape(-1, pieces, step).sum(axis=(0, 2))
            count += known.reshape(-1, pieces, step).sum(axis=(0, 2))
    return np.divide(total, count, out=np.full(pieces, np.nan), where=count > 0)


def _pieces(first: int, last: int, length: int) -> Iterator[slice]:
    return (slice(start, min(start + length, last)) for start in range(first, last, length))


def _sky(header: Header, width: int, height: int) -> Floats | None:
    """See ``Frame``; by the middle of the image and the places one pixel from it."""
    wcs = positions.celestial(header)
    if wcs is None or not _along_the_image(header):
        return None
    x, y = (width + 1) / 2, (height + 1) / 2
    places = positions.to_icrs(wcs, [x, x + 1, x], [y, y, y + 1])
    if places is None:
        return None
    middle, east, north = _directions(places.cartesian.xyz.value.T)
    steps = np.asarray(places.cartesian.xyz.value.T[1:] - middle)
    found = np.stack((steps @ east, steps @ north))
    area = abs(float(np.linalg.det(found)))
    if not np.isfinite(found).all() or area == 0.0:
        return None
    found /= math.sqrt(area)
    return found if float(np.linalg.norm(found)) < _NARROW else None


def _along_the_image(header: Header) -> bool:
    """Whether the image's two axes are those on the sky."""
    kinds = (str(said(header, f"CTYPE{axis}") or "")[:4] for axis in (1, 2))
    return all(kind.startswith(("RA", "DEC")) or kind.endswith(("LON", "LAT")) for kind in kinds)


def _directions(points: Floats) -> tuple[Floats, Floats, Floats]:
    """The first of some unit vectors, with what is east and what is north there."""
    at = points[0]
    east = np.array([-at[1], at[0], 0.0])
    length = float(np.hypot(at[0], at[1]))
    east = east / length if length else np.array([0.0, 1.0, 0.0])
    return at, east, np.cross(at, east)
