"""Unit arithmetic in VOUnits 1.1 notation, on strings, so that resolve can carry units through expressions.

A unit is a VOUnits string; ``PURE`` ("") is a number known to have none, None a unit that is not known. What
cannot be read or expressed gives None, never an error. Everything is remembered: astropy parses each string once.
"""

from __future__ import annotations

import threading
import warnings
from fractions import Fraction
from functools import lru_cache
from typing import Any

PURE = ""

_READING = threading.Lock()  # warnings.catch_warnings changes state that all threads share


def _unit(text: str, form: str | None) -> Any:
    """The unit ``text`` means in a notation of astropy (None: its own), or None."""
    from astropy import units  # takes half a second: only who has units to work with waits for it

    with _READING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return units.Unit(text, format=form, parse_strict="raise")
        except (ValueError, TypeError):
            return None


@lru_cache(maxsize=4096)
def _read(text: str) -> Any:
    """The unit ``text`` means, in VOUnits notation or another that is widely understood, or None."""
    unit = _unit(text, "vounit")
    return _unit(text, None) if unit is None else unit


def _write(unit: Any) -> str | None:
    """``unit`` in VOUnits notation, or None where it has none."""
    with _READING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return str(unit.to_string("vounit"))
        except (ValueError, TypeError):
            return None


@lru_cache(maxsize=4096)
def is_vounit(text: str) -> bool:
    """True if ``text`` is a legal VOUnits string."""
    return _unit(text, "vounit") is not None


def is_known(text: str) -> bool:
    """True if ``text`` means a unit."""
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
    except ValueError:
        return None
