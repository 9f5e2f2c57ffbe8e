"""Rows of the ledger as Arrow, in the form in which an engine stores them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection

from archive.columns import Column, arrow_type
from archive.engine.listed import Form
from archive.engine.sphere import HEALPIX
from archive.ledger import inventory
from archive.ledger.inventory import KEY, Listing
from archive.sky import boxes_around

CIRCLE = ("lon", "lat", "reach")
"""What the ledger keeps of the circle around a region, after the region's name."""
_FAR = 2.0  # from the middle of the unit sphere; all of it is nearer


def batches(
    transaction: Connection, listing: Listing, form: Form, keys: Sequence[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """All rows of a table of the inventory as they are now, or those of the things numbered ``keys``."""
    names = [column.name for column in form.columns]
    names += [f"{region}_{part}" for region in form.regions for part in CIRCLE]
    names += [HEALPIX] if form.healpix else []
    for found in inventory.rows(transaction, listing, [*names, KEY], keys):
        yield _batch(form, list(zip(*found, strict=True)))


def table(batches: Iterator[pa.RecordBatch], form: Form) -> pa.Table:
    """``batches`` together."""
    return pa.Table.from_batches(batches, form.schema)


def _batch(form: Form, values: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    count = len(form.columns)
    arrays = [_array(column, each) for column, each in zip(form.columns, values[:count], strict=True)]
    for at in range(len(form.regions)):
        arrays += _box(values[count + at * len(CIRCLE) : count + (at + 1) * len(CIRCLE)])
    arrays += [pa.array(each, pa.int64()) for each in values[count + len(form.regions) * len(CIRCLE) :]]
    return pa.RecordBatch.from_arrays(arrays, schema=form.schema)


def _array(column: Column, values: Sequence[Any]) -> pa.Array:
    if column.xtype == "polygon":
        return _polygons(values)
    if column.is_timestamp:
        return pa.array(values, pa.string()).cast(pa.timestamp("us"))
    return pa.array(values, arrow_type(column))


def _polygons(packed: Sequence[bytes | None]) -> pa.Array:
    """Vertices as SQLite keeps them: doubles, the least byte first."""
    numbers = np.frombuffer(b"".join(each or b"" for each in packed), dtype="<f8")
    ends = np.cumsum([0, *(len(each or b"") // 8 for each in packed)])
    missing = pa.array([each is None for each in packed], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(numbers, pa.float64()), mask=missing)


def _box(circle: Sequence[Sequence[float | None]]) -> list[pa.Array]:
    """The sides of the boxes around circles. Where there is no region the box is around everything, so that a look at
    the boxes leaves out nothing that is there because it has no region.
    """
    lon, lat, reach = (np.array(part, dtype=np.float64) for part in circle)
    sides = boxes_around(lon, lat, reach)
    return [pa.array(np.where(np.isnan(side), _FAR * (at % 2 * 2 - 1), side)) for at, side in enumerate(sides)]
