"""The bound tree: every name bound to a source, every value described by a ``Column``.

This is the contract between ``resolve`` (which makes it) and the engines' ``select`` (which turns it into
SQLAlchemy Core). It is neutral: no SQL, no engine, no edition. Classes carry the same names as in ``tree``
where they mean the same thing.

Conventions
-----------
* Every source (FROM item) has a generated alias ``t1``, ``t2``, ... unique over the whole query, subqueries
  included, so a ``Field`` names its column without ambiguity even from inside a correlated subquery.
* Every output of a ``Select`` has a generated name ``c1``, ``c2``, ... unique within it; ADQL names live on
  ``Column.name``. A ``Field`` whose source is ``Stored`` carries the column's name in the description;
  one whose source is ``Sub`` or ``CommonSource`` carries the generated output name.
* Geometry is ICRS degrees. Predicates on the sphere are neutral elements (``Within``, ``Overlaps``, ``Near``)
  so that engines can use their indexes; ``Truth`` turns a predicate into the integers 1/0 where one is a value.
* ADQL 2.1 semantics are written out: ``Arithmetic('/')`` of two integer columns is integer division
  truncating towards zero, ``%`` has the sign of the dividend; domain errors (1/0, sqrt(-1)) are NULL, and so is what
  leaves the range of doubles; integers that leave theirs are an error of the query.
* A value's ``column`` gives its type; an engine casts outputs to ``arrow_type(column)``.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass

from archive.adql.tree import JoinKind, SetKind
from archive.columns import Column
from archive.tables import Table

# --- values -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Constant:
    value: int | float | str | bool | datetime.datetime | None
    column: Column


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a source: ``name`` is described name (Stored) or generated output name (Sub, CommonSource)."""

    source: str
    name: str
    column: Column


@dataclass(frozen=True, slots=True)
class Negative:
    operand: Value
    column: Column


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """``+ - * / % ||``."""

    operator: str
    left: Value
    right: Value
    column: Column


@dataclass(frozen=True, slots=True)
class Apply:
    """A scalar function by the key of its entry in ``functions`` (lower case: ``abs``, ``ivo_healpix_index``)."""

    function: str
    arguments: tuple[Value, ...]
    column: Column


@dataclass(frozen=True, slots=True)
class Aggregate:
    """``count sum avg min max`` and user-defined aggregates; no arguments means ``COUNT(*)``."""

    function: str
    arguments: tuple[Value, ...]
    distinct: bool
    column: Column


@dataclass(frozen=True, slots=True)
class Convert:
    """CAST to the type of ``column``; text that cannot be converted is an error of the query.

    A text longer than the length in ``column.arraysize`` (``n`` or ``n*``) is cut to it.
    """

    operand: Value
    column: Column


@dataclass(frozen=True, slots=True)
class Scalar:
    """A subquery giving one value."""

    query: Rows
    column: Column


@dataclass(frozen=True, slots=True)
class Truth:
    """1 where the condition holds, 0 where it does not, NULL where unknown."""

    condition: Condition
    column: Column


@dataclass(frozen=True, slots=True)
class Separation:
    """Angular distance in degrees of two points, each given by longitude and latitude."""

    lon1: Value
    lat1: Value
    lon2: Value
    lat2: Value
    column: Column


# Geometry values. Columns of geometry type are ``Field``s, function results ``Apply``s.


@dataclass(frozen=True, slots=True)
class PointOf:
    lon: Value
    lat: Value
    column: Column


@dataclass(frozen=True, slots=True)
class CircleOf:
    lon: Value
    lat: Value
    radius: Value
    column: Column


@dataclass(frozen=True, slots=True)
class PolygonOf:
    """Great-circle polygon by its vertices (lon, lat); the side with the smaller area is inside."""

    vertices: tuple[tuple[Value, Value], ...]
    column: Column


@dataclass(frozen=True, slots=True)
class Pixels:
    """A fixed region as HEALPix ranges at order 29, half-open, sorted, disjoint (a MOC literal)."""

    ranges: tuple[tuple[int, int], ...]
    column: Column


Value = (
    Constant | Field | Negative | Arithmetic | Apply | Aggregate | Convert | Scalar | Truth | Separation
    | PointOf | CircleOf | PolygonOf | Pixels
)  # fmt: skip


