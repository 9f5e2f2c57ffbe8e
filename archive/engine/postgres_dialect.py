"""How PostgreSQL spells our elements and functions: a compile-only dialect and one table of renderings.

Values stand in the text as literals that name their type. Parameters would switch the driver's streaming off; a bare
number with a point would be exact decimal, not the double it is.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.dialects.postgresql.base import PGCompiler, PGDialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import IdentifierPreparer, SQLCompiler
from sqlalchemy.sql.expression import BindParameter, ClauseElement

from archive.columns import Column, Datatype
from archive.engine import elements as el
from archive.engine.duckdb_macros import outline_rows
from archive.sky import Outline

UDF = "archive_udf"
"""The schema of our functions (``postgres.sql``)."""

_SCALARS: Mapping[Datatype, str] = {
    Datatype.BOOLEAN: "boolean",
    Datatype.BIT: "boolean",
    Datatype.BYTE: f"{UDF}.byte",
    Datatype.SHORT: "smallint",
    Datatype.INT: "integer",
    Datatype.LONG: "bigint",
    Datatype.FLOAT: "real",
    Datatype.DOUBLE: "float8",
    Datatype.FLOAT_COMPLEX: "real[]",
    Datatype.DOUBLE_COMPLEX: "float8[]",
}


class QuoteAll(IdentifierPreparer):
    """Every name in quotes, so that no word is reserved."""

    def _requires_quotes(self, value: str) -> bool:
        return True


class Literals(PGCompiler):
    """Writes each parameter as a literal of its type."""

    def visit_bindparam(self, bindparam: BindParameter[Any], *args: Any, **kw: Any) -> str:
        return literal(bindparam.value)


class PostgresDialect(PGDialect):
    """Compiles only; statements run through ADBC, which streams Arrow."""

    supports_statement_cache = True
    preparer = QuoteAll  # type: ignore[assignment]
    statement_compiler = Literals


DIALECT = PostgresDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


def literal(value: Any) -> str:
    """A value as a closed term that means exactly it, with ``standard_conforming_strings`` on.

    ``value`` is a number, text, a time without zone, or a list (of lists) of floats.
    """
    match value:
        case float():
            return f"'{value!r}'::float8"
        case int():
            return str(value)
        case str():
            quoted = value.replace("'", "''")
            return f"'{quoted}'::text"
        case datetime.datetime():
            return f"TIMESTAMP '{value.isoformat(sep=' ')}'"
        case list():
            return f"'{_array(value)}'::float8[]"
    raise TypeError(type(value).__name__)


_HALF = literal(math.pi / 360)


def _array(values: Sequence[Any]) -> str:
    texts = (_array(value) if isinstance(value, list) else repr(float(value)) for value in values)
    return f"{{{','.join(texts)}}}"


def type_name(column: Column) -> str:
    """PostgreSQL's name for the type of ``column``; its lists have no fixed length."""
    if column.is_timestamp:
        return "timestamp"
    if column.datatype.is_text:
        return "text"
    scalar = _SCALARS[column.datatype]
    return scalar if column.arraysize is None or scalar.endswith("[]") else f"{scalar}[]"


_CALLS: Mapping[str, str] = {
    "abs": "abs({0})",
    "ceiling": "ceil({0})",
    "floor": "floor({0})",
    "degrees": "degrees({0})",
    "radians": "radians({0})",
    "rand": "random()",
    "atan": "atan({0})",
    "atan2": "atan2({0}, {1})",
    "lower": f'(lower({{0}} COLLATE {UDF}.letters) COLLATE "C")',  # back to the order of columns: two do not mix
    "upper": f'(upper({{0}} COLLATE {UDF}.letters) COLLATE "C")',
    "coord1": "({0})[1]",
    "coord2": "({0})[2]",
    "radius": "({0})[3]",
    "area": f"{UDF}.polygon_area({{0}})",
    "centroid": f"{UDF}.polygon_centroid({{0}})",
    "rotate": f"{UDF}.rotate({{0}}, ARRAY[{{1}}, {{2}}, {{3}}, {{4}}, {{5}}, {{6}}, {{7}}, {{8}}, {{9}}])",
    "ivo_healpix_index": f"{UDF}.healpix_index({{0}}, {{1}}, {{2}})",
    "ivo_healpix_center": f"{UDF}.healpix_center({{0}}, {{1}})",
    "ivo_to_mjd": "((extract(epoch from {0}) * 1000000)::float8 / 8.64e10::float8 + 40587)",
    "ivo_hasword": f"{UDF}.has_words({{0}}, {{1}})",
    "ivo_hashlist_has": f"{UDF}.hash_listed({{0}}, {{1}})",
    "ivo_hms_to_degrees": f"{UDF}.hms({{0}})",
    "ivo_dms_to_degrees": f"{UDF}.dms({{0}})",
    "longest": "max(char_length({0}))",
    "ivo_string_agg": "string_agg({0}, {1} ORDER BY {0})",
    "ivo_histogram": f"coalesce({UDF}.histogram({{0}}, {{1}}, {{2}}, {{3}}), array_fill(0::bigint, ARRAY[{{3}} + 2]))",
    "sum": f"{UDF}.total(sum({{distinct}}{UDF}.addend({{0}})))",
    "avg": "(sum({distinct}({0})::float8) / count({distinct}{0}))",  # avg() itself keeps squares, which overflow
    "min": "min({0})",
    "max": "max({0})",
    "count": "count({distinct}{0})",
}
"""Keys whose call is PostgreSQL's own or differs from their name; the rest are functions of ours of the same name."""


