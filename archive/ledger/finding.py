"""Files found by what is known of them: type and place in the archive, instrument, time, sky, metadata.

What an index answers is asked of the database; the exact test of an area is done here, on what its cells let through.
Files whose footprint is known are found where it overlaps the area, others where their position lies in it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
    union,
)

from archive.ledger import replicas, schema
from archive.ledger.bulk import portions
from archive.ledger.database import now
from archive.sky import TOLERANCE, Circle, Interval, Outline, Polygon, Ranges, cone_ranges, polygon_ranges, vectors

Area = Circle | Polygon

WIDE = 2.0
"""Degrees: footprints that reach further are looked through one by one."""

_LONG: ColumnElement[int] = literal_column("1")  # days: what lasts longer has an index of its own
_BATCH = 2000  # rows
_PIECE = 500  # numbers in one statement

OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """What is asked of an item of metadata: text and booleans as they are, all else as numbers."""

    item: str
    operator: str
    value: str | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What files are to be; all of it holds. ``collection`` is within ``release`` as files came, ``time`` is MJD in UTC
    and is overlapped; ``public``: only what everybody may see, and is here.
    """

    types: tuple[str, ...] = ()
    release: str | None = None
    collection: str | None = None
    instrument: str | None = None
    detector: str | None = None
    band: str | None = None
    exposure: str | None = None
    time: Interval | None = None
    area: Area | None = None
    conditions: tuple[Condition, ...] = ()
    public: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """A file that was found. ``here``: it can be read at this endpoint."""

    artifact: int
    uri: str
    sha256: str
    size: int
    media_type: str
    registered: str
    public_from: str | None
    type: str
    release: str
    collection: str
    instrument: str | None
    detector: str | None
    band: str | None
    exposure: str | None
    t_min: float | None
    t_max: float | None
    ra: float | None
    dec: float | None
    here: bool
    metadata: Mapping[str, Any] = field(repr=False, hash=False)


def find(transaction: Connection, criteria: Criteria, most: int | None = None) -> Iterator[Hit]:
    """The files that fulfil ``criteria``, in the order in which they were registered; at most so many.

    Their numbers are found first: to sort and to cut these costs little.
    """
    asked = _asked().order_by(schema.product.c.artifact)
    if criteria.area is None and most is None:
        yield from _hits(transaction, asked.where(*_conditions(transaction, criteria)))
        return
    for some in _batched(islice(numbers(transaction, criteria, most), most)):
        yield from _hits(transaction, asked.where(schema.product.c.artifact.in_(some)))


def count(transaction: Connection, criteria: Criteria) -> int:
    """How many files fulfil ``criteria``."""
    if criteria.area is not None:
        return sum(map(len, _in_area(transaction, criteria)))
    asked = _numbers().with_only_columns(func.count())
    return int(transaction.execute(asked.where(*_conditions(transaction, criteria))).scalar_one())


def numbers(transaction: Connection, criteria: Criteria, most: int | None = None) -> Iterator[int]:
    """The numbers of the files that fulfil ``criteria``, in the order in which they were registered. The database need
    not look for more than ``most``.
    """
    if criteria.area is not None:
        yield from chain.from_iterable(_in_area(transaction, criteria))
        return
    asked = _numbers().where(*_conditions(transaction, criteria)).order_by(schema.product.c.artifact)
    yield from transaction.execute(asked.limit(most)).scalars()


def _batched(found: Iterator[int]) -> Iterator[list[int]]:
    """Numbers in pieces that one statement takes, each when it is asked for."""
    while some := list(islice(found, _PIECE)):
        yield some


def _hits(transaction: Connection, asked: Select[Any]) -> Iterator[Hit]:
    names = tuple(Hit.__dataclass_fields__)
    for row in transaction.execution_options(yield_per=_BATCH).execute(asked):
        yield Hit(**{name: getattr(row, name) for name in names})


