"""Expressions: checked, typed and described."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from archive.adql import bound, tree
from archive.adql.calls import apply, apply_aggregate
from archive.adql.functions import BY_KEY
from archive.adql.maths import arithmetic, negative
from archive.adql.scope import Block, near
from archive.adql.shapes import cast_to_shape
from archive.adql.types import (
    DOUBLE,
    LONG,
    NULL,
    TEXT,
    UNICODE,
    Family,
    Refused,
    as_number,
    called,
    family,
    is_null,
    plain,
    timestamp,
    whole,
)
from archive.columns import Column, Datatype

Value = bound.Value


def value(node: tree.Expression, block: Block) -> Value:
    """The bound value of an expression; raises ``UsageFault`` with its place."""
    return _VALUES[type(node)](node, block)


def _number(node: tree.Number, block: Block) -> Value:
    if isinstance(node.value, int):
        try:
            return whole(node.value)
        except Refused as refusal:
            raise block.session.refused(node.at, refusal) from None
    return bound.Constant(node.value, DOUBLE)


def _text(node: tree.Text, block: Block) -> Value:
    return bound.Constant(node.value, TEXT if node.value.isascii() else UNICODE)


def _null(node: tree.Null, block: Block) -> Value:
    return NULL


def _name(node: tree.Name, block: Block) -> Value:
    return block.find(node)


def _signed(node: tree.Signed, block: Block) -> Value:
    inner: tree.Expression = node
    minus = False
    while isinstance(inner, tree.Signed):
        minus ^= inner.sign == "-"
        inner = inner.operand
    if isinstance(inner, tree.Number) and isinstance(inner.value, int):
        return whole(-inner.value if minus else inner.value)
    operand = _VALUES[type(inner)](inner, block)
    try:
        result = negative(operand)
    except Refused as refusal:
        raise block.session.refused(node.at, refusal) from None
    return result if minus else operand


def _binary(node: tree.Binary, block: Block) -> Value:
    chain = [node]
    while isinstance(chain[-1].left, tree.Binary):  # a + b + c ... leans to the left: no recursion for its length
        chain.append(chain[-1].left)
    first = chain[-1].left
    left = _VALUES[type(first)](first, block)
    for link in reversed(chain):
        right = _VALUES[type(link.right)](link.right, block)
        try:
            left = arithmetic(link.operator, left, right)
        except Refused as refusal:
            raise block.session.refused(link.at, refusal) from None
    return left


def _call(node: tree.Call, block: Block) -> Value:
    function = BY_KEY.get(node.name.text.lower())
    if function is None:
        names = [known.name for known in dict.fromkeys(BY_KEY.values())]
        raise block.session.fault(
            node.at,
            f"there is no function {node.name}.",
            near(node.name.text, names) or "See the service's capabilities.",
        )
    if function.aggregate:
        arguments = _in_aggregate(function.name, node.arguments, node.at, block)
        make: Callable[..., Value] = apply_aggregate
    else:
        arguments = [_VALUES[type(argument)](argument, block) for argument in node.arguments]
        make = apply
    try:
        return make(function, tuple(arguments), block.session)
    except Refused as refusal:
        raise block.session.refused(_blame(refusal, node), refusal) from None


def _blame(refusal: Refused, node: tree.Call) -> int:
    """Where the fault stands: at the argument it names, else at the call."""
    return node.at if refusal.argument is None else node.arguments[refusal.argument].at


def _in_aggregate(name: str, arguments: Sequence[tree.Expression], at: int, block: Block) -> list[Value]:
    """The arguments of an aggregate, within which no other may stand."""
    if block.forbidden is not None:
        raise block.session.fault(
            at, f"{name} cannot stand in {block.forbidden}.", _NO_AGGREGATE.get(block.forbidden, "")
        )
    block.aggregated = True
    block.forbidden = "another aggregate"
    try:
        return [_VALUES[type(argument)](argument, block) for argument in arguments]
    finally:
        block.forbidden = None


_NO_AGGREGATE = {
    "WHERE": "Conditions on groups belong into HAVING.",
    "ON": "Aggregate in a subquery and join its rows.",
    "GROUP BY": "Group by the columns it is made from.",
    "another aggregate": "Aggregate in a subquery: SELECT MAX(n) FROM (SELECT COUNT(*) AS n ... GROUP BY ...) AS s.",
}


def _aggregate(node: tree.Aggregate, block: Block) -> Value:
    key = node.function.lower()
    arguments = _in_aggregate(node.function, () if node.argument is None else (node.argument,), node.at, block)
    if not arguments:
        return bound.Aggregate(key, (), False, _COUNT)
    (argument,) = arguments
    kind = family(argument.column)
    if key == "count":
        if node.distinct and not (kind.is_ordered or kind is Family.TRUTH or kind is Family.NULL):
            raise block.session.fault(node.at, f"COUNT(DISTINCT ...) cannot count {kind.value}.")
        return bound.Aggregate(key, (_typed(checked(argument, node.at, block)),), node.distinct, _COUNT)
    if kind is Family.NULL:
        argument, kind = bound.Constant(None, plain(Datatype.DOUBLE)), Family.NUMBER
    if kind is not Family.NUMBER and (key in ("sum", "avg") or not kind.is_ordered):
        takes = "numbers" if key in ("sum", "avg") else "numbers, texts and timestamps"
        raise block.session.fault(node.at, f"{node.function} takes {takes}; {called(argument)} is {kind.value}.")
    return bound.Aggregate(key, (argument,), node.distinct, _aggregated(key, argument.column))


_COUNT = plain(Datatype.LONG, LONG.unit, "meta.number")
_STATISTICS = {"min": "stat.min", "max": "stat.max", "avg": "stat.mean"}


def _aggregated(key: str, column: Column) -> Column:
    """The description of an aggregate: ``phot.mag;em.opt.V`` becomes ``phot.mag;em.opt.V;stat.max``."""
    ucd = _statistic(column.ucd, _STATISTICS.get(key))
    if key in ("min", "max"):
        return plain(column.datatype, column.unit, ucd, column.arraysize, column.xtype)
    if key == "sum" and column.datatype.is_integer:
        return plain(Datatype.LONG, column.unit, ucd)
    return plain(Datatype.DOUBLE, column.unit, ucd)


def _statistic(ucd: str | None, word: str | None) -> str | None:
    if not ucd or word is None:
        return None
    words = [one for one in ucd.split(";") if one != "meta.main"]
    return None if any(one.startswith("stat.") and one != "stat.error" for one in words) else ";".join((*words, word))


def checked(given: Value, at: int, block: Block) -> Value:
    """``given``, unless it is a region that means something only to CONTAINS and INTERSECTS."""
    kind = family(given.column)
    if kind in (Family.MOC, Family.REGION):
        raise block.session.fault(at, f"{kind.value} can stand only in CONTAINS and INTERSECTS.")
    return given


def _typed(given: Value) -> Value:
    """NULL alone becomes text, so that it has a type everywhere."""
    return bound.Constant(None, TEXT) if given is NULL else given


_CASTS = {
    "SMALLINT": Datatype.SHORT,
    "INTEGER": Datatype.INT,
    "BIGINT": Datatype.LONG,
    "REAL": Datatype.FLOAT,
    "DOUBLE PRECISION": Datatype.DOUBLE,
}
_RANGES = {Datatype.SHORT: 2**15, Datatype.INT: 2**31, Datatype.LONG: 2**63}


def _cast(node: tree.Cast, block: Block) -> Value:
    operand = _VALUES[type(node.operand)](node.operand, block)
    try:
        return _converted(operand, node.target)
    except Refused as refusal:
        raise block.session.refused(node.at, refusal) from None


def _converted(operand: Value, target: tree.TypeName) -> Value:
    own, column = family(operand.column), operand.column
    datatype = _CASTS.get(target.name)
    if datatype is not None:
        if own not in (Family.NUMBER, Family.TEXT, Family.TRUTH, Family.NULL):
            raise Refused(f"{called(operand)} is {own.value} and cannot become a number.")
        return _to_number(operand, datatype)
    if target.name in ("CHAR", "VARCHAR"):
        if own not in (Family.NUMBER, Family.TEXT, Family.TRUTH, Family.TIME, Family.NULL):
            raise Refused(f"{called(operand)} is {own.value} and cannot become text.")
        return _to_text(operand, target, column)
    if target.name == "TIMESTAMP":
        return _to_time(operand, own, column)
    return cast_to_shape(operand, target.name)


def _to_number(operand: Value, datatype: Datatype) -> Value:
    column = operand.column
    described = plain(datatype, column.unit, column.ucd)
    if is_null(operand):
        return bound.Constant(None, described)
    if isinstance(operand, bound.Constant) and isinstance(operand.value, int) and not isinstance(operand.value, bool):
        limit = _RANGES.get(datatype)
        if limit is not None and not -limit <= operand.value < limit:
            raise Refused(f"{operand.value} does not fit the type.")
        return bound.Constant(operand.value, described) if limit else as_number(operand, datatype)
    return operand if column.datatype is datatype and column.arraysize is None else bound.Convert(operand, described)


def _to_text(operand: Value, target: tree.TypeName, column: Column) -> Value:
    datatype = Datatype.UNICODE if column.datatype is Datatype.UNICODE else Datatype.CHAR
    length = target.length
    size = "*" if length is None else f"{length}*"
    if target.name == "CHAR":
        size = str(length or 1)
    described = plain(datatype, None, column.ucd, size)
    return bound.Constant(None, described) if is_null(operand) else bound.Convert(operand, described)


def _to_time(operand: Value, own: Family, column: Column) -> Value:
    described = plain(Datatype.CHAR, None, column.ucd, "*", "timestamp")
    if own is Family.TIME:
        return operand
    if is_null(operand):
        return bound.Constant(None, described)
    if own is not Family.TEXT:
        raise Refused(f"{called(operand)} is {own.value} and cannot become a timestamp.")
    if isinstance(operand, bound.Constant):
        return timestamp(str(operand.value))
    return bound.Convert(operand, described)


def _scalar(node: tree.Scalar, block: Block) -> Value:
    named = block.session.subquery(node.query, block, block.session)
    if len(named.columns) != 1:
        raise block.session.fault(
            node.at, f"a subquery used as a value must have one column; this one has {len(named.columns)}."
        )
    return bound.Scalar(named.rows, named.columns[0])


_VALUES: dict[type, Callable[[Any, Block], Value]] = {
    tree.Number: _number,
    tree.Text: _text,
    tree.Null: _null,
    tree.Name: _name,
    tree.Signed: _signed,
    tree.Binary: _binary,
    tree.Call: _call,
    tree.Aggregate: _aggregate,
    tree.Cast: _cast,
    tree.Scalar: _scalar,
}
