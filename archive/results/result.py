"""``Result``: what an answer is made of before it has a format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from archive.columns import Column


@dataclass(slots=True)
class Result:
    """Columns and a single-use stream of Arrow batches.

    Each batch has ``len(columns)`` arrays, by position, of exactly ``arrow_type(column)``; its field names
    mean nothing. Iterating ``batches`` may raise a ``Fault`` at any time; encoders catch it and end their
    document as DALI asks. ``overflowed`` is true once rows were cut off; it is final when ``batches`` is
    exhausted. ``close`` releases the engine's cursor and stops its statement; it may be called twice.
    """

    columns: tuple[Column, ...]
    batches: Iterator[pa.RecordBatch]
    close: Callable[[], None] = lambda: None
    overflowed: bool = False
    notes: tuple[str, ...] = ()
    token: str | None = None
    query: str | None = None
    rows: int = 0
    infos: tuple[tuple[str, str, str], ...] = field(default=())  # (name, value, text) for the results RESOURCE
