"""Claim: results leave as fast as memory allows, from the first moment, in constant memory.

1.87 million stars of Tycho-2 (star_id, ra, dec, vt_mag) as each format, each in a process of its own: rows per
second, time to the first byte, and the peak of memory for all rows once and five times over. Beside it what the
same rows cost as plain Arrow, and astropy's VOTable writer on some of them. Aims: BINARY2 1 000 000 rows/s, CSV
600 000, TABLEDATA 300 000, first byte within 100 ms, memory that does not grow.
"""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

DATA = Path(os.environ.get("BENCH_DATA", "../shared/data")) / "catalogs" / "tycho2_stars.parquet"
SCAN = "plain Arrow scan"
ASTROPY = "astropy, BINARY2"
ASTROPY_ROWS = 20_000


def batches(times: int) -> Iterator[pa.RecordBatch]:
    """The stars, ``times`` over."""
    for _ in range(times):
        with pq.ParquetFile(DATA, pre_buffer=False) as file:
            yield from file.iter_batches(batch_size=65_536)


def astropy_rows() -> Iterator[bytes]:
    """A part of the stars as astropy writes them."""
    from astropy.io.votable import from_table
    from astropy.table import Table

    part = next(batches(1)).slice(0, ASTROPY_ROWS)
    table = Table({name: part[name].to_numpy() for name in part.schema.names})
    document = io.BytesIO()
    from_table(table).to_xml(document, tabledata_format="binary2")
    yield document.getvalue()


def encoded(name: str, times: int) -> Iterator[bytes]:
    """The stars as the format ``name``, by the code that serves them."""
    from archive.columns import Column, Datatype
    from archive.results import Result, encode, find

    columns = (
        Column("star_id", Datatype.INT, ucd="meta.id;meta.main", nullable=False),
        Column("ra", Datatype.DOUBLE, unit="deg", ucd="pos.eq.ra;meta.main", nullable=False),
        Column("dec", Datatype.DOUBLE, unit="deg", ucd="pos.eq.dec;meta.main", nullable=False),
        Column("vt_mag", Datatype.FLOAT, unit="mag", ucd="phot.mag;em.opt.V"),
    )
    return encode(Result(columns, batches(times)), find(name))


def measure(name: str, times: int) -> dict[str, float]:
    """What one run costs, in this process. Imports are not counted: a server has made them long before."""
    import archive.results  # noqa: F401

    pa.array(["the first list makes Arrow look for pandas"])
    rows = pq.read_metadata(DATA).num_rows * times
    sizes: list[int] = []
    start = time.perf_counter()
    first = 0.0
    match name:
        case str() if name == SCAN:
            body: Iterator[int] = (batch.nbytes for batch in batches(times))
        case str() if name == ASTROPY:
            body, rows = map(len, astropy_rows()), ASTROPY_ROWS
        case _:
            body = map(len, encoded(name, times))
    for size in body:
        first = first or time.perf_counter() - start
        sizes.append(size)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": rows, "seconds": seconds, "first": first, "bytes": sum(sizes), "peak": peak}


def in_child(name: str, times: int = 1) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.out", name, str(times)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def main() -> None:
    """Print the figures."""
    from archive.results import FORMATS

    print(f"{'':18}{'rows/s':>12}{'of scan':>9}{'MB/s':>7}{'first byte':>12}{'peak':>9}{'5 x rows':>10}")
    scan = 0.0
    for name in (SCAN, ASTROPY, *(each.name for each in FORMATS)):
        best = min((in_child(name) for _ in range(3)), key=lambda run: run["seconds"])
        speed = best["rows"] / best["seconds"]
        scan = scan or speed
        more = f"{in_child(name, 5)['peak']:6.0f} MB" if name != ASTROPY else ""
        print(
            f"{name:18}{speed:12,.0f}{speed / scan:9.3f}{best['bytes'] / best['seconds'] / 1e6:7.0f}"
            f"{best['first'] * 1e3:9.1f} ms{best['peak']:6.0f} MB{more:>10}",
            flush=True,
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
    else:
        main()
