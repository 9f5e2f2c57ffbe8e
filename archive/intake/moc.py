"""Multi-order coverage maps in FITS (MOC 2.0 section 4.3.3; space only) to ranges of HEALPix cells.

The text forms are read by ``archive.adql.moc``, since they stand in queries too.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from astropy.io import fits

from archive.faults import UsageFault
from archive.intake.delivered import Measure

Ranges = tuple[tuple[int, int], ...]

_ORDER = 29
_ORDERINGS = ("NUNIQ", "RANGE", "RANGE29")


def read_moc(content: bytes, name: str, measure: Measure) -> Ranges | None:
    """The half-open, sorted, disjoint ranges of nested cells at order 29; None if the FITS file holds no MOC.

    Raises:
        UsageFault: it is no map of the sky, not in equatorial coordinates, damaged, or too large (413).
    """
    try:
        with fits.open(io.BytesIO(content), memmap=False, lazy_load_hdus=True) as file:
            table: Any = next((hdu for hdu in file if isinstance(hdu, fits.BinTableHDU)), None)
            if table is None or str(table.header.get("ORDERING", "")).upper() not in _ORDERINGS:
                return None
            _check(table.header, name)
            values = np.asarray(table.data.field(0), np.int64).ravel()
            ordering = str(table.header["ORDERING"]).upper()
    except UsageFault:
        raise
    except Exception as error:
        raise UsageFault(f"{name} is not a readable FITS file.", "It may be truncated; send it again.") from error
    spans = _cells(values, name) if ordering == "NUNIQ" else _pairs(values, name)
    ranges = _united(*spans)
    measure.check_rows(len(ranges), name)
    return ranges


def text_of(ranges: Ranges) -> str:
    """The map as text (MOC 2.0 section 4.3.2), at the lowest order that tells it exactly."""
    ends = np.array(ranges, np.int64).ravel()
    order = next((o for o in range(_ORDER) if not np.any(ends & ((1 << 2 * (_ORDER - o)) - 1))), _ORDER)
    shift = 2 * (_ORDER - order)
    cells = ((low >> shift, (high >> shift) - 1) for low, high in ranges)
    return f"{order}/" + " ".join(str(low) if low == high else f"{low}-{high}" for low, high in cells)


def _check(header: Any, name: str) -> None:
    if str(header.get("MOCDIM", "SPACE")).strip().upper() != "SPACE" or "TIMESYS" in header:
        raise UsageFault(f"{name} is a MOC, but not of the sky alone.", "Send its space part.")
    if str(header.get("COORDSYS", "C")).strip().upper() not in ("C", "ICRS"):
        raise UsageFault(f"{name} is a MOC that is not in equatorial coordinates (ICRS).", "Transform it.")


def _cells(uniq: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Cells numbered ``4**(order + 1) + cell``."""
    if np.any(uniq < 4) or np.any(uniq >= 16 << 2 * _ORDER):
        raise UsageFault(f"{name} has numbers that are no HEALPix cells.")
    order = np.searchsorted(4 ** np.arange(1, _ORDER + 2, dtype=np.int64), uniq, side="right") - 1
    shift = 2 * (_ORDER - order)
    cell = uniq - (np.int64(4) << (2 * order))
    return cell << shift, (cell + 1) << shift


def _pairs(ends: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    low, high = ends[::2], ends[1::2]
    if len(low) != len(high) or np.any(low < 0) or np.any(high > 12 << 2 * _ORDER) or np.any(low >= high):
        raise UsageFault(f"{name} has ranges that are none of HEALPix cells.")
    return low, high


def _united(low: np.ndarray, high: np.ndarray) -> Ranges:
    order = np.argsort(low)
    low, reach = low[order], np.maximum.accumulate(high[order]) if len(high) else high
    first = np.concatenate(([True], low[1:] > reach[:-1])) if len(low) else np.zeros(0, bool)
    last = np.append(first[1:], True) if len(low) else first
    return tuple(zip(low[first].tolist(), reach[last].tolist(), strict=True))
