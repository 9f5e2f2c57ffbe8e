"""Searching: what people ask for in words becomes criteria, and files or whole datasets are found by them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from archive.backbone.endpoint import Endpoint
from archive.documents import near
from archive.faults import UsageFault
from archive.ledger import datasets, finding, members
from archive.ledger.bulk import portions
from archive.ledger.datasets import Dataset, State
from archive.ledger.finding import OPERATORS, Area, Condition, Criteria, Hit
from archive.ledger.members import Missing
from archive.products import Form, Item, ProductTypes
from archive.sky import Circle, Interval, Polygon

_CONDITION = re.compile(r"\s*([a-z][a-z0-9_]*)\s*(<=|>=|=|<|>)\s*(.*?)\s*")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MJD_OF_1970 = 40587
_NUMBERS = (Form.INT, Form.LONG, Form.DOUBLE)
_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """Files in the order in which they were registered; ``more``: there are others."""

    hits: tuple[Hit, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class FoundDataset:
    """A dataset, and what of it is missing here; nothing if it is complete."""

    dataset: Dataset
    missing: tuple[Missing, ...]

    @property
    def complete(self) -> bool:
        return not self.missing


@dataclass(frozen=True, slots=True)
class FoundDatasets:
    """Datasets in the order in which they were begun; ``more``: there are others."""

    datasets: tuple[FoundDataset, ...]
    more: bool


def find(endpoint: Endpoint, criteria: Criteria, most: int | None = None) -> FoundFiles:
    """The files that fulfil ``criteria``, at most so many."""
    with endpoint.ledger.read() as transaction:
        stop = None if most is None else most + 1
        hits = tuple(finding.find(transaction, criteria, stop))
    return FoundFiles(hits[:most], most is not None and len(hits) > most)


def count(endpoint: Endpoint, criteria: Criteria) -> int:
    """How many files fulfil ``criteria``."""
    with endpoint.ledger.read() as transaction:
        return finding.count(transaction, criteria)


def find_datasets(endpoint: Endpoint, criteria: Criteria, most: int | None = None) -> FoundDatasets:
    """The found datasets that hold a file which fulfils ``criteria``, at most so many; if ``criteria.public``, only
    those that are complete here and all of whose files the public may see.
    """
    with endpoint.ledger.read() as transaction:
        holding = {
            number
            for files in portions(list(finding.numbers(transaction, criteria)))
            for sets in members.holders(transaction, files).values()
            for number in sets
        }
        found: list[FoundDataset] = []
        for some in portions(sorted(holding)):
            known = [each for each in datasets.by_number(transaction, some) if each.state is State.FOUND]
            if criteria.public:
                hidden = members.proprietary(transaction, [each.id for each in known])
                known = [each for each in known if each.id not in hidden]
            lacks = datasets.missing(transaction, known)
            sets = (FoundDataset(each, lacks[each.uri]) for each in known)
            found += (each for each in sets if each.complete or not criteria.public)
            if most is not None and len(found) > most:
                break
    return FoundDatasets(tuple(found[:most]), most is not None and len(found) > most)


# --- words ------------------------------------------------------------------------------------------


def condition(text: str, types: ProductTypes, wanted: Sequence[str] = ()) -> Condition:
    """``ITEM=VALUE``, or another comparison, on an item of metadata of the ``wanted`` types, or of any.

    Raises:
        UsageFault: it is none, there is no such item, or the value does not fit it.
    """
    match = _CONDITION.fullmatch(text)
    if match is None or not match[3]:
        remedy = f"Write ITEM and VALUE with one of {' '.join(OPERATORS)} between."
        raise UsageFault(f"'{text}' is no condition.", remedy)
    items: dict[str, Item] = {}
    for name in wanted or types:
        items |= types.named(name).by_name
    item = items.get(match[1])
    if item is None:
        raise UsageFault(f"No product type has an item '{match[1]}'.", near(match[1], items) or "See docs/products.md.")
    return Condition(item.name, match[2], _value(item, match[3]))


def _value(item: Item, text: str) -> str | float | bool:
    if item.form is Form.BOOLEAN:
        if text.lower() not in _BOOLEANS:
            raise UsageFault(f"'{item.name}' is true or false, not '{text}'.")
        return _BOOLEANS[text.lower()]
    if item.form in _NUMBERS:
        try:
            return float(text)
        except ValueError:
            raise UsageFault(f"'{item.name}' is a number, not '{text}'.") from None
    return text


def moment(text: str) -> float:
    """A time in UTC as MJD: a number that is one, or a date or time in ISO 8601.

    Raises:
        UsageFault: it is none.
    """
    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        remedy = "Write 2028-01-31, 2028-01-31T12:00:00 (UTC), or an MJD."
        raise UsageFault(f"'{text}' is no time.", remedy) from None
    return _mjd(found if found.tzinfo else found.replace(tzinfo=UTC))


def span(text: str) -> Interval:
    """``FROM..TO``, either end left out if it is open; a day alone is that day, a time alone that moment.

    Raises:
        UsageFault: it is none.
    """
    first, dots, last = text.strip().partition("..")
    if not dots:
        low = moment(first)
        return Interval(low, low + 1 if _DAY.fullmatch(first) else low)
    low = moment(first) if first.strip() else Interval().low
    high = moment(last) if last.strip() else Interval().high
    if low > high:
        raise UsageFault(f"'{text}' ends before it begins.", "Write FROM..TO.")
    return Interval(low, high)


def area(cone: str | None, polygon: str | None) -> Area | None:
    """``RA,DEC,RADIUS`` or the vertices ``RA,DEC,RA,DEC,...`` of a polygon, in degrees, ICRS.

    Raises:
        UsageFault: both are given, or one is none.
    """
    if cone is not None and polygon is not None:
        raise UsageFault("A cone and a polygon are given.", "Give one of them.")
    if cone is not None:
        numbers = _numbers(cone)
        if len(numbers) != 3 or not 0 < numbers[2] <= 180:
            raise UsageFault(f"'{cone}' is no cone.", "Write RA,DEC,RADIUS in degrees.")
        _check_positions(cone, [(numbers[0], numbers[1])])
        return Circle(*numbers)
    if polygon is not None:
        numbers = _numbers(polygon)
        if len(numbers) < 6 or len(numbers) % 2:
            raise UsageFault(f"'{polygon}' is no polygon.", "Write RA,DEC of three vertices or more, in degrees.")
        vertices = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        _check_positions(polygon, vertices)
        return Polygon(vertices)
    return None


def _numbers(text: str) -> list[float]:
    try:
        return [float(each) for each in re.split(r"[,\s]+", text.strip())]
    except ValueError:
        raise UsageFault(f"'{text}' is no list of numbers.", "Write degrees with commas between.") from None


def _check_positions(text: str, positions: Sequence[tuple[float, float]]) -> None:
    for lon, lat in positions:
        if not (0 <= lon <= 360 and -90 <= lat <= 90):
            raise UsageFault(f"'{text}' lies beside the sky.", "RA is 0 to 360, Dec -90 to 90, in degrees.")


def _mjd(time: datetime) -> float:
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    return _MJD_OF_1970 + since / timedelta(days=1)
