"""Sorting more rows than fit into memory, by one whole number for each row.

Rows come in batches. As many as the budget allows are sorted and set aside as a *run* on disk; at the end the
runs are cut at the same keys into slices that fit the budget, and each slice is sorted and handed on. So every row
is written and read once more, and memory stays flat whatever the number of rows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_BATCH = 16_384  # rows that are written and read together


@dataclass(frozen=True, slots=True)
class _Run:
    """Sorted rows on disk; ``firsts`` is the first key of each batch."""

    path: Path
    firsts: list[int]
    last: int


class Sorter:
    """Takes rows in any order and gives them back in the order of ``key``, a column of int64 without nulls.

    Rows of one key keep the order in which they came. ``budget`` is the number of bytes sorted at once; the
    process needs about three times as much. ``folder`` takes the runs; remove it afterwards.
    """

    def __init__(self, key: str, budget: int, folder: Path) -> None:
        self._key = key
        self._budget = budget
        self._folder = folder
        self._waiting: list[pa.RecordBatch] = []
        self._size = 0
        self._bytes = 0
        self._rows = 0
        self._runs: list[_Run] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in some rows; all batches have one schema."""
        if not batch.num_rows:
            return
        self._waiting.append(batch)
        self._size += batch.nbytes
        self._bytes += batch.nbytes
        self._rows += batch.num_rows
        if self._size >= self._budget:
            self._set_aside()

    def sorted(self) -> Iterator[pa.Table]:
        """All rows in order; can be asked once."""
        if not self._runs:
            if self._waiting:
                yield self._take_waiting()
            return
        self._set_aside()
        for low, high in self._cuts():
            yield from self._slice(low, high)

    def _take_waiting(self) -> pa.Table:
        table = pa.Table.from_batches(self._waiting)
        self._waiting, self._size = [], 0
        return _in_order(table, self._key)

    def _set_aside(self) -> None:
        if not self._waiting:
            return
        table = self._take_waiting()
        keys = _numbers(table.column(self._key))
        path = self._folder / f"run-{len(self._runs):06d}.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            for batch in table.combine_chunks().to_batches(max_chunksize=_BATCH):
                writer.write_batch(batch)
        self._runs.append(_Run(path, [int(key) for key in keys[::_BATCH]], int(keys[-1])))

    def _cuts(self) -> Iterator[tuple[int, int]]:
        """Half-open ranges of keys, each of about a budget's worth of rows."""
        firsts = sorted(first for run in self._runs for first in run.firsts)
        batch_bytes = max(1, self._bytes * _BATCH // self._rows)
        marks = firsts[:: max(1, self._budget // batch_bytes)]
        crowded = {mark + 1 for mark, following in pairwise(marks) if mark == following}
        lows = sorted({*marks, *crowded})
        highs = [*lows[1:], max(max(run.last for run in self._runs), lows[-1]) + 1]
        return zip(lows, highs, strict=True)

    def _slice(self, low: int, high: int) -> Iterator[pa.Table]:
        pieces = (piece for run in self._runs for piece in _between(run, self._key, low, high))
        if high - low == 1:  # rows of one key are in order already, however many they are
            yield from pieces
            return
        tables = list(pieces)
        if tables:
            yield _in_order(pa.concat_tables(tables), self._key)


def _between(run: _Run, key: str, low: int, high: int) -> Iterator[pa.Table]:
    """The rows of a run whose key lies in [low, high)."""
    first = max(0, bisect_left(run.firsts, low) - 1)
    last = bisect_left(run.firsts, high)
    with pa.OSFile(str(run.path), "rb") as file:
        reader = pa.ipc.open_file(file)
        for number in range(first, last):
            batch = reader.get_batch(number)
            keys = _numbers(batch.column(key))
            start, end = np.searchsorted(keys, [low, high])
            if start < end:
                yield pa.Table.from_batches([batch.slice(int(start), int(end - start))])


def _in_order(table: pa.Table, key: str) -> pa.Table:
    keys = _numbers(table.column(key))
    if len(keys) < 2 or bool((keys[1:] >= keys[:-1]).all()):
        return table
    order = pa.array(np.argsort(keys, kind="stable"))
    # Column by column, so that there is never a second copy of the whole.
    columns = [column.combine_chunks().take(order) for column in table.columns]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _numbers(column: Any) -> NDArray[np.int64]:
    return np.asarray(column.to_numpy(), dtype=np.int64)
