"""An engine with tables in it, and the shortest ways to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from archive.adql import bound, parse, resolve
from archive.columns import Column, Datatype, arrow_type
from archive.engine.contract import Bindings, Engine, Limits, Stream
from archive.sky import healpix_29
from archive.tables import Catalog, Edition, Position, Schema, Table

HEALPIX = "_healpix_29"


def number(name: str, datatype: Datatype = Datatype.DOUBLE, **more: Any) -> Column:
    """A column of numbers."""
    return Column(name, datatype, **more)


def shape(name: str, xtype: str) -> Column:
    """A column of geometries."""
    sizes = {"point": "2", "circle": "3", "polygon": "*"}
    return Column(name, Datatype.DOUBLE, arraysize=sizes[xtype], xtype=xtype, unit="deg")


def sky_table(name: str, *columns: Column, schema: str = "sky") -> Table:
    """A table with ``id``, ``ra``, ``dec`` (its position) and whatever else is given."""
    place = (number("id", Datatype.LONG), number("ra", unit="deg"), number("dec", unit="deg"))
    return Table(schema, name, (*place, *columns), position=Position("ra", "dec"))


def rows_of(table: Table, **columns: Sequence[Any] | np.ndarray) -> pa.Table:
    """Arrow rows of exactly the types of ``table``; columns not given are NULL."""
    length = len(next(iter(columns.values())))
    arrays = []
    for column in table.columns:
        values = columns.get(column.name, [None] * length)
        arrays.append(_array(values, arrow_type(column)))
    return pa.Table.from_arrays(arrays, names=[column.name for column in table.columns])


def _array(values: Sequence[Any] | np.ndarray, kind: pa.DataType) -> pa.Array:
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype != object:
        return pa.array(values).cast(kind)
    return pa.array(list(values), kind)


def part_of(table: Table, rows: pa.Table) -> pa.Table:
    """Rows as a part has them: sorted by their cells, which stand in the last column (NULL where unknown)."""
    if table.position is None:
        return rows
    lon, lat = (rows[name].to_numpy(zero_copy_only=False) for name in (table.position.lon, table.position.lat))
    cells = healpix_29(lon.astype(np.float64), lat.astype(np.float64))
    order = np.argsort(cells, kind="stable")
    known = pa.array(cells, mask=cells < 0)
    return rows.append_column(HEALPIX, known).take(pa.array(order))


@dataclass
class World:
    """An engine, the tables it holds and those given with each request."""

    engine: Engine
    folder: Path
    tables: dict[tuple[str, str], Table] = field(default_factory=dict)
    bindings: Bindings = field(default_factory=Bindings)
    builds: int = 0

    def parts(self, table: Table, rows: pa.Table, pieces: int = 1) -> list[Path]:
        """``rows`` as Parquet parts."""
        sorted_rows, paths = part_of(table, rows), []
        step = max(1, -(-rows.num_rows // pieces))
        for piece in range(pieces):
            self.builds += 1
            path = self.folder / f"{self.builds}.parquet"
            pq.write_table(sorted_rows.slice(piece * step, step), path, row_group_size=50_000)
            paths.append(path)
        return paths

    def publish(self, table: Table, rows: pa.Table, pieces: int = 1) -> Edition:
        """Build an edition of ``rows`` and answer from it from now on."""
        paths = self.parts(table, rows, pieces)
        edition = self.engine.build(table, self.builds, paths)
        self.tables[table.key] = table
        self.bindings = replace(self.bindings, editions={**self.bindings.editions, table.key: edition})
        return edition

    def give(self, table: Table, rows: pa.Table) -> None:
        """Send ``rows`` along with each request from now on."""
        self.tables[table.key] = table
        self.bindings = replace(self.bindings, arrow={**self.bindings.arrow, table.key: rows})

    def catalog(self) -> Catalog:
        by_schema: dict[str, list[Table]] = {}
        for table in self.tables.values():
            by_schema.setdefault(table.schema, []).append(table)
        return Catalog(Schema(name, tuple(tables)) for name, tables in by_schema.items())

    def understood(self, query: str) -> bound.Bound:
        return resolve(parse(query), self.catalog())

    def start(self, query: str, **limits: Any) -> Stream:
        return self.engine.run(self.understood(query), self.bindings, Limits(**limits))

    def table(self, query: str, **limits: Any) -> pa.Table:
        """The whole answer as Arrow, its columns by their names in the query."""
        stream = self.start(query, **limits)
        try:
            batches = list(stream.batches)
        finally:
            stream.close()
        schema = pa.schema([pa.field(f"c{at}", arrow_type(c)) for at, c in enumerate(stream.columns, 1)])
        return pa.Table.from_batches(batches, schema).rename_columns([column.name for column in stream.columns])

    def rows(self, query: str, **limits: Any) -> list[tuple[Any, ...]]:
        """The whole answer as Python values."""
        answer = self.table(query, **limits)
        return list(zip(*(column.to_pylist() for column in answer.columns), strict=True))

    def value(self, query: str) -> Any:
        """The only value of an answer."""
        ((only,),) = self.rows(query)
        return only

    def ids(self, query: str) -> list[int]:
        """The first column, sorted."""
        return sorted(row[0] for row in self.rows(query))

    def sql(self, query: str) -> str:
        return self.engine.sql(self.understood(query), self.bindings)


def sky_rows(count: int, seed: int) -> Mapping[str, np.ndarray]:
    """Positions all over the sky, among them the poles, the seam at 0/360 and corners of HEALPix cells."""
    random = np.random.default_rng(seed)
    lon = random.uniform(0, 360, count)
    lat = np.degrees(np.arcsin(random.uniform(-1, 1, count)))
    nasty = [(0, 90), (123, 90), (0, -90), (0, 0), (359.9999999, 0), (0.0000001, 0), (180, 0), (45, 41.8103148957786)]
    nasty += [(90, -41.8103148957786), (0, 89.9999999), (180, 89.9999999), (270, -89.9999), (360 - 1e-12, 1e-12)]
    for at, (nasty_lon, nasty_lat) in enumerate(nasty[:count]):
        lon[at], lat[at] = nasty_lon, nasty_lat
    return {"id": np.arange(count), "ra": lon, "dec": lat}
