"""What a bound query means, worked out row by row: slow, plain, and independent of every engine.

``evaluate(query, tables)`` takes a ``bound.Bound`` and the rows of its tables (lists of dicts, keyed as the tables
are) and gives the rows of the answer. It knows nothing of SQL: NULL is None, conditions are True, False or None
(unknown), joins are nested loops, and the sphere is unit vectors.

Not covered: polygons larger than half the sky, and random numbers.
"""

from __future__ import annotations

import datetime
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from astropy import units as u
from astropy.coordinates import Latitude, Longitude
from cdshealpix.nested import healpix_to_lonlat, lonlat_to_healpix

from archive.adql import bound
from archive.adql.tree import JoinKind, SetKind
from archive.columns import Column, Datatype
from tests.adql import plain_sphere as sphere

Row = Mapping[str, Any]
Scope = Mapping[str, Row]  # alias of a source -> its row
Tables = Mapping[tuple[str, str], list[dict[str, Any]]]


class Refused(Exception):
    """The query is in error: text that is no number, an integer out of range."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows in order. ``keys`` has for each row what it was sorted by; rows of equal keys may change places."""

    rows: list[tuple[Any, ...]]
    keys: list[tuple[Any, ...]]


class _Nothing(dict[str, Any]):
    """The row an outer join puts where there is no partner."""

    def __missing__(self, name: str) -> None:
        return None


def evaluate(query: bound.Bound, tables: Tables) -> Answer:
    """The answer to ``query``. Raises ``Refused`` where the query must end in an error."""
    evaluator = _Evaluator(tables)
    for name, rows in query.common:
        evaluator.common[name] = evaluator.named(rows, {})
    return evaluator.answer(query.body, {})


