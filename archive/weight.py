"""How much a query reads, guessed before it is run, so that what is short need not wait for what is long."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from archive.adql import bound
from archive.engine.contract import Bindings

T = TypeVar("T")

_CLOSE = 0.1  # degrees: a crossmatch within this distance looks at few pairs
_NARROW = 5.0  # degrees: a cone of at most this radius reads few rows of a table that is sorted by position
_UNSURE = (bound.Or, bound.Not)  # a condition below these may hold for rows it seems to leave out


def rows_read(query: bound.Bound, bindings: Bindings) -> float:
    """About how many rows the query reads; a rough guess that errs on the side of many.

    A table read through a narrow cone counts for little. Tables that are joined neither by an equality nor by a
    small distance are taken times one another.
    """
    everything = list(_all(query, object))
    sure = list(_all(query, object, but=_UNSURE))
    near = [each for each in sure if isinstance(each, bound.Near)]
    narrow = {alias for each in near if _radius(each) <= _NARROW for alias in _around_a_point(each)}
    rows = {
        stored.alias: 0.0 if stored.alias in narrow else float(_size(stored.table.key, bindings))
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


def _all(node: object, kind: type[T], *, but: tuple[type, ...] = ()) -> Iterator[T]:
    """Every node of ``kind`` in a bound tree, itself included; what stands below a node of ``but`` is left out."""
    waiting: list[Any] = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, kind):
            yield each
        if isinstance(each, tuple):
            waiting.extend(each)
        elif (parts := bound.PARTS.get(type(each))) and not isinstance(each, but):
            waiting.extend([getattr(each, name) for name in parts])
