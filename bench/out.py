"""Claim: results leave as fast as memory allows, from the first moment, in constant memory, however many they are.

All stars of Tycho-2 (star_id, ra, dec, vt_mag), and 10 million made of shifted copies, as each format: rows per second
beside what the engine's own Arrow scan gives and beside astropy's VOTable writer; the time to the first byte; the peak
of memory. First inside a process (each run in one of its own), then from `archive serve` to a client. Aims: first byte
within 100 ms and a peak below 250 MB, both for 10 million rows as for fewer; BINARY2 1 000 000 rows/s, CSV 600 000,
TABLEDATA 300 000.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

DATA = Path(os.environ.get("BENCH_DATA", "../shared/data")) / "catalogs" / "tycho2_stars.parquet"
QUERY = "SELECT star_id, ra, dec, vt_mag FROM ext_tycho2.star"
SCAN = "engine's own scan"
ASTROPY = "astropy, BINARY2"
ASTROPY_ROWS = 20_000
MANY = 10_000_000
MEMORY = "32MB"  # for the engine, which keeps what it has read for as long as there is room: here there is none
IDLE = "before the first row"


@dataclass(frozen=True, slots=True)
class Run:
    """What one answer cost: seconds in all and to the first byte, bytes out, and the peak of memory in MB."""

    rows: int
    seconds: float
    first: float
    bytes: int
    peak: float

    @property
    def speed(self) -> float:
        return self.rows / self.seconds


def grown(rows: int) -> pa.Table:
    """So many stars: those of Tycho-2, and copies of them elsewhere on the sky with numbers of their own."""
    stars = pq.read_table(DATA, columns=["star_id", "ra", "dec", "vt_mag"])
    copies = []
    for copy in range(-(-rows // len(stars))):
        turned = pc.add(stars["ra"], 0.618 * copy)
        turned = pc.if_else(pc.greater_equal(turned, 360.0), pc.subtract(turned, 360.0), turned)
        numbers = pc.add(stars["star_id"], pa.scalar(copy * len(stars), stars["star_id"].type))
        moved = stars.set_column(0, "star_id", numbers).set_column(1, "ra", turned)
        copies.append(moved)
    return pa.concat_tables(copies).slice(0, rows)


def peak(process: int | str) -> float:
    """The most memory that a process has had since it began as the program it is, in MB.

    ``getrusage`` would count what the process was before: a copy of the one that started it.
    """
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


# --- inside a process -----------------------------------------------------------------------------


def astropy_rows() -> Iterator[int]:
    """The sizes of pieces of a VOTable of some of the stars, as astropy writes it."""
    from astropy.io.votable import from_table
    from astropy.table import Table

    part = grown(ASTROPY_ROWS)
    table = Table({name: part[name].to_numpy() for name in part.schema.names})
    document = io.BytesIO()
    from_table(table).to_xml(document, tabledata_format="binary2")
    yield len(document.getvalue())


def answered(home: Path, name: str) -> Iterator[int]:
    """The sizes of the pieces of the answer in the format ``name``, by the code that serves them."""
    from archive.config import Config
    from archive.engine.opening import open_engine
    from archive.ledger import Ledger
    from archive.query import Question
    from archive.results import encode, find
    from archive.serving import Serving

    config = Config.load({"ARCHIVE_MEMORY": MEMORY}, home=home)
    serving = Serving(config, Ledger.open(config.ledger_url), open_engine(config))
    with closing(serving.answer(Question("SELECT COUNT(ra) AS n FROM ext_tycho2.star", asker="bench"))) as warm:
        yield sum(batch.num_rows for batch in warm.batches)  # a server has answered before
    if name == IDLE:
        return
    result = serving.answer(Question(QUERY, asker="bench"))
    pieces: Iterable[int]
    pieces = (batch.nbytes for batch in result.batches) if name == SCAN else map(len, encode(result, find(name)))
    yield from pieces
    result.close()


def measure(home: Path, name: str, rows: int) -> Run:
    """What one run costs, in this process. What a server does before it is asked is not counted."""
    pieces = astropy_rows() if name == ASTROPY else answered(home, name)
    if name != ASTROPY:
        next(pieces)
    start = time.perf_counter()
    size = next(pieces, 0)
    first = time.perf_counter() - start
    size += sum(pieces)
    seconds = time.perf_counter() - start
    return Run(ASTROPY_ROWS if name == ASTROPY else rows, seconds, first, size, peak("self"))


def in_child(home: Path, name: str, rows: int) -> Run:
    command = [*_python("from bench.out import child; child()"), str(home), name, str(rows)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Run(**json.loads(told))


def child() -> None:
    """What ``in_child`` runs: one measurement, printed."""
    home, name, rows = sys.argv[1:]
    print(json.dumps(asdict(measure(Path(home), name, int(rows)))), flush=True)
    os._exit(0)  # what libraries say as they are torn down is of no interest


def _python(code: str) -> list[str]:
    """The command that runs ``code`` in a process as it is where the archive is installed."""
    return [sys.executable, "-c", f"import bench._installed; {code}"]


# --- over HTTP ------------------------------------------------------------------------------------


@contextmanager
def served(home: Path) -> Iterator[tuple[int, int]]:
    """The port of a server with one worker, and the worker's process number."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    options = ["--port", str(port), "--workers", "1", "--no-work"]
    command = [*_python("from archive.cli import main; main()"), "--home", str(home), "serve", *options]
    environment = os.environ | {"ARCHIVE_MEMORY": MEMORY}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if answers(port):
                break
            time.sleep(0.1)
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        yield port, int(children[0])
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def answers(port: int) -> bool:
    try:
        return fetched(port, "csv", "SELECT TOP 1 ra FROM ext_tycho2.star")[2] > 0
    except OSError:
        return False


