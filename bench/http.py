"""Claim: a small query is answered over HTTP within 8 ms (median), and many clients share the server fairly: 100 at
once get 400 cones a second, 95 % of them within 0.5 s, and at least half as many while two scans run.

All of Tycho-2 is loaded, published and served by ``archive serve`` with its usual settings. Measured over kept
connections: what a request costs that does nothing, ``SELECT TOP 1`` from the catalog and from TAP_SCHEMA, a cone
of 0.1 degrees; then the cone from 16 and from 100 clients at once, and from 100 while two synchronous queries of
over 30 s each compute. The clients share the machine with the server.
"""

from __future__ import annotations

import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlencode

DATA = Path(os.environ.get("BENCH_DATA", "../shared/data")) / "catalogs" / "tycho2_stars.parquet"
ALONE = 300  # requests of one client
TOGETHER = 20  # requests of each of many
AIM = 8.0  # milliseconds

Request = Callable[[], tuple[str, str, str]]


def nothing() -> tuple[str, str, str]:
    """What the server costs without an answer."""
    return "OPTIONS", "/tap/sync", ""


def query(text: str) -> tuple[str, str, str]:
    return "POST", "/tap/sync", urlencode({"LANG": "ADQL", "QUERY": text})


def top() -> tuple[str, str, str]:
    return query(f"SELECT TOP 1 * FROM ext_tycho2.star WHERE star_id > {random.randrange(1_800_000)}")


def schema() -> tuple[str, str, str]:
    return query("SELECT TOP 1 * FROM TAP_SCHEMA.columns")


def cone() -> tuple[str, str, str]:
    place = f"{random.uniform(0, 360):.6f}, {random.uniform(-80, 80):.6f}"
    return query(f"SELECT star_id, ra, dec FROM ext_tycho2.star WHERE DISTANCE(ra, dec, {place}) < 0.1")


def times(port: int, request: Request, count: int) -> list[float]:
    """Milliseconds of ``count`` requests, one after the other over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    spent = []
    for _ in range(count):
        method, path, body = request()
        start = time.perf_counter()
        connection.request(method, path, body, {"Content-Type": "application/x-www-form-urlencoded"})
        response = connection.getresponse()
        response.read()
        spent.append((time.perf_counter() - start) * 1000)
        if response.status != 200:
            raise SystemExit(f"{path} answered {response.status}")
    connection.close()
    return spent


def scan() -> tuple[str, str, str]:
    """Goes on until it is stopped."""
    return query("SELECT SUM(SIN(a.ra * b.dec)) AS s FROM ext_tycho2.star AS a, ext_tycho2.star AS b")


def together(port: int, clients: int) -> tuple[list[float], float]:
    """Milliseconds of the cones of many clients at once, and the seconds that all took."""
    spent: list[float] = []
    threads = [threading.Thread(target=lambda: spent.extend(times(port, cone, TOGETHER))) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return spent, time.perf_counter() - start


@contextmanager
def served(home: Path) -> Iterator[int]:
    """The port at which Tycho-2 is served."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    archive = [sys.executable, "-c", "from archive.cli import main; main()", "--home", str(home)]
    for verb in (
        ("init", "--authority", "bench.test", "--publisher", "Bench", "--contact", "bench@bench.test"),
        ("load", "ext_tycho2", "star", str(DATA)),
        ("publish", "ext_tycho2"),
    ):
        subprocess.run([*archive, *verb], check=True, stdout=subprocess.DEVNULL)
    command = [*archive, "serve", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port)
        yield port
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def _wait(port: int) -> None:
    for _ in range(600):
        try:
            times(port, nothing, 1)
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not come up")


def main() -> None:
    """Print medians and tails in milliseconds, and what they are of a request that does nothing."""
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as port:
        for request in (nothing, top, schema, cone):
            times(port, request, 50)
        base = median(times(port, nothing, ALONE))
        for name, request in {"nothing": nothing, "TOP 1": top, "TAP_SCHEMA": schema, "cone 0.1 deg": cone}.items():
            spent = times(port, request, ALONE)
            tail = quantiles(spent, n=20)[-1]
            print(f"{name:14} p50 {median(spent):6.2f} ms  p95 {tail:6.2f} ms  {median(spent) / base:5.1f} x nothing")
            if name == "TOP 1":
                print(f"{'':14} {'within' if median(spent) <= AIM else 'beyond'} the aim of {AIM:g} ms")
        many(port, 16)
        alone = many(port, 100)
        with scanned(port, 2):
            beside = many(port, 100)
        print(f"{'':14} {beside / alone:.0%} of the cones while two scans run")


def many(port: int, clients: int) -> float:
    """Print what ``clients`` at once get; cones per second."""
    spent, seconds = together(port, clients)
    tail = quantiles(spent, n=20)[-1]
    rate = len(spent) / seconds
    print(f"{clients:3} clients    {rate:6.0f} cones/s  p50 {median(spent):6.1f}  p95 {tail:6.1f} ms")
    return rate


@contextmanager
def scanned(port: int, count: int) -> Iterator[None]:
    """So many scans run meanwhile; they are stopped by leaving."""
    connections = [http.client.HTTPConnection("127.0.0.1", port) for _ in range(count)]
    method, path, body = scan()
    for connection in connections:
        connection.request(method, path, body, {"Content-Type": "application/x-www-form-urlencoded"})
    time.sleep(2)
    try:
        yield
    finally:
        for connection in connections:
            connection.close()


if __name__ == "__main__":
    main()
