"""The sphere for the evaluator: points, circles and polygons by unit vectors, one at a time, nothing clever.

Angles are degrees; points are (lon, lat), circles (lon, lat, radius), polygons flat lists of lon and lat whose edges
are great circles. Polygons must lie within half the sky around the middle of their vertices; then the smaller side
is the one that does not hold the opposite of that middle.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Shape = Sequence[float]

NEAR = 1e-12
"""Degrees: what is this close to a border lies on it."""


def vector(lon: float, lat: float) -> Vector:
    """The unit vector of a position."""
    a, d = math.radians(lon), math.radians(lat)
    return np.array([math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)])


def position(v: Vector) -> list[float]:
    """Longitude (0 to 360) and latitude of a direction."""
    lon = math.degrees(math.atan2(v[1], v[0])) % 360
    return [lon, math.degrees(math.atan2(v[2], math.hypot(v[0], v[1])))]


def angle(a: Vector, b: Vector) -> float:
    """The angle between two unit vectors."""
    return math.degrees(2 * math.atan2(float(np.linalg.norm(a - b)), float(np.linalg.norm(a + b))))


def separation(lon1: float, lat1: float, lon2: float, lat2: float) -> float:
    """The angular distance of two positions: haversines of it and of its complement, so exact near and far."""
    along, up, total = (math.radians(x) / 2 for x in (lon2 - lon1, lat2 - lat1, lat2 + lat1))
    product = math.cos(math.radians(lat1)) * math.cos(math.radians(lat2))
    near = math.sin(up) ** 2 + product * math.sin(along) ** 2
    far = math.sin(total) ** 2 + product * math.cos(along) ** 2
    return math.degrees(2 * math.atan2(math.sqrt(near), math.sqrt(far)))


class Polygon:
    """A polygon ready for questions."""

    def __init__(self, flat: Shape) -> None:
        self.corners = [vector(lon, lat) for lon, lat in zip(flat[::2], flat[1::2], strict=True)]
        total = np.sum(self.corners, axis=0)
        self.middle: Vector = total / np.linalg.norm(total)
        if min(float(corner @ self.middle) for corner in self.corners) <= 0.02:
            raise ValueError("the plain sphere knows only polygons within half the sky")
        # Outside for sure, and not exactly opposite to any position tests ask about.
        beside = np.cross(self.middle, [0.36, 0.48, 0.8])
        outside = -self.middle + 0.005 * beside
        self.outside: Vector = outside / np.linalg.norm(outside)

    def edges(self) -> Iterator[tuple[Vector, Vector]]:
        """The ends of each edge."""
        return zip(self.corners, [*self.corners[1:], self.corners[0]], strict=True)

    def border(self, p: Vector) -> float:
        """The distance of a direction from the nearest point of the border."""
        return min(_edge_distance(a, b, p) for a, b in self.edges())

    def holds(self, p: Vector) -> bool:
        """True for directions inside or on the border."""
        return self.border(p) <= NEAR or sum(_cross(a, b, p, self.outside) for a, b in self.edges()) % 2 == 1

    def area(self) -> float:
        """Square degrees."""
        return abs(sum(_excess(self.middle, a, b) for a, b in self.edges())) * math.degrees(1) ** 2

    def centroid(self) -> list[float]:
        """The direction of the centre of mass of the surface."""
        moment = np.zeros(3)
        for a, b in self.edges():
            normal = np.cross(a, b)
            length = np.linalg.norm(normal)
            if length > 0:
                moment += normal / length * math.radians(angle(a, b))
        return position(moment if moment @ self.middle > 0 else -moment)


@lru_cache(maxsize=1000)
def _ready(flat: tuple[float, ...]) -> Polygon:
    return Polygon(flat)


def polygon_of(flat: Shape) -> Polygon:
    """The polygon of a flat list, made once."""
    return _ready(tuple(flat))


def _edge_distance(a: Vector, b: Vector, p: Vector) -> float:
    normal = np.cross(a, b)
    length = np.linalg.norm(normal)
    if length > 0 and np.cross(normal, a) @ p >= 0 and np.cross(b, normal) @ p >= 0:
        return abs(math.degrees(math.asin(max(-1.0, min(1.0, float(normal @ p) / float(length))))))
    return min(angle(a, p), angle(b, p))


def _cross(a: Vector, b: Vector, p: Vector, q: Vector) -> bool:
    """True if the arcs from a to b and from p to q cross."""
    first, second = np.cross(a, b), np.cross(p, q)
    meeting = np.cross(first, second)
    for m in (meeting, -meeting):
        on_first = np.cross(a, m) @ first > 0 and np.cross(m, b) @ first > 0
        if on_first and np.cross(p, m) @ second > 0 and np.cross(m, q) @ second > 0:
            return True
    return False


def _excess(a: Vector, b: Vector, c: Vector) -> float:
    """The signed area of a triangle in steradians (van Oosterom and Strackee)."""
    return 2 * math.atan2(float(a @ np.cross(b, c)), float(1 + a @ b + b @ c + c @ a))


def area(shape: Shape) -> float:
    """Square degrees of a point (0), circle or polygon."""
    if len(shape) == 2:
        return 0.0
    if len(shape) == 3:
        return 2 * math.pi * (1 - math.cos(math.radians(shape[2]))) * math.degrees(1) ** 2
    return polygon_of(shape).area()


def centroid(shape: Shape) -> list[float]:
    """The centre of a point, circle or polygon."""
    return list(shape[:2]) if len(shape) < 4 else polygon_of(shape).centroid()


def within(inner: Shape, outer: Shape) -> bool:
    """True if ``inner`` lies in ``outer``; the border counts as inside."""
    if len(outer) == 2:
        return len(inner) == 2 and separation(*inner, *outer) <= NEAR
    if len(inner) == 2:
        return overlap(inner, outer)
    if len(outer) == 3:
        return _in_circle(inner, outer)
    polygon = polygon_of(outer)
    if len(inner) == 3:
        centre = vector(inner[0], inner[1])
        return polygon.holds(centre) and polygon.border(centre) >= inner[2] - NEAR
    other = polygon_of(inner)
    return all(map(polygon.holds, other.corners)) and not _edges_cross(polygon, other)


def _in_circle(inner: Shape, outer: Shape) -> bool:
    lon, lat, radius = outer
    if len(inner) == 3:
        return separation(inner[0], inner[1], lon, lat) + inner[2] <= radius + NEAR or radius >= 180
    rest = [lon + 180, -lat, 180 - radius]  # what the circle leaves out; touching it is no harm
    polygon, opposite = polygon_of(inner), vector(rest[0], rest[1])
    return radius >= 180 or (not polygon.holds(opposite) and polygon.border(opposite) >= rest[2] - NEAR)


def overlap(left: Shape, right: Shape) -> bool:
    """True if two shapes have a point in common."""
    if len(left) > len(right):
        left, right = right, left
    if len(left) == 2:
        return _holds_point(right, left)
    if len(right) == 3:
        return separation(left[0], left[1], right[0], right[1]) <= left[2] + right[2] + NEAR
    polygon = polygon_of(right)
    if len(left) == 3:
        centre = vector(left[0], left[1])
        return left[2] >= 0 and (polygon.holds(centre) or polygon.border(centre) <= left[2] + NEAR)
    other = polygon_of(left)
    return (
        _edges_cross(polygon, other) or any(map(polygon.holds, other.corners)) or any(map(other.holds, polygon.corners))
    )


def _holds_point(shape: Shape, point: Shape) -> bool:
    if len(shape) == 2:
        return separation(*point, *shape) <= NEAR
    if len(shape) == 3:
        return separation(point[0], point[1], shape[0], shape[1]) <= shape[2] + NEAR
    return polygon_of(shape).holds(vector(point[0], point[1]))


def _edges_cross(one: Polygon, other: Polygon) -> bool:
    return any(_cross(a, b, c, d) for a, b in one.edges() for c, d in other.edges())
