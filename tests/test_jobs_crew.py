"""Runners as real processes: what they do, and what becomes of jobs when they are stopped, killed or started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from archive.jobs import Client, Draft, Job, Jobs, Keeper, Lane, Parameter, Phase
from tests.crews import PACE, store

pytestmark = pytest.mark.service

ROOT = Path(__file__).parent.parent
NOBODY = Client(None, "192.0.2.1")


class Yard:
    """A job store in a folder and the crews that work there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs: Jobs = store(folder)
        self.notes = folder / "notes"
        self.notes.touch()
        self.crews: list[subprocess.Popen[bytes]] = []

    def hire(self, short: int = 2, long: int = 1) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.crews", str(self.folder), str(short), str(long)]
        crew = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
        self.crews.append(crew)
        until(lambda: len(self.runners()) >= short + long)
        return crew

    def runners(self) -> list[int]:
        """Process numbers of the runners that listen."""
        bells = self.folder / "jobs" / "bells"
        names = [path.name for path in bells.iterdir() if not path.name.startswith(".")] if bells.is_dir() else []
        return [int(name.split("-")[-2]) for name in names]

    def send(self, do: str, lane: Lane = Lane.SHORT, *, duration: int | None = None, **more: object) -> str:
        given = {"DO": do, "NOTES": self.notes, **more}
        parameters = tuple(Parameter(name, str(value)) for name, value in given.items())
        job = self.jobs.create(Draft("tap", NOBODY, parameters, duration=duration)).id
        self.jobs.run(job, lane)
        return job

    def ended(self, job: str) -> Job:
        until(lambda: not self.jobs.phase(job).active)
        return self.jobs.get(job)

    def begun(self, job: str) -> int:
        """Wait until a job's task has begun; returns the process it runs in."""
        until(lambda: any(line.startswith(job) for line in self.notes.read_text().splitlines()))
        return int(next(line.split()[1] for line in self.notes.read_text().splitlines() if line.startswith(job)))

    def beginnings(self, job: str) -> int:
        return sum(line.startswith(job) for line in self.notes.read_text().splitlines())

    def files(self, job: str) -> list[str]:
        folder = self.jobs.folders.of(job)
        return [path.name for path in folder.iterdir()] if folder.is_dir() else []

    def noted(self, job: str) -> list[str]:
        """What was noted of a job's end, by whoever had it in hand."""
        noted = self.folder / "noted"
        lines = noted.read_text().splitlines() if noted.exists() else []
        return [told for name, told in (line.split(" ", 1) for line in lines) if name == job]

    def gone(self) -> set[int]:
        """Process numbers of the runners that the crews have told of as ended."""
        told = self.folder / "ended"
        return set(map(int, told.read_text().split())) if told.exists() else set()

    def close(self) -> None:
        for crew in self.crews:
            with suppress(ProcessLookupError):
                os.killpg(crew.pid, signal.SIGKILL)  # the session that it began
            crew.wait()
        self.jobs.close()


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    place = Yard(tmp_path)
    yield place
    place.close()


def test_a_job_is_done_and_its_result_is_there(yard: Yard) -> None:
    yard.hire()
    job = yard.ended(yard.send("answer"))
    assert (job.phase, job.rows, job.failure) == (Phase.COMPLETED, 3, None)
    (product,) = job.products
    assert (product.name, product.media, product.size) == ("result", "text/csv", 4)
    assert (yard.jobs.folders.of(job.id) / product.file).read_bytes() == b"a\n1\n"
    assert job.started is not None
    assert job.ended is not None
    assert job.created <= job.started <= job.ended
    until(lambda: yard.noted(job.id) == ["done"])


def test_faults_become_errors_and_details_stay_inside(yard: Yard) -> None:
    yard.hire()
    refused, broken, half = (yard.ended(yard.send(do)) for do in ("refuse", "break", "half"))
    assert {job.phase for job in (refused, broken, half)} == {Phase.ERROR}
    assert refused.failure is not None
    assert str(refused.failure.message) == "Line 1: no such thing. Ask for another."
    assert broken.failure is not None
    assert "secret" not in broken.failure.message
    assert broken.id in broken.failure.message
    assert half.failure is not None
    assert half.failure.message == "Row 2 cannot be."
    until(lambda: yard.files(half.id) == [])
    until(lambda: all(yard.noted(job.id) for job in (refused, broken, half)))
    noted = [yard.noted(job.id) for job in (refused, broken, half)]
    assert noted == [["UsageFault"], ["FatalFault"], ["UsageFault"]]