def invoke(function: str, texts: Sequence[str], unique: bool) -> str:
    """A call of ``function`` with arguments that are closed terms; ``unique`` for an aggregate over DISTINCT values."""
    match function:
        case "count" if not texts:
            return "count(*)"
        case "coalesce":
            return f"coalesce({', '.join(texts)})"
        case "polygon":
            return f"{UDF}.polygon(ARRAY[{', '.join(texts)}])"
        case "ivo_string_agg" if unique:
            return f"string_agg(DISTINCT {texts[0]}, {texts[1]} ORDER BY {texts[0]})"
    call = _CALLS.get(function)
    if call is None:
        return f"{UDF}.{function}({', '.join(texts)})"
    return call.format(*texts, distinct="DISTINCT " if unique else "")


@compiles(el.Invoke, "postgresql")
def _invoke(element: el.Invoke, compiler: SQLCompiler, **kw: Any) -> str:
    texts = [el.written(compiler, term, **kw) for term in element.terms]
    return invoke(element.function, texts, element.unique)


@compiles(el.Real, "postgresql")
def _real(element: el.Real, compiler: SQLCompiler, **kw: Any) -> str:
    return literal(float(element.value))


@compiles(el.As, "postgresql")
def _as(element: el.As, compiler: SQLCompiler, **kw: Any) -> str:
    return f"CAST({el.written(compiler, element.term, **kw)} AS {type_name(element.column)})"


@compiles(el.Number, "postgresql")
def _number(element: el.Number, compiler: SQLCompiler, **kw: Any) -> str:
    return f"({el.written(compiler, element.term, **kw)})::integer"


@compiles(el.Quotient, "postgresql")
def _quotient(element: el.Quotient, compiler: SQLCompiler, **kw: Any) -> str:
    left, right = el.written(compiler, element.left, **kw), el.written(compiler, element.right, **kw)
    if element.whole:
        return f"({left} {element.operator} nullif({right}, 0))"
    return f"{UDF}.remainder({left}, {right})"


_SLOW: Mapping[str, str] = {"+": "plus", "-": "minus", "*": "times", "/": "quotient"}
_LONGEST = 200  # characters of an operand that is written more than once


@compiles(el.Computed, "postgresql")
def _computed(element: el.Computed, compiler: SQLCompiler, **kw: Any) -> str:
    """Plain arithmetic where its operands are of a size that keeps it in range; else our functions, which look.

    (PostgreSQL holds overflow, and products that vanish, for errors.)
    """
    operands: dict[str, None] = {}
    plain, slow, degree = _arithmetic(element, compiler, operands, **kw)
    if not degree or any(len(text) > _LONGEST or "random()" in text for text in operands):
        return slow
    exponent = (36 - 8 * degree) // degree if element.single else (290 - 17 * degree) // degree
    least = literal(10.0**-exponent if degree > 1 else 0.0)
    sizes = " AND ".join(f"abs({text}) BETWEEN {least} AND {literal(10.0**exponent)}" for text in operands)
    return f"(CASE WHEN {sizes} THEN {plain} ELSE {slow} END)" if exponent > 0 else slow


def _arithmetic(
    term: ClauseElement, compiler: SQLCompiler, operands: dict[str, None], **kw: Any
) -> tuple[str, str, int]:
    """Text by operators, text by functions, and how many operands are multiplied at most (0: that tells nothing)."""
    if not isinstance(term, el.Computed):
        text = el.written(compiler, term, **kw)
        operands[text] = None
        return text, text, 1
    left, by_left, one = _arithmetic(term.left, compiler, operands, **kw)
    right, by_right, other = _arithmetic(term.right, compiler, operands, **kw)
    slow = f"{UDF}.{_SLOW[term.operator]}({by_left}, {by_right})"
    degree = max(one, other) if term.operator in "+-" else one + other
    if not one or not other or (term.operator == "/" and isinstance(term.right, el.Computed)):
        degree = 0  # nothing is known about how small a sum can be
    return f"({left} {term.operator} {right})", slow, degree


