"""Building arithmetic: types, units and UCDs of results, and constants computed at once.

Used by everything in resolve that makes expressions, written by users or derived (BOX, proper motion, frames), so
each is typed and folded by the same rules. Folding follows the meaning of ADQL here: integers divide towards zero,
and what has no finite value is NULL.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from archive.adql import bound, units
from archive.adql.functions import Rule
from archive.adql.types import (
    ANY_DOUBLE,
    ARITHMETIC,
    DOUBLE,
    TEXT,
    UNICODE,
    Family,
    Refused,
    as_number,
    as_operand,
    called,
    conversion,
    family,
    is_null,
    plain,
    whole,
)
from archive.columns import Column, Datatype

Value = bound.Value


def real(value: float) -> bound.Constant:
    """A DOUBLE constant; NULL unless it is finite."""
    return bound.Constant(value if math.isfinite(value) else None, DOUBLE)


@lru_cache(maxsize=8192)
def _result(
    operator: str, datatype: Datatype, left: str | None, right: str | None, ucd: str | None, literals: str
) -> Column:
    """The description of ``left operator right``; ``literals`` tells which operands are constants (l, r)."""
    if operator == "*":
        return plain(datatype, units.product(left, right))
    if operator == "/":
        return plain(datatype, units.quotient(left, right))
    if left == right or "r" in literals:
        return plain(datatype, left, ucd if literals else None)
    return plain(datatype, right if "l" in literals else None, ucd if literals else None)


def arithmetic(operator: str, left: Value, right: Value) -> Value:
    """``left operator right`` for ``+ - * / %`` and ``||``."""
    if operator == "||":
        return _concatenated(left, right)
    left, right = _number(operator, left), _number(operator, right)
    one, other = left.column, right.column
    datatype = ARITHMETIC[one.datatype, other.datatype]
    constant_left, constant_right = type(left) is bound.Constant, type(right) is bound.Constant
    if constant_left or constant_right:
        literals = ("l" if constant_left and not one.unit else "") + ("r" if constant_right and not other.unit else "")
        ucd = one.ucd if "r" in literals else other.ucd
    else:
        literals, ucd = "", None
    column = _result(operator, datatype, one.unit, other.unit, ucd, literals)
    if constant_left and constant_right:
        return _folded(operator, left, right, column)  # type: ignore[arg-type]
    return bound.Arithmetic(operator, as_operand(left, other.datatype), as_operand(right, one.datatype), column)


def _number(operator: str, value: Value) -> Value:
    own = family(value.column)
    if own is Family.NUMBER:
        return value
    if own is Family.NULL:
        return bound.Constant(None, ANY_DOUBLE)
    hint = "Join texts with ||." if own is Family.TEXT and operator == "+" else conversion(own, Family.NUMBER)
    raise Refused(f"{called(value)} is {own.value}; {operator} takes numbers.", hint)


def _concatenated(left: Value, right: Value) -> Value:
    for value in (left, right):
        own = family(value.column)
        if own not in (Family.TEXT, Family.NULL):
            raise Refused(f"{called(value)} is {own.value}; || joins texts.", "Convert it: CAST(... AS VARCHAR).")
    wide = Datatype.UNICODE in (left.column.datatype, right.column.datatype)
    column = UNICODE if wide else TEXT
    if is_null(left) or is_null(right):
        return bound.Constant(None, column)
    if isinstance(left, bound.Constant) and isinstance(right, bound.Constant):
        return bound.Constant(f"{left.value}{right.value}", column)
    return bound.Arithmetic("||", left, right, column)


def _folded(operator: str, left: bound.Constant, right: bound.Constant, column: Column) -> bound.Constant:
    a, b = left.value, right.value
    if not isinstance(a, int | float) or not isinstance(b, int | float):
        return bound.Constant(None, column)
    try:
        result = _COMPUTE[operator](a, b)
    except (ZeroDivisionError, OverflowError, ValueError):
        return bound.Constant(None, column)
    if isinstance(result, int):
        small = whole(result)
        datatype = column.datatype if column.datatype is Datatype.LONG else small.column.datatype
        return bound.Constant(small.value, plain(datatype, column.unit, column.ucd))
    return bound.Constant(result if math.isfinite(result) else None, column)


def _divided(a: float, b: float) -> float:
    if isinstance(a, int) and isinstance(b, int):
        return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    return a / b


def _remainder(a: float, b: float) -> float:
    if isinstance(a, int) and isinstance(b, int):
        return a - b * int(_divided(a, b))
    return math.fmod(a, b)


_COMPUTE: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _divided,
    "%": _remainder,
}


def negative(value: Value) -> Value:
    """Unary minus."""
    value = _number("-", value)
    if isinstance(value, bound.Constant):
        if isinstance(value.value, int):
            return bound.Constant(
                whole(-value.value).value, plain(whole(-value.value).column.datatype, value.column.unit)
            )
        return bound.Constant(None if value.value is None else -value.value, value.column)  # type: ignore[operator]
    value = as_operand(value, Datatype.INT if value.column.datatype.is_integer else Datatype.DOUBLE)
    return bound.Negative(value, plain(value.column.datatype, value.column.unit))


_FOLD: dict[str, Callable[..., float]] = {
    "acos": math.acos,
    "asin": math.asin,
    "atan": math.atan,
    "atan2": math.atan2,
    "ceiling": math.ceil,
    "cos": math.cos,
    "degrees": math.degrees,
    "exp": math.exp,
    "floor": math.floor,
    "log": math.log,
    "log10": math.log10,
    "power": math.pow,
    "radians": math.radians,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "tan": math.tan,
}


def function(key: str, rule: Rule, *arguments: Value) -> Value:
    """A maths function of DOUBLE arguments, given as numbers of any type."""
    return computed(key, rule, tuple(as_number(argument, Datatype.DOUBLE) for argument in arguments))


def computed(key: str, rule: Rule, given: tuple[Value, ...]) -> Value:
    """A maths function of arguments that already have the types it takes; of constants, its result."""
    column = described(rule, Datatype.DOUBLE, given)
    compute = _FOLD.get(key)
    if compute is None or not given:
        return bound.Apply(key, given, column)
    constants = [argument.value for argument in given if isinstance(argument, bound.Constant)]
    if len(constants) < len(given):
        return bound.Apply(key, given, column)
    if None in constants:
        return bound.Constant(None, column)
    try:
        result = float(compute(*constants))
    except (ValueError, OverflowError, ZeroDivisionError):
        return bound.Constant(None, column)
    return bound.Constant(result if math.isfinite(result) else None, column)


def described(rule: Rule, datatype: Datatype, arguments: tuple[Value, ...]) -> Column:
    """The description of a function's result by its rule."""
    if rule is Rule.PURE:
        return plain(datatype, units.PURE)
    if rule is Rule.NONE or not arguments:
        return plain(datatype)
    first = arguments[0].column
    if rule is Rule.SAME:
        return plain(datatype, first.unit, first.ucd)
    if rule is Rule.UNIT:
        return plain(datatype, first.unit)
    if rule is Rule.ROOT:
        return plain(datatype, units.power(first.unit, 0.5))
    if rule is Rule.POWER:
        exponent = arguments[1]
        if isinstance(exponent, bound.Constant) and isinstance(exponent.value, int | float):
            return plain(datatype, units.power(first.unit, float(exponent.value)))
        return plain(datatype, units.PURE if first.unit == units.PURE else None)
    return plain(datatype, rule.value)


