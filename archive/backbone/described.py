"""FITS and VOTable files as deliveries: tables that tell their own columns, read in pieces.

A FITS table is mapped and read some rows at a time, whatever its size. A VOTable is read whole, so its size is limited.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archive.intake import Measure, fits_pieces, read
from archive.intake.delivered import Delivered

_VOTABLE = Measure(rows=10_000_000, size=256 * 2**20)


def fits(path: Path, name: str, rows: int) -> Iterator[Delivered]:
    """The first table of a FITS file, packed with gzip or not, in pieces of at most ``rows`` rows."""
    with _unpacked(path) as plain:
        yield from fits_pieces(plain, name, rows)


def votable(path: Path, name: str, rows: int) -> Iterator[Delivered]:
    """The first table of a VOTable, packed with gzip or not.

    Raises:
        UsageFault: it is larger than can be read whole; as FITS or Parquet it may have any size.
    """
    _VOTABLE.check_size(path.stat().st_size, name)
    yield read(path.read_bytes(), name, _VOTABLE)


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if not packed:
        yield path
        return
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".unpacked-") as plain:
        with gzip.open(path, "rb") as source:
            shutil.copyfileobj(source, plain, 1 << 20)
        plain.flush()
        yield Path(plain.name)
