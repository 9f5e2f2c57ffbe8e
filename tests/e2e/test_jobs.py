"""Jobs as clients live them: pyvo and stilts against a served archive, long queries beside short ones, and kill -9."""

from __future__ import annotations

import datetime
import json
import os
import re
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import pyvo
from pyvo.dal import AsyncTAPJob, DALQueryError

from tests.e2e.conftest import Site

pytestmark = pytest.mark.service

BRIGHT = "SELECT TOP 7 star_id, ra, dec FROM dr1.star ORDER BY star_id"
# 10 000 stars, taken four times over: no machine ends this in a test's time.
ENDLESS = (
    "SELECT COUNT(*) AS n FROM ext_tycho2.star AS a, ext_tycho2.star AS b, ext_tycho2.star AS c, ext_tycho2.star AS d "
    "WHERE a.ra + b.ra + c.ra + d.ra < 0.001"
)


@pytest.fixture
def tap(site: Site) -> pyvo.dal.TAPService:
    return pyvo.dal.TAPService(site.tap)


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def endless(tap: pyvo.dal.TAPService) -> Iterator[AsyncTAPJob]:
    """A job whose query is under way and has no end."""
    job = tap.submit_job(ENDLESS)
    job.run()
    until(lambda: job.phase == "EXECUTING")
    yield job
    if job.url is not None:
        job.delete()


@pytest.mark.requirement("DMS-DBB-REQ-0030")
def test_a_job_tells_what_its_result_can_be_had_again_with(site: Site, tap: pyvo.dal.TAPService) -> None:
    """In every format: at the head of the answer, in that of its download, and in the job's jobInfo."""
    job = tap.submit_job(BRIGHT, RESPONSEFORMAT="csv")
    job.run().wait(timeout=60)
    with urllib.request.urlopen(job.result_uri) as answer:
        token, rows = answer.headers["X-Archive-Token"], answer.read()
    assert "token" in site.get(job.url.removeprefix(f"{site.url}/"))[2].decode()
    asked = urllib.parse.urlencode({"LANG": "ADQL", "QUERY": BRIGHT, "TOKEN": token, "FORMAT": "csv"})
    assert site.get(f"tap/sync?{asked}")[2] == rows
    job.delete()
    cut = tap.submit_job("SELECT star_id FROM dr1.star", maxrec=3)
    cut.run().wait(timeout=60)
    with urllib.request.urlopen(cut.result_uri) as answer:
        assert answer.headers["X-Archive-Token"] is None
    cut.delete()


def test_pyvo_runs_a_query_and_leaves_nothing_behind(tap: pyvo.dal.TAPService) -> None:
    before = {job.jobid for job in tap.get_job_list()}
    rows = tap.run_async(BRIGHT).to_table()
    assert rows.colnames == ["star_id", "ra", "dec"]
    assert len(rows) == 7
    assert rows["star_id"].tolist() == sorted(rows["star_id"].tolist())
    assert {job.jobid for job in tap.get_job_list()} == before


def test_pyvo_is_told_what_is_wrong_with_a_query(tap: pyvo.dal.TAPService) -> None:
    job = tap.submit_job("SELECT nosuch FROM dr1.star")
    assert job.phase == "PENDING"
    job.run()
    job.wait(timeout=30)
    assert job.phase == "ERROR"
    with pytest.raises(DALQueryError, match="nosuch"):
        job.raise_if_error()
    job.delete()


def test_pyvo_changes_a_job_before_it_runs(tap: pyvo.dal.TAPService) -> None:
    job = tap.submit_job("SELECT 1 AS never FROM dr1.star", maxrec=3)
    job.query = BRIGHT
    assert job.query == BRIGHT
    job.execution_duration = 77
    assert job.execution_duration.sec == 77
    destruction = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(days=2)
    job.destruction = destruction
    assert job.destruction.to_datetime(datetime.UTC) == destruction
    assert job.uws_version == "1.1"
    job.run()
    job.wait(timeout=30)
    assert len(job.fetch_result()) == 3
    assert job.result_uri == f"{job.url}/results/result"
    job.delete()


def test_pyvo_lists_jobs(tap: pyvo.dal.TAPService) -> None:
    first, second = tap.submit_job(BRIGHT), tap.submit_job(BRIGHT)
    second.run()
    second.wait(timeout=30)
    listed = tap.get_job_list(last=2)
    assert [(job.jobid, job.phase) for job in listed] == [(second.job_id, "COMPLETED"), (first.job_id, "PENDING")]
    assert first.job_id in [job.jobid for job in tap.get_job_list(phases=["PENDING"])]
    assert second.job_id not in [job.jobid for job in tap.get_job_list(phases=["PENDING"])]
    later = tap.get_job_list(after=datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1))
    assert list(later) == []
    for job in (first, second):
        job.delete()


