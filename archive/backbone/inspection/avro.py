"""Avro object container files as they pass by (Avro 1.11, section "Object Container Files"): blocks and their marks."""

from __future__ import annotations

from typing import NoReturn

from archive.backbone.inspection.found import Contents, Format, Scanner
from archive.faults import UsageFault

_MARK = 16
_MOST_HEADER = 4 << 20  # bytes: schemas are texts of some kilobytes
_LONGEST = 10  # bytes of a number


class AvroScanner(Scanner):
    """Counts records; every block must end with the mark that the header announces."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._at = 0
        self._buffer = bytearray()  # not yet understood
        self._mark: bytes | None = None
        self._skip = 0  # bytes of the block that are still to come, its mark included
        self._records = 0
        self._blocks = 0
        self._meta: dict[str, bytes] = {}

    def feed(self, data: memoryview) -> None:
        while len(data):
            if self._skip > _MARK:
                taken = min(self._skip - _MARK, len(data))
                self._skip -= taken
                data = data[taken:]
                continue
            self._buffer += data[: 1 << 16]
            data = data[1 << 16 :]
            data = self._understand(data)

    def _understand(self, rest: memoryview) -> memoryview:
        """Read what is whole in the buffer; a block's content is passed over without being kept."""
        while True:
            if self._mark is None:
                if not self._read_header():
                    return rest
            elif self._skip:
                passed = min(len(self._buffer), max(0, self._skip - _MARK))
                del self._buffer[:passed]
                self._skip -= passed
                if self._skip > _MARK or len(self._buffer) < _MARK:
                    return rest
                if bytes(self._buffer[:_MARK]) != self._mark:
                    self._wrong(f"block {self._blocks} does not end with the file's mark.")
                del self._buffer[:_MARK]
                self._skip = 0
            elif not self._begin_block():
                return rest

    def _begin_block(self) -> bool:
        try:
            records, at = _number(self._buffer, 0)
            size, at = _number(self._buffer, at)
        except IndexError:
            return False
        self._blocks += 1
        if records < 0 or size < 0:
            self._wrong(f"block {self._blocks} is said to have {records} records in {size} bytes.")
        self._records += records
        del self._buffer[:at]
        self._skip = size + _MARK
        return True

    def _read_header(self) -> bool:
        try:
            at = 4
            count, at = _number(self._buffer, at)
            while count:
                if count < 0:  # the size of the items follows
                    _, at = _number(self._buffer, at)
                for _ in range(min(abs(count), _MOST_HEADER)):
                    key, at = _bytes(self._buffer, at)
                    value, at = _bytes(self._buffer, at)
                    self._meta[key.decode("utf-8", "replace")] = value
                count, at = _number(self._buffer, at)
            if len(self._buffer) < at + _MARK:
                raise IndexError
        except IndexError:
            if len(self._buffer) > _MOST_HEADER:
                self._wrong(f"its header does not end within {_MOST_HEADER:,} bytes.")
            return False
        except OverflowError:
            self._wrong("its header is damaged.")
        self._mark = bytes(self._buffer[at : at + _MARK])
        del self._buffer[: at + _MARK]
        return True

    def finish(self) -> Contents:
        if self._mark is None:
            self._wrong("the file ends within its header.")
        if self._skip or self._buffer:
            self._wrong(f"the file ends within block {self._blocks + (not self._skip)}.")
        schema = self._meta.get("avro.schema")
        if schema is None:
            self._wrong("its header holds no schema.")
        return Contents(format=Format.AVRO, rows=self._records, schema=schema.decode("utf-8", "replace"))

    def _wrong(self, message: str) -> NoReturn:
        raise UsageFault(f"{self._name}: {message}", "Send it again.")


def _number(buffer: bytearray, at: int) -> tuple[int, int]:
    """A zigzag number of variable length and the place after it.

    Raises:
        IndexError: the buffer ends before it does.
        OverflowError: it is longer than 64 bits.
    """
    value = shift = 0
    for length in range(_LONGEST):
        byte = buffer[at + length]
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return (value >> 1) ^ -(value & 1), at + length + 1
        shift += 7
    raise OverflowError


def _bytes(buffer: bytearray, at: int) -> tuple[bytes, int]:
    size, at = _number(buffer, at)
    if size < 0:
        raise OverflowError
    if len(buffer) < at + size:
        raise IndexError
    return bytes(buffer[at : at + size]), at + size
