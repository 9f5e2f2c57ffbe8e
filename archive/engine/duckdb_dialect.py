"""How DuckDB spells our elements and functions: a compile-only dialect and one table of renderings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import IdentifierPreparer, SQLCompiler

from archive.columns import Column, Datatype
from archive.engine import elements as el
from archive.engine.sphere import TOLERANCE

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
    """``pattern`` with ``text`` in place of ``{0}``, however often: long texts are computed once.

    Without this a chain of n functions, each naming its argument twice, would make a statement of 2**n terms.
    """
    if len(text) < 200:
        return pattern.format(text)
    return f"list_transform([{text}], lambda x: {pattern.format('x')})[1]"


def finite(text: str) -> str:
    """NULL where the double ``text`` is infinite or not a number: our one answer to domain errors."""
    return f"({once(text, 'CASE WHEN isfinite({0}) THEN {0} END')})"


_FINITE = ("exp", "log10", "sqrt", "acos", "asin", "cos", "cot", "sin", "tan")

FUNCTIONS: Mapping[str, str] = {
    "abs": "abs({0})",
    "ceiling": "ceil({0})",
    "degrees": "degrees({0})",
    "floor": "floor({0})",
    "radians": "radians({0})",
    "rand": "random()",
    "round": "round({0})",
    "truncate": "trunc({0})",
    "atan": "atan({0})",
    "atan2": "atan2({0}, {1})",
    "lower": "lower({0})",
    "upper": "upper({0})",
    "coord1": "({0})[1]",
    "coord2": "({0})[2]",
    "radius": "({0})[3]",
    "count": "count({0})",
    "sum": "sum({0})",
    "avg": "avg({0})",
    "min": "min({0})",
    "max": "max({0})",
}
"""Renderings by key; arguments are closed terms. Keys with code of their own are in ``invoke``."""


def invoke(function: str, texts: Sequence[str], unique: bool) -> str:
    """A call of ``function`` with arguments that are closed terms; ``unique`` for an aggregate over DISTINCT values."""
    if function in _FINITE:
        return finite(f"{function}({texts[0]})")
    match function:
        case "log":
            return finite(f"ln({texts[0]})")
        case "power":
            return finite(f"power({texts[0]}, {texts[1]})")
        case "round" | "truncate" if len(texts) == 2:
            return finite(f"{'trunc' if function == 'truncate' else 'round'}({texts[0]}, {texts[1]})")
        case "within":
            return f"near({', '.join(texts[:4])}, {texts[4]} + {TOLERANCE!r})"
        case "closer":
            return f"(separation({', '.join(texts[:4])}) < {texts[4]} - {TOLERANCE!r})"
        case "coalesce":
            return f"coalesce({', '.join(texts)})"
        case "count" if not texts:
            return "count(*)"
    if unique:
        texts = (f"DISTINCT {texts[0]}", *texts[1:])
    if function in FUNCTIONS:
        return FUNCTIONS[function].format(*texts)
    return f"{function}({', '.join(texts)})"


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


@compiles(el.Matches, "duckdb")
def _matches(element: el.Matches, compiler: SQLCompiler, **kw: Any) -> str:
    term, pattern = el.written(compiler, element.term, **kw), el.written(compiler, element.pattern, **kw)
    return f"({term} {'ILIKE' if element.folded else 'LIKE'} {pattern})"


@compiles(el.Exploded, "duckdb")
def _exploded(element: el.Exploded, compiler: SQLCompiler, **kw: Any) -> str:
    return f"unnest({el.written(compiler, element.term, **kw)})"
