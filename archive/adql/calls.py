"""Function calls: which signature fits, and what becomes of a call.

A function without an entry in ``_MAKERS`` becomes ``Apply`` under its key, with its result described by the rule
in the table of functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from archive.adql import bound, geometry, motion, shapes, units
from archive.adql.functions import Function, Group, Kind, Rule, Signature
from archive.adql.maths import add, arithmetic, computed, described, times
from archive.adql.scope import Session
from archive.adql.types import (
    ANY_DOUBLE,
    DOUBLE,
    INT,
    LONG,
    NULL,
    POINT,
    TEXT,
    TIME,
    Family,
    Refused,
    adapted,
    as_number,
    as_operand,
    called,
    cast_hint,
    common_number,
    conversion,
    family,
    is_null,
    plain,
)
from archive.columns import Column, Datatype

Value = bound.Value
Values = tuple[bound.Value, ...]


def _bad(argument: int, message: str, remedy: str = "") -> Refused:
    """One argument is to blame."""
    return Refused(message, remedy, argument)


def apply(entry: Function, arguments: Values, session: Session) -> Value:
    """The value of a call of a scalar function; raises ``Refused``."""
    if entry.group is Group.GEOMETRY:
        return geometry.apply(entry, arguments, session)
    signature = _signature(entry, arguments)
    given = tuple(_argument(entry, signature, index, argument) for index, argument in enumerate(arguments))
    make = _MAKERS.get(entry.key)
    if make is not None:
        return make(given)
    if signature.result == "DOUBLE" and signature.parameters and signature.parameters[0].kind is Kind.DOUBLE:
        return computed(entry.key, entry.rule, given)
    return bound.Apply(entry.key, given, described(entry.rule, _RESULTS[signature.result], given))


_RESULTS = {"DOUBLE": Datatype.DOUBLE, "INTEGER": Datatype.INT, "BIGINT": Datatype.LONG}


def _signature(entry: Function, arguments: Sequence[Value]) -> Signature:
    """The overload that takes these arguments: by their number, then by the kind of those that differ."""
    fitting = [signature for signature in entry.signatures if signature.takes(len(arguments))]
    if not fitting:
        raise shapes.wrong_count(entry, len(arguments))
    for signature in fitting[:-1]:
        if all(_fits(signature.parameter(i).kind, argument) for i, argument in enumerate(arguments)):
            return signature
    return fitting[-1]


def _fits(kind: Kind, argument: Value) -> bool:
    own = family(argument.column)
    return own is Family.NULL or own in _FAMILIES[kind]


_FAMILIES: dict[Kind, tuple[Family, ...]] = {
    Kind.DOUBLE: (Family.NUMBER,),
    Kind.NUMBER: (Family.NUMBER,),
    Kind.INTEGER: (Family.NUMBER,),
    Kind.TEXT: (Family.TEXT,),
    Kind.TIMESTAMP: (Family.TIME, Family.TEXT),
    Kind.POINT: (Family.POINT,),
    Kind.GEOMETRY: (Family.POINT, Family.CIRCLE, Family.POLYGON),
    Kind.ANY: tuple(kind for kind in Family if kind not in (Family.MOC, Family.REGION)),
}


def _argument(entry: Function, signature: Signature, index: int, argument: Value) -> Value:
    """An argument checked and brought to the kind its parameter asks for."""
    kind = signature.parameter(index).kind
    own = family(argument.column)
    if kind is Kind.DOUBLE and own is Family.NUMBER:
        return as_number(argument, Datatype.DOUBLE)
    if own is Family.NULL:
        return bound.Constant(None, _NULLS.get(kind, TEXT)) if kind is not Kind.ANY else argument
    if own not in _FAMILIES[kind]:
        raise _bad(
            index,
            f"{called(argument)} is {own.value}; {entry.name} takes {_A[kind]} as {signature.parameter(index).name}.",
            conversion(own, _FAMILIES[kind][0]) or f"Write {signature.form}.",
        )
    if kind is Kind.INTEGER and not argument.column.datatype.is_integer:
        raise _bad(
            index, f"{entry.name} takes an integer as {signature.parameter(index).name}.", "Use CAST(... AS BIGINT)."
        )
    if kind is Kind.TIMESTAMP and own is Family.TEXT:
        return adapted(argument, Family.TIME) or bound.Convert(argument, TIME)
    return argument


_A = {
    Kind.DOUBLE: "a number",
    Kind.NUMBER: "a number",
    Kind.INTEGER: "an integer",
    Kind.TEXT: "text",
    Kind.TIMESTAMP: "a timestamp",
    Kind.POINT: "a POINT",
    Kind.GEOMETRY: "a geometry",
}
_NULLS = {Kind.DOUBLE: ANY_DOUBLE, Kind.NUMBER: ANY_DOUBLE, Kind.INTEGER: plain(Datatype.INT), Kind.TIMESTAMP: TIME}


# --- functions that become something else than Apply under their key ------------------------------


def _abs(given: Values) -> Value:
    (argument,) = given
    column = argument.column
    if isinstance(argument, bound.Constant) and isinstance(argument.value, int | float):
        return bound.Constant(abs(argument.value), column)
    wide = as_operand(argument, column.datatype)
    return bound.Apply("abs", (wide,), plain(wide.column.datatype, column.unit))


def _mod(given: Values) -> Value:
    made = arithmetic("%", *given)
    if isinstance(made, bound.Arithmetic):
        return bound.Apply("mod", (made.left, made.right), plain(made.column.datatype, given[0].column.unit))
    return made


def _round(given: Values) -> Value:
    return _rounded("round", given)


def _truncate(given: Values) -> Value:
    return _rounded("truncate", given)


def _rounded(key: str, given: Values) -> Value:
    """The number of decimals is an INT; literals beyond what a DOUBLE has mean the same as the most it has."""
    if len(given) == 2:
        decimals = given[1]
        if isinstance(decimals, bound.Constant) and isinstance(decimals.value, int):
            decimals = bound.Constant(max(-_MOST_DECIMALS, min(_MOST_DECIMALS, decimals.value)), INT)
        given = (given[0], as_number(decimals, Datatype.INT))
    return bound.Apply(key, given, described(Rule.SAME, Datatype.DOUBLE, given))


_MOST_DECIMALS = 400


def _pi(given: Values) -> Value:
    return bound.Constant(math.pi, DOUBLE)


def _rand(given: Values) -> Value:
    return bound.Apply("rand", (), DOUBLE)


def _lower(given: Values) -> Value:
    return _folded("lower", given[0])


def _upper(given: Values) -> Value:
    return _folded("upper", given[0])


def _folded(key: str, argument: Value) -> Value:
    column = argument.column
    return bound.Apply(key, (argument,), plain(column.datatype, None, column.ucd, "*"))


def _coalesce(given: Values) -> Value:
    column = common_column(given)
    given = tuple(argument for argument in given if not is_null(argument))
    if len(given) < 2:
        return _as_common(given[0], column) if given else NULL
    return bound.Apply("coalesce", tuple(_as_common(argument, column) for argument in given), column)


def _as_common(argument: Value, column: Column) -> Value:
    own = family(column)
    if own is Family.NUMBER and not is_null(argument):
        return as_number(argument, column.datatype)
    changed = adapted(argument, own)
    return bound.Constant(None, column) if changed is None or is_null(changed) else changed


def common_column(given: Sequence[Value]) -> Column:
    """The description of one value taken from several (COALESCE, joins, sets); raises ``Refused``."""
    known = [argument.column for argument in given if family(argument.column) is not Family.NULL]
    if not known:
        return TEXT
    model = next((one for one in given if family(one.column) not in (Family.TEXT, Family.NULL)), None)
    first = known[0] if model is None else model.column
    own, datatype = family(first), first.datatype
    for argument in given:
        other = family(argument.column)
        if other is not own and adapted(argument, own) is None:
            raise Refused(
                f"{called(argument)} is {other.value} where {own.value} is needed as in {called(model or argument)}.",
                cast_hint(own, other),
            )
        if own is Family.NUMBER and other is own:
            datatype = common_number(datatype, argument.column.datatype)
        elif own is Family.TEXT and argument.column.datatype is Datatype.UNICODE:
            datatype = Datatype.UNICODE
    unit = known[0].unit if all(column.unit in (known[0].unit, units.PURE) for column in known) else None
    ucd = known[0].ucd if all(column.ucd in (known[0].ucd, None) for column in known) else None
    alike = own is not Family.TEXT or all(column.arraysize == first.arraysize for column in known)
    return plain(datatype, unit, ucd, first.arraysize if alike else "*", first.xtype)


def _in_unit(given: Values) -> Value:
    value, target = given
    if not isinstance(target, bound.Constant) or not isinstance(target.value, str):
        raise _bad(1, "IN_UNIT takes the unit as a literal.", "Write IN_UNIT(parallax, 'arcsec').")
    if not target.value or not units.is_vounit(target.value):
        raise _bad(1, f"{target.value!r} is not a VOUnits unit.", "Write for example 'deg', 'mas.yr**-1' or 'km/s'.")
    source = value.column.unit
    if not source or not units.is_known(source):
        raise _bad(
            0,
            f"the unit of {called(value)} is not known.",
            "IN_UNIT needs a column with a unit, or an expression of such.",
        )
    scale = units.factor(source, target.value)
    if scale is None:
        raise _bad(1, f"{source!r} cannot be converted to {target.value!r}.")
    column = plain(Datatype.DOUBLE, target.value, value.column.ucd)
    number = as_number(value, Datatype.DOUBLE)
    if isinstance(number, bound.Constant):
        return bound.Constant(None if number.value is None else float(number.value) * scale, column)  # type: ignore[arg-type]
    return bound.Arithmetic("*", number, bound.Constant(scale, DOUBLE), column)


def _healpix_index(given: Values) -> Value:
    order, *place = given
    _check_order(order)
    lon, lat = shapes.place(place[0]) if len(place) == 1 else shapes.checked_place(place[0], place[1])
    return bound.Apply("ivo_healpix_index", (order, lon, lat), plain(Datatype.LONG, units.PURE, "pos.healpix"))


def _healpix_center(given: Values) -> Value:
    _check_order(given[0])
    return bound.Apply("ivo_healpix_center", given, POINT)


def _check_order(order: Value) -> None:
    if isinstance(order, bound.Constant) and isinstance(order.value, int) and not 0 <= order.value <= 29:
        raise _bad(0, f"{order.value} is no HEALPix order.", "Orders go from 0 to 29.")


def _to_jd(given: Values) -> Value:
    return add(_to_mjd(given), bound.Constant(2400000.5, DOUBLE))


def _to_mjd(given: Values) -> Value:
    return bound.Apply("ivo_to_mjd", given, plain(Datatype.DOUBLE, "d", given[0].column.ucd))


def _nocasematch(given: Values) -> Value:
    return bound.Truth(bound.Like(given[0], given[1], True), INT)


def _interval_overlaps(given: Values) -> Value:
    a1, b1, a2, b2 = given
    pairs = ((a1, b1), (a2, b2), (a1, b2), (a2, b1))
    return bound.Truth(bound.And(tuple(bound.Comparison("<=", low, high) for low, high in pairs)), INT)


def _normal_random(given: Values) -> Value:
    """Box and Muller's transform of two uniform random numbers, the first of which is never 0."""
    mu, sigma = given
    rand = bound.Apply("rand", (), DOUBLE)
    positive = bound.Arithmetic("-", bound.Constant(1.0, DOUBLE), rand, DOUBLE)
    size = bound.Apply("sqrt", (times(bound.Constant(-2.0, DOUBLE), bound.Apply("log", (positive,), DOUBLE)),), DOUBLE)
    turn = bound.Apply("cos", (times(bound.Constant(2 * math.pi, DOUBLE), bound.Apply("rand", (), DOUBLE)),), DOUBLE)
    return add(mu, times(sigma, times(size, turn)))


