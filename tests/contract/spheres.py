"""Nasty and random shapes, and the plain truth about them: astropy for angles, one projection for polygons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.coordinates import angular_separation
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cone:
    """A circle on the sky."""

    lon: float
    lat: float
    radius: float

    def __str__(self) -> str:
        return f"{self.lon!r}, {self.lat!r}, {self.radius!r}"


def separations(lon: Floats, lat: Floats, to_lon: float, to_lat: float) -> Floats:
    """Degrees, by astropy (Vincenty's formula: sound for small angles and for antipodes)."""
    parts = (np.radians(lon), np.radians(lat), np.radians(to_lon), np.radians(to_lat))
    return np.degrees(np.asarray(angular_separation(*parts)))


def cones(count: int, seed: int) -> list[Cone]:
    """Cones around poles, the seam and corners of cells, tiny to whole-sky, and random ones."""
    random = np.random.default_rng(seed)
    nasty = [
        Cone(0, 90, 5), Cone(200, 90, 0.5), Cone(0, -90, 30), Cone(123, 89.999, 0.01), Cone(0, 0, 3),
        Cone(360, 0, 3), Cone(359.999, -0.001, 0.01), Cone(45, 41.8103148957786, 1), Cone(0, 0, 90), Cone(10, 80, 90),
        Cone(10, 20, 100), Cone(300, -85, 150), Cone(5, 5, 179.5), Cone(5, 5, 179.99999), Cone(77, 0, 180),
        Cone(0, 90, 180), Cone(10, 10, 0), Cone(-30, 10, 4), Cone(725, -10, 4), Cone(0, 90, 100), Cone(180, -90, 135),
    ]  # fmt: skip
    lon, lat = random.uniform(0, 360, count), np.degrees(np.arcsin(random.uniform(-1, 1, count)))
    radius = 10 ** random.uniform(-2, 2.25, count)
    return nasty + [Cone(*map(float, each)) for each in zip(lon, lat, radius, strict=True)]


@dataclass(frozen=True)
class Outlined:
    """A polygon around a middle from which all of its border can be seen, less than 90 degrees away."""

    middle: tuple[float, float]
    vertices: tuple[tuple[float, float], ...]

    @property
    def text(self) -> str:
        return ", ".join(f"{lon!r}, {lat!r}" for lon, lat in self.vertices)

    def holds(self, lon: Floats, lat: Floats) -> NDArray[np.bool_]:
        """By gnomonic projection on the middle, where great circles are straight, and the even-odd rule."""
        x, y, front = self._flat(lon, lat)
        corner_x, corner_y, _ = self._flat(*(np.array(part) for part in zip(*self.vertices, strict=True)))
        inside = np.zeros(len(x), dtype=bool)
        for at in range(len(corner_x)):
            x1, y1, x2, y2 = corner_x[at - 1], corner_y[at - 1], corner_x[at], corner_y[at]
            rises = (y1 > y) != (y2 > y)
            with np.errstate(divide="ignore", invalid="ignore"):
                inside ^= rises & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
        return inside & front

    def _flat(self, lon: Floats, lat: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        turn, up = np.radians(lon - self.middle[0]), np.radians(self.middle[1])
        lat = np.radians(lat)
        depth = np.sin(up) * np.sin(lat) + np.cos(up) * np.cos(lat) * np.cos(turn)
        x = np.cos(lat) * np.sin(turn)
        y = np.cos(up) * np.sin(lat) - np.sin(up) * np.cos(lat) * np.cos(turn)
        return x / depth, y / depth, depth > 0


def around(middle: tuple[float, float], angles: Floats, distances: Floats) -> tuple[tuple[float, float], ...]:
    """Positions at ``distances`` from ``middle`` in directions ``angles`` (degrees east of north)."""
    lon, lat = np.radians(middle)
    centre = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    east = np.array([-np.sin(lon), np.cos(lon), 0.0])
    north = np.cross(centre, east)
    turn, far = np.radians(angles)[:, np.newaxis], np.radians(distances)[:, np.newaxis]
    x, y, z = (np.cos(far) * centre + np.sin(far) * (np.cos(turn) * north + np.sin(turn) * east)).T
    lons, lats = np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))
    return tuple((float(one), float(other)) for one, other in zip(lons, lats, strict=True))


def outlines(count: int, seed: int) -> list[Outlined]:
    """Star-shaped polygons, convex and not, of either winding, at poles and across the seam, tiny to half the sky."""
    random = np.random.default_rng(seed)
    made = []
    for at in range(count):
        middle = (float(random.choice([0.0, 360.0, 180.0, random.uniform(0, 360)])), float(random.uniform(-90, 90)))
        if at % 4 == 0:
            middle = (middle[0], float(random.choice([90.0, -90.0, 89.9, 0.0])))
        corners = int(random.integers(3, 9))
        angles = (np.arange(corners) + random.uniform(0, 0.8, corners)) * 360 / corners
        if at % 2:
            angles = angles[::-1]
        reach = 10 ** random.uniform(-2, np.log10(80))
        made.append(Outlined(middle, around(middle, angles, reach * random.uniform(0.3, 1, corners))))
    return made