class _Evaluator:
    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.common: dict[str, list[Row]] = {}
        self._closed: dict[int, Answer | None] = {}  # by the id of a subquery: its answer if it never looks outside

    # --- rows -------------------------------------------------------------------------------------

    def named(self, query: bound.Rows, scope: Scope) -> list[Row]:
        """The rows of a subquery by the generated names of their columns."""
        rows = self.answer(query, scope).rows
        return [{f"c{i}": value for i, value in enumerate(row, 1)} for row in rows]

    def answer(self, query: bound.Rows, scope: Scope) -> Answer:
        """The rows of any query; those that do not look outside are worked out once."""
        if id(query) not in self._closed:
            named, made = _sources(query)
            self._closed[id(query)] = self._answer(query, scope) if named <= made else None
        found = self._closed[id(query)]
        return self._answer(query, scope) if found is None else found

    def _answer(self, query: bound.Rows, scope: Scope) -> Answer:
        if isinstance(query, bound.Select):
            rows, keys = self._select(query, scope)
        else:
            rows = self._combine(query, scope)
            keys = [tuple(_order_key(row[o.by - 1], o.descending) for o in query.order_by) for row in rows]  # type: ignore[operator]
        places = sorted(range(len(rows)), key=lambda i: keys[i])
        start = query.offset or 0
        places = places[start:] if query.top is None else places[start : start + query.top]
        return Answer([rows[i] for i in places], [keys[i] for i in places])

    def _select(self, query: bound.Select, outer: Scope) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        scopes = [{**outer, **scope} for scope in self._source(query.source, outer)]
        if query.where is not None:
            scopes = [scope for scope in scopes if self.truth(query.where, scope)]
        rows, keys, seen = [], [], set()
        for scope, group in self._groups(query, scopes, outer):
            if query.having is not None and not self.truth(query.having, scope, group):
                continue
            row = tuple(_fitted(self.value(out.value, scope, group), out.value.column) for out in query.outputs)
            if query.distinct and _hashable(row) in seen:
                continue
            seen.add(_hashable(row))
            rows.append(row)
            by = [row[o.by - 1] if isinstance(o.by, int) else self.value(o.by, scope, group) for o in query.order_by]
            keys.append(tuple(_order_key(v, o.descending) for v, o in zip(by, query.order_by, strict=True)))
        return rows, keys

    def _groups(
        self, query: bound.Select, scopes: list[Scope], outer: Scope
    ) -> Iterator[tuple[Scope, list[Scope] | None]]:
        if not query.group_by and query.having is None and not _aggregates(query):
            yield from ((scope, None) for scope in scopes)
            return
        if not query.group_by:
            yield (scopes[0] if scopes else outer), scopes
            return
        groups: dict[Any, list[Scope]] = {}
        for scope in scopes:
            groups.setdefault(_hashable(tuple(self.value(v, scope) for v in query.group_by)), []).append(scope)
        yield from ((members[0], members) for members in groups.values())

    def _source(self, source: bound.Source | None, outer: Scope) -> list[Scope]:
        match source:
            case None:
                return [{}]
            case bound.Stored(alias, table):
                return [{alias: row} for row in self.tables[table.key]]
            case bound.Sub(alias, query):
                return [{alias: row} for row in self.named(query, outer)]
            case bound.CommonSource(alias, name):
                return [{alias: row} for row in self.common[name]]
            case bound.Join():
                return self._join(source, outer)

    def _join(self, join: bound.Join, outer: Scope) -> list[Scope]:
        left, right = self._source(join.left, outer), self._source(join.right, outer)
        rows: list[Scope] = []
        met: set[int] = set()
        for one in left:
            partners = [
                j for j, two in enumerate(right) if join.on is None or self.truth(join.on, {**outer, **one, **two})
            ]
            met.update(partners)
            rows += [{**one, **right[j]} for j in partners]
            if not partners and join.kind in (JoinKind.LEFT, JoinKind.FULL):
                rows.append({**one, **_nothing(join.right)})
        if join.kind in (JoinKind.RIGHT, JoinKind.FULL):
            rows += [{**_nothing(join.left), **two} for j, two in enumerate(right) if j not in met]
        return rows

    def _combine(self, query: bound.SetOperation, scope: Scope) -> list[tuple[Any, ...]]:
        sides = []
        for side in (query.left, query.right):
            rows = self.answer(side, scope).rows
            sides.append([tuple(map(_fitted, row, query.columns)) for row in rows])
        known = {_hashable(row): row for side in sides for row in side}
        left, right = (Counter(map(_hashable, side)) for side in sides)
        if not query.all:
            left, right = Counter(set(left)), Counter(set(right))
        combine: dict[SetKind, Callable[[], Counter[Any]]] = {
            SetKind.UNION: lambda: left + right if query.all else left | right,
            SetKind.EXCEPT: lambda: left - right,
            SetKind.INTERSECT: lambda: left & right,
        }
        return [known[key] for key in combine[query.kind]().elements()]

    # --- conditions -------------------------------------------------------------------------------

    def truth(self, condition: bound.Condition, scope: Scope, group: list[Scope] | None = None) -> bool | None:
        """True, False or None for unknown."""

        def value(operand: bound.Value) -> Any:
            return self.value(operand, scope, group)

        match condition:
            case bound.And(parts):
                return _all(self.truth(part, scope, group) for part in parts)
            case bound.Or(parts):
                return _not(_all(_not(self.truth(part, scope, group)) for part in parts))
            case bound.Not(inner):
                return _not(self.truth(inner, scope, group))
            case bound.Comparison(operator, left, right):
                return _compare(operator, value(left), value(right))
            case bound.Between(operand, low, high):
                tested = value(operand)
                return _all([_compare(">=", tested, value(low)), _compare("<=", tested, value(high))])
            case bound.InList(operand, items):
                return _among(value(operand), [value(item) for item in items])
            case bound.InQuery(operand, query):
                return _among(value(operand), [row[0] for row in self.answer(query, scope).rows])
            case bound.Like(operand, pattern, folded):
                return _like(value(operand), value(pattern), folded)
            case bound.IsNull(operand):
                return value(operand) is None
            case bound.Exists(query):
                return bool(self.answer(query, scope).rows)
            case bound.Near(lon1, lat1, lon2, lat2, radius, inclusive):
                known = _known(value, lon1, lat1, lon2, lat2, radius)
                return None if known is None else _near(*known, inclusive)
            case bound.Within(inner, outer):
                shapes = _known(value, inner, outer)
                return None if shapes is None else _within(*shapes)
            case bound.Overlaps(left, right):
                shapes = _known(value, left, right)
                return None if shapes is None else sphere.overlap(*shapes)
        raise TypeError(condition)

    # --- values -----------------------------------------------------------------------------------

    def value(self, node: bound.Value, scope: Scope, group: list[Scope] | None = None) -> Any:
        """The value of ``node``, None for NULL."""
        worked_out = self._value(node, scope, group)
        if isinstance(worked_out, float):
            return _float(worked_out, node.column)
        if type(worked_out) is int and not isinstance(node, bound.Constant):
            _check_range(worked_out, node.column)
        return worked_out

    def _value(self, node: bound.Value, scope: Scope, group: list[Scope] | None) -> Any:
        def value(operand: bound.Value) -> Any:
            return self.value(operand, scope, group)

        match node:
            case bound.Constant(constant):
                return constant
            case bound.Field(source, name):
                return scope[source][name]
            case bound.Negative(operand):
                known = _known(value, operand)
                return None if known is None else -known[0]
            case bound.Arithmetic(operator, left, right):
                known = _known(value, left, right)
                return None if known is None else _arithmetic(operator, *known)
            case bound.Apply("coalesce", arguments):
                return next((v for v in map(value, arguments) if v is not None), None)
            case bound.Apply(function, arguments):
                known = _known(value, *arguments)
                return None if known is None else _apply(function, known)
            case bound.Aggregate():
                if group is None:
                    raise TypeError("an aggregate outside of a group")
                return self._aggregate(node, group)
            case bound.Convert(operand, column):
                known = _known(value, operand)
                return None if known is None else _convert(known[0], column)
            case bound.Scalar(query):
                rows = self.answer(query, scope).rows
                if len(rows) > 1:
                    raise Refused("a subquery gives more than one row")
                return rows[0][0] if rows else None
            case bound.Truth(condition):
                truth = self.truth(condition, scope, group)
                return None if truth is None else int(truth)
            case bound.Separation(lon1, lat1, lon2, lat2):
                known = _known(value, lon1, lat1, lon2, lat2)
                return None if known is None else sphere.separation(*known)
            case bound.PointOf(lon, lat):
                return _known(value, lon, lat)
            case bound.CircleOf(lon, lat, radius):
                return _known(value, lon, lat, radius)
            case bound.PolygonOf(vertices):
                return _known(value, *(part for vertex in vertices for part in vertex))
            case bound.Pixels():
                return node
        raise TypeError(node)

    def _aggregate(self, node: bound.Aggregate, group: list[Scope]) -> Any:
        rows = [[self.value(argument, scope) for argument in node.arguments] for scope in group]
        if not node.arguments:
            return len(rows)
        if node.function == "ivo_histogram":
            return _histogram(rows)
        values = [row[0] for row in rows if row[0] is not None]
        if node.distinct:
            values = list({_hashable(v): v for v in values}.values())
        if node.function == "count":
            return len(values)
        if not values:
            return None
        match node.function:
            case "sum":
                return math.fsum(values) if any(isinstance(v, float) for v in values) else sum(values)
            case "avg":
                return math.fsum(values) / len(values)
            case "min":
                return min(values)
            case "max":
                return max(values)
            case "ivo_string_agg":
                return rows[0][1].join(values)
        raise TypeError(node.function)


