"""The grammar of whole queries, by recursive descent: text to ``tree.Query``.

Accepted beyond the grammar of ADQL 2.1, because people write it and it can mean only one thing: ``%``, CROSS
JOIN, a trailing semicolon, a query without FROM, a subquery as a value, IS NULL of any expression. LANG=ADQL-2.0
differs in its reserved words only. Source: ADQL 2.1 section 2.2.
"""

from __future__ import annotations

from dataclasses import replace

from archive.adql.cursor import QUERY
from archive.adql.expressions import AFTER_QUERY, Expressions
from archive.adql.lexer import END, NAME, QUOTED, fault_at, tokens_of
from archive.adql.tree import (
    Body,
    CommonTable,
    Condition,
    Derived,
    Expression,
    Identifier,
    Item,
    Join,
    JoinKind,
    Order,
    Query,
    Select,
    SetKind,
    SetOperation,
    Star,
    TableName,
    TableReference,
)
from archive.adql.words import language_named
from archive.faults import UsageFault

MOST_DEPTH = 500
"""How deep a tree may be, long chains of operators included; what comes after the parser may recurse that deep."""

_JOINS = frozenset({"JOIN", "NATURAL", "INNER", "LEFT", "RIGHT", "FULL", "CROSS", "OUTER"})
_SETS = frozenset({"UNION", "EXCEPT", "INTERSECT"})
_BEGINNINGS = ("SELECT", "WITH", "(")
_AFTER_SELECT = _SETS | {END, ")", ";", "ORDER", "OFFSET"}
_CLAUSES = ("FROM", "WHERE", "GROUP", "HAVING", "ORDER", "OFFSET")
_NAMES = (NAME, QUOTED)


def parse(text: str, language: str = "ADQL-2.1") -> Query:
    """Read an ADQL query; no schema is needed.

    ``language`` is a value of TAP's LANG: ``ADQL``, ``ADQL-2.0`` or ``ADQL-2.1`` in any case. Raises
    ``UsageFault`` with line, column, what was expected and what to do about it.
    """
    parser = Parser(tokens_of(text, language_named(language)))
    query = parser.query()
    if parser.links > MOST_DEPTH // 2:
        _refuse_deep(query)
    return query


def _refuse_deep(query: Query) -> None:
    """Raise the user's fault if the tree is deeper than ``MOST_DEPTH``; walks without recursion."""
    waiting: list[tuple[object, int]] = [(query, 0)]
    while waiting:
        node, depth = waiting.pop()
        if isinstance(node, tuple):
            waiting.extend((part, depth) for part in node)
        elif hasattr(node, "__slots__") and not isinstance(node, str):
            if depth > MOST_DEPTH:
                message = f"the query is too deep here: more than {MOST_DEPTH} operators build upon one another."
                remedy = "Split it with WITH or subqueries, or upload the values as a table."
                raise fault_at(query.text, max(getattr(node, "at", 0), 0), message, remedy)
            waiting.extend((getattr(node, name), depth + 1) for name in node.__slots__)


