"""Geometry: calls to shapes, and relations between shapes to the neutral predicates of the bound tree.

Every shape is ICRS degrees. A point is used as its two coordinates wherever they are known, so that a cone is the
same element (``Near``) however it was written. Source: ADQL 2.1 section 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from archive.adql import bound, frames, moc, stcs
from archive.adql.functions import Function
from archive.adql.maths import add, cos, minus, radians, real, tan, times
from archive.adql.motion import Matrix, offset, rotated
from archive.adql.scope import Session
from archive.adql.types import (
    CIRCLE,
    DOUBLE,
    INT,
    MOC,
    POINT,
    POLYGON,
    REGION,
    TEXT,
    Family,
    Refused,
    as_number,
    called,
    family,
    is_null,
    plain,
)
from archive.columns import Datatype

Value = bound.Value
Values = tuple[bound.Value, ...]
Place = tuple[bound.Value, bound.Value]

TRUE = bound.Comparison("=", bound.Constant(1, INT), bound.Constant(1, INT))
FALSE = bound.Comparison("=", bound.Constant(1, INT), bound.Constant(0, INT))
UNKNOWN = bound.Comparison("=", bound.Constant(None, INT), bound.Constant(1, INT))

_SHAPES = (Family.POINT, Family.CIRCLE, Family.POLYGON)


@dataclass(frozen=True, slots=True)
class Combined:
    """A REGION of several shapes; it lives only between REGION and the predicate it stands in."""

    operator: str
    members: tuple[Region, ...]
    column = REGION


Region = bound.Value | Combined


def apply(entry: Function, arguments: Values, session: Session) -> Value:
    """The value of a geometry call; raises ``Refused``."""
    return _MAKERS[entry.key](entry, arguments, session)


# --- arguments ------------------------------------------------------------------------------------


def _refuse(entry: Function, why: str) -> Refused:
    return Refused(f"{entry.name}: {why}.", f"Write {' or '.join(entry.forms)}.")


def _without_system(entry: Function, arguments: Values, session: Session) -> Values:
    """The arguments without a leading coordinate system, which is deprecated and changes nothing."""
    if not arguments:
        return arguments
    first = arguments[0]
    kind = family(first.column)
    if kind is Family.TEXT:
        if not isinstance(first, bound.Constant):
            raise _refuse(entry, "the coordinate system must be a literal")
        if isinstance(first.value, str):
            _note_frame(first.value, session)
        return arguments[1:]
    return arguments


def _note_frame(system: str, session: Session) -> None:
    """Tell the user when frames that differ meet; nothing is transformed (ADQL 2.1 section 4.2.5)."""
    words = system.split()
    name = words[0].upper() if words else ""
    if name in ("FK4", "B1950", "GALACTIC", "GALACTIC_II", "ECLIPTIC"):
        session.frames.add(name)
    elif name in ("ICRS", "FK5", "J2000"):
        session.frames.add("ICRS")
    if len(session.frames) > 1:
        met = " and ".join(sorted(session.frames))
        session.note(f"Coordinate systems are not transformed: {met} meet in this query; use ivo_geom_transform.")


def _numbers(entry: Function, arguments: Sequence[Value]) -> Values:
    given = []
    for argument in arguments:
        kind = family(argument.column)
        if kind not in (Family.NUMBER, Family.NULL):
            raise _refuse(entry, f"{called(argument)} is {kind.value} where a number is needed")
        given.append(bound.Constant(None, DOUBLE) if is_null(argument) else as_number(argument, Datatype.DOUBLE))
    return tuple(given)


def checked_place(lon: Value, lat: Value) -> Place:
    """Two coordinates; literal longitudes are wrapped to 0..360, latitudes out of range Refused."""
    if isinstance(lon, bound.Constant) and isinstance(lon.value, int | float) and not 0 <= lon.value < 360:
        lon = bound.Constant(float(lon.value) % 360.0, lon.column)
    if isinstance(lat, bound.Constant) and isinstance(lat.value, int | float) and abs(lat.value) > 90:
        raise Refused(
            f"Latitude {lat.value:g} is out of range.", "Latitudes go from -90 to 90; the longitude stands first."
        )
    return lon, lat


def place(point: Value) -> Place:
    """Longitude and latitude of a point, or of the centre of a circle."""
    if isinstance(point, bound.PointOf | bound.CircleOf):
        return point.lon, point.lat
    if is_null(point):
        return bound.Constant(None, DOUBLE), bound.Constant(None, DOUBLE)
    return bound.Apply("coord1", (point,), _LONGITUDE), bound.Apply("coord2", (point,), _LATITUDE)


_LONGITUDE = plain(Datatype.DOUBLE, "deg", "pos.eq.ra")
_LATITUDE = plain(Datatype.DOUBLE, "deg", "pos.eq.dec")


def _radius(circle: Value) -> Value:
    if isinstance(circle, bound.CircleOf):
        return circle.radius
    return bound.Apply("radius", (circle,), plain(Datatype.DOUBLE, "deg"))


def _centre(entry: Function, arguments: Values, following: int, session: Session) -> tuple[Place, Values]:
    """The position that begins ``arguments``, as a point or two numbers, and the ``following`` numbers."""
    given = _without_system(entry, arguments, session)
    if len(given) == following + 3 and is_null(given[0]):
        given = given[1:]
    if len(given) == following + 2 and is_null(given[0]) and family(given[1].column) is Family.POINT:
        given = given[1:]
    if len(given) == following + 1 and family(given[0].column) in (Family.POINT, Family.NULL):
        return place(given[0]), _numbers(entry, given[1:])
    if len(given) != following + 2:
        raise _refuse(entry, f"{_counted(len(arguments))} do not fit")
    numbers = _numbers(entry, given)
    return checked_place(numbers[0], numbers[1]), numbers[2:]


def _counted(count: int) -> str:
    return "no arguments" if count == 0 else f"{count} argument{'s' if count > 1 else ''}"


# --- shapes ---------------------------------------------------------------------------------------


def _point(entry: Function, arguments: Values, session: Session) -> Value:
    given = _without_system(entry, arguments, session)
    if len(given) == 3 and is_null(given[0]):
        given = given[1:]
    if len(given) != 2:
        raise _refuse(entry, f"{_counted(len(arguments))} do not fit")
    lon, lat = _numbers(entry, given)
    return bound.PointOf(*checked_place(lon, lat), POINT)


def _circle(entry: Function, arguments: Values, session: Session) -> Value:
    (lon, lat), (radius,) = _centre(entry, arguments, 1, session)
    return _circle_of(lon, lat, radius)


def _circle_of(lon: Value, lat: Value, radius: Value) -> Value:
    if isinstance(radius, bound.Constant) and isinstance(radius.value, int | float) and radius.value < 0:
        raise Refused(f"A circle cannot have the radius {radius.value:g}.", "Radii are degrees from 0 to 180.")
    return bound.CircleOf(lon, lat, radius, CIRCLE)


def _box(entry: Function, arguments: Values, session: Session) -> Value:
    (lon, lat), (width, height) = _centre(entry, arguments, 2, session)
    return _box_of(lon, lat, width, height)


def _box_of(lon: Value, lat: Value, width: Value, height: Value) -> Value:
    for size in (width, height):
        if isinstance(size, bound.Constant) and isinstance(size.value, int | float) and not 0 < size.value < 180:
            raise Refused(
                f"A box cannot be {size.value:g} degrees wide or high.", "Sizes lie between 0 and 180 degrees."
            )
    east, north = (tan(radians(times(size, real(0.5)))) for size in (width, height))
    west, south = (times(real(-1.0), side) for side in (east, north))
    corners = ((west, south), (east, south), (east, north), (west, north))
    return bound.PolygonOf(tuple(offset(lon, lat, real(1.0), x, y) for x, y in corners), POLYGON)


def _polygon(entry: Function, arguments: Values, session: Session) -> Value:
    given = _without_system(entry, arguments, session)
    if given and is_null(given[0]) and (len(given) % 2 or (len(given) > 1 and family(given[1].column) is Family.POINT)):
        given = given[1:]
    if given and family(given[0].column) is Family.POINT:
        vertices = [place(_a(Family.POINT, entry, vertex)) for vertex in given]
    else:
        numbers = _numbers(entry, given)
        if len(numbers) % 2:
            raise _refuse(entry, "the last longitude has no latitude")
        vertices = [checked_place(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]
    if len(vertices) < 3:
        raise _refuse(entry, f"{_counted(len(arguments))} do not fit, three vertices or more are needed")
    return _polygon_of(vertices)


def _polygon_of(vertices: Sequence[Place]) -> Value:
    """A polygon; a last vertex that repeats the first is left out."""
    if len(vertices) > 3 and all(
        isinstance(a, bound.Constant) and isinstance(b, bound.Constant) and a.value == b.value
        for a, b in zip(vertices[0], vertices[-1], strict=True)
    ):
        vertices = vertices[:-1]
    return bound.PolygonOf(tuple(vertices), POLYGON)


def _region(entry: Function, arguments: Values, session: Session) -> Value:
    (given,) = _exactly(entry, arguments, 1)
    if not isinstance(given, bound.Constant) or not isinstance(given.value, str):
        raise _refuse(entry, "the STC-S string must be a literal")
    return _from_stcs(stcs.read(given.value), session)  # type: ignore[return-value]


def _from_stcs(region: stcs.Region, session: Session) -> Region:
    if isinstance(region, stcs.Combination):
        return Combined(region.operator, tuple(_from_stcs(member, session) for member in region.members))
    if region.frame:
        _note_frame(region.frame, session)
    numbers = [real(number) for number in region.numbers]
    if region.kind == "POLYGON":
        return _polygon_of([checked_place(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)])
    lon, lat = checked_place(numbers[0], numbers[1])
    if region.kind == "POSITION":
        return bound.PointOf(lon, lat, POINT)
    return _circle_of(lon, lat, numbers[2]) if region.kind == "CIRCLE" else _box_of(lon, lat, numbers[2], numbers[3])


def _moc(entry: Function, arguments: Values, session: Session) -> Value:
    (given,) = _exactly(entry, arguments, 1)
    if not isinstance(given, bound.Constant) or not isinstance(given.value, str):
        raise _refuse(entry, "the map must be a literal")
    return bound.Pixels(moc.ranges(given.value), MOC)


def cast_to_shape(operand: Value, target: str) -> Value:
    """CAST of a DALI string (DALI 1.1 section 3.3.5 to 3.3.7) to POINT, CIRCLE or POLYGON."""
    shape = {"POINT": POINT, "CIRCLE": CIRCLE, "POLYGON": POLYGON}.get(target)
    if shape is None:
        raise Refused(f"There is no type {target} to cast to.")
    own = family(operand.column)
    if own is family(shape):
        return operand
    if own is Family.NULL:
        return bound.Constant(None, shape)
    if own is not Family.TEXT:
        raise Refused(f"{called(operand)} is {own.value} and cannot become {family(shape).value}.")
    if not isinstance(operand, bound.Constant):
        return bound.Convert(operand, shape)
    try:
        numbers = [real(float(word)) for word in str(operand.value).split()]
    except ValueError:
        numbers = []
    fits = (
        len(numbers) >= 6 and not len(numbers) % 2 if target == "POLYGON" else len(numbers) == int(shape.arraysize or 0)
    )
    if not fits or any(is_null(number) for number in numbers):
        raise Refused(
            f"{operand.value!r} is not {family(shape).value}.", "Write the numbers, in degrees, with blanks between."
        )
    if target == "POLYGON":
        return _polygon_of([checked_place(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)])
    lon, lat = checked_place(numbers[0], numbers[1])
    return bound.PointOf(lon, lat, POINT) if target == "POINT" else _circle_of(lon, lat, numbers[2])


# --- predicates -----------------------------------------------------------------------------------


def _contains(entry: Function, arguments: Values, session: Session) -> Value:
    inner, outer = (_shape(entry, argument) for argument in _exactly(entry, arguments, 2))
    return bound.Truth(within(inner, outer, session), INT)


def _intersects(entry: Function, arguments: Values, session: Session) -> Value:
    left, right = (_shape(entry, argument) for argument in _exactly(entry, arguments, 2))
    return bound.Truth(overlaps(left, right, session), INT)


def _shape(entry: Function, argument: Value) -> Region:
    """An argument of CONTAINS or INTERSECTS: a geometry, a MOC literal or NULL."""
    if isinstance(argument, Combined | bound.Pixels) or is_null(argument) or family(argument.column) in _SHAPES:
        return argument
    if isinstance(argument, bound.Constant) and isinstance(argument.value, str):
        if moc.is_moc(argument.value):
            return bound.Pixels(moc.ranges(argument.value), MOC)
        raise _refuse(entry, f"{called(argument)} is no region; an STC-S string stands in REGION('...')")
    raise _refuse(entry, f"{called(argument)} is {family(argument.column).value}, no geometry")


def within(inner: Region, outer: Region, session: Session) -> bound.Condition:
    """``inner`` inside ``outer``, borders included."""
    if isinstance(outer, Combined):
        if isinstance(inner, Combined) or (
            outer.operator != "INTERSECTION" and family(inner.column) is not Family.POINT
        ):
            raise Refused("Only a POINT can be tested against a UNION or NOT of regions.")
        return _distributed(outer, lambda member: within(inner, member, session))
    if isinstance(inner, Combined):
        if inner.operator != "UNION":
            raise Refused(f"Whether {inner.operator} lies inside another region cannot be tested.")
        return bound.And(tuple(within(member, outer, session) for member in inner.members))
    if is_null(inner) or is_null(outer):
        return UNKNOWN
    return _inside(inner, outer, session)


def _inside(inner: Value, outer: Value, session: Session) -> bound.Condition:
    one, other = family(inner.column), family(outer.column)
    if one is Family.POINT and other in (Family.POINT, Family.CIRCLE):
        radius = _radius(outer) if other is Family.CIRCLE else real(0.0)
        return bound.Near(*place(inner), *place(outer), radius)
    if other is Family.POINT:
        session.note("CONTAINS(region, POINT) is always 0: the region is its second argument.")
        return FALSE
    if one is Family.CIRCLE and other is Family.CIRCLE:
        return bound.Near(*place(inner), *place(outer), minus(_radius(outer), _radius(inner)))
    return bound.Within(_placed(inner), outer)


def _placed(shape: Value) -> Value:
    """A shape; points by their coordinates, so that engines meet one form of them."""
    if family(shape.column) is Family.POINT and not isinstance(shape, bound.PointOf):
        return bound.PointOf(*place(shape), POINT)
    return shape


def overlaps(left: Region, right: Region, session: Session) -> bound.Condition:
    """Two regions with a point in common; a point overlaps what contains it (ADQL 2.1 section 4.2.11)."""
    if not isinstance(left, Combined) and family(left.column) is Family.POINT:
        return within(left, right, session)
    if not isinstance(right, Combined) and family(right.column) is Family.POINT:
        return within(right, left, session)
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Combined):
            if one.operator != "UNION":
                raise Refused(f"INTERSECTS cannot test {one.operator} against anything but a POINT.")
            return bound.Or(tuple(overlaps(member, other, session) for member in one.members))
    if isinstance(left, Combined) or isinstance(right, Combined) or is_null(left) or is_null(right):
        return UNKNOWN
    if family(left.column) is Family.CIRCLE and family(right.column) is Family.CIRCLE:
        return bound.Near(*place(left), *place(right), add(_radius(left), _radius(right)))
    return bound.Overlaps(left, right)


def _distributed(outer: Combined, test: Callable[[Region], bound.Condition]) -> bound.Condition:
    conditions = tuple(test(member) for member in outer.members)
    if outer.operator == "NOT":
        return bound.Not(conditions[0])
    if len(conditions) == 1:
        return conditions[0]
    return bound.Or(conditions) if outer.operator == "UNION" else bound.And(conditions)


# --- measures -------------------------------------------------------------------------------------


def _distance(entry: Function, arguments: Values, session: Session) -> Value:
    if len(arguments) == 2:
        first, second = (place(_a(Family.POINT, entry, argument)) for argument in arguments)
        return bound.Separation(*first, *second, _SEPARATION)
    lon1, lat1, lon2, lat2 = _numbers(entry, _exactly(entry, arguments, 4))
    return bound.Separation(*checked_place(lon1, lat1), *checked_place(lon2, lat2), _SEPARATION)


_SEPARATION = plain(Datatype.DOUBLE, "deg", "pos.angDistance")


def _exactly(entry: Function, arguments: Values, count: int) -> Values:
    if len(arguments) != count:
        raise _refuse(entry, f"{_counted(len(arguments))} do not fit")
    return arguments


def _a(wanted: Family, entry: Function, argument: Value) -> Value:
    own = family(argument.column)
    if own is not wanted and own is not Family.NULL:
        raise _refuse(entry, f"{called(argument)} is {own.value}, not {wanted.value}")
    return argument


def _one_shape(entry: Function, arguments: Values) -> Value:
    (shape,) = _exactly(entry, arguments, 1)
    if isinstance(shape, Combined):
        raise _refuse(entry, "a UNION, INTERSECTION or NOT of regions can stand only in CONTAINS and INTERSECTS")
    if not (is_null(shape) or family(shape.column) in _SHAPES):
        raise _refuse(entry, f"{called(shape)} is {family(shape.column).value}, no geometry")
    return shape


def _coordinate(entry: Function, arguments: Values, session: Session) -> Value:
    (point,) = _exactly(entry, arguments, 1)
    return place(_a(Family.POINT, entry, point))[0 if entry.key == "coord1" else 1]


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
    cap = times(real(_SPHERE / 2), minus(real(1.0), cos(radians(_radius(shape)))))
    return (
        bound.Constant(cap.value, _SQUARE)
        if isinstance(cap, bound.Constant)
        else bound.Arithmetic("*", cap.left, cap.right, _SQUARE)
    )  # type: ignore[union-attr]


_SPHERE = 4 * math.pi * math.degrees(1) ** 2


def _zero_unless_null(point: Value) -> Value:
    lon, lat = place(point)
    if isinstance(lon, bound.Constant) and isinstance(lat, bound.Constant):
        return bound.Constant(None if is_null(lon) or is_null(lat) else 0.0, _SQUARE)
    return bound.Arithmetic("*", real(0.0), add(lon, lat), _SQUARE)


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
    if isinstance(shape, Combined):
        raise Refused("ivo_geom_transform cannot turn a UNION, INTERSECTION or NOT of regions.")
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
    return bound.CircleOf(lon, lat, _radius(shape), CIRCLE)


_TURNED_POINT = plain(Datatype.DOUBLE, "deg", "pos", "2", "point")

_MAKERS: dict[str, Callable[[Function, Values, Session], Value]] = {
    "point": _point,
    "circle": _circle,
    "box": _box,
    "polygon": _polygon,
    "region": _region,
    "moc": _moc,
    "centroid": _centroid,
    "area": _area,
    "contains": _contains,
    "intersects": _intersects,
    "distance": _distance,
    "coord1": _coordinate,
    "coord2": _coordinate,
    "coordsys": _system,
}
