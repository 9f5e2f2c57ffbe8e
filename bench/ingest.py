"""Claim: files come in, flushed, at 0.7 of the rate of the disk itself; known ones are registered at 5,000 a second.

* ingest: files of 64 KiB through ``ingest`` (read once, hashed, inspected, copied, flushed, named, registered),
  beside the same bytes written by as many threads the plain safe way: write, fsync, rename, fsync of the folder, for
  each file. Both take turns in one run, in the same file system. Aim: 0.7 of that rate. The CPU of each is told too.
* manifest: files that lie in a store already and whose digests are known, metadata included, without reading them,
  on SQLite and on PostgreSQL. Aim on PostgreSQL: 5,000 a second, in transactions of at most 0.2 s.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from archive.backbone import gathering, manifests
from archive.backbone.endpoint import Endpoint
from archive.backbone.ingest import ingest
from archive.backbone.receiving import Terms
from archive.config import Config
from archive.ledger import Ledger, Site
from tests.postgres import postgres

SIZE = 64 << 10
FILES = 1000  # of each turn
TURNS = 4
THREADS = 16  # the store flushes so many files side by side
LISTED = 20_000
SITE = Site("archive.bench", "Bench", "bench@archive.bench")
HERE = Path(os.environ.get("BENCH_FOLDER") or tempfile.gettempdir())


@dataclass(slots=True)
class Spent:
    """Seconds by the clock and of the processor."""

    clock: float = 0.0
    cpu: float = 0.0

    def add(self, work: Callable[[], object]) -> None:
        clock, cpu = time.perf_counter(), time.process_time()
        work()
        self.clock += time.perf_counter() - clock
        self.cpu += time.process_time() - cpu


def endpoint(home: Path, database: str | None = None) -> Endpoint:
    """A new archive."""
    config = Config(home=home, database=database, reserve=0)
    Endpoint.create(config, SITE).close()
    return Endpoint(config, Ledger.open(config.ledger_url))


def plainly(source: Path, staging: Path, target: Path) -> None:
    """One file, the way that is safe and nothing else."""
    content = source.read_bytes()
    temporary = staging / source.name
    with temporary.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(target / source.name)
    handle = os.open(target, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def disk(sources: list[Path], folder: Path) -> None:
    """Many files at once."""
    staging, target = folder / "staging", folder / "target"
    staging.mkdir(parents=True)
    target.mkdir()
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(lambda source: plainly(source, staging, target), sources))


def files(folder: Path) -> None:
    """Ingest beside the disk, taking turns."""
    site = endpoint(folder / "home")
    ours, theirs = Spent(), Spent()
    for turn in range(TURNS + 1):
        place = folder / f"turn{turn}"
        place.mkdir()
        count = FILES if turn else FILES // 10  # the first one warms up
        sources = [place / f"{number:05d}.bin" for number in range(count)]
        for source in sources:
            source.write_bytes(os.urandom(SIZE))
        if turn == 0:
            ours, theirs = Spent(), Spent()
        terms = Terms("other", "dr1", f"turn{turn}")
        theirs_now, ours_now = Spent(), Spent()
        theirs_now.add(lambda sources=sources, turn=turn: disk(sources, folder / f"disk{turn}"))
        ours_now.add(lambda place=place, terms=terms: ingest(site, gathering.copied([place], terms)))
        if turn:
            for total, now in ((theirs, theirs_now), (ours, ours_now)):
                total.clock += now.clock
                total.cpu += now.cpu
    number = FILES * TURNS
    print(
        f"the disk by {THREADS} threads: {number / theirs.clock:>7,.0f} files/s, CPU {theirs.cpu / number * 1e6:.0f} us"
    )
    print(f"ingest:                {number / ours.clock:>7,.0f} files/s, CPU {ours.cpu / number * 1e6:.0f} us")
    print(f"ratio {theirs.clock / ours.clock:.2f} (aim 0.70)")
    site.close()


def manifest(path: Path, count: int) -> Path:
    """A list of files with the metadata of images."""
    with path.open("w") as lines:
        for number in range(count):
            told = {
                "path": f"night/{number:07d}.fits",
                "sha256": f"{number:064x}",
                "size": SIZE,
                "media_type": "application/fits",
                "type": "raw_image",
                "release": "dr1",
                "collection": "raw",
                "instrument": "LSSTCam",
                "detector": f"R22_S{number % 9}",
                "band": "ugrizy"[number % 6],
                "exposure": f"MC_O_{number // 9:08d}",
                "t_min": 60000.0 + number * 1e-4,
                "t_max": 60000.0 + number * 1e-4 + 3e-4,
                "ra": number * 0.37 % 360,
                "dec": number * 0.11 % 180 - 90,
                "metadata": {f"item{each}": {"value": each * 1.5, "from": "HDU 0"} for each in range(20)},
            }
            lines.write(json.dumps(told) + "\n")
    return path


def listed(folder: Path, name: str, database: str | None) -> None:
    """Registration of a manifest, without reading the files."""
    site = endpoint(folder / name, database)
    path = manifest(folder / f"{name}.jsonl", LISTED)
    spent = Spent()
    spent.add(lambda: manifests.register(site, path, read=False))
    print(f"manifest, {name}: {LISTED / spent.clock:,.0f} files/s, CPU here {spent.cpu / LISTED * 1e6:.0f} us a file")
    site.close()


def main() -> None:
    """Print a few lines for each part."""
    with tempfile.TemporaryDirectory(dir=HERE) as name:
        folder = Path(name)
        files(folder)
        listed(folder, "SQLite", None)
        with postgres() as url:
            listed(folder, "PostgreSQL", url)
    print("aim: 5,000 files/s on PostgreSQL")


if __name__ == "__main__":
    main()
