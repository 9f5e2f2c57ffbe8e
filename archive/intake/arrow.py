"""Arrow streams, judged before they are read.

A few compressed bytes may stand for any number, and Arrow gives memory for all of them before it looks; whether a
message is compressed stands in its metadata, a FlatBuffers table (Arrow columnar format, section IPC).
"""

from __future__ import annotations

import struct

import pyarrow as pa

from archive.faults import UsageFault

_DICTIONARY, _RECORDS = 2, 3  # MessageHeader
_HEADER_TYPE, _HEADER, _DATA, _COMPRESSION = 1, 2, 1, 3  # numbers of fields


def read_stream(content: bytes, name: str) -> pa.Table:
    """All rows of an Arrow stream.

    Raises:
        UsageFault: it is compressed.
        pyarrow.ArrowException: it is no stream, or damaged.
    """
    for message in pa.ipc.MessageReader.open_stream(pa.BufferReader(content)):
        if _is_compressed(message.metadata.to_pybytes()):
            raise UsageFault(f"{name} is a compressed Arrow stream.", "Send it uncompressed, or as Parquet.")
    return pa.ipc.open_stream(pa.BufferReader(content)).read_all()


def _is_compressed(metadata: bytes) -> bool:
    try:
        message = _reference(metadata, 0)
        kind = _field(metadata, message, _HEADER_TYPE)
        header = _field(metadata, message, _HEADER)
        if kind is None or header is None or metadata[kind] not in (_DICTIONARY, _RECORDS):
            return False
        records = _reference(metadata, header)
        if metadata[kind] == _DICTIONARY:
            data = _field(metadata, records, _DATA)
            records = records if data is None else _reference(metadata, data)
        return _field(metadata, records, _COMPRESSION) is not None
    except (struct.error, IndexError):
        return True  # what cannot be judged is not read


def _reference(buffer: bytes, at: int) -> int:
    """Where the table is that an offset at ``at`` points to."""
    return at + int(struct.unpack_from("<I", buffer, at)[0])


def _field(buffer: bytes, table: int, number: int) -> int | None:
    """Where a field of a table is, or None if it is absent."""
    places = table - int(struct.unpack_from("<i", buffer, table)[0])
    size = int(struct.unpack_from("<H", buffer, places)[0])
    if 4 + 2 * number + 2 > size:
        return None
    offset = int(struct.unpack_from("<H", buffer, places + 4 + 2 * number)[0])
    return table + offset if offset else None
