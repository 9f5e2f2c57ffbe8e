"""Positions as people write them: decimal degrees, or hours and degrees with minutes and seconds."""

from __future__ import annotations

import math
import re

from archive.faults import UsageFault

_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
_DECIMAL = re.compile(rf"([+-]?(?:{_NUMBER}))[°d]?(?:\s*,\s*|\s+)([+-]?(?:{_NUMBER}))[°d]?", re.ASCII)
_SEXAGESIMAL = re.compile(
    rf"""(?P<h>\d{{1,2}})[\s:h]+(?P<m>\d{{1,2}})(?:[\s:m′']+(?P<s>{_NUMBER})\s*[s″"]?|\s*[m′']?)
    \s*[,\s]?\s*
    (?P<sign>[+-])\s*(?P<d>\d{{1,2}})[\s:d°]+(?P<am>\d{{1,2}})(?:[\s:m′']+(?P<as>{_NUMBER})\s*[s″"]?|\s*[m′']?)""",
    re.ASCII | re.VERBOSE,
)
_FORMS = "Write 266.417 -29.008 (degrees) or 17:45:40 -29:00:28 (hours and degrees, with the sign)."


def place(text: str) -> tuple[float, float]:
    """Right ascension and declination in degrees.

    Raises:
        UsageFault: they are not written in a way that can be understood, or there is no such place.
    """
    plain = text.strip().replace("\N{MINUS SIGN}", "-")
    decimal = _DECIMAL.fullmatch(plain)
    if decimal is not None:
        lon, lat = map(float, decimal.groups())
        if not -360 <= lon <= 360:
            raise UsageFault(f"{lon:g} is no right ascension.", "It is from 0 to 360 degrees.")
    else:
        lon, lat = _sexagesimal(plain)
    if not -90 <= lat <= 90:
        raise UsageFault(f"{lat:g} is no declination.", "It is from -90 to 90 degrees.")
    return lon % 360.0, lat


def _sexagesimal(text: str) -> tuple[float, float]:
    found = _SEXAGESIMAL.fullmatch(text)
    if found is None:
        raise UsageFault(f"'{text[:60]}' is no position.", _FORMS)
    hours, minutes, seconds, degrees, arcmin, arcsec = (
        float(found[name] or 0) for name in ("h", "m", "s", "d", "am", "as")
    )
    if hours >= 24 or max(minutes, seconds, arcmin, arcsec) >= 60:
        raise UsageFault(f"'{text[:60]}' is no position.", "Hours are below 24, minutes and seconds below 60.")
    lat = degrees + arcmin / 60 + arcsec / 3600
    return 15 * (hours + minutes / 60 + seconds / 3600), -lat if found["sign"] == "-" else lat


def sexagesimal(lon: float, lat: float) -> str:
    """A position in hours and degrees, to a tenth of a second of time."""
    tenths = round(lon % 360.0 / 15 * 36_000) % 864_000
    seconds = round(abs(lat) * 3600)
    sign = "\N{MINUS SIGN}" if math.copysign(1, lat) < 0 and seconds else "+"
    hours = f"{tenths // 36_000:02d}:{tenths // 600 % 60:02d}:{tenths % 600 / 10:04.1f}"
    return f"{hours} {sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
