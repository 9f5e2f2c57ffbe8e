"""The shape of a query: all of it but the values it compares with and the circles it looks into.

Queries of one shape have one statement, into which their values are handed when it is run. To write a statement, and to
have it read, takes longer than a short query takes to be answered, and a service is asked few shapes over and over.

Only queries of one stored table have a shape here. In what joins, nests or merges, values decide how the statement is
written; and a value that stands elsewhere than in a comparison, a distance or a circle is part of the shape.
"""

from __future__ import annotations

import datetime
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from archive.adql import bound
from archive.columns import Column, Datatype
from archive.engine import elements as el
from archive.engine.places import Place
from archive.engine.sphere import FixedCone, GivenCone, Sphere
from archive.sky import WHOLE_SKY

_KEPT = 256  # shapes
_MOST_VALUES = 100  # of a query that has a shape

T = TypeVar("T")
Value = float | int | str | datetime.datetime


@dataclass(frozen=True, slots=True)
class Shape:
    """What queries share that differ in values alone (``key``), and the ``values`` of one of them.

    ``given`` tells the writer of the statement, by the identity of the nodes, which of the values stand where.
    """

    key: Hashable
    values: Sequence[Value]
    given: dict[int, el.Given | GivenCone]


def shape(query: bound.Bound, place: Place, most: int | None, sphere: type[Sphere]) -> Shape | None:
    """The shape of ``query``, of at most ``most`` rows, whose only table lies at ``place``; None if it has none.

    The statement is written by ``sphere``, as far as it is about positions.
    """
    body, source = query.body, place.source
    if query.common or not isinstance(body, bound.Select) or not isinstance(body.source, bound.Stored):
        return None
    if body.distinct or body.group_by or body.having is not None or not isinstance(source, sa.TableClause):
        return None
    taking = _Taking(body.source, place, sphere)
    try:
        parts = [taking.key(getattr(body, name)) for name in _OF_SELECT]
    except _NoShape:
        return None
    return Shape((source.schema, source.name, body.source.alias, most, *parts), taking.values, taking.given)


class Shapes(Generic[T]):
    """What was made for the shapes that were asked for last. Safe for threads."""

    def __init__(self) -> None:
        self._made: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> T | None:
        """What is kept for ``key``."""
        with self._lock:
            found = self._made.get(key)
            if found is not None:
                self._made.move_to_end(key)
            return found

    def keep(self, key: Hashable, made: T) -> None:
        """Keep ``made``, and forget what nobody has asked for longest if there is too much."""
        with self._lock:
            self._made[key] = made
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)


class _NoShape(Exception):
    """Values decide how the statement is written."""


_OF_SELECT = ("outputs", "where", "order_by", "top", "offset")
_PLAIN = (
    bound.Output, bound.Order, bound.Field, bound.Negative, bound.Arithmetic, bound.Apply, bound.Aggregate,
    bound.Convert, bound.Truth, bound.IsNull, bound.And, bound.Or, bound.Not,
)  # fmt: skip
_COMPARING = (bound.Comparison, bound.Between, bound.InList, bound.Like, bound.Separation)
_PARTS = {kind: bound.PARTS[kind] for kind in (*_PLAIN, *_COMPARING)}
_TYPED = frozenset(kind for kind in _PARTS if "column" in kind.__dataclass_fields__)
_WORDS = (str, int, bool, type(None))
_BY_VALUE = "ivo_healpix_index"  # the order may decide that the stored cell serves
_EXACT = (Datatype.BYTE, Datatype.SHORT, Datatype.INT, Datatype.LONG, Datatype.DOUBLE)


class _Taking:
    """Takes the values out of a query of the table ``source``."""

    def __init__(self, source: bound.Stored, place: Place, sphere: type[Sphere]) -> None:
        position = source.table.position
        self._position = None if position is None or not place.healpix else (position.lon, position.lat)
        self._rows = place.rows
        self._sphere = sphere
        self._merging = False
        self.values: list[Value] = []
        self.given: dict[int, el.Given | GivenCone] = {}

    def key(self, node: Any) -> Hashable:
        """What of ``node`` is part of the shape."""
        kind = type(node)
        if kind is tuple:
            return tuple([self.key(each) for each in node])
        if kind is bound.Constant:
            return ("constant", type(node.value).__name__, repr(node.value), *_type(node.column))
        if kind is bound.Near:
            return self._cone(node)
        if kind in _WORDS:
            return node  # type: ignore[no-any-return]
        names = _PARTS.get(kind)
        if names is None or (kind is bound.Apply and node.function == _BY_VALUE):
            raise _NoShape
        if kind is bound.Or:
            return self._or(node)
        typed = _type(node.column) if kind in _TYPED else ()
        if kind in _COMPARING:
            return (kind.__name__, *typed, *self._compared(node, names))
        return (kind.__name__, *typed, *[self.key(getattr(node, name)) for name in names])

    def _or(self, node: bound.Or) -> Hashable:
        """Cones below it are merged into ranges of their own."""
        before, self._merging = self._merging, True
        parts = [self.key(each) for each in node.conditions]
        self._merging = before
        return ("Or", *parts)

    def _compared(self, node: Any, names: Sequence[str]) -> Iterator[Hashable]:
        """The parts of a comparison; constants among them are values."""
        parts = [getattr(node, name) for name in names]
        exact = any(type(part) is bound.Field and _is_exact(part.column) for part in parts)
        for part in parts:
            several = type(part) is tuple
            keys = tuple([self._operand(each, exact) for each in (part if several else (part,))])
            yield keys if several else keys[0]

    def _operand(self, part: Any, exact: bool) -> Hashable:
        if type(part) is not bound.Constant:
            return self.key(part)
        kind = type(part.value)
        if not (kind in (float, str, datetime.datetime) or (kind is int and exact)):
            return self.key(part)
        self._note(part, self._value(part.value))
        return ("given", kind.__name__, *_type(part.column))

    def _cone(self, near: bound.Near) -> Hashable:
        """A circle around a constant place, and its ranges of cells where rows are sorted by the positions in it."""
        cone = FixedCone.of(near)
        if cone is None or self._merging or not self._is_place(cone):
            raise _NoShape
        test, ranges = cone.test, cone.ranges
        told = None if ranges == WHOLE_SKY else self._sphere.worthwhile(ranges, self._rows)
        lon, lat, flat, limit = [self._value(value) for value in (test.lon, test.lat, test.flat, test.bound)]
        given = el.Versine(lon, lat, flat, limit, test.beyond, test.inclusive)
        named = None if told is None else tuple([(self._value(low), self._value(high - 1)) for low, high in told])
        self._note(near, GivenCone(given, named))
        return ("Near", self._position, test.beyond, test.inclusive, None if told is None else len(told))

    def _is_place(self, cone: FixedCone) -> bool:
        lon, lat = cone.lon, cone.lat
        return isinstance(lon, bound.Field) and isinstance(lat, bound.Field) and (lon.name, lat.name) == self._position

    def _note(self, node: object, given: el.Given | GivenCone) -> None:
        if id(node) in self.given:  # one node in two places: another query of this shape may have two values there
            raise _NoShape
        self.given[id(node)] = given

    def _value(self, value: Any) -> el.Given:
        if len(self.values) >= _MOST_VALUES:
            raise _NoShape
        self.values.append(value)
        return el.Given(len(self.values) - 1)


def _type(column: Column) -> tuple[Hashable, ...]:
    return column.datatype, column.arraysize, column.xtype


def _is_exact(column: Column) -> bool:
    return column.arraysize is None and column.datatype in _EXACT
