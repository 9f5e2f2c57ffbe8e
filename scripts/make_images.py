#!/usr/bin/env python3
"""Cuts the small images that tests read from those in $BENCH_DATA (default ../shared/data).

Pixels are taken as they are stored, headers too but for what a cut changes: NAXISn and CRPIXn. Run by
``make sample``; what it writes is committed.
"""

from __future__ import annotations

import os
from pathlib import Path

from astropy.io import fits

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "tests" / "data" / "images"

# First pixel and size of each cut, axis by axis, NAXIS1 first; pixels count from 1.
CUTS = {
    "gc_2mass_j": ((301, 100), (251, 100)),
    "gc_2mass_h": ((301, 100), (251, 100)),
    "gc_2mass_k": ((301, 100), (251, 100)),
    "gc_bolocam_gps": ((271, 100), (281, 100)),
    "spitzer_example_image": ((451, 100), (201, 100)),
    "M13_blue_0001": ((621, 140), (451, 140)),
    "l1448_13co": ((41, 16), (31, 16), (7, 40)),
}


def cut(image: fits.PrimaryHDU, ranges: tuple[tuple[int, int], ...]) -> fits.PrimaryHDU:
    """Part of an image, its header kept."""
    header = image.header.copy()
    for axis, (first, _) in enumerate(ranges, start=1):
        if f"CRPIX{axis}" in header:
            header[f"CRPIX{axis}"] -= first - 1
    place = tuple(slice(first - 1, first - 1 + size) for first, size in reversed(ranges))
    part = fits.PrimaryHDU(image.data[place], header, do_not_scale_image_data=True)
    for keyword in ("BSCALE", "BZERO"):
        if keyword in image.header:
            part.header[keyword] = image.header[keyword]
    return part


def main() -> None:
    """Write the cuts."""
    source = Path(os.environ.get("BENCH_DATA", ROOT.parent / "shared" / "data"), "images")
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, ranges in CUTS.items():
        path = TARGET / f"{name}.fits"
        with fits.open(source / f"{name}.fits", do_not_scale_image_data=True) as opened:
            cut(opened[0], ranges).writeto(path, overwrite=True, output_verify="silentfix")
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
