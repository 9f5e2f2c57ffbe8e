"""Where in the headers of a file an item is told, and what its card says there."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from astropy.io.fits import Card, Header
from astropy.io.fits.card import Undefined
from astropy.io.fits.verify import VerifyError

from archive.backbone.inspection import Hdu
from archive.ledger.events import Json
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
    """What one card says, and in which unit by its comment; where ``value`` is None, ``silence`` tells why."""

    keyword: str
    value: CardValue | None
    unit: str | None
    hdu: Hdu
    silence: str = "is blank"

    @property
    def source(self) -> str:
        return f"{self.hdu} {self.keyword}"


class Headers:
    """The headers of a file, the first one being the one that speaks for all."""

    def __init__(self, hdus: Sequence[Hdu]) -> None:
        self._where: dict[str, list[Hdu]] = {}
        with _quiet():
            for hdu in hdus:
                for name in dict.fromkeys(hdu.header):
                    self._where.setdefault(name, []).append(hdu)

    def find(self, keywords: Sequence[Keyword]) -> Iterator[Told]:
        """What the cards of these keywords say, best first.

        A keyword that extensions tell differently, and the first header does not tell, says nothing of the file.

        Raises:
            Misread: a keyword stands twice in a header and says different things, or the card cannot be read.
        """
        for name in self._names(keywords):
            told = [self._told(hdu, name) for hdu in self._where[name]]
            values = {each.value for each in told if each.value is not None}
            speaks = told[0].hdu.number == 0 and told[0].value is not None
            if speaks or len(values) <= 1:
                yield next((each for each in told if each.value is not None), told[0])
            else:
                yield replace(told[0], value=None, silence="differs between HDUs")

    def record(self, keywords: Sequence[Keyword]) -> tuple[dict[str, Json], list[str]]:
        """All that the cards of these keywords say, by keyword, and in which HDUs; by HDU where these differ.

        Raises:
            Misread: as above.
        """
        found: dict[str, Json] = {}
        sources: dict[str, None] = {}
        for name in self._names(keywords):
            told = [self._told(hdu, name) for hdu in self._where[name]]
            said = {str(each.hdu): each.value for each in told if each.value is not None}
            sources |= dict.fromkeys(said)
            if said:
                first = next(iter(said.values()))
                found[name] = first if all(value == first for value in said.values()) else said
        return found, list(sources)

    def _names(self, keywords: Sequence[Keyword]) -> list[str]:
        """The keywords as they stand in the headers, each once."""
        names: dict[str, None] = {}
        for keyword in keywords:
            if keyword.is_pattern:
                names |= dict.fromkeys(name for name in self._where if keyword.matches(name))
            elif keyword.name in self._where:
                names[keyword.name] = None
        return list(names)

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
        with _quiet():
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


@contextmanager
def _quiet() -> Iterator[None]:
    """Without astropy's remarks on cards that nobody asks for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
