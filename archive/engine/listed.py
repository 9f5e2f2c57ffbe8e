"""Tables over the ledger as engines see them: rows that are facts of the ledger, not of files (design section 5).

A database that holds the ledger reads it through a view. Any other reads an edition, made now and then, and beside it
what changed since: the numbers of the things whose rows there count no more, and their rows as they are now.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import sqlalchemy as sa

from archive.columns import Column, arrow_type
from archive.engine.sphere import HEALPIX
from archive.tables import Edition, Table

KEY = "_key"
"""Physical column of the number of the thing that a row is of."""
SIDES = ("x1", "x2", "y1", "y2", "z1", "z2")
"""The least and greatest x, y and z of a region's circle on the unit sphere: plain numbers that a scan can be limited
by, without a seam and without poles."""


@dataclass(frozen=True, eq=False)
class Form:
    """How the rows of ``table`` are stored: ``columns`` in this order, which may be more and fewer than are shown."""

    table: Table
    columns: tuple[Column, ...]

    @cached_property
    def physical(self) -> dict[str, str]:
        """Names of stored columns to physical ones."""
        return {column.name: f"c{at}" for at, column in enumerate(self.columns, 1)}

    @cached_property
    def regions(self) -> tuple[str, ...]:
        """The columns that hold polygons."""
        return tuple(column.name for column in self.columns if column.xtype == "polygon")

    @property
    def healpix(self) -> bool:
        return self.table.position is not None

    def sides(self, region: str) -> tuple[str, ...]:
        """Physical columns of the box around a region."""
        return tuple(f"{self.physical[region]}_{side}" for side in SIDES)

    @cached_property
    def schema(self) -> pa.Schema:
        """The physical columns of a stored row in Arrow."""
        fields = [pa.field(self.physical[column.name], arrow_type(column)) for column in self.columns]
        fields += [pa.field(side, pa.float64()) for name in self.regions for side in self.sides(name)]
        fields += [pa.field(HEALPIX, pa.int64())] if self.healpix else []
        return pa.schema([*fields, pa.field(KEY, pa.int64())])

    def recorded(self) -> dict[str, str]:
        """``physical``, and where the boxes around regions are."""
        sides = ((name, zip(SIDES, self.sides(name), strict=True)) for name in self.regions)
        return self.physical | {f"{name}\t{side}": column for name, pairs in sides for side, column in pairs}


@dataclass(frozen=True, slots=True, eq=False)
class Patched:
    """An edition, without the rows of the things numbered ``gone``, and with ``rows``. None: there is no edition yet.

    The rows have the columns of ``form.schema``.
    """

    form: Form
    edition: Edition | None
    gone: pa.Array
    rows: pa.Table

    @property
    def size(self) -> int:
        """How many rows there are, about."""
        return (0 if self.edition is None else self.edition.rows) + int(self.rows.num_rows)


@dataclass(frozen=True, slots=True, eq=False)
class Viewed:
    """Rows that are read where the ledger is: ``rows`` selects the stored columns by name.

    For a region it has ``<name>_lon``, ``<name>_lat`` and ``<name>_reach``, a circle around it (degrees). The columns
    ``folded`` are looked up without regard to case, ``intervals`` are pairs of columns of which an index is kept.
    """

    form: Form
    rows: sa.Select[tuple[object, ...]]
    size: int
    folded: tuple[str, ...] = ()
    intervals: tuple[tuple[str, str], ...] = ()


Listed = Patched | Viewed
