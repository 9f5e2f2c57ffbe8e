"""How much a query reads, guessed before it is run, so that what is short need not wait for what is long."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from archive.adql import bound
from archive.engine.contract import Bindings
from archive.engine.meetings import constant, meetings

T = TypeVar("T")

_CLOSE = 0.1  # degrees: a crossmatch within this distance looks at few pairs
_CROWDED = 10  # times as many rows as the mean may lie in a cone: surveys are not even, and do not cover all the sky
_FOOTPRINT = 1.0  # degrees from the middle of a region that it may reach: most do not
_UNSURE = (bound.Or, bound.Not)  # a condition below these may hold for rows it seems to leave out


def rows_read(query: bound.Bound, bindings: Bindings) -> float:
    """About how many rows the query reads; a rough guess that errs on the side of many.

    A table read through a cone counts for the part of the sky that this is; of a table of which any first rows will
    do, no more are read. Tables that are joined neither by an equality nor by a small distance are taken times one
    another.
    """
    first = _first_rows(query, bindings)
    if first is not None:
        return first
    everything, sure = _parts(query)
    near = [each for each in sure if isinstance(each, bound.Near)]
    shares: dict[str, float] = {}
    for each in near:
        for alias in _around_a_point(each):
            shares[alias] = min(shares.get(alias, 1.0), _share(_radius(each)))
    for select in _all(query, bound.Select):
        for alias, share in _limited(select.where).items():
            shares[alias] = min(shares.get(alias, 1.0), share)
    rows = {
        stored.alias: shares.get(stored.alias, 1.0) * _size(stored.table.key, bindings)
        for stored in everything
        if isinstance(stored, bound.Stored)
    }
    links = [frozenset(field.source for field in _all(each, bound.Field)) for each in near if _radius(each) <= _CLOSE]
    links += [
        frozenset(field.source for field in (each.left, each.right) if isinstance(field, bound.Field))
        for each in sure
        if isinstance(each, bound.Comparison) and each.operator == "="
    ]
    products = (_product(join, rows, links) for join in everything if isinstance(join, bound.Join))
    return max((sum(rows.values()), *products))


def _limited(condition: bound.Condition | None) -> dict[str, float]:
    """The parts of tables that hold all rows for which a condition on places or regions may be true, by alias."""
    match condition:
        case bound.And(conditions):
            shares: dict[str, float] = {}
            for part in conditions:
                shares |= {alias: min(share, shares.get(alias, 1.0)) for alias, share in _limited(part).items()}
            return shares
        case bound.Or(conditions):
            each = [_limited(part) for part in conditions]
            common = set.intersection(*map(set, each)) if each else set()
            return {alias: min(1.0, sum(part[alias] for part in each)) for alias in common}
        case bound.Near():
            return dict.fromkeys(_around_a_point(condition), _share(_radius(condition)))
        case bound.Within() | bound.Overlaps():
            return dict(_reaching(condition))
    return {}


def _reaching(test: bound.Within | bound.Overlaps) -> Iterator[tuple[str, float]]:
    """The alias of a table whose regions are tested against a fixed shape, and the part of it that may meet this."""
    for meeting in meetings(test):
        circle = None if meeting.depends_on else constant(meeting.reach)
        if meeting.is_region and circle is not None:
            yield meeting.alias, _share(circle[2] + _FOOTPRINT)


def _first_rows(query: bound.Bound, bindings: Bindings) -> float | None:
    """How many rows of one table are read where any that come first will do; None where all have to be looked at."""
    match query.body:
        case (
            bound.Select(
                source=bound.Stored(table=table),
                where=None,
                group_by=(),
                having=None,
                order_by=(),
                distinct=False,
                top=int(top),
            ) as body
        ) if not any(_all(body.outputs, (bound.Aggregate, bound.Scalar, bound.Truth))):
            return float(min(top + (body.offset or 0), _size(table.key, bindings)))
    return None


def _share(radius: float) -> float:
    """The part of a table's rows that a cone may hold."""
    return min(1.0, _CROWDED * (1 - math.cos(math.radians(radius))) / 2) if radius < 180 else 1.0


def _product(join: bound.Join, rows: Mapping[str, float], links: Iterable[frozenset[str]]) -> float:
    """How many pairs of rows a join has to look at, if nothing links its sides; else 0."""
    left, right = (set(_aliases(side)) for side in (join.left, join.right))
    if any(link & left and link & right for link in links):
        return 0.0
    return sum(rows.get(alias, 0.0) for alias in left) * sum(rows.get(alias, 0.0) for alias in right)


def _aliases(source: bound.Source) -> Iterator[str]:
    yield from (stored.alias for stored in _all(source, bound.Stored))
    yield from (sub.alias for sub in _all(source, bound.Sub))
    yield from (use.alias for use in _all(source, bound.CommonSource))


def _size(key: tuple[str, str], bindings: Bindings) -> int:
    if key in bindings.editions:
        return bindings.editions[key].rows
    if key in bindings.listed:
        return bindings.listed[key].size
    return bindings.arrow[key].num_rows if key in bindings.arrow else 0


def _radius(near: bound.Near) -> float:
    """The radius in degrees; no limit where it is not fixed."""
    return _number(near.radius)


def _number(value: bound.Value) -> float:
    """What a fixed value comes to, such as ``2.0 / 3600``; infinity for what is not fixed."""
    match value:
        case bound.Constant(value=int() | float() as number):
            return number
        case bound.Convert(operand=operand):
            return _number(operand)
        case bound.Arithmetic(operator="*", left=left, right=right):
            return _number(left) * _number(right)
        case bound.Arithmetic(operator="/", left=left, right=right) if 0 < _number(right) < math.inf:
            return _number(left) / _number(right)
    return math.inf


def _around_a_point(near: bound.Near) -> Iterator[str]:
    """The alias of the table whose positions are asked to be near a fixed point."""
    for lon, other in ((near.lon1, near.lon2), (near.lon2, near.lon1)):
        if isinstance(lon, bound.Field) and not any(_all(other, bound.Field)):
            yield lon.source


def _parts(query: bound.Bound) -> tuple[list[object], list[object]]:
    """Sources and conditions of a query wherever they stand; and of these what must hold for all rows."""
    everything: list[object] = []
    sure: list[object] = []
    waiting: list[tuple[Any, bool]] = [(query, True)]
    while waiting:
        node, holds = waiting.pop()
        kind = type(node)
        if kind is tuple:
            waiting.extend([(each, holds) for each in node])
        elif names := bound.PARTS.get(kind):
            if kind in _TOLD:
                everything.append(node)
                if holds:
                    sure.append(node)
            holds = holds and kind not in _UNSURE
            if kind not in _LEAVES:
                waiting.extend([(getattr(node, name), holds) for name in names])
    return everything, sure


_TOLD = (bound.Near, bound.Comparison, bound.Stored, bound.Join)
_LEAVES = (bound.Field, bound.Constant, bound.Stored, bound.CommonSource)


def _all(node: object, kind: type[T] | tuple[type[T], ...]) -> Iterator[T]:
    """Every node of ``kind`` in a bound tree, itself included."""
    waiting: list[Any] = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, kind):
            yield each
        if isinstance(each, tuple):
            waiting.extend(each)
        elif parts := bound.PARTS.get(type(each)):
            waiting.extend([getattr(each, name) for name in parts])
