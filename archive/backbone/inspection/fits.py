"""FITS as it passes by: structure, CHECKSUM and DATASUM (FITS 4.0 sections 3 and 4.4.2.7, appendix J)."""

from __future__ import annotations

import re
import warnings
from typing import NoReturn

import numpy as np
from astropy.io.fits import Header

from archive.backbone.inspection.cards import BLOCK, CARD, Cards
from archive.backbone.inspection.found import Contents, Format, Hdu, HduKind, Scanner
from archive.faults import UsageFault

_MOST_HEADER = 8 << 20  # bytes of one header: 100 000 cards
_MOST_HEADERS = 32 << 20  # bytes of all headers of a file
_MOST_KEPT = 8 << 20  # bytes of data that are kept of a file
_KEPT = re.compile("KERNEL", re.IGNORECASE)  # of the EXTNAME

_TEXT = bytes(range(0x20, 0x7F))
_END = b"END".ljust(CARD)
_AGAIN = "Send it again; if it was written so, write it anew with a program that follows FITS."


class FitsScanner(Scanner):
    """Follows headers and data, block by block, and sums up what a checksum is declared for."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._hdus: list[Hdu] = []
        self._next = 0  # where the next header begins
        self._block = bytearray()  # of a header, not yet whole
        self._header = bytearray()  # blocks of a header, not yet ended
        self._headers = 0  # bytes of headers in all
        self._kept = 0  # bytes of data kept
        self._data: _Data | None = None  # being passed

    def feed(self, data: memoryview) -> None:
        while len(data):
            if self._data is not None:
                taken = self._data.take(data)
                self._close_if_done()
            else:
                taken = min(BLOCK - len(self._block), len(data))
                self._block += data[:taken]
                if len(self._block) == BLOCK:
                    block = bytes(self._block)
                    self._block.clear()
                    self._take_block(block)
            data = data[taken:]

    def finish(self) -> Contents:
        if self._data is not None:
            self._wrong(
                f"the file ends after {self._data.seen:,} of {self._data.padded:,} bytes of data (padding included) "
                f"that follow from {self._data.cards.declared}.",
                self._data.label,
            )
        if self._header or (self._block and not self._hdus):
            self._wrong("the file ends within a header: there is no END card.")
        if self._block:
            self._wrong(f"{len(self._block):,} bytes follow that are no HDU.", self._after())
        rows = [hdu.shape[1] for hdu in self._hdus if hdu.kind in (HduKind.TABLE, HduKind.ASCII)]
        return Contents(format=Format.FITS, hdus=tuple(self._hdus), rows=rows[0] if rows else None)

    # --- headers ------------------------------------------------------------------------------------

    def _take_block(self, block: bytes) -> None:
        if not self._header:
            self._check_begin(block)
        self._check_text(block)
        self._header += block
        self._headers += len(block)
        end = _end(block)
        if len(self._header) > _MOST_HEADER:
            self._wrong(f"there is no END card in {len(self._header):,} bytes of header.")
        if self._headers > _MOST_HEADERS:
            self._wrong(f"the headers up to here are larger than {_MOST_HEADERS:,} bytes.", remedy="Split the file.")
        if end is None:
            return
        if block[end + CARD :].strip(b" "):
            self._wrong("something else than blanks follows the END card.")
        raw = bytes(self._header)
        self._header.clear()
        self._open(raw)

    def _check_begin(self, block: bytes) -> None:
        if not self._hdus and not block.startswith(b"SIMPLE  ="):
            self._wrong("the first card is not SIMPLE.")
        if self._hdus and not block.startswith(b"XTENSION="):
            self._wrong(f"at byte {self._next:,} is neither an extension nor the end of the file.", self._after())

    def _check_text(self, block: bytes) -> None:
        if not block.translate(None, _TEXT):
            return
        at = next(at for at, byte in enumerate(block) if byte not in _TEXT)
        start = at - at % CARD
        keyword = block[start : start + 8].decode("ascii", "replace").strip()
        self._wrong(
            f"card {(len(self._header) + at) // CARD + 1} ({keyword}) holds the byte {block[at]:#04x}, which is not "
            "printable ASCII.",
            remedy="Write the header anew with ASCII text only.",
        )

    def _open(self, raw: bytes) -> None:
        """A header is whole: find out what data follow it."""
        cards = Cards(raw)
        name = cards.text("EXTNAME") or ("" if self._hdus else "PRIMARY")
        label = f"HDU {len(self._hdus)}" + (f" ({name})" if name else "")
        trouble = cards.trouble()
        if trouble:
            self._wrong(trouble, label)
        keep = bool(_KEPT.search(name)) and self._kept + cards.size <= _MOST_KEPT
        self._kept += cards.size if keep else 0
        self._data = _Data(cards, label, raw, keep=keep)
        self._close_if_done()

    def _close_if_done(self) -> None:
        """Once the data of an HDU are past: check their sums and note what the HDU is."""
        data = self._data
        if data is None or data.seen < data.padded:
            return
        trouble = data.trouble()
        if trouble:
            self._wrong(trouble, data.label)
        cards, start = data.cards, self._next
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # astropy's remarks on keywords that nobody asks for
            header = Header.fromstring(data.raw)
        data_start = start + len(data.raw)
        self._hdus.append(
            Hdu(len(self._hdus), cards.kind, header, cards.shape, start, data_start, cards.size, data.kept)
        )
        self._next = data_start + data.padded
        self._data = None

    # --- messages -----------------------------------------------------------------------------------

    def _after(self) -> str:
        last = self._hdus[-1]
        return f"after {last}, whose header makes its data {last.data_size:,} bytes"

    def _wrong(self, message: str, place: str | None = None, remedy: str = _AGAIN) -> NoReturn:
        raise UsageFault(f"{self._name}, {place or f'HDU {len(self._hdus)}'}: {message}", remedy)


def _end(block: bytes) -> int | None:
    """Where the END card stands in a block of a header."""
    return next((at for at in range(0, BLOCK, CARD) if block[at : at + CARD] == _END), None)


class _Data:
    """The data of one HDU passing by."""

    def __init__(self, cards: Cards, label: str, raw: bytes, *, keep: bool) -> None:
        self.cards = cards
        self.label = label
        self.raw = raw
        self.seen = 0
        self.padded = -(-cards.size // BLOCK) * BLOCK
        self._fill = b" " if cards.kind is HduKind.ASCII else b"\0"
        self._sum = _Sum() if "DATASUM" in cards or "CHECKSUM" in cards else None
        self._content = bytearray() if keep else None
        self._wrong_fill: int | None = None

    @property
    def kept(self) -> bytes | None:
        return bytes(self._content) if self._content is not None else None

    def take(self, view: memoryview) -> int:
        """Pass over as much of ``view`` as belongs to the data; returns its length."""
        taken = min(len(view), self.padded - self.seen)
        piece, inside = view[:taken], max(0, self.cards.size - self.seen)
        if self._sum is not None:
            self._sum.add(piece)
        if self._content is not None:
            self._content += piece[:inside]
        padding = bytes(piece[inside:])
        if self._wrong_fill is None and padding.strip(self._fill):
            wrong = len(padding) - len(padding.lstrip(self._fill))
            self._wrong_fill = self.seen + inside + wrong
        self.seen += taken
        return taken

    def trouble(self) -> str | None:
        """What a checksum or the padding shows to be wrong, or None."""
        data = self._sum.total if self._sum is not None else 0
        return self._datasum_trouble(data) or self._checksum_trouble(data) or self._padding_trouble()

    def _datasum_trouble(self, data: int) -> str | None:
        if "DATASUM" not in self.cards:
            return None
        told = self.cards.text("DATASUM")
        declared = str(self.cards.whole("DATASUM", -1)) if told is None else told.strip()
        if declared and not declared.isdigit():
            return f"DATASUM must be a number in quotes, not '{declared[:40]}'."
        if declared and int(declared) % _ONES != data % _ONES:
            return f"DATASUM is {declared}, the sum of the data is {data % _ONES}: bytes of the data have changed."
        return None

    def _checksum_trouble(self, data: int) -> str | None:
        if "CHECKSUM" not in self.cards:
            return None
        told = self.cards.text("CHECKSUM")
        if told is None:
            return "CHECKSUM must be a text in quotes."
        whole = _Sum()
        whole.add(memoryview(self.raw))
        if told.strip() and (whole.total + data) % _ONES:
            return "CHECKSUM does not fit: bytes of the header or the data have changed."
        return None

    def _padding_trouble(self) -> str | None:
        if self._wrong_fill is not None:
            return (
                f"byte {self._wrong_fill:,} of the data, behind the {self.cards.size:,} that follow from "
                f"{self.cards.declared}, should be padding and is not."
            )
        return None


_ONES = 0xFFFFFFFF
"""In ones' complement of 32 bits all ones are minus zero: sums are numbers modulo this one."""


class _Sum:
    """The 32-bit ones' complement sum of bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self.total = 0
        self._odd = b""  # bytes of a word that is not yet whole

    def add(self, piece: memoryview) -> None:
        if self._odd:
            needed = 4 - len(self._odd)
            self._odd += bytes(piece[:needed])
            piece = piece[needed:]
            if len(self._odd) < 4:
                return
            self.total += int.from_bytes(self._odd, "big")
        even = len(piece) & ~3
        self._odd = bytes(piece[even:])
        if even:
            self.total += int(np.frombuffer(piece[:even], ">u4").sum(dtype=np.uint64))
