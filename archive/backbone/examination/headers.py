"""Where in the headers of a file an item is told, and what its card says there."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from astropy.io.fits import Card, Header
from astropy.io.fits.card import Undefined
from astropy.io.fits.verify import VerifyError

from archive.backbone.inspection import Hdu
from archive.products import Keyword

CardValue = str | int | float | bool

_BLANK = frozenset(
    ("", "n/a", "na", "nan", "none", "null", "unknown", "undefined", "undef", "indef", "-", "--", "not available")
)
_UNIT = re.compile(r"\s*\[([^\]]{1,24})\]")


class Misread(Exception):
    """What a card says cannot be taken; the message tells why, ``source`` where."""

    def __init__(self, source: str, message: str) -> None:
        super().__init__(message)
        self.source = source
        self.message = message


@dataclass(frozen=True, slots=True)
class Told:
    """What one card says: ``value`` is None where it is there and blank; ``unit`` as its comment tells it."""

    keyword: str
    value: CardValue | None
    unit: str | None
    hdu: Hdu

    @property
    def source(self) -> str:
        return f"{self.hdu} {self.keyword}"


class Headers:
    """The headers of a file, the first one being the one that speaks for all."""

    def __init__(self, hdus: Sequence[Hdu]) -> None:
        self._hdus = tuple(hdus)

    def find(self, keywords: Sequence[Keyword]) -> Iterator[Told]:
        """What the cards of these keywords say, best first: by keyword, then by HDU.

        Raises:
            Misread: a keyword stands twice in a header and says different things, or the card cannot be read.
        """
        for keyword in keywords:
            for hdu in self._hdus:
                if keyword.is_pattern:
                    names = [name for name in hdu.header if keyword.matches(name)]
                else:
                    names = [keyword.name] if keyword.name in hdu.header else []
                yield from (self._told(hdu, name) for name in dict.fromkeys(names))

    def _told(self, hdu: Hdu, name: str) -> Told:
        cards = _cards(hdu.header, name)
        source = f"{hdu} {name}"
        values = [_value(card, source) for card in cards]
        if any(value != values[0] for value in values):
            said = ", ".join(str(value) for value in values[:3])
            raise Misread(source, f"is given {len(values)} times, with different values: {said}")
        match = _UNIT.match(_comment(cards[0]))
        return Told(name, values[0], match[1].strip() if match else None, hdu)


def _cards(header: Header, name: str) -> list[Card]:
    return [header.cards[name, turn] for turn in range(header.count(name))]


def _value(card: Card, source: str) -> CardValue | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = card.value
    except (VerifyError, ValueError) as error:
        raise Misread(source, "is a card that cannot be read") from error
    if value is None or isinstance(value, Undefined):
        return None
    if isinstance(value, str):
        return None if value.strip().lower() in _BLANK else value.strip()
    if isinstance(value, bool | int | float):
        return value
    raise Misread(source, f"has the value {value!r}, which is no text, number or truth value")


def _comment(card: Card) -> str:
    try:
        return str(card.comment)
    except (VerifyError, ValueError):
        return ""
