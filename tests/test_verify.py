"""Stored files are looked after: damage is made in every way, and found, and mended where good bytes are."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from archive.backbone import bundles, catalogs, gathering
from archive.backbone.endpoint import Endpoint
from archive.backbone.ingest import ingest
from archive.backbone.stores import Staged
from archive.backbone.verification import verify as verifying
from archive.backbone.verification.brakes import Brake
from archive.backbone.verification.judging import Damaged, Missing, Orphan
from archive.backbone.verification.patience import Patience
from archive.backbone.verification.sources import Source
from archive.backbone.verification.verify import Report, Terms
from archive.ledger import arrivals, incidents, rounds, underway
from archive.ledger.arrivals import Arrival
from archive.ledger.rounds import Copy
from archive.serving import Load
from tests import archives, clusters, holdings
from tests.buckets import BUCKET, KEY, SECRET, Buckets

pytestmark = pytest.mark.requirement("DMS-DBB-REQ-0035")


def check(endpoint: Endpoint, **terms: Any) -> Report:
    """Verify the main store; nobody else is at work."""
    asked = Terms(stores=("main",), **terms)
    calm = Patience(lambda: 0.0)
    (report,) = verifying.verify(endpoint, asked, verifying.own_sources(endpoint), patient=calm)
    return report


def accused(report: Report) -> set[str]:
    return {each.copy.uri for each in report.wrong if isinstance(each, Damaged | Missing)}


def lying(endpoint: Endpoint) -> dict[str, Path]:
    return {uri: endpoint.config.store / path for uri, path in holdings.places(endpoint).items()}


@pytest.fixture
def endpoint(tmp_path: Path, data: Path) -> Iterator[Endpoint]:
    with archives.make(tmp_path / "home", data, reserve=0) as made:
        yield made


@pytest.fixture
def doubled(tmp_path: Path, data: Path) -> Iterator[Endpoint]:
    """An archive whose files lie in two stores."""
    yield from in_two_stores(tmp_path, data, None)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def either(request: pytest.FixtureRequest, tmp_path: Path, data: Path) -> Iterator[Endpoint]:
    """The same, with its ledger in each kind of database."""
    yield from in_two_stores(tmp_path, data, None if request.param == "sqlite" else clusters.database(tmp_path))


def in_two_stores(folder: Path, data: Path, database: str | None) -> Iterator[Endpoint]:
    (folder / "second").mkdir()
    stores = (f"second=file://{folder / 'second'}",)
    settings: dict[str, Any] = {"stores": stores, "copies": ("second",), "database": database}
    with archives.make(folder / "home", data, reserve=0, **settings) as made:
        yield made


# --- the campaign ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_one_deep_check_finds_all_damage_and_accuses_nobody_else(endpoint: Endpoint, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    sent = holdings.fill(endpoint, tmp_path, 1000, chance)
    assert check(endpoint, deep=True).failed == 0
    harmed = holdings.damage(lying(endpoint), 0.15, chance)
    assert len(set(harmed.values())) == 6
    report = check(endpoint, deep=True)
    assert accused(report) == harmed.keys()
    gone = {uri for uri, how in harmed.items() if how == "delete"}
    bad = harmed.keys() - gone
    expected = {uri: "absent" if uri in gone else "bad" if uri in bad else "present" for uri in sent}
    assert holdings.states(endpoint) == expected
    assert report.braked
    assert ("brakes", "main") in holdings.incidents_of(endpoint)
    assert check(endpoint, deep=True).failed == 0  # what is known is not found again


def test_names_and_sizes_tell_what_they_can(endpoint: Endpoint, tmp_path: Path) -> None:
    chance = random.Random(3)
    holdings.fill(endpoint, tmp_path, 300, chance)
    harmed = holdings.damage(lying(endpoint), 0.1, chance)
    seen = {uri for uri, how in harmed.items() if how in ("truncate", "extend", "empty", "delete")}
    assert seen <= accused(check(endpoint)) <= harmed.keys()


def test_a_dry_run_finds_the_same_and_changes_nothing(doubled: Endpoint, tmp_path: Path) -> None:
    chance = random.Random(4)
    holdings.fill(doubled, tmp_path, 60, chance)
    harmed = holdings.damage(lying(doubled), 0.06, chance)
    before = archives.snapshot(doubled)
    report = check(doubled, deep=True, repair=True, dry_run=True)
    assert accused(report) == harmed.keys() == {each.copy.uri for each in report.mended}
    assert archives.snapshot(doubled) == before


# --- mending --------------------------------------------------------------------------------------


def test_what_is_wrong_is_made_again_from_another_store(either: Endpoint, tmp_path: Path) -> None:
    chance = random.Random(5)
    sent = holdings.fill(either, tmp_path, 400, chance)
    harmed = holdings.damage(lying(either), 0.008, chance)
    report = check(either, deep=True, repair=True)
    assert {each.copy.uri for each in report.mended} == harmed.keys() == accused(report)
    assert {each.source for each in report.mended} == {"another store"}
    assert set(holdings.states(either).values()) == {"present"}
    assert {uri: path.read_bytes() for uri, path in lying(either).items()} == sent
    assert set(either.store.paths()) == set(holdings.places(either).values())  # what was bad is gone
    assert holdings.incidents_of(either) == []
    again = check(either, deep=True, repair=True)
    assert (again.failed, again.mended, again.unmended) == (0, [], [])


def test_the_last_copy_is_kept_however_bad(endpoint: Endpoint, tmp_path: Path) -> None:
    holdings.fill(endpoint, tmp_path, 3, random.Random(6))
    uri, path = sorted(lying(endpoint).items())[0]
    path.write_bytes(b"what is left")
    report = check(endpoint, deep=True, repair=True)
    assert [each.why for each in report.unmended] == ["nobody has its bytes"]
    assert path.read_bytes() == b"what is left"
    assert holdings.incidents_of(endpoint) == [("bad-copy", uri), ("not-mended", uri)]


def test_bytes_that_come_back_are_taken_as_good(endpoint: Endpoint, tmp_path: Path) -> None:
    sent = holdings.fill(endpoint, tmp_path, 3, random.Random(7))
    (first, damaged), (second, gone), _ = sorted(lying(endpoint).items())
    damaged.write_bytes(b"?" * len(sent[first]))
    gone.unlink()
    assert accused(check(endpoint, deep=True)) == {first, second}
    assert [holdings.states(endpoint)[uri] for uri in (first, second)] == ["bad", "absent"]
    damaged.write_bytes(sent[first])
    gone.write_bytes(sent[second])
    assert check(endpoint).counts["returned"] == 2
    assert set(holdings.states(endpoint).values()) == {"present"}
    assert holdings.incidents_of(endpoint) == []


def test_a_part_is_made_again_from_what_was_delivered(endpoint: Endpoint, tmp_path: Path) -> None:
    rows = archives.parquet(tmp_path / "rows.parquet", [archives.source(number) for number in range(2000)])
    more = archives.parquet(tmp_path / "more.parquet", [archives.source(3000 + number) for number in range(500)])
    catalogs.load(endpoint, "sp_test", "source", [rows, more])
    (uri, part), *_ = [(uri, path) for uri, path in lying(endpoint).items() if "/parts/" in uri]
    good = part.read_bytes()
    part.write_bytes(good[:-8] + b"PAR1PAR1")
    report = check(endpoint, deep=True, repair=True)
    assert [each.source for each in report.mended] == ["what was delivered"]
    assert lying(endpoint)[uri].read_bytes() == good


def test_a_bundle_is_mended_with_its_members(doubled: Endpoint, tmp_path: Path) -> None:
    members = []
    for number in range(5):
        (tmp_path / f"{number}.txt").write_text(f"member {number}")
        members.append(bundles.Member(f"small/{number}.txt", tmp_path / f"{number}.txt", "text/plain"))
    bundles.register(doubled, "bundles/one.tar", members)
    path = doubled.config.store / "bundles/one.tar"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"member 3", b"membeR 3"))
    report = check(doubled, deep=True, repair=True)
    assert {uri.rpartition("/")[2] for uri in accused(report)} == {"one.tar", "3.txt"}
    assert set(holdings.states(doubled).values()) == {"present"}
    assert (doubled.config.store / next(iter(holdings.places(doubled).values()))).read_bytes() == whole
    assert check(doubled, deep=True).failed == 0


def test_an_adopted_file_is_never_removed(tmp_path: Path, data: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "a.txt").write_text("as it was")
    stores = (f"theirs=file://{tmp_path / 'theirs'}?readonly=yes",)
    with archives.make(tmp_path / "home", data, reserve=0, stores=stores) as endpoint:
        ingest(endpoint, gathering.adopted(endpoint, [tmp_path / "theirs"], holdings.TERMS))
        (tmp_path / "theirs" / "a.txt").write_text("as it is.")
        patient = Patience(lambda: 0.0)
        terms = Terms(deep=True, repair=True, stores=("theirs",))
        (report,) = verifying.verify(endpoint, terms, (_Giving(b"as it was"),), patient=patient)
        assert [each.store for each in report.mended] == ["main"]
        (uri, place), *_ = holdings.places(endpoint).items()
        assert (endpoint.config.store / place).read_bytes() == b"as it was"
        assert (tmp_path / "theirs" / "a.txt").read_text() == "as it is."
        assert holdings.states(endpoint, "theirs") == {uri: "bad"}


class _Giving(Source):
    """Gives some bytes, whatever is asked for."""

    name = "a friend"

    def __init__(self, data: bytes) -> None:
        self.data = data

    def has(self, wanted: Copy) -> bool:
        return True

    def fetch(self, wanted: Copy, staging: Callable[[], Staged]) -> Staged:
        staged = staging()
        staged.write(self.data)
        staged.close()
        return staged


def test_a_source_is_never_believed(endpoint: Endpoint, tmp_path: Path) -> None:
    holdings.fill(endpoint, tmp_path, 2, random.Random(8))
    path, other = lying(endpoint).values()
    path.unlink()
    calm = Patience(lambda: 0.0)
    (report,) = verifying.verify(endpoint, Terms(repair=True), (_Giving(b"lies"),), patient=calm)
    assert [each.why for each in report.unmended] == ["a friend gave other bytes"]
    assert [endpoint.config.store / each for each in endpoint.store.paths()] == [other]


# --- brakes ---------------------------------------------------------------------------------------


def test_nothing_is_mended_while_too_much_fails_until_a_person_says_so(doubled: Endpoint, tmp_path: Path) -> None:
    chance = random.Random(9)
    holdings.fill(doubled, tmp_path, 200, chance)
    harmed = holdings.damage(lying(doubled), 0.05, chance)
    report = check(doubled, deep=True, repair=True)
    assert accused(report) == harmed.keys()
    assert (report.braked, report.mended) == (True, [])
    assert ("brakes", "main") in holdings.incidents_of(doubled)
    assert check(doubled, repair=True).mended == []
    with doubled.ledger.write(reason="the cable was loose") as transaction:
        incidents.close_incident(transaction, "brakes", "main")
    assert len(check(doubled, repair=True).mended) == len(harmed)
    assert set(holdings.states(doubled).values()) == {"present"}
    assert holdings.incidents_of(doubled) == []


def test_the_brake_counts_the_last_checks_only() -> None:
    brake = Brake(window=100, share=0.1, least=5)
    assert not any(brake.check(failed=number % 20 == 0) for number in range(1000))
    assert (brake.failed, brake.tripped) == (5, False)
    trips = [brake.check(failed=True) for _ in range(10)]
    assert trips.count(True) == 1
    assert brake.tripped


@pytest.mark.requirement("DMS-DBB-REQ-0041")
def test_a_store_whose_disk_is_not_mounted_is_left_alone(doubled: Endpoint, tmp_path: Path) -> None:
    holdings.fill(doubled, tmp_path, 10, random.Random(10))
    assert check(doubled).away is None
    root = doubled.config.store
    root.rename(tmp_path / "unmounted")
    for make in (root.mkdir, lambda: (root / "ARCHIVE-STORE").write_text("main of another archive\n")):
        make()
        report = check(doubled, deep=True, repair=True)
        assert report.away is not None
        assert "mark" in report.away
        assert set(holdings.states(doubled).values()) == {"present"}
        assert holdings.incidents_of(doubled) == [("store-away", "main")]
    shutil.rmtree(root)
    (tmp_path / "unmounted").rename(root)
    assert check(doubled, deep=True).counts["right"] == 20
    assert holdings.incidents_of(doubled) == []


def test_a_store_without_a_mark_gets_none_where_its_files_are_not(endpoint: Endpoint, tmp_path: Path) -> None:
    holdings.fill(endpoint, tmp_path, 3, random.Random(11))
    root = endpoint.config.store
    root.rename(tmp_path / "unmounted")
    root.mkdir()
    assert check(endpoint).away == "it has no mark, and none of its files"
    assert list(root.iterdir()) == []


# --- orphans --------------------------------------------------------------------------------------


def test_what_nobody_names_is_told_when_it_is_old_and_stays(endpoint: Endpoint, tmp_path: Path) -> None:
    holdings.fill(endpoint, tmp_path, 5, random.Random(12))
    root = endpoint.config.store
    for name, days in {"parts/old": 2, "parts/new": 0, "products/under-way/old": 2, "zz": 3}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"whose?")
        then = time.time() - days * 86_400 - 60
        os.utime(path, (then, then))
    with endpoint.ledger.write() as transaction:
        arrivals.begin(transaction, Arrival("one", "somebody", "main", "products/under-way"))
    report = check(endpoint, repair=True)
    assert [each.lying.path for each in report.wrong if isinstance(each, Orphan)] == ["parts/old", "zz"]
    assert report.failed == 0
    assert (root / "parts/old").exists()


# --- going on -------------------------------------------------------------------------------------


def test_a_limited_check_goes_on_with_what_was_not_read_for_longest(either: Endpoint, tmp_path: Path) -> None:
    sent = holdings.fill(either, tmp_path, 50, random.Random(13))
    with either.ledger.read() as transaction:
        before = [copy.uri for copy in rounds.oldest(transaction, "main", "3000", None, 100)]
    first = check(either, deep=True, limit=20)
    assert (first.read, first.whole) == (20, False)
    with either.ledger.read() as transaction:
        after = [copy.uri for copy in rounds.oldest(transaction, "main", "3000", None, 100)]
    assert after[:30] == before[20:]
    reports = [check(either, deep=True, limit=20) for _ in range(2)]
    assert [each.read for each in reports] == [20, 10]
    assert [each.resumed for each in reports] == [True, True]
    assert [each.whole for each in reports] == [False, True]
    with either.ledger.read() as transaction:
        done = rounds.last(transaction, "main", deep=True, ended=True)
    assert done is not None
    assert (done.files, done.bytes) == (50, sum(map(len, sent.values())))


def test_a_limited_look_at_names_goes_on_too(endpoint: Endpoint, tmp_path: Path) -> None:
    holdings.fill(endpoint, tmp_path, 50, random.Random(14))
    uri, path = max(lying(endpoint).items(), key=lambda item: item[1])
    path.unlink()
    reports = [check(endpoint, limit=20) for _ in range(3)]
    assert [(each.listed, each.whole) for each in reports] == [(20, False), (20, False), (10, True)]
    assert [accused(each) for each in reports] == [set(), set(), {uri}]


@pytest.mark.requirement("DMS-DBB-REQ-0041")
def test_a_check_that_is_killed_goes_on_where_it_was(endpoint: Endpoint, tmp_path: Path) -> None:
    """Findings are entered in batches of 500: two of them were, and the third is read by the next run."""
    holdings.fill(endpoint, tmp_path, 1100, random.Random(17))
    killed = archives.run_verb(endpoint, "verify", "--deep", CRASH_AT="verify.noted=kill@5")
    assert killed.returncode == -9, killed.stderr
    report = check(endpoint, deep=True)
    assert (report.resumed, report.read, report.whole) == (True, 100, True)
    with endpoint.ledger.read() as transaction:
        done = rounds.last(transaction, "main", deep=True)
    assert done is not None
    assert (done.files, done.ended is not None) == (1100, True)


@pytest.mark.parametrize("label", ["mend.named", "mend.registering", "mend.registered"])
def test_a_repair_that_is_killed_loses_nothing_and_is_done_by_the_next(
    doubled: Endpoint, tmp_path: Path, label: str
) -> None:
    sent = holdings.fill(doubled, tmp_path, 20, random.Random(15))
    for path in sorted(lying(doubled).values())[:3]:
        path.write_bytes(b"bad")
    settings = {"ARCHIVE_STORES": " ".join(doubled.config.stores), "ARCHIVE_COPIES": "second"}
    verb = ("--json", "verify", "--deep", "--repair")
    killed = archives.run_verb(doubled, *verb, **settings, CRASH_AT=f"{label}=kill@2")
    assert killed.returncode == -9, killed.stderr
    archives.silence(doubled)
    again = archives.run_verb(doubled, *verb, **settings)
    assert again.returncode == 0, again.stdout + again.stderr
    assert {uri: path.read_bytes() for uri, path in lying(doubled).items()} == sent
    left = set(doubled.store.paths()) - set(holdings.places(doubled).values())
    assert len(left) == (1 if label == "mend.registered" else 0)  # a bad copy that has a good one: an orphan
    assert holdings.incidents_of(doubled) == []


# --- giving way -----------------------------------------------------------------------------------


@pytest.mark.requirement("DMS-DBB-REQ-0014")
def test_checks_work_a_tenth_of_the_time_while_others_are_at_work() -> None:
    time, others = 0.0, 0.0
    rests: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal time
        rests.append(seconds)
        time += seconds

    patient = Patience(lambda: others, clock=lambda: time, sleep=sleep)
    patient.begin()
    for others in (0.0, 3.0, 0.1):
        time += 10  # more than between two looks
        patient.begin()
        before = len(rests)
        for _ in range(100):
            time += 0.01
            patient.step()
        rested = sum(rests[before:])
        assert rested == pytest.approx(9.0) if others > 1 else rested == 0.0
    assert patient.rested == pytest.approx(9.0)


@pytest.mark.requirement("DMS-DBB-REQ-0014")
def test_who_is_at_work_is_told_by_living_processes_only(endpoint: Endpoint) -> None:
    load = [2.5]
    serving = endpoint.ledger.attend("serve", 60.0, lambda: 1, lambda: load[0])
    coming = endpoint.attend("ingest")

    def at_work() -> float:
        with endpoint.ledger.read() as transaction:
            return underway.at_work(transaction)

    assert at_work() == 0.0
    serving.begin()
    coming.begin()
    assert at_work() == 2.5
    with endpoint.ledger.write() as transaction:
        arrivals.begin(transaction, Arrival("one", coming.id, "main", None), 1000)
        arrivals.begin(transaction, Arrival("two", "the dead", "main", None), 1000)
    assert at_work() == 3.5
    load[0] = 0.0
    serving.beat()
    coming.leave()
    assert at_work() == 0.0
    load[0] = 1.0
    serving.beat()
    archives.silence(endpoint)
    assert at_work() == 0.0
    serving.leave()


def test_how_busy_a_process_is_on_the_average() -> None:
    time = 0.0
    load = Load(lambda: time)
    load.change(1)
    time = 2.0
    load.change(1)
    time = 3.0
    load.change(-1)
    load.change(-1)
    time = 4.0
    assert load.mean() == 1.0  # 2 s one, 1 s two, 1 s none
    assert load.mean() == 0.0
    time = 5.0
    assert load.mean() == 0.0


# --- on a bucket ----------------------------------------------------------------------------------


@pytest.mark.service
def test_a_campaign_on_a_bucket(tmp_path: Path, data: Path) -> None:
    buckets = Buckets(tmp_path / "buckets")
    try:
        keys = tmp_path / "keys"
        keys.write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
        stores = (f"second=s3://{BUCKET}/files?endpoint={buckets.url}&credentials={keys}&copy=header&patience=1",)
        with archives.make(tmp_path / "home", data, reserve=0, stores=stores, copies=("second",)) as endpoint:
            _campaign(endpoint, buckets, tmp_path)
    finally:
        buckets.close()


def _campaign(endpoint: Endpoint, buckets: Buckets, tmp_path: Path) -> None:
    chance = random.Random(16)
    sent = holdings.fill(endpoint, tmp_path, 60, chance)

    def there() -> dict[str, Path]:
        return {uri: buckets.place(f"files/{path}") for uri, path in holdings.places(endpoint, "second").items()}

    harmed = holdings.damage(there(), 0.2, chance)
    terms = Terms(deep=True, repair=True, stores=("second",))
    calm = Patience(lambda: 0.0)
    (report,) = verifying.verify(endpoint, terms, verifying.own_sources(endpoint), patient=calm)
    assert accused(report) == harmed.keys()
    assert report.braked
    with endpoint.ledger.write(reason="a test") as transaction:
        incidents.close_incident(transaction, "brakes", "second")
    (report,) = verifying.verify(endpoint, terms, verifying.own_sources(endpoint), patient=calm)
    assert {each.copy.uri for each in report.mended} == harmed.keys()
    assert {uri: path.read_bytes() for uri, path in there().items()} == sent
