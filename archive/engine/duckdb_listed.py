"""Tables over the ledger in DuckDB: an edition and what changed since as one source, and how such an edition is made.

A region has a box around it (``listed.SIDES``). Rows are in the order of their positions, so the boxes of neighbouring
rows are neighbours too, and a scan skips most of a table by the least and greatest values of its pieces.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import numpy as np
import pyarrow as pa
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.sql.expression import ClauseElement

from archive.adql import bound
from archive.engine import elements as el
from archive.engine.crossmatch import Keyed
from archive.engine.duckdb_build import settle
from archive.engine.listed import KEY, SIDES, Form, Patched
from archive.engine.meetings import constant, meetings
from archive.engine.places import Locate, Place, Spreading
from archive.engine.select import Writer
from archive.engine.sphere import HEALPIX, Sphere, constant_vertices, number
from archive.sky import boxes_around
from archive.tables import Edition


def place_of(patched: Patched, place: Callable[[Edition], Place], views: dict[str, pa.Table]) -> Place:
    """Where the rows lie: those of the edition that still count, and those that came since."""
    form, physical = patched.form, patched.form.recorded()
    sources = []
    if patched.edition is not None:
        stored = place(patched.edition)
        if not len(patched.gone):
            return Place(stored.source, physical, patched.size, form.healpix)
        sources.append(_without(stored.source, form, _named(pa.table({KEY: patched.gone}), views)))
    if patched.rows.num_rows or not sources:
        sources.append(sa.select(*_columns(form)).select_from(sa.table(_named(patched.rows, views))))
    whole = sources[0] if len(sources) == 1 else sa.union_all(*sources)
    return Place(whole.subquery("l1"), physical, patched.size, form.healpix)


def _without(stored: sa.TableClause | sa.Subquery, form: Form, gone: str) -> sa.Select[Any]:
    """The rows of ``stored`` whose numbers are not in the view ``gone``."""
    kept = stored.alias("s1")
    lost = sa.table(gone, sa.column(KEY)).alias("g1")
    there = sa.exists().where(lost.c[KEY] == sa.literal_column(f'"s1"."{KEY}"')).select_from(lost).correlate(kept)
    return sa.select(*_columns(form)).select_from(kept).where(~there)


def _columns(form: Form) -> list[sa.ColumnClause[Any]]:
    return [sa.column(name) for name in form.schema.names]


def _named(rows: pa.Table, views: dict[str, pa.Table]) -> str:
    name = f"a{len(views) + 1}"
    views[name] = rows
    return name


# --- regions --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Around:
    """A ``box`` (the sides of ``listed.SIDES``) that the boxes of a region (alias, name) are to meet, which are stored
    in the columns ``sides``.
    """

    region: tuple[str, str]
    sides: list[str]
    box: NDArray[np.float64]


class BoxingWriter(Writer):
    """Writes statements that look at the boxes of stored regions before the regions."""

    def __init__(self, locate: Locate, spread: Spreading | None = None) -> None:
        super().__init__(locate, spread)
        self._sphere: BoxedSphere = BoxedSphere(self)

    def condition(self, condition: bound.Condition | Keyed) -> el.Term:
        made = super().condition(condition)
        around = self._sphere.either(condition) if isinstance(condition, bound.Or) else None
        return made if around is None else el.Infix("AND", (*_meets(around), made))


class BoxedSphere(Sphere):
    """Puts before the exact test of a stored region and a constant shape one of their boxes."""

    def __init__(self, writer: BoxingWriter) -> None:
        super().__init__(writer)
        self._place_of = writer.place_of

    def within(self, within: bound.Within) -> el.Term:
        quick = self._planless(within)
        return self._boxed(within, super().within(within) if quick is None else quick)

    def overlaps(self, overlaps: bound.Overlaps) -> el.Term:
        quick = self._planless(overlaps)
        return self._boxed(overlaps, super().overlaps(overlaps) if quick is None else quick)

    def _planless(self, test: bound.Within | bound.Overlaps) -> el.Term | None:
        """The test by a function of ours, where a region in a column and a constant shape have a point in common."""
        match test:
            case bound.Within(bound.PointOf() as shape, bound.Field() as region):
                pass
            case bound.Overlaps(bound.Field() as region, (bound.CircleOf() | bound.PolygonOf()) as shape):
                pass
            case bound.Overlaps((bound.CircleOf() | bound.PolygonOf()) as shape, bound.Field() as region):
                pass
            case _:
                return None
        if region.column.xtype != "polygon":
            return None
        if isinstance(shape, bound.PolygonOf):
            vertices = constant_vertices(shape)
            numbers = None if vertices is None else [part for vertex in vertices for part in vertex]
            return None if numbers is None else self._met("region_meets_polygon", region, el.parameter(numbers))
        parts = [number(shape.lon), number(shape.lat), number(shape.radius) if isinstance(shape, bound.CircleOf) else 0]
        reals = [el.Real(part) for part in parts if part is not None]
        return self._met("region_meets_circle", region, *reals) if len(reals) == len(parts) else None

    def _met(self, function: str, region: bound.Field, *shape: ClauseElement) -> el.Term:
        return el.Invoke(function, (*self._terms(region), *shape))

    def _boxed(self, test: bound.Condition, exact: el.Term) -> el.Term:
        around = self.around(test) if isinstance(exact, el.Invoke) else None
        if around is None:
            return exact
        boxes = _meets(around)
        return el.Infix("AND", (*boxes, el.Invoke("where_so", (boxes[0], exact))))

    def around(self, test: bound.Condition) -> Around | None:
        """What the boxes of a stored region have to meet where ``test`` holds."""
        for meeting in meetings(test):
            found = self._place_of(meeting.alias)
            sides = None if found is None or not meeting.is_region else _sides(found[1].physical, meeting.key[0])
            if sides is not None and not meeting.depends_on and (circle := constant(meeting.reach)) is not None:
                return Around((meeting.alias, meeting.key[0]), sides, boxes_around(*circle))
        return None

    def either(self, either: bound.Or) -> Around | None:
        """As ``around``, where one of several tests of the same region holds, or it is told that there is none.

        (The boxes of what has no region meet all others.)
        """
        found: list[Around] = []
        without: list[set[tuple[str, str]]] = []
        for each in either.conditions:
            parts = each.conditions if isinstance(each, bound.And) else (each,)
            told = next(filter(None, map(self.around, parts)), None)
            if told is not None:
                found.append(told)
            else:
                without.append({region for part in parts if (region := _missing(part)) is not None})
        if not found or any(each.region != found[0].region for each in found):
            return None
        if any(found[0].region not in regions for regions in without):
            return None
        boxes = np.stack([each.box for each in found])
        low = np.arange(len(SIDES)) % 2 == 0
        return Around(found[0].region, found[0].sides, np.where(low, boxes.min(axis=0), boxes.max(axis=0)))


def _sides(physical: Mapping[str, str], region: str) -> list[str] | None:
    found = [physical.get(f"{region}\t{side}") for side in SIDES]
    return None if None in found else [name for name in found if name is not None]


def _meets(around: Around) -> list[el.Term]:
    """Whether stored boxes meet one: on each axis neither lies beyond the other."""
    alias, box = around.region[0], [float(side) for side in around.box]
    return [
        el.Infix(">=" if at % 2 else "<=", (el.Ref(alias, name), el.Real(box[at - 1 if at % 2 else at + 1])))
        for at, name in enumerate(around.sides)
    ]


def _missing(test: bound.Condition) -> tuple[str, str] | None:
    """The column (alias, name) that is NULL where the test holds."""
    if isinstance(test, bound.IsNull) and isinstance(test.operand, bound.Field):
        return test.operand.source, test.operand.name
    return None


# --- editions -------------------------------------------------------------------------------------


_PLACE = re.compile(r".+\.\d+-[0-9a-f]{8}\.duckdb(\.unfinished)?(\.wal)?")


def is_place(name: str) -> bool:
    """Whether a file of that name is, or was to become, an edition of a table over the ledger."""
    return _PLACE.fullmatch(name) is not None


def compact(
    folder: Path,
    form: Form,
    number: int,
    before: Edition | None,
    gone: pa.Array,
    batches: Iterable[pa.RecordBatch],
    settings: Mapping[str, Any],
) -> Edition:
    """Write the edition ``before`` without the rows of the things ``gone``, and with the rows of ``batches``, to a new
    file, in the order of their positions; durable on return.
    """
    table = form.table
    unique = secrets.token_hex(4)  # a name is never used again: it may be attached somewhere
    place = f"{quote(table.schema, safe='')}.{quote(table.name, safe='')}.{number}-{unique}.duckdb"
    unfinished = folder / f"{place}.unfinished"
    database = duckdb.connect(str(unfinished), config=dict(settings))
    try:
        database.register("fresh", pa.RecordBatchReader.from_batches(form.schema, batches))
        database.execute("CREATE TEMP TABLE f AS SELECT * FROM fresh")
        database.unregister("fresh")
        order = f" ORDER BY {HEALPIX} NULLS LAST, {KEY}" if form.healpix else f" ORDER BY {KEY}"
        rows = "SELECT * FROM f"
        if before is not None:
            database.execute(_attached(folder / before.place))
            database.register("gone", pa.table({KEY: gone}))
            rows = f"SELECT * FROM b.t ANTI JOIN gone USING ({KEY}) UNION ALL BY NAME {rows}"  # noqa: S608 - our names
        database.execute(f"CREATE TABLE t AS {rows}{order}")
        (count,) = database.execute("SELECT count(*) FROM t").fetchone() or (0,)
        if before is not None:
            database.execute("DETACH b")
        database.execute("CHECKPOINT")
    finally:
        database.close()
    settle(unfinished, folder / place)
    return Edition(table.key, number, place, form.recorded(), int(count), form.healpix)


def _attached(file: Path) -> str:
    quoted = str(file).replace("'", "''")
    return f"ATTACH '{quoted}' AS b (READ_ONLY)"