# --- conditions ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Comparison:
    operator: str  # = <> < > <= >=
    left: Value
    right: Value


@dataclass(frozen=True, slots=True)
class Between:
    operand: Value
    low: Value
    high: Value


@dataclass(frozen=True, slots=True)
class InList:
    operand: Value
    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class InQuery:
    operand: Value
    query: Rows


@dataclass(frozen=True, slots=True)
class Like:
    """LIKE (``folded``: ILIKE); ``%`` and ``_`` are the only special characters, there is no escape."""

    operand: Value
    pattern: Value
    folded: bool = False


@dataclass(frozen=True, slots=True)
class IsNull:
    operand: Value


@dataclass(frozen=True, slots=True)
class Exists:
    query: Rows


@dataclass(frozen=True, slots=True)
class And:
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    condition: Condition


@dataclass(frozen=True, slots=True)
class Near:
    """The two points are separated by at most ``radius`` degrees (less than, where not ``inclusive``)."""

    lon1: Value
    lat1: Value
    lon2: Value
    lat2: Value
    radius: Value
    inclusive: bool = True


@dataclass(frozen=True, slots=True)
class Within:
    """``inner`` lies inside ``outer``, the boundary counting as inside (CONTAINS).

    A point in a circle is always made ``Near`` by resolve, so that both spellings of a cone are one.
    """

    inner: Value
    outer: Value


@dataclass(frozen=True, slots=True)
class Overlaps:
    """``left`` and ``right`` share at least one point (INTERSECTS)."""

    left: Value
    right: Value


Condition = Comparison | Between | InList | InQuery | Like | IsNull | Exists | And | Or | Not | Near | Within | Overlaps


# --- rows ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """A table with rows of its own: published, standing (TAP_SCHEMA) or uploaded."""

    alias: str
    table: Table


@dataclass(frozen=True, slots=True)
class Sub:
    alias: str
    query: Rows


@dataclass(frozen=True, slots=True)
class CommonSource:
    """A use of the common table generated as ``name`` (``w1``, ...)."""

    alias: str
    name: str


@dataclass(frozen=True, slots=True)
class Join:
    """NATURAL and USING are already expanded into ``on``; ``on`` is None for CROSS only."""

    kind: JoinKind
    left: Source
    right: Source
    on: Condition | None = None


Source = Stored | Sub | CommonSource | Join


@dataclass(frozen=True, slots=True)
class Output:
    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class Order:
    """``by`` is a position in the outputs (from 1) or a value. NULLs come last, ascending and descending."""

    by: int | Value
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Select:
    """``offset`` rows are skipped before ``top`` are taken (ADQL 2.1 section 4.10)."""

    outputs: tuple[Output, ...]
    source: Source | None
    where: Condition | None = None
    group_by: tuple[Value, ...] = ()
    having: Condition | None = None
    order_by: tuple[Order, ...] = ()
    distinct: bool = False
    top: int | None = None
    offset: int | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(output.value.column for output in self.outputs)


@dataclass(frozen=True, slots=True)
class SetOperation:
    """Operands have equally many outputs, both named ``c1``...; ``columns`` is the common description.

    ``order_by`` refers to positions only. ``top`` is None except where a limit was laid on the whole.
    """

    kind: SetKind
    left: Rows
    right: Rows
    all: bool
    columns: tuple[Column, ...]
    order_by: tuple[Order, ...] = ()
    top: int | None = None
    offset: int | None = None


Rows = Select | SetOperation


@dataclass(frozen=True, slots=True)
class Bound:
    """A whole bound query.

    ``columns`` are the outputs in order, with names unique and legal. ``common`` lists common tables in
    order of definition. ``tables`` are all stored tables it reads. ``notes`` are for the user (what was
    adapted or assumed).
    """

    body: Rows
    common: tuple[tuple[str, Rows], ...] = ()
    columns: tuple[Column, ...] = ()
    tables: Mapping[tuple[str, str], Table] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


PARTS: dict[type, tuple[str, ...]] = {
    kind: tuple(each.name for each in fields(kind) if each.name not in ("column", "columns", "table", "tables"))
    for kind in list(globals().values())
    if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == __name__
}
"""Every class of the bound tree with the names of those of its fields that can hold other nodes, for walking it."""
