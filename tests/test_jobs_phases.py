"""Jobs as rows: only legal moves, each by compare-and-set, whoever else moves at the same time."""

from __future__ import annotations

import datetime
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.faults import NotFound, TransientFault, UsageFault
from archive.jobs import MOVES, Client, Draft, Failure, Jobs, Lane, Parameter, Phase, Product, Terms, tables
from tests.postgres import postgres

NOBODY = Client(None, "192.0.2.1")
SOMEBODY = Client("ada", "192.0.2.1")
RUNNER = "runner-1"
BROKEN = Failure("TransientFault", "It broke.")


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

    def __call__(self) -> datetime.datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += datetime.timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without jobs."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/jobs.sqlite"
        return
    served: str = request.getfixturevalue("server")
    yield served
    engine = sa.create_engine(served)
    with engine.begin() as connection:
        tables.metadata.drop_all(connection)
        connection.execute(sa.DDL("DROP TABLE jobs_version"))
    engine.dispose()


@pytest.fixture
def jobs(url: str, tmp_path: Path, clock: Clock) -> Iterator[Jobs]:
    store = Jobs(url, tmp_path / "jobs", clock=clock)
    yield store
    store.close()


def draft(client: Client = NOBODY, **parameters: str) -> Draft:
    return Draft("tap", client, tuple(Parameter(name, value) for name, value in parameters.items()))


def in_phase(jobs: Jobs, phase: Phase) -> str:
    """A job that came into ``phase`` by the ordinary way."""
    job = jobs.create(draft()).id
    if phase is Phase.ABORTED:
        jobs.abort(job)
    if phase in (Phase.QUEUED, Phase.EXECUTING, Phase.COMPLETED, Phase.ERROR):
        jobs.run(job)
    if phase in (Phase.EXECUTING, Phase.COMPLETED, Phase.ERROR):
        assert jobs.claim(RUNNER, Lane.SHORT) is not None
    if phase is Phase.COMPLETED:
        jobs.complete(job, RUNNER, [], 0)
    if phase is Phase.ERROR:
        jobs.fail(job, BROKEN)
    assert jobs.phase(job) is phase
    return job


def attempt(jobs: Jobs, job: str, target: Phase) -> bool:
    match target:
        case Phase.QUEUED:
            return jobs.run(job)
        case Phase.EXECUTING:
            return jobs.claim(RUNNER, Lane.SHORT) is not None
        case Phase.COMPLETED:
            return jobs.complete(job, RUNNER, [], 0)
        case Phase.ERROR:
            return jobs.fail(job, BROKEN)
    return jobs.abort(job)


REACHED = (Phase.PENDING, Phase.QUEUED, Phase.EXECUTING, Phase.COMPLETED, Phase.ERROR, Phase.ABORTED)


@pytest.mark.parametrize(("phase", "target"), list(itertools.product(REACHED, REACHED[1:])))
def test_a_job_moves_along_the_table_and_no_other_way(jobs: Jobs, phase: Phase, target: Phase) -> None:
    job = in_phase(jobs, phase)
    legal = target in MOVES.get(phase, ())
    assert attempt(jobs, job, target) is legal
    assert jobs.phase(job) is (target if legal else phase)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(REACHED[1:]), max_size=12))
def test_no_history_leaves_an_ended_job_or_begins_one_twice(jobs: Jobs, targets: list[Phase]) -> None:
    job, history = jobs.create(draft()).id, [Phase.PENDING]
    for target in targets:
        if attempt(jobs, job, target):
            history.append(target)
    assert all(later in MOVES[earlier] for earlier, later in itertools.pairwise(history))
    assert history.count(Phase.EXECUTING) <= 1
    assert jobs.phase(job) is history[-1]
    jobs.delete(job)


