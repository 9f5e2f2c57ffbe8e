"""Conditions: checked, and brought to the neutral predicates of the bound tree.

``1=CONTAINS(...)``, ``CONTAINS(...)<>0``, ``DISTANCE(...) < r``, ``r > DISTANCE(...)`` and their like become
``Within``, ``Overlaps``, ``Near`` or ``Not`` of them, so that indexes serve however a query was written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from archive.adql import bound, tree
from archive.adql.maths import arithmetic
from archive.adql.scope import Block
from archive.adql.types import (
    DOUBLE,
    INT,
    TEXT,
    UNICODE,
    Family,
    Refused,
    as_number,
    called,
    family,
    pair,
    whole,
)
from archive.adql.values import checked, value
from archive.columns import Datatype


def condition(node: tree.Condition, block: Block) -> bound.Condition:
    """The bound form of a condition; raises ``UsageFault`` with its place."""
    return _CONDITIONS[type(node)](node, block)


_MIRRORED = {"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<="}

# What a predicate's 1 or 0 compared with a number means: the predicate (True), its opposite (False).
_TRUTHS: dict[tuple[str, float], bool] = {
    ("=", 1): True,
    ("<>", 0): True,
    (">", 0): True,
    (">=", 1): True,
    ("=", 0): False,
    ("<>", 1): False,
    ("<", 1): False,
    ("<=", 0): False,
}


def _comparison(node: tree.Comparison, block: Block) -> bound.Condition:
    left, right, operator = value(node.left, block), value(node.right, block), node.operator
    if _is_special(right) and not _is_special(left):
        left, right, operator = right, left, _MIRRORED[operator]
    if isinstance(left, bound.Truth) and isinstance(right, bound.Constant):
        meant = _TRUTHS.get((operator, right.value)) if isinstance(right.value, int | float) else None
        if meant is not None:
            return left.condition if meant else bound.Not(left.condition)
    try:
        if operator not in ("=", "<>"):
            near = _near(operator, left, right)
            if near is not None:
                return near
        return bound.Comparison(operator, *_ordered(operator, *pair(left, right)))
    except Refused as refusal:
        raise block.session.refused(node.at, refusal) from None


def _is_special(given: bound.Value) -> bool:
    return isinstance(given, bound.Truth) or _separation(given) is not None


def _ordered(operator: str, left: bound.Value, right: bound.Value) -> tuple[bound.Value, bound.Value]:
    if operator not in ("=", "<>") and family(left.column) is Family.TRUTH:
        raise Refused(f"{called(left)} is a boolean: it can only be equal or not.")
    return left, right


def _separation(given: bound.Value) -> tuple[bound.Separation, float] | None:
    """A DISTANCE and the positive factor it is multiplied with, as in ``3600*DISTANCE(...)``."""
    if isinstance(given, bound.Separation):
        return given, 1.0
    if isinstance(given, bound.Arithmetic) and given.operator in "*/":
        one, other = given.left, given.right
        if given.operator == "*" and isinstance(other, bound.Separation):
            one, other = other, one
        if isinstance(one, bound.Separation) and isinstance(other, bound.Constant):
            scale = other.value
            if isinstance(scale, int | float) and scale > 0:
                return one, float(scale) if given.operator == "*" else 1 / scale
    return None


def _near(operator: str, left: bound.Value, limit: bound.Value) -> bound.Condition | None:
    """``left operator limit`` as ``Near``, where ``left`` is a distance and ``limit`` may be a radius."""
    found = _separation(left)
    if found is None or family(limit.column) is not Family.NUMBER or _is_special(limit):
        return None
    distance, scale = found
    if isinstance(limit, bound.Constant) and (not isinstance(limit.value, int | float) or limit.value < 0):
        return None
    radius = as_number(limit, Datatype.DOUBLE)
    if scale != 1.0:
        radius = arithmetic("/", radius, bound.Constant(scale, DOUBLE))
    ends = (distance.lon1, distance.lat1, distance.lon2, distance.lat2)
    if operator in ("<", "<="):
        return bound.Near(*ends, radius, operator == "<=")
    return bound.Not(bound.Near(*ends, radius, operator == ">"))


def _negated(made: bound.Condition, node: Any) -> bound.Condition:
    return bound.Not(made) if node.negated else made


def _between(node: tree.Between, block: Block) -> bound.Condition:
    operand, low, high = value(node.operand, block), value(node.low, block), value(node.high, block)
    try:
        return _negated(_range(operand, low, high), node)
    except Refused as refusal:
        raise block.session.refused(node.at, refusal) from None


def _range(operand: bound.Value, low: bound.Value, high: bound.Value) -> bound.Condition:
    upper = _near("<=", operand, high)
    if upper is not None and isinstance(low, bound.Constant) and isinstance(low.value, int | float):
        if low.value <= 0:
            return upper
        lower = _near(">=", operand, low)
        if lower is not None:
            return bound.And((upper, lower))
    first, low = _ordered("<", *pair(operand, low))
    second, high = pair(operand, high)
    if family(first.column) is not family(second.column):
        first, low = pair(second, low)
    return bound.Between(second, low, high)


def _in_list(node: tree.InList, block: Block) -> bound.Condition:
    operand = value(node.operand, block)
    kind = family(operand.column)
    items: list[bound.Value] = []
    try:
        for item in node.items:  # long lists of literals are common: they take the short way
            if kind is Family.NUMBER and type(item) is tree.Number:
                items.append(_literal(item))
            elif kind is Family.TEXT and type(item) is tree.Text:
                items.append(bound.Constant(item.value, TEXT if item.value.isascii() else UNICODE))
            else:
                operand, made = pair(operand, value(item, block))
                if family(operand.column) is not kind:  # a literal became what it is compared with: so must the others
                    kind = family(operand.column)
                    items = [pair(operand, earlier)[1] for earlier in items]
                items.append(made)
    except Refused as refusal:
        raise block.session.refused(item.at, refusal) from None
    if isinstance(operand, bound.Truth) and len(items) == 1 and isinstance(items[0], bound.Constant):
        meant = _TRUTHS.get(("=", items[0].value)) if isinstance(items[0].value, int | float) else None
        if meant is not None:
            return _negated(operand.condition if meant else bound.Not(operand.condition), node)
    return _negated(bound.InList(operand, tuple(items)), node)


def _literal(item: tree.Number) -> bound.Value:
    number = item.value
    if type(number) is int:
        return bound.Constant(number, INT) if -0x8000_0000 <= number <= 0x7FFF_FFFF else whole(number)
    return bound.Constant(number, DOUBLE)


def _in_query(node: tree.InQuery, block: Block) -> bound.Condition:
    operand = value(node.operand, block)
    named = block.session.subquery(node.query, block, block.session)
    if len(named.columns) != 1:
        raise block.session.fault(
            node.at,
            f"the subquery of IN must have one column; this one has {len(named.columns)}.",
            "Use EXISTS to match several.",
        )
    try:
        operand, other = pair(operand, bound.Field("", "", named.columns[0]))
    except Refused as refusal:
        raise block.session.refused(node.at, refusal) from None
    if not isinstance(other, bound.Field):
        raise block.session.fault(node.at, f"{called(operand)} and the subquery's column are of different types.")
    return _negated(bound.InQuery(operand, named.rows), node)


def _like(node: tree.Like, block: Block) -> bound.Condition:
    operand, pattern = value(node.operand, block), value(node.pattern, block)
    word = "ILIKE" if node.folded else "LIKE"
    for side in (operand, pattern):
        kind = family(side.column)
        if kind not in (Family.TEXT, Family.NULL):
            raise block.session.fault(
                node.at, f"{word} compares texts; {called(side)} is {kind.value}.", "Convert it: CAST(... AS VARCHAR)."
            )
    return _negated(bound.Like(_as_text(operand), _as_text(pattern), node.folded), node)


def _as_text(given: bound.Value) -> bound.Value:
    return bound.Constant(None, TEXT) if isinstance(given, bound.Constant) and given.value is None else given


def _is_null(node: tree.IsNull, block: Block) -> bound.Condition:
    operand = checked(value(node.operand, block), node.at, block)
    return _negated(_unknown(operand), node)


def _unknown(operand: bound.Value) -> bound.Condition:
    """A geometry made of coordinates is NULL if one of them is."""
    match operand:
        case bound.PointOf(lon, lat):
            parts: tuple[bound.Value, ...] = (lon, lat)
        case bound.CircleOf(lon, lat, radius):
            parts = (lon, lat, radius)
        case bound.PolygonOf(vertices):
            parts = tuple(part for vertex in vertices for part in vertex)
        case _:
            return bound.IsNull(operand)
    return bound.Or(tuple(bound.IsNull(part) for part in parts))


def _exists(node: tree.Exists, block: Block) -> bound.Condition:
    return bound.Exists(block.session.subquery(node.query, block, block.session).rows)


def _and(node: tree.And, block: Block) -> bound.Condition:
    return bound.And(tuple([_CONDITIONS[type(part)](part, block) for part in node.conditions]))


def _or(node: tree.Or, block: Block) -> bound.Condition:
    return bound.Or(tuple([_CONDITIONS[type(part)](part, block) for part in node.conditions]))


def _not(node: tree.Not, block: Block) -> bound.Condition:
    inner = condition(node.condition, block)
    return inner.condition if isinstance(inner, bound.Not) else bound.Not(inner)


_CONDITIONS: dict[type, Callable[[Any, Block], bound.Condition]] = {
    tree.Comparison: _comparison,
    tree.Between: _between,
    tree.InList: _in_list,
    tree.InQuery: _in_query,
    tree.Like: _like,
    tree.IsNull: _is_null,
    tree.Exists: _exists,
    tree.And: _and,
    tree.Or: _or,
    tree.Not: _not,
}
