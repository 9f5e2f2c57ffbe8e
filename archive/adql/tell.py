"""A bound query told in plain words, for people who want to know what a query means (``archive explain``)."""

from __future__ import annotations

from collections.abc import Iterator

from archive.adql import bound
from archive.adql.tree import JoinKind
from archive.columns import Column

_COMPARISONS = {
    "=": "equals",
    "<>": "differs from",
    "<": "is less than",
    ">": "is greater than",
    "<=": "is at most",
    ">=": "is at least",
}

_JOINS = {
    JoinKind.INNER: "joined with",
    JoinKind.LEFT: "with, where there is a match,",
    JoinKind.RIGHT: "where there is a match, beside every row of",
    JoinKind.FULL: "and, matched where possible, all rows of",
    JoinKind.CROSS: "combined in every way with",
}


def tell(query: bound.Bound) -> str:
    """What ``query`` asks for: one sentence a line, sources first, in the order the work is thought of."""
    lines: list[str] = []
    for name, rows in query.common:
        lines += [f"First, call {name}:", *_indented(_rows(rows))]
    lines += _rows(query.body)
    lines.append(f"Gives {_counted(len(query.columns), 'column')}:")
    lines += ["  " + _described(column) for column in query.columns]
    return "\n".join([*lines, *(f"Note: {note}" for note in query.notes)])


def _described(column: Column) -> str:
    kind = column.xtype or str(column.datatype)
    facts = [kind, f"in {column.unit}" if column.unit else "", column.ucd or ""]
    about = f" - {column.description}" if column.description else ""
    return f"{column.name} ({', '.join(fact for fact in facts if fact)}){about}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _indented(lines: list[str]) -> list[str]:
    return ["  " + line for line in lines]


def _rows(rows: bound.Rows) -> list[str]:
    match rows:
        case bound.Select():
            return _select(rows)
        case bound.SetOperation():
            verb = {"UNION": "Put together with", "EXCEPT": "Take away", "INTERSECT": "Keep only what is also in"}
            repeats = "counting repeats" if rows.all else "each row once"
            lines = [*_indented(_rows(rows.left)), f"{verb[rows.kind]} ({repeats}):", *_indented(_rows(rows.right))]
            return ["Take:", *lines, *_ending(rows)]


def _select(select: bound.Select) -> list[str]:
    lines = [f"Read {_source(select.source)}." if select.source else "Read no table."]
    if select.where is not None:
        lines.append("Keep rows where " + _condition(select.where) + ".")
    if select.group_by:
        lines.append("Group them by " + ", ".join(_value(value) for value in select.group_by) + ".")
    if select.having is not None:
        lines.append("Keep groups where " + _condition(select.having) + ".")
    shown = ", ".join(_value(output.value) for output in select.outputs[:12])
    more = len(select.outputs) - 12
    lines.append(f"Show {shown}{f' and {more} more' if more > 0 else ''}.")
    if select.distinct:
        lines.append("Drop repeated rows.")
    return [*lines, *_ending(select)]


def _ending(rows: bound.Rows) -> Iterator[str]:
    if rows.order_by:
        yield "Sort by " + ", ".join(_order(order) for order in rows.order_by) + ", unknown values last."
    if rows.offset:
        yield f"Skip the first {_counted(rows.offset, 'row')}."
    if rows.top is not None:
        yield f"Stop after {_counted(rows.top, 'row')}."


def _order(order: bound.Order) -> str:
    what = f"column {order.by}" if isinstance(order.by, int) else _value(order.by)
    return f"{what} ({'falling' if order.descending else 'rising'})"


def _source(source: bound.Source) -> str:
    match source:
        case bound.Stored():
            size = "" if source.table.rows is None else f", {source.table.rows:,} rows"
            return f"{source.table.qualified} (as {source.alias}{size})"
        case bound.Sub():
            return f"the rows (as {source.alias}) of [ {' '.join(_rows(source.query))} ]"
        case bound.CommonSource():
            return f"{source.name} (as {source.alias})"
        case bound.Join():
            on = f" on {_condition(source.on)}" if source.on is not None else ""
            return f"{_source(source.left)} {_JOINS[source.kind]} {_source(source.right)}{on}"


