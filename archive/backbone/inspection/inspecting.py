"""``Inspection``: a file is recognised by its first bytes, unpacked if need be, and scanned while it passes by."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path

from archive.backbone.inspection.avro import AvroScanner
from archive.backbone.inspection.fits import FitsScanner
from archive.backbone.inspection.found import Contents, Format, Inspected, Scanner
from archive.backbone.inspection.tables import DelimitedScanner, ParquetScanner, VotableScanner
from archive.backbone.inspection.tarred import TarScanner
from archive.faults import UsageFault

_GZIP = b"\x1f\x8b"
_HEAD = 512  # bytes that tell a format: a tar file's mark is at 257
_PIECE = 1 << 20  # bytes that are read or unpacked at once
_AGAIN = "Send it again."

_MEDIA_TYPES = {
    Format.FITS: "application/fits",
    Format.PARQUET: "application/vnd.apache.parquet",
    Format.VOTABLE: "application/x-votable+xml",
    Format.CSV: "text/csv",
    Format.TSV: "text/tab-separated-values",
    Format.AVRO: "application/avro",
    Format.TAR: "application/x-tar",
    Format.OTHER: "application/octet-stream",
}

_ENDINGS = {
    ".fits": Format.FITS,
    ".fit": Format.FITS,
    ".fts": Format.FITS,
    ".fz": Format.FITS,
    ".parquet": Format.PARQUET,
    ".avro": Format.AVRO,
    ".vot": Format.VOTABLE,
    ".tar": Format.TAR,
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
}


class _Nothing(Scanner):
    """A file that is not looked into."""

    def feed(self, data: memoryview) -> None:
        pass

    def finish(self) -> Contents:
        return Contents(format=Format.OTHER)


_SCANNERS: dict[Format, Callable[[str], Scanner]] = {
    Format.FITS: FitsScanner,
    Format.PARQUET: ParquetScanner,
    Format.AVRO: AvroScanner,
    Format.TAR: TarScanner,
    Format.VOTABLE: VotableScanner,
    Format.CSV: lambda name: DelimitedScanner(name, Format.CSV),
    Format.TSV: lambda name: DelimitedScanner(name, Format.TSV),
    Format.OTHER: lambda name: _Nothing(),
}


class Inspection:
    """Looks at a file called ``name`` as its bytes come; memory does not depend on how many there are.

    With ``digest`` the sha256 is taken too; a store that takes it anyway needs none here.
    """

    def __init__(self, name: str, *, digest: bool = True) -> None:
        self._name = name
        self._hash = hashlib.sha256() if digest else None
        self._size = 0
        self._scanner = _Recognising(name, _packed_or_plain)

    def feed(self, data: bytes | memoryview) -> None:
        """The next bytes of the file; every byte once, in order.

        Raises:
            UsageFault: they cannot be in a file of the format that it is; the message names the place.
        """
        view = memoryview(data).cast("B")
        self._size += len(view)
        if self._hash is not None:
            self._hash.update(view)
        self._scanner.feed(view)

    def finish(self) -> Inspected:
        """What was found.

        Raises:
            UsageFault: the file is empty, cut short, or its own checks (CHECKSUM, DATASUM, ...) fail.
        """
        if not self._size:
            raise UsageFault(f"{self._name}: the file is empty.", _AGAIN)
        contents = self._scanner.finish()
        packed = isinstance(self._scanner.found, _Unpacking)
        return Inspected(
            name=self._name,
            contents=contents,
            packed=packed,
            size=self._size,
            sha256=self._hash.hexdigest() if self._hash is not None else None,
            media_type="application/gzip" if packed else _MEDIA_TYPES[contents.format],
        )


def inspect(path: Path, *, digest: bool = True) -> Inspected:
    """Inspect a file where it lies.

    Raises:
        UsageFault: it cannot be read, or is not whole.
    """
    inspection = Inspection(path.name, digest=digest)
    buffer = memoryview(bytearray(_PIECE))
    try:
        with path.open("rb", buffering=0) as file:
            while size := file.readinto(buffer):
                inspection.feed(buffer[:size])
    except OSError as error:
        raise UsageFault(f"{path} cannot be read: {error.strerror}.", "Give the path of a readable file.") from None
    return inspection.finish()


class _Recognising(Scanner):
    """Waits for the bytes that tell a format, then is the scanner that ``choose`` gives for them."""

    def __init__(self, name: str, choose: Callable[[str, bytes], Scanner]) -> None:
        self._name = name
        self._choose = choose
        self._head = b""
        self.found: Scanner | None = None

    def feed(self, data: memoryview) -> None:
        if self.found is not None:
            self.found.feed(data)
            return
        self._head += bytes(data)
        if len(self._head) >= _HEAD:
            self._begin()

    def finish(self) -> Contents:
        return (self.found or self._begin()).finish()

    def _begin(self) -> Scanner:
        head, self._head = self._head, b""
        self.found = self._choose(self._name, head)
        self.found.feed(memoryview(head))
        return self.found


class _Unpacking(Scanner):
    """Undoes gzip (RFC 1952), several members one after another included, and scans what is inside."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._unpacker = zlib.decompressobj(wbits=31)
        self._inside = _Recognising(name.removesuffix(".gz"), _scanner)

    def feed(self, data: memoryview) -> None:
        """Unpack in pieces, so that a file that unpacks to a thousand times its size takes time but no memory."""
        rest: bytes | memoryview = data
        while len(rest):
            if self._unpacker.eof:
                if not bytes(rest).strip(b"\0"):
                    return  # padding, which gzip itself passes over
                self._unpacker = zlib.decompressobj(wbits=31)
            try:
                plain = self._unpacker.decompress(rest, _PIECE)
            except zlib.error:
                raise UsageFault(f"{self._name}: the gzip packing is damaged.", _AGAIN) from None
            rest = self._unpacker.unconsumed_tail or self._unpacker.unused_data
            self._inside.feed(memoryview(plain))

    def finish(self) -> Contents:
        if not self._unpacker.eof:
            raise UsageFault(f"{self._name}: the file ends within its gzip packing.", _AGAIN)
        return self._inside.finish()


def _packed_or_plain(name: str, head: bytes) -> Scanner:
    return _Unpacking(name) if head.startswith(_GZIP) else _scanner(name, head)


def _scanner(name: str, head: bytes) -> Scanner:
    """The scanner for what the first bytes are.

    Raises:
        UsageFault: the name says that they are something else.
    """
    found = _format(name, head)
    promised = next((form for ending, form in _ENDINGS.items() if name.lower().endswith(ending)), None)
    if promised is not None and promised is not found:
        raise UsageFault(
            f"{name}: the file is not {promised.upper()} as its name says; its first bytes are {head[:16]!r}.",
            "Is it damaged? Else give it a name that fits.",
        )
    return _SCANNERS[found](name)


def _format(name: str, head: bytes) -> Format:
    if head.startswith(b"SIMPLE"):
        return Format.FITS
    if head.startswith(b"PAR1"):
        return Format.PARQUET
    if head.startswith(b"Obj\x01"):
        return Format.AVRO
    if head[257:262] == b"ustar":
        return Format.TAR
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith((b"<?xml", b"<VOTABLE", b"<!--")) or (text.startswith(b"<") and b"VOTABLE" in text):
        return Format.VOTABLE if name.lower().endswith(".vot") or b"VOTABLE" in text else Format.OTHER
    if b"\0" in head:
        return Format.OTHER
    endings = {".csv": Format.CSV, ".tsv": Format.TSV}
    return next((form for ending, form in endings.items() if name.lower().endswith(ending)), Format.OTHER)
