"""A PostgreSQL server of the tests' own, in a folder that goes away with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_OPTIONS = "-c listen_addresses= -c fsync=off -c full_page_writes=off -c synchronous_commit=off -c max_connections=50"


@contextmanager
def postgres() -> Iterator[str]:
    """The SQLAlchemy URL of an empty database, in C locale; the server ends with the ``with`` block."""
    programs = _programs()
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to be root
    with tempfile.TemporaryDirectory(prefix="pg") as made:  # a short path: sockets have no room for a long one
        folder = Path(made)
        if user is not None:
            shutil.chown(folder, user)

        def run(name: str, *arguments: str) -> None:
            command = [str(programs / name), *arguments]
            done = subprocess.run(command, user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            assert done.returncode == 0, done.stderr.decode()

        run("initdb", "-D", "data", "-E", "UTF8", "--locale=C", "-U", "archive", "-A", "trust", "--no-sync")
        run("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", f"-k {folder} {_OPTIONS}", "start")
        try:
            yield f"postgresql+psycopg2://archive@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", "data", "-m", "immediate", "-w", "stop")


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.fail("PostgreSQL is not installed; scripts/test-needs.sh installs what tests need")
    return found[-1].parent