def _asked() -> Select[Any]:
    file, product = schema.artifact, schema.product
    plain = [name for name in Hit.__dataclass_fields__ if name not in ("here", "metadata")]
    columns = [product.c[name] if name in product.c else file.c[name] for name in plain]
    return select(*columns, product.c.metadata, _here().label("here")).join_from(
        product, file, file.c.id == product.c.artifact
    )


def _numbers() -> Select[Any]:
    file, product = schema.artifact, schema.product
    return select(product.c.artifact).join_from(product, file, file.c.id == product.c.artifact)


def _here() -> ColumnElement[bool]:
    return replicas.is_present(schema.artifact.c.id)


def _in_area(transaction: Connection, criteria: Criteria) -> Iterator[list[int]]:
    """The numbers of files that fulfil ``criteria``, which have an area: batch by batch, in order."""
    product, shown = schema.product, schema.observation
    asked = _numbers().outerjoin(shown, shown.c.artifact == product.c.artifact).order_by(product.c.artifact)
    asked = asked.add_columns(product.c.ra, product.c.dec, shown.c.s_region_lon, shown.c.s_region_lat)
    asked = asked.add_columns(shown.c.s_region_reach).where(*_conditions(transaction, criteria))
    assert criteria.area is not None
    place = _Place(criteria.area)
    for batch in transaction.execution_options(yield_per=_BATCH).execute(asked).partitions():
        numbers = np.array([row.artifact for row in batch])
        lon, lat, region_lon, region_lat, reach = np.array([row[1:] for row in batch], dtype=np.float64).T
        alone = np.isnan(reach)
        found = alone & place.holds(vectors(lon, lat))
        maybe = ~alone & place.is_near(vectors(region_lon, region_lat), reach)
        regions = _regions(transaction, numbers[maybe].tolist())
        found[maybe] = [place.overlaps(regions[number]) for number in numbers[maybe].tolist()]
        yield numbers[found].tolist()


def _regions(transaction: Connection, wanted: Sequence[int]) -> dict[int, tuple[float, ...]]:
    table = schema.observation
    found: dict[int, tuple[float, ...]] = {}
    for some in portions(wanted):
        rows = transaction.execute(select(table.c.artifact, table.c.s_region).where(table.c.artifact.in_(some)))
        found |= {row.artifact: row.s_region for row in rows}
    return found


# --- what the database is asked -----------------------------------------------------------------------


def _conditions(transaction: Connection, criteria: Criteria) -> Iterator[ColumnElement[bool]]:
    file, product = schema.artifact, schema.product
    yield file.c.retracted.is_(None)
    if criteria.exposure is not None:
        yield product.c.exposure == criteria.exposure
    if criteria.area is not None:
        yield _near(criteria.area)
    if criteria.time is not None:
        yield _during(criteria.time)
    few = criteria.exposure is not None or criteria.area is not None or criteria.time is not None
    yield from _plain(transaction, criteria, few=few)
    for each in criteria.conditions:
        yield _fulfils(transaction, each)
    if criteria.public:
        yield or_(file.c.public_from.is_(None), file.c.public_from <= now())
        yield _here()


def _plain(transaction: Connection, criteria: Criteria, *, few: bool) -> Iterator[ColumnElement[bool]]:
    """What columns are equal to. SQLite takes an index of several columns before a better one of one: it is kept from
    that where there is one that leaves ``few``.
    """
    product = schema.product
    aside = few and transaction.dialect.name == "sqlite"
    names = ("release", "collection", "instrument", "detector", "band")
    for name in names:
        value = getattr(criteria, name)
        if value is not None:
            yield (product.c[name].concat("") if aside else product.c[name]) == value
    if criteria.types:
        column = product.c.type.concat("") if aside else product.c.type
        yield column == criteria.types[0] if len(criteria.types) == 1 else column.in_(criteria.types)


