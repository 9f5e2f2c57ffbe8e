"""Our own SQLAlchemy elements: what the portable part of a statement is made of.

Each renders as a *closed term* (a name, a call, or something in parentheses), so terms nest without regard to
precedence. What is the same everywhere is rendered here; elements without a rule here (``Invoke``, ``As``,
``Quotient``, ...) are rendered by each engine's dialect, and compiling one an engine forgot is an error.

The elements are opaque to SQLAlchemy: they contribute no FROM items and are never correlated by guess, since
``select`` names every source itself. They are compiled, never executed through SQLAlchemy's cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import BindParameter, ClauseElement, TextClause
from sqlalchemy.types import NULLTYPE

from archive.columns import Column
from archive.sky import TOLERANCE, Circle, Outline, Ranges


class Term(ColumnElement[Any]):
    """A closed term of a statement."""

    inherit_cache = False
    type = NULLTYPE


class Ref(Term):
    """A column of the FROM item ``alias``; both names are generated."""

    def __init__(self, alias: str, name: str) -> None:
        self.alias = alias
        self.name = name


class Whole(Term):
    """An integer, written out: it needs no parameter and planners see it."""

    def __init__(self, value: int) -> None:
        self.value = value


class Real(Term):
    """A double that we computed, written so that the engine reads exactly it."""

    def __init__(self, value: float) -> None:
        self.value = value


class Given(Term):
    """A value that is handed in when the statement is run: number ``at`` of them."""

    def __init__(self, at: int) -> None:
        self.at = at


class Infix(Term):
    """Terms joined by one operator that means the same on every engine."""

    def __init__(self, operator: str, terms: Sequence[ClauseElement]) -> None:
        self.operator = operator
        self.terms = terms


class Prefix(Term):
    """An operator before one term: ``NOT``, ``-``, ``EXISTS``."""

    def __init__(self, operator: str, term: ClauseElement) -> None:
        self.operator = operator
        self.term = term


class Missing(Term):
    """True where ``term`` is NULL."""

    def __init__(self, term: ClauseElement) -> None:
        self.term = term


class Amid(Term):
    """``low <= term <= high``."""

    def __init__(self, term: ClauseElement, low: ClauseElement, high: ClauseElement) -> None:
        self.terms = (term, low, high)


class OneOf(Term):
    """Membership in a list of terms."""

    def __init__(self, term: ClauseElement, items: Sequence[ClauseElement]) -> None:
        self.term = term
        self.items = items


class Nested(Term):
    """A whole statement as a term."""

    def __init__(self, statement: ClauseElement) -> None:
        self.statement = statement


class InRanges(Term):
    """True where an integer lies in one of some half-open ranges; the span of all is stated first."""

    def __init__(self, term: ClauseElement, ranges: Ranges) -> None:
        self.term = term
        self.ranges = ranges


class InGiven(Term):
    """``InRanges`` of ranges that are handed in when the statement is run: the first and the last cell of each."""

    def __init__(self, term: ClauseElement, ranges: Sequence[tuple[Given, Given]]) -> None:
        self.term = term
        self.ranges = ranges


class As(Term):
    """A term cast to the type of a column."""

    def __init__(self, term: ClauseElement, column: Column) -> None:
        self.term = term
        self.column = column


class Quotient(Term):
    """Division (``/``) of integers, or the remainder (``%``) of any numbers; NULL where the divisor is 0."""

    def __init__(self, operator: str, left: ClauseElement, right: ClauseElement, whole: bool) -> None:
        self.operator = operator
        self.left = left
        self.right = right
        self.whole = whole


class Computed(Term):
    """``+ - * /`` of doubles, or of ``single`` precision: what leaves the range of the type is NULL, as 1/0 is.

    What is too small for it is 0.
    """

    def __init__(self, operator: str, left: ClauseElement, right: ClauseElement, single: bool) -> None:
        self.operator = operator
        self.left = left
        self.right = right
        self.single = single


class Matches(Term):
    """LIKE without an escape character; ``folded`` in any case of letters."""

    def __init__(self, term: ClauseElement, pattern: ClauseElement, folded: bool) -> None:
        self.term = term
        self.pattern = pattern
        self.folded = folded


class Number(Term):
    """The integers 1 and 0 for true and false, NULL for unknown."""

    def __init__(self, term: ClauseElement) -> None:
        self.term = term


class Invoke(Term):
    """A function of our own vocabulary, looked up in the engine's table of renderings; ``unique``: DISTINCT."""

    def __init__(self, function: str, terms: Sequence[ClauseElement], unique: bool = False) -> None:
        self.function = function
        self.terms = terms
        self.unique = unique


class Ordering(Term):
    """An entry of ORDER BY: NULLs are last, ascending and descending."""

    def __init__(self, term: ClauseElement, descending: bool) -> None:
        self.term = term
        self.descending = descending


Measure = float | Given


@dataclass(frozen=True, slots=True)
class Versine:
    """The numbers by which half a versine tells whether a position is in a circle: all that can be computed beforehand.

    ``flat`` is the cosine of the latitude of its centre. Beyond 90 degrees the test is whether the position is outside
    the circle around the antipode (``beyond``): so both are exact to rounding for radii near 0 and near 180.
    """

    lon: Measure
    lat: Measure
    flat: Measure
    bound: Measure
    beyond: bool
    inclusive: bool

    @classmethod
    def of(cls, circle: Circle, inclusive: bool) -> Versine:
        """Those of ``circle``, whose rim counts as inside if ``inclusive``."""
        reach = circle.radius + (TOLERANCE if inclusive else -TOLERANCE)
        beyond = reach > 90
        rest = 180 - reach if beyond else reach
        none = rest <= 0 if beyond else rest < 0
        bound = -1.0 if none else math.sin(math.radians(rest) / 2) ** 2
        return cls(circle.lon, circle.lat, math.cos(math.radians(circle.lat)), bound, beyond, inclusive)


