"""Joins by position through an index: a pass over a select that makes PostgreSQL look rows up instead of comparing all.

Where a source is a stored table in the order of its cells, and much larger than what it is joined to, each row of the
other side reads only the cells near it. Sources of about one size stay with ``crossmatch``, which joins by hashing.
A table is probed where its rows that are not near can be left out: on either side of an inner join, on the optional
side of an outer one; tests in WHERE hold for the inner joins alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.sql.expression import FromClause

from archive.adql import bound
from archive.adql.tree import JoinKind
from archive.engine import crossmatch
from archive.engine import elements as el
from archive.engine.crossmatch import Leaf, Surroundings
from archive.engine.postgres_dialect import Same
from archive.engine.select import Locate, Writer
from archive.engine.sphere import HEALPIX, Sphere, number

_PROBE = 20  # rows that are hashed in the time of one look-up


@dataclass(frozen=True, slots=True)
class Probed:
    """A stored table of which only the rows near each row of the sources before it are read."""

    leaf: bound.Stored
    around: Surroundings

    @property
    def alias(self) -> str:
        return self.leaf.alias


@dataclass(frozen=True, slots=True)
class Settled:
    """A condition that stays as it is: what could be done for it is done."""

    condition: bound.Condition


class FineSphere(Sphere):
    """Tells ranges apart sooner: PostgreSQL looks a range up in the time in which it tests a hundred rows."""

    few_rows = 1_000


class ProbingWriter(Writer):
    """Writes statements in which large tables are probed."""

    def __init__(self, locate: Locate) -> None:
        super().__init__(locate)
        self._sphere = FineSphere(self)

    def _select(self, body: bound.Select, *more: object) -> sa.Select[object]:
        return super()._select(self._probing(body), *more)  # type: ignore[arg-type, return-value]

    def _leaf(self, source: Leaf | Probed) -> FromClause:
        return self._probed(source) if isinstance(source, Probed) else super()._leaf(source)

    def _on(self, join: bound.Join) -> sa.ColumnElement[bool]:
        on = super()._on(join)
        if join.kind is not JoinKind.FULL:
            return on
        left, right = (next(leaves(side)).alias for side in (join.left, join.right))
        return el.Infix("AND", (Same(left, right), on))

    def condition(self, condition: bound.Condition | crossmatch.Keyed | Settled) -> el.Term:
        return super().condition(condition.condition if isinstance(condition, Settled) else condition)

    def _probing(self, body: bound.Select) -> bound.Select:
        if not isinstance(body.source, bound.Join):
            return body
        plan = _Plan(self._probe_size, self._is_sorted, list(_conjuncts(body.where)))
        source = plan.source(body.source)
        if not plan.probed:
            return body
        return replace(body, source=source, where=plan.settled(body.where))

    def _probe_size(self, leaf: Leaf) -> int:
        return self._size(leaf)

    def _is_sorted(self, table: bound.Stored) -> bool:
        return self._locate(table.table).healpix

    def _probed(self, probed: Probed) -> FromClause:
        """``LATERAL``: the cells near a row of the sources before, and the rows of the table in each of them."""
        around = self._reach(probed.around)
        cells = sa.select(el.Exploded(el.Invoke("near_cells", around)).label("k1")).correlate(None).subquery("k")
        found = super()._leaf(bound.Stored(probed.alias, probed.leaf.table)).element.alias("b")  # type: ignore[attr-defined]
        width = el.Invoke("near_width", around[2:])
        low = el.Infix("*", (el.Ref("k", "k1"), width))
        high = el.Infix("-", (el.Infix("+", (low, width)), el.Whole(1)))
        within = el.Amid(el.Ref("b", HEALPIX), low, high)
        rows = sa.select(el.everything("b")).correlate(None).select_from(sa.join(cells, found, within))
        # OFFSET keeps the planner from taking the subquery apart: it holds the exact test for cheaper than the index.
        return rows.offset(el.Whole(0)).lateral(probed.alias)


class _Plan:
    """Finds which leaves of a select's sources are to be probed."""

    def __init__(
        self,
        size: Callable[[Leaf], int],
        is_sorted: Callable[[bound.Stored], bool],
        where: Sequence[bound.Condition],
    ) -> None:
        self._size = size
        self._is_sorted = is_sorted
        self._where = where
        self.probed: set[str] = set()

    def source(self, source: bound.Source) -> bound.Source:
        if not isinstance(source, bound.Join):
            return source
        left, right = self.source(source.left), self.source(source.right)
        join = replace(source, left=left, right=right)
        for leaf, other, kinds in (
            (right, left, (JoinKind.INNER, JoinKind.CROSS, JoinKind.LEFT)),
            (left, right, (JoinKind.INNER, JoinKind.CROSS, JoinKind.RIGHT)),
        ):
            if source.kind in kinds and isinstance(leaf, bound.Stored):
                probed = self._probed(leaf, other, source)
                if probed is not None:
                    return self._placed(join, probed, other)
        return join

    def _placed(self, join: bound.Join, probed: Probed, other: bound.Source) -> bound.Source:
        """The join with the probed table behind what it depends on."""
        self.probed.add(probed.alias)
        kind = JoinKind.LEFT if join.kind is JoinKind.RIGHT else join.kind
        return bound.Join(kind, other, probed, self.settled(join.on))  # type: ignore[arg-type]

    def settled(self, condition: bound.Condition | None) -> bound.Condition | None:
        """The condition with tests of probed tables marked as done."""
        if isinstance(condition, bound.And):
            return bound.And(tuple(self.settled(part) for part in condition.conditions))  # type: ignore[misc]
        if isinstance(condition, bound.Near | bound.Within) and crossmatch.sources(condition) & self.probed:
            return Settled(condition)  # type: ignore[return-value]
        return condition

    def _probed(self, leaf: bound.Stored, other: bound.Source, join: bound.Join) -> Probed | None:
        if not self._is_sorted(leaf):
            return None
        tests = list(_conjuncts(join.on))
        if join.kind in (JoinKind.INNER, JoinKind.CROSS):
            tests += self._where
        sides = {each.alias: each for each in leaves(other)}
        for test in tests:
            around = _around(test, leaf)
            if around is None:
                continue
            names = crossmatch.sources((around.lon, around.lat, around.radius, around.polygon))
            if names and names <= sides.keys() and not names & self.probed and self._worth(leaf, names, sides):
                return Probed(leaf, around)
        return None

    def _worth(self, leaf: bound.Stored, names: set[str | None], sides: dict[str, Leaf]) -> bool:
        others = max(self._size(side) * self._share(side) for alias, side in sides.items() if alias in names)
        return others * _PROBE < self._size(leaf) * self._share(leaf)

    def _share(self, leaf: Leaf) -> float:
        """The part of the rows that constant cones in WHERE let through, about."""
        share = 1.0
        for test in self._where:
            if isinstance(test, bound.Near) and crossmatch.sources(test) == {leaf.alias}:
                radius = number(test.radius)
                if radius is not None:
                    share = min(share, (1 - math.cos(math.radians(min(abs(radius), 180)))) / 2)
        return share