def test_a_job_is_taken_by_one_runner_only(url: str, tmp_path: Path) -> None:
    def store() -> Jobs:
        return Jobs(url, tmp_path / "jobs")

    first = store()
    created = [first.create(draft()).id for _ in range(40)]
    for job in created:
        first.run(job)
    taken: list[str] = []

    def take(name: str) -> None:
        mine = store()
        while (job := mine.claim(name, Lane.SHORT)) is not None:
            taken.append(job.id)
        mine.close()

    threads = [threading.Thread(target=take, args=(f"runner-{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(created)
    first.close()


def test_an_ended_job_ignores_the_runner_that_held_it(jobs: Jobs) -> None:
    job = in_phase(jobs, Phase.EXECUTING)
    jobs.fail(job, BROKEN)
    assert jobs.pulse(job, RUNNER, 7) is None
    assert not jobs.complete(job, RUNNER, [Product("result", "text/csv", "result.csv", 3)], 1)
    assert jobs.get(job).products == ()
    assert jobs.get(job).failure == BROKEN


def test_another_runner_cannot_end_a_job(jobs: Jobs) -> None:
    job = in_phase(jobs, Phase.EXECUTING)
    assert jobs.pulse(job, "runner-2", 0) is None
    assert not jobs.complete(job, "runner-2", [], 0)
    assert not jobs.fail(job, BROKEN, runner="runner-2")
    assert not jobs.abort(job, runner="runner-2")
    assert jobs.phase(job) is Phase.EXECUTING


def test_a_job_remembers_what_it_was_given(jobs: Jobs, clock: Clock) -> None:
    given_ = (Parameter("QUERY", "SELECT 1 AS a FROM t"), Parameter("UPLOAD", "t,param:t"), Parameter("t", "param:t"))
    asked = clock.now + datetime.timedelta(days=2)
    job = jobs.create(Draft("tap", SOMEBODY, given_, "my run", 20, asked), {"t": [b"<VOTABLE/>"]})
    assert (job.client, job.run_id, job.duration, job.destruction) == (SOMEBODY, "my run", 20, asked)
    assert [(p.name, p.value) for p in job.parameters] == [(p.name, p.value) for p in given_]
    assert job.parameters[2].file is not None
    assert job.parameters[2].file.read_bytes() == b"<VOTABLE/>"


def test_parameters_given_again_replace_but_uploads_add_up(jobs: Jobs) -> None:
    job = jobs.create(draft(QUERY="old", UPLOAD="a,http://example.org/a")).id
    jobs.add(job, [Parameter("query", "new"), Parameter("UPLOAD", "b,http://example.org/b")])
    assert [(p.name, p.value) for p in jobs.get(job).parameters] == [
        ("UPLOAD", "a,http://example.org/a"),
        ("query", "new"),
        ("UPLOAD", "b,http://example.org/b"),
    ]


@pytest.mark.parametrize("phase", REACHED[1:])
def test_parameters_are_fixed_once_the_job_is_committed(jobs: Jobs, phase: Phase) -> None:
    job = in_phase(jobs, phase)
    with pytest.raises(UsageFault, match=phase):
        jobs.add(job, [Parameter("QUERY", "new")])
    with pytest.raises(UsageFault, match=phase):
        jobs.rename(job, "other")


def test_what_is_asked_for_is_clipped(jobs: Jobs, clock: Clock) -> None:
    job = jobs.create(draft()).id
    assert jobs.get(job).duration == Terms().duration
    jobs.limit(job, 0)
    assert jobs.get(job).duration == Terms().longest_duration
    jobs.keep_until(job, clock.now + datetime.timedelta(days=1000))
    assert jobs.get(job).destruction == clock.now + datetime.timedelta(seconds=Terms().longest_retention)
    jobs.keep_until(job, clock.now - datetime.timedelta(days=1))
    assert jobs.overdue() == [job]


def test_nothing_is_known_of_a_deleted_job(jobs: Jobs) -> None:
    job = jobs.create(draft(), {}).id
    jobs.delete(job)
    jobs.delete(job)
    for ask in (jobs.get, jobs.phase, jobs.run, lambda job: jobs.limit(job, 1), lambda job: jobs.add(job, [])):
        with pytest.raises(NotFound, match=job):
            ask(job)


def test_lists_are_filtered_newest_first(jobs: Jobs, clock: Clock) -> None:
    ids, times = [], []
    for _ in range(4):
        clock.forward(1)
        times.append(clock.now)
        ids.append(jobs.create(draft()).id)
    jobs.create(draft(SOMEBODY))
    jobs.abort(ids[1])
    assert [ref.id for ref in jobs.seen_by("tap", NOBODY)] == ids[::-1]
    assert [ref.id for ref in jobs.seen_by("tap", NOBODY, last=2)] == [ids[3], ids[2]]
    assert [ref.id for ref in jobs.seen_by("tap", NOBODY, after=times[1])] == [ids[3], ids[2]]
    assert [ref.id for ref in jobs.seen_by("tap", NOBODY, phases=[Phase.ABORTED, Phase.QUEUED])] == [ids[1]]
    assert jobs.seen_by("tap", NOBODY, phases=[Phase.PENDING], after=times[2], last=1)[0].id == ids[3]
    assert jobs.seen_by("soda", NOBODY) == []
    assert len(jobs.seen_by("tap", None)) == 5


def test_whoever_has_least_running_goes_first(jobs: Jobs, clock: Clock) -> None:
    mine = [jobs.create(draft(NOBODY)).id for _ in range(3)]
    yours = jobs.create(draft(SOMEBODY)).id
    for job in (*mine, yours):
        clock.forward(1)
        jobs.run(job)
    assert [jobs.place_in_queue(jobs.get(job)) for job in (*mine, yours)] == [1, 2, 3, 4]
    assert _claimed(jobs) == mine[0]
    assert [jobs.place_in_queue(jobs.get(job)) for job in (*mine, yours)] == [None, 2, 3, 1]
    assert [_claimed(jobs), _claimed(jobs), _claimed(jobs)] == [yours, mine[1], mine[2]]
    assert jobs.claim(RUNNER, Lane.SHORT) is None


def _claimed(jobs: Jobs) -> str:
    job = jobs.claim(RUNNER, Lane.SHORT)
    assert job is not None
    return job.id


def test_lanes_are_apart_and_a_lane_can_be_full(jobs: Jobs) -> None:
    slow = [jobs.create(draft()).id for _ in range(2)]
    for job in slow:
        jobs.run(job, Lane.LONG)
    assert jobs.claim(RUNNER, Lane.SHORT) is None
    assert jobs.claim(RUNNER, Lane.LONG, most=1) is not None
    assert jobs.claim(RUNNER, Lane.LONG, most=1) is None
    quick = in_phase(jobs, Phase.EXECUTING)
    assert jobs.slow(quick, RUNNER)
    assert jobs.get(quick).lane is Lane.LONG
    assert jobs.claim(RUNNER, Lane.LONG, most=2) is None
    assert jobs.claim(RUNNER, Lane.LONG, most=3) is not None


def test_shares_are_kept(url: str, tmp_path: Path) -> None:
    terms = Terms(active=1, kept=3, stored=100)
    jobs = Jobs(url, tmp_path / "jobs", terms)
    first, second = (jobs.create(draft()).id for _ in range(2))
    jobs.run(first)
    with pytest.raises(TransientFault, match="1 jobs under way; 1 are allowed") as caught:
        jobs.run(second)
    assert (caught.value.status, caught.value.after) == (429, 10)
    assert not jobs.run(first)  # asked for again, it is no second job
    assert jobs.claim(RUNNER, Lane.SHORT) is not None
    jobs.complete(first, RUNNER, [Product("result", "text/csv", "result.csv", 100)], 1)
    with pytest.raises(TransientFault, match="results and uploads fill 100 bytes; 100 are allowed"):
        jobs.run(second)
    jobs.create(draft())
    with pytest.raises(TransientFault, match="You have 3 jobs"):
        jobs.create(draft())
    jobs.create(draft(SOMEBODY))
    jobs.close()


def test_uploads_that_are_kept_count_as_stored(url: str, tmp_path: Path) -> None:
    jobs = Jobs(url, tmp_path / "jobs", Terms(stored=10))
    upload = (Parameter("t", "param:t"),)
    first = jobs.create(Draft("tap", NOBODY, upload), {"t": [b"12345"]}).id
    jobs.add(first, (Parameter("u", "param:u"),), {"u": [b"67890"]})
    with pytest.raises(TransientFault, match="fill 10 bytes; 10 are allowed"):
        jobs.create(Draft("tap", NOBODY, upload), {"t": [b"1"]})
    with pytest.raises(TransientFault, match="fill 10 bytes"):
        jobs.add(first, (Parameter("v", "param:v"),), {"v": [b"1"]})
    with pytest.raises(TransientFault, match="fill 10 bytes"):
        jobs.run(first)
    other = jobs.create(Draft("tap", SOMEBODY, upload), {"t": [b"1"]}).id
    assert jobs.run(other)
    jobs.delete(first)
    assert jobs.run(jobs.create(Draft("tap", NOBODY, upload), {"t": [b"1"]}).id)
    jobs.close()


def test_a_result_beyond_its_limit_leaves_nothing(tmp_path: Path) -> None:
    jobs = Jobs(f"sqlite:///{tmp_path}/jobs.sqlite", tmp_path / "jobs")
    assert jobs.folders.write("a", "fits", [b"12", b"34"], most=4) == 4
    with pytest.raises(UsageFault, match="larger than the 4 bytes"):
        jobs.folders.write("a", "larger", [b"12", b"34", b"5"], most=4)
    assert [path.name for path in jobs.folders.of("a").iterdir()] == ["fits"]
    jobs.close()


def test_folders_without_a_job_are_found(jobs: Jobs) -> None:
    job = jobs.create(Draft("tap", NOBODY, (Parameter("t", "param:t"),)), {"t": [b"x"]}).id
    jobs.folders.write("forgotten", "result", [b"x"])
    assert jobs.folders.strays(jobs.known, age=-1) == ["forgotten"]
    assert jobs.folders.of(job).is_dir()


def test_a_full_disk_is_told_and_leaves_nothing(jobs: Jobs) -> None:
    folder = jobs.folders.of("a")
    folder.mkdir()
    (folder / "result.csv.part").symlink_to("/dev/full")  # where writing fails as it does on a full disk
    with pytest.raises(TransientFault, match="no space left for results"):
        jobs.folders.write("a", "result.csv", [b"more than fits"])
    assert list(folder.iterdir()) == []