def _during(time: Interval) -> ColumnElement[bool]:
    """Exposures are short, so both ends of the time bound where they began; what lasts longer has its own index."""
    product = schema.product
    low = None if time.low == -np.inf else time.low
    high = None if time.high == np.inf else time.high
    ends = func.coalesce(product.c.t_max, product.c.t_min)
    began = product.c.t_min.is_not(None) if high is None else product.c.t_min <= high
    if low is None:
        return began
    short = and_(began, product.c.t_min >= low - 1, ends >= low)
    long = and_(product.c.t_max - product.c.t_min >= _LONG, began, product.c.t_max >= low)
    if high is None:
        return or_(short, long)
    # A search for each, since SQLite would rather go through all files than by two indexes.
    searches = (select(product.c.artifact).where(each).correlate(None) for each in (short, long))
    return product.c.artifact.in_(union(*searches))


def _near(area: Area) -> ColumnElement[bool]:
    """Files whose position may lie in the area, and those whose footprint may reach into it."""
    product, shown = schema.product, schema.observation
    inside = select(product.c.artifact).where(_within(product.c["_healpix_29"], _cover(area, 0.0)))
    reaching = select(shown.c.artifact).where(
        _within(shown.c["_healpix_29"], _cover(area, 2 * WIDE)), shown.c.s_region_reach <= WIDE
    )
    wide = select(shown.c.artifact).where(shown.c.s_region_reach > literal_column(str(WIDE)))
    return product.c.artifact.in_(union(inside, reaching, wide))


def _cover(area: Area, margin: float) -> Ranges:
    if isinstance(area, Circle):
        return cone_ranges(area.lon, area.lat, area.radius + margin)
    if not margin:
        return polygon_ranges(area.vertices)
    (lon, lat), reach = Outline(area.vertices).cap()
    return cone_ranges(lon, lat, reach + margin)


def _within(column: ColumnElement[Any], ranges: Ranges) -> ColumnElement[bool]:
    return or_(False, *(and_(column >= low, column < high) for low, high in ranges))


def _fulfils(transaction: Connection, condition: Condition) -> Any:
    told = schema.product.c.metadata[condition.item]["value"]
    compare = OPERATORS[condition.operator]
    if isinstance(condition.value, bool):
        return compare(told.as_boolean(), condition.value)
    if isinstance(condition.value, str):
        return compare(told.as_string(), condition.value)
    number = told.as_float()
    if transaction.dialect.name == "postgresql":  # which fails at what is no number
        number = case((func.json_typeof(told) == "number", number))
    return compare(number, condition.value)


# --- what is tested here ------------------------------------------------------------------------------


class _Place:
    """An area, exactly."""

    def __init__(self, area: Area) -> None:
        self._area = area
        self._outline = Outline(area.vertices) if isinstance(area, Polygon) else None
        middle, self._reach = (
            Outline(area.vertices).cap() if isinstance(area, Polygon) else ((area.lon, area.lat), area.radius)
        )
        self._centre = vectors(*middle)

    def is_near(self, points: NDArray[np.float64], reach: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which circles around these unit vectors, ``reach`` degrees wide, meet the circle around it."""
        return np.asarray(self._away(points) <= self._reach + reach + TOLERANCE)

    def holds(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of these unit vectors lie in it; those that are no positions do not."""
        if self._outline is not None:
            return np.asarray(self._outline.inside(points) & np.isfinite(points).all(axis=1))
        return np.asarray(self._away(points) <= self._reach)

    def overlaps(self, region: tuple[float, ...]) -> bool:
        """Whether a footprint shares a point with it."""
        footprint = Outline(tuple(zip(region[::2], region[1::2], strict=True)))
        if self._outline is not None:
            return footprint.overlaps(self._outline)
        assert isinstance(self._area, Circle)
        return footprint.reaches(self._area)

    def _away(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        chords = np.linalg.norm(points - self._centre, axis=1)
        return np.asarray(np.degrees(2 * np.arcsin(np.minimum(chords / 2, 1.0))))