def leaves(source: bound.Source | Probed) -> Iterator[Leaf]:
    """The sources that a probed table may depend on: those whose rows are there when it is read."""
    if isinstance(source, bound.Join):
        yield from leaves(source.left)
        yield from leaves(source.right)
    elif not isinstance(source, Probed):
        yield source


def _conjuncts(condition: bound.Condition | None) -> Iterator[bound.Condition]:
    if isinstance(condition, bound.And):
        for part in condition.conditions:
            yield from _conjuncts(part)
    elif condition is not None:
        yield condition


def _around(test: bound.Condition, leaf: bound.Stored) -> Surroundings | None:
    """What the rows of ``leaf`` must be near to, if ``test`` is about the position they are sorted by."""
    match test:
        case bound.Near() if _is_position(test.lon1, test.lat1, leaf):
            return Surroundings(test.lon2, test.lat2, test.radius)
        case bound.Near() if _is_position(test.lon2, test.lat2, leaf):
            return Surroundings(test.lon1, test.lat1, test.radius)
        case bound.Within(bound.PointOf(lon, lat), outer) if outer.column.xtype == "polygon":
            return Surroundings(None, None, None, outer) if _is_position(lon, lat, leaf) else None
    return None


def _is_position(lon: bound.Value, lat: bound.Value, leaf: bound.Stored) -> bool:
    position = leaf.table.position
    if position is None or not (isinstance(lon, bound.Field) and isinstance(lat, bound.Field)):
        return False
    return (lon.source, lat.source, lon.name, lat.name) == (leaf.alias, leaf.alias, position.lon, position.lat)
