"""Claim: a trivial job is COMPLETED within 150 ms of PHASE=RUN, also while long queries run; an abort stops at once.

A small archive is made, published and served; a client asks for jobs and looks at their phase without pause. Beside
the job stands the same query asked synchronously, in the same run: the ratio is what being a job costs.
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "tests" / "data" / "sample" / "ext_tycho2.star.parquet"
TRIVIAL = "SELECT TOP 5 star_id, ra, dec FROM ext_tycho2.star"
ENDLESS = (
    "SELECT COUNT(*) AS n FROM ext_tycho2.star AS a, ext_tycho2.star AS b, ext_tycho2.star AS c, ext_tycho2.star AS d "
    "WHERE a.ra + b.ra + c.ra + d.ra < 0.001"
)
RUNS = 40


@contextmanager
def served() -> Iterator[str]:
    """The address of TAP of a small archive."""
    with tempfile.TemporaryDirectory() as home, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        listener.close()
        command = [sys.executable, "-m", "archive.cli", "--home", f"{home}/archive"]
        for arguments in (
            ["init", "--authority", "bench.example", "--publisher", "Bench", "--contact", "bench@bench.example"],
            ["load", "ext_tycho2", "star", str(SAMPLE)],
            ["publish", "ext_tycho2"],
        ):
            subprocess.run([*command, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        server = subprocess.Popen([*command, "serve", "--port", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            address = f"http://127.0.0.1:{port}/tap"
            wait(lambda: up(address))
            yield address
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


def up(address: str) -> bool:
    with suppress(requests.ConnectionError):
        return requests.get(f"{address}/availability", timeout=5).ok
    return False


def wait(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)


class Client:
    """A client that keeps its connection."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.http = requests.Session()

    def create(self, query: str) -> str:
        answer = self.http.post(f"{self.address}/async", {"LANG": "ADQL", "QUERY": query}, allow_redirects=False)
        return answer.headers["Location"]

    def run(self, job: str) -> None:
        self.http.post(f"{job}/phase", {"PHASE": "RUN"}, allow_redirects=False)

    def phase(self, job: str) -> str:
        return self.http.get(f"{job}/phase").text

    def job_seconds(self) -> float:
        """From PHASE=RUN until COMPLETED is seen."""
        job = self.create(TRIVIAL)
        begun = time.perf_counter()
        self.run(job)
        while (phase := self.phase(job)) != "COMPLETED":
            if phase == "ERROR":
                raise RuntimeError(self.http.get(f"{job}/error").text)
        taken = time.perf_counter() - begun
        self.http.delete(job, allow_redirects=False)
        return taken

    def sync_seconds(self) -> float:
        begun = time.perf_counter()
        self.http.post(f"{self.address}/sync", {"LANG": "ADQL", "QUERY": TRIVIAL}).raise_for_status()
        return time.perf_counter() - begun

    def abort_seconds(self) -> float:
        """From PHASE=ABORT until the runner's process computes no more."""
        job = self.create(ENDLESS)
        self.run(job)
        wait(lambda: self.phase(job) == "EXECUTING")
        runner = busiest()
        begun = time.perf_counter()
        self.http.post(f"{job}/phase", {"PHASE": "ABORT"}, allow_redirects=False)
        wait(lambda: not computes(runner))
        taken = time.perf_counter() - begun
        self.http.delete(job, allow_redirects=False)
        return taken


def busiest() -> int:
    """The process below this one that computes most."""
    first = spent()
    time.sleep(0.5)
    later = spent()
    return max(later, key=lambda process: later[process] - first.get(process, 0.0))


def computes(process: int) -> bool:
    """Whether a process spends processor time within a tenth of a second."""
    first = spent().get(process)
    time.sleep(0.1)
    return first is not None and spent().get(process, 0.0) > first


def spent() -> dict[int, float]:
    """Processor seconds of every process below this one."""
    parents, seconds = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rsplit(")", 1)[1].split()
            parents[int(stat.parent.name)] = int(fields[1])
            seconds[int(stat.parent.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return {process: taken for process, taken in seconds.items() if os.getpid() in ancestors(process, parents)}


def ancestors(process: int, parents: dict[int, int]) -> Iterator[int]:
    while process in parents:
        process = parents[process]
        yield process


def show(name: str, seconds: list[float], aim: str = "") -> float:
    middle = statistics.median(seconds)
    worst = sorted(seconds)[int(0.95 * (len(seconds) - 1))]
    print(f"{name:34} p50 {middle * 1e3:7.1f} ms   p95 {worst * 1e3:7.1f} ms  {aim}")
    return middle


def main() -> None:
    """Print the figures."""
    with served() as address:
        client = Client(address)
        for _ in range(5):
            client.job_seconds(), client.sync_seconds()
        sync = show("trivial query, synchronous", [client.sync_seconds() for _ in range(RUNS)])
        job = show("trivial query, as a job", [client.job_seconds() for _ in range(RUNS)], "(aim 150 ms)")
        print(f"{'being a job costs':34} {job / sync:.1f} x")
        long = [client.create(ENDLESS) for _ in range(3)]
        for each in long:
            client.run(each)
        wait(lambda: client.phase(long[0]) == "EXECUTING")
        busy = show("trivial job beside long queries", [client.job_seconds() for _ in range(RUNS)], "(aim 150 ms)")
        print(f"{'long queries cost the short one':34} {busy / job:.1f} x")
        for each in long:
            client.http.delete(each, allow_redirects=False)
        show("abort of a query without end", [client.abort_seconds() for _ in range(5)], "(aim 1 s)")


if __name__ == "__main__":
    main()
