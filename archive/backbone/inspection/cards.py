"""The cards of a FITS header that say what follows it, and what may be wrong with them (FITS 4.0 sections 4.4.1, 7)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import cached_property

from archive.backbone.inspection.found import HduKind

BLOCK = 2880
CARD = 80

_WHOLE = re.compile(rb" *([+-]?\d{1,18}) *(?:/.*)?\Z", re.DOTALL)
_QUOTED = re.compile(rb" *'((?:[^']|'')*)' *(?:/.*)?\Z", re.DOTALL)
_LOGICAL = re.compile(rb" *([TF]) *(?:/.*)?\Z", re.DOTALL)
_BITPIX = (8, 16, 32, 64, -32, -64)
_MOST_AXES = 999
_LARGEST = 1 << 62

_TABLE_FORM = re.compile(r"(\d*)([LXBIJKAEDCMPQ])")
_TABLE_SIZES = {"L": 1, "B": 1, "I": 2, "J": 4, "K": 8, "A": 1, "E": 4, "D": 8, "C": 8, "M": 16, "P": 8, "Q": 16}

_STRUCTURAL = re.compile(
    rb"(?:SIMPLE|XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|GROUPS|TFIELDS|TFORM\d+|TBCOL\d+|THEAP|ZIMAGE|ZBITPIX|"
    rb"ZNAXIS\d*|EXTNAME|CHECKSUM|DATASUM)\Z"
)


class Cards:
    """The structural cards of a header, given as its bytes; values are looked at when asked for."""

    def __init__(self, raw: bytes) -> None:
        self._values: dict[str, bytes] = {}
        self._order: list[str] = []
        self._twice: list[str] = []
        for keyword, value in _structural(raw):
            if self._values.get(keyword, value) != value:
                self._twice.append(keyword)
            self._values.setdefault(keyword, value)
            self._order.append(keyword)

    # --- values -------------------------------------------------------------------------------------

    def whole(self, keyword: str, default: int = 0) -> int:
        """The whole number at ``keyword``, or ``default`` where there is none."""
        match = _WHOLE.match(self._values.get(keyword, b""))
        return int(match[1]) if match else default

    def text(self, keyword: str) -> str | None:
        """The text at ``keyword`` without trailing blanks."""
        match = _QUOTED.match(self._values.get(keyword, b""))
        return match[1].replace(b"''", b"'").decode("ascii").rstrip() if match else None

    def is_true(self, keyword: str) -> bool:
        match = _LOGICAL.match(self._values.get(keyword, b""))
        return match is not None and match[1] == b"T"

    def __contains__(self, keyword: str) -> bool:
        return keyword in self._values

    # --- what they mean -----------------------------------------------------------------------------

    @cached_property
    def axes(self) -> tuple[int, ...]:
        return tuple(self.whole(f"NAXIS{axis}") for axis in range(1, self.whole("NAXIS") + 1))

    @cached_property
    def kind(self) -> HduKind:
        extension = self.text("XTENSION")
        match extension:
            case None if self.is_true("GROUPS") and self.axes[:1] == (0,):
                return HduKind.GROUPS
            case None | "IMAGE" | "IUEIMAGE":
                return HduKind.IMAGE
            case "BINTABLE" | "A3DTABLE":
                return HduKind.COMPRESSED if self.is_true("ZIMAGE") else HduKind.TABLE
            case "TABLE":
                return HduKind.ASCII
            case _:
                return HduKind.OTHER

    @property
    def shape(self) -> tuple[int, ...]:
        """The axes, NAXIS1 first; of a compressed image those of the image."""
        if self.kind is not HduKind.COMPRESSED:
            return self.axes
        return tuple(self.whole(f"ZNAXIS{axis}") for axis in range(1, min(self.whole("ZNAXIS"), _MOST_AXES) + 1))

    @cached_property
    def size(self) -> int:
        """Bytes of data without padding (FITS 4.0 equations 1, 2 and 4)."""
        if not self.axes:
            return 0
        elements = math.prod(self.axes[1:] if self.kind is HduKind.GROUPS else self.axes)
        return abs(self.whole("BITPIX")) // 8 * self.whole("GCOUNT", 1) * (self.whole("PCOUNT") + elements)

    @property
    def declared(self) -> str:
        """The cards from which the size follows, for messages."""
        axes = " x ".join(map(str, self.axes)) or "no axes"
        more = f", PCOUNT {self.whole('PCOUNT')}" if self.whole("PCOUNT") else ""
        return f"BITPIX {self.whole('BITPIX')} and {axes}{more}"

    # --- what is wrong ------------------------------------------------------------------------------

    def trouble(self) -> str | None:
        """The first thing that is wrong with the structure, or None."""
        return self._values_trouble() or self._order_trouble() or self._size_trouble() or self._table_trouble()

    def _values_trouble(self) -> str | None:
        if self._twice:
            return f"{self._twice[0]} is given twice, with different values."
        if "SIMPLE" in self and not self.is_true("SIMPLE"):
            return "SIMPLE is not T: the file says itself that it does not follow FITS."
        if "XTENSION" in self and self.text("XTENSION") is None:
            return "XTENSION is not text."
        if self.whole("BITPIX") not in _BITPIX:
            return f"BITPIX must be one of {', '.join(map(str, _BITPIX))}, not {self._shown('BITPIX')}."
        if not 0 <= self.whole("NAXIS", -1) <= _MOST_AXES:
            return f"NAXIS must be a number of axes from 0 to {_MOST_AXES}, not {self._shown('NAXIS')}."
        for keyword in (*self._axis_keywords, "PCOUNT", "GCOUNT"):
            needed = keyword.startswith("NAXIS") or "XTENSION" in self
            if (needed or keyword in self) and self.whole(keyword, -1) < 0:
                return f"{keyword} must be a number, 0 or more, not {self._shown(keyword)}."
        return None

    @property
    def _axis_keywords(self) -> tuple[str, ...]:
        return tuple(f"NAXIS{axis}" for axis in range(1, self.whole("NAXIS") + 1))

    def _shown(self, keyword: str) -> str:
        if keyword not in self:
            return "missing"
        return f"'{self._values[keyword].partition(b'/')[0].decode('ascii', 'replace').strip()[:40]}'"

    def _order_trouble(self) -> str | None:
        wanted = ["XTENSION" if "XTENSION" in self else "SIMPLE", "BITPIX", "NAXIS", *self._axis_keywords]
        for place, (keyword, found) in enumerate(zip(wanted, self._order, strict=False), start=1):
            if keyword != found:
                return f"card {place} of those that tell the structure must be {keyword}, not {found}."
        return None

    def _size_trouble(self) -> str | None:
        if self.size > _LARGEST:
            return f"{self.declared} make more bytes than any file has."
        return None

    def _table_trouble(self) -> str | None:
        if self.kind not in (HduKind.TABLE, HduKind.COMPRESSED):
            return None
        if self.whole("BITPIX") != 8 or len(self.axes) != 2:
            return f"a table has BITPIX 8 and two axes, not {self.declared}."
        width = 0
        for field in range(1, self.whole("TFIELDS", -1) + 1):
            match = _TABLE_FORM.match(self.text(f"TFORM{field}") or "")
            if match is None:
                return f"TFORM{field} must be the form of a column, not {self._shown(f'TFORM{field}')}."
            repeat = int(match[1]) if match[1] else 1
            width += (repeat + 7) // 8 if match[2] == "X" else repeat * _TABLE_SIZES[match[2]]
        if not 0 <= self.whole("TFIELDS", -1) <= _MOST_AXES:
            return f"TFIELDS must be a number of columns from 0 to {_MOST_AXES}, not {self._shown('TFIELDS')}."
        if width != self.axes[0]:
            return f"NAXIS1 is {self.axes[0]}, but the columns by TFORM are {width} bytes wide."
        return None


def _structural(raw: bytes) -> Iterator[tuple[str, bytes]]:
    for start in range(0, len(raw), CARD):
        if raw[start + 8 : start + 10] == b"= ":
            keyword = raw[start : start + 8].rstrip()
            if _STRUCTURAL.match(keyword):
                yield keyword.decode("ascii"), raw[start + 10 : start + CARD]