def _sources(node: Any) -> tuple[set[str], set[str]]:
    """The sources whose columns stand in a part of a query, and the sources it has itself."""
    if isinstance(node, bound.Field):
        return {node.source}, set()
    if isinstance(node, Column | str) or (not isinstance(node, tuple) and not hasattr(node, "__slots__")):
        return set(), set()
    parts = node if isinstance(node, tuple) else [getattr(node, name) for name in node.__slots__]
    found = [_sources(part) for part in parts]
    made = {node.alias} if isinstance(node, bound.Stored | bound.Sub | bound.CommonSource) else set()
    return set().union(*(named for named, _ in found)), made.union(*(own for _, own in found))


def _known(value: Callable[[bound.Value], Any], *operands: bound.Value) -> list[Any] | None:
    """The values of all operands, or None if one of them is NULL."""
    values = [value(operand) for operand in operands]
    return None if any(v is None for v in values) else values


def _aggregates(query: bound.Select) -> bool:
    """True if an aggregate of this query's own (not of a subquery) stands in its outputs or order."""
    return any(map(_has_aggregate, query.outputs)) or any(map(_has_aggregate, query.order_by))


def _has_aggregate(node: Any) -> bool:
    if isinstance(node, bound.Aggregate):
        return True
    if isinstance(node, tuple):
        return any(map(_has_aggregate, node))
    if isinstance(node, bound.Select | bound.SetOperation | Column | str) or not hasattr(node, "__slots__"):
        return False
    return any(_has_aggregate(getattr(node, name)) for name in node.__slots__)


