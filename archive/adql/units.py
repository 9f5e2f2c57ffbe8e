"""Unit arithmetic in VOUnits 1.1 notation, on strings, so that resolve can carry units through expressions.

A unit is a VOUnits string; ``PURE`` ("") is a number known to have none, None a unit that is not known. What
cannot be read or expressed gives None, never an error. Everything is remembered: astropy parses each string once.
"""

from __future__ import annotations

import threading
import warnings
from fractions import Fraction
from functools import lru_cache

from astropy import units as astropy_units

PURE = ""

_READING = threading.Lock()  # warnings.catch_warnings changes state that all threads share


@lru_cache(maxsize=4096)
def _read(text: str) -> astropy_units.UnitBase | None:
    """The unit ``text`` means, or None."""
    if text == PURE:
        return astropy_units.dimensionless_unscaled
    with _READING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return astropy_units.Unit(text, format="vounit", parse_strict="raise")
        except (ValueError, TypeError):
            return None


def _write(unit: astropy_units.UnitBase) -> str | None:
    """``unit`` in VOUnits notation, or None where it has none."""
    with _READING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return str(unit.to_string("vounit"))
        except (ValueError, TypeError):
            return None


def is_unit(text: str) -> bool:
    """True if ``text`` is a legal VOUnits string."""
    return _read(text) is not None


@lru_cache(maxsize=4096)
def product(left: str | None, right: str | None) -> str | None:
    """The unit of a product."""
    if left is None or right is None:
        return None
    if left == PURE or right == PURE:
        return left or right
    one, other = _read(left), _read(right)
    return None if one is None or other is None else _write(one * other)


@lru_cache(maxsize=4096)
def quotient(left: str | None, right: str | None) -> str | None:
    """The unit of a quotient."""
    if left is None or right is None:
        return None
    if right == PURE:
        return left
    if left == right:
        return PURE
    one, other = _read(left), _read(right)
    return None if one is None or other is None else _write(one / other)


@lru_cache(maxsize=4096)
def power(unit: str | None, exponent: float) -> str | None:
    """The unit of a power."""
    if not unit:
        return unit
    base = _read(unit)
    return None if base is None else _write(base ** Fraction(exponent).limit_denominator(100))


@lru_cache(maxsize=4096)
def factor(source: str, target: str) -> float | None:
    """What values in ``source`` are multiplied with to be in ``target``; None if they cannot be compared."""
    one, other = _read(source), _read(target)
    if one is None or other is None:
        return None
    try:
        return float(one.to(other))
    except astropy_units.UnitConversionError:
        return None
