"""Intervals in PostgreSQL: two columns, as ``t_min`` and ``t_max``, of which an index by both is kept.

An index of numbers finds the rows that begin before some time, or those that end after it, and so reads half a table
for what is between. The index here holds ranges (``span_of`` in ``postgres.sql``), of which the planner has statistics.
What people write stays as it is; a condition that follows from it and that the index answers stands before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from sqlalchemy.sql.expression import ClauseElement

from archive.adql import bound
from archive.engine import elements as el
from archive.engine.places import Place
from archive.engine.sphere import number
from archive.tables import Table

Interval = tuple[str, str]
"""The columns of the least and the greatest value."""

PlaceOf = Callable[[str], tuple[Table, Place] | None]

_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def recorded(intervals: Sequence[Interval]) -> dict[str, str]:
    """Entries of ``Place.physical`` that tell which intervals have an index; no column is named so."""
    return {_span(interval): "" for interval in intervals}


def span(low: ClauseElement, high: ClauseElement) -> el.Term:
    """What the index holds."""
    return el.Invoke("span_of", [low, high])


def met(conditions: Sequence[bound.Condition], place_of: PlaceOf) -> Iterator[el.Term]:
    """For each interval with an index of which ``conditions``, all of which hold, tell that it begins before one
    constant and ends after another: that it has a point in common with what is between.

    (It has, whichever of the two is less.)
    """
    below, above = _ends(conditions)
    for (alias, low), upto in below.items():
        found = place_of(alias)
        if found is None:
            continue
        physical = found[1].physical
        for (other, high), since in above.items():
            if other == alias and _span((low, high)) in physical:
                stored = span(el.Ref(alias, physical[low]), el.Ref(alias, physical[high]))
                yield el.Infix("&&", (stored, span(el.Real(since), el.Real(upto))))


_Ends = Mapping[tuple[str, str], float]


def _ends(conditions: Sequence[bound.Condition]) -> tuple[_Ends, _Ends]:
    """Of fields (alias, name): the constants that they are not above, and those that they are not below."""
    below: dict[tuple[str, str], float] = {}
    above: dict[tuple[str, str], float] = {}
    for operator, field, value in (each for condition in conditions for each in _limits(condition)):
        (below if operator in ("<", "<=") else above)[field.source, field.name] = value
    return below, above


def _limits(condition: bound.Condition) -> Iterator[tuple[str, bound.Field, float]]:
    match condition:
        case bound.Comparison(operator, bound.Field() as field, value) if operator in _TURNED:
            yield from _limit(operator, field, value)
        case bound.Comparison(operator, value, bound.Field() as field) if operator in _TURNED:
            yield from _limit(_TURNED[operator], field, value)
        case bound.Between(value, bound.Field() as low, bound.Field() as high):
            yield from (*_limit("<=", low, value), *_limit(">=", high, value))


def _limit(operator: str, field: bound.Field, value: bound.Value) -> Iterator[tuple[str, bound.Field, float]]:
    told = number(value)
    if told is not None and math.isfinite(told):
        yield operator, field, told


def _span(interval: Interval) -> str:
    return "\t".join((*interval, "span"))
