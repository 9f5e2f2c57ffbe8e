"""What part of the sky, the spectrum and the states of polarisation a file's images cover, by their WCS.

Outlines are polygons of great circles in ICRS, counter-clockwise as seen from inside (DALI 1.1 section 3.3.7), whose
vertices are exact and whose edges follow those of the image to a tenth of a pixel. Several images (the sensors of a
mosaic) have one outline, their convex hull.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from astropy import constants
from astropy.wcs import WCS, WCSSUB_SPECTRAL
from astropy.wcs.utils import proj_plane_pixel_area
from numpy.typing import NDArray

from archive.backbone.examination import positions
from archive.backbone.inspection import Hdu, said
from archive.ledger.events import Json
from archive.sky import Polygon
from archive.vocabularies import STATES

Floats = NDArray[np.float64]

_BESIDE = re.compile(r"MASK|VAR|KERNEL|WEIGHT|WHT|DQ|ERR|FLAG|UNCERT|IVAR|EXPMAP|RMS", re.IGNORECASE)
"""Names of extensions that tell of an image beside them."""

_MOST_STEPS = 16  # parts of one edge of an outline
_CLOSE = 0.1  # pixels that an edge may leave that of the image
_WIDEST = 80.0  # degrees from its centre that a polygon may reach; what is wider has no outline
_GRID = 33  # places along each axis of an image that is wider than its projection

_STOKES = {
    1: "I",
    2: "Q",
    3: "U",
    4: "V",
    -1: "RR",
    -2: "LL",
    -3: "RL",
    -4: "LR",
    -5: "XX",
    -6: "YY",
    -7: "XY",
    -8: "YX",
}

_C = constants.c.si.value
_H = constants.h.si.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What images cover: degrees in ICRS, arcseconds, metres of wavelength in vacuum; None for what is not told.

    ``fov`` is the diameter of a circle around the images, ``shape`` the size of the first of them in pixels.
    """

    kind: str | None = None  # image, cube or spectrum
    ra: float | None = None
    dec: float | None = None
    fov: float | None = None
    outline: Polygon | None = None
    pixel: float | None = None
    shape: tuple[int, int] | None = None
    em_min: float | None = None
    em_max: float | None = None
    em_xel: int | None = None
    t_xel: int | None = None
    states: tuple[str, ...] = ()
    resolution: float | None = None
    unit: str | None = None

    @property
    def json(self) -> dict[str, Json]:
        """All of it but what is not known, as the ledger keeps it."""
        told = asdict(self) | {"outline": None if self.outline is None else self.outline.vertices}
        return {name: value for name, value in told.items() if value not in (None, ())}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Coverage:
        """The coverage that ``json`` told."""
        known = dict(told)
        if "outline" in known:
            known["outline"] = Polygon(tuple((lon, lat) for lon, lat in known["outline"]))
        for name in ("shape", "states"):
            if name in known:
                known[name] = tuple(known[name])
        return cls(**known)


def coverage(hdus: Sequence[Hdu]) -> Coverage:
    """What the images of a file cover; what their headers do not tell, or wrongly, is None."""
    images = [hdu for hdu in hdus if hdu.is_image and not (hdu.number and _BESIDE.search(hdu.name))]
    if not images:
        return Coverage()
    first = images[0]
    spectrum = _spectrum(first)
    low, high, channels = spectrum if spectrum is not None else (None, None, None)
    places = _place(images)
    return Coverage(
        kind=_kind(first),
        **places,
        shape=(first.shape[0], first.shape[1]) if len(first.shape) > 1 else None,
        em_min=low,
        em_max=high,
        em_xel=channels,
        t_xel=_length(first, "TIME"),
        states=_states(first),
        resolution=_beam(first),
        unit=_text(first, "BUNIT"),
    )


# --- on the sky -----------------------------------------------------------------------------------


def _place(images: Sequence[Hdu]) -> dict[str, Any]:
    known = [
        (hdu, wcs) for hdu in images if len(hdu.shape) > 1 and (wcs := positions.celestial(hdu.header)) is not None
    ]
    edges = [_edge(wcs, hdu.shape) for hdu, wcs in known]
    traced = len(known) == 1 and edges[0] is not None
    clouds = [
        edge if edge is not None else _cloud(wcs, hdu.shape) for (hdu, wcs), edge in zip(known, edges, strict=True)
    ]
    points = np.concatenate([np.empty((0, 3)), *clouds])
    if not len(points):
        return {}
    centre = _direction(points)
    if traced and (middle := positions.centre([known[0][0]])) is not None:
        centre = _vectors(np.array([middle.ra]), np.array([middle.dec]))[0]
    reach = math.degrees(float(np.arccos(np.clip(points @ centre, -1, 1)).max()))
    vertices = (
        None
        if reach > _WIDEST
        else points
        if traced
        else _hull(points, centre, math.radians(_pixel(known[0][1]) / 3600))
    )
    lon, lat = _degrees(centre[np.newaxis])
    return {
        "ra": float(lon[0]),
        "dec": float(lat[0]),
        "fov": 2 * reach,
        "outline": _polygon(vertices, centre) if vertices is not None and len(vertices) > 2 else None,
        "pixel": _pixel(known[0][1]),
    }


