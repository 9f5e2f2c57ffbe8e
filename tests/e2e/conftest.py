"""A real archive: made, loaded, published and served by the commands an operator types."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests import clusters
from tests.e2e.sky import Stars

_AS_OTHERS = {"ARCHIVE_NICENESS": "0"}  # tests that run beside this one are no production

TABLES = (("dr1", "field"), ("dr1", "star"), ("ext_tycho2", "star"))


@dataclass(frozen=True)
class Site:
    """A served archive: its home, its address and the way to run ``archive`` on it."""

    home: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def tap(self) -> str:
        return f"{self.url}/tap"

    def run(self, *arguments: str) -> str:
        """Run ``archive ARGUMENT...`` and return what it printed; fails the test if it does not succeed."""
        done = subprocess.run(self.command(*arguments), env=self.environment(), capture_output=True, text=True)
        assert done.returncode == 0, f"archive {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def command(self, *arguments: str) -> list[str]:
        return [str(Path(sys.executable).parent / "archive"), *arguments]

    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ARCHIVE_")}
        return clean | {"ARCHIVE_HOME": str(self.home), "ARCHIVE_PUBLIC_URL": self.url, **_AS_OTHERS}

    def get(self, path: str) -> tuple[int, str, bytes]:
        """Status, media type and body of a GET."""
        try:
            with urllib.request.urlopen(f"{self.url}/{path}", timeout=60) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.headers["Content-Type"], refusal.read()

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run("--json", *arguments))

    def stored(self, store: str, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """What ``statement`` finds in one of the archive's stores: ``ledger``, ``jobs`` or ``queries``."""
        engine = sa.create_engine(self.address(store), poolclass=sa.NullPool)
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(statement), values)]

    def address(self, store: str) -> str:
        """The URL of a store."""
        return f"sqlite:///{self.home / store}.sqlite"


@dataclass(frozen=True)
class PostgresSite(Site):
    """An archive all of which is in the PostgreSQL at ``database``: ledger, catalogs and jobs."""

    database: str = ""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"ARCHIVE_DATABASE": self.database}

    def address(self, store: str) -> str:
        return self.database


@pytest.fixture(scope="session")
def stars(data: Path) -> Stars:
    """The sample as NumPy arrays."""
    return Stars.read(data / "sample" / "ext_tycho2.star.parquet")


@pytest.fixture(scope="session", params=["embedded", pytest.param("postgresql", marks=pytest.mark.service)])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Site]:
    """The sample, loaded, published and served for the whole session: by each of the deployments."""
    home = tmp_path_factory.mktemp(request.param)
    site = Site(home / "archive", free_port())
    if request.param == "postgresql":
        site = PostgresSite(site.home, site.port, clusters.database(home))
    fill(site, data)
    with serving(site):
        yield site


def fill(site: Site, data: Path) -> None:
    """Make the archive, load the sample into it and publish that, as an operator does."""
    site.run("init", "--authority", "archive.test", "--publisher", "Tests", "--contact", "tests@archive.test")
    for schema, table in TABLES:
        site.run("load", schema, table, str(data / "sample" / f"{schema}.{table}.parquet"))
    for schema in ("dr1", "ext_tycho2"):
        site.run("publish", schema)
    kept = ("--type", "coadd", "--release", "dr1", "--collection", "survey", "--null", "*=not told")
    site.run("ingest", *map(str, sorted((data / "images").glob("*.fits"))), *kept)


@contextmanager
def serving(site: Site, *options: str) -> Iterator[None]:
    """``archive serve`` as a process that lives as long as the block."""
    told = site.home.with_name("serve.log")
    with told.open("wb") as log:
        server = subprocess.Popen(
            site.command("serve", "--port", str(site.port), *options), env=site.environment(), stdout=log, stderr=log
        )
    try:
        wait_for(site, server, told)
        yield
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def free_port() -> int:
    """A port nobody listens at just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(site: Site, server: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    """Return once the server answers; fail with its log if it ends or stays silent."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            if site.get("tap/availability")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    pytest.fail(f"the server did not come up:\n{log.read_text(errors='replace')}")