_MAKERS: dict[str, Callable[[Values], Value]] = {
    "abs": _abs,
    "mod": _mod,
    "round": _round,
    "truncate": _truncate,
    "pi": _pi,
    "rand": _rand,
    "lower": _lower,
    "upper": _upper,
    "coalesce": _coalesce,
    "in_unit": _in_unit,
    "ivo_healpix_index": _healpix_index,
    "ivo_healpix_center": _healpix_center,
    "ivo_epoch_prop_pos": motion.moved,
    "ivo_geom_transform": geometry.transformed,
    "ivo_to_jd": _to_jd,
    "ivo_to_mjd": _to_mjd,
    "ivo_nocasematch": _nocasematch,
    "ivo_interval_overlaps": _interval_overlaps,
    "ivo_normal_random": _normal_random,
}


def apply_aggregate(entry: Function, arguments: Values, session: Session) -> Value:
    """The value of a call of a user-defined aggregate; raises ``Refused``."""
    signature = _signature(entry, arguments)
    given = tuple(_argument(entry, signature, index, argument) for index, argument in enumerate(arguments))
    if entry.key == "ivo_string_agg":
        if not isinstance(given[1], bound.Constant):
            raise _bad(1, "ivo_string_agg takes the delimiter as a literal.")
        column = plain(given[0].column.datatype, None, given[0].column.ucd, "*")
    else:
        bins = given[3]
        if not isinstance(bins, bound.Constant) or not isinstance(bins.value, int) or not 1 <= bins.value <= 100_000:
            raise _bad(3, "ivo_histogram takes the number of bins as a literal from 1 to 100000.")
        column = plain(Datatype.LONG, LONG.unit, "meta.number", str(bins.value + 2))
    return bound.Aggregate(entry.key, given, False, column)
