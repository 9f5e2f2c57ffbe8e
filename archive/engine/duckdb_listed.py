"""Tables over the ledger in DuckDB: an edition and what changed since as one source, and how such an edition is made.

A region has a box around it (``listed.SIDES``). Rows are in the order of their positions, so the boxes of neighbouring
rows are neighbours too, and a scan skips most of a table by the least and greatest values of its pieces.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from archive.adql import bound
from archive.engine import elements as el
from archive.engine.duckdb_build import settle
from archive.engine.listed import KEY, SIDES, Form, Patched
from archive.engine.meetings import constant, meetings
from archive.engine.places import Locate, Place, Spreading
from archive.engine.select import Writer
from archive.engine.sphere import HEALPIX, Sphere
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


class BoxingWriter(Writer):
    """Writes statements that look at the boxes of stored regions before the regions."""

    def __init__(self, locate: Locate, spread: Spreading | None = None) -> None:
        super().__init__(locate, spread)
        self._sphere = BoxedSphere(self)


class BoxedSphere(Sphere):
    """Puts before the exact test of a stored region and a constant shape one of their boxes."""

    def __init__(self, writer: BoxingWriter) -> None:
        super().__init__(writer)
        self._place_of = writer.place_of

    def within(self, within: bound.Within) -> el.Term:
        return self._boxed(within, super().within(within))

    def overlaps(self, overlaps: bound.Overlaps) -> el.Term:
        return self._boxed(overlaps, super().overlaps(overlaps))

    def _boxed(self, test: bound.Condition, exact: el.Term) -> el.Term:
        for meeting in meetings(test) if isinstance(exact, el.Invoke) else ():
            found = self._place_of(meeting.alias)
            sides = None if found is None or not meeting.is_region else _sides(found[1].physical, meeting.key[0])
            if sides is not None and not meeting.depends_on and (circle := constant(meeting.reach)) is not None:
                boxes = _meets(meeting.alias, sides, circle)
                return el.Infix("AND", (*boxes, el.Invoke("where_so", (boxes[0], exact))))
        return exact


def _sides(physical: Mapping[str, str], region: str) -> list[str] | None:
    found = [physical.get(f"{region}\t{side}") for side in SIDES]
    return None if None in found else [name for name in found if name is not None]


def _meets(alias: str, sides: list[str], circle: tuple[float, float, float]) -> list[el.Term]:
    """Whether stored boxes meet the one around a circle: on each axis neither lies beyond the other."""
    box = [float(side) for side in boxes_around(*circle)]
    return [
        el.Infix(">=" if at % 2 else "<=", (el.Ref(alias, name), el.Real(box[at - 1 if at % 2 else at + 1])))
        for at, name in enumerate(sides)
    ]


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
