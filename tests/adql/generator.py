"""Random valid queries over the small schema, as hypothesis strategies of syntax trees.

What is made has one answer and no other: LIMITs of rows come with a total order, equality and grouping only with
values that are exact in binary, inexact values (roots, sines, distances) are compared with limits no value comes
near. Integers stay far from overflow. So whatever differs from the plain evaluator is a fault of one of the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from hypothesis import strategies as st

from archive.adql import tree

Draw = Callable[[st.SearchStrategy[Any]], Any]


class Kind(Enum):
    """What a value is; EXACT are doubles that are multiples of 1/8 of moderate size, REAL any."""

    INT = "int"
    EXACT = "exact"
    REAL = "real"
    TEXT = "text"
    TIME = "time"
    POINT = "point"


COMPARED = (Kind.INT, Kind.EXACT, Kind.TEXT, Kind.TIME)  # kinds whose equality is certain

_STAR = {
    "star_id": Kind.INT, "ra": Kind.EXACT, "dec": Kind.EXACT, "mag": Kind.EXACT, "name": Kind.TEXT, "flags": Kind.INT,
    "epoch": Kind.TIME, "pos": Kind.POINT, '"Size"': Kind.INT, '"value"': Kind.EXACT, "parallax": Kind.EXACT,
    "pmra": Kind.EXACT, "class": Kind.TEXT,
}  # fmt: skip
_OBS = {
    "obs_id": Kind.INT, "star_id": Kind.INT, "mjd": Kind.EXACT, "flux": Kind.EXACT, "flux_err": Kind.EXACT,
    "band": Kind.TEXT, "exptime": Kind.EXACT,
}  # fmt: skip
_TABLES = {"star": _STAR, "obs": _OBS, "empty": _STAR}

_TEXTS = ("Vega", "vega", "", "star 14", "O''Neill".replace("''", "'"), "100%", "É", "u", "A")
_PATTERNS = (
    "S%",
    "s%",
    "%e%",
    "_ega",
    "v%",
    "STAR%",
    "%\\%",
    "%_%",
    "",
    "É%",
    "é%",
    "star 1_",
    "%'%",
    "Vega",
    "_",
    "g",
)
_TIMES = ("2015-06-01T12:00:00", "2016-01-09", "2017-01-13T12:00:00.25", "2018-12-31T23:59:59")


@dataclass(frozen=True, slots=True)
class Known:
    """A column that can be named."""

    name: tree.Name
    kind: Kind


@dataclass(slots=True)
class Maker:
    """Makes one query. ``columns`` are in sight, ``outer`` those of the queries around it."""

    draw: Draw
    columns: list[Known] = field(default_factory=list)
    outer: list[Known] = field(default_factory=list)
    common: dict[str, dict[str, Kind]] = field(default_factory=dict)
    depth: int = 2
    count: list[int] = field(default_factory=lambda: [0])

    # --- drawing ----------------------------------------------------------------------------------

    def one_of(self, choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def chance(self, one_in: int) -> bool:
        return bool(self.draw(st.integers(1, one_in)) == 1)

    def fresh(self, letter: str) -> tree.Identifier:
        self.count[0] += 1
        return tree.Identifier(f"{letter}{self.count[0]}")

    # --- values -----------------------------------------------------------------------------------

    def value(self, kind: Kind, depth: int = 2) -> tree.Expression:
        """Any expression of a kind."""
        if depth <= 0 or self.chance(3):
            return self.leaf(kind)
        makers = {
            Kind.INT: self._int,
            Kind.EXACT: self._exact,
            Kind.REAL: self._real,
            Kind.TEXT: self._text,
            Kind.TIME: self._time,
            Kind.POINT: self._point,
        }
        return makers[kind](depth - 1)

    def column(self, *kinds: Kind) -> tree.Expression | None:
        """A column of one of the kinds, if there is one."""
        fitting = [known.name for known in self.columns if known.kind in kinds]
        if self.outer and (not fitting or self.chance(6)):
            fitting = [known.name for known in self.outer if known.kind in kinds] or fitting
        return self.one_of(fitting) if fitting else None

    def leaf(self, kind: Kind) -> tree.Expression:
        if not self.chance(4) and (column := self.column(kind)) is not None:
            return column
        return self.literal(kind)

    def literal(self, kind: Kind) -> tree.Expression:
        match kind:
            case Kind.INT:
                return _number(self.draw(st.integers(0, 12)))
            case Kind.EXACT:
                return _number(self.draw(st.integers(0, 200)) / 8)
            case Kind.REAL:
                return _number(self.one_of((0.1, 1.7, 12.34, 1e-3)))
            case Kind.TEXT:
                return tree.Text(self.one_of(_TEXTS))
            case Kind.TIME:
                return tree.Cast(tree.Text(self.one_of(_TIMES)), tree.TypeName("TIMESTAMP"))
            case Kind.POINT:
                return _call("POINT", _number(self.one_of((0.1, 10.3, 180.2))), _number(self.one_of((10.1, 0.2, 89.6))))

    def _int(self, depth: int) -> tree.Expression:
        inner = lambda: self.value(Kind.INT, depth)  # noqa: E731
        choice = self.one_of(("+", "-", "*", "/", "%", "sign", "MOD", "ABS", "COALESCE", "cast", "contains", "scalar"))
        match choice:
            case "+" | "-" | "%" | "/":
                return tree.Binary(choice, inner(), inner())
            case "*":
                return tree.Binary("*", inner(), self.literal(Kind.INT))
            case "sign":
                return tree.Signed(self.one_of("+-"), inner())
            case "ABS":
                return _call("ABS", inner())
            case "cast":
                floor = _call("FLOOR", self.value(Kind.EXACT, depth))
                return tree.Cast(floor, tree.TypeName(self.one_of(("BIGINT", "INTEGER"))))
            case "contains":
                return self.contains()
            case "scalar":
                return self.scalar(Kind.INT)
        return _call(choice, inner(), inner())

    def _exact(self, depth: int) -> tree.Expression:
        inner = lambda: self.value(self.one_of((Kind.EXACT, Kind.EXACT, Kind.INT)), depth)  # noqa: E731
        exact = lambda: self.value(Kind.EXACT, depth)  # noqa: E731
        choice = self.one_of(
            ("+", "-", "*", "sign", "MOD", "ABS", "FLOOR", "CEILING", "ROUND", "TRUNCATE", "COALESCE", "cast", "COORD1")
        )
        match choice:
            case "+" | "-":
                return tree.Binary(choice, exact(), inner())
            case "*":
                return tree.Binary("*", exact(), self.literal(Kind.INT))
            case "sign":
                return tree.Signed(self.one_of("+-"), exact())
            case "MOD":
                return _call("MOD", exact(), self.literal(Kind.EXACT))
            case "COALESCE":
                return _call("COALESCE", exact(), inner())
            case "ROUND" | "TRUNCATE":
                return _call(
                    choice, exact(), *([_number(self.one_of((0, 1, 3)))] if self.chance(2) and depth < 0 else [])
                )
            case "cast":
                return tree.Cast(inner(), tree.TypeName("DOUBLE PRECISION"))
            case "COORD1":
                return _call(self.one_of(("COORD1", "COORD2")), self.column(Kind.POINT) or self.literal(Kind.POINT))
        return _call(choice, exact())

    def _real(self, depth: int) -> tree.Expression:
        inner = lambda: self.value(self.one_of((Kind.EXACT, Kind.INT)), depth)  # noqa: E731
        choice = self.one_of(
            (
                "SQRT",
                "LOG",
                "LOG10",
                "SIN",
                "COS",
                "ATAN",
                "/",
                "POWER",
                "ATAN2",
                "RADIANS",
                "DISTANCE",
                "EXP",
                "ASIN",
                "+",
            )
        )
        match choice:
            case "/":
                return tree.Binary("/", self.value(Kind.EXACT, depth), inner())
            case "+":
                return tree.Binary("+", self.value(Kind.REAL, depth), inner())
            case "POWER":
                return _call("POWER", self.value(Kind.EXACT, depth), _number(2))
            case "ATAN2":
                return _call("ATAN2", inner(), inner())
            case "EXP":
                return _call("EXP", _call("SIN", inner()))
            case "DISTANCE":
                return self.distance()
        return _call(choice, inner())

    def _text(self, depth: int) -> tree.Expression:
        inner = lambda: self.value(Kind.TEXT, depth)  # noqa: E731
        match self.one_of(("||", "UPPER", "LOWER", "COALESCE", "cast")):
            case "||":
                return tree.Binary("||", inner(), inner())
            case "cast":
                return tree.Cast(self.value(Kind.INT, depth), tree.TypeName("VARCHAR"))
            case "COALESCE":
                return _call("COALESCE", inner(), inner())
            case word:
                return _call(word, inner())

    def _time(self, depth: int) -> tree.Expression:
        return _call("COALESCE", self.value(Kind.TIME, depth), self.literal(Kind.TIME))

    def _point(self, depth: int) -> tree.Expression:
        return self.column(Kind.POINT) or self.literal(Kind.POINT)

    # --- the sphere -------------------------------------------------------------------------------

    def place(self) -> tree.Expression:
        """A position of a row: its point, or its coordinates (only stars have some)."""
        pairs = [
            (ra.name, dec.name)
            for ra in self.columns
            for dec in self.columns
            if (ra.name.parts[:-1], ra.name.parts[-1].text, dec.name.parts[-1].text)
            == (dec.name.parts[:-1], "ra", "dec")
        ]
        points = [known.name for known in self.columns if known.kind is Kind.POINT]
        if points and (not pairs or self.chance(2)):
            return self.one_of(points)
        return _call("POINT", *self.one_of(pairs)) if pairs else self.literal(Kind.POINT)

    def distance(self) -> tree.Expression:
        return _call("DISTANCE", self.place(), self.literal(Kind.POINT))

    def contains(self) -> tree.Expression:
        radius = _number(self.one_of((0.51, 1.03, 20.7, 95.1, 171.3)))
        circle = _call("CIRCLE", self.literal(Kind.POINT), radius)
        box = tree.Call(tree.Identifier("POLYGON"), tuple(map(_number, self.one_of(_POLYGONS))))
        return _call("CONTAINS", self.place(), self.one_of((circle, box)))

    # --- conditions -------------------------------------------------------------------------------

    def condition(self, depth: int = 2) -> tree.Condition:
        if depth <= 0 or not self.chance(3):
            return self.test()
        match self.one_of(("and", "or", "not")):
            case "not":
                return tree.Not(self.condition(depth - 1))
            case "and":
                return tree.And(tuple(self.condition(depth - 1) for _ in range(self.one_of((2, 3)))))
            case _:
                return tree.Or(tuple(self.condition(depth - 1) for _ in range(self.one_of((2, 3)))))

    def test(self) -> tree.Condition:
        kind = self.one_of(COMPARED)
        negated = self.chance(2)
        value = lambda: self.value(kind, 1)  # noqa: E731
        match self.one_of(
            (
                "compare",
                "compare",
                "between",
                "in",
                "like",
                "like",
                "null",
                "real",
                "cone",
                "distance",
                "subquery",
                "exists",
                "near",
            )
        ):
            case "compare":
                return tree.Comparison(self.one_of(("=", "<>", "<", ">", "<=", ">=")), value(), value())
            case "between":
                return tree.Between(value(), value(), value(), negated)
            case "in":
                items = tuple(value() for _ in range(self.one_of((2, 3, 4))))
                return tree.InList(value(), (*items, tree.Null()) if self.chance(5) else items, negated)
            case "like":
                pattern = tree.Text(self.one_of(_PATTERNS))
                tested = None if self.chance(3) else self.column(Kind.TEXT)
                return tree.Like(tested or self.value(Kind.TEXT, 1), pattern, self.chance(2), negated)
            case "null":
                return tree.IsNull(self.value(self.one_of(list(Kind)), 1), negated)
            case "real":
                limit = _number(self.one_of((0.123457, 3.234567, 17.345679, -1.456781)))
                return tree.Comparison(self.one_of("<>"), self.value(Kind.REAL, 2), limit)
            case "cone":
                return tree.Comparison("=", _number(self.one_of((0, 1))), self.contains())
            case "near" | "distance":
                radius = _number(self.one_of((0.51, 1.03, 20.7, 95.1)))
                return tree.Comparison(self.one_of(("<", "<=", ">", ">=")), self.distance(), radius)
            case "subquery" if self.depth > 0:
                return tree.InQuery(value(), self.inner().column_of(kind), negated)
            case "exists" if self.depth > 0:
                found = tree.Exists(self.inner().rows()[0])
                return tree.Not(found) if negated else found
        return tree.Comparison(self.one_of(("=", "<")), value(), value())

    # --- queries ----------------------------------------------------------------------------------

    def inner(self) -> Maker:
        """A maker of a subquery that may look out."""
        return replace(self, columns=[], outer=self.columns + self.outer, depth=self.depth - 1)

    def apart(self) -> Maker:
        """A maker of a subquery that may not look out."""
        return replace(self, columns=[], outer=[], depth=self.depth - 1)

    def scalar(self, kind: Kind) -> tree.Expression:
        """A subquery of one value."""
        if self.depth <= 0:
            return self.leaf(kind)
        maker = self.inner()
        source = maker.source(joins=False)
        made = tree.Aggregate(self.one_of(("MAX", "MIN")), maker.column(kind) or maker.literal(kind))
        if isinstance(made.argument, tree.Name) and made.argument in [known.name for known in maker.outer]:
            made = tree.Aggregate("COUNT", None)
        where = maker.condition(1) if self.chance(2) else None
        return tree.Scalar(tree.Select((tree.Item(made),), source, where=where))

    def column_of(self, kind: Kind) -> tree.Body:
        """A subquery of one column."""
        source = self.source(joins=False)
        where = self.condition(1) if self.chance(2) else None
        return tree.Select((tree.Item(self.value(kind, 1)),), source, distinct=self.chance(4), where=where)

    def source(self, joins: bool = True) -> tree.TableReference:
        """A FROM item; its columns come into sight."""
        first = self._one_source()
        if not joins or not self.chance(3):
            return first
        return self._joined(first)

    def _one_source(self) -> tree.TableReference:
        alias = self.fresh("a")
        choice = self.one_of(("star", "star", "obs", "obs", "empty", "derived", *self.common))
        if choice == "derived":
            if self.depth <= 0:
                choice = "star"
            else:
                body, names = self.apart().rows()
                self._show(alias, names)
                return tree.Derived(body, alias)
        if choice in self.common:
            self._show(alias, self.common[choice])
            return tree.TableName((tree.Identifier(choice),), alias)
        self._show(alias, _TABLES[choice])
        return tree.TableName((tree.Identifier("t"), tree.Identifier(choice)), alias)

    def _show(self, alias: tree.Identifier, names: dict[str, Kind]) -> None:
        for name, kind in names.items():
            part = tree.Identifier(name.strip('"'), name.startswith('"'))
            self.columns.append(Known(tree.Name((alias, part)), kind))

    def _joined(self, left: tree.TableReference) -> tree.TableReference:
        before = list(self.columns)
        right = self._one_source()
        after = self.columns[len(before) :]
        word = self.one_of(("ON", "ON", "USING", "CROSS"))
        kind = self.one_of([kind for kind in tree.JoinKind if kind is not tree.JoinKind.CROSS])
        shared = {known.name.parts[-1] for known in before} & {known.name.parts[-1] for known in after}
        if word == "USING" and tree.Identifier("star_id") in shared:
            return tree.Join(kind, left, right, using=(tree.Identifier("star_id"),))
        if word == "CROSS":
            return tree.Join(tree.JoinKind.CROSS, left, right)
        matches = [(a.name, b.name) for a in before for b in after if a.kind is b.kind and a.kind in COMPARED]
        if not matches:
            return tree.Join(tree.JoinKind.CROSS, left, right)
        on: tree.Condition = tree.Comparison(self.one_of(("=", "=", "<")), *self.one_of(matches))
        if self.chance(3):
            on = tree.And((on, self.condition(0)))
        return tree.Join(kind, left, right, on=on)

    def rows(self) -> tuple[tree.Body, dict[str, Kind]]:
        """A query and the names and kinds of its columns."""
        if self.depth > 0 and self.chance(6):
            return self._set_operation()
        return self._select()

    def _select(self, kinds: tuple[Kind, ...] | None = None) -> tuple[tree.Select, dict[str, Kind]]:
        source = self.source()
        where = self.condition() if self.chance(2) else None
        if kinds is None and self.chance(4):
            return self._grouped(source, where)
        wanted = kinds or tuple(self.one_of(list(Kind)) for _ in range(self.one_of((1, 2, 3))))
        names = {f"x{i}": kind for i, kind in enumerate(wanted, 1)}
        items = tuple(tree.Item(self.value(kind), tree.Identifier(name)) for name, kind in names.items())
        certain = all(kind in COMPARED for kind in wanted)
        select = tree.Select(items, source, distinct=certain and self.chance(4), where=where)
        return self._ordered(select, certain), names

    def _ordered(self, select: tree.Select, certain: bool) -> tree.Select:
        """Perhaps sorted; cut only where the order is total."""
        positions = [tree.Order(_number(i), self.chance(2)) for i in range(1, len(select.items) + 1)]
        if certain and self.chance(4):
            top = self.one_of((None, 0, 1, 3, 10))
            return replace(select, order_by=tuple(positions), top=top, offset=self.one_of((None, 0, 2)))
        if certain and self.chance(3):
            return replace(select, order_by=tuple(positions[: self.one_of((1, 2))]))
        return select

    def _grouped(
        self, source: tree.TableReference, where: tree.Condition | None
    ) -> tuple[tree.Select, dict[str, Kind]]:
        kinds = [self.one_of(COMPARED) for _ in range(self.one_of((0, 1, 1, 2)))]
        outer, self.outer = self.outer, []
        keys = [self.column(kind) or self.value(kind, 1) for kind in kinds]
        keys = [key for key in keys if _names_a_column(key)]
        items = [tree.Item(key) for key in keys]
        made = [self._aggregate() for _ in range(self.one_of((1, 2)))]
        self.outer = outer
        items += [tree.Item(aggregate) for aggregate, _ in made]
        having = None
        if self.chance(3):
            limit = _number(self.one_of((1, 2, 3.5)))
            having = tree.Comparison(self.one_of((">", "<=", "<>")), tree.Aggregate("COUNT", None), limit)
        named = tuple(replace(item, alias=tree.Identifier(f"x{i}")) for i, item in enumerate(items, 1))
        found = [*kinds[: len(keys)], *(kind for _, kind in made)]
        if len(keys) != len(kinds):
            found = [Kind.REAL] * len(named)  # unused where the kinds are uncertain
        names = {f"x{i}": kind for i, kind in enumerate(found, 1)}
        return tree.Select(named, source, where=where, group_by=tuple(keys), having=having), names

    def _aggregate(self) -> tuple[tree.Aggregate, Kind]:
        function = self.one_of(("COUNT", "COUNT(*)", "SUM", "AVG", "MIN", "MAX"))
        if function == "COUNT(*)":
            return tree.Aggregate("COUNT", None), Kind.INT
        kind = self.one_of((Kind.INT, Kind.EXACT) if function in ("SUM", "AVG") else COMPARED)
        result = {"COUNT": Kind.INT, "AVG": Kind.REAL}.get(function, kind)
        return tree.Aggregate(function, self.value(kind, 1), self.chance(4)), result

    # Small queries, each about one thing: little stands between an error and the answer.

    def plain_table(self) -> tree.TableReference:
        """One table with rows, its columns in sight."""
        alias, name = self.fresh("a"), self.one_of(("star", "star", "obs"))
        self._show(alias, _TABLES[name])
        return tree.TableName((tree.Identifier("t"), tree.Identifier(name)), alias)

    def plain_values(self) -> tree.Select:
        """Several expressions over all rows of a table."""
        self.depth = 1
        source = self.plain_table()
        items = tuple(tree.Item(self.value(self.one_of(list(Kind)), 3)) for _ in range(4))
        return tree.Select((tree.Item(self.columns[0].name), *items), source)

    def plain_conditions(self) -> tree.Select:
        """The rows of a table that meet a condition."""
        self.depth = 1
        source = self.plain_table()
        return tree.Select((tree.Item(self.columns[0].name),), source, where=self.condition(3))

    def plain_groups(self) -> tree.Select:
        """Groups of the rows of a table, or all its rows as one."""
        self.depth = 0
        source = self.plain_table()
        return self._grouped(source, self.test() if self.chance(4) else None)[0]

    def plain_sorted(self) -> tree.Select:
        """Rows of a table in a total order, perhaps cut."""
        self.depth = 0
        source = self.plain_table()
        key = self.columns[0].name
        kinds = [self.one_of(COMPARED) for _ in range(2)]
        keys = [tree.Order(self.column(kind) or self.value(kind, 1), self.chance(2)) for kind in kinds]
        keys = [order for order in keys if not isinstance(order.expression, tree.Number)]
        order = (*keys, tree.Order(key, self.chance(2)))
        top, offset = self.one_of((None, 0, 1, 5, 100)), self.one_of((None, 0, 3, 12, 1000))
        return tree.Select(
            (tree.Item(key), tree.Item(keys[0].expression if keys else key)),
            source,
            top=top,
            order_by=order,
            offset=offset,
        )

    def plain_joins(self) -> tree.Select:
        """Columns of both sides of a join."""
        self.depth = 0
        source = self._joined(self.plain_table())
        shown = [known.name for known in self.columns if known.kind is not Kind.POINT]
        items = tuple(tree.Item(self.one_of(shown)) for _ in range(5))
        return tree.Select(items, source, where=self.condition(1) if self.chance(4) else None)

    def _set_operation(self) -> tuple[tree.Body, dict[str, Kind]]:
        kinds = tuple(self.one_of(COMPARED) for _ in range(self.one_of((1, 2))))
        left, names = self.apart()._select(kinds)
        right, _ = self.apart()._select(kinds)
        made = tree.SetOperation(self.one_of(list(tree.SetKind)), left, right, self.chance(2))
        if self.chance(3):
            orders = tuple(tree.Order(_number(i), self.chance(2)) for i in range(1, len(kinds) + 1))
            made = replace(made, order_by=orders, offset=self.one_of((None, 1, 3)))
        return made, names


_POLYGONS = (
    (359.03, 9.02, 1.04, 9.01, 1.03, 11.05, 359.07, 11.02),
    (9.01, 19.03, 12.02, 19.04, 9.05, 22.06),
    (0.1, 85.2, 90.3, 85.1, 180.2, 85.3, 270.4, 85.2),
    (330.1, -40.2, 30.3, -40.1, 30.2, 40.3, 330.4, 40.2),
)


def _number(value: float) -> tree.Expression:
    if value < 0:
        return tree.Signed("-", _number(-value))
    return tree.Number(value, repr(value))


def _call(name: str, *arguments: tree.Expression) -> tree.Call:
    return tree.Call(tree.Identifier(name), arguments)


def _names_a_column(node: Any) -> bool:
    """True if an expression is no constant (constants are no groups)."""
    if isinstance(node, tree.Name):
        return True
    if isinstance(node, tuple):
        return any(map(_names_a_column, node))
    if isinstance(node, str) or not hasattr(node, "__slots__"):
        return False
    return any(_names_a_column(getattr(node, name)) for name in node.__slots__)


@st.composite
def queries(draw: Draw) -> tree.Query:
    """Random valid queries; printed, parsed and resolved they never end in an error."""
    maker = Maker(draw)
    style = draw(st.sampled_from(("values", "values", "conditions", "conditions", "groups", "joins", "sorted", "all")))
    if style != "all":
        return tree.Query(getattr(maker, f"plain_{style}")())
    common: list[tree.CommonTable] = []
    for name in ("w1", "w2")[: draw(st.sampled_from((0, 0, 0, 1, 2)))]:
        body, names = maker.apart().rows()
        common.append(tree.CommonTable(tree.Identifier(name), body))
        maker.common[name] = names
    return tree.Query(maker.rows()[0], tuple(common))
