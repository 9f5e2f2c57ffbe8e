"""Which calibration is valid when, for which instrument, detector and filter.

In one collection no two calibrations of a type are valid for the same at the same time: a constraint of both databases
holds that, so of each question there is at most one answer. A calibration that names no detector, or no filter, is for
all of them. Times are MJD in UTC, the start included, the end not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, or_, select, true

from archive.faults import UsageFault
from archive.ledger import events, schema
from archive.ledger.bulk import portions
from archive.ledger.collections import Collection
from archive.ledger.events import Json
from archive.sky import Interval

ALWAYS = Interval()


@dataclass(frozen=True, slots=True)
class Scope:
    """What a calibration of ``type`` is for; None: for all detectors, all filters."""

    type: str
    instrument: str
    detector: str | None = None
    filter: str | None = None

    def __str__(self) -> str:
        told = (self.instrument, self.detector and f"detector {self.detector}", self.filter and f"filter {self.filter}")
        return f"{self.type} of {', '.join(filter(None, told))}"


@dataclass(frozen=True, slots=True)
class Certified:
    """A dataset (its number and name) that is valid in a collection for ``scope`` during ``valid``."""

    id: int
    collection: str
    dataset: int
    uri: str
    scope: Scope
    valid: Interval

    @property
    def time(self) -> str:
        """When it is valid, in words."""
        return _span(self.valid)


def certify(
    transaction: Connection,
    collection: Collection,
    dataset: int,
    uri: str,
    scope: Scope,
    valid: Interval = ALWAYS,
    *,
    replace: bool = False,
) -> bool:
    """Say that a sealed dataset is valid for ``scope`` during ``valid``; returns whether that changed anything.

    With ``replace`` what was valid then for the same is valid no more.

    Raises:
        UsageFault: the time is empty, or something else is valid for the same then.
    """
    if not valid.low < valid.high:
        raise UsageFault(f"There is no time {_span(valid)}.", "The end comes after the start.")
    others = _overlapping(transaction, collection, scope, valid)
    if any(each.dataset == dataset and each.scope == scope and _holds(each.valid, valid) for each in others):
        return False
    others = [each for each in others if not (each.dataset == dataset and each.scope == scope)]
    if others and not replace:
        one = others[0]
        raise UsageFault(
            f"{one.uri} is valid in {collection.name} {one.time} for {one.scope}.",
            "Only one can be: give another time, or --replace to have this one instead.",
            http=409,
        )
    for each in others:
        _cut(transaction, each, valid)
    for each in _overlapping(transaction, collection, scope, valid):  # its own, which grows
        valid = Interval(min(valid.low, each.valid.low), max(valid.high, each.valid.high))
        transaction.execute(schema.certified.delete().where(schema.certified.c.id == each.id))
    _insert(transaction, collection.id, dataset, scope, valid)
    events.append(transaction, "certify", _facts(collection, uri, scope, valid, {"instead": [x.uri for x in others]}))
    return True


def decertify(
    transaction: Connection, collection: Collection, dataset: int, uri: str, during: Interval = ALWAYS
) -> int:
    """A dataset is not valid in a collection ``during`` some time; returns how many statements that changed."""
    table, place = schema.certified, schema.collection
    mine = (place.c.id == collection.id) & (table.c.dataset == dataset) & _meets(during)
    found = [_certified(row) for row in transaction.execute(_asked().where(mine))]
    for each in found:
        _cut(transaction, each, during)
        events.append(transaction, "decertify", _facts(collection, uri, each.scope, during))
    return len(found)


def at(
    transaction: Connection,
    kind: str,
    instrument: str,
    detector: str | None,
    filters: Sequence[str],
    time: float,
    collection: str | None = None,
) -> list[Certified]:
    """What is valid at a ``time`` for an exposure of a detector through a filter, which may have several names; in one
    collection, or in all. What is certified for one filter fits only that.
    """
    table, place = schema.certified, schema.collection
    asked = (
        _asked()
        .where(table.c.type == kind, table.c.instrument == instrument)
        .where(or_(table.c.detector.is_(None), table.c.detector == detector))
        .where(or_(table.c.filter.is_(None), table.c.filter.in_(filters)))
        .where(or_(table.c.valid_from.is_(None), table.c.valid_from <= time))
        .where(or_(table.c.valid_to.is_(None), table.c.valid_to > time))
        .order_by(place.c.name, table.c.id)
    )
    if collection is not None:
        asked = asked.where(place.c.name == collection)
    return [_certified(row) for row in transaction.execute(asked)]


def of(transaction: Connection, collection: Collection) -> list[Certified]:
    """All that is certified in a collection, by what it is for and by time."""
    table = schema.certified
    found = transaction.execute(_asked().where(table.c.collection == collection.id))
    return sorted(map(_certified, found), key=lambda each: (str(each.scope), each.valid.low))


def _overlapping(transaction: Connection, collection: Collection, scope: Scope, valid: Interval) -> list[Certified]:
    table = schema.certified
    asked = _asked().where(
        table.c.collection == collection.id,
        table.c.type == scope.type,
        table.c.instrument == scope.instrument,
        _alike(table.c.detector, scope.detector),
        _alike(table.c.filter, scope.filter),
        _meets(valid),
    )
    return [_certified(row) for row in transaction.execute(asked.order_by(table.c.valid_from, table.c.id))]


def _alike(column: ColumnElement[str | None], value: str | None) -> ColumnElement[bool]:
    return true() if value is None else or_(column.is_(None), column == value)


def _meets(time: Interval) -> ColumnElement[bool]:
    table = schema.certified
    return and_(
        or_(table.c.valid_from.is_(None), table.c.valid_from < time.high),
        or_(table.c.valid_to.is_(None), table.c.valid_to > time.low),
    )


def _cut(transaction: Connection, certified: Certified, during: Interval) -> None:
    """It is valid before and after, but not ``during`` that time."""
    table = schema.certified
    row = transaction.execute(select(table.c.collection).where(table.c.id == certified.id)).scalar_one()
    transaction.execute(table.delete().where(table.c.id == certified.id))
    before, after = Interval(certified.valid.low, during.low), Interval(during.high, certified.valid.high)
    for left in (before, after):
        if left.low < left.high:
            _insert(transaction, row, certified.dataset, certified.scope, left)


def _insert(transaction: Connection, collection: int, dataset: int, scope: Scope, valid: Interval) -> None:
    told = {"type": scope.type, "instrument": scope.instrument, "detector": scope.detector, "filter": scope.filter}
    time = {"valid_from": _known(valid.low), "valid_to": _known(valid.high)}
    transaction.execute(schema.certified.insert().values(collection=collection, dataset=dataset, **told, **time))


def _holds(outer: Interval, inner: Interval) -> bool:
    return outer.low <= inner.low and inner.high <= outer.high


def _known(time: float) -> float | None:
    return time if math.isfinite(time) else None


def _facts(
    collection: Collection, uri: str, scope: Scope, valid: Interval, more: dict[str, Json] | None = None
) -> dict[str, Json]:
    told: dict[str, Json] = {
        "type": scope.type,
        "instrument": scope.instrument,
        "detector": scope.detector,
        "filter": scope.filter,
        "valid": [_known(valid.low), _known(valid.high)],
    }
    return {"collection": collection.name, "dataset": uri, **told, **(more or {})}


def _span(valid: Interval) -> str:
    start = "ever" if valid.low == -math.inf else f"MJD {valid.low:.5f}"
    end = "for ever" if valid.high == math.inf else f"to MJD {valid.high:.5f}"
    return f"from {start} {end}"


def _asked() -> Select[Any]:
    table, place, dataset = schema.certified, schema.collection, schema.dataset
    return (
        select(table, place.c.name, dataset.c.uri)
        .join_from(table, place, place.c.id == table.c.collection)
        .join(dataset, dataset.c.id == table.c.dataset)
    )


def _certified(row: Row[Any]) -> Certified:
    scope = Scope(row.type, row.instrument, row.detector, row.filter)
    low = -math.inf if row.valid_from is None else row.valid_from
    high = math.inf if row.valid_to is None else row.valid_to
    return Certified(row.id, row.name, row.dataset, row.uri, scope, Interval(low, high))


def of_files(transaction: Connection, artifacts: Sequence[int]) -> dict[int, list[Certified]]:
    """What is certified of the datasets that hold these files; those of which nothing is are left out."""
    member = schema.dataset_file
    found: dict[int, list[Certified]] = {}
    for numbers in portions(artifacts):
        asked = _asked().add_columns(member.c.artifact).join(member, member.c.dataset == schema.certified.c.dataset)
        for row in transaction.execute(asked.where(member.c.artifact.in_(numbers))):
            found.setdefault(row.artifact, []).append(_certified(row))
    return found