def _edge(wcs: WCS, shape: Sequence[int]) -> Floats | None:
    """Unit vectors around an image, as many as it takes; None where part of its edge is not on the sky."""
    width, height = shape[:2]
    corners = np.array([[0.5, 0.5], [width + 0.5, 0.5], [width + 0.5, height + 0.5], [0.5, height + 0.5]])
    following = np.roll(corners, -1, axis=0)
    steps = 1
    while True:
        parts = np.arange(2 * steps) / (2 * steps)
        pixels = (corners[:, np.newaxis] + parts[:, np.newaxis] * (following - corners)[:, np.newaxis]).reshape(-1, 2)
        points = _on_sky(wcs, pixels[:, 0], pixels[:, 1])
        if not np.isfinite(points).all():
            return None
        ends, middles = points[::2], points[1::2]
        chords = ends + np.roll(ends, -1, axis=0)
        off = np.linalg.norm(chords / np.linalg.norm(chords, axis=1, keepdims=True) - middles, axis=1).max()
        if off < _CLOSE * math.radians(_pixel(wcs) / 3600) or steps == _MOST_STEPS:
            return np.asarray(ends)
        steps *= 2


def _cloud(wcs: WCS, shape: Sequence[int]) -> Floats:
    """Unit vectors of a grid of pixels, those left out that are not on the sky."""
    x, y = np.meshgrid(*(np.linspace(0.5, size + 0.5, _GRID) for size in shape[:2]))
    points = _on_sky(wcs, x.ravel(), y.ravel())
    return np.asarray(points[np.isfinite(points).all(axis=1)])


def _on_sky(wcs: WCS, x: Floats, y: Floats) -> Floats:
    places = positions.to_icrs(wcs, x, y)
    if places is None:
        return np.full((len(x), 3), np.nan)
    return np.asarray(places.cartesian.xyz.value.T)


def _hull(points: Floats, centre: Floats, pixel: float) -> Floats:
    """The convex hull of unit vectors less than 90 degrees from ``centre``, by the gnomonic projection.

    Great circles are straight lines in it. Corners that stand out by less than a hundredth of a ``pixel`` are left out.
    """
    east, north = _axes(centre)
    depth = points @ centre
    flat = np.stack((points @ east / depth, points @ north / depth), axis=1)
    order = np.lexsort((flat[:, 1], flat[:, 0]))
    chain: list[int] = []
    for half in (order, order[::-1]):
        start = len(chain)
        for at in half:
            while len(chain) - start > 1 and _out(flat[chain[-2]], flat[chain[-1]], flat[at]) <= pixel / 100:
                chain.pop()
            chain.append(int(at))
        chain.pop()
    return np.asarray(points[chain])


def _out(a: Floats, b: Floats, c: Floats) -> float:
    """How far ``b`` lies to the right of the way from ``a`` to ``c``."""
    along = c - a
    length = float(np.hypot(*along))
    return float(along[1] * (a[0] - b[0]) - along[0] * (a[1] - b[1])) / length if length else 0.0


def _polygon(vertices: Floats, centre: Floats) -> Polygon:
    """Vertices in the order that is counter-clockwise with east to the left."""
    east, north = _axes(centre)
    x, y = vertices @ east, vertices @ north
    area = float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())
    lon, lat = _degrees(vertices if area < 0 else vertices[::-1])
    return Polygon(tuple(zip(lon.tolist(), lat.tolist(), strict=True)))


def _axes(centre: Floats) -> tuple[Floats, Floats]:
    """Unit vectors to the east and to the north of a direction."""
    east = np.cross([0.0, 0.0, 1.0] if abs(centre[2]) < 1 - 1e-12 else [0.0, 1.0, 0.0], centre)
    east = east / np.linalg.norm(east)
    return east, np.cross(centre, east)


def _direction(points: Floats) -> Floats:
    """The mean of unit vectors, as one."""
    mean = points.mean(axis=0)
    length = float(np.linalg.norm(mean))
    return np.asarray(mean / length) if length > 1e-9 else np.asarray(points[0])


def _vectors(lon: Floats, lat: Floats) -> Floats:
    a, b = np.radians(lon), np.radians(lat)
    return np.stack((np.cos(b) * np.cos(a), np.cos(b) * np.sin(a), np.sin(b)), axis=1)


def _degrees(points: Floats) -> tuple[Floats, Floats]:
    lon = np.degrees(np.arctan2(points[:, 1], points[:, 0])) % 360.0
    return lon, np.degrees(np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1])))


def _pixel(wcs: WCS) -> float:
    """Side of a square of a pixel's area, arcsec."""
    return math.sqrt(float(proj_plane_pixel_area(wcs))) * 3600