def fetched(port: int, name: str, query: str) -> tuple[float, float, int]:
    """Seconds to the first byte of the body and to the last, and how many bytes there are."""
    body = urlencode({"LANG": "ADQL", "QUERY": query, "FORMAT": name, "MAXREC": 10 * MANY})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    start = time.perf_counter()
    connection.request("POST", "/tap/sync", body, {"Content-Type": "application/x-www-form-urlencoded"})
    response = connection.getresponse()
    size = len(response.read(1))
    first = time.perf_counter() - start
    while piece := response.read1(1 << 18):
        size += len(piece)
    if response.status != 200:
        raise SystemExit(f"{name} answered {response.status}")
    return first, time.perf_counter() - start, size


def over_http(home: Path, name: str, rows: int) -> Run:
    """One answer of a server started for it."""
    with served(home) as (port, worker):
        fetched(port, "csv", "SELECT COUNT(ra) AS n FROM ext_tycho2.star")  # a server has answered before
        first, seconds, size = fetched(port, name, QUERY)
        return Run(rows, seconds, first, size, peak(worker))


# --- the claim ------------------------------------------------------------------------------------


def built(folder: Path, rows: int) -> Path:
    """The home of an archive that publishes so many stars."""
    home, delivery = folder / f"archive-{rows}", folder / f"stars-{rows}.parquet"
    pq.write_table(grown(rows), delivery)
    archive = [sys.executable, "-m", "archive.cli", "--home", str(home)]
    for verb in (
        ("init", "--authority", "bench.test", "--publisher", "Bench", "--contact", "bench@bench.test"),
        ("load", "ext_tycho2", "star", str(delivery)),
        ("publish", "ext_tycho2"),
    ):
        subprocess.run([*archive, *verb], check=True, stdout=subprocess.DEVNULL)
    delivery.unlink()
    return home


def main(wanted: list[str]) -> None:
    """Print the figures; of all formats, or of those ``wanted``."""
    from archive.results import FORMATS

    names = wanted or [IDLE, SCAN, ASTROPY, *(each.name for each in FORMATS)]
    few = pq.read_metadata(DATA).num_rows
    with tempfile.TemporaryDirectory() as folder:
        homes = {rows: built(Path(folder), rows) for rows in (few, MANY)}
        for where, run in (("inside a process", in_child), ("over HTTP", over_http)):
            print(f"\n{where:18}" + "".join(f"{f'{rows:,} rows':>44}" for rows in homes))
            print(" " * 18 + f"{'rows/s':>12}{'of scan':>9}{'first byte':>13}{'peak':>10}" * 2)
            scans: dict[int, float] = {}
            for name in names if run is in_child else [each for each in names if each not in (IDLE, SCAN, ASTROPY)]:
                line = f"{name:18}"
                for rows, home in homes.items():
                    if name == ASTROPY and rows == MANY:
                        continue
                    best = max((run(home, name, rows) for _ in range(2)), key=lambda each: each.speed)
                    if name == SCAN:
                        scans[rows] = best.speed
                    share = f"{best.speed / scans[rows]:9.3f}" if rows in scans and run is in_child else f"{'':9}"
                    line += f"{best.speed:12,.0f}{share}{best.first * 1e3:10.1f} ms{best.peak:7.0f} MB"
                print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
