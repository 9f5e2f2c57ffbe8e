"""What an inspection finds: ``Inspected`` and, of a FITS file, its ``Hdu``s."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum

from astropy.io.fits import Header
from astropy.io.fits.verify import VerifyError


class Format(StrEnum):
    """What kind of file it is, by its content; ``OTHER`` is not looked into."""

    FITS = "fits"
    PARQUET = "parquet"
    VOTABLE = "votable"
    CSV = "csv"
    TSV = "tsv"
    AVRO = "avro"
    TAR = "tar"
    OTHER = "other"


class HduKind(StrEnum):
    """What an HDU holds; a compressed image is a table to FITS and an image to people (FITS 4.0 section 10.1)."""

    IMAGE = "image"
    COMPRESSED = "compressed image"
    GROUPS = "random groups"
    TABLE = "table"
    ASCII = "ASCII table"
    OTHER = "other"


def said(header: Header, keyword: str) -> str | int | float | bool | None:
    """What a header says at ``keyword``; None where it says nothing or where the card cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = header.get(keyword)
    except (VerifyError, ValueError):
        return None
    return value if isinstance(value, str | int | float | bool) else None


@dataclass(frozen=True, slots=True, eq=False)
class Hdu:
    """One header and data unit of a FITS file.

    ``shape`` is in FITS order (NAXIS1 first) and, of a compressed image, that of the image itself. ``start`` is the
    place of the header in the file, ``data_start`` that of the data, both in bytes after unpacking. ``data`` are the
    bytes of the data without padding, kept only of small extensions that tell how the product was made.
    """

    number: int
    kind: HduKind
    header: Header
    shape: tuple[int, ...]
    start: int
    data_start: int
    data_size: int
    data: bytes | None = None

    @property
    def name(self) -> str:
        """EXTNAME, or PRIMARY for the first HDU that has none."""
        name = said(self.header, "EXTNAME")
        return (name.strip() if isinstance(name, str) else "") or ("" if self.number else "PRIMARY")

    @property
    def is_image(self) -> bool:
        """Whether there are pixels in it."""
        return self.kind in (HduKind.IMAGE, HduKind.COMPRESSED) and bool(self.shape) and 0 not in self.shape

    def __str__(self) -> str:
        return f"HDU {self.number} ({self.name})" if self.name else f"HDU {self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a scanner of one format found out.

    ``rows`` counts rows of a table, records of an Avro file and members of a tar file; ``columns`` are the names of
    a table's columns; ``schema`` is the text in which an Avro file describes its records.
    """

    format: Format
    hdus: tuple[Hdu, ...] = ()
    rows: int | None = None
    columns: tuple[str, ...] = ()
    schema: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """A file that is whole as far as its format shows; ``sha256`` and ``size`` are of the bytes as they came."""

    name: str
    contents: Contents
    packed: bool  # with gzip
    size: int
    sha256: str | None = None
    media_type: str = field(default="application/octet-stream")

    @property
    def format(self) -> Format:
        return self.contents.format

    @property
    def hdus(self) -> tuple[Hdu, ...]:
        return self.contents.hdus

    @property
    def headers(self) -> tuple[Header, ...]:
        """The headers of a FITS file, in order."""
        return tuple(hdu.header for hdu in self.contents.hdus)

    @property
    def rows(self) -> int | None:
        return self.contents.rows


class Scanner(ABC):
    """Reads one format as it passes by: every byte once, in order, in pieces of any size."""

    @abstractmethod
    def feed(self, data: memoryview) -> None:
        """The next bytes.

        Raises:
            UsageFault: they cannot be in a file of this format.
        """

    @abstractmethod
    def finish(self) -> Contents:
        """What was found.

        Raises:
            UsageFault: the file ends too early, or its own checks fail.
        """
