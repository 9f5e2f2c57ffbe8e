"""``Digest``: a number for the rows of an answer, whatever their order, so that two answers can be told apart.

Each cell becomes 64 bits, each row a mixture of its cells, and the digest is the sum of the rows and of their squares,
modulo 2**64. So it does not matter in which order rows come or how they are cut into batches, and a row that comes
twice counts twice. It tells honest answers apart; it is no seal against forgery.

What a database computes may differ in its last digits from one machine to the next: of such floating-point columns
about nine digits count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.floating]

_ODD = np.uint64(0x9E3779B97F4A7C15)
_OTHER = np.uint64(0xBF58476D1CE4E5B9)
_NULL = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)
_STEP = np.uint64(0x100000001B3)  # between neighbours in a text or an array
_DROPPED = 22  # bits of the 52 of a computed number
_ROUND = np.uint64(1 << (_DROPPED - 1))
_KEEP = np.uint64(~((1 << _DROPPED) - 1) & (2**64 - 1))


class Digest:
    """Grows with every batch; ``computed`` are the positions of columns that hold what a database computed."""

    def __init__(self, computed: Sequence[int] = ()) -> None:
        self._computed = frozenset(computed)
        self._sum = self._squares = 0

    def add(self, batch: pa.RecordBatch) -> Words:
        """Take in the rows of ``batch``; returns what ``rows`` gives for it."""
        if not batch.num_rows:
            return np.zeros(0, np.uint64)
        rows = self.rows(batch)
        with np.errstate(over="ignore"):
            self._sum += int(rows.sum(dtype=np.uint64))
            self._squares += int((rows * rows).sum(dtype=np.uint64))
        return rows

    def rows(self, batch: pa.RecordBatch) -> Words:
        """64 bits for each row of ``batch``: the same for the same row."""
        with np.errstate(over="ignore"):
            return _mixed(self._mixture(batch))

    def _mixture(self, batch: pa.RecordBatch) -> Words:
        """64 bits for each row. Columns of one kind are worked on together: most answers have few rows."""
        floats: dict[int, Floats] = {}
        words: dict[int, Words] = {}
        for position, column in enumerate(batch.columns):
            if pa.types.is_floating(column.type) and not column.null_count:
                floats[position] = column.to_numpy()
            else:
                words[position] = _words(column, position in self._computed)
        if floats:
            computed = [position in self._computed for position in floats]
            words |= zip(floats, _of_floats(np.stack(list(floats.values())), np.array(computed)), strict=True)
        weights = np.array(list(words), np.uint64) * np.uint64(2) + np.uint64(3)
        mixture: Words = (_mixed(np.stack(list(words.values()))) * weights[:, None]).sum(axis=0, dtype=np.uint64)
        return mixture

    def __str__(self) -> str:
        """32 hexadecimal digits."""
        return f"{self._sum % 2**64:016x}{self._squares % 2**64:016x}"


def _mixed(words: Words) -> Words:
    words = (words ^ (words >> _HALF)) * _ODD
    return (words ^ (words >> _HALF)) * _OTHER


def _words(array: pa.Array, computed: bool) -> Words:
    """64 bits for each cell; the same for the same value."""
    words = _of_kind(array, computed)
    if array.null_count:
        words = np.where(array.is_null().to_numpy(zero_copy_only=False), _NULL, words)
    return words


def _of_kind(array: pa.Array, computed: bool) -> Words:
    kind = array.type
    if pa.types.is_null(kind):
        return np.full(len(array), _NULL)
    if pa.types.is_floating(kind):
        return _of_floats(array.fill_null(0.0).to_numpy(), np.array(computed))
    if pa.types.is_boolean(kind):
        array = array.cast(pa.uint8())
    elif pa.types.is_timestamp(kind):
        array = array.cast(pa.timestamp("us")).cast(pa.int64())
    if pa.types.is_integer(array.type):
        numbers: npt.NDArray[np.int64] = array.fill_null(0).to_numpy().astype(np.int64)
        return numbers.view(np.uint64)
    if pa.types.is_fixed_size_list(kind):
        array = array.cast(pa.list_(kind.value_type))
    if pa.types.is_list(array.type):
        return _chained(_words(array.values, computed), _bounds(array))
    return _of_text(array.cast(pa.binary()))


def _of_floats(values: Floats, computed: npt.NDArray[np.bool_]) -> Words:
    """Doubles by their bits; minus zero is zero, and all that are no number are alike."""
    exact = np.where(np.isnan(values), np.nan, values.astype(np.float64) + 0.0).view(np.uint64)
    if not computed.any():
        return exact
    return np.where(computed[..., None], (exact + _ROUND) & _KEEP, exact)


def _of_text(array: pa.Array) -> Words:
    data = array.buffers()[2]
    letters = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    return _chained(letters, _bounds(array))


def _bounds(array: pa.Array) -> npt.NDArray[np.int64]:
    """Where the items of each cell begin, and where the last one ends."""
    held = np.frombuffer(array.buffers()[1], np.int32)
    bounds: npt.NDArray[np.int64] = held[array.offset : array.offset + len(array) + 1].astype(np.int64)
    return bounds


def _chained(items: npt.NDArray[np.unsignedinteger], bounds: npt.NDArray[np.int64]) -> Words:
    """One number for each run of ``items`` between ``bounds``, in which their order counts, and their number."""
    first, last = bounds[0], bounds[-1]
    lengths = np.diff(bounds)
    items = items[first:last]
    place = np.arange(last - first) - np.repeat(bounds[:-1] - first, lengths)
    weights = _weights(int(lengths.max(initial=0)))
    sums: Words = np.concatenate(([np.uint64(0)], np.cumsum((items.astype(np.uint64) + np.uint64(1)) * weights[place])))
    chained: Words = sums[bounds[1:] - first] - sums[bounds[:-1] - first] + lengths.astype(np.uint64) * _OTHER
    return chained


_powers = np.cumprod(np.full(1024, _STEP), dtype=np.uint64)


def _weights(length: int) -> Words:
    """Powers of ``_STEP``, at least ``length`` of them."""
    global _powers
    powers = _powers  # which another thread may replace meanwhile
    if len(powers) < length:
        _powers = powers = np.cumprod(np.full(2 * length, _STEP), dtype=np.uint64)
    return powers
