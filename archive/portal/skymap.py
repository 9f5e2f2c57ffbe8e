"""``SkyMap``: where images lie, as the paths of a drawing (SVG): a field around a position, or the whole sky.

North is up and east to the left. A field is a gnomonic projection, in which great circles are straight lines; the whole
sky is an ellipse (Mollweide) with longitude 0 in its middle.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archive.sky import Circle, Polygon

Floats = NDArray[np.float64]

WIDTH, HEIGHT = 960.0, 480.0
"""Of the drawing, in its own units."""

_WIDEST = 50.0  # degrees from the middle to the upper edge of a field; more is drawn as the whole sky
_NARROWEST = 1e-4
_STEPS = (1.0, 2.0, 5.0)
_LINES = 7  # of a grid along the shorter side, about
_FINE = 1.0  # degrees between two points of a line of the whole sky


@dataclass(frozen=True, slots=True)
class Footprint:
    """What an image covers: its number in the list, its outline or at least its middle, and what it is called."""

    key: int
    outline: Polygon | None
    middle: tuple[float, float]
    name: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A footprint as a path; ``x``, ``y`` is its middle. One that would hardly be seen is a dot there."""

    key: int
    name: str
    path: str
    x: float
    y: float
    is_dot: bool


@dataclass(frozen=True, slots=True)
class Label:
    """A number at a line of the grid."""

    x: float
    y: float
    text: str
    vertical: bool


@dataclass(frozen=True, slots=True)
class SkyMap:
    """A drawing of ``WIDTH`` by ``HEIGHT``; ``frame`` is the edge of the sky, ``searched`` what was looked in."""

    told: str
    drawn: tuple[Drawn, ...]
    grid: tuple[str, ...]
    labels: tuple[Label, ...]
    frame: str
    searched: str


def sky_map(footprints: Sequence[Footprint], searched: Circle | None) -> SkyMap:
    """The map of footprints: of the field around what was searched if that is small, else of the whole sky."""
    view = _view(footprints, searched)
    around = "" if searched is None else view.path(_circle(searched))
    drawn = [each for footprint in footprints if (each := _drawn(view, footprint)) is not None]
    drawn.sort(key=lambda each: (each.is_dot, -len(each.path)))
    return SkyMap(view.told, tuple(drawn), tuple(view.grid()), tuple(view.labels()), view.frame, around)


def _view(footprints: Sequence[Footprint], searched: Circle | None) -> View:
    """A field has room for what was searched, and for most of what was found if that is not much larger."""
    if searched is None or searched.radius > _WIDEST:
        return WholeSky()
    middle = _vectors([(searched.lon, searched.lat)])[0]
    reach = [_reach(footprint, middle) for footprint in footprints]
    common = float(np.percentile(reach, 80)) if reach else 0.0
    return Field(searched.lon, searched.lat, min(max(1.3 * searched.radius, 1.15 * common, _NARROWEST), _WIDEST))


def _reach(footprint: Footprint, middle: Floats) -> float:
    """Degrees from the middle of a field to the farthest part of a footprint."""
    points = _vectors(footprint.outline.vertices if footprint.outline else [footprint.middle])
    return math.degrees(2 * math.asin(min(1.0, float(np.linalg.norm(points - middle, axis=1).max()) / 2)))


def _drawn(view: View, footprint: Footprint) -> Drawn | None:
    at = view.project(np.array([footprint.middle]))[0]
    if not np.isfinite(at).all():
        return None
    path, size = "", 0.0
    if footprint.outline is not None:
        points = view.project(view.fine(np.array(footprint.outline.vertices)))
        path = view.path(np.array(footprint.outline.vertices))
        size = float(np.nanmax(np.ptp(points, axis=0))) if np.isfinite(points).any() else 0.0
    return Drawn(footprint.key, footprint.name, path, round(at[0], 1), round(at[1], 1), size < 5.0)


# --- views ----------------------------------------------------------------------------------------


class View(ABC):
    """A way to draw the sky."""

    told: str
    frame: str

    @abstractmethod
    def project(self, places: Floats) -> Floats:
        """The points of the drawing for (longitude, latitude) in degrees; NaN for what is not on it."""

    @abstractmethod
    def fine(self, outline: Floats) -> Floats:
        """A closed outline with as many points as it takes for straight lines to do."""

    @abstractmethod
    def grid(self) -> Iterator[str]:
        """Paths of meridians and parallels."""

    @abstractmethod
    def labels(self) -> Iterator[Label]:
        """What stands at them."""

    def path(self, outline: Floats) -> str:
        """A closed outline as a path; where it leaves the drawing it is broken."""
        return _path(self.project(self.fine(outline)), self._joins, closed=True)

    def _joins(self, one: Floats, other: Floats) -> bool:
        return True


