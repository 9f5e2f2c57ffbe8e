"""The sphere in statements: exact tests, which rows an index can skip, and joins by position.

A test on the sphere is exact and symmetric; ranges of HEALPix cells are stated beside it wherever one side is the
position by which a stored table is sorted and the other a constant, so that an engine reads only what may qualify.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from archive.adql import bound
from archive.columns import Column, Datatype
from archive.engine import elements as el
from archive.sky import Ranges, cone_ranges

if TYPE_CHECKING:
    from archive.engine.select import Writer

TOLERANCE = 1e-12
"""Degrees (4 nanoarcseconds): what lies this close to a boundary counts as on it, far above rounding."""

_HEALPIX = "_healpix_29"


class Sphere:
    """Renders geometry for one ``Writer``."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def cells_of(self, alias: str) -> list[el.Term]:
        return []

    def value(self, value: bound.Value) -> el.Term:
        match value:
            case bound.Separation(lon1, lat1, lon2, lat2):
                return el.Invoke("separation", [self._writer.value(part) for part in (lon1, lat1, lon2, lat2)])
            case bound.PointOf(lon, lat):
                return el.Invoke("point", [self._writer.value(lon), self._writer.value(lat)])
            case bound.CircleOf(lon, lat, radius):
                return el.Invoke("circle", [self._writer.value(part) for part in (lon, lat, radius)])
            case bound.PolygonOf(vertices):
                return el.Invoke("polygon", [self._writer.value(part) for vertex in vertices for part in vertex])
        raise TypeError(type(value))

    def condition(self, condition: bound.Condition) -> el.Term:
        match condition:
            case bound.Near():
                return self._near(condition)
        raise TypeError(type(condition))

    def _near(self, near: bound.Near) -> el.Term:
        parts = [self._writer.value(part) for part in (near.lon1, near.lat1, near.lon2, near.lat2, near.radius)]
        test = el.Invoke("within" if near.inclusive else "closer", parts)
        cell, ranges = self._pruning(near)
        return test if cell is None else el.Infix("AND", (el.InRanges(cell, ranges), test))

    def _pruning(self, near: bound.Near) -> tuple[el.Term | None, Ranges]:
        radius = number(near.radius)
        if radius is None:
            return None, ()
        for lon, lat, at_lon, at_lat in (
            (near.lon1, near.lat1, near.lon2, near.lat2),
            (near.lon2, near.lat2, near.lon1, near.lat1),
        ):
            centre = number(at_lon), number(at_lat)
            cell = self._cell(lon, lat)
            if cell is not None and centre[0] is not None and centre[1] is not None:
                return cell, cone_ranges(centre[0], centre[1], radius)
        return None, ()

    def _cell(self, lon: bound.Value, lat: bound.Value) -> el.Term | None:
        """The stored HEALPix cell of a position, if it is the one its table is sorted by."""
        if not (isinstance(lon, bound.Field) and isinstance(lat, bound.Field) and lon.source == lat.source):
            return None
        found = self._writer.place_of(lon.source)
        if found is None:
            return None
        table, place = found
        position = table.position
        if not place.healpix or position is None or (position.lon, position.lat) != (lon.name, lat.name):
            return None
        return el.Ref(lon.source, _HEALPIX)


def number(value: bound.Value) -> float | None:
    """The value of a numeric constant expression, or None if it is not one (or is NULL)."""
    match value:
        case bound.Constant(constant) if isinstance(constant, (int, float)):
            return float(constant)
        case bound.Negative(operand):
            inner = number(operand)
            return None if inner is None else -inner
        case bound.Convert(operand, Column(datatype=Datatype.DOUBLE)):
            return number(operand)
        case bound.Arithmetic(operator, left, right) if operator in "+-*/":
            return _computed(operator, number(left), number(right), value.column.datatype.is_integer)
    return None


def _computed(operator: str, left: float | None, right: float | None, whole: bool) -> float | None:
    if left is None or right is None or (operator == "/" and (whole or right == 0)):
        return None
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
    return left / right
