"""The example tables on an engine: given as Arrow, and built as editions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from archive.adql.bound import Bound
from archive.columns import arrow_type
from archive.engine.contract import Bindings, Engine, Limits
from archive.sky import healpix_29
from archive.tables import Schema, Table

Rows = Mapping[tuple[str, str], list[dict[str, Any]]]


def arrow(table: Table, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as the Arrow table that ``Bindings.arrow`` takes."""
    arrays = [pa.array([row[c.name] for row in rows], arrow_type(c)) for c in table.columns]
    return pa.Table.from_arrays(arrays, names=[c.name for c in table.columns])


def given_rows(schema: Schema, rows: Rows) -> Bindings:
    """All tables of ``schema`` as Arrow."""
    return Bindings(arrow={table.key: arrow(table, rows[table.key]) for table in schema.tables})


def built_rows(schema: Schema, rows: Rows, engine: Engine, folder: Path) -> Bindings:
    """All tables of ``schema`` as editions, sorted by ``_healpix_29`` where they have positions."""
    editions = {}
    for table in schema.tables:
        part = arrow(table, rows[table.key])
        if table.position is not None:
            lon, lat = (part[name].to_numpy().astype(np.float64) for name in (table.position.lon, table.position.lat))
            part = part.append_column("_healpix_29", pa.array(healpix_29(lon, lat))).sort_by("_healpix_29")
        path = folder / f"{table.name}.parquet"
        pq.write_table(part, path)
        editions[table.key] = engine.build(table, 1, [path])
    return Bindings(editions=editions)


def fetch(engine: Engine, query: Bound, bindings: Bindings) -> list[tuple[Any, ...]]:
    """All rows of a query as Python values."""
    stream = engine.run(query, bindings, Limits())
    try:
        rows: list[tuple[Any, ...]] = []
        for batch in stream.batches:
            rows += zip(*(column.to_pylist() for column in batch.columns), strict=True)
        return rows
    finally:
        stream.close()
