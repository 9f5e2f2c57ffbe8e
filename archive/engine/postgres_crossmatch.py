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
from archive.engine import crossmatch, postgres_intervals
from archive.engine import elements as el
from archive.engine.crossmatch import Leaf, Surroundings
from archive.engine.meetings import Meeting, meetings
from archive.engine.places import Locate
from archive.engine.postgres_dialect import Same
from archive.engine.postgres_sphere import FineSphere, met_by_index, stored_cap
from archive.engine.select import Writer
from archive.engine.sphere import HEALPIX, number
from archive.tables import Table

_PROBE = 20  # rows that are hashed in the time of one look-up


@dataclass(frozen=True, slots=True)
class Probed:
    """A stored table of which only the rows near each row of the sources before it are read."""

    leaf: bound.Stored
    around: Surroundings | Meeting

    @property
    def alias(self) -> str:
        return self.leaf.alias


@dataclass(frozen=True, slots=True)
class Settled:
    """A condition that stays as it is: what could be done for it is done."""

    condition: bound.Condition


class ProbingWriter(Writer):
    """Writes statements in which large tables are probed."""

    def __init__(self, locate: Locate) -> None:
        super().__init__(locate)
        self._sphere: FineSphere = FineSphere(self)
        self._here: list[set[str]] = []  # aliases of the selects under way

    def is_outside(self, aliases: set[str | None]) -> bool:
        """True if none of these sources belongs to the select that is being written."""
        return None not in aliases and not aliases & self._here[-1]

    def _select(self, body: bound.Select, *more: object) -> sa.Select[object]:
        self._here.append(set() if body.source is None else {leaf.alias for leaf in leaves(body.source)})
        try:
            return super()._select(self._probing(body), *more)  # type: ignore[arg-type, return-value]
        finally:
            self._here.pop()

    def _leaf(self, source: Leaf | Probed) -> FromClause:
        return self._probed(source) if isinstance(source, Probed) else super()._leaf(source)

    def _on(self, join: bound.Join) -> sa.ColumnElement[bool]:
        on = super()._on(join)
        if join.kind is not JoinKind.FULL:
            return on
        left, right = (next(leaves(side)).alias for side in (join.left, join.right))
        return el.Infix("AND", (Same(left, right), on))

    def condition(self, condition: bound.Condition | crossmatch.Keyed | Settled) -> el.Term:
        if isinstance(condition, Settled):
            return super().condition(condition.condition)
        if isinstance(condition, bound.And | bound.Between):
            parts = tuple(_conjuncts(condition))
            written = super().condition(bound.And(parts) if len(parts) > 1 else parts[0])
            return el.Infix("AND", (*postgres_intervals.met(parts, self.place_of), written))
        written = super().condition(condition)
        return self._sphere.met(condition, written) if isinstance(condition, bound.Or) else written

    def _probing(self, body: bound.Select) -> bound.Select:
        if not isinstance(body.source, bound.Join):
            return body
        plan = _Plan(self._probe_size, self._is_sorted, self._can_meet, list(_conjuncts(body.where)))
        source = plan.source(body.source)
        if not plan.probed:
            return body
        return replace(body, source=source, where=plan.settled(body.where))

    def _probe_size(self, leaf: Leaf) -> int:
        return self._size(leaf)

    def _is_sorted(self, table: bound.Stored) -> bool:
        return self._locate(table.table).healpix

    def _can_meet(self, leaf: bound.Stored, meeting: Meeting) -> bool:
        physical = self._locate(leaf.table).physical
        return met_by_index(meeting, leaf.alias, physical, ()) is not None

    def _reach(self, around: Surroundings) -> list[el.Term]:
        return stored_cap(self, around.polygon) or super()._reach(around)

    def _probed(self, probed: Probed) -> FromClause:
        """``LATERAL``: the rows of a table that may pass the test with a row of the sources before."""
        if isinstance(probed.around, Meeting):
            return self._meeting(probed.alias, probed.leaf.table, probed.around)
        return self._near(probed.alias, probed.leaf.table, probed.around)

    def _meeting(self, alias: str, table: Table, meeting: Meeting) -> FromClause:
        """By the index of regions or places; the circle that reaches is made once for each row before."""
        circle = [term.label(name) for term, name in zip(self._sphere.circle(meeting.reach), "xyr", strict=True)]
        reach = sa.select(*circle).correlate(None).offset(el.Whole(0)).subquery("k")
        found = super()._leaf(bound.Stored(alias, table)).element.alias("b")  # type: ignore[attr-defined]
        met = met_by_index(meeting, "b", self._locate(table).physical, [el.Ref("k", name) for name in "xyr"])
        rows = sa.select(el.everything("b")).correlate(None).select_from(sa.join(reach, found, met))
        return rows.offset(el.Whole(0)).lateral(alias)

    def _near(self, alias: str, table: Table, surroundings: Surroundings) -> FromClause:
        """By the cells near each row before, and the rows of the table in each of them."""
        around = self._reach(surroundings)
        cells = sa.select(el.Exploded(el.Invoke("near_cells", around)).label("k1")).correlate(None).subquery("k")
        found = super()._leaf(bound.Stored(alias, table)).element.alias("b")  # type: ignore[attr-defined]
        width = el.Invoke("near_width", around[2:])
        low = el.Infix("*", (el.Ref("k", "k1"), width))
        high = el.Infix("-", (el.Infix("+", (low, width)), el.Whole(1)))
        within = el.Amid(el.Ref("b", HEALPIX), low, high)
        rows = sa.select(el.everything("b")).correlate(None).select_from(sa.join(cells, found, within))
        # OFFSET keeps the planner from taking the subquery apart: it holds the exact test for cheaper than the index.
        return rows.offset(el.Whole(0)).lateral(alias)


