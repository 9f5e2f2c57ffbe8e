"""Positions derived from positions: steps on the sphere, proper motion, turns, all as arithmetic of the bound tree.

Written with core functions only, so every engine gives the same answer and none has to know them.
"""

from __future__ import annotations

import math

from archive.adql import bound
from archive.adql.maths import add, arithmetic, atan2, cos, degrees, minus, radians, real, sin, sqrt, times
from archive.adql.types import DOUBLE, POINT, Refused, is_null

Value = bound.Value
Place = tuple[bound.Value, bound.Value]
Matrix = tuple[tuple[float, float, float], ...]

_MAS = math.pi / 180 / 3_600_000  # radians
_KM_S = 4.740470463533349  # one au per Julian year in km/s


def _longitude(angle: Value) -> Value:
    """``angle``, above -360 degrees, from 0 to 360."""
    return arithmetic("%", add(angle, real(360.0)), real(360.0))


def _latitude(x: Value, y: Value, z: Value) -> Value:
    return degrees(atan2(z, sqrt(add(times(x, x), times(y, y)))))


def offset(lon: Value, lat: Value, radial: Value, east: Value, north: Value) -> Place:
    """The direction of the vector ``radial``, ``east``, ``north`` in the frame of the unit sphere at a position."""
    sine, cosine = sin(radians(lat)), cos(radians(lat))
    x = minus(times(radial, cosine), times(north, sine))
    z = add(times(radial, sine), times(north, cosine))
    return _longitude(add(lon, degrees(atan2(east, x)))), _latitude(x, east, z)


def rotated(lon: Value, lat: Value, matrix: Matrix) -> Place:
    """The position whose unit vector is ``matrix`` times that of (``lon``, ``lat``)."""
    alpha, delta = radians(lon), radians(lat)
    vector = (times(cos(delta), cos(alpha)), times(cos(delta), sin(alpha)), sin(delta))
    x, y, z = (
        add(add(times(real(row[0]), vector[0]), times(real(row[1]), vector[1])), times(real(row[2]), vector[2]))
        for row in matrix
    )
    return _longitude(degrees(atan2(y, x))), _latitude(x, y, z)


def moved(given: tuple[Value, ...]) -> Value:
    """``ivo_epoch_prop_pos``: rigorous linear motion (Hipparcos Catalogue vol. 1 section 1.5.5, for the position).

    Arguments as in the table of functions. Raises ``Refused`` for a literal NULL position or epoch.
    """
    parallax: Value
    velocity: Value
    if len(given) == 6:
        ra, dec, pmra, pmdec, start, end = given
        parallax, velocity = real(0.0), real(0.0)
    else:
        ra, dec, parallax, pmra, pmdec, velocity, start, end = given
    for name, value in (("ra", ra), ("dec", dec), ("ref_epoch", start), ("out_epoch", end)):
        if is_null(value):
            raise Refused(f"ivo_epoch_prop_pos needs a value for {name}.", "Only parallax and the motions may be NULL.")
    years = minus(end, start)
    receding = times(times(_or_zero(velocity), _or_zero(parallax)), real(_MAS / _KM_S))
    radial = add(real(1.0), times(receding, years))
    east = times(times(_or_zero(pmra), real(_MAS)), years)
    north = times(times(_or_zero(pmdec), real(_MAS)), years)
    return bound.PointOf(*offset(ra, dec, radial, east, north), POINT)


def _or_zero(value: Value) -> Value:
    if isinstance(value, bound.Constant):
        return real(0.0) if value.value is None else value
    return bound.Apply("coalesce", (value, real(0.0)), DOUBLE)
