"""Tar files as they pass by (POSIX.1-2001, pax and ustar): members and the sums of their headers."""

from __future__ import annotations

from typing import NoReturn

from archive.backbone.inspection.found import Contents, Format, Scanner
from archive.faults import UsageFault

_BLOCK = 512
_NAMELESS = b"xgLK"  # type flags of headers that belong to the next member


class TarScanner(Scanner):
    """Counts members; every header must fit its own sum, and two empty blocks end the file."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._block = bytearray()
        self._skip = 0
        self._members = 0
        self._empty = 0  # empty blocks seen in a row

    def feed(self, data: memoryview) -> None:
        while len(data):
            if self._skip:
                taken = min(self._skip, len(data))
                self._skip -= taken
            else:
                taken = min(_BLOCK - len(self._block), len(data))
                self._block += data[:taken]
                if len(self._block) == _BLOCK:
                    self._take(bytes(self._block))
                    self._block.clear()
            data = data[taken:]

    def _take(self, block: bytes) -> None:
        if not block.strip(b"\0"):
            self._empty += 1
            return
        if self._empty >= 2:
            return  # what follows the end is no part of it
        self._empty = 0
        declared = _octal(block[148:156])
        summed = sum(block) - sum(block[148:156]) + 8 * ord(" ")
        if declared != summed:
            self._wrong(f"the header of member {self._members + 1} does not fit its own sum.")
        size = _size(block[124:136])
        if size is None:
            self._wrong(f"the size of member {self._members + 1} is not a number.")
        self._skip = -(-size // _BLOCK) * _BLOCK
        self._members += block[156] not in _NAMELESS

    def finish(self) -> Contents:
        if self._skip or self._block or self._empty < 2:
            self._wrong(f"the file ends within or after member {self._members}, before its end is marked.")
        return Contents(format=Format.TAR, rows=self._members)

    def _wrong(self, message: str) -> NoReturn:
        raise UsageFault(f"{self._name}: {message}", "Send it again.")


def _octal(field: bytes) -> int | None:
    digits = field.strip(b" \0")
    try:
        return int(digits, 8) if digits else 0
    except ValueError:
        return None


def _size(field: bytes) -> int | None:
    """A size in octal digits, or in binary where these do not suffice."""
    if field[0] & 0x80:
        return int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")
    size = _octal(field)
    return size if size is not None and size >= 0 else None