class Cone(Term):
    """True where a position lies in the constant circle of ``test``."""

    def __init__(self, lon: ClauseElement, lat: ClauseElement, test: Versine) -> None:
        self.lon = lon
        self.lat = lat
        self.test = test


class Inside(Term):
    """True where a position lies inside a constant polygon or on its boundary."""

    def __init__(self, lon: ClauseElement, lat: ClauseElement, outline: Outline) -> None:
        self.lon = lon
        self.lat = lat
        self.outline = outline


class InCells(Term):
    """``InRanges`` for any number of ranges, by looking cells up instead of comparing each range."""

    def __init__(self, term: ClauseElement, ranges: Ranges) -> None:
        self.term = term
        self.ranges = ranges


class Exploded(Term):
    """One row for each element of a list-valued term; stands in a select list only."""

    def __init__(self, term: ClauseElement) -> None:
        self.term = term


def everything(alias: str) -> TextClause:
    """All columns of the FROM item ``alias`` in a select list; as text, since SQLAlchemy would name an element."""
    return sa.text(f'"{alias}".*')


def parameter(value: Any) -> BindParameter[Any]:
    """A parameter of its own, holding anything the engine's client takes."""
    return sa.bindparam(None, value, NULLTYPE, unique=True)


def written(compiler: SQLCompiler, term: ClauseElement, **kw: Any) -> str:
    """The text of ``term`` inside an element, freed of what SQLAlchemy tells only the outermost one."""
    kw.pop("add_to_result_map", None)
    kw.pop("within_columns_clause", None)
    return str(compiler.process(term, **kw))


def joined(compiler: SQLCompiler, terms: Iterable[ClauseElement], between: str, **kw: Any) -> str:
    """The texts of ``terms`` with ``between`` between them."""
    return between.join(written(compiler, term, **kw) for term in terms)


@compiles(Ref)
def _ref(element: Ref, compiler: SQLCompiler, **kw: Any) -> str:
    return f'"{element.alias}"."{element.name}"'


@compiles(Whole)
def _whole(element: Whole, compiler: SQLCompiler, **kw: Any) -> str:
    return whole(element.value)


def whole(value: int) -> str:
    """An integer as a closed term."""
    return str(value) if value >= 0 else f"({value})"


@compiles(Infix)
def _infix(element: Infix, compiler: SQLCompiler, **kw: Any) -> str:
    return f"({joined(compiler, element.terms, f' {element.operator} ', **kw)})"


@compiles(Prefix)
def _prefix(element: Prefix, compiler: SQLCompiler, **kw: Any) -> str:
    return f"({element.operator} {written(compiler, element.term, **kw)})"


@compiles(Missing)
def _missing(element: Missing, compiler: SQLCompiler, **kw: Any) -> str:
    return f"({written(compiler, element.term, **kw)} IS NULL)"


@compiles(Amid)
def _amid(element: Amid, compiler: SQLCompiler, **kw: Any) -> str:
    term, low, high = (written(compiler, part, **kw) for part in element.terms)
    return f"({term} BETWEEN {low} AND {high})"


@compiles(OneOf)
def _one_of(element: OneOf, compiler: SQLCompiler, **kw: Any) -> str:
    return f"({written(compiler, element.term, **kw)} IN ({joined(compiler, element.items, ', ', **kw)}))"


@compiles(Nested)
def _nested(element: Nested, compiler: SQLCompiler, **kw: Any) -> str:
    return f"({written(compiler, element.statement, **kw)})"


@compiles(InRanges)
def _in_ranges(element: InRanges, compiler: SQLCompiler, **kw: Any) -> str:
    # As one text: a hundred numbers as separate elements would take longer to compile than the query to run.
    ranges = [(str(low), str(high - 1)) for low, high in element.ranges]
    return _within(written(compiler, element.term, **kw), ranges)


def _within(term: str, ranges: Sequence[tuple[str, str]]) -> str:
    if not ranges:
        return f"({term} < {term})"  # false, yet NULL where the cell is unknown
    span = f"{term} BETWEEN {ranges[0][0]} AND {ranges[-1][1]}"
    if len(ranges) == 1:
        return f"({span})"
    each = " OR ".join(f"{term} BETWEEN {low} AND {high}" for low, high in ranges)
    return f"({span} AND ({each}))"


@compiles(InGiven)
def _in_given(element: InGiven, compiler: SQLCompiler, **kw: Any) -> str:
    return _within(written(compiler, element.term, **kw), given_ranges(element, compiler, **kw))


def given_ranges(element: InGiven, compiler: SQLCompiler, **kw: Any) -> list[tuple[str, str]]:
    """The texts of the first and the last cell of each range."""
    return [(written(compiler, low, **kw), written(compiler, high, **kw)) for low, high in element.ranges]


@compiles(Ordering)
def _ordering(element: Ordering, compiler: SQLCompiler, **kw: Any) -> str:
    return f"{written(compiler, element.term, **kw)} {'DESC' if element.descending else 'ASC'} NULLS LAST"
