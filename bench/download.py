"""Claim: files are downloaded at 0.6 or more of the rate at which nginx sends the same file: by one client, by eight.

A registered file of 128 MiB is fetched from ``archive serve`` with its usual settings and from nginx with sendfile,
which reads the same bytes on the same disk (from memory, after a first read): in turns, by clients that drop what
they get and share the machine with the server. Also told: the processor time that each server spends on a GiB, and
what ranges of 64 KiB cost, where Python's part of a request is all there is.
"""

from __future__ import annotations

import os
import shutil
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
from statistics import median

SIZE = 128 << 20
RANGE = 64 << 10
ROUNDS = 5
RANGES = 300
AIM = 0.6


@contextmanager
def archive(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """Port and process of the archive, and where the registered file lies."""
    program = [sys.executable, "-c", "from archive.cli import main; main()", "--home", str(folder / "home")]
    told = ("init", "--authority", "bench.test", "--publisher", "Bench", "--contact", "bench@bench.test")
    subprocess.run([*program, *told], check=True, stdout=subprocess.DEVNULL)
    source = folder / "file"
    with source.open("wb") as file:
        for _ in range(SIZE >> 20):
            file.write(os.urandom(1 << 20))
    path = registered(folder / "home", source)
    source.unlink()
    port = free_port()
    with running([*program, "serve", "--no-work", "--port", str(port)], port) as process:
        yield port, process, path


def registered(home: Path, source: Path) -> Path:
    from archive.backbone.endpoint import Endpoint
    from archive.backbone.registrar import register
    from archive.config import Config

    with Endpoint.open(Config(home=home)) as endpoint:
        return endpoint.config.store / register(endpoint, source, "files/large", "application/octet-stream").path


@contextmanager
def nginx(folder: Path, file: Path) -> Iterator[tuple[int, int]]:
    """Port and process of an nginx that serves the folder of ``file``."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    port = free_port()
    settings = folder / "nginx.conf"
    settings.write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes auto; user root;"
        "events { worker_connections 1024; }"
        f"http {{ access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream;"
        f" server {{ listen 127.0.0.1:{port}; location /files/ {{ alias {file.parent}/; }} }} }}"
    )
    with running([program, "-c", str(settings), "-e", f"{folder}/nginx.log"], port) as process:
        yield port, process


@contextmanager
def running(command: list[str], port: int) -> Iterator[int]:
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as connection:
                if connection.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        else:
            raise SystemExit(f"{command[0]} did not come up")
        yield server.pid
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class Client:
    """One connection that drops what it gets."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._buffer = bytearray(1 << 20)

    def get(self, name: str, asked: str = "") -> None:
        request = f"GET /files/{name} HTTP/1.1\r\nHost: bench\r\n{asked}\r\n"
        self._socket.sendall(request.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._socket.recv(4096)
        head, _, body = head.partition(b"\r\n\r\n")
        told = {line.split(b":")[0].lower(): line.split(b":", 1)[1].strip() for line in head.split(b"\r\n")[1:]}
        if head.split()[1] not in (b"200", b"206"):
            raise SystemExit(head.decode())
        left = int(told[b"content-length"]) - len(body)
        while left:
            got = self._socket.recv_into(self._buffer, min(left, len(self._buffer)))
            if not got:
                raise SystemExit("the connection was broken off")
            left -= got


def downloads(port: int, name: str, clients: int) -> float:
    """Bytes a second that so many clients get together."""
    threads = [threading.Thread(target=lambda: Client(port).get(name)) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return clients * SIZE / (time.perf_counter() - start)


def ranges(port: int, name: str) -> float:
    """Ranges a second that one client gets over one connection."""
    client = Client(port)
    start = time.perf_counter()
    for number in range(RANGES):
        first = number * 4 * RANGE
        client.get(name, f"Range: bytes={first}-{first + RANGE - 1}\r\n")
    return RANGES / (time.perf_counter() - start)


def spent(process: int) -> float:
    """Seconds of processor time of a server and its workers, so far."""
    family = [process, *map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())]
    ticks = 0
    for each in family:
        ticks += sum(map(int, Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def compared(what: str, unit: str, ours: Callable[[], float], theirs: Callable[[], float]) -> float:
    """Print both rates, measured in turns; the median of their ratios."""
    pairs = [(ours(), theirs()) for _ in range(ROUNDS)]
    ratio = median(mine / other for mine, other in pairs)
    rates = (median(rate) for rate in zip(*pairs, strict=True))
    print(
        "{:24} archive {:9,.0f} {unit}  nginx {:9,.0f} {unit}  {:.2f}".format(what, *rates, ratio, unit=unit),
        flush=True,
    )
    return ratio


def main() -> None:
    """Print rates of both servers and their ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with archive(folder) as (port, ours, file), nginx(folder, file) as (other, theirs):
            downloads(port, "files/large", 1)
            downloads(other, file.name, 1)
            before = spent(ours), spent(theirs)
            worst = 1.0
            for clients in (1, 8):
                worst = min(
                    worst,
                    compared(
                        f"{clients} downloads of 128 MiB",
                        "MB/s",
                        lambda count=clients: downloads(port, "files/large", count) / 1e6,
                        lambda count=clients: downloads(other, file.name, count) / 1e6,
                    ),
                )
            sent = ROUNDS * 9 * SIZE / 2**30
            print(f"processor time           archive {(spent(ours) - before[0]) / sent:9.2f} s/GiB", end="")
            print(f" nginx {(spent(theirs) - before[1]) / sent:9.2f} s/GiB")
            print(f"{'':24} {'at least' if worst >= AIM else 'BELOW'} the aim of {AIM:g}")
            compared("ranges of 64 KiB", "1/s", lambda: ranges(port, "files/large"), lambda: ranges(other, file.name))


if __name__ == "__main__":
    main()
