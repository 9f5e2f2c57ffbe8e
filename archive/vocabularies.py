"""Are these words of the standards? Units by VOUnits 1.1 and UCDs by UCD1+ 1.6, as astropy knows them.

Each function returns None for a good word and otherwise a pair of what is wrong and what to do.
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache

Trouble = tuple[str, str]

_SUGGESTION = re.compile(r"Did you mean [^?]+\?")


@lru_cache(maxsize=4096)
def unit_trouble(unit: str) -> Trouble | None:
    """Whether ``unit`` is a VOUnit."""
    from astropy import units  # takes half a second: only who checks a description waits for it

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            units.Unit(unit, format="vounit", parse_strict="raise")
    except (ValueError, TypeError) as error:
        suggestion = _SUGGESTION.search(str(error))
        remedy = suggestion.group() if suggestion else "Write it as VOUnits 1.1 says, for example 'deg', 'mas.yr**-1'."
        return f"the unit '{unit}' is not a VOUnit.", remedy
    return None


@lru_cache(maxsize=4096)
def unit_from_fits(unit: str) -> str | None:
    """The VOUnits spelling of a unit written by the rules of FITS; None if it is not one."""
    from astropy import units

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return str(units.Unit(unit, format="fits", parse_strict="raise").to_string("vounit"))
    except (ValueError, TypeError):
        return None


@lru_cache(maxsize=4096)
def ucd_trouble(ucd: str) -> Trouble | None:
    """Whether ``ucd`` is made of UCD1+ words, each in a place where it may stand."""
    from astropy.io.votable.ucd import parse_ucd

    try:
        parse_ucd(ucd, check_controlled_vocabulary=True, has_colon=False)
    except ValueError as error:
        return (
            f"the UCD '{ucd}' is not UCD1+: {error}.",
            "Words and their places: https://www.ivoa.net/documents/UCD1+/",
        )
    return None


@lru_cache(maxsize=4096)
def unit_difference(delivered: str, described: str) -> Trouble | None:
    """Whether values in unit ``delivered`` are values in unit ``described``; units that are not known differ."""
    if delivered == described:
        return None
    from astropy import units

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            factor = units.Unit(delivered).to(units.Unit(described))
    except (ValueError, TypeError):
        return f"is in '{delivered}', described is '{described}'.", "Deliver it in the unit that is described."
    if abs(factor - 1.0) < 1e-12:
        return None
    return (
        f"is in '{delivered}', described is '{described}'.",
        f"Multiply the values by {factor:g} and deliver them again.",
    )
