"""One value as an item takes it: form, unit, time scale, words of a list."""

from __future__ import annotations

import json
import math
import re

from astropy.io.fits import Header

from archive import vocabularies
from archive.backbone.examination import times
from archive.backbone.examination.facts import Value
from archive.backbone.examination.headers import CardValue, Told
from archive.documents import near
from archive.products import Form, Item, Scale


class Unfit(ValueError):
    """A value does not fit an item; the message tells what is expected."""


_NOTHING = Header()
_DAYS_DO = ("created_at", "valid_from", "valid_to")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?")
_SEXAGESIMAL = re.compile(r"([+-]?)(\d{1,3})[: ](\d{1,2})[: ](\d{1,2}(?:\.\d*)?)")


def value_of(
    item: Item, value: CardValue, unit: str | None = None, told: Told | None = None, first: Header = _NOTHING
) -> Value:
    """``value`` as ``item`` keeps it; ``unit`` is its unit if that may be another one than the item's.

    ``told`` is the card that says it and ``first`` the first header of the file; a value that no card says is taken
    in the item's own time scale.

    Raises:
        Unfit: it does not fit.
    """
    match item.form:
        case Form.TEXT:
            return _word(item, _text(value)) if item.words else _text(value)
        case Form.INT | Form.LONG:
            return _whole(item, value)
        case Form.DOUBLE:
            return _double(item, value, unit)
        case Form.BOOLEAN:
            return _truth(value)
        case Form.TIME:
            return _time(item, value, told, first)
        case Form.RECORD:
            return _record(value)


def _text(value: CardValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _word(item: Item, text: str) -> str:
    for word, others in item.words.items():
        if text.lower() in (word, *(other.lower() for other in others)):
            return word
    raise Unfit(f"expected one of {', '.join(item.words)}. {near(text, item.words)}".rstrip(". "))


def _whole(item: Item, value: CardValue) -> int:
    number = _as_number(value)
    most = 2**31 if item.form is Form.INT else 2**63
    if number is None or not number.is_integer() or not -most <= number < most:
        raise Unfit("expected a whole number")
    return int(str(value)) if re.fullmatch(r"[+-]?\d+", str(value).strip()) else int(number)


def _double(item: Item, value: CardValue, unit: str | None) -> float:
    number = _as_number(value)
    if number is None and item.unit == "deg" and isinstance(value, str):
        number = _degrees(value)
    expected = f"expected a number in {item.unit}" if item.unit else "expected a number"
    if number is None or not math.isfinite(number):
        raise Unfit(expected)
    converted = vocabularies.converted(number, unit, item.unit)
    if converted is None:
        raise Unfit(f"{expected}, not in {unit}")
    return converted


def _as_number(value: CardValue) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value.strip())
        return float(value.strip().replace("D", "e").replace("d", "e")) if match else None
    try:
        return float(value)
    except OverflowError:
        return None


def _degrees(text: str) -> float | None:
    """Degrees, minutes and seconds."""
    match = _SEXAGESIMAL.fullmatch(text.strip())
    if match is None:
        return None
    size = int(match[2]) + int(match[3]) / 60 + float(match[4]) / 3600
    return -size if match[1] == "-" else size


def _truth(value: CardValue) -> bool:
    words = {"true": True, "t": True, "yes": True, "1": True, "false": False, "f": False, "no": False, "0": False}
    try:
        return words[str(value).strip().lower()]
    except KeyError:
        raise Unfit("expected true or false") from None


def _time(item: Item, value: CardValue, told: Told | None, first: Header) -> str:
    scale = item.scale or Scale.TAI
    try:
        if told is None:
            moment = times.read_time(value, "", scale.value, _NOTHING, day_will_do=item.name in _DAYS_DO)
        else:
            header = told.hdu.header
            source = "UTC" if told.keyword == "DATE" else times.scale_of(header, first)
            moment = times.read_time(value, told.keyword, source, header, day_will_do=item.name in _DAYS_DO)
        return times.told(moment, scale)
    except times.NoTime as error:
        raise Unfit(str(error)) from None


def _record(value: CardValue) -> Value:
    try:
        found = json.loads(str(value))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unfit('expected a JSON object such as {"temperature": 173.1}')
    return found
