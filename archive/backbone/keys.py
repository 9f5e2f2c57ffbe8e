"""Is every key there only once? Over all parts of a table, in memory that does not grow with their rows.

Rows are divided by the hash of their key into groups of about a million; equal keys fall into the same group, so
each group is counted by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
from duckdb import ColumnExpression, ConstantExpression, FunctionExpression

from archive.tables import Table

_GROUP = 1_000_000
_COUNT = "_count"  # no described column begins so

Key = tuple[str, ...]


def keys_of(described: Table) -> Iterator[Key]:
    """The sets of columns whose values may occur only once together."""
    seen: set[Key] = set()
    for key in (described.primary_key, *described.unique):
        if key and key not in seen:
            seen.add(key)
            yield key


def repeated(parts: Sequence[Path], rows: int, key: Key) -> tuple[Any, ...] | None:
    """Values of ``key`` that occur more than once in ``parts``, which have ``rows`` rows; None if none do.

    Rows where a column of the key is NULL do not count, as in SQL.
    """
    groups = max(1, -(-rows // _GROUP))
    names = pq.read_schema(parts[0]).names
    with duckdb.connect(":memory:") as connection:
        found = connection.from_parquet([str(part) for part in parts])
        # By position: DuckDB gives other names to columns whose own differ in case only.
        columns = [ColumnExpression(found.columns[names.index(name)]) for name in key]
        found = found.select(*columns)
        for column in columns:
            found = found.filter(column.isnotnull())
        group = FunctionExpression("mod", FunctionExpression("hash", *columns), ConstantExpression(groups))
        counted = [*columns, FunctionExpression("count_star").alias(_COUNT)]
        for number in range(groups):
            counts = found.filter(group == ConstantExpression(number)).aggregate(counted)
            row = counts.filter(ColumnExpression(_COUNT) > ConstantExpression(1)).limit(1).fetchall()
            if row:
                return tuple(row[0][:-1])
    return None
