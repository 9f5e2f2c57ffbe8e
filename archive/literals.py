"""Values of parameters as DALI 1.1 section 3.3 and SIA 2.0 section 2.1 write them: numbers, intervals, shapes, times.

Numbers stand with blanks between them; ``-Inf`` and ``+Inf`` are open ends. Each function gives a typed value or raises
a ``UsageFault`` that names the parameter, what it was given and what it takes.
"""

from __future__ import annotations

import math
import re
from datetime import datetime

from archive.faults import UsageFault
from archive.sky import Circle, Interval, Polygon, Range

Shape = Circle | Range | Polygon

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INFINITE = re.compile(r"([+-]?)inf(inity)?", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?Z?", re.ASCII)
_SHOWN = 60  # characters of a wrong value in a message
_MOST_VERTICES = 1000


def interval(name: str, text: str) -> Interval:
    """Two numbers, the smaller one first, or one number, which is an interval without width."""
    numbers = [_number(name, text, word, infinite=True) for word in text.split()]
    if len(numbers) not in (1, 2):
        raise _wrong(name, text, "one number or two")
    low, high = numbers[0], numbers[-1]
    if len(numbers) == 1 and math.isinf(low):
        raise _wrong(name, text, "a number; infinities stand for open ends of intervals")
    if low > high or low == math.inf or high == -math.inf:
        raise _wrong(name, text, "the lower bound first")
    return Interval(low, high)


def period(name: str, text: str) -> tuple[datetime | None, datetime | None]:
    """Two dates or times (ISO 8601, UTC), the earlier one first, or one; None stands for an open end.

    A day alone is its first moment.
    """
    words = text.split()
    if len(words) not in (1, 2):
        raise _wrong(name, text, "one date or two, such as 2026-01-01 2026-02-01")
    first, last = _moment(name, text, words[0], "-"), _moment(name, text, words[-1], "+")
    if len(words) == 1 and first is None:
        raise _wrong(name, text, "a date")
    if first is not None and last is not None and first > last:
        raise _wrong(name, text, "the earlier date first")
    return first, last


def whole(name: str, text: str, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``."""
    if not re.fullmatch(r"\s*\d{1,9}\s*", text, re.ASCII) or not low <= int(text) <= high:
        raise _wrong(name, text, f"a whole number from {low} to {high}")
    return int(text)


def shape(name: str, text: str) -> Shape:
    """``CIRCLE lon lat radius``, ``RANGE lon1 lon2 lat1 lat2`` or ``POLYGON lon1 lat1 lon2 lat2 ...``, ICRS degrees."""
    kind, *words = text.split() or [""]
    match kind.upper():
        case "CIRCLE":
            return _circle(name, text, [_number(name, text, word) for word in words])
        case "RANGE":
            return _range(name, text, [_number(name, text, word, infinite=True) for word in words])
        case "POLYGON":
            return _polygon(name, text, [_number(name, text, word) for word in words])
    raise _wrong(name, text, "CIRCLE, RANGE or POLYGON and numbers")


def _circle(name: str, text: str, numbers: list[float]) -> Circle:
    if len(numbers) != 3:
        raise _wrong(name, text, "CIRCLE and three numbers: longitude, latitude, radius")
    lon, lat, radius = numbers
    _check_lon(name, text, lon)
    _check_lat(name, text, lat)
    if not 0 <= radius <= 180:
        raise _wrong(name, text, "a radius from 0 to 180 degrees")
    return Circle(lon % 360.0, lat, radius)


def _range(name: str, text: str, numbers: list[float]) -> Range:
    """A range from its west, which is from 0 to 360, eastwards; where it begins in the east it goes across 0."""
    if len(numbers) != 4:
        raise _wrong(name, text, "RANGE and four numbers: longitudes from and to, latitudes from and to")
    west, east, south, north = numbers
    if math.inf in (west, south) or -math.inf in (east, north):
        raise _wrong(name, text, "-Inf as a lower and +Inf as an upper bound")
    west, east = 0.0 if west == -math.inf else west, 360.0 if east == math.inf else east
    south, north = -90.0 if south == -math.inf else south, 90.0 if north == math.inf else north
    for lon in (west, east):
        _check_lon(name, text, lon)
    for lat in (south, north):
        _check_lat(name, text, lat)
    if south > north:
        raise _wrong(name, text, "the lower latitude first")
    width = min(east - west, 360.0) if east >= west else east - west + 360.0
    if width < 0:
        raise _wrong(name, text, "longitudes less than a turn apart")
    return Range(west % 360.0, west % 360.0 + width, south, north)


def _polygon(name: str, text: str, numbers: list[float]) -> Polygon:
    if len(numbers) % 2 or not 6 <= len(numbers) <= 2 * _MOST_VERTICES:
        raise _wrong(name, text, f"POLYGON and three pairs of numbers or more, up to {_MOST_VERTICES}")
    for lon, lat in zip(numbers[::2], numbers[1::2], strict=True):
        _check_lon(name, text, lon)
        _check_lat(name, text, lat)
    vertices = tuple((lon % 360.0, lat) for lon, lat in zip(numbers[::2], numbers[1::2], strict=True))
    if len(set(vertices)) < 3:
        raise _wrong(name, text, "three places that are not the same")
    return Polygon(vertices)


def _number(name: str, text: str, word: str, *, infinite: bool = False) -> float:
    if _NUMBER.fullmatch(word):
        number = float(word)
        if math.isfinite(number):
            return number
    match = _INFINITE.fullmatch(word)
    if match and infinite:
        return -math.inf if match[1] == "-" else math.inf
    raise _wrong(name, text, f"numbers, which {_shown(word)} is not")


def _moment(name: str, text: str, word: str, sign: str) -> datetime | None:
    """``sign`` is that of the infinity which may stand there."""
    match = _INFINITE.fullmatch(word)
    if match and (match[1] or "+") == sign:
        return None
    try:
        if _DATE.fullmatch(word):
            return datetime.fromisoformat(word.removesuffix("Z"))
    except ValueError:
        pass
    raise _wrong(name, text, "dates such as 2026-01-01 or 2026-01-01T12:00:00 (UTC)")


def _check_lon(name: str, text: str, lon: float) -> None:
    if not -360 <= lon <= 360:
        raise _wrong(name, text, "longitudes from 0 to 360 degrees")


def _check_lat(name: str, text: str, lat: float) -> None:
    if not -90 <= lat <= 90:
        raise _wrong(name, text, "latitudes from -90 to 90 degrees")


def _wrong(name: str, text: str, takes: str) -> UsageFault:
    return UsageFault(f"{name}={_shown(text)} cannot be understood.", f"{name} takes {takes}.")


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "\N{HORIZONTAL ELLIPSIS}")
