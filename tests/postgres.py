"""A PostgreSQL server of the tests' own, in a folder that goes away with it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_OPTIONS = "-c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=200"
_FORGETFUL = "-c synchronous_commit=off"  # what was committed in its last moments is lost when it is killed


class Server:
    """A server in ``folder``, which can be ended in any way and started again; it then knows all that was committed
    if it is ``durable``.
    """

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self._programs = _programs()
        self._user = "postgres" if os.geteuid() == 0 else None  # the server refuses to be root
        self._folder = folder
        self._options = f"-k {folder} {_OPTIONS} {'' if durable else _FORGETFUL}"
        if self._user is not None:
            shutil.chown(folder, self._user)
        self._run("initdb", "-D", "data", "-E", "UTF8", "--locale=C", "-U", "archive", "-A", "trust", "--no-sync")

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of its first database."""
        return f"postgresql+psycopg2://archive@/postgres?host={self._folder}"

    @property
    def process(self) -> int:
        """The number of its first process, from which all others come."""
        return int((self._folder / "data" / "postmaster.pid").read_text().split()[0])

    def start(self) -> None:
        """Returns when it takes connections; waits for processes of a server that was killed to be gone."""
        for again in reversed(range(50)):
            try:
                self._run("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", self._options, "start")
                return
            except AssertionError:
                if not again:
                    raise
                time.sleep(0.2)

    def stop(self) -> None:
        """At once, whatever is under way; harmless where it does not run."""
        if (self._folder / "data" / "postmaster.pid").exists() and Path(f"/proc/{self.process}").exists():
            self._run("pg_ctl", "-D", "data", "-m", "immediate", "-w", "stop")

    def kill(self, process: int | None = None) -> None:
        """As when the kernel ends one of its processes, by default the first: then the others notice and end too."""
        os.kill(process or self.process, signal.SIGKILL)

    def _run(self, name: str, *arguments: str) -> None:
        command = [str(self._programs / name), *arguments]
        done = subprocess.run(
            command, user=self._user, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert done.returncode == 0, done.stderr.decode()


@contextmanager
def server(*, durable: bool = False) -> Iterator[Server]:
    """A server that runs; it ends with the ``with`` block."""
    with tempfile.TemporaryDirectory(prefix="pg") as made:  # a short path: sockets have no room for a long one
        running = Server(Path(made), durable=durable)
        running.start()
        try:
            yield running
        finally:
            running.stop()


@contextmanager
def postgres() -> Iterator[str]:
    """The SQLAlchemy URL of an empty database, in C locale; the server ends with the ``with`` block."""
    with server() as running:
        yield running.url


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.fail("PostgreSQL is not installed; scripts/test-needs.sh installs what tests need")
    return found[-1].parent
