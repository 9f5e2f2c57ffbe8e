"""Joins by position: a pass over a select's sources and conditions that lets the engine join by hashing.

``Near`` between two sources would make a database compare every pair. The sky is therefore cut into cells (zones of
latitude, cut into blocks). Of one source each row stands once for each cell that positions near it can lie in; the
other's rows have one cell; the join is on equal cells and the exact test. No pair is found twice, since the
other's cell is one. So the rewriting is right wherever each combination of rows must pass the test: in WHERE, in the
ON of an inner join, and in the ON of an outer join if the multiplied rows are on its optional side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

from archive.adql import bound
from archive.adql.tree import JoinKind
from archive.columns import Datatype
from archive.engine.sphere import constant_vertices, number
from archive.tables import Position, Table

_WIDEST = 20.0  # degrees; beyond, cells separate too little
_PLAIN = 10.0  # degrees; further around a position there may lie more cells than its own and the next
_NARROWEST = 0.005  # degrees; finer cells would hold less than a row in any catalog
_MANY = 4  # times as many rows: then the larger source is thinned before it is multiplied

Leaf = bound.Stored | bound.Sub | bound.CommonSource


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a row reaches: a position and a radius, or the polygon it is inside of."""

    lon: bound.Value | None
    lat: bound.Value | None
    radius: bound.Value | None
    polygon: bound.Value | None = None


_AROUND = tuple(each.name for each in fields(Surroundings))


@dataclass(frozen=True, slots=True)
class Celled:
    """A source whose rows stand once for each cell they reach; ``lon`` and ``lat`` are the other side's position.

    Where the source is much larger than the other side, ``thinner`` is that: only rows in cells that the other
    side reaches are multiplied. ``other`` is the other side where that is one stored table.
    """

    leaf: Leaf
    around: Surroundings
    lon: bound.Value
    lat: bound.Value
    thinner: bound.Stored | None
    other: Table | None

    @property
    def alias(self) -> str:
        return self.leaf.alias


@dataclass(frozen=True, slots=True)
class Marked:
    """The other side of ``celled``, its rows carrying their cells: needed where the size of cells is looked up."""

    leaf: Leaf
    celled: Celled

    @property
    def alias(self) -> str:
        return self.leaf.alias


