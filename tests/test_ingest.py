"""Files become products: each of them whole or not at all, however it is done, whatever goes wrong."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from archive.backbone import gathering, manifests, reserve
from archive.backbone.amendments import retract
from archive.backbone.endpoint import Endpoint
from archive.backbone.ingest import Ingested, Intake, ingest
from archive.backbone.receiving import Outcome, Request, Status, Terms
from archive.backbone.registering import Who
from archive.backbone.registrar import sweep_abandoned
from archive.backbone.sources import Digest, Stream
from archive.backbone.steps import LABELS, VARIABLE
from archive.faults import FatalFault, TransientFault, UsageFault
from archive.ledger import arrivals, files, incidents, products, replicas, schema
from archive.ledger.arrivals import Arrival
from archive.ledger.files import Known
from tests import clusters
from tests.archives import make, reopened, run_verb, silence, snapshot
from tests.observations import DIFFERENCE, LSST, image

TERMS = Terms("other", "sp_test", "notes")
PLACE = "archive://archive.test/sp_test/notes"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path, data: Path) -> Endpoint:
    database = None if request.param == "sqlite" else clusters.empty(tmp_path)
    return make(tmp_path / "home", data, database=database, reserve=0)


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """A folder of seven files, one of them hidden."""
    folder = tmp_path / "night"
    (folder / "deep").mkdir(parents=True)
    for number in range(5):
        (folder / f"{number}.txt").write_text(f"file {number}")
    (folder / "deep" / "ü b.txt").write_text("deep")
    (folder / ".5.txt.part").write_text("half")
    return folder


def take(endpoint: Endpoint, *paths: Path, terms: Terms = TERMS, **options: Any) -> Ingested:
    return ingest(endpoint, gathering.copied(paths, terms), **options)


def known(endpoint: Endpoint, *uris: str) -> dict[str, Known]:
    with endpoint.ledger.read() as transaction:
        return files.find(transaction, uris)


def happened(endpoint: Endpoint, kind: str) -> list[dict[str, Any]]:
    table = schema.event
    with endpoint.ledger.read() as transaction:
        rows = transaction.execute(select(table.c.body).where(table.c.kind == kind).order_by(table.c.seq))
        return list(rows.scalars())


def stored_and_registered(endpoint: Endpoint) -> tuple[set[str], set[str]]:
    with endpoint.ledger.read() as transaction:
        registered = set(transaction.execute(select(schema.replica.c.path)).scalars())
        assert transaction.execute(select(schema.arrival)).all() == []
    staged = endpoint.config.store / "staging"
    assert not staged.exists() or list(staged.iterdir()) == []
    return set(endpoint.store.paths()), registered


# --- what stands afterwards -----------------------------------------------------------------------


@pytest.mark.requirement("DMS-DBB-REQ-0034")
def test_a_folder_comes_in(endpoint: Endpoint, night: Path) -> None:
    done = take(endpoint, night, by="alice", reason="first night")
    assert done == Ingested({Status.NEW: 6}, ())
    found = known(endpoint, f"{PLACE}/night/0.txt", f"{PLACE}/night/deep/%C3%BC%20b.txt")
    assert len(found) == 2
    artifact = found[f"{PLACE}/night/deep/%C3%BC%20b.txt"].artifact
    assert artifact.content == (hashlib.sha256(b"deep").hexdigest(), 4)
    with endpoint.store.open(artifact.here.path) as file:
        assert file.read() == b"deep"
    told = happened(endpoint, "artifact")
    assert {body["uri"] for body in told} >= set(found)
    assert {(body["actor"], body["reason"]) for body in told} == {("alice", "first night")}
    assert told[0]["product"]["release"] == "sp_test"
    stored, registered = stored_and_registered(endpoint)
    assert stored == registered


@pytest.mark.requirement("DMS-DBB-REQ-0034")
def test_again_changes_nothing(endpoint: Endpoint, night: Path) -> None:
    take(endpoint, night)
    before = snapshot(endpoint)
    assert take(endpoint, night).counts == {Status.KNOWN: 6}
    assert snapshot(endpoint) == before


def test_messages_tell_which_file(endpoint: Endpoint, night: Path) -> None:
    (night / "deep" / "a.fits").write_bytes(b"SIMPLE")
    done = take(endpoint, night)
    assert [str(each.fault).partition(",")[0] for each in done.refused] == ["night/deep/a.fits"]


def test_more_files_than_a_batch(endpoint: Endpoint, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(300):
        (folder / f"{number:03d}").write_text(str(number))
    told: list[Outcome] = []
    assert take(endpoint, folder, told=told.append).counts == {Status.NEW: 300}
    assert {outcome.request.name for outcome in told} == {f"many/{number:03d}" for number in range(300)}
    stored, registered = stored_and_registered(endpoint)
    assert stored == registered
    with endpoint.ledger.read() as transaction:
        assert transaction.execute(select(schema.taken_in.c.files)).scalar_one() == 300


@pytest.mark.requirement("DMS-DBB-REQ-0002")
def test_an_image_is_described_by_its_header(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "e1.fits").write_bytes(image(LSST))
    terms = Terms("raw_image", "sp_test", "raw", nulls={"*": "not told"}, public_from="2028-01-01T00:00:00.000000Z")
    take(endpoint, tmp_path / "e1.fits", terms=terms)
    uri = "archive://archive.test/sp_test/raw/e1.fits"
    found = known(endpoint, uri)[uri]
    assert (found.artifact.media_type, found.artifact.public_from) == ("application/fits", terms.public_from)
    with endpoint.ledger.read() as transaction:
        described = products.find(transaction, [found.id])[found.id]
        cell = transaction.execute(select(schema.product.c._healpix_29)).scalar_one()
    assert (described.product.exposure, described.product.band, described.revision) == ("MC_O_20260228_000123", "r", 1)
    assert cell is not None


@pytest.mark.requirement("DMS-DBB-REQ-0003")
def test_inputs_are_found_when_they_come(endpoint: Endpoint, tmp_path: Path) -> None:
    cards = {**DIFFERENCE, "SCIENCE": f"{PLACE}/science.txt", "TEMPLATE": f"{PLACE}/template.txt"}
    (tmp_path / "d.fits").write_bytes(image(cards))
    (tmp_path / "science.txt").write_text("science")
    take(endpoint, tmp_path / "d.fits", terms=Terms("difference_image", "sp_test", "diff", nulls={"*": "not told"}))
    uri = "archive://archive.test/sp_test/diff/d.fits"
    take(endpoint, tmp_path / "science.txt")
    with endpoint.ledger.read() as transaction:
        number = files.find(transaction, [uri])[uri].id
        inputs = {role: found for role, _, found in products.resolved_inputs(transaction, number)}
        science = files.find(transaction, [f"{PLACE}/science.txt"])[f"{PLACE}/science.txt"].id
    assert inputs == {"science": science, "template": None}


def test_a_stream_of_unknown_length(endpoint: Endpoint) -> None:
    content = os.urandom(3_000_000)
    request = Request("a.bin", Stream("a.bin", io.BytesIO(content)), TERMS)
    with Intake(endpoint) as intake:
        outcome = intake.take_one(request, Who("pipeline"))
        again = intake.take_one(replace(request, source=Stream("a.bin", io.BytesIO(content), len(content))))
        other = replace(request, source=Stream("a.bin", io.BytesIO(b"other")))
        with pytest.raises(UsageFault, match="other bytes") as refused:
            intake.take_one(other)
    assert (outcome.status, again.status, refused.value.status) == (Status.NEW, Status.KNOWN, 409)
    assert outcome.artifact is not None
    assert outcome.artifact.sha256 == hashlib.sha256(content).hexdigest()
    assert happened(endpoint, "artifact")[0]["actor"] == "pipeline"


# --- what is refused ------------------------------------------------------------------------------


def test_one_bad_file_stops_no_other(endpoint: Endpoint, night: Path, tmp_path: Path) -> None:
    take(endpoint, night / "0.txt")
    (night / "0.txt").write_text("something else")
    (night / "bad.fits").write_bytes(image(LSST)[:-1000])
    (night / "empty").touch()
    (night / "x.txt").symlink_to(tmp_path / "nowhere")
    done = ingest(endpoint, gathering.copied([*sorted(night.glob("[!.]*.*")), night / "empty"], TERMS))
    assert done.counts == {Status.NEW: 4, Status.REFUSED: 4}
    faults = {outcome.request.name: str(outcome.fault) for outcome in done.refused}
    assert "is registered with other bytes" in faults["0.txt"]
    assert "ends" in faults["bad.fits"]
    assert "is empty" in faults["empty"]
    assert "is no file" in faults["x.txt"]
    stored, registered = stored_and_registered(endpoint)
    assert stored == registered


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (replace(TERMS, type="raw_imge"), "no product type 'raw_imge'. Did you mean 'raw_image'"),
        (replace(TERMS, release="sp_tset"), "No release 'sp_tset' is described. Did you mean 'sp_test'"),
        (replace(TERMS, collection="../x"), "is no name of a collection"),
    ],
)
@pytest.mark.requirement("DMS-DBB-REQ-0034")
def test_wrong_terms(endpoint: Endpoint, night: Path, terms: Terms, message: str) -> None:
    before = snapshot(endpoint)
    with pytest.raises(UsageFault) as refused:
        take(endpoint, night, terms=terms)
    assert message in str(refused.value)
    assert snapshot(endpoint) == before


@pytest.mark.parametrize("name", ["a/../b", "", "x" * 256, "a\udcff", "a\nb", "a\x7f", "a//b", "/a", "y/" * 500 + "z"])
def test_names_that_cannot_be(endpoint: Endpoint, name: str) -> None:
    done = ingest(endpoint, [Request(name, Stream("a", io.BytesIO(b"a")), TERMS)])
    assert "cannot be a file's name here" in str(done.refused[0].fault)
    assert list(endpoint.store.paths()) == []


def test_the_same_name_twice(endpoint: Endpoint) -> None:
    def requests(*contents: bytes) -> list[Request]:
        return [Request("a", Stream("a", io.BytesIO(content)), TERMS) for content in contents]

    assert ingest(endpoint, requests(b"1", b"1", b"2"), dry_run=True).counts == {Status.NEW: 2, Status.REFUSED: 1}
    assert ingest(endpoint, requests(b"1", b"1", b"2", b"1")).counts == {
        Status.NEW: 1,
        Status.KNOWN: 2,
        Status.REFUSED: 1,
    }
    assert len(list(endpoint.store.paths())) == 1


def test_digests_of_those_who_deliver(endpoint: Endpoint, night: Path) -> None:
    (request,) = gathering.copied([night / "0.txt"], TERMS)
    wrong = ingest(endpoint, [replace(request, digest=Digest("0" * 64))])
    assert "its sha256 is" in str(wrong.refused[0].fault)
    right = Digest.read("sha256:" + hashlib.sha256(b"file 0").hexdigest().upper())
    assert ingest(endpoint, [replace(request, digest=right)]).counts == {Status.NEW: 1}
    with pytest.raises(UsageFault, match="is no sha256 digest"):
        Digest.read("sha256:123")


def test_a_list_of_digests(endpoint: Endpoint, night: Path) -> None:
    done = subprocess.run(["sha256sum", "0.txt", "1.txt"], cwd=night, capture_output=True, text=True, check=True)
    (night / "SHA256").write_text(done.stdout)
    digests = gathering.listed_digests(str(night / "SHA256"))
    chosen = [night / "0.txt", night / "1.txt"]
    (night / "1.txt").write_text("changed")
    done_ = ingest(endpoint, gathering.copied(chosen, TERMS, digests))
    assert done_.counts == {Status.NEW: 1, Status.REFUSED: 1}
    with pytest.raises(UsageFault, match=r"no digest for 1 files: .*2\.txt"):
        gathering.copied([night / "2.txt"], TERMS, digests)
    (night / "SHA256").write_text("nonsense  a\n")
    with pytest.raises(UsageFault, match="line 1: there is no digest"):
        gathering.listed_digests(str(night / "SHA256"))


def test_a_file_that_grows_while_it_is_read(endpoint: Endpoint) -> None:
    short = Request("a", Stream("a", io.BytesIO(b"abc"), 4), TERMS)
    assert "3 bytes came of 4" in str(ingest(endpoint, [short]).refused[0].fault)


def test_a_dry_run_writes_nothing(endpoint: Endpoint, night: Path) -> None:
    (night / "bad.fits").write_bytes(b"SIMPLE")
    before = snapshot(endpoint)
    done = take(endpoint, night, dry_run=True)
    assert done.counts == {Status.NEW: 6, Status.REFUSED: 1}
    assert snapshot(endpoint) == before


# --- files that lie in a store --------------------------------------------------------------------


@pytest.fixture
def old(endpoint: Endpoint, tmp_path: Path) -> Endpoint:
    """An endpoint with a read-only store of two files."""
    folder = tmp_path / "old" / "2020"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "b.txt").write_text("b")
    return reopened(replace(endpoint.config, stores=(f"old=file://{tmp_path}/old?readonly",)))


def test_what_lies_in_a_store_is_adopted(old: Endpoint, tmp_path: Path) -> None:
    done = ingest(old, gathering.adopted(old, [tmp_path / "old"], TERMS))
    assert done.counts == {Status.NEW: 2}
    again = ingest(old, gathering.adopted(old, [Path("old:2020/a.txt")], TERMS))
    assert again.counts == {Status.KNOWN: 1}
    place = known(old, f"{PLACE}/2020/a.txt")[f"{PLACE}/2020/a.txt"].artifact.here
    assert (place.store, place.path, place.adopted) == ("old", "2020/a.txt", True)
    assert list(old.store.paths()) == []


def test_a_file_in_a_store_has_one_name(old: Endpoint, tmp_path: Path) -> None:
    """It stops no other; and when it was adopted by mistake it can be adopted rightly."""
    take_over = gathering.adopted(old, [tmp_path / "old" / "2020" / "a.txt"], TERMS)
    assert ingest(old, take_over).counts == {Status.NEW: 1}
    wrong = gathering.adopted(old, [tmp_path / "old"], replace(TERMS, collection="other"))
    done = ingest(old, wrong)
    assert done.counts == {Status.NEW: 1, Status.REFUSED: 1}
    assert f"old:2020/a.txt is registered already, as {PLACE}/2020/a.txt." in str(done.refused[0].fault)
    retract(old, [f"{PLACE}/2020/a.txt"], reason="wrong collection")
    assert ingest(old, wrong).counts == {Status.NEW: 1, Status.KNOWN: 1}
    assert (tmp_path / "old" / "2020" / "a.txt").read_text() == "a"


def test_what_lies_elsewhere_is_not_adopted(old: Endpoint, night: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="lies in no store of this archive"):
        gathering.adopted(old, [night], TERMS)
    with pytest.raises(UsageFault, match="There is no file"):
        gathering.adopted(old, [tmp_path / "old" / "2021"], TERMS)


def test_adopted_files_are_not_deleted(old: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise FatalFault("No.")

    monkeypatch.setattr(products, "add", refuse)
    with pytest.raises(FatalFault, match=r"No\."):
        ingest(old, gathering.adopted(old, [tmp_path / "old"], TERMS))
    assert list(old.stores["old"].paths()) == ["2020/a.txt", "2020/b.txt"]


# --- what goes wrong ------------------------------------------------------------------------------


def test_a_copy_that_was_lost_is_restored(endpoint: Endpoint, night: Path) -> None:
    take(endpoint, night / "0.txt")
    uri = f"{PLACE}/0.txt"
    before = known(endpoint, uri)[uri]
    with endpoint.ledger.write() as transaction:
        replicas.mark_bad(transaction, before.id, "main", "nothing was there")
    assert known(endpoint, uri)[uri].artifact.place is None
    assert take(endpoint, night / "0.txt").counts == {Status.RESTORED: 1}
    place = known(endpoint, uri)[uri].artifact.here
    with endpoint.store.open(place.path) as file:
        assert file.read() == b"file 0"
    with endpoint.ledger.read() as transaction:
        assert incidents.open_incidents(transaction) == []
    stored, registered = stored_and_registered(endpoint)
    assert stored == registered == {place.path}


def test_a_ledger_that_refuses(endpoint: Endpoint, night: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(endpoint)

    def refuse(*_: object) -> None:
        raise FatalFault("No.")

    monkeypatch.setattr(products, "add", refuse)
    with pytest.raises(FatalFault, match=r"No\."):
        take(endpoint, night)
    assert snapshot(endpoint) == before


def test_who_was_taken_for_dead_registers_nothing(
    endpoint: Endpoint, night: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = type(endpoint.store).commit_all

    def slowly(*arguments: Any) -> None:
        """Silent for a while after files got their names; meanwhile another process sweeps, and then it comes back."""
        place(*arguments)
        with endpoint.ledger.read() as transaction:
            mine = transaction.execute(select(schema.process)).mappings().one()
        with endpoint.ledger.write() as transaction:
            transaction.execute(schema.process.delete())
        sweep_abandoned(reopened(endpoint.config))
        with endpoint.ledger.write() as transaction:
            transaction.execute(schema.process.insert().values(**mine))

    monkeypatch.setattr(type(endpoint.store), "commit_all", slowly)
    with pytest.raises(TransientFault, match="taken for dead"):
        take(endpoint, night)
    assert list(endpoint.store.paths()) == []
    assert known(endpoint, f"{PLACE}/night/0.txt") == {}


STEPS = [label for label in LABELS if label.startswith(("ingest", "store"))]


@pytest.mark.service
@pytest.mark.requirement("DMS-DBB-REQ-0019")
@pytest.mark.requirement("DMS-DBB-REQ-0056")
@pytest.mark.parametrize("step", STEPS)
def test_killed(step: str, endpoint: Endpoint, night: Path) -> None:
    command = ("ingest", str(night), "--type", "other", "--release", "sp_test", "--collection", "notes")
    killed = run_verb(endpoint, *command, **{VARIABLE: f"{step}=kill"})
    assert killed.returncode == -9, killed.stderr
    uris = [f"{PLACE}/night/{number}.txt" for number in range(5)]
    assert len(known(endpoint, *uris)) in (0, 5)
    silence(endpoint)
    done = run_verb(endpoint, *command)
    assert done.returncode == 0, done.stderr
    assert len(known(endpoint, *uris)) == 5
    stored, registered = stored_and_registered(endpoint)
    assert stored == registered


@pytest.mark.service
@pytest.mark.parametrize(("step", "error"), list(zip(STEPS, itertools.cycle(["ENOSPC", "EIO"]), strict=False)))
def test_a_disk_that_fails(step: str, error: str, endpoint: Endpoint, night: Path) -> None:
    command = ("ingest", str(night), "--type", "other", "--release", "sp_test", "--collection", "notes")
    failed = run_verb(endpoint, *command, **{VARIABLE: f"{step}={error}"})
    assert failed.returncode == FatalFault.exit_code
    assert "Traceback" not in failed.stderr
    stored, registered = stored_and_registered(endpoint)
    assert stored == registered
    done = run_verb(endpoint, *command)
    assert done.returncode == 0, done.stderr
    stored, registered = stored_and_registered(endpoint)
    assert stored == registered
    assert len(stored) == 6


# --- the reserve ----------------------------------------------------------------------------------


def with_room(endpoint: Endpoint, room: int) -> Endpoint:
    """The endpoint with so many bytes left above its reserve, about."""
    free = endpoint.store.free()
    assert free is not None
    return reopened(replace(endpoint.config, reserve=free - room))


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_reserve_is_not_touched(endpoint: Endpoint, night: Path, dry_run: bool) -> None:
    take(endpoint, night / "1.txt")
    full = with_room(endpoint, -(10**9))
    before = set(full.store.paths())
    with pytest.raises(TransientFault, match=r"There is no room for 6 bytes in the store 'main'") as refused:
        take(full, night / "0.txt", dry_run=dry_run)
    assert refused.value.status == 507
    assert "the reserve is reached now" in str(refused.value)
    assert set(full.store.paths()) == before
    with full.ledger.read() as transaction:
        kinds = [each.kind for each in incidents.open_incidents(transaction)]
    assert kinds == ([] if dry_run else ["reserve"])
    take(endpoint, night / "0.txt")
    with full.ledger.read() as transaction:
        assert incidents.open_incidents(transaction) == []


def test_what_is_kept_needs_no_room(endpoint: Endpoint, tmp_path: Path) -> None:
    """An ingest that was broken off goes on where there is room for the rest, not for all of it."""
    folder = tmp_path / "large"
    folder.mkdir()
    (folder / "1").write_bytes(bytes(4_000_000))
    take(endpoint, folder)
    nearly_full = with_room(endpoint, 3_000_000)
    (folder / "2").write_bytes(b"a")
    assert take(nearly_full, folder).counts == {Status.KNOWN: 1, Status.NEW: 1}


def test_what_others_bring_is_counted(endpoint: Endpoint, night: Path) -> None:
    room = with_room(endpoint, 10**12)
    with endpoint.attend("ingest") as other:
        with endpoint.ledger.write() as transaction:
            arrivals.begin(transaction, Arrival("other", other.id, "main", None), 10**13)
        with pytest.raises(TransientFault, match=r"10\.0 TB more are on their way in"):
            take(room, night / "0.txt")
    assert take(room, night / "0.txt").counts == {Status.NEW: 1}  # the claims of the dead count no more


def test_the_forecast(endpoint: Endpoint) -> None:
    room = with_room(endpoint, 10**11)
    with room.ledger.write() as transaction:
        arrivals.note(transaction, "main", 10, 10**11)
    found = reserve.outlook(room, room.store)
    assert found is not None
    assert found.rate == pytest.approx(10**11 / 6.5 / 3600, rel=0.1)
    assert found.reached is not None
    assert str(found).startswith("At the rate of the last 6 hours (")


# --- manifests ------------------------------------------------------------------------------------


def line(path: str, content: bytes, **told: object) -> str:
    digest = hashlib.sha256(content).hexdigest()
    facts = {"path": path, "sha256": digest, "size": len(content), "type": "other", "release": "sp_test"}
    return json.dumps(facts | {"collection": "notes", "store": "old"} | told) + "\n"


def test_files_known_from_elsewhere(old: Endpoint, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest"
    lines = [line("2020/a.txt", b"a", band="g", t_min=60000.5, ra=10.0, dec=-5.0, metadata={"x": {"value": 1}})]
    lines += [line("2020/b.txt", b"B"), line("2020/c.txt", b"c")]
    manifest.write_text("".join(lines))
    unread = manifests.register(old, manifest, read=False)
    assert (unread.new, unread.present) == (3, 0)
    uri = f"{PLACE}/2020/a.txt"
    assert known(old, uri)[uri].artifact.place is None, "nobody sees what nobody has read"
    read = manifests.register(old, manifest)
    assert (read.new, read.known, read.present) == (0, 3, 1)
    faults = {name.rpartition("/")[2]: str(fault) for name, fault in read.refused}
    assert "It has 1 bytes with sha256" in faults["b.txt"]
    assert "has no file '2020/c.txt'" in faults["c.txt"]
    found = known(old, uri)[uri]
    assert found.artifact.here.adopted
    with old.ledger.read() as transaction:
        assert products.find(transaction, [found.id])[found.id].product.band == "g"
        wrong = {each.subject for each in incidents.open_incidents(transaction)}
    assert wrong == {f"{PLACE}/2020/b.txt", f"{PLACE}/2020/c.txt"}
    (tmp_path / "old" / "2020" / "b.txt").write_text("B")
    assert manifests.register(old, manifest).present == 1
    assert sorted(path.name for path in (tmp_path / "old" / "2020").iterdir()) == ["a.txt", "b.txt"]


def test_a_manifest_gives_a_file_one_name(old: Endpoint, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest"
    lines = [line("2020/a.txt", b"a"), line("2020/a.txt", b"a", name="x"), line("2020/b.txt", b"b")]
    manifest.write_text("".join(lines))
    done = manifests.register(old, manifest)
    assert (done.new, done.present) == (2, 2)
    assert [f"as {PLACE}/2020/a.txt" in str(fault) for _, fault in done.refused] == [True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "line 1: this is no JSON object"),
        ('{"path": "a"}', "'sha256' is missing"),
        (line("a", b"a", colour="red"), "'colour' is not known"),
        (line("a", b"a", size=-1), "which is no number of bytes"),
        (line("a", b"a", store="new"), "there is no store 'new'"),
        (line("a", b"a", type="raw"), "There is no product type 'raw'"),
        (line("a", b"a", t_min="x"), "could not convert"),
        (line("../a", b"a"), "'../a' is no path in a store"),
    ],
)
def test_manifests_that_are_wrong(old: Endpoint, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "manifest").write_text(text)
    with pytest.raises(UsageFault) as refused:
        manifests.register(old, tmp_path / "manifest")
    assert message in str(refused.value)


# --- the verb -------------------------------------------------------------------------------------


def test_the_verb(endpoint: Endpoint, night: Path) -> None:
    command = ("ingest", "--type", "other", "--release", "sp_test", "--collection", "notes")
    (night / "bad.fits").write_bytes(b"SIMPLE")
    done = run_verb(endpoint, *command, str(night), "--json", "--reason", "first")
    assert done.returncode == 2
    facts = json.loads(done.stdout)
    assert facts["counts"] == {"new": 6, "refused": 1}
    assert {each["status"] for each in facts["files"]} == {"new", "refused"}
    again = run_verb(endpoint, *command, str(night / "0.txt"), str(night / "1.txt"))
    assert (again.returncode, again.stdout) == (0, "2 files ingested.\n"), "names are told from beside the paths given"
    digest = f"sha256:{hashlib.sha256(b'file 2').hexdigest()}"
    assert run_verb(endpoint, *command, str(night / "2.txt"), "--digest", digest).returncode == 0
    assert "must be given" in run_verb(endpoint, "ingest", str(night)).stderr
    assert "there is no '='" in run_verb(endpoint, *command, str(night), "--set", "a").stderr
    assert "is no date" in run_verb(endpoint, *command, str(night), "--public-from", "soon").stderr