class Field(View):
    """The sky as far as ``half`` degrees north and south of a position, and further to the sides."""

    def __init__(self, lon: float, lat: float, half: float) -> None:
        self._lon, self._lat, self._half = lon, lat, half
        self._scale = HEIGHT / 2 / math.tan(math.radians(half))
        self.frame = f"M0 0H{WIDTH:g}V{HEIGHT:g}H0Z"
        self.told = f"The sky around {lon:.5g}, {lat:.5g}: {_angle(2 * half)} from top to bottom"

    def project(self, places: Floats) -> Floats:
        points = _vectors(places)
        middle = _vectors([(self._lon, self._lat)])[0]
        east = np.array([-math.sin(math.radians(self._lon)), math.cos(math.radians(self._lon)), 0.0])
        north = np.cross(middle, east)
        depth = points @ middle
        depth = np.where(depth > 0.05, depth, np.nan)
        flat = np.stack((-(points @ east) / depth, -(points @ north) / depth), axis=1) * self._scale
        return np.asarray(flat + np.array([WIDTH / 2, HEIGHT / 2]))

    def fine(self, outline: Floats) -> Floats:
        return outline

    def grid(self) -> Iterator[str]:
        for line in (*self._meridians(), *self._parallels()):
            yield _path(self.project(line), self._joins)

    def labels(self) -> Iterator[Label]:
        for line in self._meridians():
            at = self._seen(line, by=1)
            if at is not None and 30 < at[0] < WIDTH - 30:
                yield Label(round(float(at[0]), 1), HEIGHT - 8, _degrees(line[0, 0] % 360, self._steps[0]), False)
        for line in self._parallels():
            at = self._seen(line, by=0)
            if at is not None and 20 < at[1] < HEIGHT - 26:
                yield Label(8.0, round(float(at[1]), 1) - 5, _degrees(line[0, 1], self._steps[1]), True)

    def _seen(self, line: Floats, by: int) -> Floats | None:
        """The point of a line next to the lower (``by`` 1) or to the left edge (``by`` 0)."""
        points = self.project(line)
        edge = HEIGHT if by else 0.0
        near = np.abs(points[:, by] - edge)
        if not np.isfinite(near).any() or np.nanmin(near) > HEIGHT / 20:
            return None
        return np.asarray(points[int(np.nanargmin(near))])

    @property
    def _steps(self) -> tuple[float, float]:
        """Degrees between two meridians and two parallels."""
        least = max(0.02, math.cos(math.radians(min(89.0, abs(self._lat)))))
        polar = abs(self._lat) + self._half > 85
        return (30.0 if polar else _nice(2 * self._half / least / _LINES * 1.4)), _nice(2 * self._half / _LINES)

    def _meridians(self) -> Iterator[Floats]:
        step = self._steps[0]
        reach = 180.0 if step == 30.0 else self._half * WIDTH / HEIGHT * 1.6 / math.cos(math.radians(self._lat))
        low, high = max(-89.9, self._lat - 2 * self._half), min(89.9, self._lat + 2 * self._half)
        lats = np.linspace(low, high, 120)
        for number in range(math.ceil((self._lon - reach) / step), math.floor((self._lon + reach) / step) + 1):
            yield np.stack((np.full(len(lats), number * step), lats), axis=1)

    def _parallels(self) -> Iterator[Floats]:
        step = self._steps[1]
        reach = (
            180.0 if self._steps[0] == 30.0 else self._half * WIDTH / HEIGHT * 1.6 / math.cos(math.radians(self._lat))
        )
        lons = np.linspace(self._lon - reach, self._lon + reach, 240)
        first, last = max(-89.0, self._lat - 1.6 * self._half), min(89.0, self._lat + 1.6 * self._half)
        for number in range(math.ceil(first / step), math.floor(last / step) + 1):
            yield np.stack((lons, np.full(len(lons), number * step)), axis=1)


