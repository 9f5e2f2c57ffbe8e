"""Functions of ours that statements in DuckDB call: exact tests of regions (``outlines``), batch by batch.

The arguments that tell the shape are constants: each row of a batch has the same.
"""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import pyarrow as pa

from archive.engine import outlines


def add(connection: duckdb.DuckDBPyConnection) -> None:
    """Make them known to all cursors of ``connection``."""
    _add(connection, "region_meets_circle", _meets_circle, ["DOUBLE[]", "DOUBLE", "DOUBLE", "DOUBLE"])
    _add(connection, "region_meets_polygon", _meets_polygon, ["DOUBLE[]", "DOUBLE[]"])


def _add(connection: duckdb.DuckDBPyConnection, name: str, function: Callable[..., pa.Array], given: list[str]) -> None:
    connection.create_function(name, function, given, "BOOLEAN", type="arrow", null_handling="special")


def _meets_circle(
    regions: pa.ChunkedArray, lon: pa.ChunkedArray, lat: pa.ChunkedArray, radius: pa.ChunkedArray
) -> pa.Array:
    if not len(regions):
        return pa.array([], pa.bool_())
    return outlines.meets_circle(_whole(regions), lon[0].as_py(), lat[0].as_py(), radius[0].as_py())


def _meets_polygon(regions: pa.ChunkedArray, vertices: pa.ChunkedArray) -> pa.Array:
    if not len(regions):
        return pa.array([], pa.bool_())
    return outlines.meets_polygon(_whole(regions), vertices[0].values.to_numpy(zero_copy_only=False))


def _whole(batch: pa.ChunkedArray) -> pa.Array:
    return batch.combine_chunks()
