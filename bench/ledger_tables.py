"""Claim: tables over the ledger answer a selective query over a million rows in less than 300 ms, on both deployments.

A ledger of a million images (``BENCH_ROWS``) is filled directly. Then, on each deployment, medians of the whole way
from ADQL text to rows: by position and footprint, by time, by wavelength and time, by identifier, by name, and a join.
On the embedded one the same again with as many changes since the edition was made as are ever read beside it; how long
such an edition takes to be made anew; and how long a query takes that finds one more change each time.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from archive import inventory
from archive.backbone.endpoint import Endpoint
from archive.ledger import schema, site
from archive.ledger.inventory import MOST
from archive.query import Question
from archive.serving import Serving
from bench._observed import FIRST, LAST, observed, uri
from tests.postgres import postgres

ROWS = int(os.environ.get("BENCH_ROWS", 1_000_000))
TIMES = 15
SHOWN = "SELECT obs_publisher_did, access_url, s_region, t_min"


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with observed(Path(folder) / "embedded", ROWS) as endpoint:
            print(f"embedded: {ROWS:,} images, filled in {time.perf_counter() - began:.0f} s")
            serving = Serving(endpoint.config, endpoint.ledger, endpoint.engine)
            _ask(serving)
            _change(endpoint, MOST - TIMES)
            print(f"  with {MOST - TIMES:,} changes beside the edition")
            _ask(serving)
            _follow(endpoint, serving)
            began, spent = time.perf_counter(), time.process_time()
            inventory.compact(endpoint.ledger, endpoint.engine, endpoint.config.editions, 60)
            print(
                f"  editions made anew {time.perf_counter() - began:8.1f} s, {time.process_time() - spent:.1f} s of CPU"
            )
        with postgres() as url:
            began = time.perf_counter()
            with observed(Path(folder) / "server", ROWS, url) as endpoint:
                print(f"postgresql: filled in {time.perf_counter() - began:.0f} s")
                _ask(Serving(endpoint.config, endpoint.ledger, endpoint.engine))


def _ask(serving: Serving) -> None:
    random = np.random.default_rng(3)
    for name, query in QUERIES.items():
        taken, spent, found = [], [], 0
        for _ in range(TIMES + 2):
            text = query(random)
            began, before = time.perf_counter(), time.process_time()
            found = _rows(serving, text)
            taken.append(time.perf_counter() - began)
            spent.append(time.process_time() - before)
        middle, cpu = (statistics.median(each[2:]) * 1000 for each in (taken, spent))
        print(f"  {name:24} {middle:8.1f} ms, {cpu:6.1f} ms of this process' CPU; {found} rows")


def _rows(serving: Serving, text: str) -> int:
    result = serving.answer(Question(text))
    try:
        return sum(batch.num_rows for batch in result.batches)
    finally:
        result.close()


def _place(random: np.random.Generator) -> tuple[float, float]:
    return float(random.uniform(0, 360)), float(np.degrees(np.arcsin(random.uniform(-0.99, 0.99))))


def _circle(random: np.random.Generator, radius: float) -> str:
    lon, lat = _place(random)
    return f"CIRCLE({lon}, {lat}, {radius})"


def _by_time(random: np.random.Generator) -> str:
    night = float(random.uniform(FIRST, LAST))
    return f"t_max >= {night} AND t_min <= {night + 0.01}"


def _join(random: np.random.Generator) -> str:
    where = f"1 = CONTAINS(POINT(o.s_ra, o.s_dec), {_circle(random, 0.3)})"
    return (
        f"SELECT f.uri, o.t_min FROM ivoa.obscore AS o JOIN backbone.files AS f ON f.exposure = o.obs_id WHERE {where}"
    )


QUERIES: dict[str, Callable[[np.random.Generator], str]] = {
    "by position": lambda r: f"{SHOWN} FROM ivoa.obscore WHERE 1 = CONTAINS(POINT(s_ra, s_dec), {_circle(r, 0.3)})",
    "by footprint": lambda r: f"{SHOWN} FROM ivoa.obscore WHERE 1 = INTERSECTS(s_region, {_circle(r, 0.1)})",
    "by a point in footprints": lambda r: (
        f"{SHOWN} FROM ivoa.obscore WHERE 1 = CONTAINS(POINT({', '.join(map(str, _place(r)))}), s_region)"
    ),
    "by time": lambda r: f"{SHOWN} FROM ivoa.obscore WHERE {_by_time(r)}",
    "by time and wavelength": lambda r: (
        f"{SHOWN} FROM ivoa.obscore WHERE {_by_time(r)} AND em_min <= 4.8e-7 AND em_max >= 4.8e-7"
    ),
    "by identifier": lambda r: (
        f"{SHOWN} FROM ivoa.obscore WHERE obs_publisher_did = '{site.publisher_did(uri(int(r.integers(1, ROWS))))}'"
    ),
    "by identifier, any case": lambda r: (
        f"{SHOWN} FROM ivoa.obscore"
        f" WHERE LOWER(obs_publisher_did) = '{site.publisher_did(uri(int(r.integers(1, ROWS)))).lower()}'"
    ),
    "file by name": lambda r: f"SELECT * FROM backbone.files WHERE uri = '{uri(int(r.integers(1, ROWS)))}'",
    "files by time": lambda r: f"SELECT uri, t_min FROM backbone.files WHERE {_by_time(r)}",
    "files of images near": _join,
    "how many": lambda r: "SELECT COUNT(*) AS n FROM ivoa.obscore",
}


def _change(endpoint: Endpoint, count: int) -> None:
    """Retract that many files, the last ones."""
    table = schema.artifact
    with endpoint.ledger.write() as transaction:
        transaction.execute(table.update().where(table.c.id > ROWS - count).values(retracted="2026-11-24"))


def _follow(endpoint: Endpoint, serving: Serving) -> None:
    """Change one file, and ask."""
    table, taken = schema.artifact, []
    for number in range(1, TIMES):
        with endpoint.ledger.write() as transaction:
            transaction.execute(table.update().where(table.c.id == number).values(retracted="2026-11-24"))
        began = time.perf_counter()
        _rows(serving, f"SELECT * FROM backbone.files WHERE uri = '{uri(number)}'")
        taken.append(time.perf_counter() - began)
    print(f"  after one more change    {statistics.median(taken) * 1000:8.1f} ms")


if __name__ == "__main__":
    main()
