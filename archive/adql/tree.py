"""The syntax tree of ADQL 2.1 (and 2.0): what was written, with the place where each part stands.

Nodes are frozen; ``at`` is the offset of the node's first character in ``Query.text`` (-1 for trees built
by a program, such as the one SIA2 makes). What is written between its operands (``Binary``, all conditions but
``Not`` and ``Exists``, ``Join``, ``SetOperation``) stands at its operator. ``Query.place(at)`` turns an offset
into line and column.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Identifier:
    """One name. ``text`` is without the quotes; delimited names are case-sensitive (ADQL 2.1 section 2.1.3)."""

    text: str
    delimited: bool = False
    at: int = -1

    def __str__(self) -> str:
        return '"' + self.text.replace('"', '""') + '"' if self.delimited else self.text


# --- values -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Number:
    """A numeric literal; integers of any size stay exact ints."""

    value: int | float
    text: str = ""
    at: int = -1


@dataclass(frozen=True, slots=True)
class Text:
    """A string literal, without its quotes."""

    value: str
    at: int = -1


@dataclass(frozen=True, slots=True)
class Null:
    at: int = -1


@dataclass(frozen=True, slots=True)
class Name:
    """A column reference: up to catalog.schema.table.column."""

    parts: tuple[Identifier, ...]
    at: int = -1


@dataclass(frozen=True, slots=True)
class Signed:
    """Unary plus or minus."""

    sign: str
    operand: Expression
    at: int = -1


@dataclass(frozen=True, slots=True)
class Binary:
    """``+ - * / % ||``; ``at`` is the operator's place."""

    operator: str
    left: Expression
    right: Expression
    at: int = -1


@dataclass(frozen=True, slots=True)
class Call:
    """A function call, built-in, geometric or user-defined; ``name`` as written."""

    name: Identifier
    arguments: tuple[Expression, ...]
    at: int = -1


@dataclass(frozen=True, slots=True)
class Aggregate:
    """COUNT AVG MIN MAX SUM (upper case); ``argument`` None is ``COUNT(*)``."""

    function: str
    argument: Expression | None
    distinct: bool = False
    at: int = -1


@dataclass(frozen=True, slots=True)
class TypeName:
    """The target of a CAST: upper-case name (``DOUBLE PRECISION`` as one) and optional length."""

    name: str
    length: int | None = None
    at: int = -1


@dataclass(frozen=True, slots=True)
class Cast:
    operand: Expression
    target: TypeName
    at: int = -1


@dataclass(frozen=True, slots=True)
class Scalar:
    """A subquery used as a value (an extension: the grammar of ADQL 2.1 has it only in predicates)."""

    query: Body
    at: int = -1


Expression = Number | Text | Null | Name | Signed | Binary | Call | Aggregate | Cast | Scalar


# --- conditions ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Comparison:
    """``= <> < > <= >=`` (``!=`` is read as ``<>``)."""

    operator: str
    left: Expression
    right: Expression
    at: int = -1


@dataclass(frozen=True, slots=True)
class Between:
    operand: Expression
    low: Expression
    high: Expression
    negated: bool = False
    at: int = -1


@dataclass(frozen=True, slots=True)
class InList:
    operand: Expression
    items: tuple[Expression, ...]
    negated: bool = False
    at: int = -1


@dataclass(frozen=True, slots=True)
class InQuery:
    operand: Expression
    query: Body
    negated: bool = False
    at: int = -1


@dataclass(frozen=True, slots=True)
class Like:
    """LIKE, or ILIKE where ``folded``."""

    operand: Expression
    pattern: Expression
    folded: bool = False
    negated: bool = False
    at: int = -1


@dataclass(frozen=True, slots=True)
class IsNull:
    operand: Expression
    negated: bool = False
    at: int = -1


@dataclass(frozen=True, slots=True)
class Exists:
    query: Body
    at: int = -1


@dataclass(frozen=True, slots=True)
class And:
    """A conjunction of two or more conditions: one flat tuple, so long chains do not nest."""

    conditions: tuple[Condition, ...]
    at: int = -1


@dataclass(frozen=True, slots=True)
class Or:
    conditions: tuple[Condition, ...]
    at: int = -1


@dataclass(frozen=True, slots=True)
class Not:
    condition: Condition
    at: int = -1


Condition = Comparison | Between | InList | InQuery | Like | IsNull | Exists | And | Or | Not


# --- FROM ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TableName:
    """A table by name: up to catalog.schema.table, with an optional correlation name."""

    parts: tuple[Identifier, ...]
    alias: Identifier | None = None
    at: int = -1


@dataclass(frozen=True, slots=True)
class Derived:
    """A subquery in FROM; its correlation name is required."""

    query: Body
    alias: Identifier
    at: int = -1


class JoinKind(StrEnum):
    INNER = "INNER"
    LEFT = "LEFT"
    RIGHT = "RIGHT"
    FULL = "FULL"
    CROSS = "CROSS"


@dataclass(frozen=True, slots=True)
class Join:
    """A join; exactly one of ``natural``, ``on``, ``using`` unless CROSS (comma joins are CROSS too)."""

    kind: JoinKind
    left: TableReference
    right: TableReference
    natural: bool = False
    on: Condition | None = None
    using: tuple[Identifier, ...] = ()
    at: int = -1


TableReference = TableName | Derived | Join


# --- queries ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Star:
    """``*`` or ``qualifier.*``."""

    qualifier: tuple[Identifier, ...] = ()
    at: int = -1


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of the select list with its optional alias."""

    expression: Expression
    alias: Identifier | None = None
    at: int = -1


@dataclass(frozen=True, slots=True)
class Order:
    """An ORDER BY entry; a bare unsigned integer literal is a position in the select list (from 1)."""

    expression: Expression
    descending: bool = False
    at: int = -1


@dataclass(frozen=True, slots=True)
class Select:
    items: tuple[Item | Star, ...]
    source: TableReference | None
    distinct: bool = False
    top: int | None = None
    where: Condition | None = None
    group_by: tuple[Expression, ...] = ()
    having: Condition | None = None
    order_by: tuple[Order, ...] = ()
    offset: int | None = None
    at: int = -1


class SetKind(StrEnum):
    UNION = "UNION"
    EXCEPT = "EXCEPT"
    INTERSECT = "INTERSECT"


@dataclass(frozen=True, slots=True)
class SetOperation:
    """Two bodies combined; ORDER BY and OFFSET here apply to the combined rows."""

    kind: SetKind
    left: Body
    right: Body
    all: bool = False
    order_by: tuple[Order, ...] = ()
    offset: int | None = None
    at: int = -1


Body = Select | SetOperation


@dataclass(frozen=True, slots=True)
class CommonTable:
    """One element of WITH."""

    name: Identifier
    query: Body
    at: int = -1


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query. ``text`` is what the user wrote ('' for trees made by a program)."""

    body: Body
    common: tuple[CommonTable, ...] = ()
    text: str = ""

    def place(self, at: int) -> tuple[int, int] | None:
        """Line and column (both from 1) of offset ``at``, or None where the text is unknown."""
        if at < 0 or not self.text:
            return None
        return place_of(self.text, at)


def place_of(text: str, at: int) -> tuple[int, int]:
    """Line and column (both from 1, in characters) of offset ``at`` in ``text``."""
    start = text.rfind("\n", 0, at) + 1
    return text.count("\n", 0, at) + 1, at - start + 1