# Short forms for derived expressions, whose operands are numbers already.


def add(left: Value, right: Value) -> Value:
    """A sum."""
    return arithmetic("+", left, right)


def minus(left: Value, right: Value) -> Value:
    """A difference."""
    return arithmetic("-", left, right)


def times(left: Value, right: Value) -> Value:
    """A product; multiplication by the constant 1 is left out."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, bound.Constant) and one.value == 1:
            return other
    return arithmetic("*", left, right)


def sin(angle: Value) -> Value:
    """Sine."""
    return function("sin", Rule.PURE, angle)


def cos(angle: Value) -> Value:
    """Cosine."""
    return function("cos", Rule.PURE, angle)


def tan(angle: Value) -> Value:
    """Tangent."""
    return function("tan", Rule.PURE, angle)


def sqrt(value: Value) -> Value:
    """Square root."""
    return function("sqrt", Rule.PURE, value)


def radians(value: Value) -> Value:
    """Degrees to radians, as a number without unit."""
    return function("radians", Rule.PURE, value)


def degrees(value: Value) -> Value:
    """Radians to degrees."""
    return function("degrees", Rule.DEGREE, value)


def atan2(y: Value, x: Value) -> Value:
    """Angle of (x, y) in radians, as a number without unit."""
    return function("atan2", Rule.PURE, y, x)
