"""How rows flow from a ``Result`` to bytes: slices of bounded size in, pieces of bounded size out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa

from archive.columns import Column, arrow_type
from archive.faults import Fault
from archive.results.result import Result

SLICE = 2 << 20  # bytes of Arrow data encoded at a time: large enough that 1000 columns cost little per row
PIECE = 192 << 10  # bytes handed on at a time; a multiple of 3, so that base64 of a piece is 256 KiB


def slices(result: Result, columns: Sequence[Column] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of ``result`` in batches of about ``SLICE`` bytes, counted in ``result.rows`` as they go.

    The arrays have exactly the types that ``arrow_type`` gives for ``columns`` (by default the result's own).
    """
    described = result.columns if columns is None else columns
    schema = pa.schema([pa.field(str(index), arrow_type(column)) for index, column in enumerate(described)])
    for batch in result.batches:
        arrays = zip(batch.columns, schema.types, strict=True)
        exact = pa.record_batch([array if array.type == want else array.cast(want) for array, want in arrays], schema)
        step = max(1, SLICE * exact.num_rows // max(exact.nbytes, 1))
        for start in range(0, exact.num_rows, step):
            part = exact.slice(start, step)
            result.rows += part.num_rows
            if result.digest is not None:
                result.digest.add(part)
            yield part


def blocks(
    result: Result, encode: Callable[[pa.RecordBatch], memoryview], columns: Sequence[Column] | None = None
) -> Iterator[memoryview]:
    """The rows of ``result`` as ``encode`` makes them of ``slices``, for formats that can tell of a fault at
    their end: where one comes the rows end, and it is kept in ``result.fault``.
    """
    try:
        yield from map(encode, slices(result, columns))
    except Fault as fault:
        result.fault = fault


def pieces(block: memoryview) -> Iterator[bytes]:
    """``block`` cut into pieces of at most ``PIECE`` bytes."""
    for start in range(0, len(block), PIECE):
        yield bytes(block[start : start + PIECE])


class Drain:
    """A file to write into whose bytes are taken away as they come (for writers that want a file)."""

    closed = False

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._length = 0

    def write(self, data: bytes | memoryview) -> int:
        copy = bytes(data)
        self._written.append(copy)
        self._length += len(copy)
        return len(copy)

    def tell(self) -> int:
        return self._length

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        self.closed = True

    def taken(self) -> Iterator[bytes]:
        """What was written since last asked, in pieces."""
        written, self._written = self._written, []
        if written:
            yield from pieces(memoryview(b"".join(written)))
