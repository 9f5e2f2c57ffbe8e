"""Times as headers tell them, in any scale, to TAI and UTC (FITS 4.0 section 9)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from astropy.io.fits import Header
from astropy.time import Time, TimeDelta
from astropy.utils import iers

from archive.backbone.inspection import said
from archive.products import Scale

iers.conf.auto_download = False  # leap seconds are those that came with astropy: an archive works without a network

GPS = "GPS"

_SCALES = {
    "UTC": "utc",
    "UT": "utc",
    "GMT": "utc",
    "TAI": "tai",
    "IAT": "tai",
    "TT": "tt",
    "TDT": "tt",
    "ET": "tt",
    "TDB": "tdb",
    "TCG": "tcg",
    "TCB": "tcb",
    "UT1": "ut1",
    GPS: "tai",
}
_GPS_BEHIND = 19  # seconds that GPS time is behind TAI

_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})\Z")
_OLD_DATE = re.compile(r"(\d{2})/(\d{2})/(\d{2})\Z")
_TIME = re.compile(r"(\d{1,2}):(\d{2}):(\d{2}(?:\.\d*)?)\Z")
_MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d*)?)?)(Z|\+00:00)?\Z")
_TIMES_OF_DAY = ("TIME-OBS", "UTC-OBS", "UTSTART", "UT-OBS", "UTC", "UT", "TIME-BEG", "TM-START")


class NoTime(ValueError):
    """A value is no time; the message tells what is expected."""


def scale_of(header: Header, first: Header) -> str:
    """The time scale of a header: its TIMESYS, else that of the first header, else UTC (FITS 4.0 section 9.2.1).

    Raises:
        NoTime: it is one that is not known.
    """
    told = said(header, "TIMESYS") or said(first, "TIMESYS") or "UTC"
    name = str(told).upper().partition("(")[0].strip()
    if name not in _SCALES:
        raise NoTime(f"the time scale TIMESYS '{told}' is not known")
    return name


def read_time(value: str | float, keyword: str, scale: str, header: Header, *, day_will_do: bool) -> Time:
    """The moment that a card tells.

    ``keyword`` says whether a number is an MJD or a JD; a date alone is completed by the time of day that stands
    beside it in ``header``, and is enough by itself only if ``day_will_do``.

    Raises:
        NoTime: it is none.
    """
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?", value):
        value = float(value)
    if isinstance(value, str):
        text, zoned = _iso(value, header, day_will_do=day_will_do)
        return _moment(text, "isot", "UTC" if zoned else scale)
    kind = next((kind for kind in ("mjd", "jd") if kind.upper() in keyword), None)
    if kind is None or isinstance(value, bool):
        raise NoTime("expected a date and time like 2026-03-01T04:05:06")
    return _moment(value, kind, scale)


def _iso(value: str, header: Header, *, day_will_do: bool) -> tuple[str, bool]:
    """ISO 8601 without zone, and whether a zone (which can only be UTC) was told."""
    match = _MOMENT.match(value)
    if match:
        return f"{match[1]}T{match[2]}", match[3] is not None
    day = _day(value)
    if day is None:
        raise NoTime("expected a date and time like 2026-03-01T04:05:06")
    beside = (str(said(header, name)) for name in _TIMES_OF_DAY)
    time = next((text for text in beside if _TIME.match(text)), None)
    if time is not None:
        return f"{day}T{time.zfill(8) if '.' not in time else time}", False
    if day_will_do:
        return f"{day}T00:00:00", False
    raise NoTime(f"is a date without a time of day, and there is none in {', '.join(_TIMES_OF_DAY[:4])} either")


def _day(value: str) -> str | None:
    if _DATE.match(value):
        return value
    old = _OLD_DATE.match(value)
    return f"19{old[3]}-{old[2]}-{old[1]}" if old else None


def _moment(value: str | float, format: str, scale: str) -> Time:
    try:
        with _quiet():
            time = Time(value, format=format, scale=_SCALES[scale])
            if scale == GPS:
                time += TimeDelta(_GPS_BEHIND, format="sec")
            year = int(time.tai.isot[:4])
    except (ValueError, iers.IERSRangeError) as error:
        raise NoTime(f"'{value}' is no date and time of the calendar") from error
    if not 1800 <= year <= 2200:
        raise NoTime(f"'{value}' lies in the year {year}")
    return time


def told(time: Time, scale: Scale) -> str:
    """A time as items keep it: ISO 8601 without zone, in ``scale``, to the microsecond."""
    with _quiet():
        moved = getattr(time, scale.value.lower()).copy(format="isot")
        moved.precision = 6
        return str(moved.value)


def mjd_utc(text: str, scale: Scale) -> float:
    """Modified Julian Date in UTC of a time as items keep it."""
    with _quiet():
        return float(Time(text, format="isot", scale=scale.value.lower()).utc.mjd)


def later(text: str, scale: Scale, seconds: float) -> str:
    """The time ``seconds`` after one as items keep it."""
    with _quiet():
        time = Time(text, format="isot", scale=scale.value.lower())
        return told(time + TimeDelta(seconds, format="sec"), scale)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings of years for which leap seconds are not yet known: what the header says is what is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