class Parser(Expressions):
    """Reads queries, from the outside in."""

    def query(self) -> Query:
        """Read the whole text."""
        if self.kinds[0] in (END, ";"):
            raise self.fault("the query is empty.", "Write for example SELECT TOP 10 * FROM schema.table.")
        if self.kinds[0] not in _BEGINNINGS:
            remedy = "ADQL only reads: nothing can be changed or explained through it."
            raise self.fault(f"a query begins with SELECT or WITH, not with {self.texts[0]}.", remedy)
        common = self._common_tables() if self.kinds[0] == "WITH" else ()
        body = self.body()
        self.accept(";")
        if self.kinds[self.i] != END:
            if self.kinds[self.i] == ")":
                raise self.fault('this ")" closes nothing.', 'Remove it, or open it with "(".')
            raise self.unexpected("the end of the query")
        return Query(body, common, self.text)

    def _common_tables(self) -> tuple[CommonTable, ...]:
        self.i = 1
        tables = [self._common_table()]
        while self.accept(","):
            tables.append(self._common_table())
        return tuple(tables)

    def _common_table(self) -> CommonTable:
        name = self.identifier("a name for the common table")
        if self.kinds[self.i] == "(":
            raise self.fault("a common table takes no list of column names.", "Name the columns inside it: x AS name.")
        self.expect("AS", "AS after the name of the common table")
        return CommonTable(name, self.subquery(), name.at)

    # --- set operations, ORDER BY, OFFSET ---------------------------------------------------------

    def body(self) -> Body:
        """Read a query, up to the parenthesis or the end that follows it."""
        closed = self.kinds[self.i] == "("
        return self._ordered(self._operand(), closed)

    def body_after(self, first: Body) -> Body:
        """Read on behind the parenthesised query ``first``."""
        return self._ordered(first, True)

    def _ordered(self, first: Body, closed: bool) -> Body:
        if self.kinds[self.i] in _SETS:
            first = self._sets(first)
            closed = False
        at = self.i
        if self.kinds[at] not in ("ORDER", "OFFSET"):
            return first
        order_by = self._order_by() if self.kinds[at] == "ORDER" else ()
        offset = self._offset() if self.kinds[self.i] == "OFFSET" else None
        if self.kinds[self.i] in _SETS:
            remedy = "Put the operand into parentheses, or ORDER BY at the end to order all rows."
            raise self.fault("ORDER BY or OFFSET before a set operation.", remedy, at)
        if self.kinds[self.i] in _CLAUSES:
            raise self._misplaced()
        if closed and (first.order_by or first.offset is not None or getattr(first, "top", None) is not None):
            remedy = "Write SELECT * FROM (...) AS q ORDER BY ..."
            raise self.fault("a query in parentheses with TOP, ORDER BY or OFFSET cannot get a second one.", remedy, at)
        return replace(first, order_by=order_by or first.order_by, offset=offset)

    def _sets(self, left: Body) -> Body:
        """UNION and EXCEPT from left to right, INTERSECT before them."""
        left = self._intersections(left)
        while self.kinds[self.i] in ("UNION", "EXCEPT"):
            left = self._set_operation(left)
        return left

    def _intersections(self, left: Body) -> Body:
        while self.kinds[self.i] == "INTERSECT":
            left = self._set_operation(left)
        return left

    def _set_operation(self, left: Body) -> SetOperation:
        i = self.i
        kind = SetKind(self.kinds[i])
        self.i = i + 1
        every = self.accept("ALL")
        right = self._operand()
        if kind is not SetKind.INTERSECT:
            right = self._intersections(right)
        self.links += 1
        return SetOperation(kind, left, right, every, at=self.places[i])

    def _operand(self) -> Body:
        kind = self.kinds[self.i]
        if kind == "SELECT":
            return self._select()
        if kind == "(":
            return self.subquery()
        raise self.unexpected("SELECT")

    def _order_by(self) -> tuple[Order, ...]:
        self.i += 1
        self.expect("BY", "BY after ORDER")
        orders = [self._order()]
        while self.accept(","):
            orders.append(self._order())
        return tuple(orders)

    def _order(self) -> Order:
        at = self.places[self.i]
        expression = self.value()
        descending = self.accept("DESC")
        if not descending:
            self.accept("ASC")
        return Order(expression, descending, at)

    def _offset(self) -> int:
        self.i += 1
        offset = self.unsigned("OFFSET")
        if self.kinds[self.i] == "ORDER":
            raise self.fault("ORDER BY stands before OFFSET.", "Write ORDER BY ... OFFSET n.")
        return offset

    # --- SELECT -----------------------------------------------------------------------------------

    def _select(self) -> Select:
        at = self.places[self.i]
        self.i += 1
        kinds = self.kinds
        distinct = self.accept("DISTINCT")
        if not distinct:
            self.accept("ALL")
        top = self._top() if kinds[self.i] == "TOP" else None
        items = [self._item()]
        while self.accept(","):
            items.append(self._item())
        source = self._from() if kinds[self.i] == "FROM" else None
        where: Condition | None = None
        if source is not None and self.accept("WHERE"):
            where = self.condition()
        group_by = self._group_by() if source is not None and kinds[self.i] == "GROUP" else ()
        having: Condition | None = None
        if source is not None and self.accept("HAVING"):
            having = self.condition()
        if kinds[self.i] not in _AFTER_SELECT:
            raise self._stray_after_select(source)
        return Select(tuple(items), source, distinct, top, where, group_by, having, at=at)

    def _top(self) -> int:
        self.i += 1
        if self.kinds[self.i] == "(":
            raise self.fault("TOP takes a plain number.", "Write TOP 10, without parentheses.")
        top = self.unsigned("TOP")
        if self.kinds[self.i] in ("DISTINCT", "ALL"):
            word = self.kinds[self.i]
            raise self.fault(f"{word} stands before TOP.", f"Write SELECT {word} TOP {top}.")
        return top

    def _item(self) -> Item | Star:
        i = self.i
        kind = self.kinds[i]
        if kind == "*":
            self.i = i + 1
            return Star((), self.places[i])
        if kind in _NAMES and self.kinds[i + 1] == "." and (star := self._qualified_star()) is not None:
            return star
        if kind == END or (kind in _CLAUSES and kind != "OFFSET"):
            raise self.unexpected("a column, an expression or *")
        expression = self.value()
        return Item(expression, self._alias("a name for the column"), self.places[i])

    def _qualified_star(self) -> Star | None:
        """Read ``name.*``, or nothing if this is the name of a column."""
        i = self.i
        while self.kinds[i] in _NAMES and self.kinds[i + 1] == ".":
            i += 2
        if self.kinds[i] != "*":
            return None
        at = self.places[self.i]
        parts = [self.identifier("a table")]
        while self.accept(".") and self.kinds[self.i] != "*":
            parts.append(self.identifier("a name after the dot"))
        self.i = i + 1
        if len(parts) > 3:
            raise self.fault("a table's name has too many parts.", "At most catalog.schema.table is possible.")
        return Star(tuple(parts), at)

    def _alias(self, expected: str) -> Identifier | None:
        if self.kinds[self.i] in _NAMES:
            return self.identifier(expected)
        return self.identifier(f"{expected} after AS") if self.accept("AS") else None

    def _group_by(self) -> tuple[Expression, ...]:
        self.i += 1
        self.expect("BY", "BY after GROUP")
        expressions = [self.value()]
        while self.accept(","):
            expressions.append(self.value())
        return tuple(expressions)

    def _stray_after_select(self, source: TableReference | None) -> UsageFault:
        """Tell what is wrong where a SELECT should have ended."""
        if source is None and self.kinds[self.i] in _CLAUSES:
            return self.unexpected("FROM")
        if self.kinds[self.i] in _CLAUSES:
            return self._misplaced()
        return self.unexpected('"," or FROM' if source is None else "another clause or the end of the query")

    def _misplaced(self) -> UsageFault:
        word = {"GROUP": "GROUP BY", "ORDER": "ORDER BY"}.get(self.kinds[self.i], self.kinds[self.i])
        order = "The order is SELECT, FROM, WHERE, GROUP BY, HAVING, ORDER BY, OFFSET, each at most once."
        return self.fault(f"{word} cannot stand here.", order)

    # --- FROM -------------------------------------------------------------------------------------

    def _from(self) -> TableReference:
        self.i += 1
        left = self._joined()
        while self.kinds[self.i] == ",":
            at = self.places[self.i]
            self.i += 1
            self.links += 1
            left = Join(JoinKind.CROSS, left, self._joined(), at=at)
        return left

    def _joined(self) -> TableReference:
        left = self._table()
        while self.kinds[self.i] in _JOINS:
            left = self._join(left)
        return left

    def _join(self, left: TableReference) -> Join:
        start = self.i
        kind, natural = self._join_kind()
        right = self._table()
        on: Condition | None = None
        using: tuple[Identifier, ...] = ()
        if not natural and kind is not JoinKind.CROSS:
            right = self._inner_joins(right)
            on, using = self._join_condition(start)
        elif self.kinds[self.i] in ("ON", "USING"):
            word = "a NATURAL" if natural else "a CROSS"
            raise self.fault(f"{word} JOIN takes no {self.kinds[self.i]}.", "Leave one of the two out.")
        self.links += 1
        return Join(kind, left, right, natural, on, using, self.places[start])

    def _inner_joins(self, right: TableReference) -> TableReference:
        """In ``a JOIN b JOIN c ON .. ON ..`` the second join is the right side of the first."""
        self.deepen(QUERY)
        while self.kinds[self.i] in _JOINS:
            right = self._join(right)
        self.nesting -= QUERY
        return right

    def _join_kind(self) -> tuple[JoinKind, bool]:
        natural = self.accept("NATURAL")
        word = self.kinds[self.i]
        kind = JoinKind.INNER
        if word in ("LEFT", "RIGHT", "FULL"):
            kind = JoinKind(word)
            self.i += 1
            self.accept("OUTER")
        elif word == "INNER":
            self.i += 1
        elif word == "CROSS" and not natural:
            kind = JoinKind.CROSS
            self.i += 1
        elif word == "OUTER":
            raise self.fault("OUTER alone does not say which side is kept.", "Write LEFT, RIGHT or FULL OUTER JOIN.")
        self.expect("JOIN")
        return kind, natural

    def _join_condition(self, start: int) -> tuple[Condition | None, tuple[Identifier, ...]]:
        if self.accept("ON"):
            return self.condition(), ()
        if not self.accept("USING"):
            remedy = "Write JOIN t ON a.x = b.x, JOIN t USING (x), or NATURAL JOIN t."
            raise self.fault("this JOIN has no ON and no USING.", remedy, start)
        opened = self.opened()
        columns = [self.identifier("a column common to both tables")]
        while self.accept(","):
            columns.append(self.identifier("a column common to both tables"))
        if self.kinds[self.i] == ".":
            raise self.fault("USING takes column names without their table.", "Write USING (x).", self.i - 1)
        self.close(opened, '","')
        return None, tuple(columns)

    def _table(self) -> TableReference:
        if self.kinds[self.i] != "(":
            return self._table_name()
        at = self.places[self.i]
        inner = self._parenthesised()
        return self._derived(inner, at) if isinstance(inner, Select | SetOperation) else inner

    def _table_name(self) -> TableName:
        at = self.places[self.i]
        parts = [self.identifier("a table")]
        while self.accept("."):
            parts.append(self.identifier("a name after the dot"))
        if len(parts) > 3:
            raise self.fault("a table's name has too many parts.", "At most catalog.schema.table is possible.")
        if self.kinds[self.i] == "(" and self.kinds[self.i + 1] != "SELECT":
            raise self.fault("functions cannot stand in FROM.", "Name a table or write a subquery in parentheses.")
        return TableName(tuple(parts), self._correlation(), at)

    def _correlation(self) -> Identifier | None:
        alias = self._alias("a correlation name")
        if alias is not None and self.kinds[self.i] == "(":
            raise self.fault("a correlation name takes no list of columns.", "Name the columns inside: x AS name.")
        return alias

    def _derived(self, query: Body, at: int) -> Derived:
        alias = self._correlation()
        if alias is None:
            raise self.unexpected("a correlation name for the subquery, (SELECT ...) AS q", naming=True)
        return Derived(query, alias, at)

    def _parenthesised(self) -> Body | TableReference:
        """Read what stands in parentheses in FROM: a subquery (whose name follows) or joined tables."""
        opened = self.i
        if self.kinds[opened + 1] in ("SELECT", "WITH"):
            return self.subquery()
        self.i = opened + 1
        self.deepen(QUERY)
        at = self.places[self.i]
        inner = self._parenthesised() if self.kinds[self.i] == "(" else self._table_name()
        if isinstance(inner, Select | SetOperation):
            if self.kinds[self.i] == ")" or self.kinds[self.i] in AFTER_QUERY:
                body = self.body_after(inner)
                self.nesting -= QUERY
                self.close(opened)
                return body
            inner = self._derived(inner, at)
        while self.kinds[self.i] in _JOINS:
            inner = self._join(inner)
        self.nesting -= QUERY
        self.close(opened, "JOIN")
        if not isinstance(inner, Join):
            raise self.fault("parentheses in FROM hold a subquery or a join.", "Leave them out.", opened)
        if self.kinds[self.i] in ("AS", *_NAMES):
            raise self.fault("a join in parentheses takes no correlation name.", "Name its tables instead.")
        return inner
