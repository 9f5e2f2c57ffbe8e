r"""Claim: results leave PostgreSQL nearly as fast as its own client can take them, from the first moment, in constant
memory.

All of Tycho-2 (star_id, ra, dec, vt_mag) lies in an archive on one PostgreSQL of this run's own. In each round, one
after the other, so that a busy machine slows all alike: ``psql \copy (...) to /dev/null with binary``; the rows as
plain Arrow; every format, first inside a process, then from ``archive serve`` to a client that reads and forgets. Told
are the speed in units of psql's (the best of all rounds, and the median of the rounds), the first byte, what the
process (driver and encoder) and the server's backend spend of the processor, and the peak of memory of a process that
sends all rows once and five times over. Aims: BINARY2 0.70, CSV and FITS 0.60, TABLEDATA and Parquet 0.40; first byte
within 100 ms.

``limit`` is what two cores could give at most: everything that is spent on a format, on both of them all the time.
"""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

import sqlalchemy as sa

from archive.config import Config
from archive.engine.opening import open_engine
from archive.ledger import Ledger
from archive.query import Question, answer
from archive.results import Result, encode, find
from bench.http import served
from tests.postgres import postgres

ALL = "SELECT star_id, ra, dec, vt_mag FROM ext_tycho2.star"
FORMATS = ("votable/b2", "csv", "fits", "votable/td", "parquet", "arrow")
ROUNDS = 5
MANY = 1_000_000_000
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Run:
    """What one transfer took, in seconds."""

    seconds: float
    first: float = 0.0
    own: float = 0.0  # processor time of this process
    backend: float = 0.0  # and of the server's

    @property
    def limit(self) -> float:
        """The least that two cores need for it."""
        return (self.own + self.backend) / 2


class Archive:
    """The archive in ``home`` on the database at ``url``, opened in this process."""

    def __init__(self, home: Path, url: str) -> None:
        self._url = sa.make_url(url)
        config = Config(home=home, database=url)
        self._ledger = Ledger.open(config.ledger_url)
        self._engine = open_engine(config)
        published = self._ledger.published()
        (edition,) = published.editions.values()
        names = (edition.physical[name] for name in ("star_id", "ra", "dec", "vt_mag"))
        self._copy = (
            f'\\copy (select {", ".join(names)} from archive_editions."{edition.place}") to /dev/null with binary'
        )
        self.rows = edition.rows

    def ask(self, query: str = ALL) -> Result:
        return answer(Question(query, maxrec=MANY), self._ledger, self._engine)

    def psql(self) -> Run:
        """PostgreSQL's own client copies the rows to nowhere."""
        place = ["-h", str(self._url.query["host"]), "-U", str(self._url.username), "-d", str(self._url.database)]
        began = time.perf_counter()
        subprocess.run(["psql", "-q", *place, "-c", self._copy], check=True)
        return Run(time.perf_counter() - began)

    def close(self) -> None:
        self._engine.close()
        self._ledger.close()


def timed(pieces: Callable[[], Iterator[object]]) -> Run:
    """All of ``pieces``, from the question on."""
    time.sleep(0.3)  # until psql's backend has ended and is not counted
    own, backend, began = time.process_time(), backends(), time.perf_counter()
    first = 0.0
    for _ in pieces():
        first = first or time.perf_counter() - began
    return Run(time.perf_counter() - began, first, time.process_time() - own, backends() - backend)


def backends() -> float:
    """Processor time of all processes that PostgreSQL has for clients, in seconds."""
    spent = 0
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and (folder / "cmdline").read_bytes().startswith(b"postgres: archive"):
                spent += sum(map(int, (folder / "stat").read_text().rpartition(")")[2].split()[11:13]))
        except OSError:  # it has just ended
            continue
    return spent / _TICKS


def received(port: int, name: str) -> Iterator[int]:
    """The answer over HTTP, piece by piece; the first is of the first rows."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    form = {"LANG": "ADQL", "QUERY": ALL, "MAXREC": MANY, "RESPONSEFORMAT": name}
    connection.request("POST", "/tap/sync", urlencode(form), {"Content-Type": "application/x-www-form-urlencoded"})
    response = connection.getresponse()
    if response.status != 200:
        raise SystemExit(f"{name} was answered with {response.status}")
    while piece := response.read1(1 << 18):
        yield len(piece)
    connection.close()


def peak(home: Path, url: str, name: str, times: int) -> float:
    """Most memory, in MB, of a process that sends the rows ``times`` over."""
    command = [sys.executable, "-m", "bench.stream", str(home), url, name, str(times)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def send(home: str, url: str, name: str, times: str) -> None:
    """The life of that process."""
    archive = Archive(Path(home), url)
    for _ in encode(archive.ask(" UNION ALL ".join([ALL] * int(times))), find(name)):
        pass
    # Not ``ru_maxrss``: that remembers the process which started this one.
    print(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1] + "e-3")  # type: ignore[index]
    archive.close()


def compare(archive: Archive, home: Path, url: str, port: int) -> None:
    """Print a line for each format."""
    ways: dict[str, Callable[[], Iterator[object]]] = {"plain Arrow": lambda: iter(archive.ask().batches)}
    for name in FORMATS:
        ways[name] = lambda name=name: encode(archive.ask(), find(name))  # type: ignore[misc]
    for name in FORMATS:
        ways[f"{name} HTTP"] = lambda name=name: received(port, name)  # type: ignore[misc]
    runs: dict[str, list[tuple[float, Run]]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, pieces in ways.items():
            beside = archive.psql().seconds
            runs[name].append((beside, timed(pieces)))
    psql = min(beside for measured in runs.values() for beside, _ in measured)
    print(f"psql: {archive.rows / psql:,.0f} rows/s at best")
    print(f"{'of psql:':16}{'best':>6}{'median':>8}{'limit':>7}{'first byte':>13}{'own':>8}{'backend':>9}", end="")
    print(f"{'peak':>9}{'5 x rows':>10}")
    for name, measured in runs.items():
        run = min((run for _, run in measured), key=lambda run: run.seconds)
        middle = median(beside / run.seconds for beside, run in measured)
        first = min(run.first for _, run in measured) * 1e3
        limit = psql / min(run.limit for _, run in measured)
        if name.endswith("HTTP"):
            print(f"{name:16}{psql / run.seconds:6.2f}{middle:8.2f}{'':7}{first:10.1f} ms", flush=True)
            continue
        told = f"{name:16}{psql / run.seconds:6.2f}{middle:8.2f}{limit:7.2f}{first:10.1f} ms"
        told += f"{run.own:6.2f} s{run.backend:7.2f} s"
        if name in FORMATS:
            told += "".join(f"{peak(home, url, name, times):{width}.0f} MB" for times, width in ((1, 6), (5, 7)))
        print(told, flush=True)


@contextmanager
def at_work(home: Path, url: str) -> Iterator[int]:
    """The archive on the database at ``url``, filled and served; its port."""
    os.environ["ARCHIVE_DATABASE"] = url
    try:
        with served(home) as server:
            yield server.port
    finally:
        del os.environ["ARCHIVE_DATABASE"]


def main() -> None:
    """Print the figures."""
    with postgres() as url, tempfile.TemporaryDirectory() as folder, at_work(Path(folder), url) as port:
        archive = Archive(Path(folder), url)
        compare(archive, Path(folder), url, port)
        archive.close()


if __name__ == "__main__":
    send(*sys.argv[1:]) if len(sys.argv) > 1 else main()
