"""Claim: a service does not slow down as releases grow: from 1 to 12 releases of 1 000 columns each, start-up, small
queries, TAP_SCHEMA of one table and the list of tables stay within 20 %; and a query in old names costs at most 1.1
times the same query in new names.

Each release has four tables of 250 columns and a row in each, in an archive of its own that ``archive serve`` serves
with its usual settings. The old names are those of a sample whose columns were renamed and put into other units.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from archive.backbone import catalogs, publish
from archive.backbone.endpoint import Endpoint
from archive.config import Config
from archive.ledger import Site
from archive.query import Question, answer
from archive.releases import read_release

ROOT = Path(__file__).resolve().parent.parent
TABLES, COLUMNS = 4, 250
SITE = Site("bench.example", "Bench", "bench@bench.example")
HISTORY = """
versions:
  - version: 2
    tables:
      star:
        rename: {star_id: id}
        express:
          - {name: vt_mmag, datatype: double, ivoa:unit: mmag, as: vt_mag * 1000, replaces: [vt_mag], description: d.}
"""
OLD = "SELECT star_id, vt_mag FROM dr1.star WHERE DISTANCE(ra, dec, 80, -5) < 10 AND vt_mag < 6"
NEW = "SELECT id, vt_mmag / 1000 AS m FROM dr1.star WHERE DISTANCE(ra, dec, 80, -5) < 10 AND vt_mmag < 6000"


def described(name: str, block: int, folder: Path) -> None:
    """A release of 1 000 columns."""
    lines = [f"name: {name}", f'"@id": "#{name}"', "description: Wide.", 'version: "1"', "tables:"]
    for table in range(TABLES):
        lines += [f"  - name: t{table}", f'    "@id": "#t{table}"', "    description: A table.", "    columns:"]
        for column in range(COLUMNS):
            lines += [f"      - name: c{column}", f'        "@id": "#t{table}.c{column}"', "        datatype: double"]
            lines += ["        ivoa:unit: mag", "        ivoa:ucd: phot.mag", "        description: A magnitude."]
    (folder / f"{name}.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    facts = f"schema: {name}\nkind: release\nid_block: {block}\ntables: {{}}\n"
    (folder / f"{name}.archive.yaml").write_text(facts, encoding="utf-8")


def archive(home: Path, releases: int) -> None:
    """An archive with so many releases, published."""
    folder = home / "schema"
    folder.mkdir(parents=True)
    rows = pa.table({f"c{column}": [1.5] for column in range(COLUMNS)})
    pq.write_table(rows, home / "row.parquet")
    with Endpoint.create(Config(home=home), SITE) as endpoint:
        for number in range(1, releases + 1):
            described(f"r{number}", number, folder)
            for table in range(TABLES):
                catalogs.load(endpoint, f"r{number}", f"t{table}", [home / "row.parquet"])
            publish.publish(endpoint, f"r{number}")


def timed(work: Callable[[], object], repeats: int) -> float:
    """Median milliseconds."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return median(times) * 1000


@contextmanager
def serving(home: Path) -> Iterator[int]:
    """``archive serve`` until the block is left; gives its port once it answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [str(Path(sys.executable).parent / "archive"), "--home", str(home), "serve", "--port", str(port)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ARCHIVE_")}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean)
    try:
        while not _answers(port):
            time.sleep(0.01)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/tap/availability")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def measured(releases: int) -> Iterator[tuple[str, float]]:
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        archive(home, releases)
        begun = time.perf_counter()
        with serving(home) as port:
            yield "start-up", (time.perf_counter() - begun) * 1000
            connection = http.client.HTTPConnection("127.0.0.1", port)

            def got(path: str) -> None:
                connection.request("GET", path)
                answered = connection.getresponse()
                answered.read()
                assert answered.status == 200, path

            sync = "/tap/sync?REQUEST=doQuery&LANG=ADQL&QUERY="
            columns = "SELECT column_name, unit FROM TAP_SCHEMA.columns WHERE table_name = 'r1.t1'"
            for name, path in {
                "a small query": sync + quote("SELECT TOP 1 c1, c7 FROM r1.t1 WHERE c3 > 1"),
                "columns of one table": sync + quote(columns),
                "tables, the least": "/tap/tables?detail=min",
                "one table": "/tap/tables/r1.t1",
            }.items():
                timed(partial(got, path), 20)
                yield name, timed(partial(got, path), 100)


def adapted() -> None:
    """Old names beside new ones."""
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        (home / "schema").mkdir()
        shutil.copy(ROOT / "schema" / "dr1.yaml", home / "schema")
        facts = (ROOT / "schema" / "dr1.archive.yaml").read_text(encoding="utf-8").partition("\nversions:")[0]
        (home / "schema" / "dr1.archive.yaml").write_text(facts + HISTORY, encoding="utf-8")
        read_release(home / "schema" / "dr1.yaml")
        with Endpoint.create(Config(home=home), SITE) as endpoint:
            for table in ("field", "star"):
                sample = ROOT / "tests" / "data" / "sample" / f"dr1.{table}.parquet"
                catalogs.load(endpoint, "dr1", table, [sample])
            publish.publish(endpoint, "dr1")

            def asked(query: str) -> None:
                result = answer(Question(query), endpoint.ledger, endpoint.engine)
                for _ in result.batches:
                    pass
                result.close()

            pairs = [(timed(partial(asked, OLD), 20), timed(partial(asked, NEW), 20)) for _ in range(20)]
    old, new = (median(side) for side in zip(*pairs, strict=True))
    print(f"a cone in old names {old:.2f} ms, in new ones {new:.2f} ms, ratio {old / new:.2f} (aim 1.1)")


def main() -> None:
    """Print the figures."""
    one, twelve = dict(measured(1)), dict(measured(12))
    for name, first in one.items():
        ratio = twelve[name] / first
        print(f"{name:22} 1 release {first:8.1f} ms, 12 releases {twelve[name]:8.1f} ms, ratio {ratio:.2f} (aim 1.2)")
    adapted()


if __name__ == "__main__":
    main()
