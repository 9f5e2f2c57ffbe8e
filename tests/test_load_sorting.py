"""Sorting more rows than fit into memory: the same as sorting them all at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.backbone import sorting
from archive.backbone.sorting import Sorter

SCHEMA = pa.schema([("value", pa.string()), ("key", pa.int64())])


def by_sorter(keys: list[int], sizes: list[int], budget: int, folder: Path) -> list[tuple[int, str]]:
    sorter = Sorter("key", budget, folder)
    start = 0
    for size in [*sizes, len(keys)]:
        chunk = keys[start : start + size]
        rows = [{"value": f"row {start + number}", "key": key} for number, key in enumerate(chunk)]
        sorter.add(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
        start += size
    return [(row["key"], row["value"]) for piece in sorter.sorted() for row in piece.to_pylist()]


@given(
    keys=st.lists(st.one_of(st.integers(0, 3), st.integers(0, 12 << 58)), max_size=120),
    sizes=st.lists(st.integers(0, 20), max_size=12),
    budget=st.integers(1, 2000),
)
@settings(max_examples=150)
def test_rows_come_back_in_order_and_those_of_a_key_as_they_came(
    tmp_path_factory: pytest.TempPathFactory, keys: list[int], sizes: list[int], budget: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "_BATCH", 5)
        found = by_sorter(keys, sizes, budget, tmp_path_factory.mktemp("runs"))
    assert found == sorted(((key, f"row {number}") for number, key in enumerate(keys)), key=lambda row: row[0])


def test_no_slice_is_larger_than_the_budget_allows(tmp_path: Path) -> None:
    keys = np.random.default_rng(1).integers(0, 12 << 58, 400_000)
    sorter = Sorter("key", 1 << 20, tmp_path)
    for chunk in np.array_split(keys, 40):
        sorter.add(pa.record_batch({"key": pa.array(chunk), "value": pa.array(chunk)}))
    pieces = [(piece.nbytes, piece["key"].to_numpy()) for piece in sorter.sorted()]
    assert max(size for size, _ in pieces) < 3 << 20
    assert (np.concatenate([part for _, part in pieces]) == np.sort(keys)).all()


def test_rows_of_one_key_need_no_memory_however_many_they_are(tmp_path: Path) -> None:
    sorter = Sorter("key", 1 << 20, tmp_path)
    for _ in range(40):
        sorter.add(pa.record_batch({"key": pa.array(np.full(20_000, 7)), "value": pa.array(np.arange(20_000))}))
    sizes = [piece.num_rows for piece in sorter.sorted()]
    assert sum(sizes) == 800_000
    assert max(sizes) <= 20_000
