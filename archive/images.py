"""``Search``: what images somebody looks for, in the terms of ObsCore; and the question that finds them.

Values of one constraint are alternatives, constraints add up, and what is not known of an image satisfies none (SIA 2.0
section 2.1). The question is a tree of ADQL over ``ivoa.obscore`` and goes the way of all questions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from archive.adql import tree
from archive.adql.tree import (
    And,
    Binary,
    Call,
    Comparison,
    Condition,
    Expression,
    Identifier,
    InList,
    IsNull,
    Like,
    Number,
    Or,
)
from archive.sky import Circle, Interval, Outline, Polygon, Range

KINDS = ("image", "cube")
"""What is found: SIA 2.0 is for images and cubes."""

TABLE = ("ivoa", "obscore")

Shape = Circle | Range | Polygon
Period = tuple[datetime | None, datetime | None]

_SECTOR = 30.0  # degrees of longitude that one polygon spans
_STEPS = 32  # parts of a parallel in it: it is left by less than 1/10 000 of its length
_POLE = 90.0
_THIN = 1e-9  # degrees
_WIDE = 150.0  # degrees across; images of which only the width is known are wider


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Images whose footprint meets one of ``places``, that overlap one of ``bands`` and ``times``, and so on.

    Shapes are in ICRS degrees, bands in metres of wavelength, times MJD in UTC, ``widths`` degrees, ``resolutions``
    arcsec, ``exposures`` and ``time_resolutions`` seconds; ``released`` are periods in UTC. Identifiers are compared
    without case, other text exactly.
    """

    places: Sequence[Shape] = ()
    bands: Sequence[Interval] = ()
    times: Sequence[Interval] = ()
    states: Sequence[str] = ()
    widths: Sequence[Interval] = ()
    resolutions: Sequence[Interval] = ()
    powers: Sequence[Interval] = ()
    exposures: Sequence[Interval] = ()
    time_resolutions: Sequence[Interval] = ()
    identifiers: Sequence[str] = ()
    collections: Sequence[str] = ()
    facilities: Sequence[str] = ()
    instruments: Sequence[str] = ()
    targets: Sequence[str] = ()
    formats: Sequence[str] = ()
    levels: Sequence[int] = ()
    released: Sequence[Period] = ()
    kinds: Sequence[str] = ()


def query(search: Search) -> tree.Query:
    """The question for all columns of the images that are looked for."""
    asked = tuple(_conditions(search))
    images = InList(_column("dataproduct_type"), tuple(map(_literal, KINDS)))
    where = And((*asked, images)) if asked else images
    source = tree.TableName(tuple(Identifier(part) for part in TABLE))
    return tree.Query(tree.Select((tree.Star(),), source, where=where))


def _conditions(search: Search) -> Iterator[Condition]:
    for each in fields(search):
        values = getattr(search, each.name)
        if values:
            yield _any_of(condition for value in values for condition in _WAYS[each.name](value))


def _any_of(conditions: Iterable[Condition]) -> Condition:
    each = tuple(conditions)
    return each[0] if len(each) == 1 else Or(each)


# --- one value of a constraint --------------------------------------------------------------------


def _overlaps(low: str, high: str) -> Callable[[Interval], list[Condition]]:
    """Whether the interval in two columns has a point in common with another; an open end is no condition."""

    def condition(interval: Interval) -> list[Condition]:
        ends: list[Condition] = [
            _compared(low, "<=", interval.high) if math.isfinite(interval.high) else IsNull(_column(low), negated=True),
            _compared(high, ">=", interval.low) if math.isfinite(interval.low) else IsNull(_column(high), negated=True),
        ]
        return [And(tuple(ends))]

    return condition


def _lies_in(column: str) -> Callable[[Interval], list[Condition]]:
    """Whether a number is in an interval."""

    def condition(interval: Interval) -> list[Condition]:
        ends: list[Condition] = []
        if math.isfinite(interval.low):
            ends.append(_compared(column, ">=", interval.low))
        if math.isfinite(interval.high):
            ends.append(_compared(column, "<=", interval.high))
        return [And(tuple(ends)) if len(ends) > 1 else ends[0] if ends else IsNull(_column(column), negated=True)]

    return condition


def _is(column: str) -> Callable[[str | int], list[Condition]]:
    return lambda value: [Comparison("=", _column(column), _literal(value))]


def _is_named(identifier: str) -> list[Condition]:
    folded = Call(Identifier("LOWER"), (_column("obs_publisher_did"),))
    return [Comparison("=", folded, tree.Text(identifier.lower()))]


def _has_state(state: str) -> list[Condition]:
    return [Like(_column("pol_states"), tree.Text(f"%/{state}/%"))]


def _was_released(period: Period) -> list[Condition]:
    column = _column("obs_release_date")
    ends: list[Condition] = [
        Comparison(operator, column, tree.Text(moment.isoformat()))
        for operator, moment in zip((">=", "<="), period, strict=True)
        if moment is not None
    ]
    return [And(tuple(ends)) if len(ends) > 1 else ends[0] if ends else IsNull(column, negated=True)]


