"""``resolve``: a syntax tree to a bound tree. Every name is bound, every value described, every error placed.

Queries are here; names are in ``scope``, FROM in ``sources``, expressions in ``values``, ``calls``, ``maths`` and
``geometry``, predicates in ``conditions``, grouping rules in ``grouping``, output names in ``describe``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from archive.adql import bound, tree
from archive.adql.calls import common_column
from archive.adql.conditions import condition
from archive.adql.describe import output, unique
from archive.adql.grouping import check_grouped, has_aggregate
from archive.adql.parser import parse
from archive.adql.scope import Block, Named, Relation, Session, Visible, VisibleTable, fits, near, written
from archive.adql.sources import relation
from archive.adql.types import NULL, TEXT, Family, Refused, called, family
from archive.adql.values import checked, value
from archive.columns import Column
from archive.faults import UsageFault
from archive.tables import Catalog, Table


def resolve(query: tree.Query, catalog: Catalog) -> bound.Bound:
    """Bind ``query`` to the tables of ``catalog``.

    Names are taken from ``Table.columns`` alone (and former ones, which are found but not shown). Raises
    ``UsageFault`` with line, column and a remedy for everything ADQL 2.1 forbids.
    """
    session = Session(query, catalog)
    session.subquery = _rows
    try:
        common = _common(query, session)
        named = _rows(query.body, None, session)
    except RecursionError:
        raise UsageFault(
            "The query is nested too deeply.", "Use fewer levels of subqueries and function calls."
        ) from None
    return bound.Bound(named.rows, common, unique(named.columns), session.tables, tuple(session.notes))


def _common(query: tree.Query, session: Session) -> tuple[tuple[str, bound.Rows], ...]:
    """The common tables, each seeing those before it (ADQL 2.1 section 4.4)."""
    made = []
    session.pending = {element.name.text.lower() for element in query.common}
    for number, element in enumerate(query.common, 1):
        key = element.name.text.lower()
        if key in session.common:
            raise session.fault(element.name.at, f"WITH defines {element.name} twice.")
        named = _rows(element.query, None, session)
        session.common[key] = (element.name, f"w{number}", named.columns)
        session.carry_regions(named.rows, f"w{number}")
        session.pending.discard(key)
        made.append((f"w{number}", named.rows))
    return tuple(made)


def _rows(body: tree.Body, parent: Block | None, session: Session) -> Named:
    if isinstance(body, tree.Select):
        return _Selecting(body, parent, session).resolve()
    return _combined(body, parent, session)


# --- SELECT ---------------------------------------------------------------------------------------


class _Selecting:
    """One SELECT under way."""

    def __init__(self, node: tree.Select, parent: Block | None, session: Session) -> None:
        self.node = node
        self.session = session
        made = None if node.source is None else relation(node.source, session, parent, condition)
        self.block = Block(session, parent, made, node.items)
        self.values: list[bound.Value] = []
        self.columns: list[Column] = []
        self.places: list[int] = []

    def resolve(self) -> Named:
        node, block = self.node, self.block
        where = None if node.where is None else self._without_aggregates("WHERE", node.where)
        self._outputs()
        group_by = tuple(self._group(expression) for expression in node.group_by)
        having = None if node.having is None else condition(node.having, block)
        ordered = [(made, order.at) for order in node.order_by if (made := self._order(order)) is not None]
        select = bound.Select(
            tuple([bound.Output(f"c{i}", one) for i, one in enumerate(self.values, 1)]),
            block.relation.source if block.relation else None,
            where,
            group_by,
            having,
            tuple([made for made, _ in ordered]),
            node.distinct,
            node.top,
            node.offset,
        )
        if group_by or node.having is not None or block.aggregated:
            self._check_groups(select, ordered)
        return Named(select, tuple(self.columns))

    def _without_aggregates(self, clause: str, node: tree.Condition) -> bound.Condition:
        self.block.forbidden = clause
        made = condition(node, self.block)
        self.block.forbidden = None
        return made

    def _outputs(self) -> None:
        block = self.block
        for item in self.node.items:
            if isinstance(item, tree.Star):
                for name, one in self._star(item):
                    self.values.append(one)
                    self.columns.append(one.column if one.column.name == name else one.column.named(name))
                    self.places.append(item.at)
                continue
            made = value(item.expression, block)
            if made is NULL:
                made = bound.Constant(None, TEXT)
            elif type(made) is not bound.Field:
                made = checked(made, item.at, block)
            self.values.append(made)
            self.columns.append(output(item, made, len(self.values)))
            self.places.append(item.at)

    def _star(self, star: tree.Star) -> list[tuple[str, bound.Value]]:
        seen = self.block.relation
        if seen is None:
            raise self.session.fault(star.at, "* needs a FROM clause.")
        if not star.qualifier:
            self._note_versions(seen.visible)
            return seen.star()
        items = seen.called(star.qualifier)
        if not items:
            known = [item.name for item in seen.visible]
            raise self.session.fault(
                star.at,
                f"{written(star.qualifier)} is not in FROM.",
                near(star.qualifier[-1].text, known) or f"FROM has {', '.join(str(item) for item in seen.visible)}.",
            )
        if len(items) > 1:
            places = " or ".join(str(item) for item in items)
            raise self.session.fault(star.at, f"{written(star.qualifier)} is ambiguous.", f"It may be {places}.")
        self._note_versions(items)
        return [(column.name, items[0].field(name, column)) for name, column in items[0].columns()]

    def _note_versions(self, shown: Iterable[Visible]) -> None:
        """Tell that a star stands for the newest of several schema versions (design section 6)."""
        for item in shown:
            if isinstance(item, VisibleTable) and item.table.former and item.table.rows_of is None:
                table = item.table
                self.session.note(
                    f"* shows the newest schema version of {table.qualified}; "
                    f"{table.schema}_v1.{table.name} shows the first."
                )

    def _group(self, expression: tree.Expression) -> bound.Value:
        self.block.forbidden = "GROUP BY"
        try:
            made = self._grouped(expression)
        finally:
            self.block.forbidden = None
        if isinstance(made, bound.Constant):
            raise self.session.fault(
                expression.at,
                "GROUP BY takes columns and expressions of them, not positions or constants.",
                "Write the column's name.",
            )
        kind = family(made.column)
        if not (kind.is_ordered or kind is Family.TRUTH):
            raise self.session.fault(expression.at, f"{called(made)} is {kind.value}: rows cannot be grouped by it.")
        return made

    def _grouped(self, expression: tree.Expression) -> bound.Value:
        """A grouping expression; a name that is no column may be an alias."""
        try:
            return value(expression, self.block)
        except UsageFault:
            position = self._alias(expression)
            if position is None:
                raise
        made = self.values[position - 1]
        if has_aggregate(made):
            raise self.session.fault(
                expression.at, "GROUP BY cannot use an aggregate.", "Write the columns to group by."
            )
        return made

    def _alias(self, expression: tree.Expression) -> int | None:
        """The position of the output that a bare name means."""
        if not isinstance(expression, tree.Name) or len(expression.parts) != 1:
            return None
        name = expression.parts[0]
        found = [i for i, column in enumerate(self.columns, 1) if fits(name, column.name)]
        exact = [i for i in found if self.columns[i - 1].name == name.text]
        found = exact or found
        if len(found) > 1 and len({id(self.values[i - 1]) for i in found}) > 1:
            raise self.session.fault(expression.at, f"{name} is ambiguous: several outputs have this name.")
        return found[0] if found else None

    def _order(self, order: tree.Order) -> bound.Order | None:
        """What to sort by; None for a constant, by which nothing is sorted."""
        expression = order.expression
        position = _position(order, len(self.values), self.session) or self._alias(expression)
        if position is None:
            made = value(expression, self.block)
            position = next((i for i, one in enumerate(self.values, 1) if one is made or one == made), None)
        else:
            made = self.values[position - 1]
        _check_sortable(made, expression.at, self.session)
        if position is not None:
            return bound.Order(position, order.descending)
        if isinstance(made, bound.Constant):
            return None
        if self.node.distinct:
            raise self.session.fault(
                expression.at, "with DISTINCT, ORDER BY can use only what is selected.", "Add it to the select list."
            )
        return bound.Order(made, order.descending)

    def _check_groups(self, select: bound.Select, ordered: Sequence[tuple[bound.Order, int]]) -> None:
        local = frozenset(item.alias for item in self.block.relation.visible) if self.block.relation else frozenset()
        grouped = frozenset(select.group_by)
        for one, at in zip(self.values, self.places, strict=True):
            check_grouped(one, grouped, local, self.session, at)
        if select.having is not None and self.node.having is not None:
            check_grouped(select.having, grouped, local, self.session, self.node.having.at)
        for order, at in ordered:
            if not isinstance(order.by, int):
                check_grouped(order.by, grouped, local, self.session, at)


def _position(order: tree.Order, count: int, session: Session) -> int | None:
    """The position that a bare integer means (ADQL 2.1 section 2.2: from 1)."""
    expression = order.expression
    if not isinstance(expression, tree.Number):
        return None
    if not isinstance(expression.value, int) or not 1 <= expression.value <= count:
        raise session.fault(
            expression.at,
            f"ORDER BY {expression.text or expression.value}: there is no such position.",
            f"Positions go from 1 to {count}.",
        )
    return expression.value


def _check_sortable(made: bound.Value, at: int, session: Session) -> None:
    kind = family(made.column)
    if not (kind.is_ordered or kind in (Family.TRUTH, Family.NULL)):
        raise session.fault(at, f"{called(made)} is {kind.value}: rows cannot be sorted by it.")


# --- sets -----------------------------------------------------------------------------------------


def _combined(node: tree.SetOperation, parent: Block | None, session: Session) -> Named:
    """UNION, EXCEPT, INTERSECT; names and descriptions come from the left operand (ADQL 2.1 section 4.5)."""
    chain = [node]
    while isinstance(chain[-1].left, tree.SetOperation):
        chain.append(chain[-1].left)
    left = _rows(chain[-1].left, parent, session)
    for link in reversed(chain):
        left = _pair_of_rows(link, left, _rows(link.right, parent, session), session)
    return left


def _pair_of_rows(node: tree.SetOperation, left: Named, right: Named, session: Session) -> Named:
    if len(left.columns) != len(right.columns):
        raise session.fault(
            node.at,
            f"{node.kind} needs equally many columns on both sides: "
            f"there are {len(left.columns)} and {len(right.columns)}.",
        )
    columns = tuple(
        _common_column(node, position, pair, (left.rows, right.rows), session)
        for position, pair in enumerate(zip(left.columns, right.columns, strict=True), 1)
    )
    order_by = tuple(_set_order(order, columns, session) for order in node.order_by)
    rows = bound.SetOperation(node.kind, left.rows, right.rows, node.all, columns, order_by, None, node.offset)
    return Named(rows, columns)


def _common_column(
    node: tree.SetOperation,
    position: int,
    pair: tuple[Column, Column],
    rows: tuple[bound.Rows, bound.Rows],
    session: Session,
) -> Column:
    one, other = (_operand(column, side, position) for column, side in zip(pair, rows, strict=True))
    try:
        common = common_column((one, other))
    except Refused as refusal:
        message = f"column {position} of the operands of {node.kind}: {refusal.message}"
        raise session.fault(node.at, message, refusal.remedy) from None
    left = pair[0]
    if (left.datatype, left.arraysize, left.xtype) == (common.datatype, common.arraysize, common.xtype):
        return left
    return Column(
        left.name, common.datatype, common.arraysize, common.xtype, left.unit, left.ucd, left.utype, left.description
    )


def _operand(column: Column, rows: bound.Rows, position: int) -> bound.Value:
    """A stand-in for one output of an operand; literals show themselves."""
    if isinstance(rows, bound.Select):
        one = rows.outputs[position - 1].value
        if isinstance(one, bound.Constant) and one.value is None:
            return NULL
    return bound.Field("", f"c{position}", column)


def _set_order(order: tree.Order, columns: Sequence[Column], session: Session) -> bound.Order:
    position = _position(order, len(columns), session)
    if position is None:
        expression = order.expression
        found = []
        if isinstance(expression, tree.Name) and len(expression.parts) == 1:
            found = [i for i, column in enumerate(columns, 1) if fits(expression.parts[0], column.name)]
        if len(found) != 1:
            raise session.fault(
                expression.at,
                "ORDER BY after a set operation takes positions and names of the first operand's columns.",
                f"These are {', '.join(column.name for column in columns[:8])}.",
            )
        position = found[0]
    _check_sortable(bound.Field("", "", columns[position - 1]), order.expression.at, session)
    return bound.Order(position, order.descending)


# --- other schema versions ------------------------------------------------------------------------


def expand(table: Table, alias: str, expression: str) -> bound.Value:
    """The value of an ADQL expression over the columns of ``table`` under ``alias``: what ``adapt`` puts in for a name.

    Raises ``UsageFault`` if the expression is not ADQL or names no column of the table.
    """
    query = parse(" ".join(("SELECT", expression, "FROM t")))
    item = query.body.items[0] if isinstance(query.body, tree.Select) else None
    if not isinstance(item, tree.Item):
        raise UsageFault(f"{expression!r} is no expression.")
    session = Session(query, Catalog(()))
    session.subquery = _rows
    visible = VisibleTable(alias, table.name, table.schema, table)
    return value(item.expression, Block(session, None, Relation(bound.Stored(alias, table), (visible,))))
