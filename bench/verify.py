"""Claim: a deep check of stored files reads at 0.8 of the rate of ``sha256sum``, or faster.

Large files (8 MiB) and small ones (64 KiB) that lie in a store are verified with so many threads, beside
``xargs -P`` with as many processes of ``sha256sum`` over the same files. The two take turns; all lies in memory, so
that the work is measured and not the disk. What sha256sum does not do is in it: the listing of the store, the ledger,
the comparison, and that everything checked is noted. Seconds of the clock and of all processors are told.
"""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from archive.backbone import gathering
from archive.backbone.endpoint import Endpoint
from archive.backbone.ingest import ingest
from archive.backbone.receiving import Terms
from archive.backbone.verification import verify as verifying
from archive.backbone.verification.patience import Patience
from archive.config import Config
from archive.ledger import Ledger, Site

TURNS = 5
KINDS = {"large": (48, 8 << 20), "small": (3000, 64 << 10)}  # files, and the bytes of each
SITE = Site("archive.bench", "Bench", "bench@archive.bench")


@dataclass(slots=True)
class Spent:
    """The least seconds of all turns: by the clock, and of all processors."""

    clock: float = float("inf")
    cpu: float = float("inf")

    def turn(self, work: Callable[[], object]) -> None:
        clock, cpu = time.perf_counter(), _cpu()
        work()
        self.clock = min(self.clock, time.perf_counter() - clock)
        self.cpu = min(self.cpu, _cpu() - cpu)


def _cpu() -> float:
    """Seconds of the processors that this process and its children used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def filled(folder: Path, count: int, size: int) -> Endpoint:
    """An archive with so many files of random bytes."""
    config = Config(home=folder / "home", reserve=0)
    Endpoint.create(config, SITE).close()
    endpoint = Endpoint(config, Ledger.open(config.ledger_url))
    night = folder / "night"
    night.mkdir()
    for number in range(count):
        (night / f"{number:05d}").write_bytes(os.urandom(size))
    ingest(endpoint, gathering.copied([night], Terms("other", "dr1", "bench")))
    return endpoint


def verified(endpoint: Endpoint, threads: int) -> None:
    terms = verifying.Terms(deep=True, threads=threads)
    (report,) = verifying.verify(endpoint, terms, patient=Patience(lambda: 0.0))
    assert report.failed == 0


def summed(store: Path, names: Path, threads: int) -> None:
    """``sha256sum`` over all files, several processes at once, each with its share of the names."""
    with names.open("rb") as listed:
        share = -(-len(names.read_bytes().split(b"\0")) // threads)
        command = ["xargs", "-0", "-P", str(threads), "-n", str(min(share, 500)), "sha256sum"]
        subprocess.run(command, cwd=store, stdin=listed, stdout=subprocess.DEVNULL, check=True)


def measure(name: str, threads: int) -> None:
    count, size = KINDS[name]
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as made:
        folder = Path(made)
        with filled(folder, count, size) as endpoint:
            names = folder / "names"
            names.write_bytes(b"\0".join(path.encode() for path in endpoint.store.paths()))
            ours, theirs = Spent(), Spent()
            for _ in range(TURNS):
                ours.turn(lambda: verified(endpoint, threads))
                theirs.turn(lambda: summed(endpoint.config.store, names, threads))
    megabytes = count * size / 1e6
    print(
        f"{name} files, {threads} at once: verify {megabytes / ours.clock:,.0f} MB/s, sha256sum "
        f"{megabytes / theirs.clock:,.0f} MB/s, ratio {theirs.clock / ours.clock:.2f}; by processor seconds "
        f"{theirs.cpu / ours.cpu:.2f}"
    )


def main() -> None:
    for name in KINDS:
        for threads in sorted({1, len(os.sched_getaffinity(0))}):
            measure(name, threads)


if __name__ == "__main__":
    main()