def _compared(column: str, operator: str, value: float) -> Comparison:
    return Comparison(operator, _column(column), Number(value))


def _column(name: str) -> tree.Name:
    return tree.Name((Identifier(name),))


def _literal(value: str | int) -> Expression:
    return tree.Text(value) if isinstance(value, str) else Number(value)


# --- places ---------------------------------------------------------------------------------------


def _meets(shape: Shape) -> list[Condition]:
    """Whether an image has a point in common with a shape: by its footprint; else, if it is wide, if circles around
    both have one; else by its position.
    """
    position, region, width = (_column("s_ra"), _column("s_dec")), _column("s_region"), _column("s_fov")
    parts = _parts(shape)
    if parts is None:
        return [IsNull(position[0], negated=True)]
    point, alone = Call(Identifier("POINT"), position), IsNull(region)
    found: list[Condition] = []
    for part, around in parts:
        place = (Number(around.lon), Number(around.lat))
        far = Binary("+", Number(around.radius), Binary("/", width, Number(2.0)))
        near = Comparison("<=", Call(Identifier("DISTANCE"), (*position, *place)), far)
        found.append(_holds("INTERSECTS", part, region))
        found.append(And((alone, _holds("CONTAINS", point, part))))
        found.append(And((Comparison(">", width, Number(_WIDE)), alone, near)))
    return found


def _holds(function: str, left: Expression, right: Expression) -> Comparison:
    return Comparison("=", Call(Identifier(function), (left, right)), Number(1))


def _parts(shape: Shape) -> list[tuple[Expression, Circle]] | None:
    """A shape as geometry of ADQL, of which any part will do, with circles around them; None if it is all the sky."""
    match shape:
        case Circle(lon, lat, radius):
            return None if radius >= 180 else [(_called("CIRCLE", [lon, lat, radius]), shape)]
        case Polygon(vertices):
            return [_outlined(vertices)]
        case Range(west, east, south, north):
            if east - west >= 360 and south <= -_POLE and north >= _POLE:
                return None
            stretches = _stretches(*_widened(west, east))
            south, north = _widened(south, north)
            return [_outlined(_sector(*each, max(south, -_POLE), min(north, _POLE))) for each in stretches]


def _outlined(vertices: Sequence[tuple[float, float]]) -> tuple[Expression, Circle]:
    (lon, lat), radius = Outline(vertices).cap()
    return _called("POLYGON", [part for vertex in vertices for part in vertex]), Circle(lon, lat, radius)


def _widened(low: float, high: float) -> tuple[float, float]:
    """A stretch that has some length: a polygon must have an inside."""
    return (low, high) if high - low > _THIN else (low - _THIN, high + _THIN)


def _stretches(west: float, east: float) -> Iterator[tuple[float, float]]:
    """A stretch of longitude in parts that are not too wide."""
    count = max(1, math.ceil((east - west) / _SECTOR))
    width = (east - west) / count
    return ((west + width * part, west + width * (part + 1)) for part in range(count))


def _sector(west: float, east: float, south: float, north: float) -> list[tuple[float, float]]:
    """The vertices of part of a range. Edges along parallels are no great circles, so they get many vertices."""
    steps = [west + (east - west) * step / _STEPS for step in range(_STEPS + 1)]
    middle = [south + (north - south) * step / 4 for step in (1, 2, 3)]  # no edge may be half a turn
    lower = [(lon, south) for lon in steps] if south > -_POLE else [(west, south)]
    upper = [(lon, north) for lon in reversed(steps)] if north < _POLE else [(west, north)]
    vertices = [*lower, *((east, lat) for lat in middle), *upper, *((west, lat) for lat in reversed(middle))]
    return [(lon % 360.0, lat) for lon, lat in vertices]


def _called(function: str, numbers: Sequence[float]) -> Expression:
    return Call(Identifier(function), tuple(Number(float(number)) for number in numbers))


_WAYS: dict[str, Callable[[Any], list[Condition]]] = {
    "places": _meets,
    "bands": _overlaps("em_min", "em_max"),
    "times": _overlaps("t_min", "t_max"),
    "states": _has_state,
    "widths": _lies_in("s_fov"),
    "resolutions": _lies_in("s_resolution"),
    "powers": _lies_in("em_res_power"),
    "exposures": _lies_in("t_exptime"),
    "time_resolutions": _lies_in("t_resolution"),
    "identifiers": _is_named,
    "collections": _is("obs_collection"),
    "facilities": _is("facility_name"),
    "instruments": _is("instrument_name"),
    "targets": _is("target_name"),
    "formats": _is("access_format"),
    "levels": _is("calib_level"),
    "released": _was_released,
    "kinds": _is("dataproduct_type"),
}
