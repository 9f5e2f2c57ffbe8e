"""What may be selected from groups: grouped expressions, aggregates, constants and columns of outer queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from archive.adql import bound
from archive.adql.scope import Session

_PARTS: dict[type, tuple[str, ...]] = {
    kind: tuple(field.name for field in fields(kind) if field.name not in ("column", "columns", "table", "tables"))
    for kind in vars(bound).values()
    if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == bound.__name__
}


def check_grouped(
    node: bound.Value | bound.Condition,
    grouped: frozenset[bound.Value],
    local: frozenset[str],
    session: Session,
    at: int,
) -> None:
    """Refuse a column of the query's own tables that is neither grouped nor aggregated (SQL-92 section 7.9).

    ``local`` are the aliases of the query's sources; ``at`` is the place to name.
    """
    field = next(_loose(node, grouped, local), None)
    if field is None:
        return
    name = field.column.name
    if grouped:
        raise session.fault(
            at,
            f'column "{name}" is neither in GROUP BY nor inside an aggregate.',
            f"Group by {name} too, or write for example MAX({name}).",
        )
    raise session.fault(
        at,
        f'column "{name}" stands beside an aggregate, but nothing is grouped.',
        f"Add GROUP BY {name}, or aggregate it too.",
    )


def _loose(node: Any, grouped: frozenset[bound.Value], local: frozenset[str]) -> Iterator[bound.Field]:
    """Fields of local sources outside of aggregates and grouped expressions; subqueries are looked into."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, tuple):
            waiting.extend(reversed(one))
        elif isinstance(one, bound.Field):
            if one.source in local and one not in grouped:
                yield one
        elif not (isinstance(one, bound.Aggregate) or (grouped and _is_value(one) and one in grouped)):
            waiting.extend(getattr(one, part) for part in reversed(_PARTS.get(type(one), ())))


def has_aggregate(node: bound.Value) -> bool:
    """True if ``node`` is or contains an aggregate of its own query."""
    waiting: list[Any] = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, bound.Aggregate):
            return True
        if isinstance(one, tuple):
            waiting.extend(one)
        elif not isinstance(one, bound.Select | bound.SetOperation):
            waiting.extend(getattr(one, part) for part in _PARTS.get(type(one), ()))
    return False


def _is_value(one: Any) -> bool:
    return isinstance(
        one, bound.Apply | bound.Arithmetic | bound.Convert | bound.Negative | bound.Separation | bound.Truth
    )