def _nothing(source: bound.Source) -> Scope:
    if isinstance(source, bound.Join):
        return {**_nothing(source.left), **_nothing(source.right)}
    return {source.alias: _Nothing()}


def _order_key(value: Any, descending: bool) -> tuple[bool, Any]:
    """NULLs last, ascending or descending."""
    return (True, 0) if value is None else (False, _Backwards(value) if descending else value)


@dataclass(frozen=True, slots=True)
class _Backwards:
    value: Any

    def __lt__(self, other: _Backwards) -> bool:
        return bool(other.value < self.value)


# --- three truth values ----------------------------------------------------------------------------


def _all(truths: Iterable[bool | None]) -> bool | None:
    found = list(truths)
    return False if False in found else None if None in found else True


def _not(truth: bool | None) -> bool | None:
    return None if truth is None else not truth


def _compare(operator: str, left: Any, right: Any) -> bool | None:
    if left is None or right is None:
        return None
    match operator:
        case "=":
            return bool(left == right)
        case "<>":
            return bool(left != right)
        case "<":
            return bool(left < right)
        case ">":
            return bool(left > right)
        case "<=":
            return bool(left <= right)
        case ">=":
            return bool(left >= right)
    raise ValueError(operator)


def _among(value: Any, items: list[Any]) -> bool | None:
    return _not(_all(_compare("<>", value, item) for item in items))


