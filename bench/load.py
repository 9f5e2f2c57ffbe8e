"""Claim: a catalog is loaded and published at 300 000 rows a second, in memory that does not grow with it.

Tycho-2 (1.87 million stars) goes through ``archive load`` and ``archive publish`` as an operator does it: hashed,
checked, kept byte for byte, sorted by place on the sky, written as parts, built as an edition, all flushed to disk.
The same with a quarter of it, and four times over with other ids, tells how memory grows. Beside it, what DuckDB
needs by hand to read the same file, sort it by an ordinary column and keep it as a table: no checks, no copy of the
delivery, no parts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

DATA = Path(os.environ.get("BENCH_DATA", "../shared/data")) / "catalogs" / "tycho2_stars.parquet"
ARCHIVE = str(Path(sys.executable).parent / "archive")
SITE = ("--authority", "archive.bench", "--publisher", "Bench", "--contact", "bench@archive.bench")


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and the largest resident memory of the process in MB."""

    seconds: float
    megabytes: float


def run(home: Path, *arguments: str) -> Cost:
    """``archive ARGUMENT...`` in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ARCHIVE_")}
    begin = time.perf_counter()
    process = subprocess.Popen(
        [ARCHIVE, *arguments], env=environment | {"ARCHIVE_HOME": str(home)}, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"archive {' '.join(arguments)} failed")
    return Cost(time.perf_counter() - begin, usage.ru_maxrss / 1024)


def by_hand(source: Path, target: Path) -> float:
    """Seconds DuckDB needs to read, sort and keep the file."""
    begin = time.perf_counter()
    with duckdb.connect(str(target)) as connection:
        connection.sql(
            "create table star as select * from read_parquet($file) order by ra", params={"file": str(source)}
        )
    return time.perf_counter() - begin


def catalog(folder: Path, stars: pa.Table, name: str, times: int) -> Path:
    """``stars`` as a file, ``times`` over, each time with other ids."""
    path = folder / f"{name}.parquet"
    with pq.ParquetWriter(path, stars.schema) as writer:
        for turn in range(times):
            ids = pa.array(stars["star_id"].to_numpy() + turn * 10_000_000, pa.int32())
            writer.write_table(stars.set_column(0, "star_id", ids))
    return path


def measure(folder: Path, source: Path) -> None:
    """Load and publish one file in a fresh archive and print what it cost."""
    home = folder / f"home-{source.stem}"
    rows = pq.ParquetFile(source).metadata.num_rows
    run(home, "init", *SITE)
    load = run(home, "load", "ext_tycho2", "star", str(source))
    publish = run(home, "publish", "ext_tycho2")
    hand = by_hand(source, folder / f"{source.stem}.duckdb")
    spent = load.seconds + publish.seconds
    print(
        f"{rows:>10,} rows: {rows / spent:>9,.0f} rows/s (load {load.seconds:.1f} s, {load.megabytes:.0f} MB; "
        f"publish {publish.seconds:.1f} s, {publish.megabytes:.0f} MB); DuckDB by hand {hand:.1f} s, "
        f"ratio {spent / hand:.1f}"
    )


def main() -> None:
    """Print one line for each size."""
    stars = pq.read_table(DATA)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for source in (
            catalog(folder, stars.slice(0, len(stars) // 4), "quarter", 1),
            catalog(folder, stars, "whole", 1),
            catalog(folder, stars, "fourfold", 4),
        ):
            measure(folder, source)
    print("aim: 300,000 rows/s for the whole; memory about the same in every line")


if __name__ == "__main__":
    main()
