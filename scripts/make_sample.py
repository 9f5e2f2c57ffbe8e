#!/usr/bin/env python3
"""Makes the sample that ships with the repository from the star catalog in $BENCH_DATA (default ../shared/data).

Takes the brightest stars as they stand there; ``field_id`` and the table of fields are computed from them. Run by
``make sample``; what it writes, one file ``SCHEMA.TABLE.parquet`` for each table, is committed.
"""

from __future__ import annotations

import os
from pathlib import Path

import cdshealpix.nested
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from astropy import units as u
from astropy.coordinates import Latitude, Longitude

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "tests" / "data" / "sample"
EXTERNAL_STARS = 10_000
RELEASE_STARS = 5_000
ORDER = 2  # of the HEALPix grid on which dr1 counts its stars: 192 fields


def with_fields(stars: pa.Table) -> pa.Table:
    """``dr1.star``: the stars and the field each lies in."""
    cells = cdshealpix.nested.lonlat_to_healpix(
        Longitude(stars["ra"].to_numpy(), u.deg), Latitude(stars["dec"].to_numpy(), u.deg), ORDER
    )
    return stars.append_column("field_id", pa.array(cells.astype(np.int16)))


def fields(stars: pa.Table) -> pa.Table:
    """``dr1.field``: each field's centre, how many of ``stars`` lie in it and which is the brightest."""
    ids = np.arange(12 * 4**ORDER)
    lon, lat = cdshealpix.nested.healpix_to_lonlat(ids, ORDER)
    rows = []
    for number in ids.tolist():
        inside = stars.filter(pc.equal(stars["field_id"], number)).sort_by("star_id")
        brightest = inside.slice(0, 1).to_pylist() or [{"star_id": None, "vt_mag": None}]
        rows.append((inside.num_rows, brightest[0]["star_id"], brightest[0]["vt_mag"]))
    count, brightest_id, brightest_mag = zip(*rows, strict=True)
    return pa.table(
        {
            "field_id": pa.array(ids, pa.int16()),
            "ra": np.round(lon.deg, 6),
            "dec": np.round(lat.deg, 6),
            "stars": pa.array(count, pa.int32()),
            "brightest_id": pa.array(brightest_id, pa.int32()),
            "brightest_mag": pa.array(brightest_mag, pa.float32()),
        }
    )


def main() -> None:
    """Write the sample files; the catalog is sorted by magnitude, so its head is the brightest."""
    source = Path(os.environ.get("BENCH_DATA", ROOT.parent / "shared" / "data"), "catalogs", "tycho2_stars.parquet")
    stars = pq.ParquetFile(source).read_row_group(0).slice(0, EXTERNAL_STARS)
    release = with_fields(stars.slice(0, RELEASE_STARS))
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, table in {"ext_tycho2.star": stars, "dr1.star": release, "dr1.field": fields(release)}.items():
        path = TARGET / f"{name}.parquet"
        pq.write_table(table, path, compression="zstd", compression_level=19)
        print(f"{path.relative_to(ROOT)}: {table.num_rows} rows, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