# --- other axes -----------------------------------------------------------------------------------


def _kind(hdu: Hdu) -> str | None:
    """A word of ObsCore 1.1 section 4.1; axes of one pixel do not count."""
    long = [axis for axis, size in enumerate(hdu.shape, start=1) if size > 1]
    types = [(_text(hdu, f"CTYPE{axis}") or "")[:4] for axis in long]
    if len(long) >= 3:
        return "cube"
    if len(long) == 2:
        return "image"
    return "spectrum" if types and types[0] in (*_WAVES, *_VELOCITIES) else None


def _length(hdu: Hdu, kind: str) -> int | None:
    """Pixels of the axis of a kind."""
    for axis, size in enumerate(hdu.shape, start=1):
        if (_text(hdu, f"CTYPE{axis}") or "").startswith(kind):
            return size
    return None


def _text(hdu: Hdu, keyword: str) -> str | None:
    value = said(hdu.header, keyword)
    return value.strip() or None if isinstance(value, str) else None


def _number(hdu: Hdu, keyword: str) -> float | None:
    value = said(hdu.header, keyword)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _beam(hdu: Hdu) -> float | None:
    """Width of the beam, arcsec, by BMAJ and BMIN (degrees)."""
    wide, narrow = _number(hdu, "BMAJ"), _number(hdu, "BMIN")
    return math.sqrt(wide * narrow) * 3600 if wide and narrow and wide > 0 and narrow > 0 else None


def _states(hdu: Hdu) -> tuple[str, ...]:
    """States of polarisation by the STOKES axis (FITS 4.0 table 29), in the order of ObsCore 1.1."""
    for axis, size in enumerate(hdu.shape, start=1):
        if (_text(hdu, f"CTYPE{axis}") or "").startswith("STOKES"):
            names = (f"CRVAL{axis}", f"CD{axis}_{axis}" if f"CD{axis}_{axis}" in hdu.header else f"CDELT{axis}")
            value, step, pixel = (_number(hdu, name) for name in (*names, f"CRPIX{axis}"))
            at = (round((value or 1) + (n + 1 - (pixel or 1)) * (step or 1)) for n in range(min(size, len(STATES))))
            found = {_STOKES[code] for code in at if code in _STOKES}
            return tuple(state for state in STATES if state in found)
    return ()


# To wavelength in metres, from values in SI units.
_WAVES: dict[str, Callable[[Floats], Floats]] = {
    "WAVE": lambda value: value,
    "AWAV": lambda value: value * _refraction(value),
    "FREQ": lambda value: _C / value,
    "ENER": lambda value: _H * _C / value,
    "WAVN": lambda value: 1 / value,
}
# To the ratio of wavelength and rest wavelength (FITS 4.0 table 26), from values in m/s or without unit.
_VELOCITIES: dict[str, Callable[[Floats], Floats]] = {
    "VRAD": lambda value: 1 / (1 - value / _C),
    "VOPT": lambda value: 1 + value / _C,
    "ZOPT": lambda value: 1 + value,
    "VELO": lambda value: np.sqrt((1 + value / _C) / (1 - value / _C)),
    "BETA": lambda value: np.sqrt((1 + value) / (1 - value)),
}


def _refraction(wave: Floats) -> Floats:
    """Index of refraction of air (Greisen et al. 2006, FITS paper III, equation 65), for wavelengths in air."""
    inverse = (1e-6 / wave) ** 2
    return np.asarray(1 + 1e-6 * (287.6155 + 1.62887 * inverse + 0.01360 * inverse**2))


def _spectrum(hdu: Hdu) -> tuple[float, float, int] | None:
    """Shortest and longest wavelength (m, vacuum, edges of channels) and number of channels."""
    axis = next(
        (
            axis
            for axis in range(1, len(hdu.shape) + 1)
            if (_text(hdu, f"CTYPE{axis}") or "")[:4] in (*_WAVES, *_VELOCITIES)
        ),
        None,
    )
    if axis is None or not positions.is_sane(hdu.header):
        return None
    size = hdu.shape[axis - 1]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            wcs = WCS(hdu.header).sub([WCSSUB_SPECTRAL])
            wcs.wcs.set()
            values = np.asarray(wcs.all_pix2world(np.array([0.5, size + 0.5]), 1)[0])
            waves = _waves(wcs, values)
        except Exception:  # as for positions: what wcslib cannot read is not known
            return None
    if waves is None or not np.isfinite(waves).all() or not (waves > 0).all():
        return None
    return float(waves.min()), float(waves.max()), size


def _waves(wcs: WCS, values: Floats) -> Floats | None:
    kind = wcs.wcs.ctype[0][:4]
    if kind in _WAVES:
        return _WAVES[kind](values)
    rest = wcs.wcs.restwav or (_C / wcs.wcs.restfrq if wcs.wcs.restfrq else 0.0)
    return _VELOCITIES[kind](values) * rest if rest else None