class _Plan:
    """Finds which leaves of a select's sources are to be probed."""

    def __init__(
        self,
        size: Callable[[Leaf], int],
        is_sorted: Callable[[bound.Stored], bool],
        can_meet: Callable[[bound.Stored, Meeting], bool],
        where: Sequence[bound.Condition],
    ) -> None:
        self._size = size
        self._is_sorted = is_sorted
        self._can_meet = can_meet
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
        tests = list(_conjuncts(join.on))
        if join.kind in (JoinKind.INNER, JoinKind.CROSS):
            tests += self._where
        sides = {each.alias: each for each in leaves(other)}
        for test in tests:
            around = _around(test, leaf) if self._is_sorted(leaf) else None
            if around is not None:
                names = crossmatch.sources((around.lon, around.lat, around.radius, around.polygon))
                if self._depends(names, sides) and self._worth(leaf, names, sides):
                    return Probed(leaf, around)
        for test in tests:
            for meeting in meetings(test):
                names = meeting.depends_on
                if meeting.alias != leaf.alias or not self._depends(names, sides) or not self._can_meet(leaf, meeting):
                    continue
                if not _hashable(test) or self._others(names, sides) <= self._size(leaf):
                    return Probed(leaf, meeting)
        return None

    def _depends(self, names: set[str | None], sides: dict[str, Leaf]) -> bool:
        """True if what is reached depends on sources that are there before it is read."""
        return bool(names) and names <= sides.keys() and not names & self.probed

    def _worth(self, leaf: bound.Stored, names: set[str | None], sides: dict[str, Leaf]) -> bool:
        return self._others(names, sides) * _PROBE < self._size(leaf) * self._share(leaf)

    def _others(self, names: set[str | None], sides: dict[str, Leaf]) -> float:
        """Rows of the largest of the sources on which it depends."""
        return max(self._size(side) * self._share(side) for alias, side in sides.items() if alias in names)

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


def _hashable(test: bound.Condition) -> bool:
    """True for tests that ``crossmatch`` turns into equalities of cells whose size is known beforehand.

    Where it must suit the widest region of all, a single wide one would spoil them.
    """
    return isinstance(test, bound.Near) and number(test.radius) is not None


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
