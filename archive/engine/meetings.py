"""Which stored regions and places a test on the sphere meets, and what may reach them: what an index can be asked by.

The other side of a test is told by a circle around it, so that an engine which keeps something simple beside each
region, a circle or a box, can leave out most rows before the exact test is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from archive.adql import bound
from archive.adql.types import DOUBLE
from archive.engine.crossmatch import sources
from archive.engine.sphere import constant_vertices, number
from archive.sky import Outline


@dataclass(frozen=True, slots=True)
class Disc:
    """A circle by centre and radius, degrees. No radius is one of 0; of a negative one the amount counts.

    (So it is too large at worst.)
    """

    lon: bound.Value
    lat: bound.Value
    radius: bound.Value | None


Reach = Disc | bound.Value
"""What holds one side of a test: a disc, or a polygon around which one is to be made."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """A test of what is stored in the source ``alias``, a region or a place, against what may reach it.

    ``key`` is the column of the region or the point, or those of longitude and latitude.
    """

    alias: str
    key: tuple[str, ...]
    is_region: bool
    reach: Reach

    @property
    def depends_on(self) -> set[str | None]:
        """The aliases of what may reach it; None among them if that cannot be told."""
        reach = self.reach
        return sources((reach.lon, reach.lat, reach.radius) if isinstance(reach, Disc) else reach)


Position = tuple[bound.Value, bound.Value]


def meetings(test: bound.Condition) -> list[Meeting]:
    """What an index may know of a test, from either side of it."""
    match test:
        case bound.Near(lon1, lat1, lon2, lat2, radius):
            one, other = (lon1, lat1), (lon2, lat2)
            return [*_near(one, other, radius), *_near(other, one, radius)]
        case bound.Within(one, other) | bound.Overlaps(one, other):
            return [*_shapes(one, other), *_shapes(other, one)]
        case bound.Or((bound.Near() as near, bound.Comparison(">=", outer, bound.Constant(180.0)))):
            # A circle in a circle: that the outer one is the whole sky makes no difference to what it touches.
            if isinstance(near.radius, bound.Arithmetic) and (near.radius.operator, near.radius.left) == ("-", outer):
                return [meeting for meeting in meetings(near) if meeting.is_region]
    return []


def _near(stored: Position, other: Position, radius: bound.Value) -> Iterator[Meeting]:
    match stored:
        case (bound.Apply("coord1", (bound.Field() as shape,)), bound.Apply("coord2", (bound.Field() as same,))):
            if shape == same and shape.column.xtype == "point":
                yield Meeting(shape.source, (shape.name,), False, Disc(*other, radius))
            elif shape == same and shape.column.xtype == "circle":
                for beyond in _beyond(radius, shape):
                    yield Meeting(shape.source, (shape.name,), True, Disc(*other, beyond))
        case (bound.Field() as lon, bound.Field() as lat) if lon.source == lat.source:
            yield Meeting(lon.source, (lon.name, lat.name), False, Disc(*other, radius))


def _beyond(radius: bound.Value, circle: bound.Field) -> Iterator[bound.Value | None]:
    """How far from a circle that is, which is within ``radius`` of its centre; nothing if that cannot be told."""
    match radius:
        case bound.Apply("radius", (own,)) if own == circle:
            yield None
        case bound.Arithmetic("+" | "-", bound.Apply("radius", (own,)), rest) if own == circle:
            yield rest
        case bound.Arithmetic("+" | "-", rest, bound.Apply("radius", (own,))) if own == circle:
            yield rest
        case _ if circle.source not in sources(radius):
            yield radius


def _shapes(stored: bound.Value, other: bound.Value) -> Iterator[Meeting]:
    if isinstance(stored, bound.Field) and stored.column.xtype in ("circle", "polygon"):
        for reach in _around(other):
            yield Meeting(stored.source, (stored.name,), True, reach)


def _around(shape: bound.Value) -> Iterator[Reach]:
    match shape:
        case bound.PointOf(lon, lat):
            yield Disc(lon, lat, None)
        case bound.CircleOf(lon, lat, radius):
            yield Disc(lon, lat, radius)
        case _ if shape.column.xtype == "circle":
            parts = (bound.Apply(part, (shape,), DOUBLE) for part in ("coord1", "coord2", "radius"))
            yield Disc(*parts)
        case _ if shape.column.xtype == "polygon":
            yield shape


def constant(reach: Reach) -> tuple[float, float, float] | None:
    """The circle, if it is one and the same for all rows."""
    if not isinstance(reach, Disc):
        vertices = constant_vertices(reach)
        if vertices is None:
            return None
        (lon, lat), radius = Outline(vertices).cap()
        return lon, lat, radius
    at_lon, at_lat = number(reach.lon), number(reach.lat)
    far = 0.0 if reach.radius is None else number(reach.radius)
    return None if at_lon is None or at_lat is None or far is None else (at_lon, at_lat, abs(far))
