"""Claim: an SIA 2.0 search over a million images takes less than 30 ms, to the whole VOTable, on both deployments.

A ledger of a million images (``BENCH_ROWS``) is filled directly. Each search is asked at other places and times, by one
client of one process; told are the median and the 90th percentile, and the CPU time of this process.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from werkzeug.test import Client

from archive.app import assemble
from archive.backbone.endpoint import Endpoint
from archive.ledger import site
from archive.serving import Serving
from bench._observed import FIRST, LAST, observed, uri
from tests.postgres import postgres

ROWS = int(os.environ.get("BENCH_ROWS", 1_000_000))
TIMES = int(os.environ.get("BENCH_TIMES", 40))


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        with observed(Path(folder) / "embedded", ROWS) as endpoint:
            print(f"embedded: {ROWS:,} images", flush=True)
            _ask(endpoint)
        with postgres() as url, observed(Path(folder) / "server", ROWS, url) as endpoint:
            print(f"postgresql: {ROWS:,} images", flush=True)
            _ask(endpoint)


def _ask(endpoint: Endpoint) -> None:
    client = Client(assemble(Serving(endpoint.config, endpoint.ledger, endpoint.engine)))
    random = np.random.default_rng(3)
    for name, search in SEARCHES.items():
        taken, spent, found = [], [], []
        for _ in range(TIMES + 3):
            asked = search(random)
            began, before = time.perf_counter(), time.process_time()
            answer = client.post("/sia2/query", data=asked | {"RESPONSEFORMAT": "votable/td"})
            taken.append(time.perf_counter() - began)
            spent.append(time.process_time() - before)
            assert answer.status_code == 200, answer.text
            found.append(answer.data.count(b"<TR>"))
        wall, cpu = (sorted(each[3:]) for each in (taken, spent))
        print(
            f"  {name:24} p50 {statistics.median(wall) * 1000:6.1f} ms, p90 {wall[int(0.9 * TIMES)] * 1000:6.1f} ms, "
            f"{statistics.median(cpu) * 1000:6.1f} ms of CPU here; {statistics.mean(found):.0f} images",
            flush=True,
        )


def _place(random: np.random.Generator) -> tuple[float, float]:
    return float(random.uniform(0, 360)), float(np.degrees(np.arcsin(random.uniform(-0.95, 0.95))))


def _circle(random: np.random.Generator) -> str:
    lon, lat = _place(random)
    return f"CIRCLE {lon} {lat} 0.1"


def _range(random: np.random.Generator) -> str:
    lon, lat = _place(random)
    return f"RANGE {lon} {(lon + 0.2) % 360} {lat} {lat + 0.2}"


def _polygon(random: np.random.Generator) -> str:
    lon, lat = _place(random)
    return f"POLYGON {lon} {lat} {(lon + 0.2) % 360} {lat} {lon} {lat + 0.2}"


def _time(random: np.random.Generator) -> str:
    night = float(random.uniform(FIRST, LAST))
    return f"{night} {night + 0.01}"


SEARCHES: dict[str, Callable[[np.random.Generator], dict[str, str]]] = {
    "POS circle": lambda r: {"POS": _circle(r)},
    "POS circle, BAND, DPTYPE": lambda r: {"POS": _circle(r), "BAND": "4.8e-7", "DPTYPE": "image"},
    "POS range": lambda r: {"POS": _range(r)},
    "POS polygon": lambda r: {"POS": _polygon(r)},
    "TIME": lambda r: {"TIME": _time(r)},
    "TIME, BAND": lambda r: {"TIME": _time(r), "BAND": "4.8e-7 4.9e-7"},
    "ID": lambda r: {"ID": site.publisher_did(uri(int(r.integers(1, ROWS))))},
    "MAXREC=0": lambda r: {"MAXREC": "0"},
}


if __name__ == "__main__":
    main()
