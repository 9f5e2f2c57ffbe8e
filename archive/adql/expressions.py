"""The grammar of values and conditions: a Pratt parser over one table of prefixes and one of infixes.

Values and conditions are parsed by the same climb, because after "(" nobody knows yet which will come; what
was found is checked where it is used. Precedence, weakest first: OR, AND, NOT, predicates, ``||``, ``+ -``,
``* / %``, sign (ADQL 2.1 sections 2.2 and 4).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from archive.adql import tree
from archive.adql.cursor import COMPARISONS, MOST_NESTING, QUERY, Cursor
from archive.adql.lexer import NAME, NUMBER, QUOTED, STRING
from archive.adql.tree import (
    Aggregate,
    And,
    Between,
    Binary,
    Call,
    Cast,
    Comparison,
    Condition,
    Exists,
    Expression,
    Identifier,
    InList,
    InQuery,
    IsNull,
    Like,
    Name,
    Not,
    Null,
    Number,
    Or,
    Scalar,
    Signed,
    Text,
    TypeName,
)  # fmt: skip
from archive.adql.words import AGGREGATES, CAST_INSTEAD, CAST_TARGETS, FUNCTIONS
from archive.faults import UsageFault

Node = Expression | Condition

OR, AND, PREDICATE, VALUE, SUM, PRODUCT, SIGN = 1, 2, 4, 5, 6, 7, 8

CONDITIONS = frozenset({Comparison, Between, InList, InQuery, Like, IsNull, Exists, And, Or, Not})
AFTER_QUERY = frozenset({"UNION", "EXCEPT", "INTERSECT", "ORDER", "OFFSET"})

_MOST_DIGITS = 1000
_TRUTH_FUNCTIONS = ("CONTAINS", "INTERSECTS")


class Expressions(Cursor):
    """Reads values and conditions; how a subquery is read is the business of ``parser.Parser``."""

    def body(self) -> tree.Body:
        """Read a query after its opening parenthesis, up to but not with the closing one."""
        raise AssertionError("defined by the parser of whole queries")

    def body_after(self, first: tree.Body) -> tree.Body:
        """Read on behind a parenthesised query: set operations, ORDER BY, OFFSET."""
        raise AssertionError("defined by the parser of whole queries")

    def value(self) -> Expression:
        """Read an expression."""
        return self.as_value(self.climb(VALUE))

    def condition(self) -> Condition:
        """Read a search condition."""
        return self.as_condition(self.climb(OR))

    def climb(self, floor: int) -> Node:
        """Read what binds at least as strongly as ``floor``."""
        self.nesting += 1
        if self.nesting > MOST_NESTING:
            self.deepen()
        kinds = self.kinds
        prefix = _PREFIXES.get(kinds[self.i])
        if prefix is None:
            raise self.unexpected("a value", naming=True)
        left = prefix(self)
        while (infix := _INFIXES.get(kinds[self.i])) is not None and infix[0] >= floor:
            left = infix[1](self, left)
        self.nesting -= 1
        return left

    def as_value(self, node: Node) -> Expression:
        """``node``, which must be a value."""
        if type(node) in CONDITIONS:
            raise self._misused(
                node, "a condition stands where a value is needed.", "Conditions go into WHERE or HAVING."
            )
        return node  # type: ignore[return-value]

    def as_condition(self, node: Node) -> Condition:
        """``node``, which must be a condition."""
        if type(node) not in CONDITIONS:
            raise self._not_a_condition(node)  # type: ignore[arg-type]
        return node  # type: ignore[return-value]

    def _not_a_condition(self, node: Expression) -> UsageFault:
        if isinstance(node, Call) and node.name.text.upper() in _TRUTH_FUNCTIONS:
            name = node.name.text.upper()
            message = f"{name}(...) alone is not a condition: it gives the number 1 or 0."
            return self._misused(node, message, f"Write 1 = {name}(...).")
        if _PREFIXES.get(self.kinds[self.i]) is None:
            if isinstance(node, Name):
                example = ".".join(map(str, node.parts))
                remedy = f"A boolean column is compared with 1: {example} = 1."
            else:
                remedy = "Compare it: =, <>, <, >, <=, >=, BETWEEN, IN, LIKE, IS NULL."
            return self._misused(node, "a value stands where a condition is needed.", remedy)
        return self.unexpected("a comparison (=, <>, <, >, <=, >=, BETWEEN, IN, LIKE, ILIKE, IS NULL)")

    def _misused(self, node: Node, message: str, remedy: str) -> UsageFault:
        # Report the place of the node; tokens are sorted by place.
        at = self.places.index(node.at) if node.at in self.places else self.i
        return self.fault(message, remedy, at)

    # --- what a value begins with -----------------------------------------------------------------

    def _number(self) -> Number:
        i = self.i
        text = self.texts[i]
        value: int | float
        if len(text) > _MOST_DIGITS:
            raise self.fault("this number has too many digits.")
        if text.isdigit():
            value = int(text)
        else:
            value = float(text)
            if math.isinf(value):
                raise self.fault(f"{text} is larger than any double.", "The largest is about 1.8e308.")
        self.i = i + 1
        return Number(value, text, self.places[i])

    def _string(self) -> Text:
        i = self.i
        self.i = i + 1
        return Text(self.texts[i][1:-1].replace("''", "'"), self.places[i])

    def _null(self) -> Null:
        self.i += 1
        return Null(self.places[self.i - 1])

    def _name(self) -> Expression:
        i = self.i
        follower = self.kinds[i + 1]
        if follower == "(":
            return self._call()
        at = self.places[i]
        first = Identifier(self.texts[i], False, at)
        self.i = i + 1
        return self._qualified(first, at) if follower == "." else Name((first,), at)

    def _quoted_name(self) -> Name:
        i = self.i
        first = self.quoted(i)
        self.i = i + 1
        if self.kinds[i + 1] == "(":
            raise self.fault("a function's name is never quoted.", f"Write {first.text}(...).", i)
        return self._qualified(first, first.at) if self.kinds[i + 1] == "." else Name((first,), first.at)

    def _qualified(self, first: Identifier, at: int) -> Name:
        parts = [first]
        while self.accept("."):
            parts.append(self.identifier("a name after the dot"))
        if len(parts) > 4:
            raise self.fault("a column's name has too many parts.", "At most catalog.schema.table.column is possible.")
        if self.kinds[self.i] == "(":
            raise self.fault("a function's name has no dots.", f"Write {parts[-1].text}(...).", self.i - 1)
        return Name(tuple(parts), at)

    def _call(self) -> Call:
        i = self.i
        name = Identifier(self.texts[i], False, self.places[i])
        self.i = i + 1
        if self.kinds[i + 1] != "(":
            self.i = i
            raise self.unexpected("a value", naming=True)
        opened = self.opened()
        arguments: list[Expression] = []
        if self.kinds[self.i] != ")":
            if self.kinds[self.i] in _ONLY_IN_AGGREGATES:
                raise self._no_aggregate(name.text)
            arguments.append(self.as_value(self.climb(VALUE)))
            while self.accept(","):
                arguments.append(self.as_value(self.climb(VALUE)))
        self.close(opened, '","' if arguments else "")
        return Call(name, tuple(arguments), name.at)

    def _no_aggregate(self, name: str) -> UsageFault:
        word = self.texts[self.i]
        return self.fault(f"{name} takes no {word}.", "DISTINCT, ALL and * belong to COUNT, SUM, AVG, MIN and MAX.")

    def _aggregate(self) -> Aggregate:
        i = self.i
        function = self.kinds[i]
        self.i = i + 1
        if self.kinds[i + 1] != "(":
            self.i = i
            raise self.unexpected("a value", naming=True)
        opened = self.opened()
        distinct = self.accept("DISTINCT")
        plain = not distinct and not self.accept("ALL")
        argument = None
        if self.kinds[self.i] != "*":
            argument = self.as_value(self.climb(VALUE))
        elif function == "COUNT" and plain:
            self.i += 1
        else:
            raise self.fault(f"{function} cannot take * here.", "Only COUNT(*) counts rows; name a column.")
        if self.kinds[self.i] == ",":
            raise self.fault(f"{function} takes one argument.", f"Write {function}(x).")
        self.close(opened)
        return Aggregate(function, argument, distinct, self.places[i])

    def _cast(self) -> Cast:
        i = self.i
        self.i = i + 1
        if self.kinds[i + 1] != "(":
            self.i = i
            raise self.unexpected("a value", naming=True)
        opened = self.opened()
        operand = self.as_value(self.climb(VALUE))
        self.expect("AS", "AS and the type to cast to")
        target = self._type_name()
        self.close(opened)
        return Cast(operand, target, self.places[i])

    def _type_name(self) -> TypeName:
        i = self.i
        word = self.texts[i].upper()
        self.i = i + 1
        if word == "DOUBLE" and self.kinds[i + 1] == "PRECISION":
            self.i = i + 2
            word = "DOUBLE PRECISION"
        if word not in CAST_TARGETS:
            self.i = i
            remedy = f"Write {CAST_INSTEAD[word]}." if word in CAST_INSTEAD else ""
            known = ", ".join(CAST_TARGETS)
            raise self.fault(f"{self.texts[i] or 'the end of the query'} is no type to cast to ({known}).", remedy)
        length = None
        if word in ("CHAR", "VARCHAR") and self.accept("("):
            length = self.unsigned(f"{word}(")
            if length == 0:
                raise self.fault(f"the length of {word} is at least 1.", "", self.i - 1)
            self.expect(")", '")" after the length')
        return TypeName(word, length, self.places[i])

    def _sign(self) -> Signed:
        first = self.i
        while self.kinds[self.i] in ("+", "-"):
            self.i += 1
        end = self.i
        node = self.as_value(self.climb(SIGN))
        for i in range(end - 1, first - 1, -1):
            self.links += 1
            node = Signed(self.kinds[i], node, self.places[i])
        return node  # type: ignore[return-value]

    def _parenthesis(self) -> Node:
        opened = self.i
        if self.kinds[opened + 1] in ("SELECT", "WITH"):
            return Scalar(self.subquery(), self.places[opened])
        self.i = opened + 1
        inner = self.climb(OR)
        if type(inner) is Scalar and self.kinds[self.i] in AFTER_QUERY:
            inner = Scalar(self.body_after(inner.query), inner.at)
        if self.kinds[self.i] == "," and type(inner) not in CONDITIONS:
            raise self.fault("ADQL has no lists of values in parentheses here.", "Compare one value at a time.")
        self.close(opened, "an operator")
        return inner

    def subquery(self) -> tree.Body:
        """Read ``( query )``."""
        opened = self.opened()
        self.deepen(QUERY)
        body = self.body()
        self.nesting -= QUERY
        self.close(opened)
        return body

    # --- what a condition begins with -------------------------------------------------------------

    def _not(self) -> Not:
        first = self.i
        while self.kinds[self.i] == "NOT":
            self.i += 1
        end = self.i
        node = self.as_condition(self.climb(PREDICATE))
        for i in range(end - 1, first - 1, -1):
            self.links += 1
            node = Not(node, self.places[i])
        return node  # type: ignore[return-value]

    def _exists(self) -> Exists:
        at = self.places[self.i]
        self.i += 1
        if self.kinds[self.i] != "(":
            raise self.unexpected("a subquery in parentheses after EXISTS")
        return Exists(self.subquery(), at)

    # --- what follows a first operand -------------------------------------------------------------

    def _binary(self, left: Node) -> Binary:
        i = self.i
        operator = self.kinds[i]
        self.i = i + 1
        right = self.climb(_INFIXES[operator][0] + 1)
        if type(left) in CONDITIONS or type(right) in CONDITIONS:
            self.as_value(left)
            self.as_value(right)
        self.links += 1
        return Binary(operator, left, right, self.places[i])  # type: ignore[arg-type]

    def _comparison(self, left: Node) -> Comparison:
        if type(left) is Comparison:
            raise self.fault("comparisons cannot be chained.", "Write a < b AND b < c.")
        operand = self.as_value(left)
        i = self.i
        operator = self.kinds[i]
        self.i = i + 1
        right = self.as_value(self.climb(VALUE))
        return Comparison("<>" if operator == "!=" else operator, operand, right, self.places[i])

    def _and(self, left: Node) -> And:
        at = self.places[self.i]
        conditions = [self.as_condition(left)]
        while self.accept("AND"):
            conditions.append(self.as_condition(self.climb(AND + 1)))
        return And(tuple(conditions), at)

    def _or(self, left: Node) -> Or:
        at = self.places[self.i]
        conditions = [self.as_condition(left)]
        while self.accept("OR"):
            conditions.append(self.as_condition(self.climb(OR + 1)))
        return Or(tuple(conditions), at)

    def _is(self, left: Node) -> IsNull:
        operand = self.as_value(left)
        at = self.places[self.i]
        self.i += 1
        negated = self.accept("NOT")
        self.expect("NULL", "NULL" if negated else "NULL or NOT NULL")
        return IsNull(operand, negated, at)

    def _negated(self, left: Node) -> Node:
        """NOT between an operand and BETWEEN, IN, LIKE or ILIKE."""
        follower = _NEGATABLE.get(self.kinds[self.i + 1])
        self.i += 1
        if follower is None:
            raise self.unexpected("BETWEEN, IN, LIKE or ILIKE after NOT")
        return follower(self, left, True)

    def _between(self, left: Node, negated: bool = False) -> Between:
        operand = self.as_value(left)
        at = self.places[self.i]
        self.i += 1
        low = self.as_value(self.climb(VALUE))
        self.expect("AND", "AND and the upper limit of BETWEEN")
        return Between(operand, low, self.as_value(self.climb(VALUE)), negated, at)

    def _like(self, left: Node, negated: bool = False) -> Like:
        operand = self.as_value(left)
        i = self.i
        self.i = i + 1
        pattern = self.as_value(self.climb(VALUE))
        return Like(operand, pattern, self.kinds[i] == "ILIKE", negated, self.places[i])

    def _in(self, left: Node, negated: bool = False) -> InList | InQuery:
        operand = self.as_value(left)
        at = self.places[self.i]
        self.i += 1
        if self.kinds[self.i] != "(":
            raise self.unexpected("a list or a subquery in parentheses after IN")
        if self.kinds[self.i + 1] in ("SELECT", "WITH"):
            return InQuery(operand, self.subquery(), negated, at)
        opened = self.opened()
        if self.kinds[self.i] == ")":
            raise self.fault("the list of IN is empty.", "Give at least one value.")
        items = [self.as_value(self.climb(VALUE))]
        if type(items[0]) is Scalar and self.kinds[self.i] != ",":
            query = self.body_after(items[0].query)
            self.close(opened)
            return InQuery(operand, query, negated, at)
        while self.accept(","):
            items.append(self.as_value(self.climb(VALUE)))
        self.close(opened, '","')
        return InList(operand, tuple(items), negated, at)


_ONLY_IN_AGGREGATES = ("DISTINCT", "ALL", "*")

_PREFIXES: dict[str, Callable[[Expressions], Node]] = {
    **dict.fromkeys(FUNCTIONS, Expressions._call),
    **dict.fromkeys(AGGREGATES, Expressions._aggregate),
    NAME: Expressions._name,
    QUOTED: Expressions._quoted_name,
    NUMBER: Expressions._number,
    STRING: Expressions._string,
    "NULL": Expressions._null,
    "CAST": Expressions._cast,
    "+": Expressions._sign,
    "-": Expressions._sign,
    "(": Expressions._parenthesis,
    "NOT": Expressions._not,
    "EXISTS": Expressions._exists,
}

_INFIXES: dict[str, tuple[int, Callable[[Expressions, Node], Node]]] = {
    **dict.fromkeys(COMPARISONS, (PREDICATE, Expressions._comparison)),
    "OR": (OR, Expressions._or),
    "AND": (AND, Expressions._and),
    "IS": (PREDICATE, Expressions._is),
    "NOT": (PREDICATE, Expressions._negated),
    "BETWEEN": (PREDICATE, Expressions._between),
    "LIKE": (PREDICATE, Expressions._like),
    "ILIKE": (PREDICATE, Expressions._like),
    "IN": (PREDICATE, Expressions._in),
    "||": (VALUE, Expressions._binary),
    "+": (SUM, Expressions._binary),
    "-": (SUM, Expressions._binary),
    "*": (PRODUCT, Expressions._binary),
    "/": (PRODUCT, Expressions._binary),
    "%": (PRODUCT, Expressions._binary),
}

_NEGATABLE: dict[str, Callable[[Expressions, Node, bool], Node]] = {
    "BETWEEN": Expressions._between,
    "LIKE": Expressions._like,
    "ILIKE": Expressions._like,
    "IN": Expressions._in,
}
