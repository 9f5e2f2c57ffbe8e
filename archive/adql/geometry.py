"""Geometry functions: relations between shapes as the neutral predicates of the bound tree, and measures.

A point is used as its two coordinates wherever they are known, so that a cone is the same element (``Near``)
however it was written. Source: ADQL 2.1 section 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from archive.adql import bound, frames, moc, shapes
from archive.adql.functions import Function
from archive.adql.maths import add, cos, minus, radians, real, times
from archive.adql.motion import Matrix, rotated
from archive.adql.scope import Session
from archive.adql.shapes import (
    Value,
    Values,
    checked_place,
    exactly,
    is_combined,
    known_region,
    numbers_of,
    of_family,
    place,
    radius_of,
    refuse,
)
from archive.adql.types import CIRCLE, INT, MOC, POINT, POLYGON, TEXT, Family, Refused, called, family, is_null, plain
from archive.columns import Datatype

FALSE = bound.Comparison("=", bound.Constant(1, INT), bound.Constant(0, INT))
UNKNOWN = bound.Comparison("=", bound.Constant(None, INT), bound.Constant(1, INT))

_SHAPES = (Family.POINT, Family.CIRCLE, Family.POLYGON)


def apply(entry: Function, arguments: Values, session: Session) -> Value:
    """The value of a geometry call; raises ``Refused``."""
    return _MAKERS[entry.key](entry, arguments, session)


# --- predicates -----------------------------------------------------------------------------------


def _contains(entry: Function, arguments: Values, session: Session) -> Value:
    inner, outer = (_shape(entry, argument, session) for argument in exactly(entry, arguments, 2))
    return bound.Truth(within(inner, outer, session), INT)


def _intersects(entry: Function, arguments: Values, session: Session) -> Value:
    left, right = (_shape(entry, argument, session) for argument in exactly(entry, arguments, 2))
    return bound.Truth(overlaps(left, right, session), INT)


def _shape(entry: Function, argument: Value, session: Session) -> Value:
    """An argument of CONTAINS or INTERSECTS: a geometry, a MOC (literal or uploaded) or NULL."""
    argument = known_region(argument, session)
    if (
        isinstance(argument, bound.Pixels)
        or is_combined(argument)
        or is_null(argument)
        or family(argument.column) in _SHAPES
    ):
        return argument
    if isinstance(argument, bound.Constant) and isinstance(argument.value, str):
        if moc.is_moc(argument.value):
            return bound.Pixels(moc.ranges(argument.value), MOC)
        raise refuse(entry, f"{called(argument)} is no region; an STC-S string stands in REGION('...')")
    if argument.column.xtype == "moc":
        raise Refused(
            f"{entry.name}: a map is known only as the column moc of its upload, or where a subquery passes it on.",
            "Join the uploaded map itself: FROM ..., TAP_UPLOAD.name AS m WHERE 1 = CONTAINS(POINT(ra, dec), m.moc).",
        )
    raise refuse(entry, f"{called(argument)} is {family(argument.column).value}, no geometry")


def within(inner: Value, outer: Value, session: Session) -> bound.Condition:
    """``inner`` inside ``outer``, borders included."""
    if is_null(inner) or is_null(outer):
        return UNKNOWN
    if is_combined(outer):
        if is_combined(inner) or (outer.function != "INTERSECTION" and family(inner.column) is not Family.POINT):
            raise Refused("only a POINT can be tested against a UNION or NOT of regions.")
        return _distributed(outer, lambda member: within(inner, member, session))
    if is_combined(inner):
        if inner.function != "UNION":
            raise Refused(f"whether {inner.function} lies inside another region cannot be tested.")
        return bound.And(tuple(within(member, outer, session) for member in inner.arguments))
    return _inside(inner, outer, session)


def _inside(inner: Value, outer: Value, session: Session) -> bound.Condition:
    one, other = family(inner.column), family(outer.column)
    if one is Family.POINT and other in (Family.POINT, Family.CIRCLE):
        radius = radius_of(outer) if other is Family.CIRCLE else real(0.0)
        return bound.Near(*place(inner), *place(outer), radius)
    if other is Family.POINT:
        session.note("CONTAINS(region, POINT) is always 0: the region is its second argument.")
        return FALSE
    if one is Family.CIRCLE and other is Family.CIRCLE:
        return _circle_in_circle(inner, outer)
    return bound.Within(_placed(inner), outer)


def _circle_in_circle(inner: Value, outer: Value) -> bound.Condition:
    """The centres are at most the difference of the radii apart, or the outer circle is the whole sky."""
    radius = radius_of(outer)
    slack = minus(radius, radius_of(inner))
    near = bound.Near(*place(inner), *place(outer), slack)
    whole_sky = bound.Comparison(">=", radius, real(180.0))
    if isinstance(radius, bound.Constant) and isinstance(radius.value, int | float):
        if radius.value >= 180:
            return bound.Near(*place(inner), *place(outer), real(180.0))
        return FALSE if _is_negative(slack) else near
    return bound.Or((near, whole_sky))


def _is_negative(number: Value) -> bool:
    return isinstance(number, bound.Constant) and isinstance(number.value, int | float) and number.value < 0


def _placed(shape: Value) -> Value:
    """A shape; points by their coordinates, so that engines meet one form of them."""
    if family(shape.column) is Family.POINT and not isinstance(shape, bound.PointOf):
        return bound.PointOf(*place(shape), POINT)
    return shape


def overlaps(left: Value, right: Value, session: Session) -> bound.Condition:
    """Two regions with a point in common; a point overlaps what contains it (ADQL 2.1 section 4.2.11)."""
    if is_null(left) or is_null(right):
        return UNKNOWN
    if not is_combined(left) and family(left.column) is Family.POINT:
        return within(left, right, session)
    if not is_combined(right) and family(right.column) is Family.POINT:
        return within(right, left, session)
    for one, other in ((left, right), (right, left)):
        if is_combined(one):
            if one.function != "UNION":
                raise Refused(f"INTERSECTS cannot test {one.function} against anything but a POINT.")
            return bound.Or(tuple(overlaps(member, other, session) for member in one.arguments))
    if family(left.column) is Family.CIRCLE and family(right.column) is Family.CIRCLE:
        return bound.Near(*place(left), *place(right), add(radius_of(left), radius_of(right)))
    return bound.Overlaps(left, right)


def _distributed(outer: bound.Apply, test: Callable[[Value], bound.Condition]) -> bound.Condition:
    conditions = tuple(test(member) for member in outer.arguments)
    if outer.function == "NOT":
        return bound.Not(conditions[0])
    if len(conditions) == 1:
        return conditions[0]
    return bound.Or(conditions) if outer.function == "UNION" else bound.And(conditions)


# --- measures -------------------------------------------------------------------------------------


def _distance(entry: Function, arguments: Values, session: Session) -> Value:
    if len(arguments) == 2:
        first, second = (place(of_family(Family.POINT, entry, argument)) for argument in arguments)
        return bound.Separation(*first, *second, _SEPARATION)
    lon1, lat1, lon2, lat2 = numbers_of(entry, exactly(entry, arguments, 4))
    return bound.Separation(*checked_place(lon1, lat1), *checked_place(lon2, lat2), _SEPARATION)


_SEPARATION = plain(Datatype.DOUBLE, "deg", "pos.angDistance")


def _one_shape(entry: Function, arguments: Values) -> Value:
    (shape,) = exactly(entry, arguments, 1)
    if is_combined(shape):
        raise refuse(entry, "a UNION, INTERSECTION or NOT of regions can stand only in CONTAINS and INTERSECTS")
    if not (is_null(shape) or family(shape.column) in _SHAPES):
        raise refuse(entry, f"{called(shape)} is {family(shape.column).value}, no geometry")
    return shape


def _coordinate(entry: Function, arguments: Values, session: Session) -> Value:
    (point,) = exactly(entry, arguments, 1)
    return place(of_family(Family.POINT, entry, point))[0 if entry.key == "coord1" else 1]


def _centroid(entry: Function, arguments: Values, session: Session) -> Value:
    shape = _one_shape(entry, arguments)
    if is_null(shape):
        return bound.Constant(None, POINT)
    if family(shape.column) is Family.POLYGON:
        return bound.Apply("centroid", (shape,), POINT)
    return shape if family(shape.column) is Family.POINT else bound.PointOf(*place(shape), POINT)


_SQUARE = plain(Datatype.DOUBLE, "deg**2", "phys.angArea")


def _area(entry: Function, arguments: Values, session: Session) -> Value:
    """Square degrees: 2 pi (1 - cos r) for a circle, a count of cells for a MOC."""
    arguments = tuple(known_region(argument, session) for argument in arguments)
    if len(arguments) == 1 and isinstance(arguments[0], bound.Pixels):
        cells = sum(high - low for low, high in arguments[0].ranges)
        return bound.Constant(cells * _SPHERE / (12 * 4**moc.MAX_ORDER), _SQUARE)
    shape = _one_shape(entry, arguments)
    if is_null(shape):
        return bound.Constant(None, _SQUARE)
    if family(shape.column) is Family.POINT:
        return _zero_unless_null(shape)
    if family(shape.column) is Family.POLYGON:
        return bound.Apply("area", (shape,), _SQUARE)
    cap = times(real(_SPHERE / 2), minus(real(1.0), cos(radians(radius_of(shape)))))
    return replace(cap, column=_SQUARE)


_SPHERE = 4 * math.pi * math.degrees(1) ** 2


def _zero_unless_null(point: Value) -> Value:
    lon, lat = place(point)
    return replace(times(real(0.0), add(lon, lat)), column=_SQUARE)


def _system(entry: Function, arguments: Values, session: Session) -> Value:
    return bound.Constant(None if is_null(_one_shape(entry, arguments)) else "ICRS", TEXT)


# --- frames ---------------------------------------------------------------------------------------


def transformed(given: Values) -> Value:
    """``ivo_geom_transform`` of any shape."""
    source, target, shape = given
    names = [
        name.value for name in (source, target) if isinstance(name, bound.Constant) and isinstance(name.value, str)
    ]
    if len(names) != 2:
        raise Refused(
            "ivo_geom_transform takes the frames as literals.", "Write ivo_geom_transform('ICRS', 'GALACTIC', ...)."
        )
    matrix = frames.rotation(names[0], names[1])
    return shape if matrix is None or is_null(shape) else _turned(shape, matrix)


def _turned(shape: Value, matrix: Matrix) -> Value:
    kind = family(shape.column)
    if isinstance(shape, bound.PolygonOf):
        return bound.PolygonOf(tuple(rotated(*vertex, matrix) for vertex in shape.vertices), POLYGON)
    if kind is Family.POLYGON:
        return bound.Apply("rotate", (shape, *(real(number) for row in matrix for number in row)), POLYGON)
    lon, lat = rotated(*place(shape), matrix)
    if kind is Family.POINT:
        return bound.PointOf(lon, lat, _TURNED_POINT)
    return bound.CircleOf(lon, lat, radius_of(shape), CIRCLE)


_TURNED_POINT = plain(Datatype.DOUBLE, "deg", "pos", "2", "point")

_MAKERS: dict[str, Callable[[Function, Values, Session], Value]] = {
    "point": shapes.point,
    "circle": shapes.circle,
    "box": shapes.box,
    "polygon": shapes.polygon,
    "region": shapes.region,
    "moc": shapes.moc,
    "centroid": _centroid,
    "area": _area,
    "contains": _contains,
    "intersects": _intersects,
    "distance": _distance,
    "coord1": _coordinate,
    "coord2": _coordinate,
    "coordsys": _system,
}
