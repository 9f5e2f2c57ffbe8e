"""``Delivered``: a table as it came, described by itself."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from archive.columns import Column, Datatype, arrow_type
from archive.faults import UsageFault

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Measure:
    """The most that is taken in: rows, and bytes both as sent and after decompression."""

    rows: int = 100_000
    size: int = 64 * 1024 * 1024

    def check_rows(self, rows: int, name: str) -> None:
        """Raises ``UsageFault`` (413) if ``rows`` are too many; nothing is ever cut off silently (TAP 1.1 2.5.1)."""
        if rows > self.rows:
            raise UsageFault(
                f"{name} has {rows:,} rows; at most {self.rows:,} are taken.", "Send it in several parts.", http=413
            )

    def check_size(self, size: int, name: str) -> None:
        """Raises ``UsageFault`` (413) if ``size`` bytes are too many."""
        if size > self.size:
            raise UsageFault(f"{name} is larger than {self.size:,} bytes.", "Send it in several parts.", http=413)

    def unpacked(self, content: bytes, name: str) -> bytes:
        """``content`` without its gzip packing, if it has one; never more bytes than are taken in."""
        pieces, size = [], 0
        while content[:2] == _GZIP:
            unpacker = zlib.decompressobj(wbits=31)
            try:
                pieces.append(unpacker.decompress(content, self.size + 1 - size))
            except zlib.error as error:
                raise UsageFault(f"{name} cannot be unpacked as gzip.", "Send it again.") from error
            size += len(pieces[-1])
            self.check_size(size, name)
            if not unpacker.eof:
                raise UsageFault(f"{name} ends within its gzip packing and cannot be unpacked.", "Send it again.")
            content = unpacker.unused_data
        return b"".join(pieces) if pieces else content


@dataclass(frozen=True, slots=True)
class Delivered:
    """Columns as the file describes them and all its rows, arrays of exactly ``arrow_type(column)``."""

    columns: tuple[Column, ...]
    rows: pa.Table


def delivered(columns: Sequence[Column], arrays: Sequence[pa.Array]) -> Delivered:
    """A ``Delivered`` with distinct column names, in order."""
    named = tuple(column.named(name) for column, name in zip(columns, _distinct(c.name for c in columns), strict=True))
    schema = pa.schema([pa.field(column.name, arrow_type(column)) for column in named])
    return Delivered(named, pa.table(list(arrays), schema=schema))


def _distinct(names: Iterable[str]) -> list[str]:
    """Names made unique without regard to case, as ADQL would confuse them; empty ones become ``column_N``."""
    taken: set[str] = set()
    result = []
    for number, name in enumerate(names, start=1):
        wanted = name.strip() or f"column_{number}"
        fresh, suffix = wanted, 2
        while fresh.lower() in taken:
            fresh, suffix = f"{wanted}_{suffix}", suffix + 1
        taken.add(fresh.lower())
        result.append(fresh)
    return result


_FROM_ARROW = {
    pa.bool_(): Datatype.BOOLEAN,
    pa.uint8(): Datatype.BYTE,
    pa.int8(): Datatype.SHORT,
    pa.int16(): Datatype.SHORT,
    pa.uint16(): Datatype.INT,
    pa.int32(): Datatype.INT,
    pa.uint32(): Datatype.LONG,
    pa.int64(): Datatype.LONG,
    pa.uint64(): Datatype.LONG,
    pa.float16(): Datatype.FLOAT,
    pa.float32(): Datatype.FLOAT,
    pa.float64(): Datatype.DOUBLE,
}


def column_of(name: str, kind: pa.DataType) -> Column:
    """The column that carries values of an Arrow type.

    Raises:
        UsageFault: VOTable has no such type.
    """
    if pa.types.is_dictionary(kind):
        return column_of(name, kind.value_type)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return Column(name, Datatype.CHAR, "*", "timestamp")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return Column(name, Datatype.UNICODE, "*")
    if pa.types.is_null(kind):
        return Column(name, Datatype.UNICODE, "*")
    if pa.types.is_decimal(kind):
        return Column(name, Datatype.DOUBLE)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return Column(name, Datatype.BYTE, "*")
    if pa.types.is_fixed_size_list(kind):
        return Column(name, column_of(name, kind.value_type).datatype, str(kind.list_size))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return Column(name, column_of(name, kind.value_type).datatype, "*")
    if kind not in _FROM_ARROW:
        raise UsageFault(f"Column {name} has the type {kind}, which no table of this service can hold.")
    return Column(name, _FROM_ARROW[kind])