@compiles(el.Matches, "postgresql")
def _matches(element: el.Matches, compiler: SQLCompiler, **kw: Any) -> str:
    term, pattern = el.written(compiler, element.term, **kw), el.written(compiler, element.pattern, **kw)
    if element.folded:
        return f"({term} COLLATE {UDF}.letters ILIKE {pattern} COLLATE {UDF}.letters ESCAPE '')"
    return f"({term} LIKE {pattern} ESCAPE '')"


@compiles(el.Exploded, "postgresql")
def _exploded(element: el.Exploded, compiler: SQLCompiler, **kw: Any) -> str:
    return f"unnest({el.written(compiler, element.term, **kw)})"


@compiles(el.Cone, "postgresql")
def _cone(element: el.Cone, compiler: SQLCompiler, **kw: Any) -> str:
    lon, lat = el.written(compiler, element.lon, **kw), el.written(compiler, element.lat, **kw)
    test = element.test
    along, across, sign = ("+", "cos", ">") if test.beyond else ("-", "sin", "<")

    def number(value: el.Measure) -> str:
        return el.written(compiler, value, **kw) if isinstance(value, el.Given) else literal(value)

    return (
        f"({UDF}.square(sin(({lat} {along} {number(test.lat)}) * {_HALF})) + cos(radians({lat})) * {number(test.flat)}"
        f" * {UDF}.square({across}(({lon} - {number(test.lon)}) * {_HALF}))"
        f" {sign}{'=' if test.inclusive else ''} {number(test.bound)})"
    )


@compiles(el.Inside, "postgresql")
def _inside(element: el.Inside, compiler: SQLCompiler, **kw: Any) -> str:
    lon, lat = el.written(compiler, element.lon, **kw), el.written(compiler, element.lat, **kw)
    return f"{UDF}.point_in_outline({lon}, {lat}, {outline(element.outline)})"


def outline(polygon: Outline) -> str:
    """A constant polygon as ``outline`` in ``postgres.sql`` would make it; its area is not asked for."""
    edges = [number for row in outline_rows(polygon) for number in row]
    return literal([float(polygon.pole_inside), 0.0, *edges])


@compiles(el.InRanges, "postgresql")
def _in_ranges(element: el.InRanges, compiler: SQLCompiler, **kw: Any) -> str:
    return _within(el.written(compiler, element.term, **kw), [(low, high - 1) for low, high in element.ranges])


@compiles(el.InGiven, "postgresql")
def _in_given(element: el.InGiven, compiler: SQLCompiler, **kw: Any) -> str:
    return _within(el.written(compiler, element.term, **kw), el.given_ranges(element, compiler, **kw))


def _within(term: str, ranges: Sequence[tuple[object, object]]) -> str:
    # Without the span of all: each range is looked up in the index, which reads nothing between them.
    if not ranges:
        return f"({term} < {term})"  # false, yet NULL where the cell is unknown
    return f"({' OR '.join(f'{term} BETWEEN {low} AND {high}' for low, high in ranges)})"


@compiles(el.Given, "postgresql")
def _given(element: el.Given, compiler: SQLCompiler, **kw: Any) -> str:
    return f"{_MARK}{element.at}{_MARK}"


_MARK = "\0"  # stands in no statement: no text that users send may hold it


def pieces(statement: str) -> tuple[str, ...]:
    """``statement`` cut where values are given: text, number of the value, text, ..."""
    return tuple(statement.split(_MARK))


def filled(pieces: Sequence[str], values: Sequence[Any]) -> str:
    """The statement with ``values`` in their places, as the compiler would have written them."""
    told = [each if at % 2 == 0 else _term(values[int(each)]) for at, each in enumerate(pieces)]
    return "".join(told)


def _term(value: Any) -> str:
    return el.whole(value) if isinstance(value, int) else literal(value)


@compiles(el.InCells, "postgresql")
def _in_cells(element: el.InCells, compiler: SQLCompiler, **kw: Any) -> str:
    # As ranges in one array of pairs: the cell is looked up by bisection, however many there are.
    term = el.written(compiler, element.term, **kw)
    edges = ",".join(f"{low},{high}" for low, high in element.ranges)
    return f"(width_bucket({term}, '{{{edges}}}'::bigint[]) % 2 = 1)"


class Same(el.Term):
    """True for every pair of rows, in a form that the planner takes for an equality of the two sources.

    PostgreSQL makes a FULL JOIN by merging or hashing alone and refuses conditions with no equality in them.
    """

    def __init__(self, left: str, right: str) -> None:
        self.aliases = (left, right)


@compiles(Same, "postgresql")
def _same(element: Same, compiler: SQLCompiler, **kw: Any) -> str:
    left, right = (f"num_nulls({compiler.preparer.quote(alias)}) * 0" for alias in element.aliases)
    return f"(({left}) = ({right}))"