def _place(lon: bound.Value, lat: bound.Value) -> str:
    return f"({_value(lon)}, {_value(lat)})"


def _condition(condition: bound.Condition) -> str:
    match condition:
        case bound.Comparison(operator, left, right):
            return f"{_value(left)} {_COMPARISONS[operator]} {_value(right)}"
        case bound.Between(operand, low, high):
            return f"{_value(operand)} lies between {_value(low)} and {_value(high)}"
        case bound.InList(operand, items):
            return f"{_value(operand)} is one of {_some(items)}"
        case bound.InQuery(operand, query):
            return f"{_value(operand)} is among [ {' '.join(_rows(query))} ]"
        case bound.Like(operand, pattern, folded):
            return f"{_value(operand)} looks like {_value(pattern)}{' in any case' if folded else ''}"
        case bound.IsNull(operand):
            return f"{_value(operand)} is unknown"
        case bound.Exists(query):
            return f"there are rows of [ {' '.join(_rows(query))} ]"
        case bound.And(conditions):
            return " and ".join(_part(part) for part in conditions)
        case bound.Or(conditions):
            return " or ".join(_part(part) for part in conditions)
        case bound.Not(inner):
            return f"not {_part(inner)}"
        case bound.Near() as near:
            limit = "at most" if near.inclusive else "less than"
            ends = f"{_place(near.lon1, near.lat1)} and {_place(near.lon2, near.lat2)}"
            return f"{ends} are {limit} {_value(near.radius)} deg apart"
        case bound.Within(inner, outer):
            return f"{_value(inner)} lies inside {_value(outer)}"
        case bound.Overlaps(left, right):
            return f"{_value(left)} overlaps {_value(right)}"


def _part(condition: bound.Condition) -> str:
    text = _condition(condition)
    return f"({text})" if isinstance(condition, bound.And | bound.Or) else text


def _some(values: tuple[bound.Value, ...]) -> str:
    shown = ", ".join(_value(value) for value in values[:8])
    return f"{shown} and {len(values) - 8} more" if len(values) > 8 else shown


def _value(value: bound.Value) -> str:
    match value:
        case bound.Constant(content):
            return "unknown" if content is None else repr(content) if isinstance(content, str) else str(content)
        case bound.Field(source, _, column):
            return f"{source}.{column.name}"
        case bound.Negative(operand):
            return f"-{_value(operand)}"
        case bound.Arithmetic(operator, left, right):
            return f"({_value(left)} {operator} {_value(right)})"
        case bound.Apply(function, arguments):
            return f"{function}({', '.join(_value(argument) for argument in arguments)})"
        case bound.Aggregate(function, arguments, distinct):
            inside = ", ".join(_value(argument) for argument in arguments) or "rows"
            return f"{function} of {'distinct ' if distinct else ''}{inside}"
        case bound.Convert(operand, column):
            return f"{_value(operand)} as {column.xtype or column.datatype}"
        case bound.Scalar(query):
            return f"the value of [ {' '.join(_rows(query))} ]"
        case bound.Truth(condition):
            return f"(1 if {_condition(condition)}, else 0)"
        case bound.Separation():
            ends = f"{_place(value.lon1, value.lat1)} to {_place(value.lon2, value.lat2)}"
            return f"the distance from {ends}"
        case bound.PointOf(lon, lat):
            return f"the point {_place(lon, lat)}"
        case bound.CircleOf(lon, lat, radius):
            return f"the circle of {_value(radius)} deg around {_place(lon, lat)}"
        case bound.PolygonOf(vertices):
            return "the polygon " + " ".join(_place(lon, lat) for lon, lat in vertices)
        case bound.Pixels(ranges):
            return f"a region of {_counted(len(ranges), 'HEALPix range')}"
