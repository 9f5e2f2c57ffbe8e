#!/usr/bin/env python3
"""Makes the sample that ships with the repository from the star catalog in $BENCH_DATA (default ../shared/data).

Takes the brightest stars as they stand there and adds nothing; run by ``make sample``, whose result is committed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
STARS = 10_000


def main() -> None:
    """Write the sample file; the catalog is sorted by magnitude, so its head is the brightest."""
    source = Path(os.environ.get("BENCH_DATA", ROOT.parent / "shared" / "data"), "catalogs", "tycho2_stars.parquet")
    target = ROOT / "tests" / "data" / "tycho2_brightest.parquet"
    stars = pq.ParquetFile(source).read_row_group(0).slice(0, STARS)
    pq.write_table(stars, target, compression="zstd", compression_level=19)
    print(f"{target.relative_to(ROOT)}: {stars.num_rows} stars, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
