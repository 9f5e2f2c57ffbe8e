"""Where a file's images are on the sky: centres and pointings in any frame, to ICRS degrees."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import (
    FK4,
    FK5,
    ICRS,
    Angle,
    BarycentricMeanEcliptic,
    BaseCoordinateFrame,
    SkyCoord,
    Supergalactic,
)
from astropy.io.fits import Header
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame
from numpy.typing import ArrayLike

from archive.backbone.inspection import Hdu, said

_MOST_AXES = 9
_HIGHEST_ORDER = 9  # of a SIP polynomial: its keywords have one digit for each power


@dataclass(frozen=True, slots=True)
class Position:
    """A place on the sky, ICRS degrees, and where it was found."""

    ra: float
    dec: float
    source: str


def celestial(header: Header) -> WCS | None:
    """The celestial axes that a header tells, or None where it tells none that can be read."""
    if "CTYPE1" not in header or not is_sane(header):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            whole = WCS(header)
            wcs = whole if whole.naxis == 2 else whole.celestial
        except Exception:  # wcslib's and astropy's complaints have no common class; what cannot be read is no WCS
            return None
    if wcs.naxis != 2 or not wcs.has_celestial:
        return None
    return wcs


def is_sane(header: Header) -> bool:
    """Whether the numbers that make wcslib and astropy reserve memory are such as occur, and the matrix is one.

    A matrix with a row of zeros would silently be given a one.
    """
    orders = (said(header, f"{kind}_ORDER") for kind in ("A", "B", "AP", "BP"))
    axes = (said(header, name) for name in ("WCSAXES", "NAXIS", "ZNAXIS"))
    rows = ([said(header, f"CD{row}_{column}") for column in (1, 2)] for row in (1, 2))
    return (
        all(_is_from_0_to(order, _HIGHEST_ORDER) for order in orders)
        and all(_is_from_0_to(number, _MOST_AXES) for number in axes)
        and not any(None not in row and not any(row) for row in rows)
    )


def _is_from_0_to(number: object, most: int) -> bool:
    return number is None or (isinstance(number, int) and 0 <= number <= most)


def to_icrs(wcs: WCS, x: ArrayLike, y: ArrayLike) -> SkyCoord | None:
    """Positions of pixels (1 is the centre of the first), ICRS; NaN for those that are not on the sky.

    None if the frame of the WCS is not known.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            lon, lat = wcs.all_pix2world(np.asarray(x, float), np.asarray(y, float), 1)
            if wcs.wcs.lng > wcs.wcs.lat:
                lon, lat = lat, lon
            return SkyCoord(lon * u.deg, lat * u.deg, frame=_wcs_frame(wcs)).icrs
        except Exception:  # as above
            return None


def _wcs_frame(wcs: WCS) -> BaseCoordinateFrame:
    """The frame of a WCS: equatorial, galactic, and the two that astropy does not take from a header."""
    kind = wcs.wcs.lngtyp.strip()
    if kind == "ELON":
        return BarycentricMeanEcliptic(equinox=f"J{wcs.wcs.equinox if math.isfinite(wcs.wcs.equinox) else 2000.0}")
    return Supergalactic() if kind == "SLON" else wcs_to_celestial_frame(wcs)


def centre(hdus: Sequence[Hdu]) -> Position | None:
    """The middle of all images of a file by their WCS."""
    points, sources = [], []
    for hdu in hdus:
        wcs = celestial(hdu.header) if hdu.is_image and len(hdu.shape) >= 2 else None
        middle = to_icrs(wcs, [(hdu.shape[0] + 1) / 2], [(hdu.shape[1] + 1) / 2]) if wcs is not None else None
        if middle is not None and np.isfinite(middle.ra.deg).all():
            points.append(middle.cartesian.xyz.value[:, 0])
            sources.append(str(hdu))
    if not points:
        return None
    x, y, z = np.mean(points, axis=0)
    ra, dec = math.degrees(math.atan2(y, x)) % 360.0, math.degrees(math.atan2(z, math.hypot(x, y)))
    return Position(ra, dec, f"WCS of {sources[0]}" + (f" and {len(sources) - 1} more" if len(sources) > 1 else ""))


class NoPosition(ValueError):
    """Values are no position; the message tells what is expected."""


_SEXAGESIMAL = re.compile(r"[+-]?\d{1,3}[ :hd]\d{1,2}[ :m]\d{1,2}(\.\d*)?s?\Z")


def pointing(ra: str | float, dec: str | float, ra_unit: str | None, header: Header) -> tuple[float, float]:
    """ICRS degrees of a right ascension and declination told by two cards.

    Text is in hours and degrees if it is sexagesimal; numbers are degrees unless ``ra_unit`` says hours. The frame is
    that of RADESYS and EQUINOX (FITS 4.0 section 8.3): without both ICRS, without RADESYS FK4 before 1984 and FK5
    after.

    Raises:
        NoPosition: they are none.
    """
    sexagesimal = isinstance(ra, str) and _SEXAGESIMAL.match(ra.strip())
    hours = sexagesimal or (ra_unit or "").lower() in ("h", "hour", "hours", "hr")
    try:
        lon = Angle(ra, u.hourangle if hours else u.deg).deg
        lat = Angle(dec, u.deg).deg
        if not (-360 <= lon <= 360 and -90 <= lat <= 90):
            raise NoPosition("expected a right ascension of 0 to 360 and a declination of -90 to 90 degrees")
        place = SkyCoord(lon * u.deg, lat * u.deg, frame=_frame(header)).icrs
    except NoPosition:
        raise
    except (ValueError, TypeError, u.UnitsError) as error:
        raise NoPosition("expected degrees, or hours and degrees as in 17:45:40.0") from error
    return float(place.ra.deg), float(place.dec.deg)


def tells_frame(header: Header) -> bool:
    """Whether a header says in which frame its positions are."""
    return any(keyword in header for keyword in ("RADESYS", "RADECSYS", "EQUINOX", "EPOCH"))


def _frame(header: Header) -> ICRS | FK4 | FK5:
    system = str(said(header, "RADESYS") or said(header, "RADECSYS") or "").strip().upper()
    equinox = _equinox(said(header, "EQUINOX" if "EQUINOX" in header else "EPOCH"))
    if not system:
        system = "ICRS" if equinox is None else "FK4" if equinox < 1984.0 else "FK5"
    match system:
        case "FK4" | "FK4-NO-E":
            return FK4(equinox=f"B{equinox or 1950.0}")
        case "FK5":
            return FK5(equinox=f"J{equinox or 2000.0}")
        case "ICRS" | "GAPPT":
            return ICRS()
        case _:
            raise NoPosition(f"the frame RADESYS '{system}' is not known")


def _equinox(told: object) -> float | None:
    try:
        return float(str(told).strip().lstrip("JBjb")) if told not in (None, "") else None
    except ValueError:
        raise NoPosition(f"the EQUINOX '{told}' is no year") from None
