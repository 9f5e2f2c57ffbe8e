"""``skim``: the headers of a FITS file where it lies, its data passed over unread."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from astropy.io.fits import Header

from archive.backbone.inspection.cards import BLOCK, CARD, Cards
from archive.backbone.inspection.found import Hdu
from archive.faults import UsageFault

_PIECE = 16 * BLOCK  # bytes read at once: most headers are shorter
_MOST = 32 << 20  # bytes of all headers of a file

Read = Callable[[int, int], bytes]
"""Gives the bytes of a file from one place up to another, fewer where it ends before."""


def skim(name: str, size: int, read: Read) -> tuple[Hdu, ...]:
    """The HDUs of a FITS file of ``size`` bytes, without data; what was inspected once is not checked again.

    Raises:
        UsageFault: it is no FITS file, or is not whole.
    """
    hdus: list[Hdu] = []
    start = headers = 0
    while start < size:
        raw = _header(read, start, _MOST - headers)
        if raw is None:
            raise UsageFault(f"{name}, HDU {len(hdus)}: there is no header at byte {start:,}.", "Look at it again.")
        headers += len(raw)
        cards = Cards(raw)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # astropy's remarks on keywords that nobody asks for
            header = Header.fromstring(raw)
        data = start + len(raw)
        hdus.append(Hdu(len(hdus), cards.kind, header, cards.shape, start, data, cards.size))
        start = data + -(-cards.size // BLOCK) * BLOCK
    return tuple(hdus)


def _header(read: Read, start: int, most: int) -> bytes | None:
    """The header that begins at ``start``, whole blocks of it; None where none does."""
    found = b""
    while len(found) < most:
        more = read(start + len(found), start + len(found) + _PIECE)
        more = more[: len(more) // BLOCK * BLOCK]
        if not more or not (found or more).startswith((b"SIMPLE  =", b"XTENSION=")):
            return None
        for block in range(len(found), len(found) + len(more), BLOCK):
            cards = more[block - len(found) : block - len(found) + BLOCK]
            if any(cards[at : at + CARD].rstrip() == b"END" for at in range(0, BLOCK, CARD)):
                return found + more[: block - len(found) + BLOCK]
        found += more
    return None
