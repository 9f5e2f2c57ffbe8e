"""Parquet, VOTable, CSV and TSV as they pass by."""

from __future__ import annotations

from collections import deque
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from lxml import etree

from archive.backbone.inspection.found import Contents, Format, Scanner
from archive.faults import UsageFault

_AGAIN = "Send it again."


class ParquetScanner(Scanner):
    """Keeps the end of the file, where Parquet tells what is in it, and nothing else."""

    _MOST_FOOTER = 16 << 20

    def __init__(self, name: str) -> None:
        self._name = name
        self._size = 0
        self._tail: deque[bytes] = deque()
        self._kept = 0

    def feed(self, data: memoryview) -> None:
        self._size += len(data)
        self._tail.append(bytes(data[-self._MOST_FOOTER :]))
        self._kept += len(self._tail[-1])
        while self._kept - len(self._tail[0]) >= self._MOST_FOOTER:
            self._kept -= len(self._tail.popleft())

    def finish(self) -> Contents:
        tail = b"".join(self._tail)
        if tail[-4:] != b"PAR1":
            self._wrong("the file does not end as Parquet does: it is cut short.")
        footer = int.from_bytes(tail[-8:-4], "little") + 8
        if footer > self._size:
            self._wrong("its last part is longer than the file.")
        if footer > self._MOST_FOOTER:
            self._wrong(f"its last part is larger than {self._MOST_FOOTER:,} bytes.", "Write larger row groups.")
        try:
            metadata = pq.read_metadata(pa.BufferReader(b"PAR1" + tail[-footer:]))  # a file without its data
        except (pa.ArrowException, OSError):
            self._wrong("its last part, which tells what is in it, is damaged.")
        return Contents(format=Format.PARQUET, rows=metadata.num_rows, columns=tuple(metadata.schema.names))

    def _wrong(self, message: str, remedy: str = _AGAIN) -> NoReturn:
        raise UsageFault(f"{self._name}: {message}", remedy)


class VotableScanner(Scanner):
    """Parses the XML while it comes and counts the rows of the first table; entities are not resolved."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._target = _Rows()
        self._parser = etree.XMLParser(
            target=self._target, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True
        )

    def feed(self, data: memoryview) -> None:
        try:
            self._parser.feed(bytes(data))
        except etree.XMLSyntaxError as error:
            self._wrong(error)

    def finish(self) -> Contents:
        try:
            self._parser.close()
        except etree.XMLSyntaxError as error:
            self._wrong(error)
        if self._target.root != "VOTABLE":
            raise UsageFault(f"{self._name}: the file is XML, but no VOTable: it is a {self._target.root}.", _AGAIN)
        rows = self._target.rows if self._target.written_out else self._target.declared
        return Contents(format=Format.VOTABLE, rows=rows, columns=tuple(self._target.fields))

    def _wrong(self, error: etree.XMLSyntaxError) -> NoReturn:
        line = error.position[0] if error.position else 0
        raise UsageFault(f"{self._name}, line {line}: the XML is damaged or cut short.", _AGAIN) from None


class _Rows:
    """What is counted while XML is parsed; nothing of it is kept."""

    def __init__(self) -> None:
        self.root = ""
        self.rows = 0
        self.declared: int | None = None
        self.written_out = False  # as TABLEDATA, not as a stream of bytes
        self.fields: list[str] = []
        self._tables = 0

    def start(self, tag: str | bytes, attributes: Any) -> None:
        name = str(tag).rpartition("}")[2]
        self.root = self.root or name
        if name == "TABLE":
            self._tables += 1
        if self._tables != 1:
            return
        if name == "TABLE" and attributes.get("nrows", "").isdigit():
            self.declared = int(attributes["nrows"])
        elif name == "TR":
            self.rows += 1
        elif name == "TABLEDATA":
            self.written_out = True
        elif name == "FIELD":
            self.fields.append(attributes.get("name", ""))

    def end(self, tag: str | bytes) -> None:
        pass

    def data(self, data: str | bytes) -> None:
        pass

    def comment(self, text: str | bytes) -> None:
        pass

    def close(self) -> None:
        pass


class DelimitedScanner(Scanner):
    """Counts rows of CSV or TSV (RFC 4180): line ends outside quotes. The first line names the columns."""

    _LONGEST_NAMES = 1 << 20

    def __init__(self, name: str, format: Format) -> None:
        self._name = name
        self._format = format
        self._line = bytearray()  # the first one
        self._named = False
        self._quoted = False
        self._rows = 0
        self._last = b"\n"
        self._at = 0

    def feed(self, data: memoryview) -> None:
        piece = bytes(data)
        nul = piece.find(b"\0")
        if nul >= 0:
            self._wrong(f"byte {self._at + nul:,} is NUL, which no text holds.")
        if not self._named:
            head, end, _ = piece.partition(b"\n")
            self._line += head
            self._named = bool(end)
            if len(self._line) > self._LONGEST_NAMES:
                self._wrong("the first line does not end.")
        self._rows += self._line_ends(piece)
        self._at += len(piece)
        self._last = piece[-1:] or self._last

    def _line_ends(self, piece: bytes) -> int:
        """Line ends in ``piece`` that are not inside quotes."""
        if b'"' not in piece:
            return 0 if self._quoted else piece.count(b"\n")
        bytes_ = np.frombuffer(piece, np.uint8)
        inside = (np.cumsum(bytes_ == ord('"')) + self._quoted) & 1
        self._quoted = bool(inside[-1])
        return int(((bytes_ == ord("\n")) & (inside == 0)).sum())

    def finish(self) -> Contents:
        if self._quoted:
            self._wrong("a value is opened by a quote that nothing closes.")
        lines = self._rows + (self._last != b"\n")
        separator = b"," if self._format is Format.CSV else b"\t"
        names = self._line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r").split(separator)
        columns = tuple(name.strip(b' "').decode("utf-8", "replace") for name in names)
        return Contents(format=self._format, rows=max(0, lines - 1), columns=columns)

    def _wrong(self, message: str) -> NoReturn:
        raise UsageFault(f"{self._name}: {message}", _AGAIN)
