"""Types of values in ADQL: families that can be compared, promotion of numbers, and the constants they are told with.

Promotion (ADQL 2.1 leaves it open; written down here only):

* arithmetic of integers gives INT, or LONG where one operand is LONG; BYTE and SHORT operands become INT first;
* FLOAT with FLOAT gives FLOAT; every other mixture of numbers gives DOUBLE, and a FLOAT meeting an integer is made
  DOUBLE first, because databases disagree there;
* maths functions work in DOUBLE; ABS and MOD keep integers; COUNT and sums of integers are LONG, other sums and all
  means DOUBLE; MIN and MAX keep the type;
* an integer literal is INT, LONG if it needs 64 bits and DOUBLE beyond; every other literal is DOUBLE.
"""

from __future__ import annotations

import datetime
import re
from enum import Enum
from functools import lru_cache

from archive.adql import bound
from archive.adql.units import PURE
from archive.columns import GEOMETRY_XTYPES, Column, Datatype


class Refused(Exception):
    """An expression means nothing; raised where the place in the text is not known, placed by the caller."""

    def __init__(self, message: str, remedy: str = "", argument: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.argument = argument  # which argument of a call is to blame


class Family(Enum):
    """Values of one family can be compared with each other; the value is what people read."""

    NUMBER = "a number"
    TEXT = "text"
    TIME = "a timestamp"
    TRUTH = "a boolean"
    POINT = "a POINT"
    CIRCLE = "a CIRCLE"
    POLYGON = "a POLYGON"
    MOC = "a MOC"
    REGION = "a combined region"
    OTHER = "an array"
    NULL = "NULL"

    @property
    def is_geometry(self) -> bool:
        return self in (Family.POINT, Family.CIRCLE, Family.POLYGON)

    @property
    def is_ordered(self) -> bool:
        return self in (Family.NUMBER, Family.TEXT, Family.TIME)


@lru_cache(maxsize=4096)
def plain(
    datatype: Datatype,
    unit: str | None = None,
    ucd: str | None = None,
    arraysize: str | None = None,
    xtype: str | None = None,
    description: str = "",
) -> Column:
    """The shared description of a nameless value."""
    return Column("", datatype, arraysize, xtype, unit, ucd, None, description)


INT = plain(Datatype.INT, PURE)
LONG = plain(Datatype.LONG, PURE)
DOUBLE = plain(Datatype.DOUBLE, PURE)
ANY_DOUBLE = plain(Datatype.DOUBLE)
DEGREES = plain(Datatype.DOUBLE, "deg")
TEXT = plain(Datatype.CHAR, arraysize="*")
UNICODE = plain(Datatype.UNICODE, arraysize="*")
TIME = plain(Datatype.CHAR, arraysize="*", xtype="timestamp")
TRUTH = plain(Datatype.BOOLEAN)
UNTYPED = plain(Datatype.CHAR, arraysize="*", xtype="null")  # of NULL alone; never leaves resolve
POINT = plain(Datatype.DOUBLE, "deg", "pos.eq", "2", "point")
CIRCLE = plain(Datatype.DOUBLE, "deg", "pos.outline", "3", "circle")
POLYGON = plain(Datatype.DOUBLE, "deg", "pos.outline", "*", "polygon")
MOC = plain(Datatype.CHAR, None, "pos.outline", "*", "moc")
REGION = plain(Datatype.CHAR, None, "pos.outline", "*", "region")  # never leaves resolve

NULL = bound.Constant(None, UNTYPED)

_SCALAR_FAMILIES = {
    Datatype.BOOLEAN: Family.TRUTH,
    Datatype.BIT: Family.TRUTH,
    Datatype.FLOAT_COMPLEX: Family.OTHER,
    Datatype.DOUBLE_COMPLEX: Family.OTHER,
}
_SHAPES = dict(zip(GEOMETRY_XTYPES, (Family.POINT, Family.CIRCLE, Family.POLYGON), strict=True))
_XTYPES = {
    **_SHAPES,
    "timestamp": Family.TIME,
    "moc": Family.MOC,
    "region": Family.REGION,
    "null": Family.NULL,
    "interval": Family.OTHER,
}

_LITERALS = (Family.MOC, Family.REGION)  # columns of such types are mere text


def family(column: Column) -> Family:
    """What values of ``column`` can be compared with."""
    xtype = column.xtype
    if xtype is not None:
        known = _XTYPES.get(xtype)
        if known is not None and (known not in _LITERALS or column in (MOC, REGION)):
            return known
    if column.datatype.is_text:
        return Family.TEXT
    if column.arraysize is not None and column.arraysize != "1":
        return Family.OTHER
    return _SCALAR_FAMILIES.get(column.datatype, Family.NUMBER)


def is_null(value: bound.Value) -> bool:
    """True for the constant NULL, typed or not."""
    return type(value) is bound.Constant and value.value is None


def whole(value: int) -> bound.Constant:
    """An integer literal in the smallest type that holds it."""
    if -0x8000_0000 <= value <= 0x7FFF_FFFF:
        return bound.Constant(value, INT)
    if -0x8000_0000_0000_0000 <= value <= 0x7FFF_FFFF_FFFF_FFFF:
        return bound.Constant(value, LONG)
    try:
        return bound.Constant(float(value), DOUBLE)
    except OverflowError:
        raise Refused("this number is too large.") from None


_SMALL = (Datatype.BYTE, Datatype.SHORT)


def _arithmetic(left: Datatype, right: Datatype) -> Datatype:
    if left.is_integer and right.is_integer:
        return Datatype.LONG if Datatype.LONG in (left, right) else Datatype.INT
    return Datatype.FLOAT if left is right is Datatype.FLOAT else Datatype.DOUBLE


_NUMBERS = tuple(datatype for datatype in Datatype if datatype.is_numeric)
ARITHMETIC: dict[tuple[Datatype, Datatype], Datatype] = {
    (left, right): _arithmetic(left, right) for left in _NUMBERS for right in _NUMBERS
}
"""The type of ``+ - * / %`` by the types of its operands."""


def common_number(left: Datatype, right: Datatype) -> Datatype:
    """The type that holds numbers of both types (COALESCE, set operations)."""
    if left is right:
        return left
    if {left, right} == {Datatype.BYTE, Datatype.SHORT}:
        return Datatype.SHORT
    return ARITHMETIC[left, right]


def as_number(value: bound.Value, datatype: Datatype) -> bound.Value:
    """``value`` in another numeric type; constants are converted at once."""
    column = value.column
    if column.datatype is datatype:
        return value
    target = plain(datatype, column.unit, column.ucd)
    if type(value) is bound.Constant:
        if value.value is None:
            return bound.Constant(None, plain(datatype))
        if datatype is Datatype.DOUBLE and isinstance(value.value, int):
            return bound.Constant(float(value.value), target)
    return bound.Convert(value, target)


def as_operand(value: bound.Value, partner: Datatype) -> bound.Value:
    """``value`` ready for arithmetic with a number of type ``partner``, by the rules on top of this module."""
    datatype = value.column.datatype
    if datatype in _SMALL:
        return as_number(value, Datatype.INT)
    if datatype is Datatype.FLOAT and partner.is_integer:
        return as_number(value, Datatype.DOUBLE)
    return value


_TIMESTAMP = re.compile(r"\s*(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)\d*Z?)?\s*\Z")


def timestamp(text: str) -> bound.Constant:
    """The moment that an ISO 8601 text (DALI 1.1 section 3.3.3) means."""
    match = _TIMESTAMP.match(text)
    try:
        if match is None:
            raise ValueError(text)
        day = datetime.date.fromisoformat(match[1])
        clock = datetime.time.fromisoformat(match[2]) if match[2] else datetime.time()
    except ValueError:
        raise Refused(
            f"{text!r} is not a timestamp.", "Write it as 'YYYY-MM-DDThh:mm:ss', the time may be left out."
        ) from None
    return bound.Constant(datetime.datetime.combine(day, clock), TIME)


def _truth(value: bound.Constant) -> bound.Constant:
    """A literal compared with a boolean: 'True' and 'False' in any case, 1 and 0."""
    given = value.value.strip().lower() if isinstance(value.value, str) else value.value
    if given in ("true", "t", 1):
        return bound.Constant(True, TRUTH)
    if given in ("false", "f", 0):
        return bound.Constant(False, TRUTH)
    raise Refused(
        f"{value.value!r} is not a truth value.", "Compare a boolean column with 'True' or 'False', or with 1 or 0."
    )


def adapted(value: bound.Value, target: Family) -> bound.Value | None:
    """``value``, as one of family ``target``: itself, a literal read as such, or None if that is impossible."""
    own = family(value.column)
    if own is target:
        return value
    if own is Family.NULL:
        return bound.Constant(None, _NULLS.get(target, TEXT))
    if type(value) is bound.Constant:
        if target is Family.TIME and isinstance(value.value, str):
            return timestamp(value.value)
        if target is Family.TRUTH and own in (Family.NUMBER, Family.TEXT):
            return bound.Constant(None, TRUTH) if value.value is None else _truth(value)
    return None


_NULLS = {
    Family.NUMBER: ANY_DOUBLE,
    Family.TEXT: TEXT,
    Family.TIME: TIME,
    Family.TRUTH: TRUTH,
    Family.POINT: POINT,
    Family.CIRCLE: CIRCLE,
    Family.POLYGON: POLYGON,
}


def pair(left: bound.Value, right: bound.Value) -> tuple[bound.Value, bound.Value]:
    """Two values made comparable, or Refused."""
    one, other = family(left.column), family(right.column)
    if one is other and one in (Family.NUMBER, Family.TEXT, Family.TIME, Family.TRUTH):
        return left, right
    if one is Family.NULL and other is Family.NULL:
        return bound.Constant(None, TEXT), bound.Constant(None, TEXT)
    for side in (left, right):
        kind = family(side.column)
        if not (kind.is_ordered or kind in (Family.TRUTH, Family.NULL)):
            raise Refused(f"{called(side)} is {kind.value} and cannot be compared.", _COMPARING.get(kind, ""))
    if one is not Family.NULL:
        changed = adapted(right, one)
        if changed is not None:
            return left, changed
    if other is not Family.NULL:
        changed = adapted(left, other)
        if changed is not None:
            return changed, right
    raise Refused(
        f"{called(left)} is {one.value} and {called(right)} is {other.value}: they cannot be compared.",
        cast_hint(one, other),
    )


_COMPARING = {
    Family.POINT: "Use CONTAINS, INTERSECTS or DISTANCE.",
    Family.CIRCLE: "Use CONTAINS or INTERSECTS.",
    Family.POLYGON: "Use CONTAINS or INTERSECTS.",
    Family.MOC: "Use CONTAINS or INTERSECTS.",
    Family.REGION: "Use CONTAINS or INTERSECTS.",
}


def cast_hint(one: Family, other: Family) -> str:
    """Which CAST may be meant where two families meet."""
    families = {one, other}
    if families == {Family.TEXT, Family.NUMBER}:
        return "Convert one of them: CAST(... AS VARCHAR) or CAST(... AS DOUBLE PRECISION)."
    if families == {Family.TEXT, Family.TIME}:
        return "Convert the text: CAST(... AS TIMESTAMP)."
    if families == {Family.NUMBER, Family.TIME}:
        return "Convert the timestamp with ivo_to_mjd or ivo_to_jd, or compare with an ISO text."
    return ""


def conversion(own: Family, wanted: Family) -> str:
    """How a value of one family becomes one of another, or nothing."""
    if own is Family.TIME and wanted is Family.NUMBER:
        return "Convert it: ivo_to_mjd(...) or ivo_to_jd(...)."
    if {own, wanted} == {Family.TEXT, Family.NUMBER}:
        return f"Convert it: CAST(... AS {'VARCHAR' if wanted is Family.TEXT else 'DOUBLE PRECISION'})."
    return ""


def called(value: bound.Value) -> str:
    """What people call ``value`` in a message."""
    match value:
        case bound.Field(column=column):
            return f'"{column.name}"'
        case bound.Constant(value=str(text)):
            return repr(text if len(text) <= 40 else text[:37] + "...")
        case bound.Constant(value=None):
            return "NULL"
        case bound.Constant(value=constant):
            return str(constant)
        case bound.Apply(function=key) | bound.Aggregate(function=key):
            return f"{key.upper()}(...)"
    return "the expression"
