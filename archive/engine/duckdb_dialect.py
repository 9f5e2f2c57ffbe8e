"""How DuckDB spells our elements and functions: a compile-only dialect and one table of renderings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import IdentifierPreparer, SQLCompiler
from sqlalchemy.sql.expression import ClauseElement

from archive.columns import Column, Datatype
from archive.engine import elements as el
from archive.engine.duckdb_macros import outline_rows
from archive.sky import cells_of

_SCALARS: Mapping[Datatype, str] = {
    Datatype.BOOLEAN: "BOOLEAN",
    Datatype.BIT: "BOOLEAN",
    Datatype.BYTE: "UTINYINT",
    Datatype.SHORT: "SMALLINT",
    Datatype.INT: "INTEGER",
    Datatype.LONG: "BIGINT",
    Datatype.FLOAT: "REAL",
    Datatype.DOUBLE: "DOUBLE",
    Datatype.FLOAT_COMPLEX: "REAL[2]",
    Datatype.DOUBLE_COMPLEX: "DOUBLE[2]",
}


class QuoteAll(IdentifierPreparer):
    """Every name in quotes: PostgreSQL's list of reserved words, which SQLAlchemy would go by, is not DuckDB's."""

    def _requires_quotes(self, value: str) -> bool:
        return True


class DuckDBDialect(PGDialect):
    """Compiles only; statements run through DuckDB's own client, which streams Arrow."""

    name = "duckdb"
    default_paramstyle = "numeric_dollar"
    supports_statement_cache = True
    preparer = QuoteAll  # type: ignore[assignment]


DIALECT = DuckDBDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


def type_name(column: Column) -> str:
    """DuckDB's name for the type of ``column``; it arrives in Arrow as ``columns.arrow_type`` has it."""
    if column.is_timestamp:
        return "TIMESTAMP"
    if column.datatype.is_text:
        return "VARCHAR"
    scalar = _SCALARS[column.datatype]
    if column.arraysize is None:
        return scalar
    return f"{scalar}[{column.arraysize}]" if column.arraysize.isdigit() else f"{scalar}[]"


def once(text: str, pattern: str) -> str:
    """``pattern`` with ``text`` in place of ``{0}``, however often: long and random texts are computed once.

    Without this a chain of n functions, each naming its argument twice, would make a statement of 2**n terms.
    """
    if len(text) < 200 and "random()" not in text:
        return pattern.format(text)
    return f"list_transform([{text}], lambda x: {pattern.format('x')})[1]"


def finite(text: str) -> str:
    """NULL where the double ``text`` is infinite or not a number: our one answer to domain errors."""
    return f"({once(text, 'CASE WHEN isfinite({0}) THEN {0} END')})"


_FINITE = ("exp", "log10", "sqrt", "acos", "asin", "cos", "cot", "sin", "tan")

_CALLS: Mapping[str, str] = {
    "ceiling": "ceil({0})",
    "rand": "random()",
    "truncate": "trunc({0})",
    "coord1": "({0})[1]",
    "coord2": "({0})[2]",
    "radius": "({0})[3]",
    "area": "polygon_area({0})",
    "centroid": "polygon_centroid({0})",
    "rotate": "rotate({0}, [{1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9}])",
    "ivo_healpix_index": "healpix_index({0}, {1}, {2})",
    "ivo_healpix_center": "healpix_center({0}, {1})",
    "ivo_to_mjd": "(epoch_us({0}) / 8.64e10 + 40587)",
    "ivo_hasword": "has_words({0}, {1})",
    "ivo_hashlist_has": "hash_listed({0}, {1})",
    "ivo_hms_to_degrees": "hms({0})",
    "ivo_dms_to_degrees": "dms({0})",
    "longest": "max(length({0}))",
    "ivo_string_agg": "string_agg({0}, {1} ORDER BY {0})",
    "ivo_histogram": "counts(histogram(bin_of({0}, {1}, {2}, {3})), {3})",
}
"""Keys whose call differs from their name; the rest are functions or macros of the same name."""


def invoke(function: str, texts: Sequence[str], unique: bool) -> str:
    """A call of ``function`` with arguments that are closed terms; ``unique`` for an aggregate over DISTINCT values."""
    match function:
        case "log":
            return finite(f"ln({texts[0]})")
        case "power":
            return finite(f"power({texts[0]}, {texts[1]})")
        case "round" | "truncate" if len(texts) == 2:
            return finite(f"{'trunc' if function == 'truncate' else 'round'}({texts[0]}, {texts[1]})")
        case "count" if not texts:
            return "count(*)"
        case "polygon":
            return f"polygon([{', '.join(texts)}])"
        case _ if function in _FINITE:
            return finite(f"{function}({texts[0]})")
    if unique:
        texts = (f"DISTINCT {texts[0]}", *texts[1:])
    call = _CALLS.get(function)
    return f"{function}({', '.join(texts)})" if call is None else call.format(*texts)


