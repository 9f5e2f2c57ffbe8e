"""The sphere on PostgreSQL: before the exact test of a stored region or place stands one that an index answers.

A stored region is told by the circle around it (``postgres_regions``), the other side by a circle too. Positions by
which a table is sorted are left to their cells: measured side by side, those answer cones as fast as pgSphere's index,
and the planner knows how many rows they will find, while pgSphere 1.2.0 always guesses a thousandth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from archive.adql import bound
from archive.engine import elements as el
from archive.engine.meetings import Disc, Meeting, Reach, constant, meetings
from archive.engine.places import Place
from archive.engine.postgres_regions import cap_in, has_spot
from archive.engine.sphere import Sphere, Writer
from archive.tables import Table

_WIDEST = 60.0  # degrees; a wider circle meets too much of the sky to be worth a look at the index
_FEW = 1_000  # rows; with fewer the guess of the planner would be near none, and reading all is quick


class Scoped(Writer, Protocol):
    """A writer that knows which sources belong to the select it writes."""

    def place_of(self, alias: str) -> tuple[Table, Place] | None: ...

    def is_outside(self, aliases: set[str | None]) -> bool: ...


class FineSphere(Sphere):
    """Also tells ranges apart sooner: PostgreSQL looks one up in the time in which it tests a hundred rows."""

    few_rows = 1_000

    def __init__(self, writer: Scoped) -> None:
        super().__init__(writer)
        self._writer: Scoped = writer

    def near(self, near: bound.Near) -> el.Term:
        return self.met(near, super().near(near))

    def within(self, within: bound.Within) -> el.Term:
        return self.met(within, super().within(within))

    def overlaps(self, overlaps: bound.Overlaps) -> el.Term:
        return self.met(overlaps, super().overlaps(overlaps))

    def met(self, test: bound.Condition, exact: el.Term) -> el.Term:
        """The exact test, with one for the index before it if the other side is the same for all rows of a select."""
        for meeting in meetings(test):
            found = self._writer.place_of(meeting.alias)
            if found is None or found[1].rows < _FEW or self._is_sorted_by(meeting):
                continue
            circle = self._fixed(meeting)
            met = None if circle is None else met_by_index(meeting, meeting.alias, found[1].physical, circle)
            if met is not None:
                return el.Infix("AND", (met, exact))
        return exact

    def _is_sorted_by(self, meeting: Meeting) -> bool:
        return len(meeting.key) == 2 and self._writer.cell_of(meeting.alias, *meeting.key) is not None

    def _fixed(self, meeting: Meeting) -> Sequence[el.Term] | None:
        """The circle that may reach, if it is constant or depends on an enclosing select alone."""
        names, reach = meeting.depends_on, meeting.reach
        if names:
            cheap = isinstance(reach, Disc) or stored_cap(self._writer, reach) is not None
            return self.circle(reach) if cheap and self._writer.is_outside(names) else None
        circle = constant(reach)
        return None if circle is None or circle[2] > _WIDEST else [el.Real(part) for part in circle]

    def circle(self, reach: Reach) -> list[el.Term]:
        """Centre and radius of a circle that holds what reaches."""
        if isinstance(reach, Disc):
            radius = el.Real(0.0) if reach.radius is None else el.Invoke("abs", [self._writer.value(reach.radius)])
            return [self._writer.value(reach.lon), self._writer.value(reach.lat), radius]
        cap = el.Invoke("polygon_cap", [self._writer.value(reach)])
        made: list[el.Term] = [el.Invoke(part, [cap]) for part in ("coord1", "coord2", "radius")]
        return stored_cap(self._writer, reach) or made


def stored_cap(writer: Scoped, region: bound.Value | None) -> list[el.Term] | None:
    """Centre and radius of the circle around a region, if they are stored beside it."""
    if not isinstance(region, bound.Field):
        return None
    found = writer.place_of(region.source)
    cap = None if found is None else cap_in(found[1].physical, region.name)
    return None if cap is None else [el.Ref(region.source, name) for name in cap.names]


def met_by_index(
    meeting: Meeting, alias: str, physical: Mapping[str, str], circle: Sequence[el.Term]
) -> el.Term | None:
    """Whether a row of ``alias`` may meet a circle (lon, lat, radius); None if its edition cannot tell."""
    if meeting.is_region:
        cap = cap_in(physical, meeting.key[0])
        return None if cap is None else el.Invoke("touches", [*(el.Ref(alias, name) for name in cap.names), *circle])
    if not has_spot(physical, meeting.key):
        return None
    names = [el.Ref(alias, physical[name]) for name in meeting.key]
    place = names if len(names) == 2 else [el.Invoke(part, names) for part in ("coord1", "coord2")]
    return el.Invoke("reached", [*place, *circle])
