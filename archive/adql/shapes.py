"""Shapes: calls of POINT, CIRCLE, BOX, POLYGON, REGION and MOC, and what geometry functions read from a shape.

Every shape is ICRS degrees. Source: ADQL 2.1 section 4.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from archive.adql import bound, stcs
from archive.adql.functions import Function
from archive.adql.maths import radians, real, tan, times
from archive.adql.moc import ranges
from archive.adql.motion import offset
from archive.adql.scope import Session
from archive.adql.types import (
    CIRCLE,
    DOUBLE,
    MOC,
    POINT,
    POLYGON,
    REGION,
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


_LONGITUDE = plain(Datatype.DOUBLE, "deg", "pos.eq.ra")
_LATITUDE = plain(Datatype.DOUBLE, "deg", "pos.eq.dec")


def is_combined(shape: Value) -> TypeGuard[bound.Apply]:
    """True for a REGION of several shapes: ``Apply`` of UNION, INTERSECTION or NOT, which never leaves resolve."""
    return shape.column is REGION


# --- arguments ------------------------------------------------------------------------------------


def refuse(entry: Function, why: str) -> Refused:
    """A refusal that tells how to write the call."""
    return Refused(f"{entry.name}: {why}.", f"Write {' or '.join(entry.forms)}.")


def _without_system(entry: Function, arguments: Values, session: Session) -> Values:
    """The arguments without a leading coordinate system, which is deprecated and changes nothing."""
    if not arguments:
        return arguments
    first = arguments[0]
    kind = family(first.column)
    if kind is Family.TEXT:
        if not isinstance(first, bound.Constant):
            raise refuse(entry, "the coordinate system must be a literal")
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


def numbers_of(entry: Function, arguments: Sequence[Value]) -> Values:
    """Arguments that must be numbers, as DOUBLE."""
    given = []
    for argument in arguments:
        kind = family(argument.column)
        if kind not in (Family.NUMBER, Family.NULL):
            raise refuse(entry, f"{called(argument)} is {kind.value} where a number is needed")
        given.append(bound.Constant(None, DOUBLE) if is_null(argument) else as_number(argument, Datatype.DOUBLE))
    return tuple(given)


def checked_place(lon: Value, lat: Value) -> Place:
    """Two coordinates; literal longitudes are wrapped to 0..360, latitudes out of range Refused."""
    if isinstance(lon, bound.Constant) and isinstance(lon.value, int | float) and not 0 <= lon.value < 360:
        lon = bound.Constant(float(lon.value) % 360.0, lon.column)
    if isinstance(lat, bound.Constant) and isinstance(lat.value, int | float) and abs(lat.value) > 90:
        raise Refused(
            f"latitude {lat.value:g} is out of range.", "Latitudes go from -90 to 90; the longitude stands first."
        )
    return lon, lat


def place(point: Value) -> Place:
    """Longitude and latitude of a point, or of the centre of a circle."""
    if isinstance(point, bound.PointOf | bound.CircleOf):
        return point.lon, point.lat
    if is_null(point):
        return bound.Constant(None, DOUBLE), bound.Constant(None, DOUBLE)
    return bound.Apply("coord1", (point,), _LONGITUDE), bound.Apply("coord2", (point,), _LATITUDE)


def radius_of(circle: Value) -> Value:
    """The radius of any circle."""
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
        return place(given[0]), numbers_of(entry, given[1:])
    if len(given) != following + 2:
        raise wrong_count(entry, len(arguments))
    numbers = numbers_of(entry, given)
    return checked_place(numbers[0], numbers[1]), numbers[2:]


def wrong_count(entry: Function, count: int) -> Refused:
    """A refusal of a call with the wrong number of arguments, showing how to write it."""
    given = "no arguments" if count == 0 else "1 argument" if count == 1 else f"{count} arguments"
    return Refused(f"{entry.name} does not take {given}.", f"Write {' or '.join(entry.forms)}.")


def exactly(entry: Function, arguments: Values, count: int) -> Values:
    """``arguments``, if there are ``count`` of them."""
    if len(arguments) != count:
        raise wrong_count(entry, len(arguments))
    return arguments


def of_family(wanted: Family, entry: Function, argument: Value) -> Value:
    """``argument``, if it is of the family wanted, or NULL."""
    own = family(argument.column)
    if own is not wanted and own is not Family.NULL:
        raise refuse(entry, f"{called(argument)} is {own.value}, not {wanted.value}")
    return argument


# --- shapes ---------------------------------------------------------------------------------------


def point(entry: Function, arguments: Values, session: Session) -> Value:
    """POINT."""
    given = _without_system(entry, arguments, session)
    if len(given) == 3 and is_null(given[0]):
        given = given[1:]
    if len(given) != 2:
        raise wrong_count(entry, len(arguments))
    lon, lat = numbers_of(entry, given)
    if is_null(lon) or is_null(lat):
        return bound.Constant(None, POINT)
    return bound.PointOf(*checked_place(lon, lat), POINT)


def circle(entry: Function, arguments: Values, session: Session) -> Value:
    """CIRCLE."""
    (lon, lat), (radius,) = _centre(entry, arguments, 1, session)
    return _circle_of(lon, lat, radius)


def _circle_of(lon: Value, lat: Value, radius: Value) -> Value:
    if isinstance(radius, bound.Constant) and isinstance(radius.value, int | float) and radius.value < 0:
        raise Refused(f"a circle cannot have the radius {radius.value:g}.", "Radii are degrees from 0 to 180.")
    if any(is_null(part) for part in (lon, lat, radius)):
        return bound.Constant(None, CIRCLE)
    return bound.CircleOf(lon, lat, radius, CIRCLE)


def box(entry: Function, arguments: Values, session: Session) -> Value:
    """BOX."""
    (lon, lat), (width, height) = _centre(entry, arguments, 2, session)
    return _box_of(lon, lat, width, height)


def _box_of(lon: Value, lat: Value, width: Value, height: Value) -> Value:
    for size in (width, height):
        if isinstance(size, bound.Constant) and isinstance(size.value, int | float) and not 0 < size.value < 180:
            raise Refused(
                f"a box cannot be {size.value:g} degrees wide or high.", "Sizes lie between 0 and 180 degrees."
            )
    if any(is_null(part) for part in (lon, lat, width, height)):
        return bound.Constant(None, POLYGON)
    east, north = (tan(radians(times(size, real(0.5)))) for size in (width, height))
    west, south = (times(real(-1.0), side) for side in (east, north))
    corners = ((west, south), (east, south), (east, north), (west, north))
    return bound.PolygonOf(tuple(offset(lon, lat, real(1.0), x, y) for x, y in corners), POLYGON)


def polygon(entry: Function, arguments: Values, session: Session) -> Value:
    """POLYGON."""
    given = _without_system(entry, arguments, session)
    if given and is_null(given[0]) and (len(given) % 2 or (len(given) > 1 and family(given[1].column) is Family.POINT)):
        given = given[1:]
    if given and family(given[0].column) is Family.POINT:
        vertices = [place(of_family(Family.POINT, entry, vertex)) for vertex in given]
    else:
        numbers = numbers_of(entry, given)
        if len(numbers) % 2:
            raise refuse(entry, "the last longitude has no latitude")
        vertices = [checked_place(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]
    if len(vertices) < 3:
        raise refuse(entry, "three vertices or more are needed")
    return _polygon_of(vertices)


def _polygon_of(vertices: Sequence[Place]) -> Value:
    """A polygon; a last vertex that repeats the first is left out."""
    if any(is_null(part) for vertex in vertices for part in vertex):
        return bound.Constant(None, POLYGON)
    if len(vertices) > 3 and all(
        isinstance(a, bound.Constant) and isinstance(b, bound.Constant) and a.value == b.value
        for a, b in zip(vertices[0], vertices[-1], strict=True)
    ):
        vertices = vertices[:-1]
    return bound.PolygonOf(tuple(vertices), POLYGON)


def region(entry: Function, arguments: Values, session: Session) -> Value:
    """REGION of an STC-S literal; may be combined."""
    (given,) = exactly(entry, arguments, 1)
    if not isinstance(given, bound.Constant) or not isinstance(given.value, str):
        raise refuse(entry, "the STC-S string must be a literal")
    return _from_stcs(stcs.read(given.value), session)


def _from_stcs(region: stcs.Region, session: Session) -> Value:
    if isinstance(region, stcs.Combination):
        return bound.Apply(region.operator, tuple(_from_stcs(member, session) for member in region.members), REGION)
    if region.frame:
        _note_frame(region.frame, session)
    numbers = [real(number) for number in region.numbers]
    if region.kind == "POLYGON":
        return _polygon_of([checked_place(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)])
    lon, lat = checked_place(numbers[0], numbers[1])
    if region.kind == "POSITION":
        return bound.PointOf(lon, lat, POINT)
    return _circle_of(lon, lat, numbers[2]) if region.kind == "CIRCLE" else _box_of(lon, lat, numbers[2], numbers[3])


def known_region(value: Value, session: Session) -> Value:
    """``value``, or the region it holds in its table's only row."""
    if not isinstance(value, bound.Field) or (found := session.regions.get((value.source, value.name))) is None:
        return value
    return bound.Pixels(found, MOC)


def moc(entry: Function, arguments: Values, session: Session) -> Value:
    """MOC of a literal, or of an uploaded map, which is one already."""
    (given,) = exactly(entry, arguments, 1)
    given = known_region(given, session)
    if isinstance(given, bound.Pixels):
        return given
    if not isinstance(given, bound.Constant) or not isinstance(given.value, str):
        raise refuse(entry, "the map must be a literal")
    return bound.Pixels(ranges(given.value), MOC)


def cast_to_shape(operand: Value, target: str) -> Value:
    """CAST of a DALI string (DALI 1.1 section 3.3.5 to 3.3.7) to POINT, CIRCLE or POLYGON."""
    shape = {"POINT": POINT, "CIRCLE": CIRCLE, "POLYGON": POLYGON}.get(target)
    if shape is None:
        raise Refused(f"there is no type {target} to cast to.")
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
