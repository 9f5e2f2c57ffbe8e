"""Words for the sky: shapes in ICRS degrees, intervals, and which HEALPix cells a region may touch.

Angles are degrees everywhere. HEALPix is nested; cell numbers and ranges are of order 29, the finest, where a cell
is 0.4 milliarcseconds wide. Ranges are half-open and sorted, and every cover here is *conservative*: each
position in the region has its cell in one of the ranges, while positions outside may have theirs there too.
A cover is a handful of ranges, good for skipping most of a table; the exact test stays with whoever asks.

Cones are covered by cdshealpix; polygons by our own refinement, since "the smaller side is inside" must hold for
any winding, any size and at the poles.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import Latitude, Longitude
from cdshealpix.cdshealpix import cone_search as cone_cells
from cdshealpix.nested import cone_search, healpix_to_lonlat, lonlat_to_healpix, neighbours
from numpy.typing import ArrayLike, NDArray

ORDER = 29
CELLS = 12 << (2 * ORDER)
WHOLE_SKY = ((0, CELLS),)

Ranges = tuple[tuple[int, int], ...]

TOLERANCE = 1e-12
"""Degrees (4 nanoarcseconds): what lies this close to a boundary counts as on it, far above rounding."""

_MOST_RANGES = 16
_MOST_CELLS = 64
_FINEST = 26  # a cover of finer cells would be narrower than rounding in the positions it must contain
_SLACK = 1e-7  # degrees added to every region: about one cell of order 29, far above rounding
_BOX_SLACK = 1e-7  # radians added to every circle before its box is made: above what arccos loses near an axis
_CELL_WIDTH = 58.6323  # degrees, square root of the area of a base cell
_CELL_REACH = 1.05  # a cell's corners lie within this many widths of its centre, at every order
_CELL_DEPTH = 0.33  # from anywhere in a cell it is further than this many widths to beyond its neighbours


@dataclass(frozen=True, slots=True)
class Circle:
    """All points at most ``radius`` from (``lon``, ``lat``)."""

    lon: float
    lat: float
    radius: float


@dataclass(frozen=True, slots=True)
class Polygon:
    """A great-circle polygon by its vertices (lon, lat), in either winding; the smaller side is inside."""

    vertices: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Range:
    """Points with longitude and latitude inside two intervals (DALI 1.1 section 3.3.7, SIA 2.0 POS=RANGE)."""

    west: float
    east: float
    south: float
    north: float


@dataclass(frozen=True, slots=True)
class Interval:
    """The numbers from ``low`` to ``high``, ends included; infinities stand for open ends."""

    low: float = -math.inf
    high: float = math.inf


def healpix_29(lon: ArrayLike, lat: ArrayLike) -> NDArray[np.int64]:
    """Nested order-29 cell of each position (degrees), elementwise; -1 where a position is not one.

    A position is not one if either coordinate is not finite or the latitude lies outside -90..90.
    Longitudes of any turn are taken modulo 360.
    """
    lons, lats = np.broadcast_arrays(np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64))
    known = np.isfinite(lons) & np.isfinite(lats) & (np.abs(lats) <= 90.0)
    cells = np.full(lons.shape, -1, dtype=np.int64)
    if known.any():
        found = lonlat_to_healpix(Longitude(lons[known], u.deg), Latitude(lats[known], u.deg), ORDER)
        cells[known] = found.astype(np.int64)
    return cells


def vectors(lon: ArrayLike, lat: ArrayLike) -> NDArray[np.float64]:
    """The unit vector of each position (degrees), elementwise along a last axis of three."""
    return _unit(np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64))


def cells_near(
    lon: NDArray[np.float64], lat: NDArray[np.float64], radius: float
) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """The cells of one order in which positions within ``radius`` (degrees) of given ones may lie.

    Returns how many bits shorter than at order 29 their numbers are, and pairs as two arrays: the index of a given
    position and a cell. Of one position no cell comes twice; what is no position has none.
    """
    depth = _depth_for((radius + _SLACK) / _CELL_DEPTH)
    own = healpix_29(lon, lat)
    known = np.flatnonzero(own >= 0)
    shift = 2 * (ORDER - depth)
    around = neighbours((own[known] >> shift).astype(np.uint64), depth)
    there = around >= 0  # at some corners only three cells meet
    return shift, np.repeat(known, there.sum(axis=1)), around[there].astype(np.int64)


def cone_ranges(lon: float, lat: float, radius: float, most: int = _MOST_RANGES) -> Ranges:
    """At most ``most`` order-29 ranges that hold every position within ``radius`` of (``lon``, ``lat``), degrees.

    A negative radius holds nothing; one of 180 or more holds the whole sky.
    """
    if radius < 0:
        return ()
    reach = radius + _SLACK
    if reach >= 120.0:  # what could be left out is too little to be worth a test
        return WHOLE_SKY
    if abs(lat) > 90:
        raise ValueError(f"{lat} is no latitude")
    # Without astropy's quantities, which take longer than the search.
    at_lon, at_lat, around = math.radians(lon % 360), math.radians(lat), math.radians(reach)
    cells, depths, _ = cone_cells(np.uint8(_depth_for(reach / 2)), np.uint8(2), at_lon, at_lat, around, False)
    return few_ranges(_ranges_of(cells, depths), most)


def polygon_ranges(vertices: Sequence[tuple[float, float]], most: int = _MOST_RANGES) -> Ranges:
    """At most ``most`` order-29 ranges that hold every position inside the polygon or on its boundary."""
    outline = Outline(vertices)
    centre, reach = outline.cap()
    depth = _depth_for(min(reach, 90.0))
    if reach >= 90.0:
        cells = np.arange(12 << (2 * depth), dtype=np.uint64)
    else:
        found = cone_search(
            Longitude(centre[0], u.deg), Latitude(centre[1], u.deg), u.Quantity(reach, u.deg), depth, flat=True
        )
        cells = found[0].astype(np.uint64)
    cells = cells[outline.may_touch(cells, depth)]
    while 0 < len(cells) <= _MOST_CELLS // 2 and depth < _FINEST:
        depth += 1
        cells = np.repeat(cells, 4) * np.uint64(4) + np.tile(np.arange(4, dtype=np.uint64), len(cells))
        cells = cells[outline.may_touch(cells, depth)]
    return few_ranges(_ranges_of(cells, np.full(len(cells), depth)), most)


class Outline:
    """A polygon's boundary on the unit sphere and which side of it is inside.

    ``pole_inside`` tells whether the north pole is inside. With it, a position is inside if the number of
    edges crossed by its meridian northwards of it is odd, or even where the pole is inside.
    ``area`` is in steradians.
    """

    def __init__(self, vertices: Sequence[tuple[float, float]]) -> None:
        self.lon = np.mod(np.array([vertex[0] for vertex in vertices], dtype=np.float64), 360.0)
        self.lat = np.array([vertex[1] for vertex in vertices], dtype=np.float64)
        self.points = _unit(self.lon, self.lat)
        steps = np.roll(self.lon, -1) - self.lon  # not rounded where it is small, or its sign might be lost
        self.steps = np.where(
            steps < -180.0, steps + 360.0, np.where(steps >= 180.0, steps - 360.0, steps)
        )  # eastwards
        self._next = np.roll(self.points, -1, axis=0)
        half = np.tan(np.radians(self.lat + 90.0) / 2)  # cotangent of half the distance to the north pole
        steps = np.radians(self.steps)
        slices = 2 * np.arctan2(np.sin(steps), half * np.roll(half, -1) + np.cos(steps))
        swept = abs(float(slices.sum()))  # area of the side that the turns around the north pole describe
        turns = round(abs(float(self.steps.sum())) / 360.0)
        self.pole_inside = (turns % 2 == 1) == (swept <= 2 * math.pi)
        self.area = min(swept, 4 * math.pi - swept)

    def cap(self) -> tuple[tuple[float, float], float]:
        """Centre (lon, lat) and radius, degrees, of a circle that holds the polygon; radius 180 if no smaller is sure.

        A circle of less than 90 degrees that holds all vertices holds the edges, and so the smaller side.
        """
        middle = self.points.mean(axis=0)
        length = float(np.linalg.norm(middle))
        if length < 1e-3:
            return (0.0, 0.0), 180.0
        middle /= length
        chord = float(np.linalg.norm(self.points - middle, axis=1).max())
        reach = math.degrees(2 * math.asin(min(1.0, chord / 2))) + _SLACK
        lon = math.degrees(math.atan2(middle[1], middle[0])) % 360.0
        lat = math.degrees(math.asin(max(-1.0, min(1.0, middle[2]))))
        return (lon, lat), reach if reach < 89.0 else 180.0

    def inside(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which unit vectors are inside; within rounding of the boundary the answer may be either."""
        side = self._sides(points)
        lon = np.degrees(np.arctan2(points[:, 1], points[:, 0])) % 360.0
        east, nexts = self.steps >= 0, np.roll(self.lon, -1)
        west_end, east_end = np.where(east, self.lon, nexts), np.where(east, nexts, self.lon)
        at = lon[:, np.newaxis]
        over = np.where(west_end <= east_end, (at >= west_end) & (at < east_end), (at >= west_end) | (at < east_end))
        crossed = (over & (np.where(east, side, -side) < 0)).sum(axis=1)
        return np.asarray((crossed % 2 == 1) != self.pole_inside)

    def distance(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Angular distance, degrees, of each unit vector to the boundary."""
        edges = np.cross(self.points, self._next - self.points)
        beyond_start = points @ np.cross(edges, self.points).T >= 0
        before_stop = points @ np.cross(self._next, edges).T >= 0
        length = np.linalg.norm(edges, axis=1)
        to_edge = np.abs(np.arcsin(np.clip(self._sides(points) / np.where(length > 0, length, 1.0), -1, 1)))
        chords = np.linalg.norm(points[:, np.newaxis, :] - self.points, axis=2)
        to_start = 2 * np.arcsin(np.clip(chords / 2, 0, 1))
        along = beyond_start & before_stop & (length > 0)
        return np.asarray(np.degrees(np.where(along, np.minimum(to_edge, to_start), to_start).min(axis=1)))

    def may_touch(self, cells: NDArray[np.uint64], depth: int) -> NDArray[np.bool_]:
        """Which cells of order ``depth`` may share a point with the polygon (never false for one that does)."""
        lon, lat = healpix_to_lonlat(cells, depth)
        centres = _unit(lon.deg, lat.deg)
        near = self.distance(centres) <= _CELL_REACH * _CELL_WIDTH / 2**depth + _SLACK
        return np.asarray(near | self.inside(centres))

    def overlaps(self, other: Outline) -> bool:
        """Whether the two polygons share a point; within rounding of touching the answer may be either."""
        if self.inside(other.points).any() or other.inside(self.points).any():
            return True
        apart = np.sign(self._sides(other.points))
        beyond = np.sign(other._sides(self.points))
        across = (apart != np.roll(apart, -1, axis=0)).T & (beyond != np.roll(beyond, -1, axis=0))
        meeting = np.cross(self._normals[:, np.newaxis, :], other._normals)  # of great circles, or opposite
        ours = np.einsum("ijk,ik->ij", meeting, self.points + self._next)
        theirs = np.einsum("ijk,jk->ij", meeting, other.points + other._next)
        return bool((across & (ours * theirs > 0)).any())

    def reaches(self, circle: Circle) -> bool:
        """Whether the polygon and the circle share a point."""
        centre = _unit(np.array([circle.lon]), np.array([circle.lat]))
        return bool(self.inside(centre)[0] or self.distance(centre)[0] <= circle.radius + TOLERANCE)

    def _sides(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        # With differences from a vertex, not whole vectors: exact to rounding for polygons of any smallness.
        offsets = points[:, np.newaxis, :] - self.points
        return np.asarray(np.einsum("pej,ej->pe", offsets, self._normals))

    @property
    def _normals(self) -> NDArray[np.float64]:
        return np.cross(self.points, self._next - self.points)


def boxes_around(lon: ArrayLike, lat: ArrayLike, radius: ArrayLike) -> NDArray[np.float64]:
    """The least and greatest x, y and z of circles (degrees) on the unit sphere: six rows, one column for each circle.

    Each is a little too wide, so that circles which meet have boxes that do. Not a number gives no number.
    """
    centres = _unit(np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64))
    away = np.arccos(np.clip(centres, -1, 1))  # of the centre from the end of each axis
    reach = np.abs(np.radians(np.asarray(radius, dtype=np.float64)))[..., np.newaxis] + _BOX_SLACK
    low, high = np.cos(np.minimum(away + reach, np.pi)), np.cos(np.maximum(away - reach, 0.0))
    return np.stack([side for axis in range(3) for side in (low[..., axis], high[..., axis])])


def _unit(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
    lon_radians, lat_radians = np.radians(lon), np.radians(lat)
    flat = np.cos(lat_radians)
    return np.stack((flat * np.cos(lon_radians), flat * np.sin(lon_radians), np.sin(lat_radians)), axis=-1)


def _depth_for(width: float) -> int:
    """The finest order whose cells are at least ``width`` degrees wide."""
    return max(0, min(_FINEST, math.floor(math.log2(_CELL_WIDTH / width))))


def _ranges_of(cells: Iterable[int], depths: Iterable[int]) -> list[tuple[int, int]]:
    shifted = []
    for cell, depth in zip(cells, depths, strict=True):
        shift = 2 * (ORDER - int(depth))
        shifted.append((int(cell) << shift, (int(cell) + 1) << shift))
    return sorted(shifted)


def few_ranges(ranges: Iterable[tuple[int, int]], most: int = _MOST_RANGES) -> Ranges:
    """Sorted ranges joined over the smallest gaps until at most ``most`` are left."""
    joined = _joined(ranges)
    if len(joined) <= most:
        return tuple(joined)
    gaps = sorted(range(1, len(joined)), key=lambda at: joined[at][0] - joined[at - 1][1], reverse=True)
    cuts = sorted(gaps[: most - 1])
    starts, stops = [0, *cuts], [*cuts, len(joined)]
    return tuple((joined[start][0], joined[stop - 1][1]) for start, stop in zip(starts, stops, strict=True))


def ranges_of(cells: NDArray[np.int64], shift: int, most: int = _MOST_RANGES) -> Ranges:
    """At most ``most`` order-29 ranges that hold all of many cells of one order, by numbers ``shift`` bits shorter."""
    if not len(cells):
        return ()
    each = np.unique(cells)
    gaps = np.diff(each)
    cuts = np.flatnonzero(gaps > 1)
    if len(cuts) >= most:
        cuts = np.sort(cuts[np.argsort(-gaps[cuts], kind="stable")[: most - 1]])
    starts, stops = each[np.append(0, cuts + 1)], each[np.append(cuts, len(each) - 1)]
    return tuple((low << shift, high + 1 << shift) for low, high in zip(starts.tolist(), stops.tolist(), strict=True))


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for low, high in ranges:
        if high == low:
            continue
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return joined


def cells_of(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, list[int]]]:
    """The largest cells that make up ``ranges``, as (shift, cells): a cell of order 29 is among them if its
    number shifted right by ``shift`` is listed there.
    """
    found: dict[int, list[int]] = {}
    for low, high in ranges:
        while low < high:
            order_bits = min((low & -low).bit_length() - 1 if low else 2 * ORDER, (high - low).bit_length() - 1)
            shift = min(order_bits - order_bits % 2, 2 * ORDER)
            found.setdefault(shift, []).append(low >> shift)
            low += 1 << shift
    return sorted(found.items(), reverse=True)