def _like(text: str | None, pattern: str | None, folded: bool) -> bool | None:
    if text is None or pattern is None:
        return None
    if folded:
        text, pattern = text.lower(), pattern.lower()
    signs = {"%": ".*", "_": "."}
    expression = "".join(signs.get(c) or re.escape(c) for c in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _near(lon1: float, lat1: float, lon2: float, lat2: float, radius: float, inclusive: bool) -> bool:
    distance = sphere.separation(lon1, lat1, lon2, lat2)
    return distance <= radius + sphere.NEAR if inclusive else distance < radius - sphere.NEAR


def _within(inner: Any, outer: Any) -> bool:
    if isinstance(outer, bound.Pixels):
        cell = _cell(29, inner[0], inner[1])
        return any(start <= cell < end for start, end in outer.ranges)
    return sphere.within(inner, outer)


# --- values ----------------------------------------------------------------------------------------

_RANGES = {
    Datatype.BYTE: (0, 2**8 - 1),
    Datatype.SHORT: (-(2**15), 2**15 - 1),
    Datatype.INT: (-(2**31), 2**31 - 1),
    Datatype.LONG: (-(2**63), 2**63 - 1),
}


def _check_range(value: int, column: Column) -> None:
    low, high = _RANGES.get(column.datatype, (value, value))
    if not low <= value <= high:
        raise Refused(f"{value} is out of range of {column.datatype}")


def _float(value: float, column: Column) -> float | None:
    """A float as its column holds it: single precision if that is its type, NULL if it is no number."""
    if not math.isfinite(value):
        return None
    if column.datatype is Datatype.FLOAT and column.arraysize is None:
        with np.errstate(over="ignore"):
            value = float(np.float32(value))
        return value if math.isfinite(value) else None
    return value


def _fitted(value: Any, column: Column) -> Any:
    """A value as a column of the answer holds it."""
    if isinstance(value, int | float) and not isinstance(value, bool) and column.arraysize is None:
        if column.datatype in (Datatype.FLOAT, Datatype.DOUBLE):
            return _float(float(value), column)
        if column.datatype is Datatype.BOOLEAN:
            return bool(value)
    return value


def _hashable(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return tuple(map(_hashable, value))
    return value


def _arithmetic(operator: str, left: Any, right: Any) -> Any:
    whole = isinstance(left, int) and isinstance(right, int)
    match operator:
        case "||":
            return left + right
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            if right == 0:
                return None
            return _towards_zero(left, right) if whole else left / right
        case "%":
            return _modulo(left, right)
    raise ValueError(operator)


def _towards_zero(left: int, right: int) -> int:
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _modulo(left: Any, right: Any) -> Any:
    """The remainder, with the sign of the dividend."""
    if right == 0:
        return None
    if isinstance(left, int) and isinstance(right, int):
        return left - right * _towards_zero(left, right)
    return math.fmod(left, right)


def _domain(function: Callable[..., float]) -> Callable[..., float | None]:
    """The function, NULL where it is not defined."""

    def guarded(*arguments: float) -> float | None:
        try:
            return function(*arguments)
        except (ValueError, OverflowError, ZeroDivisionError):
            return None

    return guarded


def _half_away(x: float, n: int = 0) -> float:
    """Rounded, halves away from zero."""
    scale = 10.0 ** abs(n)
    scaled = x * scale if n >= 0 else x / scale
    whole = math.copysign(math.floor(abs(scaled) + 0.5), x)
    return whole / scale if n >= 0 else whole * scale


def _cut(x: float, n: int = 0) -> float:
    """Truncated towards zero."""
    scale = 10.0 ** abs(n)
    return float(np.trunc(x * scale) / scale if n >= 0 else np.trunc(x / scale) * scale)


@lru_cache(maxsize=10_000)
def _cell(order: int, lon: float, lat: float) -> int:
    return int(lonlat_to_healpix(Longitude(lon, u.deg), Latitude(lat, u.deg), order)[0])


def _cell_centre(order: int, cell: int) -> list[float] | None:
    if not (0 <= order <= 29 and 0 <= cell < 12 * 4**order):
        return None
    lon, lat = healpix_to_lonlat(np.array([cell], dtype=np.uint64), order)
    return [float(lon.deg[0]), float(lat.deg[0])]


def _mjd(time: datetime.datetime) -> float:
    return (time - datetime.datetime(1858, 11, 17)) / datetime.timedelta(days=1)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", text.lower()))


def _sexagesimal(text: str, unit: str, most: int) -> float | None:
    sign = r"\s*(?P<sign>[+-]?)" if unit == "d" else r"\s*(?P<sign>)"
    rest = r"(?P<s>[0-5]?\d(?:\.\d*)?)"
    forms = (
        rf"{sign}(?P<d>\d+):(?P<m>[0-5]?\d):{rest}\s*",
        rf"{sign}(?P<d>\d{{2,{most}}})(?P<m>[0-5]\d)(?P<s>[0-5]\d(?:\.\d*)?)\s*",
        rf"{sign}(?P<d>\d+){unit}\s*(?P<m>[0-5]?\d)m\s*{rest}s\s*",
    )
    for form in forms:
        if found := re.fullmatch(form, text.lower()):
            size = int(found["d"]) + int(found["m"]) / 60 + float(found["s"]) / 3600
            return -size if found["sign"] == "-" else size
    return None


def _hours(text: str) -> float | None:
    hours = _sexagesimal(text, "h", 2)
    return None if hours is None else 15 * hours


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "ceiling": lambda x: float(np.ceil(x)),
    "floor": lambda x: float(np.floor(x)),
    "degrees": math.degrees,
    "radians": math.radians,
    "exp": math.exp,
    "log": math.log,
    "log10": math.log10,
    "mod": _modulo,
    "power": math.pow,
    "round": _half_away,
    "truncate": _cut,
    "sqrt": math.sqrt,
    "acos": math.acos,
    "asin": math.asin,
    "atan": math.atan,
    "atan2": math.atan2,
    "cos": math.cos,
    "cot": lambda x: 1 / math.tan(x),
    "sin": math.sin,
    "tan": math.tan,
    "lower": str.lower,
    "upper": str.upper,
    "coord1": lambda shape: shape[0],
    "coord2": lambda shape: shape[1],
    "radius": lambda shape: shape[2],
    "area": sphere.area,
    "centroid": sphere.centroid,
    "ivo_healpix_index": lambda order, lon, lat: _cell(order, lon, lat) if 0 <= order <= 29 else None,
    "ivo_healpix_center": _cell_centre,
    "ivo_to_mjd": _mjd,
    "ivo_hasword": lambda text, words: int(_words(words) <= _words(text)),
    "ivo_hashlist_has": lambda items, item: int(item.lower() in items.lower().split("#")),
    "ivo_hms_to_degrees": _hours,
    "ivo_dms_to_degrees": lambda text: _sexagesimal(text, "d", 3),
}


def _apply(function: str, arguments: list[Any]) -> Any:
    if function == "rotate":
        return _rotated(arguments[0], np.array(arguments[1:]).reshape(3, 3))
    return _domain(_FUNCTIONS[function])(*arguments)


def _rotated(polygon: list[float], matrix: Any) -> list[float]:
    turned = (sphere.position(matrix @ corner) for corner in sphere.Polygon(polygon).corners)
    return [part for vertex in turned for part in vertex]


def _histogram(rows: list[list[Any]]) -> list[int] | None:
    if not rows:
        return None
    low, high, bins = rows[0][1:]
    counts = [0] * (bins + 2)
    for value, *_ in rows:
        place = 0 if value is None or value < low else bins + 1 if value >= high else 0
        if value is not None and low <= value < high:
            place = min(bins, 1 + int((value - low) / (high - low) * bins))
        counts[place] += 1
    return counts


def _convert(value: Any, column: Column) -> Any:
    """CAST."""
    if column.is_geometry:
        return _numbers(value, column) if isinstance(value, str) else value
    if column.is_timestamp:
        return _time(value) if isinstance(value, str) else value
    if column.is_text:
        return _written(value, column)
    if column.datatype.is_integer:
        return _integer(value)
    try:
        return float(value)
    except ValueError:
        raise Refused(f"{value} is no number") from None


def _integer(value: Any) -> int:
    try:
        return int(value) if isinstance(value, str) else round(value)
    except ValueError:
        raise Refused(f"{value} is no integer") from None


def _written(value: Any, column: Column) -> str:
    text = value.isoformat() if isinstance(value, datetime.datetime) else str(value)
    size = (column.arraysize or "*").rstrip("*")
    return text[: int(size)] if size else text


def _time(text: str) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        raise Refused(f"{text} is no timestamp") from None


def _numbers(text: str, column: Column) -> list[float]:
    try:
        numbers = [float(part) for part in text.split()]
    except ValueError:
        raise Refused(f"{text} is no {column.xtype}") from None
    if len(numbers) != {"point": 2, "circle": 3}.get(column.xtype or "", max(6, len(numbers) // 2 * 2)):
        raise Refused(f"{text} is no {column.xtype}")
    return numbers