@dataclass(frozen=True, slots=True)
class Keyed:
    """A test that holds only where the cell of the celled source is the one of the other side's position."""

    test: bound.Near | bound.Within
    celled: Celled


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two sides of a test: what would be multiplied, and the position on the other side."""

    around: Surroundings
    lon: bound.Value
    lat: bound.Value


Size = Callable[[Leaf], int]
"""How many rows a source has, about."""
Stored = Callable[[str], bound.Stored | None]
"""The stored table of an enclosing statement behind an alias."""


def planned(body: bound.Select, size: Size, stored: Stored) -> bound.Select:
    """``body`` with its joins by position made ``Keyed`` and one source of each ``Celled``."""
    if body.source is None or not _has_tests(body):
        return body
    plan = _Plan(body.source, size, stored)
    where = plan.rewritten(body.where, plan.leaves(body.source)) if body.where is not None else None
    source = plan.joined(body.source)
    if not plan.celled:
        return body
    return replace(body, source=plan.placed(source), where=where)


class _Plan:
    def __init__(self, source: bound.Source, size: Size, stored: Stored) -> None:
        self._size = size
        self._stored = stored
        self._here = {leaf.alias: leaf for leaf in self.leaves(source)}
        self.celled: dict[str, Celled | Marked] = {}

    def leaves(self, source: bound.Source) -> list[Leaf]:
        if isinstance(source, bound.Join):
            return [*self.leaves(source.left), *self.leaves(source.right)]
        return [source]

    def joined(self, source: bound.Source) -> bound.Source:
        """The sources with the conditions of their joins rewritten."""
        if not isinstance(source, bound.Join):
            return source
        left, right, on = self.joined(source.left), self.joined(source.right), source.on
        if on is not None:
            on = self.rewritten(on, self._free(source))
        return replace(source, left=left, right=right, on=on)

    def _free(self, join: bound.Join) -> list[Leaf]:
        """The sources of a join whose rows may be multiplied in its ON."""
        match join.kind:
            case JoinKind.LEFT:
                return self.leaves(join.right)
            case JoinKind.RIGHT:
                return self.leaves(join.left)
            case JoinKind.FULL:
                return []
        return self.leaves(join)

    def placed(self, source: bound.Source) -> bound.Source:
        """The sources with celled ones in their places."""
        if isinstance(source, bound.Join):
            return replace(source, left=self.placed(source.left), right=self.placed(source.right))
        return self.celled.get(source.alias, source)  # type: ignore[return-value]

    def rewritten(self, condition: bound.Condition, free: list[Leaf]) -> bound.Condition:
        if isinstance(condition, bound.And):
            return bound.And(tuple(self.rewritten(part, free) for part in condition.conditions))
        if isinstance(condition, bound.Near | bound.Within):
            return self._keyed(condition, free) or condition  # type: ignore[return-value]
        return condition

    def _keyed(self, test: bound.Near | bound.Within, free: list[Leaf]) -> Keyed | None:
        best: tuple[int, Celled] | None = None
        for pair in _pairs(test):
            for leaf in free:
                if leaf.alias in self.celled or not self._fits(pair, leaf):
                    continue
                cost = self._size(leaf)
                if best is None or cost < best[0]:
                    best = (cost, self._celled(pair, leaf, cost))
        if best is None:
            return None
        celled = best[1]
        self.celled[celled.alias] = celled
        if height(celled.around) is None:
            other = other_side(celled)
            self.celled[other] = Marked(self._here[other], celled)
        return Keyed(test, celled)

    def _fits(self, pair: _Pair, leaf: Leaf) -> bool:
        """True if the rows of ``leaf`` alone decide what is reached and the other side does not depend on them."""
        reached, other = sources(pair.around), sources((pair.lon, pair.lat))
        if reached != {leaf.alias} or not other or None in other or leaf.alias in other:
            return False
        radius = None if pair.around.radius is None else number(pair.around.radius)
        if radius is not None:
            return radius <= _WIDEST
        # The widest radius is looked up in the one, and the other is marked with its cells.
        return isinstance(leaf, bound.Stored) and len(other) == 1 and self._is_free(str(next(iter(other))))

    def _is_free(self, alias: str) -> bool:
        return alias in self._here and alias not in self.celled

    def _celled(self, pair: _Pair, leaf: Leaf, cost: int) -> Celled:
        others = sources((pair.lon, pair.lat))
        alias = str(next(iter(others)))
        other = self._here.get(alias) or self._stored(alias)
        if len(others) > 1 or not isinstance(other, bound.Stored):
            return Celled(leaf, pair.around, pair.lon, pair.lat, None, None)
        thin = height(pair.around) is not None and cost > _MANY * self._size(other)
        return Celled(leaf, pair.around, pair.lon, pair.lat, other if thin else None, other.table)


@dataclass(frozen=True, slots=True)
class NearColumns:
    """A stored table of which each row reaches ``radius`` degrees around the position in two of its columns.

    On the ``other`` side are positions by which a table's rows are sorted, if it has been given their cells.
    """

    table: Table
    lon: str
    lat: str
    radius: float
    other: Table


def near_columns(celled: Celled) -> NearColumns | None:
    """What a celled source reaches, where that is so plain that it can be told without the engine."""
    around, leaf, other = celled.around, celled.leaf, celled.other
    radius = None if around.radius is None else number(around.radius)
    if not isinstance(leaf, bound.Stored) or celled.thinner is not None or radius is None or radius > _PLAIN:
        return None
    if other is None or _names(celled.lon, celled.lat) != other.position:
        return None
    match _plain(around.lon), _plain(around.lat):
        case bound.Field(lon_of, lon), bound.Field(lat_of, lat) if lon_of == lat_of == leaf.alias:
            return NearColumns(leaf.table, lon, lat, radius, other)
    return None


def _names(lon: bound.Value, lat: bound.Value) -> Position | None:
    match lon, lat:
        case bound.Field(name=lon_name), bound.Field(name=lat_name):
            return Position(lon_name, lat_name)
    return None


def _plain(value: bound.Value | None) -> bound.Value | None:
    """A number without what makes it a double."""
    if isinstance(value, bound.Convert) and value.column.datatype is Datatype.DOUBLE:
        return value.operand
    return value


def height(around: Surroundings) -> float | None:
    """The height of zones in degrees, or None if it must be looked up (the radius is not constant)."""
    radius = None if around.radius is None else number(around.radius)
    return None if radius is None else max(4 * radius, _NARROWEST)


def other_side(celled: Celled) -> str:
    """The alias of (one of) the sources on the other side."""
    return next(iter(sorted(str(alias) for alias in sources((celled.lon, celled.lat)))))


def _pairs(test: bound.Near | bound.Within) -> Iterator[_Pair]:
    if isinstance(test, bound.Near):
        yield _Pair(Surroundings(test.lon1, test.lat1, test.radius), test.lon2, test.lat2)
        yield _Pair(Surroundings(test.lon2, test.lat2, test.radius), test.lon1, test.lat1)
    elif isinstance(test.inner, bound.PointOf) and _varies(test.outer):
        yield _Pair(Surroundings(None, None, None, test.outer), test.inner.lon, test.inner.lat)


def _varies(shape: bound.Value) -> bool:
    """True for a polygon that depends on the row."""
    return shape.column.xtype == "polygon" and constant_vertices(shape) is None


def sources(part: object) -> set[str | None]:
    """The aliases a part of the tree depends on; None among them if that cannot be told (a subquery)."""
    if isinstance(part, bound.Field):
        return {part.source}
    if isinstance(part, bound.Scalar | bound.Aggregate | bound.Truth):
        return {None}
    if isinstance(part, tuple):
        return set().union(*(sources(each) for each in part))
    names = _AROUND if isinstance(part, Surroundings) else bound.PARTS.get(type(part), ())
    return set().union(*(sources(getattr(part, name)) for name in names))


def _has_tests(body: bound.Select) -> bool:
    return _mentions(body.where) or _join_mentions(body.source)


def _join_mentions(source: bound.Source | None) -> bool:
    if not isinstance(source, bound.Join):
        return False
    return _mentions(source.on) or _join_mentions(source.left) or _join_mentions(source.right)


def _mentions(condition: bound.Condition | None) -> bool:
    if isinstance(condition, bound.And):
        return any(_mentions(part) for part in condition.conditions)
    return isinstance(condition, bound.Near | bound.Within)
