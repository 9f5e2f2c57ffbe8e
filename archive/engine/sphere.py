"""The sphere in statements: exact tests, and which rows an index may skip.

A test on the sphere is exact; ranges of HEALPix cells are stated beside it wherever the tested position is the one
by which a stored table is sorted and the region is constant, so that an engine reads only what may qualify. Joins
by position are prepared in ``crossmatch``. Boundaries count as inside, to within ``sky.TOLERANCE``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.sql.expression import ClauseElement

from archive.adql import bound
from archive.columns import Datatype
from archive.engine import elements as el
from archive.faults import UsageFault
from archive.sky import CELLS, WHOLE_SKY, Circle, Outline, Ranges, cone_ranges, few_ranges, polygon_ranges
from archive.tables import Table

HEALPIX = "_healpix_29"

_MOST_WRITTEN = 64  # exact ranges in the text of a statement


class Stored(Protocol):
    """Where the rows of a table lie, as far as geometry asks."""

    @property
    def rows(self) -> int: ...

    @property
    def healpix(self) -> bool: ...


class Writer(Protocol):
    """What geometry asks of the statement it stands in: ``select.Writer``."""

    def value(self, value: bound.Value) -> el.Term: ...

    def place_of(self, alias: str) -> tuple[Table, Stored] | None: ...

    def cell_of(self, alias: str, lon: str, lat: str) -> str | None: ...

    @property
    def given(self) -> Mapping[int, el.Given | GivenCone]: ...


@dataclass(frozen=True, slots=True)
class GivenCone:
    """A cone whose numbers, and the ranges of cells that may hold it, are handed in when the statement is run.

    ``ranges`` is None where none are stated.
    """

    test: el.Versine
    ranges: tuple[tuple[el.Given, el.Given], ...] | None


@dataclass(frozen=True, slots=True)
class FixedCone:
    """A test whether the position of values is in a circle that is the same for all rows."""

    lon: bound.Value
    lat: bound.Value
    circle: Circle
    inclusive: bool

    @classmethod
    def of(cls, near: bound.Near) -> FixedCone | None:
        """What ``near`` is, if one of its sides is constant."""
        for lon, lat, at_lon, at_lat in (
            (near.lon1, near.lat1, near.lon2, near.lat2),
            (near.lon2, near.lat2, near.lon1, near.lat1),
        ):
            centre_lon, centre_lat, radius = number(at_lon), number(at_lat), number(near.radius)
            if centre_lon is not None and centre_lat is not None and radius is not None:
                return cls(lon, lat, Circle(centre_lon, centre_lat, radius), near.inclusive)
        return None

    @property
    def test(self) -> el.Versine:
        return el.Versine.of(self.circle, self.inclusive)

    @property
    def ranges(self) -> Ranges:
        """The cells that may hold the position."""
        return cone_ranges(self.circle.lon, self.circle.lat, self.circle.radius)


class Sphere:
    """Renders geometry for one ``Writer``."""

    few_rows = 20_000  # reading so many costs less than planning a test of each range

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def value(self, value: bound.Value) -> el.Term:
        """A measure or a shape as a value."""
        match value:
            case bound.Separation(lon1, lat1, lon2, lat2):
                return el.Invoke("separation", self._terms(lon1, lat1, lon2, lat2))
            case bound.PointOf(lon, lat):
                return el.Invoke("point", self._terms(lon, lat))
            case bound.CircleOf(lon, lat, radius):
                return el.Invoke("circle", self._terms(lon, lat, radius))
            case bound.PolygonOf(vertices):
                return el.Invoke("polygon", self._terms(*(part for vertex in vertices for part in vertex)))
        raise UsageFault("A MOC cannot be a value of its own.", "Use it inside CONTAINS or INTERSECTS.")

    def healpix_index(self, order: bound.Value, lon: bound.Value, lat: bound.Value) -> el.Term | None:
        """The cell of a position as a shift of the one that is stored, where it is."""
        cell, at = self.cell(lon, lat), number(order)
        if cell is None or at is None or not 0 <= at <= 29:
            return None
        return el.Infix(">>", (cell, el.Whole(2 * (29 - int(at)))))

    def near(self, near: bound.Near) -> el.Term:
        """``Near``, with the ranges that may hold the position if one side is constant."""
        given = self._writer.given.get(id(near))
        cone = FixedCone.of(near)
        if cone is not None:
            lon, lat = self._terms(cone.lon, cone.lat)
            if isinstance(given, GivenCone):
                return self._given_cone(cone, given, el.Cone(lon, lat, given.test))
            return self._within_ranges(cone.lon, cone.lat, cone.ranges, el.Cone(lon, lat, cone.test))
        terms = self._terms(near.lon1, near.lat1, near.lon2, near.lat2, near.radius)
        return el.Invoke("within" if near.inclusive else "closer", terms)

    def within(self, within: bound.Within) -> el.Term:
        """``Within`` of any two shapes."""
        inner, outer = within.inner, within.outer
        if isinstance(outer, bound.Pixels):
            return self._in_pixels(inner, outer)
        if isinstance(inner, bound.PointOf):
            vertices = constant_vertices(outer)
            if vertices is not None:
                lon, lat = self._terms(inner.lon, inner.lat)
                test = el.Inside(lon, lat, Outline(vertices))
                return self._within_ranges(inner.lon, inner.lat, polygon_ranges(vertices), test)
            return el.Invoke("point_in_polygon", (*self._terms(inner.lon, inner.lat), self._writer.value(outer)))
        return el.Invoke(f"{_kind(inner)}_in_{_kind(outer)}", self._terms(inner, outer))

    def overlaps(self, overlaps: bound.Overlaps) -> el.Term:
        """``Overlaps`` of any two shapes that are not points."""
        left, right = overlaps.left, overlaps.right
        if isinstance(left, bound.Pixels) or isinstance(right, bound.Pixels):
            raise _only_points()
        return el.Invoke(f"{_kind(left)}_meets_{_kind(right)}", self._terms(left, right))

    def _terms(self, *values: bound.Value) -> list[el.Term]:
        return [self._writer.value(value) for value in values]

    def _within_ranges(self, lon: bound.Value, lat: bound.Value, ranges: Ranges, test: el.Term) -> el.Term:
        cell = self.cell(lon, lat)
        if cell is None or ranges == WHOLE_SKY:
            return test
        return el.Infix("AND", (el.InRanges(cell, self._worthwhile(cell, ranges)), test))

    def _given_cone(self, cone: FixedCone, given: GivenCone, test: el.Term) -> el.Term:
        cell = self.cell(cone.lon, cone.lat)
        if cell is None or given.ranges is None:
            return test
        return el.Infix("AND", (el.InGiven(cell, given.ranges), test))

    def _worthwhile(self, cell: el.Ref, ranges: Ranges) -> Ranges:
        found = self._writer.place_of(cell.alias)
        return ranges if found is None else self.worthwhile(ranges, found[1].rows)

    @classmethod
    def worthwhile(cls, ranges: Ranges, rows: int) -> Ranges:
        """One range for all where that reads few of the ``rows`` more: each range costs planning."""
        if not ranges:
            return ranges
        span = ranges[-1][1] - ranges[0][0]
        return ((ranges[0][0], ranges[-1][1]),) if rows * span / CELLS < cls.few_rows else ranges

    def cell(self, lon: bound.Value, lat: bound.Value) -> el.Ref | None:
        """The stored HEALPix cell of a position, if it is the one its table is sorted by."""
        if not (isinstance(lon, bound.Field) and isinstance(lat, bound.Field) and lon.source == lat.source):
            return None
        name = self._writer.cell_of(lon.source, lon.name, lat.name)
        return None if name is None else el.Ref(lon.source, name)

    def _in_pixels(self, inner: bound.Value, outer: bound.Pixels) -> el.Term:
        if not isinstance(inner, bound.PointOf):
            raise _only_points()
        cell: el.Term | None = self.cell(inner.lon, inner.lat)
        if cell is None:
            cell = el.Invoke("ivo_healpix_index", (el.Whole(29), *self._terms(inner.lon, inner.lat)))
        if len(outer.ranges) <= _MOST_WRITTEN:
            return el.InRanges(cell, outer.ranges)
        return el.Infix("AND", (el.InRanges(cell, few_ranges(outer.ranges)), el.InCells(cell, outer.ranges)))


def any_of(terms: list[el.Term]) -> el.Term:
    """``OR``; if each term holds only in ranges of the same stored cells, all these ranges are stated in front.

    Several cones then read their own parts of a table and nothing between them.
    """
    each = el.Infix("OR", terms)
    found = [_ranges_in(term) for term in terms]
    cells = [ranges.term for ranges in found if ranges is not None and isinstance(ranges.term, el.Ref)]
    if len(cells) < len(terms) or len({(cell.alias, cell.name) for cell in cells}) > 1:
        return each
    ranges = sorted(pair for one in found if one is not None for pair in one.ranges)
    return el.Infix("AND", (el.InRanges(cells[0], few_ranges(ranges)), each))


def _ranges_in(term: ClauseElement) -> el.InRanges | None:
    """The ranges that a term, or one of the terms it joins by AND, is limited to."""
    if isinstance(term, el.InRanges):
        return term
    if isinstance(term, el.Infix) and term.operator == "AND":
        return next((found for part in term.terms if (found := _ranges_in(part)) is not None), None)
    return None


def number(value: bound.Value) -> float | None:
    """The value of a numeric constant expression, or None if it is not one (or is NULL)."""
    match value:
        case bound.Constant(constant) if isinstance(constant, (int, float)):
            return float(constant)
        case bound.Negative(operand):
            inner = number(operand)
            return None if inner is None else -inner
        case bound.Convert(operand, column) if column.datatype is Datatype.DOUBLE and column.arraysize is None:
            return number(operand)
        case bound.Arithmetic(operator, left, right) if value.column.datatype is Datatype.DOUBLE:
            return _computed(operator, number(left), number(right))
    return None


def _computed(operator: str, left: float | None, right: float | None) -> float | None:
    if left is None or right is None:
        return None
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/" if right != 0:
            return left / right
    return None


def constant_vertices(shape: bound.Value) -> list[tuple[float, float]] | None:
    """The vertices of a constant polygon, or None if the shape is not one."""
    if not isinstance(shape, bound.PolygonOf):
        return None
    vertices = []
    for lon, lat in shape.vertices:
        at_lon, at_lat = number(lon), number(lat)
        if at_lon is None or at_lat is None:
            return None
        vertices.append((at_lon, at_lat))
    return vertices


def _kind(shape: bound.Value) -> str:
    return shape.column.xtype or "polygon"


def _only_points() -> UsageFault:
    return UsageFault(
        "Only positions can be tested against a MOC.", "Test a centre or the vertices: CONTAINS(POINT(...), MOC(...))."
    )
