"""A disk that is full while a result is written: the job ends with advice, nothing is left of it, others are served."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import pyvo
from pyvo.dal import DALQueryError

from tests.e2e.conftest import Site, free_port, wait_for

pytestmark = pytest.mark.service

SAMPLE = Path(__file__).parent.parent / "data" / "sample" / "ext_tycho2.star.parquet"
MUCH = "SELECT a.ra, a.dec, b.ra AS x, b.dec AS y FROM ext_tycho2.star AS a, ext_tycho2.star AS b WHERE b.star_id < 400"
LITTLE = "SELECT TOP 7 star_id FROM ext_tycho2.star"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An archive whose jobs lie on a file system of 2 MB of their own."""
    site = Site(tmp_path_factory.mktemp("small") / "archive", free_port())
    site.run("init", "--authority", "archive.test", "--publisher", "Tests", "--contact", "tests@archive.test")
    site.run("load", "ext_tycho2", "star", str(SAMPLE))
    site.run("publish", "ext_tycho2")
    jobs = site.home / "jobs"
    jobs.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(jobs)], check=True)
    log = site.home.parent / "serve.log"
    with log.open("wb") as said:
        command = site.command("serve", "--port", str(site.port), "--workers", "1")
        server = subprocess.Popen(command, env=site.environment(), stdout=said, stderr=said)
    try:
        wait_for(site, server, log)
        yield site
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)
        subprocess.run(["umount", str(jobs)], check=True)


@pytest.mark.parametrize("form", ["csv", "votable", "parquet", "fits"])
def test_a_full_disk_ends_the_job_alone(small: Site, form: str) -> None:
    tap = pyvo.dal.TAPService(small.tap)
    job = tap.submit_job(MUCH, maxrec=10_000_000, FORMAT=form)
    job.run()
    job.wait(timeout=60)
    assert job.phase == "ERROR"
    with pytest.raises(DALQueryError, match="no space left for results"):
        job.raise_if_error()
    left = [path for path in (small.home / "jobs" / "files").rglob("*") if path.is_file()]
    assert left == []
    assert len(tap.run_async(LITTLE)) == 7  # there is room again
    job.delete()
