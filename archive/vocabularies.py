"""Are these words of the standards? Units by VOUnits 1.1 and UCDs by UCD1+ 1.6, as astropy knows them.

A word that is good has no ``Trouble``.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a word and what to do; one that is not ``grave`` can be lived with."""

    message: str
    remedy: str
    grave: bool = True


STATES = ("I", "Q", "U", "V", "RR", "LL", "RL", "LR", "XX", "YY", "XY", "YX", "POLI", "POLA")
"""States of polarisation in the order of ObsCore 1.1 section B.6.6."""

_FOREIGN = re.compile(r"[\s^]|(?<!\*)\*(?!\*)|[A-Za-z][0-9+-]")
"""Signs that VOUnits 1.1 section 2.3 does not use between units and powers, though astropy reads past them."""

_SUGGESTION = re.compile(r"Did you mean [^?]+\?")


@lru_cache(maxsize=4096)
def unit_trouble(unit: str) -> Trouble | None:
    """Whether ``unit`` is a VOUnit; one that is none but widely understood is not a grave trouble."""
    suggestion = "Write it like 'deg' or 'mas.yr**-1'."
    try:
        _unit(unit, "vounit")
        if not _FOREIGN.search(unit):
            return None
    except (ValueError, TypeError) as error:
        found = _SUGGESTION.search(str(error))
        suggestion = found.group() if found else suggestion
    message = f"the unit '{unit}' is not a VOUnit."
    spelled = _as_vounit(unit, None)
    if spelled is not None:
        return Trouble(message, f"Write '{spelled}'.", grave=False)
    if _is_unit(unit):
        return Trouble(message, "VOUnits 1.1 cannot express it: programs will show it but not convert it.", grave=False)
    return Trouble(message, suggestion)


def _unit(text: str, form: str | None) -> Any:
    from astropy import units  # takes half a second: only who checks words waits for it

    with _quiet():
        return units.Unit(text, format=form, parse_strict="raise")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without astropy's advice on units that are deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _is_unit(text: str) -> bool:
    try:
        _unit(text, None)
    except (ValueError, TypeError):
        return False
    return True


def _as_vounit(text: str, form: str | None) -> str | None:
    """The VOUnits spelling of a unit written in another form, if there is one without a factor."""
    try:
        unit = _unit(text, form)
        with _quiet():
            spelled = str(unit.to_string("vounit"))
        return None if spelled[:1].isdigit() else spelled
    except (ValueError, TypeError):
        return None


@lru_cache(maxsize=4096)
def unit_from_fits(unit: str) -> str | None:
    """The VOUnits spelling of a unit written by the rules of FITS; None if it is not one."""
    return _as_vounit(unit, "fits")


@lru_cache(maxsize=4096)
def ucd_trouble(ucd: str) -> Trouble | None:
    """Whether ``ucd`` is made of UCD1+ words, each in a place where it may stand."""
    from astropy.io.votable.ucd import parse_ucd

    try:
        parse_ucd(ucd, check_controlled_vocabulary=True, has_colon=False)
    except ValueError as error:
        return Trouble(f"the UCD '{ucd}' is not UCD1+: {error}.", "Its words: https://www.ivoa.net/documents/UCD1+/")
    return None


@lru_cache(maxsize=4096)
def unit_difference(delivered: str, described: str) -> Trouble | None:
    """Whether values in unit ``delivered`` are values in unit ``described``; units that are not known differ."""
    if delivered == described:
        return None
    message = f"is in '{delivered}', described is '{described}'."
    try:
        factor = _unit(delivered, None).to(_unit(described, None))
    except (ValueError, TypeError):
        return Trouble(message, "Deliver it in the unit that is described.")
    if abs(factor - 1.0) < 1e-12:
        return None
    return Trouble(message, f"Multiply the values by {factor:g} and deliver them again.")


_CELSIUS = ("c", "celsius", "degc", "deg_c", "deg c", "cel")


def converted(value: float, given: str | None, wanted: str | None) -> float | None:
    """``value``, in the unit ``given``, in the unit ``wanted``; None where one cannot be made from the other.

    A unit that is not known is no unit: the value is taken as it is. Temperatures count from their own zero.
    """
    if given is None or given == wanted:
        return value
    try:
        if given.lower() in _CELSIUS:
            return value + 273.15 if wanted == "K" else None
        unit = _unit(given, None)
    except (ValueError, TypeError):
        return value
    try:
        return float(unit.to(_unit(wanted or "", None), value))
    except (ValueError, TypeError):
        return None