class WholeSky(View):
    """The whole sky."""

    told = "The whole sky, right ascension 0 in the middle, growing to the left"

    def __init__(self) -> None:
        edge = np.linspace(-90, 90, 90)
        sides = [np.stack((np.full(90, side), edge[:: 1 if side < 0 else -1]), axis=1) for side in (-180.0, 180.0)]
        self.frame = _path(self.project(np.concatenate(sides)), lambda one, other: True, closed=True)

    def project(self, places: Floats) -> Floats:
        lon, lat = np.asarray(places, float).T
        turned = np.where(np.abs(lon) == 180.0, lon, (lon + 180.0) % 360.0 - 180.0)
        theta = _auxiliary(np.radians(lat))
        x = -2 * turned / 180.0 * np.cos(theta)
        return np.stack((WIDTH / 2 + x * WIDTH / 4 * 0.98, HEIGHT / 2 * (1 - np.sin(theta) * 0.98)), axis=1)

    def fine(self, outline: Floats) -> Floats:
        points = _vectors(outline)
        pieces = []
        for one, other in zip(points, np.roll(points, -1, axis=0), strict=True):
            steps = max(1, math.ceil(math.degrees(float(np.linalg.norm(other - one))) / _FINE))
            parts = np.arange(steps)[:, np.newaxis] / steps
            pieces.append(one + parts * (other - one))
        whole = np.concatenate(pieces)
        lon = np.degrees(np.arctan2(whole[:, 1], whole[:, 0]))
        lat = np.degrees(np.arctan2(whole[:, 2], np.hypot(whole[:, 0], whole[:, 1])))
        return np.stack((lon, lat), axis=1)

    def grid(self) -> Iterator[str]:
        lats, lons = np.linspace(-90, 90, 60), np.linspace(-180, 180, 120)
        for lon in range(-150, 180, 30):
            yield _path(self.project(np.stack((np.full(60, float(lon)), lats), axis=1)), self._joins)
        for lat in range(-60, 90, 30):
            yield _path(self.project(np.stack((lons, np.full(120, float(lat))), axis=1)), self._joins)

    def labels(self) -> Iterator[Label]:
        for lon in range(-120, 180, 60):
            x, y = self.project(np.array([[lon, 0.0]]))[0]
            yield Label(round(float(x), 1), round(float(y), 1) + 16, f"{lon % 360}°", False)
        for lat in (-60, -30, 30, 60):
            x, y = self.project(np.array([[0.0, lat]]))[0]
            yield Label(round(float(x), 1) + 6, round(float(y), 1) - 5, f"{lat}°", True)

    def _joins(self, one: Floats, other: Floats) -> bool:
        return abs(float(one[0] - other[0])) < WIDTH / 4


# --- numbers --------------------------------------------------------------------------------------


def _path(points: Floats, joins: Callable[[Floats, Floats], bool], *, closed: bool = False) -> str:
    """A line through points, broken where two are not joined or one is not there."""
    ordered = [*points, points[0]] if closed and len(points) else list(points)
    words: list[str] = []
    last = None
    for point in ordered:
        if not np.isfinite(point).all():
            last = None
            continue
        joined = last is not None and joins(last, point)
        words.append(f"{'L' if joined else 'M'}{_short(point[0])} {_short(point[1])}")
        last = point
    return "".join(words)


def _short(number: float) -> str:
    return f"{max(-1e5, min(1e5, float(number))):.1f}".removesuffix(".0")


def _vectors(places: Iterable[Sequence[float]] | Floats) -> Floats:
    lon, lat = np.radians(np.asarray(list(places), float)).T
    return np.stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), axis=1)


def _circle(circle: Circle) -> Floats:
    """Places around a circle."""
    lon, lat, radius = (math.radians(each) for each in (circle.lon, circle.lat, circle.radius))
    turns = np.linspace(0, 2 * math.pi, 120, endpoint=False)
    lats = np.arcsin(
        np.clip(math.sin(lat) * math.cos(radius) + math.cos(lat) * math.sin(radius) * np.cos(turns), -1, 1)
    )
    lons = lon + np.arctan2(
        np.sin(turns) * math.sin(radius) * math.cos(lat), math.cos(radius) - math.sin(lat) * np.sin(lats)
    )
    return np.degrees(np.stack((lons, lats), axis=1))


def _auxiliary(lat: Floats) -> Floats:
    """The angle of Mollweide's projection: 2 t + sin 2 t = pi sin(lat), by Newton's method."""
    theta = np.array(lat, float)
    for _ in range(30):
        slope = np.maximum(2 + 2 * np.cos(2 * theta), 1e-12)
        theta = np.clip(
            theta - (2 * theta + np.sin(2 * theta) - math.pi * np.sin(lat)) / slope, -math.pi / 2, math.pi / 2
        )
    return np.where(np.abs(lat) > math.radians(89.99), np.sign(lat) * math.pi / 2, theta)


def _nice(step: float) -> float:
    """A round number not below ``step``; at most 30."""
    if step > 10:
        return 15.0 if step <= 15 else 30.0
    power = 10.0 ** math.floor(math.log10(step))
    return next((power * each for each in _STEPS if power * each >= step), power * 10)


def _degrees(value: float, step: float) -> str:
    """A number of the grid, with as many places as its step has."""
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:.{places}f}°"


def _angle(degrees: float) -> str:
    """An angle in the unit that fits."""
    if degrees >= 1:
        return f"{degrees:.3g}°"
    return f"{degrees * 60:.3g}′" if degrees * 60 >= 1 else f"{degrees * 3600:.3g}″"
