"""Claim: a small query is answered over HTTP within 8 ms (median), and many clients share the server fairly: 100 at
once get 400 cones a second, 95 % of them within 0.5 s, none refused, and at least half as many while two scans run;
a cone of 0.1 degrees takes 12 ms (median).

All of Tycho-2 is loaded, published and served by ``archive serve`` with its usual settings; on the embedded engine,
then on a PostgreSQL server of this run's own. Measured over kept connections: what a
request costs that does nothing, ``SELECT TOP 1`` from the catalog and from TAP_SCHEMA, a cone of 0.1 degrees; then
the cone from 16 and from 100 clients at once, and from 100 while two synchronous queries of over 30 s each compute.
The clients share the machine with the server; they are one thread that costs about a tenth of a millisecond for each
request, as pyvo's sessions would over kept connections, and what they cost is told.
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
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

from bench._clients import Load, Request, query, together
from tests.postgres import postgres

DATA = Path(os.environ.get("BENCH_DATA", "../shared/data")) / "catalogs" / "tycho2_stars.parquet"
ALONE = 300  # requests of one client
TOGETHER = 20  # requests of each of many
AIM = 8.0  # milliseconds
_TICKS = os.sysconf("SC_CLK_TCK")


def nothing() -> tuple[str, str, str]:
    """What the server costs without an answer."""
    return "OPTIONS", "/tap/sync", ""


def top() -> tuple[str, str, str]:
    return query(f"SELECT TOP 1 * FROM ext_tycho2.star WHERE star_id > {random.randrange(1_800_000)}")


def schema() -> tuple[str, str, str]:
    return query("SELECT TOP 1 * FROM TAP_SCHEMA.columns")


def cone() -> tuple[str, str, str]:
    place = f"{random.uniform(0, 360):.6f}, {random.uniform(-80, 80):.6f}"
    return query(f"SELECT star_id, ra, dec FROM ext_tycho2.star WHERE DISTANCE(ra, dec, {place}) < 0.1")


def scan() -> tuple[str, str, str]:
    """Goes on until it is stopped."""
    return query("SELECT SUM(SIN(a.ra * b.dec)) AS s FROM ext_tycho2.star AS a, ext_tycho2.star AS b")


class Server:
    """``archive serve`` under way."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.port = port
        self._process = process

    def processor_seconds(self) -> float:
        """What all its processes have computed so far (a database server's are not among them)."""
        return sum(map(_spent, _family(self._process.pid)))

    def asked(self, clients: int, request: Request, count: int) -> tuple[Load, float]:
        """What ``clients`` saw, and the milliseconds of processor that each answer took of the server."""
        before = self.processor_seconds()
        load = together(self.port, clients, request, count)
        return load, (self.processor_seconds() - before) / len(load.times) * 1000


def _family(process: int) -> Iterator[int]:
    """A process and all below it."""
    yield process
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _family(int(child))


def _spent(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:  # it has ended meanwhile
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def served(home: Path, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Tycho-2 as served; ``settings`` are environment variables."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    archive = [sys.executable, "-c", "from archive.cli import main; main()", "--home", str(home)]
    environment = {**os.environ, **(settings or {})}
    for verb in (
        ("init", "--authority", "bench.test", "--publisher", "Bench", "--contact", "bench@bench.test"),
        ("load", "ext_tycho2", "star", str(DATA)),
        ("publish", "ext_tycho2"),
    ):
        subprocess.run([*archive, *verb], check=True, stdout=subprocess.DEVNULL, env=environment)
    command = [*archive, "serve", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        _wait(port)
        yield Server(process, port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _wait(port: int) -> None:
    for _ in range(600):
        try:
            together(port, 1, nothing, 1)
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not come up")


def measured(server: Server) -> None:
    """Print medians and tails in milliseconds, and what they are of a request that does nothing."""
    for request in (nothing, top, schema, cone):
        together(server.port, 4, request, 20)
    base = median(server.asked(1, nothing, ALONE)[0].times)
    for name, request in {"nothing": nothing, "TOP 1": top, "TAP_SCHEMA": schema, "cone 0.1 deg": cone}.items():
        load, cost = server.asked(1, request, ALONE)
        half, tail = median(load.times), quantiles(load.times, n=20)[-1]
        told = f"p50 {half:6.2f}  p95 {tail:6.2f}  processor {cost:5.2f} ms  {half / base:5.1f} x nothing"
        print(f"{name:14} {told}{'' if half <= AIM else f'  beyond the aim of {AIM:g} ms'}", flush=True)
    many(server, 16)
    alone = many(server, 100)
    with scanned(server.port, 2):
        beside = many(server, 100)
    print(f"{'':14} {beside / alone:.0%} of the cones while two scans run")


def many(server: Server, clients: int) -> float:
    """Print what ``clients`` at once get; cones per second."""
    load, cost = server.asked(clients, cone, TOGETHER)
    tail = quantiles(load.times, n=20)[-1]
    own = load.own / len(load.times) * 1000
    print(
        f"{clients:3} clients    {load.rate:6.0f} cones/s  p50 {median(load.times):6.1f}  p95 {tail:6.1f} ms"
        f"  refused {load.refused}  processor {cost:.2f} ms each, the clients' {own:.2f}",
        flush=True,
    )
    return load.rate


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


def main() -> None:
    """Measure both deployments."""
    print("embedded")
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as server:
        measured(server)
    print("PostgreSQL (its own processes are not counted)")
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres() as url,
        served(Path(folder), {"ARCHIVE_DATABASE": url}) as server,
    ):
        measured(server)


if __name__ == "__main__":
    main()
