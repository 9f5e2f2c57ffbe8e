"""Many polygons at once beside one shape that is the same for all of them: exact tests that need not be planned.

To plan the macros of a region takes a database longer than to find the rows they are for. These functions do the same
sums as the macros (``duckdb.sql``) and count the same as on the boundary. They are called with batches of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from archive.sky import TOLERANCE

Floats = NDArray[np.float64]
Truths = NDArray[np.bool_]

_RIM = math.radians(TOLERANCE)
_LEAST = 6  # numbers of which a polygon consists


def meets_circle(polygons: pa.Array, lon: float, lat: float, radius: float) -> pa.Array:
    """Whether each polygon has a point in common with a circle, degrees; NULL for what is no polygon.

    A circle of no radius is a point. A negative one has no points.
    """
    centre, at = _unit(np.array([lon]), np.array([lat])), np.array([lon % 360.0])

    def test(outlines: Outlines) -> Truths:
        if radius < 0:
            return np.zeros(len(outlines.lon), dtype=bool)
        return np.asarray(outlines.holds(centre, at)[:, 0] | outlines.near(centre[0], radius))

    return _each(polygons, test)


def meets_polygon(polygons: pa.Array, vertices: Floats) -> pa.Array:
    """Whether each polygon has a point in common with that of ``vertices``, longitudes and latitudes in turn."""
    other = Outlines.of(vertices[np.newaxis])
    points = other.starts[0]

    def test(outlines: Outlines) -> Truths:
        theirs = outlines.starts.reshape(-1, 3)
        within = other.holds(theirs, _longitude(theirs))[0].reshape(outlines.lon.shape).any(axis=1)
        return np.asarray(outlines.crosses(other) | outlines.holds(points, _longitude(points)).any(axis=1) | within)

    return _each(polygons, test)


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """Polygons of equally many corners: of each its edges, whether they go ``east``, and whether the north pole is
    inside. What an edge is, see ``outline`` of the macros; ``normals`` are of length 1 or 0.
    """

    lon: Floats  # polygon, corner
    starts: Floats  # polygon, corner, axis
    ends: Floats
    normals: Floats
    chords: Floats
    east: Truths
    pole: Truths

    @classmethod
    def of(cls, numbers: Floats) -> Outlines:
        """Polygons by their longitudes and latitudes in turn, a row for each."""
        lon, lat = np.mod(numbers[:, 0::2], 360.0), numbers[:, 1::2]
        starts = _unit(numbers[:, 0::2], lat)
        ends = np.roll(starts, -1, axis=1)
        along = ends - starts
        normals = np.cross(starts, along)
        length = np.linalg.norm(normals, axis=-1, keepdims=True)
        normals = np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)
        steps = np.roll(lon, -1, axis=1) - lon
        steps = steps - 360.0 * np.floor((steps + 180.0) / 360.0)
        half, turn = np.tan(np.radians(lat + 90.0) / 2), np.radians(steps)
        slices = 2 * np.arctan2(np.sin(turn), half * np.roll(half, -1, axis=1) + np.cos(turn))
        is_odd = np.round(np.abs(steps.sum(axis=1)) / 360.0) % 2 == 1
        pole = is_odd == (np.abs(slices.sum(axis=1)) <= 2 * np.pi)
        return cls(lon, starts, ends, normals, np.linalg.norm(along, axis=-1), steps >= 0, pole)

    def holds(self, points: Floats, lon: Floats) -> Truths:
        """Which of the polygons hold which points, unit vectors at longitudes ``lon``; on an edge is inside."""
        sides = self._sides(points)
        between = _dot(points[:, np.newaxis] - self.starts[:, np.newaxis], points[:, np.newaxis] - self.ends[:, None])
        chords = self.chords[:, np.newaxis]
        on_edge = (np.abs(sides) <= _RIM) & (between <= _RIM * (chords + _RIM))
        nexts = np.roll(self.lon, -1, axis=1)
        west, stop = (ends[:, np.newaxis] for ends in (self._first(nexts), self._last(nexts)))
        at = lon[:, np.newaxis]
        spans = (at >= west).astype(int) + (at < stop) + (west > stop) == 2
        crossed = spans & (np.where(self.east[:, np.newaxis], sides, -sides) < 0)
        odd = crossed.sum(axis=-1) % 2 == 1
        return np.asarray(on_edge.any(axis=-1) | (odd != self.pole[:, np.newaxis]))

    def near(self, centre: Floats, radius: float) -> Truths:
        """Which polygons have an edge within ``radius``, degrees, of a unit vector."""
        reach = math.radians(min(radius + TOLERANCE, 180.0))
        away = 1.0 if radius <= 90 else -1.0  # beyond 90 degrees, distances are taken from the antipode
        limit = (2 * math.sin(reach / 2)) ** 2 if away > 0 else -((2 * math.cos(reach / 2)) ** 2)
        gaps = away * ((centre - away * self.starts) ** 2).sum(axis=-1)
        along = (_dot(np.cross(self.normals, self.starts), centre) >= 0) & (
            _dot(np.cross(self.ends, self.normals), centre) >= 0
        )
        across = np.abs(self._sides(centre[np.newaxis])[:, 0]) <= (math.sin(reach) if radius + TOLERANCE < 90 else 2.0)
        return np.asarray(((gaps <= limit) | (along & across & (self.chords > 0))).any(axis=-1))

    def crosses(self, other: Outlines) -> Truths:
        """Which polygons have an edge that crosses one of the only polygon ``other``."""
        starts, ends = self._sides(other.starts[0]), self._sides(other.ends[0])  # polygon, theirs, ours
        flat = self.starts.reshape(-1, 3), self.ends.reshape(-1, 3)
        shape = (*self.lon.shape, other.lon.shape[1])
        ours, theirs = (np.moveaxis(other._sides(each)[0].reshape(shape), 1, 2) for each in flat)
        return np.asarray(((starts * ends < 0) & (ours * theirs < 0) & (starts * ours < 0)).any(axis=(1, 2)))

    def _sides(self, points: Floats) -> Floats:
        """Polygon, point, edge: on which side of its great circle."""
        # With differences from a vertex, not whole vectors: exact to rounding for polygons of any smallness.
        return np.asarray(_dot(points[:, np.newaxis] - self.starts[:, np.newaxis], self.normals[:, np.newaxis]))

    def _first(self, nexts: Floats) -> Floats:
        return np.where(self.east, self.lon, nexts)

    def _last(self, nexts: Floats) -> Floats:
        return np.where(self.east, nexts, self.lon)


def _each(polygons: pa.Array, test: Callable[[Outlines], Truths]) -> pa.Array:
    """``test`` of all polygons, taken together by the number of their corners."""
    offsets = polygons.offsets.to_numpy().astype(np.int64)
    numbers = polygons.values.to_numpy(zero_copy_only=False)
    counts = np.diff(offsets)
    usable = pc.is_valid(polygons).to_numpy(zero_copy_only=False) & (counts >= _LEAST)
    known, found = np.zeros(len(counts), dtype=bool), np.zeros(len(counts), dtype=bool)
    for corners in np.unique(counts[usable] // 2):
        rows = np.flatnonzero(usable & (counts // 2 == corners))
        parts = numbers[offsets[rows][:, np.newaxis] + np.arange(2 * corners)]
        whole = np.isfinite(parts).all(axis=1)
        known[rows[whole]] = True
        if whole.any():
            found[rows[whole]] = test(Outlines.of(parts[whole]))
    return pa.array(found, pa.bool_(), mask=~known)


def _dot(one: Floats, other: Floats) -> Any:
    return (one * other).sum(axis=-1)


def _unit(lon: Floats, lat: Floats) -> Floats:
    flat = np.cos(np.radians(lat))
    return np.stack((flat * np.cos(np.radians(lon)), flat * np.sin(np.radians(lon)), np.sin(np.radians(lat))), axis=-1)


def _longitude(points: Floats) -> Floats:
    return np.asarray(np.mod(np.degrees(np.arctan2(points[..., 1], points[..., 0])), 360.0))
