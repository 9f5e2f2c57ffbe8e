"""The sphere on PostgreSQL: before the exact test of a stored region or place stands one that an index answers.

A stored region is told by the circle around it (``postgres_regions``), the other side by a circle too. Positions by
which a table is sorted are left to their cells: measured side by side, those answer cones as fast as pgSphere's index,
and the planner knows how many rows they will find, while pgSphere 1.2.0 always guesses a thousandth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from archive.adql import bound
from archive.adql.types import DOUBLE
from archive.engine import elements as el
from archive.engine.crossmatch import sources
from archive.engine.postgres_regions import cap_in, has_spot
from archive.engine.select import Place
from archive.engine.sphere import Sphere, Writer, constant_vertices, number
from archive.sky import Outline
from archive.tables import Table

_WIDEST = 60.0  # degrees; a wider circle meets too much of the sky to be worth a look at the index
_FEW = 1_000  # rows; with fewer the guess of the planner would be near none, and reading all is quick


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


class Scoped(Writer, Protocol):
    """A writer that knows which sources belong to the select it writes."""

    def place_of(self, alias: str) -> tuple[Table, Place] | None: ...

    def is_outside(self, aliases: set[str | None]) -> bool: ...


class FineSphere(Sphere):
    """Also tells ranges apart sooner: PostgreSQL looks one up in the time in which it tests a hundred rows."""

    few_rows = 1_000

    def __init__(self, writer: Scoped) -> None:
        super().__init__(writer)
        self._writer: Scoped = writer

    def near(self, near: bound.Near) -> el.Term:
        return self.met(near, super().near(near))

    def within(self, within: bound.Within) -> el.Term:
        return self.met(within, super().within(within))

    def overlaps(self, overlaps: bound.Overlaps) -> el.Term:
        return self.met(overlaps, super().overlaps(overlaps))

    def met(self, test: bound.Condition, exact: el.Term) -> el.Term:
        """The exact test, with one for the index before it if the other side is the same for all rows of a select."""
        for meeting in meetings(test):
            found = self._writer.place_of(meeting.alias)
            if found is None or found[1].rows < _FEW or self._is_sorted_by(meeting):
                continue
            circle = self._fixed(meeting)
            met = None if circle is None else met_by_index(meeting, meeting.alias, found[1].physical, circle)
            if met is not None:
                return el.Infix("AND", (met, exact))
        return exact

    def _is_sorted_by(self, meeting: Meeting) -> bool:
        return len(meeting.key) == 2 and self._writer.cell_of(meeting.alias, *meeting.key) is not None

    def _fixed(self, meeting: Meeting) -> Sequence[el.Term] | None:
        """The circle that may reach, if it is constant or depends on an enclosing select alone."""
        names, reach = meeting.depends_on, meeting.reach
        if names:
            cheap = isinstance(reach, Disc) or stored_cap(self._writer, reach) is not None
            return self.circle(reach) if cheap and self._writer.is_outside(names) else None
        circle = _constant(reach)
        return None if circle is None or circle[2] > _WIDEST else [el.Real(part) for part in circle]

    def circle(self, reach: Reach) -> list[el.Term]:
        """Centre and radius of a circle that holds what reaches."""
        if isinstance(reach, Disc):
            radius = el.Real(0.0) if reach.radius is None else el.Invoke("abs", [self._writer.value(reach.radius)])
            return [self._writer.value(reach.lon), self._writer.value(reach.lat), radius]
        cap = el.Invoke("polygon_cap", [self._writer.value(reach)])
        made: list[el.Term] = [el.Invoke(part, [cap]) for part in ("coord1", "coord2", "radius")]
        return stored_cap(self._writer, reach) or made


def stored_cap(writer: Scoped, region: bound.Value | None) -> list[el.Term] | None:
    """Centre and radius of the circle around a region, if they are stored beside it."""
    if not isinstance(region, bound.Field):
        return None
    found = writer.place_of(region.source)
    cap = None if found is None else cap_in(found[1].physical, region.name)
    return None if cap is None else [el.Ref(region.source, name) for name in cap.names]


def met_by_index(
    meeting: Meeting, alias: str, physical: Mapping[str, str], circle: Sequence[el.Term]
) -> el.Term | None:
    """Whether a row of ``alias`` may meet a circle (lon, lat, radius); None if its edition cannot tell."""
    if meeting.is_region:
        cap = cap_in(physical, meeting.key[0])
        return None if cap is None else el.Invoke("touches", [*(el.Ref(alias, name) for name in cap.names), *circle])
    if not has_spot(physical, meeting.key):
        return None
    names = [el.Ref(alias, physical[name]) for name in meeting.key]
    place = names if len(names) == 2 else [el.Invoke(part, names) for part in ("coord1", "coord2")]
    return el.Invoke("reached", [*place, *circle])


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


def _constant(reach: Reach) -> tuple[float, float, float] | None:
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
