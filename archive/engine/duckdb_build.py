"""Building DuckDB editions: Parquet parts become one immutable file, durable before anyone hears of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import pyarrow.parquet as pq

from archive.columns import Column, Datatype
from archive.engine.contract import SINCE
from archive.engine.duckdb_dialect import type_name
from archive.engine.sphere import HEALPIX
from archive.tables import Edition, Table


def build(
    folder: Path,
    table: Table,
    number: int,
    parts: Sequence[Path],
    settings: Mapping[str, Any],
    progress: Callable[[int], None],
    since: Sequence[int] = (),
) -> Edition:
    """Write the rows of ``parts``, in order, to a new file; see ``contract.Engine.build``."""
    place = f"{quote(table.schema, safe='')}.{quote(table.name, safe='')}.{number}.duckdb"
    unfinished = folder / f"{place}.unfinished"
    for left in (unfinished, folder / f"{unfinished.name}.wal"):
        left.unlink(missing_ok=True)
    healpix = bool(parts) and all(HEALPIX in pq.read_schema(part).names for part in parts)
    several = len(set(since)) > 1
    rows = 0
    database = duckdb.connect(str(unfinished), config=dict(settings))
    try:
        database.execute(_create(table, healpix, several))
        for part, state in zip(parts, since if several else [None] * len(parts), strict=True):
            rows += _insert(database, table, part, healpix, state)
            progress(rows)
        database.execute("CHECKPOINT")
    finally:
        database.close()
    settle(unfinished, folder / place)
    physical = {column.name: f"c{at}" for at, column in enumerate(table.columns, 1)}
    if several:
        physical[SINCE] = SINCE
    return Edition(table.key, number, place, physical, rows, healpix)


def _create(table: Table, healpix: bool, several: bool) -> str:
    columns = [f"c{at} {type_name(column)}" for at, column in enumerate(table.columns, 1)]
    if healpix:
        columns.append(f"{HEALPIX} BIGINT")
    if several:
        columns.append(f"{SINCE} INTEGER")
    return f"CREATE TABLE t ({', '.join(columns)})"


def _insert(
    database: duckdb.DuckDBPyConnection, table: Table, part: Path, healpix: bool, state: int | None = None
) -> int:
    """Append one part, which came with ``state``.

    Its columns are taken by position: DuckDB would mix up names that differ in case only.
    """
    names = pq.read_schema(part).names
    at = {name: f"p.c{position}" for position, name in enumerate(names, 1)}
    values = [_value(at[column.name], column) for column in table.columns]
    if healpix:
        values.append(at[HEALPIX])
    if state is not None:
        values.append(str(state))
    aliases = ", ".join(f"c{position}" for position in range(1, len(names) + 1))
    insert = f"INSERT INTO t SELECT {', '.join(values)} FROM read_parquet($1) AS p({aliases})"  # noqa: S608 - our names
    inserted = database.execute(insert, [str(part)]).fetchone()
    return int(inserted[0]) if inserted else 0


def _value(source: str, column: Column) -> str:
    """A value as it is stored: NaN becomes NULL, since databases hold NaN above all numbers."""
    if column.arraysize is None and column.datatype in (Datatype.FLOAT, Datatype.DOUBLE):
        return f"CASE WHEN isnan({source}) THEN NULL ELSE {source} END"
    return f"CAST({source} AS {type_name(column)})"


def settle(unfinished: Path, final: Path) -> None:
    """Bytes first, then the name, both made durable."""
    for path, flags in ((unfinished, os.O_RDWR), (final.parent, os.O_RDONLY)):
        if path == final.parent:
            unfinished.rename(final)
        descriptor = os.open(path, flags)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