@compiles(el.Invoke, "duckdb")
def _invoke(element: el.Invoke, compiler: SQLCompiler, **kw: Any) -> str:
    texts = [el.written(compiler, term, **kw) for term in element.terms]
    return invoke(element.function, texts, element.unique)


@compiles(el.Real, "duckdb")
def _real(element: el.Real, compiler: SQLCompiler, **kw: Any) -> str:
    return real(element.value)


def real(value: float) -> str:
    """A double as DuckDB reads it exactly: with an exponent, without which it would be a decimal."""
    text = repr(float(value))
    return f"({text})" if "e" in text else f"({text}e0)"


_HALF = real(math.pi / 360)


@compiles(el.As, "duckdb")
def _as(element: el.As, compiler: SQLCompiler, **kw: Any) -> str:
    return f"CAST({el.written(compiler, element.term, **kw)} AS {type_name(element.column)})"


@compiles(el.Number, "duckdb")
def _number(element: el.Number, compiler: SQLCompiler, **kw: Any) -> str:
    return f"CAST({el.written(compiler, element.term, **kw)} AS INTEGER)"


@compiles(el.Quotient, "duckdb")
def _quotient(element: el.Quotient, compiler: SQLCompiler, **kw: Any) -> str:
    left, right = el.written(compiler, element.left, **kw), el.written(compiler, element.right, **kw)
    if element.whole:  # division by zero is NULL by the engine's setting
        return f"({left} {'//' if element.operator == '/' else '%'} {right})"
    return f"({left} {element.operator} {once(right, 'nullif({0}, 0)')})"


@compiles(el.Computed, "duckdb")
def _computed(element: el.Computed, compiler: SQLCompiler, **kw: Any) -> str:
    return finite(_arithmetic(element, compiler, **kw))


def _arithmetic(term: ClauseElement, compiler: SQLCompiler, **kw: Any) -> str:
    """Arithmetic without a look at what comes of it: what is not finite stays so, except below a division."""
    if not isinstance(term, el.Computed):
        return el.written(compiler, term, **kw)
    left = _arithmetic(term.left, compiler, **kw)
    right = el.written(compiler, term.right, **kw) if term.operator == "/" else _arithmetic(term.right, compiler, **kw)
    return f"({left} {term.operator} {right})"


@compiles(el.Matches, "duckdb")
def _matches(element: el.Matches, compiler: SQLCompiler, **kw: Any) -> str:
    term, pattern = el.written(compiler, element.term, **kw), el.written(compiler, element.pattern, **kw)
    return f"({term} {'ILIKE' if element.folded else 'LIKE'} {pattern})"


@compiles(el.Exploded, "duckdb")
def _exploded(element: el.Exploded, compiler: SQLCompiler, **kw: Any) -> str:
    return f"unnest({el.written(compiler, element.term, **kw)})"


@compiles(el.Cone, "duckdb")
def _cone(element: el.Cone, compiler: SQLCompiler, **kw: Any) -> str:
    lon, lat = el.written(compiler, element.lon, **kw), el.written(compiler, element.lat, **kw)
    test = element.test
    along, across, sign = ("+", "cos", ">") if test.beyond else ("-", "sin", "<")

    def number(value: el.Measure) -> str:
        return el.written(compiler, value, **kw) if isinstance(value, el.Given) else real(value)

    return (
        f"(pow(sin(({lat} {along} {number(test.lat)}) * {_HALF}), 2) + cos(radians({lat})) * {number(test.flat)}"
        f" * pow({across}(({lon} - {number(test.lon)}) * {_HALF}), 2)"
        f" {sign}{'=' if test.inclusive else ''} {number(test.bound)})"
    )


@compiles(el.Given, "duckdb")
def _given(element: el.Given, compiler: SQLCompiler, **kw: Any) -> str:
    return el.written(compiler, sa.bindparam(f"v{element.at}", None, sa.types.NULLTYPE), **kw)


@compiles(el.Inside, "duckdb")
def _inside(element: el.Inside, compiler: SQLCompiler, **kw: Any) -> str:
    lon, lat = el.written(compiler, element.lon, **kw), el.written(compiler, element.lat, **kw)
    edges = el.written(compiler, el.parameter(outline_rows(element.outline)), **kw)
    pole = int(element.outline.pole_inside)
    return f"point_in_outline({lon}, {lat}, {{'edges': CAST({edges} AS DOUBLE[][]), 'pole': {pole}}})"


@compiles(el.InCells, "duckdb")
def _in_cells(element: el.InCells, compiler: SQLCompiler, **kw: Any) -> str:
    term, tests = el.written(compiler, element.term, **kw), []
    for shift, cells in cells_of(element.ranges):
        listed = el.written(compiler, el.parameter(cells), **kw)
        tests.append(f"(({term} >> {shift}) IN (SELECT unnest(CAST({listed} AS BIGINT[]))))")
    return f"({' OR '.join(tests)})"