def test_an_abort_stops_the_work(yard: Yard) -> None:
    yard.hire()
    job = yard.send("sleep", SECONDS=60)
    process = yard.begun(job)
    assert yard.jobs.abort(job)
    until(lambda: yard.files(job) == [])
    assert yard.ended(job).phase is Phase.ABORTED
    until(lambda: yard.noted(job) == ["stopped"])
    assert process in yard.runners()  # it stopped in good order and works on
    assert yard.ended(yard.send("answer")).phase is Phase.COMPLETED


def test_an_abort_stops_even_a_task_that_is_deaf(yard: Yard) -> None:
    yard.hire(short=1)
    job = yard.send("hang")
    process = yard.begun(job)
    yard.jobs.abort(job)
    until(lambda: not _alive(process))
    assert yard.ended(yard.send("answer")).phase is Phase.COMPLETED
    assert yard.jobs.phase(job) is Phase.ABORTED
    assert yard.noted(job) == ["stopped, and its process"]


def test_a_deleted_job_stops_and_leaves_nothing(yard: Yard) -> None:
    yard.hire(short=1)
    job = yard.send("sleep", SECONDS=60)
    yard.begun(job)
    yard.jobs.delete(job)
    assert yard.ended(yard.send("answer")).phase is Phase.COMPLETED  # the one runner is free again
    assert not yard.jobs.folders.of(job).exists()
    assert yard.noted(job) == ["stopped"]


def test_the_execution_duration_is_enforced(yard: Yard) -> None:
    yard.hire()
    job = yard.ended(yard.send("sleep", SECONDS=60, duration=1))
    assert job.phase is Phase.ABORTED
    assert job.failure is not None
    assert "execution duration of 1 s" in job.failure.message
    assert job.ended is not None
    assert job.started is not None
    assert 1 <= (job.ended - job.started).total_seconds() < 5


def test_the_execution_duration_may_be_changed_under_way(yard: Yard) -> None:
    yard.hire()
    job = yard.send("sleep", SECONDS=60)
    yard.begun(job)
    yard.jobs.limit(job, 1)
    assert yard.ended(job).phase is Phase.ABORTED


def test_a_killed_runner_costs_its_job_and_no_other(yard: Yard) -> None:
    yard.hire(short=1)
    job, next_one = yard.send("sleep", SECONDS=60), yard.send("answer")
    os.kill(yard.begun(job), signal.SIGKILL)
    lost = yard.ended(job)
    assert lost.phase is Phase.ERROR
    assert lost.failure is not None
    assert lost.failure.transient
    assert "ended unexpectedly" in lost.failure.message
    assert yard.ended(next_one).phase is Phase.COMPLETED
    assert yard.beginnings(job) == 1
    assert (yard.folder / "given up").read_text().split() == [job, "ERROR"]


def test_whoever_keeps_account_is_told_of_each_runner_that_ended(yard: Yard) -> None:
    crew = yard.hire(short=2, long=1)
    killed, *others = yard.runners()
    os.kill(killed, signal.SIGKILL)
    until(lambda: yard.gone() == {killed})
    until(lambda: len(yard.runners()) == 3)
    successors = set(yard.runners())
    crew.send_signal(signal.SIGTERM)
    assert crew.wait(timeout=30) == 0
    assert yard.gone() == {killed, *others} | successors


def test_a_crew_that_leaves_while_its_runners_come_waits_for_them(yard: Yard) -> None:
    crew = yard.hire(short=1, long=0)
    for process in yard.runners():
        os.kill(process, signal.SIGKILL)
    until(lambda: bool(yard.gone()))  # about now the next one is started
    crew.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert crew.wait(timeout=30) == 0
    assert time.monotonic() - began < PACE.grace + 2  # after so long the crew would have ended it
    assert set(yard.runners()) <= yard.gone()  # the bell of one that was killed hangs until somebody rings


def test_after_a_power_cut_no_job_executes_and_none_runs_twice(yard: Yard) -> None:
    crew = yard.hire(short=1)
    job, waiting = yard.send("sleep", SECONDS=60), yard.send("answer")
    yard.begun(job)
    os.killpg(crew.pid, signal.SIGKILL)  # crew and runners at one blow; the session is the test's own
    crew.wait()
    assert yard.jobs.phase(job) is Phase.EXECUTING
    yard.hire(short=1)
    assert yard.ended(waiting).phase is Phase.COMPLETED
    assert yard.ended(job).phase is Phase.ERROR
    until(lambda: yard.files(job) == [])
    assert (yard.beginnings(job), yard.beginnings(waiting)) == (1, 1)