@pytest.mark.parametrize(
    ("format", "begins"),
    [("votable", b"<?xml"), ("csv", b"star_id,ra,dec"), ("tsv", b"star_id\tra\tdec"), ("parquet", b"PAR1")],
)
def test_a_result_has_the_format_that_was_asked_for(site: Site, format: str, begins: bytes) -> None:
    job = posted(site, "async", LANG="ADQL", PHASE="run", RESPONSEFORMAT=format, QUERY=BRIGHT)
    until(lambda: fetched(f"{job}/phase") == b"COMPLETED")
    assert fetched(f"{job}/results/result").startswith(begins)


def test_stilts_runs_a_query(site: Site, program: Callable[[str], str], tmp_path: Path) -> None:
    answer = tmp_path / "rows.csv"
    command = [program("stilts"), "tapquery", f"tapurl={site.tap}", f"adql={BRIGHT}", "sync=false", "poll=200"]
    done = subprocess.run([*command, "delete=finished", f"out={answer}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(answer.read_text().splitlines()) == 8


def test_taplint_has_nothing_to_say_of_jobs(site: Site, program: Callable[[str], str]) -> None:
    command = [program("stilts"), "taplint", f"tapurl={site.tap}", "stages=UWS QAS", "report=EWF"]
    done = subprocess.run(command, capture_output=True, text=True)
    told = [line for line in done.stdout.splitlines() if re.match(r"[EWF]-", line)]
    assert told == [], done.stdout


def test_an_abort_stops_the_statement(endless: AsyncTAPJob, site: Site) -> None:
    runner = holder(site, endless)
    spent = processor_seconds(runner)
    endless.abort()
    assert endless.phase == "ABORTED"
    until(lambda: processor_seconds(runner) - spent < 0.05 or not advances(runner))


def test_a_short_query_does_not_wait_behind_long_ones(endless: AsyncTAPJob, tap: pyvo.dal.TAPService) -> None:
    more = [tap.submit_job(ENDLESS) for _ in range(3)]
    for job in more:
        job.run()
    assert len(tap.run_async(BRIGHT)) == 7
    assert [job.phase for job in more] == ["QUEUED"] * 3
    for job in more:
        job.delete()


def noted(site: Site, job: AsyncTAPJob) -> list[tuple[str, str]]:
    """Outcome and text of what the query log has of a job."""
    return site.stored("queries", "SELECT outcome, text FROM query_log WHERE request = :job", job=job.job_id)


def attending(site: Site) -> list[int]:
    """The processes that the ledger holds for alive."""
    return [process for (process,) in site.stored("ledger", "SELECT pid FROM process")]


def test_a_killed_runner_costs_its_job_alone(endless: AsyncTAPJob, site: Site, tap: pyvo.dal.TAPService) -> None:
    runner = holder(site, endless)
    os.kill(runner, signal.SIGKILL)
    until(lambda: endless.phase == "ERROR")
    with pytest.raises(DALQueryError, match="ended unexpectedly"):
        endless.raise_if_error()
    assert len(tap.run_async(BRIGHT)) == 7
    until(lambda: noted(site, endless) == [("LOST", ENDLESS)])  # who found it dead wrote what it could not
    until(lambda: runner not in attending(site))


def test_a_killed_crew_is_replaced(endless: AsyncTAPJob, site: Site, tap: pyvo.dal.TAPService) -> None:
    runner = holder(site, endless)
    crew = int(Path(f"/proc/{runner}/stat").read_text().rsplit(")", 1)[1].split()[1])
    os.kill(crew, signal.SIGKILL)
    until(lambda: endless.phase == "ERROR")
    assert len(tap.run_async(BRIGHT)) == 7


def test_operators_see_and_kill_jobs(endless: AsyncTAPJob, site: Site) -> None:
    (listed,) = site.json("jobs", "list", "--phase", "executing")["jobs"]
    assert (listed["job"], listed["lane"]) == (endless.job_id, "long")
    assert endless.job_id in site.run("jobs", "list")
    shown = site.json("jobs", "show", endless.job_id)
    assert ["QUERY", ENDLESS] in shown["parameters"]
    assert ENDLESS in site.run("jobs", "show", endless.job_id)
    assert site.json("jobs", "kill", endless.job_id) == {"stopped": [endless.job_id]}
    assert site.json("jobs", "kill", endless.job_id) == {"stopped": []}
    assert endless.phase == "ABORTED"
    with pytest.raises(DALQueryError, match="operator"):
        endless.raise_if_error()


def posted(site: Site, path: str, **data: str) -> str:
    """POST a form; the address that the answer leads to."""
    body = urllib.parse.urlencode(data).encode()
    with urllib.request.urlopen(f"{site.tap}/{path}", data=body, timeout=60) as answer:
        return str(answer.url)


def fetched(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=60) as answer:
        return bytes(answer.read())


def holder(site: Site, job: AsyncTAPJob) -> int:
    """The process that executes a job."""
    return int(json.loads(site.run("--json", "jobs", "show", job.job_id))["runner"].split("-")[-2])


def processor_seconds(process: int) -> float:
    """Processor time that a process has spent; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def advances(process: int) -> bool:
    """Whether a process is computing: whether it spends processor time within a while."""
    before = processor_seconds(process)
    time.sleep(0.3)
    return processor_seconds(process) - before > 0.1
