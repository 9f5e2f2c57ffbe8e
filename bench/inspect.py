"""Claim: a file is inspected while it is hashed, at little more than the cost of hashing it alone.

A large FITS image without and with CHECKSUM, one packed with gzip, and many small exposures pass through ``Inspection``
and sha256 in pieces of 1 MiB; beside it sha256 of the same pieces. Seconds are those of the processor, so that what
else the machine does counts little. Last, what the examination of a header costs.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from astropy.io import fits

from archive.backbone.examination import examine
from archive.backbone.inspection import Inspection
from archive.products import product_types
from archive.releases import shipped

PIECE = 1 << 20
TURNS = 5


def image(megabytes: int, *, checksum: bool, compressed: bool = False) -> bytes:
    """A FITS file of about this size."""
    side = int((megabytes * 2**20 / 2) ** 0.5)
    pixels = np.random.default_rng(1).normal(1000, 30, (side, side)).astype(np.int16)
    kind = fits.CompImageHDU(pixels) if compressed else fits.ImageHDU(pixels)
    stream = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), kind]).writeto(stream, checksum=checksum)
    return stream.getvalue()


def exposure() -> bytes:
    """A small raw exposure, 64 KiB."""
    header = fits.Header({"OBSID": "1", "INSTRUME": "X", "EXPTIME": 30.0, "IMGTYPE": "OBJECT"})
    header["DATE-BEG"] = "2026-03-01T04:05:06"
    stream = io.BytesIO()
    fits.PrimaryHDU(np.ones((180, 170), np.int16), header).writeto(stream, checksum=True)
    return stream.getvalue()


def pieces(content: bytes) -> list[memoryview]:
    """``content`` as it is read from a file."""
    view = memoryview(content)
    return [view[start : start + PIECE] for start in range(0, len(view), PIECE)]


def hashing(parts: list[memoryview]) -> None:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    digest.hexdigest()


def inspecting(parts: list[memoryview]) -> None:
    inspection = Inspection("file")
    for part in parts:
        inspection.feed(part)
    inspection.finish()


def cost(work: Callable[[Any], object], on: Any, times: int = 1) -> float:
    """Seconds of the processor that ``times`` times the work takes, the least of some turns."""
    spent = []
    for _ in range(TURNS):
        begin = time.process_time()
        for _ in range(times):
            work(on)
        spent.append(time.process_time() - begin)
    return min(spent)


def compare(what: str, content: bytes, times: int = 1) -> None:
    """Print one line."""
    parts = pieces(content)
    both, alone = cost(inspecting, parts, times), cost(hashing, parts, times)
    size = len(content) * times / 1e6
    print(
        f"{what:<34} {size / both:>7,.0f} MB/s inspected and hashed, {size / alone:>7,.0f} MB/s hashed alone, "
        f"ratio {alone / both:.2f} ({times / both:,.0f} files/s)"
    )


def main() -> None:
    """Print one line for each kind of file."""
    plain, summed = image(128, checksum=False), image(128, checksum=True)
    compare("FITS, 128 MB, no checksum", plain)
    compare("FITS, 128 MB, CHECKSUM and DATASUM", summed)
    compare("FITS, 32 MB, tiles compressed", image(32, checksum=True, compressed=True))
    compare("FITS, 32 MB, packed with gzip", gzip.compress(image(32, checksum=True), 1))
    compare("FITS, 64 KiB each", exposure(), times=200)
    kind = product_types([shipped()])["raw_image"]
    inspection = Inspection("file")
    inspection.feed(exposure())
    found = inspection.finish()
    spent = cost(lambda file: examine(kind, file, nulls={"*": "not recorded"}, release="dr1", collection="b"), found)
    print(f"examination of the header of a small raw exposure: {spent * 1e3:.1f} ms")
    print("aim: large files at 0.9 of hashing alone, those with checksums at 0.75")


if __name__ == "__main__":
    main()