def test_a_runner_that_was_given_up_for_lost_has_no_say_any_more(yard: Yard) -> None:
    yard.hire(short=1)
    job = yard.send("sleep", SECONDS=2)
    runner = yard.begun(job)
    os.kill(runner, signal.SIGSTOP)
    try:
        assert yard.ended(job).phase is Phase.ERROR
    finally:
        os.kill(runner, signal.SIGCONT)
    assert yard.ended(yard.send("answer")).phase is Phase.COMPLETED
    given_up = yard.jobs.get(job)
    assert (given_up.phase, given_up.products, yard.files(job)) == (Phase.ERROR, (), [])
    assert yard.noted(job) == []  # whoever gave it up has noted it
    assert (yard.folder / "given up").read_text().split() == [job, "ERROR"]


def test_runners_end_with_their_crew(yard: Yard) -> None:
    crew = yard.hire()
    job = yard.send("sleep", SECONDS=60)
    yard.begun(job)
    runners = yard.runners()
    os.kill(crew.pid, signal.SIGKILL)
    crew.wait()
    assert yard.ended(job).phase is Phase.ERROR
    until(lambda: not any(_alive(process) for process in runners))


def test_a_crew_leaves_in_good_order(yard: Yard) -> None:
    crew = yard.hire(short=2)
    long, short = yard.send("sleep", SECONDS=60), yard.send("sleep", SECONDS=0.3)
    yard.begun(long)
    yard.begun(short)
    crew.send_signal(signal.SIGTERM)
    assert crew.wait(timeout=30) == 0
    assert yard.jobs.phase(short) is Phase.COMPLETED  # within the time of grace
    stopped = yard.jobs.get(long)
    assert stopped.phase is Phase.ERROR
    assert stopped.failure is not None
    assert stopped.failure.transient
    yard.jobs.bells.ring()  # one that had to be ended left its bell; it goes with the next ring
    assert yard.runners() == []


def test_two_crews_share_the_work_without_doing_any_twice(yard: Yard) -> None:
    yard.hire()
    yard.hire()
    jobs = [yard.send("answer") for _ in range(30)]
    assert {yard.ended(job).phase for job in jobs} == {Phase.COMPLETED}
    assert {yard.beginnings(job) for job in jobs} == {1}


def test_a_short_job_never_waits_behind_long_ones(yard: Yard) -> None:
    yard.hire(short=1)
    long = [yard.send("sleep", Lane.LONG, SECONDS=60) for _ in range(3)]
    assert yard.ended(yard.send("answer")).phase is Phase.COMPLETED
    until(lambda: yard.jobs.phase(long[0]) is Phase.EXECUTING)  # its runner may have been slower than the short one's
    assert [yard.jobs.phase(job) for job in long[1:]] == [Phase.QUEUED, Phase.QUEUED]


def test_a_job_that_was_misjudged_goes_on_in_the_long_lane(yard: Yard) -> None:
    yard.hire(short=1)
    slow = yard.send("sleep", SECONDS=60)
    process = yard.begun(slow)
    assert yard.ended(yard.send("answer")).phase is Phase.COMPLETED
    job = yard.jobs.get(slow)
    assert (job.phase, job.lane) == (Phase.EXECUTING, Lane.LONG)
    yard.jobs.abort(slow)
    until(lambda: not _alive(process))  # its place was taken: it leaves
    assert yard.beginnings(slow) == 1


def test_jobs_are_destroyed_in_time(yard: Yard) -> None:
    yard.hire()
    job = yard.ended(yard.send("answer"))
    yard.jobs.keep_until(job.id, job.created)
    until(lambda: not yard.jobs.known(job.id) and not yard.jobs.folders.of(job.id).exists())


def test_a_lease_is_over_when_no_beat_was_seen_for_long_enough(yard: Yard) -> None:
    now = [0.0]
    keeper = Keeper(yard.jobs, lease=8, clock=lambda: now[0])
    job = yard.send("answer")
    assert yard.jobs.claim("elsewhere-1-x", Lane.SHORT) is not None
    for seconds in (0.0, 7.9):
        now[0] = seconds
        keeper.round()
    yard.jobs.pulse(job, "elsewhere-1-x", 0)
    for seconds in (8.1, 16.0):
        now[0] = seconds
        keeper.round()
    assert yard.jobs.phase(job) is Phase.EXECUTING
    now[0] = 16.2
    keeper.round()
    assert yard.jobs.phase(job) is Phase.ERROR


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
