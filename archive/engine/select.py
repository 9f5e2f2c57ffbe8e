"""From a bound tree to one SQLAlchemy Core statement that every engine can compile.

Only generated names reach the statement: FROM items are ``t1``..., outputs and physical columns ``c1``..., common
tables ``w1``.... So letter case, reserved words and long names never matter. Every output is cast to the type of
its ``Column`` unless it is a column that has that type already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.expression import CTE, ClauseElement, FromClause, SelectBase

from archive.adql import bound
from archive.adql.tree import JoinKind, SetKind
from archive.columns import Column, Datatype
from archive.engine import crossmatch
from archive.engine import elements as el
from archive.engine.places import Cells, Locate, Place, Spread, Spreading
from archive.engine.sphere import HEALPIX, GivenCone, Sphere, any_of
from archive.sky import CELLS
from archive.tables import Table


def statement(
    query: bound.Bound, locate: Locate, rows: int | None = None, spread: Spreading | None = None
) -> SelectBase:
    """The statement that answers ``query``, of at most ``rows`` rows; its outputs are in the order of its columns."""
    return Writer(locate, spread).whole(query, rows)


class Writer:
    """Writes one statement. ``locate`` tells where the rows of a stored table lie, ``spread`` prepares those that came
    with the request to be joined by position. ``given`` are, by identity, the nodes whose values stay outside.
    """

    def __init__(self, locate: Locate, spread: Spreading | None = None) -> None:
        self._locate = locate
        self._spread = spread
        self.given: Mapping[int, el.Given | GivenCone] = {}
        self._spreads: dict[str, Spread] = {}  # by alias
        self._places: dict[str, tuple[Table, Place]] = {}  # by alias
        self._cells: dict[str, Cells] = {}  # by alias
        self._common: dict[str, tuple[CTE, Cells]] = {}
        self._parameters: dict[tuple[type, str], ClauseElement] = {}
        self._sphere = Sphere(self)

    def whole(self, query: bound.Bound, rows: int | None) -> SelectBase:
        for name, body in query.common:
            made, cells = self._nested(body)
            self._common[name] = made.cte(name), cells
        return self.rows(query.body, most=rows)

    # --- rows ---------------------------------------------------------------------------------

    def rows(self, body: bound.Rows, targets: Sequence[Column] | None = None, most: int | None = None) -> SelectBase:
        if isinstance(body, bound.Select):
            return self._select(body, targets, most)
        return self._set(body, targets, most)

    def _nested(self, body: bound.Rows) -> tuple[SelectBase, Cells]:
        """The rows of a subquery in FROM, which hands the cells of its positions on, and where those stand."""
        cells: Cells = {}
        made = self._select(body, None, None, cells) if isinstance(body, bound.Select) else self.rows(body)
        return made, cells

    def _select(
        self, body: bound.Select, targets: Sequence[Column] | None, most: int | None, cells: Cells | None = None
    ) -> SelectBase:
        body = crossmatch.planned(body, self._size, self._stored)
        source = None if body.source is None else self.source(body.source)
        columns = [
            self._output(output, None if targets is None else targets[at]) for at, output in enumerate(body.outputs)
        ]
        if cells is not None and not (body.distinct or body.group_by or body.having):
            columns += self._handed_on(body.outputs, cells)
        made: sa.Select[Any] = sa.select(*columns).correlate(None)
        if source is not None:
            made = made.select_from(source)
        if body.where is not None:
            made = made.where(self.condition(body.where))
        if body.group_by:
            made = made.group_by(*(self.value(value) for value in body.group_by))
        if body.having is not None:
            made = made.having(self.condition(body.having))
        if body.distinct:
            made = made.distinct()
        return self._ended(made, body, most)

    def _set(self, body: bound.SetOperation, targets: Sequence[Column] | None, most: int | None) -> SelectBase:
        common = body.columns if targets is None else targets
        left, right = self.rows(body.left, common), self.rows(body.right, common)
        return self._ended(_SETS[body.kind, body.all](left, right), body, most)

    def _ended(self, made: Any, body: bound.Rows, most: int | None) -> SelectBase:
        if body.order_by:
            made = made.order_by(*(self._order(order) for order in body.order_by))
        top = most if body.top is None else body.top if most is None else min(body.top, most)
        if top is not None:
            made = made.limit(el.Whole(top))
        if body.offset:
            made = made.offset(el.Whole(body.offset))
        return made  # type: ignore[no-any-return]

    def _order(self, order: bound.Order) -> ClauseElement:
        term = el.Whole(order.by) if isinstance(order.by, int) else self.value(order.by)
        return el.Ordering(term, order.descending)

    def _handed_on(self, outputs: Sequence[bound.Output], cells: Cells) -> list[sa.Label[Any]]:
        """The stored cells of positions that stand among ``outputs``; notes in ``cells`` under which name."""
        names = {(o.value.source, o.value.name): o.name for o in outputs if isinstance(o.value, bound.Field)}
        columns: list[sa.Label[Any]] = []
        for alias in dict.fromkeys(alias for alias, _ in names):
            for (lon, lat), cell in self._cells.get(alias, {}).items():
                if (alias, lon) in names and (alias, lat) in names:
                    columns.append(el.Ref(alias, cell).label(f"h{len(columns) + 1}"))
                    cells[names[alias, lon], names[alias, lat]] = columns[-1].name
        return columns

    def _output(self, output: bound.Output, target: Column | None) -> sa.Label[Any]:
        value, column = output.value, target or output.value.column
        term = self.value(value)
        if not (isinstance(value, bound.Field) and _same_type(value.column, column)):
            term = el.As(term, column)
        return term.label(output.name)

    # --- FROM ---------------------------------------------------------------------------------

    def source(self, source: bound.Source | crossmatch.Celled | crossmatch.Marked) -> FromClause:
        if isinstance(source, bound.Join):
            return self._join(source)
        if isinstance(source, crossmatch.Celled):
            return self._celled(source)
        if isinstance(source, crossmatch.Marked):
            return self._marked(source)
        return self._leaf(source)

    def _leaf(self, source: bound.Stored | bound.Sub | bound.CommonSource) -> FromClause:
        match source:
            case bound.Stored(alias, table):
                place = self._locate(table)
                self._places[alias] = (table, place)
                if place.healpix and table.position is not None:
                    self._cells[alias] = {(table.position.lon, table.position.lat): HEALPIX}
                return place.source.alias(alias)
            case bound.Sub(alias, query):
                made, self._cells[alias] = self._nested(query)
                return made.subquery(alias)
            case bound.CommonSource(alias, name):
                common, self._cells[alias] = self._common[name]
                return common.alias(alias)

    def _join(self, join: bound.Join) -> FromClause:
        left, right = self.source(join.left), self.source(join.right)
        on = self._on(join)
        if join.kind is JoinKind.RIGHT:
            left, right = right, left
        return sa.join(
            left,
            right,
            on,
            isouter=join.kind in (JoinKind.LEFT, JoinKind.RIGHT),
            full=join.kind is JoinKind.FULL,
        )

    def _on(self, join: bound.Join) -> sa.ColumnElement[bool]:
        return sa.true() if join.on is None else self.condition(join.on)

    # --- joins by position --------------------------------------------------------------------

    def _celled(self, celled: crossmatch.Celled) -> FromClause:
        """A source with a row for each cell it reaches; a polygon's outline is made once for all its rows."""
        spread = self._spread_out(celled)
        if spread is not None:
            return spread
        leaf, height = self._with_height(celled.leaf, celled)
        reach = [*self._reach(celled.around), height]
        polygon = celled.around.polygon
        if polygon is not None:
            shape = [self.value(polygon)]
            outline, cap = el.Invoke("outline", shape).label("o1"), el.Invoke("polygon_cap", shape).label("g1")
            rows = sa.select(el.everything(celled.alias), outline, cap, height.label("h1")).correlate(None)
            leaf = rows.select_from(leaf).subquery(celled.alias)
            reach = [*self._parts(el.Ref(celled.alias, "g1")), el.Ref(celled.alias, "h1")]
        cells = el.Exploded(el.Invoke("match_cells", reach)).label("k1")
        made = sa.select(el.everything(celled.alias), cells).correlate(None).select_from(leaf)
        if celled.thinner is not None:
            made = made.where(self._may_match(celled, celled.thinner, reach))
        return made.subquery(celled.alias)

    def _spread_out(self, celled: crossmatch.Celled) -> FromClause | None:
        """A source whose cells need not be computed by the engine, if the other side has its cells stored."""
        near = crossmatch.near_columns(celled)
        if near is None or self._spread is None or not self._locate(near.other).healpix:
            return None
        spread = self._spread(near.table, near.lon, near.lat, near.radius)
        if spread is None:
            return None
        self._places[celled.alias] = (near.table, spread.place)
        self._spreads[celled.alias] = spread
        return spread.place.source.alias(celled.alias)

    def _may_match(self, celled: crossmatch.Celled, thinner: bound.Stored, reach: list[el.Term]) -> el.Term:
        """True for rows in a cell that the other side of the join reaches."""
        lon, lat, radius, height = reach
        other = self._leaf(thinner)
        around = [self.value(celled.lon), self.value(celled.lat), radius, height]
        cells = sa.select(el.Exploded(el.Invoke("match_cells", around)).label("k1")).correlate(None)
        return el.OneOf(el.Invoke("match_cell", (lon, lat, height)), [cells.select_from(other)])

    def _reach(self, around: crossmatch.Surroundings) -> list[el.Term]:
        if around.polygon is None:
            return [self.value(part) for part in (around.lon, around.lat, around.radius) if part is not None]
        return self._parts(el.Invoke("polygon_cap", [self.value(around.polygon)]))

    def _parts(self, circle: el.Term) -> list[el.Term]:
        return [el.Invoke(part, [circle]) for part in ("coord1", "coord2", "radius")]

    def _marked(self, marked: crossmatch.Marked) -> FromClause:
        """A source whose rows carry the cell of their position."""
        leaf, height = self._with_height(marked.leaf, marked.celled)
        position = [self.value(marked.celled.lon), self.value(marked.celled.lat)]
        cell = el.Invoke("match_cell", [*position, height]).label("k2")
        made = sa.select(el.everything(marked.alias), cell).correlate(None).select_from(leaf)
        return made.subquery(marked.alias)

    def _with_height(self, leaf: crossmatch.Leaf, celled: crossmatch.Celled) -> tuple[FromClause, el.Term]:
        """A source and, for each of its rows, the height of zones: known, or made from the widest radius there is."""
        known = crossmatch.height(celled.around)
        if known is not None:
            return self._leaf(leaf), el.Real(known)
        reaching = self._leaf(celled.leaf)
        widest = el.Invoke("match_height", [el.Invoke("max", [self._reach(celled.around)[2]])]).label("h1")
        height = sa.select(widest).correlate(None).select_from(reaching).subquery("h1")
        return sa.join(self._leaf(leaf), height, sa.true()), el.Ref("h1", "h1")

    def _keyed(self, keyed: crossmatch.Keyed) -> el.Term:
        celled, test = keyed.celled, keyed.test
        lon, lat, known = self.value(celled.lon), self.value(celled.lat), crossmatch.height(celled.around)
        cell: el.Term = el.Ref(crossmatch.other_side(celled), "k2")
        stored, spread = self._sphere.cell(celled.lon, celled.lat), self._spreads.get(celled.alias)
        if stored is not None and spread is not None:
            return self._in_cells(celled, test, stored, spread)
        if known is not None:
            cell = el.Invoke("match_cell", (lon, lat, el.Real(known)))
        same = el.Infix("=", (el.Ref(celled.alias, "k1"), cell))
        if celled.around.polygon is None:
            return el.Infix("AND", (same, self.condition(test)))
        inside = el.Invoke("point_in_outline", (lon, lat, el.Ref(celled.alias, "o1")))
        return el.Infix("AND", (same, inside))

    def _in_cells(
        self, celled: crossmatch.Celled, test: bound.Near | bound.Within, stored: el.Ref, spread: Spread
    ) -> el.Term:
        """A test of rows in equal cells; where these lie in a part of the sky only, that part alone is read."""
        cell = el.Infix(">>", (stored, el.Whole(spread.shift)))
        terms = [el.Infix("=", (el.Ref(celled.alias, "k1"), cell)), self.condition(test)]
        if sum(high - low for low, high in spread.ranges) < CELLS * _PART:
            terms.append(el.InRanges(stored, spread.ranges))
        return el.Infix("AND", terms)

    def _size(self, leaf: crossmatch.Leaf) -> int:
        """How many rows a source has, about; a subquery counts for as many as the largest table in it."""
        if isinstance(leaf, bound.Stored):
            return self._locate(leaf.table).rows
        if isinstance(leaf, bound.Sub):
            return self._most_rows(leaf.query)
        return _UNKNOWN_ROWS

    def _most_rows(self, body: bound.Rows) -> int:
        if body.top is not None:
            return body.top
        if isinstance(body, bound.SetOperation):
            return self._most_rows(body.left) + self._most_rows(body.right)
        pending, most = [body.source], 1
        while pending:
            source = pending.pop()
            if isinstance(source, bound.Join):
                pending += [source.left, source.right]
            elif source is not None:
                most = max(most, self._size(source))
        return most

    def _stored(self, alias: str) -> bound.Stored | None:
        found = self._places.get(alias)
        return None if found is None else bound.Stored(alias, found[0])

    def place_of(self, alias: str) -> tuple[Table, Place] | None:
        """The stored table behind ``alias``, if it is one."""
        return self._places.get(alias)

    def cell_of(self, alias: str, lon: str, lat: str) -> str | None:
        """The column of ``alias`` that holds the stored HEALPix cell of a position, if there is one."""
        return self._cells.get(alias, {}).get((lon, lat))

    # --- values -------------------------------------------------------------------------------

    def value(self, value: bound.Value) -> el.Term:
        match value:
            case bound.Constant():
                return self._constant(value)
            case bound.Field(alias, name):
                place = self._places.get(alias)
                return el.Ref(alias, name if place is None else place[1].physical[name])
            case bound.Negative(operand, column):
                return el.Prefix("-", self._typed(operand, column))
            case bound.Arithmetic():
                return self._arithmetic(value)
            case bound.Apply():
                return self._apply(value)
            case bound.Aggregate(function, arguments, distinct):
                return el.Invoke(function, [self.value(argument) for argument in arguments], distinct)
            case bound.Convert(operand, column):
                return el.As(self.value(operand), column)
            case bound.Scalar(query):
                return el.Nested(self.rows(query))
            case bound.Truth(condition):
                return el.Number(self.condition(condition))
            case _:
                return self._sphere.value(value)

    def _constant(self, constant: bound.Constant) -> el.Term:
        value, given = constant.value, self.given.get(id(constant))
        if isinstance(given, el.Given):
            return given
        if value is None:
            return el.As(sa.null(), constant.column)
        if isinstance(value, bool):
            return el.As(el.Whole(int(value)), constant.column)
        if isinstance(value, int):
            return el.Whole(value)
        # One parameter for equal constants, so that an expression in GROUP BY reads the same as in the select list.
        key = (type(value), repr(value))
        if key not in self._parameters:
            self._parameters[key] = sa.bindparam(f"p{len(self._parameters)}", value, sa.types.NULLTYPE)
        return self._parameters[key]  # type: ignore[return-value]

    def _arithmetic(self, value: bound.Arithmetic) -> el.Term:
        left, right = self._typed(value.left, value.column), self._typed(value.right, value.column)
        datatype, operator = value.column.datatype, value.operator
        if datatype in (Datatype.FLOAT, Datatype.DOUBLE) and operator in "+-*/":
            return el.Computed(operator, left, right, datatype is Datatype.FLOAT)
        if operator in "/%":
            return el.Quotient(operator, left, right, datatype.is_integer)
        return el.Infix(operator, (left, right))

    def _typed(self, operand: bound.Value, column: Column) -> el.Term:
        """An operand in the type in which the operation is made, so that short + short does not overflow."""
        term = self.value(operand)
        if not column.datatype.is_numeric or _same_type(operand.column, column):
            return term
        return el.As(term, column)

    def _apply(self, value: bound.Apply) -> el.Term:
        if value.function == "ivo_healpix_index":
            found = self._sphere.healpix_index(*value.arguments)
            if found is not None:
                return found
        if value.function == "mod":
            left, right = (self._typed(argument, value.column) for argument in value.arguments)
            return el.Quotient("%", left, right, value.column.datatype.is_integer)
        return el.Invoke(value.function, [self.value(argument) for argument in value.arguments])

    # --- conditions ---------------------------------------------------------------------------

    def condition(self, condition: bound.Condition | crossmatch.Keyed) -> el.Term:
        match condition:
            case bound.Comparison(operator, left, right):
                return el.Infix(operator, (self.value(left), self.value(right)))
            case bound.Between(operand, low, high):
                return el.Amid(self.value(operand), self.value(low), self.value(high))
            case bound.InList(operand, items):
                return el.OneOf(self.value(operand), [self.value(item) for item in items])
            case bound.InQuery(operand, query):
                return el.OneOf(self.value(operand), [self.rows(query)])
            case bound.Like(operand, pattern, folded):
                return el.Matches(self.value(operand), self.value(pattern), folded)
            case bound.IsNull(operand):
                return el.Missing(self.value(operand))
            case bound.Exists(query):
                return el.Prefix("EXISTS", el.Nested(self.rows(query)))
            case bound.And(conditions):
                return el.Infix("AND", [self.condition(part) for part in conditions])
            case bound.Or(conditions):
                return any_of([self.condition(part) for part in conditions])
            case bound.Not(negated):
                return el.Prefix("NOT", self.condition(negated))
            case bound.Near():
                return self._sphere.near(condition)
            case bound.Within():
                return self._sphere.within(condition)
            case bound.Overlaps():
                return self._sphere.overlaps(condition)
            case crossmatch.Keyed():
                return self._keyed(condition)


_UNKNOWN_ROWS = 100_000
_PART = 0.25  # of the sky; to leave out less is not worth a test of each row

_SETS: Mapping[tuple[SetKind, bool], Callable[..., Any]] = {
    (SetKind.UNION, False): sa.union,
    (SetKind.UNION, True): sa.union_all,
    (SetKind.EXCEPT, False): sa.except_,
    (SetKind.EXCEPT, True): sa.except_all,
    (SetKind.INTERSECT, False): sa.intersect,
    (SetKind.INTERSECT, True): sa.intersect_all,
}


def _same_type(one: Column, other: Column) -> bool:
    return (one.datatype, one.arraysize, one.is_timestamp) == (other.datatype, other.arraysize, other.is_timestamp) or (
        one.datatype.is_text and other.datatype.is_text and one.is_timestamp == other.is_timestamp
    )
