"""Which files go and which stay, how they leave and come back (DMS-DBB-REQ-0036, 0043, 0044, 0047)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from archive import sky
from archive.backbone import catalogs, dropping, gathering, pinning
from archive.backbone.amendments import retract
from archive.backbone.dropping import Swept, drop, drop_by_rule, drop_copies, sweep, undrop
from archive.backbone.endpoint import Endpoint
from archive.backbone.ingest import ingest
from archive.backbone.receiving import Status, Terms
from archive.backbone.retention import Rule
from archive.faults import FatalFault, NotFound, UsageFault
from archive.ledger import chain, holdings, incidents, replicas, retention, schema
from archive.ledger.database import stamp
from archive.ledger.holdings import Holding
from tests import clusters
from tests.archives import make, parquet, source
from tests.observations import DIFFERENCE, LSST, TAN, image

ALL = (Rule.EXPIRED, Rule.AREA, Rule.WITHDRAWN)
PLACE = "archive://archive.test/sp_test"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path, data: Path) -> Endpoint:
    """Two stores that are said to fail apart; what comes in lies in ``main`` only."""
    database = None if request.param == "sqlite" else clusters.empty(tmp_path)
    return make(tmp_path / "home", data, database=database, reserve=0, drop_grace=3600)


def bring(endpoint: Endpoint, folder: Path, name: str, content: bytes, kind: str = "intermediate", **given: str) -> str:
    """Ingest a file; returns its URI."""
    (folder / name).write_bytes(content)
    nulls = {} if kind in ("intermediate", "other") else {"*": "not told"}
    done = ingest(endpoint, gathering.copied([folder / name], Terms(kind, "sp_test", "c", given, nulls)))
    assert not done.refused, done.refused[0].fault
    return f"{PLACE}/c/{name}"


def age(endpoint: Endpoint, days: float, *uris: str) -> None:
    """Let files have come so many days ago."""
    with endpoint.ledger.write() as transaction:
        file, then = schema.artifact, stamp(datetime.now(UTC) - timedelta(days=days))
        transaction.execute(file.update().where(file.c.uri.in_(uris)).values(registered=then))


def pass_grace(endpoint: Endpoint) -> None:
    with endpoint.ledger.write() as transaction:
        transaction.execute(schema.leaving.update().values(until=stamp(datetime.now(UTC))))


def held(endpoint: Endpoint, uri: str) -> Holding:
    with endpoint.ledger.read() as transaction:
        found = holdings.find(transaction, uri)
    assert found is not None
    return found


def happened(endpoint: Endpoint, kind: str) -> list[dict[str, Any]]:
    with endpoint.ledger.read() as transaction:
        assert chain.check(transaction) is None
        return list(transaction.execute(select(schema.event.c.body).where(schema.event.c.kind == kind)).scalars())


def by_rule(endpoint: Endpoint, *rules: Rule, dry: bool = False, limit: int | None = None) -> list[tuple[str, str]]:
    """What goes by rule, with the reason."""
    told: list[tuple[str, str]] = []
    drop_by_rule(
        endpoint,
        rules or ALL,
        reason="nightly",
        dry=dry,
        limit=limit,
        told=lambda finding: told.append((finding.file.uri.rpartition("/")[2], finding.why)),
    )
    return told


def names(told: Sequence[tuple[str, str]]) -> list[str]:
    return sorted(name for name, _ in told)


# --- the cache ----------------------------------------------------------------------------------------


@pytest.mark.requirement("DMS-DBB-REQ-0036")
def test_the_cache_keeps_for_thirty_days_and_longer_what_is_pinned(endpoint: Endpoint, tmp_path: Path) -> None:
    uris = [bring(endpoint, tmp_path, name, name.encode()) for name in ("young", "old", "pinned", "over")]
    young, old, pinned, over = uris
    age(endpoint, 29, young)
    age(endpoint, 31, old, pinned, over)
    pinning.add(
        endpoint, [pinned], reason="precovery of 2026 AB", until=datetime.now(UTC) + timedelta(days=9), by="ann"
    )
    pinning.add(endpoint, [over], reason="a paper", until=datetime.now(UTC) + timedelta(days=9), by="ben")
    with endpoint.ledger.write() as transaction:
        ends = schema.pin.update().where(schema.pin.c.actor == "ben")
        transaction.execute(ends.values(until="2026-01-01T00:00:00.000000Z"))
    assert names(by_rule(endpoint, dry=True)) == ["old", "over"]
    assert held(endpoint, old).copies
    assert names(by_rule(endpoint)) == ["old", "over"]
    assert by_rule(endpoint) == []
    assert [bool(held(endpoint, uri).copies) for uri in uris] == [True, False, True, False]
    assert held(endpoint, old).dropped is not None
    with pytest.raises(UsageFault, match=r"ann has pinned it until 20\d\d-\d\d-\d\d: precovery of 2026 AB"):
        drop(endpoint, [pinned], reason="room", forced=True)
    assert pinning.remove(endpoint, [pinned], of="ann") == (pinned,)
    assert names(by_rule(endpoint)) == ["pinned"]
    told = happened(endpoint, "drop")
    assert [(each["uri"], each["rule"], each["reason"]) for each in told if each["uri"] == old] == [
        (old, "expired", "nightly")
    ]


@pytest.mark.requirement("DMS-DBB-REQ-0036")
def test_a_person_may_drop_before_the_time_but_only_what_passes_anyway(endpoint: Endpoint, tmp_path: Path) -> None:
    cached = bring(endpoint, tmp_path, "cached", b"1")
    kept = bring(endpoint, tmp_path, "kept", b"2", "other")
    with pytest.raises(UsageFault, match="it is kept until 20"):
        drop(endpoint, [cached], reason="room")
    with pytest.raises(UsageFault, match="kept cannot be dropped: files of its kind are kept for ever"):
        drop(endpoint, [cached, kept], reason="room", forced=True)
    assert held(endpoint, cached).copies
    with pytest.raises(UsageFault, match="No reason"):
        drop(endpoint, [cached], reason=" ", forced=True)
    with pytest.raises(NotFound, match="no such file"):
        drop(endpoint, [f"{cached}x"], reason="room")
    assert len(drop(endpoint, [cached], reason="room", forced=True, dry=True)) == 1
    assert held(endpoint, cached).copies
    assert len(drop(endpoint, [cached], reason="room", forced=True)) == 1
    assert drop(endpoint, [cached], reason="room", forced=True) == []
    assert [each["rule"] for each in happened(endpoint, "drop")] == ["asked"]


def test_a_run_by_rule_may_be_limited_and_goes_on_where_it_was(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dropping, "_PAGE", 3)
    uris = [bring(endpoint, tmp_path, f"f{number}", b"%d" % number) for number in range(8)]
    age(endpoint, 40, *uris)
    assert names(by_rule(endpoint, limit=4)) == ["f0", "f1", "f2", "f3"]
    assert names(by_rule(endpoint)) == ["f4", "f5", "f6", "f7"]
    pass_grace(endpoint)
    assert sweep(endpoint, limit=5).copies == 5
    assert sweep(endpoint).copies == 3


# --- out and back -------------------------------------------------------------------------------------


def test_what_is_dropped_comes_back_whole_until_its_bytes_are_deleted(endpoint: Endpoint, tmp_path: Path) -> None:
    uri = bring(endpoint, tmp_path, "f", b"content")
    (copy,) = held(endpoint, uri).copies
    place = endpoint.config.store / copy.place.path
    drop(endpoint, [uri], reason="room", forced=True)
    assert sweep(endpoint).copies == 0  # its grace is not over
    assert place.read_bytes() == b"content"
    assert undrop(endpoint, [uri], reason="still needed", dry=True) == [uri]
    assert undrop(endpoint, [uri], reason="still needed", by="ann") == [uri]
    assert undrop(endpoint, [uri], reason="still needed") == []
    (back,) = held(endpoint, uri).copies
    assert (back.place.path, held(endpoint, uri).dropped) == (copy.place.path, None)
    (told,) = happened(endpoint, "undrop")
    assert (told["uri"], told["stores"], told["actor"], told["reason"]) == (uri, ["main"], "ann", "still needed")
    drop(endpoint, [uri], reason="room", forced=True)
    pass_grace(endpoint)
    assert sweep(endpoint, dry=True).copies == 1
    assert place.exists()
    done = sweep(endpoint)
    assert (done.copies, done.size, done.held) == (1, 7, ())
    assert not place.exists()
    assert sweep(endpoint).copies == 0
    with pytest.raises(UsageFault, match="its bytes are deleted; ingest it again"):
        undrop(endpoint, [uri], reason="too late")
    with endpoint.ledger.read() as transaction:
        assert transaction.execute(select(schema.replica)).all() == []
        assert transaction.execute(select(schema.product.c.artifact)).one()


def test_damaged_bytes_do_not_come_back(endpoint: Endpoint, tmp_path: Path) -> None:
    uri = bring(endpoint, tmp_path, "f", b"content")
    (copy,) = held(endpoint, uri).copies
    drop(endpoint, [uri], reason="room", forced=True)
    (endpoint.config.store / copy.place.path).write_bytes(b"cOntent")
    with pytest.raises(FatalFault, match="are damaged"):
        undrop(endpoint, [uri], reason="needed")
    assert held(endpoint, uri).copies == ()


@pytest.mark.parametrize("swept", [False, True])
def test_the_same_bytes_again_restore_it_and_its_time_counts_anew(
    endpoint: Endpoint, tmp_path: Path, swept: bool
) -> None:
    uri = bring(endpoint, tmp_path, "f", b"content")
    age(endpoint, 31, uri)
    assert names(by_rule(endpoint)) == ["f"]
    if swept:
        pass_grace(endpoint)
        sweep(endpoint)
    (tmp_path / "f").write_bytes(b"other")
    terms = Terms("intermediate", "sp_test", "c")
    assert ingest(endpoint, gathering.copied([tmp_path / "f"], terms)).counts == {Status.REFUSED: 1}
    (tmp_path / "f").write_bytes(b"content")
    assert ingest(endpoint, gathering.copied([tmp_path / "f"], terms)).counts == {Status.RESTORED: 1}
    (copy,) = held(endpoint, uri).copies
    pass_grace(endpoint)
    assert sweep(endpoint) == Swept(0, 0, ())
    assert list(endpoint.store.paths()) == [copy.place.path]
    assert by_rule(endpoint) == []  # registered 31 days ago, here again since now
    with endpoint.ledger.write() as transaction:
        transaction.execute(schema.dropping.update().values(returned=stamp(datetime.now(UTC) - timedelta(days=30))))
    assert names(by_rule(endpoint)) == ["f"]


def test_images_that_were_dropped_are_found_no_more_until_they_come_back(endpoint: Endpoint, tmp_path: Path) -> None:
    uri = bring(endpoint, tmp_path, "d.fits", image(DIFFERENCE), "difference_image")
    observed = select(schema.observation.c.s_ra, schema.observation.c.obs_release_date)
    with endpoint.ledger.read() as transaction:
        before = transaction.execute(observed).one()
    drop(endpoint, [uri], reason="room", forced=True)
    with endpoint.ledger.read() as transaction:
        assert transaction.execute(observed).all() == []
    undrop(endpoint, [uri], reason="needed")
    with endpoint.ledger.read() as transaction:
        after = transaction.execute(observed).one()
    assert after.s_ra == before.s_ra
    assert abs(after.obs_release_date - before.obs_release_date) < timedelta(seconds=5)


def test_a_sweep_that_was_broken_off_is_completed(endpoint: Endpoint, tmp_path: Path) -> None:
    """The bytes of one copy are deleted and the ledger does not know it yet; that of another was only taken."""
    uris = [bring(endpoint, tmp_path, name, name.encode()) for name in ("a", "b")]
    drop(endpoint, uris, reason="room", forced=True)
    with endpoint.ledger.write() as transaction:
        rows = retention.leaving(transaction)
        retention.take(transaction, [row.copy for row in rows])
    endpoint.store.delete(rows[0].copy.place.path)
    with pytest.raises(UsageFault, match="its bytes are deleted"):
        undrop(endpoint, [uris[1]], reason="too late")
    assert sweep(endpoint).copies == 2
    assert list(endpoint.store.paths()) == []


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], object]], None]:
    """Has somebody else do something when a step is reached, once."""

    def arm(label: str, act: Callable[[], object]) -> None:
        waiting = [act]

        def step(reached: str) -> None:
            if reached == label and waiting:
                waiting.pop()()

        monkeypatch.setattr(dropping, "step", step)

    return arm


At = Callable[[str, Callable[[], object]], None]


@pytest.mark.parametrize("whole", [True, False])
def test_a_sweep_that_is_faster_than_the_return(endpoint: Endpoint, tmp_path: Path, at: At, whole: bool) -> None:
    uri = bring(endpoint, tmp_path, "f", b"content")
    drop(endpoint, [uri], reason="room", forced=True)
    pass_grace(endpoint)

    def begin() -> None:
        with endpoint.ledger.write() as transaction:
            retention.take(transaction, [row.copy for row in retention.leaving(transaction)])

    at("undrop.read", (lambda: sweep(endpoint)) if whole else begin)
    with pytest.raises(UsageFault, match="were deleted just now"):
        undrop(endpoint, [uri], reason="needed")
    assert held(endpoint, uri).copies == ()


def test_the_same_bytes_come_again_while_the_old_ones_are_swept(endpoint: Endpoint, tmp_path: Path, at: At) -> None:
    uri = bring(endpoint, tmp_path, "f", b"content")
    drop(endpoint, [uri], reason="room", forced=True)
    pass_grace(endpoint)
    at("sweep.taken", lambda: bring(endpoint, tmp_path, "f", b"content"))
    sweep(endpoint)
    (copy,) = held(endpoint, uri).copies
    assert list(endpoint.store.paths()) == [copy.place.path]


def test_a_copy_that_came_back_is_not_swept(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep has seen that its grace is over; somebody is faster; then it was dropped again."""
    uri = bring(endpoint, tmp_path, "f", b"content")
    drop(endpoint, [uri], reason="room", forced=True)
    pass_grace(endpoint)

    def faster(*given: Any, **named: Any) -> None:
        undrop(endpoint, [uri], reason="needed")
        drop(endpoint, [uri], reason="after all not", forced=True)

    monkeypatch.setattr(dropping, "_held", faster)
    assert sweep(endpoint).copies == 0
    monkeypatch.undo()
    assert undrop(endpoint, [uri], reason="needed") == [uri]


def test_a_check_under_way_does_not_bring_back_what_leaves(endpoint: Endpoint, tmp_path: Path) -> None:
    uri = bring(endpoint, tmp_path, "f", b"content")
    found = held(endpoint, uri)
    drop(endpoint, [uri], reason="room", forced=True)
    with endpoint.ledger.write() as transaction:
        replicas.mark_checked(transaction, found.id, "main")
        replicas.mark_right(transaction, [(found.copies[0], "1-1-1")])
    assert held(endpoint, uri).copies == ()


# --- what stays ---------------------------------------------------------------------------------------


@pytest.mark.requirement("DMS-DBB-REQ-0043")
def test_deep_coadds_never_go_not_even_forced(endpoint: Endpoint, tmp_path: Path) -> None:
    cards = {**TAN, "INSTRUME": "LSSTCam", "FILTBAND": "r", "DATE": "2026-01-01T00:00:00"}
    kinds = ("deep", "best seeing", "PSF-matched", "")
    uris = {
        kind: bring(endpoint, tmp_path, f"{at}.fits", image({**cards, "COADDKND": kind}), "coadd")
        for at, kind in enumerate(kinds)
    }
    age(endpoint, 10_000, *uris.values())
    assert names(by_rule(endpoint)) == ["2.fits"]
    for kind in ("deep", "best seeing", ""):
        with pytest.raises(UsageFault, match="kept for ever"):
            drop(endpoint, [uris[kind]], reason="room", forced=True)
        assert held(endpoint, uris[kind]).copies


@pytest.mark.requirement("DMS-DBB-REQ-0047")
def test_raws_that_products_need_are_never_deleted(endpoint: Endpoint, tmp_path: Path) -> None:
    raw = bring(endpoint, tmp_path, "raw.fits", image(LSST), "raw_image")
    cards = {**TAN, "INSTRUME": "LSSTCam", "OBSID": "1", "FILTBAND": "r", "EXPTIME": 30.0, "RAWFILE": raw}
    made = bring(endpoint, tmp_path, "pvi.fits", image({**cards, "DATE-BEG": "2026-01-01T00:00:00"}), "processed_image")
    age(endpoint, 10_000, raw)
    assert by_rule(endpoint) == []
    with pytest.raises(UsageFault, match=f"for ever, and {made} was made from it"):
        drop(endpoint, [raw], reason="room", forced=True)
    with pytest.raises(UsageFault, match="made from"):
        retract(endpoint, [raw], reason="room")
    assert held(endpoint, raw).copies


@pytest.mark.requirement("DMS-DBB-REQ-0047")
def test_what_could_not_be_made_again_stays(endpoint: Endpoint, tmp_path: Path) -> None:
    raw = bring(endpoint, tmp_path, "raw.fits", image(LSST), "raw_image")
    cards = {**TAN, "INSTRUME": "LSSTCam", "OBSID": "1", "FILTBAND": "r", "EXPTIME": 30.0, "RAWFILE": raw}
    made = bring(endpoint, tmp_path, "pvi.fits", image({**cards, "DATE-BEG": "2026-01-01T00:00:00"}), "processed_image")
    age(endpoint, 31, made)
    with endpoint.ledger.write() as transaction:
        own = schema.artifact.c.uri == raw
        number = transaction.execute(select(schema.artifact.c.id).where(own)).scalar_one()
        transaction.execute(schema.replica.update().where(schema.replica.c.artifact == number).values(has="bad"))
    assert by_rule(endpoint) == []
    with pytest.raises(UsageFault, match=f"{raw} is lost, so it could not be made again"):
        drop(endpoint, [made], reason="room", forced=True)


def test_catalogs_stay_with_their_table(endpoint: Endpoint, tmp_path: Path) -> None:
    catalogs.load(endpoint, "sp_test", "source", [parquet(tmp_path / "s.parquet", [source(1)])])
    with endpoint.ledger.read() as transaction:
        uris = list(transaction.execute(select(schema.artifact.c.uri)).scalars())
    assert len(uris) == 2
    for uri in uris:
        with pytest.raises(UsageFault, match="belongs to a table"):
            drop(endpoint, [uri], reason="room", forced=True)


@pytest.mark.parametrize("state", ["freezing", "frozen"])
def test_frozen_releases_keep_everything(endpoint: Endpoint, tmp_path: Path, state: str) -> None:
    uri = bring(endpoint, tmp_path, "f", b"1")
    age(endpoint, 100, uri)
    told = {"name": "sp_test", "state": "open", "created": stamp(datetime.now(UTC)), "freezing": "a process"}
    with endpoint.ledger.write() as transaction:
        number = transaction.execute(select(schema.artifact.c.id)).scalar_one()
        if state == "frozen":
            told |= {"state": "frozen", "freezing": None, "manifest": number}
        transaction.execute(schema.release.insert().values(**told))
    assert by_rule(endpoint) == []
    with pytest.raises(UsageFault, match="its release sp_test is frozen"):
        drop(endpoint, [uri], reason="room", forced=True)


def test_files_taken_back_lose_their_bytes_too(endpoint: Endpoint, tmp_path: Path) -> None:
    uris = [bring(endpoint, tmp_path, name, name.encode(), "other") for name in ("a", "b")]
    assert by_rule(endpoint, Rule.RETRACTED) == []
    retract(endpoint, uris, reason="a mistake")
    assert by_rule(endpoint) == []
    assert names(by_rule(endpoint, Rule.RETRACTED)) == ["a", "b"]
    assert by_rule(endpoint, Rule.RETRACTED) == []
    with pytest.raises(UsageFault, match="it was taken back, and stays so"):
        undrop(endpoint, uris, reason="after all")
    pass_grace(endpoint)
    assert sweep(endpoint).copies == 2
    assert list(endpoint.store.paths()) == []


# --- areas of the sky ---------------------------------------------------------------------------------


def policy(endpoint: Endpoint, data: Path, text: str) -> Endpoint:
    """The archive with its own ``retention.yaml``."""
    folder = endpoint.config.home / "policies"
    folder.mkdir(exist_ok=True)
    for path in data.glob("sp_test*.yaml"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "retention.yaml").write_text(text)
    object.__setattr__(endpoint.config, "descriptions", folder)
    return endpoint


def around(order: int) -> str:
    """The cell of that order which holds the images' middle, as a MOC."""
    cell = int(sky.healpix_29([53.0], [-28.0])[0])
    return f"{order}/{cell >> 2 * (29 - order)}"


@pytest.mark.requirement("DMS-DBB-REQ-0044")
def test_areas_keep_what_touches_them_and_let_go_what_lies_inside(
    endpoint: Endpoint, tmp_path: Path, data: Path
) -> None:
    inside = bring(endpoint, tmp_path, "inside.fits", image(DIFFERENCE), "difference_image")
    elsewhere = image({**DIFFERENCE, "CRVAL1": 233.0, "CRVAL2": 28.0})
    outside = bring(endpoint, tmp_path, "outside.fits", elsewhere, "difference_image")
    nowhere = bring(endpoint, tmp_path, "nowhere", b"1")
    age(endpoint, 31, inside, outside, nowhere)
    keep = f"areas:\n  - {{name: deep, moc: '{around(4)}', keep: [difference_image, intermediate]}}\n"
    assert names(by_rule(policy(endpoint, data, keep), dry=True)) == ["nowhere", "outside.fits"]
    # A cell far smaller than the image keeps it too: it touches it.
    keep = f"areas:\n  - {{name: deep, moc: '{around(20)}', keep: [difference_image]}}\n"
    assert names(by_rule(policy(endpoint, data, keep), dry=True)) == ["nowhere", "outside.fits"]
    age(endpoint, 8, inside, outside, nowhere)
    areas = f"areas:\n  - {{name: bulge, moc: '{around(4)}', drop: [difference_image, intermediate], days: 7}}\n"
    assert by_rule(policy(endpoint, data, areas), dry=True) == [("inside.fits", "it lies in the area bulge")]
    age(endpoint, 6, inside)
    assert by_rule(endpoint, dry=True) == []
    age(endpoint, 8, inside)
    small = areas.replace(around(4), around(20))  # holds its middle, not all of it
    assert by_rule(policy(endpoint, data, small), dry=True) == []


@pytest.mark.requirement("DMS-DBB-REQ-0044")
def test_all_kinds_of_coadds_are_kept_in_a_targeted_area(endpoint: Endpoint, tmp_path: Path, data: Path) -> None:
    cards = {**TAN, "INSTRUME": "LSSTCam", "FILTBAND": "r", "DATE": "2026-01-01T00:00:00", "COADDKND": "PSF-matched"}
    uris = [
        bring(endpoint, tmp_path, "in.fits", image(cards), "coadd"),
        bring(endpoint, tmp_path, "out.fits", image({**cards, "CRVAL1": 100.0}), "coadd"),
    ]
    age(endpoint, 31, *uris)
    text = (
        "exceptions:\n  - {type: coadd, item: coadd_kind, values: [psf_matched], retention: cache}\n"
        f"areas:\n  - {{name: targeted, moc: '{around(3)}', keep: [coadd]}}\n"
    )
    assert names(by_rule(policy(endpoint, data, text))) == ["out.fits"]
    with pytest.raises(UsageFault, match="it touches the area targeted"):
        drop(endpoint, [uris[0]], reason="room", forced=True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("areas:\n  - {name: a, moc: '6/1', drop: [raw_image], days: 3}", "line 2: files of type 'raw_image' are kept"),
        ("areas:\n  - {name: a, moc: '6/99999999', keep: [coadd]}", "order 6 has no HEALPix cell 99999999"),
        ("areas:\n  - {name: a, file: none.fits, keep: [coadd]}", "it is no map of the sky"),
        ("areas:\n  - {name: a, moc: '6/1', keep: [coad]}", "Did you mean 'coadd'"),
        ("areas:\n  - {name: a, moc: '6/1', drop: [intermediate]}", "'days' tells after how many days"),
        ("areas:\n  - {name: a, moc: '6/1'}", "an area keeps or drops something"),
        ("areas:\n  - {name: a, keep: [coadd]}", "an area is told by 'moc' or by 'file'"),
        ("exceptions:\n  - {type: coadd, item: kind, values: [x], retention: cache}", "has no item 'kind'"),
        ("exceptions:\n  - {type: coadd, item: coadd_kind, values: [x], retention: never}", "'retention: never'"),
    ],
)
def test_a_wrong_policy_drops_nothing(tmp_path: Path, data: Path, text: str, told: str) -> None:
    endpoint = make(tmp_path / "home", data, reserve=0)
    age(endpoint, 31, bring(endpoint, tmp_path, "f", b"1"))
    with pytest.raises(UsageFault) as caught:
        by_rule(policy(endpoint, data, text))
    assert told in str(caught.value)
    assert held(endpoint, f"{PLACE}/c/f").copies


def test_areas_are_read_from_files_that_other_programs_wrote(tmp_path: Path, data: Path) -> None:
    from mocpy import MOC

    endpoint = make(tmp_path / "home", data, reserve=0)
    uri = bring(endpoint, tmp_path, "d.fits", image(DIFFERENCE), "difference_image")
    age(endpoint, 31, uri)
    moc = MOC.from_string(around(5))
    for name, form in (("a.fits", "fits"), ("a.json", "json"), ("a.txt", "ascii")):
        text = f"areas:\n  - {{name: a, file: {name}, keep: [difference_image]}}\n"
        policy(endpoint, data, text)
        moc.save(endpoint.config.home / "policies" / name, format=form)
        assert by_rule(endpoint, dry=True) == []


# --- spare copies -------------------------------------------------------------------------------------


@pytest.fixture
def spread(tmp_path: Path, data: Path) -> Endpoint:
    """What comes in lies in two stores; a third one holds more."""
    stores = [f"{name}=file://{tmp_path / name}?domain={name}" for name in ("second", "third")]
    for name in ("second", "third"):
        (tmp_path / name).mkdir()
    return make(tmp_path / "home", data, stores=tuple(stores), copies=("second", "third"), reserve=0, drop_grace=3600)


def fewer(endpoint: Endpoint) -> Endpoint:
    """From now on two copies are asked for."""
    object.__setattr__(endpoint.config, "copies", ("second",))
    return endpoint


@pytest.mark.requirement("DMS-DBB-REQ-0035")
def test_a_spare_copy_goes_only_while_enough_others_are_good(spread: Endpoint, tmp_path: Path) -> None:
    uri = bring(spread, tmp_path, "f", b"content", "other")
    with pytest.raises(UsageFault, match="2 good copies would be left on distinct media, and 3 are asked for"):
        drop_copies(spread, "third", [uri], reason="moving out")
    fewer(spread)
    second = next(copy for copy in held(spread, uri).copies if copy.place.store == "second")
    (tmp_path / "second" / second.place.path).write_bytes(b"cOntent")
    with spread.ledger.write() as transaction:
        transaction.execute(schema.replica.update().values(checked="2026-01-01T00:00:00.000000Z"))
    with pytest.raises(UsageFault, match="1 good copies would be left"):
        drop_copies(spread, "third", [uri], reason="moving out")
    with spread.ledger.read() as transaction:  # the damage was found by reading it now
        assert [each.kind for each in incidents.open_incidents(transaction)] == ["bad-copy"]
    assert sorted(copy.place.store for copy in held(spread, uri).copies) == ["main", "third"]


@pytest.mark.requirement("DMS-DBB-REQ-0035")
def test_a_spare_copy_is_swept_only_while_the_others_are_still_good(spread: Endpoint, tmp_path: Path) -> None:
    fine, hurt = (bring(spread, tmp_path, name, name.encode(), "other") for name in ("fine", "hurt"))
    fewer(spread)
    for uri in (fine, hurt):
        assert [file.uri for file in drop_copies(spread, "third", [uri], reason="moving out")] == [uri]
        assert sorted(copy.place.store for copy in held(spread, uri).copies) == ["main", "second"]
        with pytest.raises(UsageFault, match="1 good copies would be left"):
            drop_copies(spread, "second", [uri], reason="moving out")
    second = next(copy for copy in held(spread, hurt).copies if copy.place.store == "second")
    (tmp_path / "second" / second.place.path).unlink()
    with spread.ledger.write() as transaction:
        transaction.execute(schema.replica.update().values(checked="2026-01-01T00:00:00.000000Z"))
    pass_grace(spread)
    done = sweep(spread)
    assert done.copies == 1
    assert [(row.uri, why) for row, why in done.held] == [
        (hurt, "only 1 other good copies are left: bring it back with 'archive undrop'")
    ]
    assert undrop(spread, [hurt], reason="the other is gone") == [hurt]
    assert sorted(copy.place.store for copy in held(spread, hurt).copies) == ["main", "third"]
    assert [path.name for path in (tmp_path / "third").rglob("*") if path.is_file()] == ["hurt"]


def test_copies_on_one_disk_count_as_one(tmp_path: Path, data: Path) -> None:
    for name in ("second", "third"):
        (tmp_path / name).mkdir()
    told = {"second": "rack", "third": "rack"}
    stores = tuple(f"{name}=file://{tmp_path / name}?domain={domain}" for name, domain in told.items())
    endpoint = make(tmp_path / "home", data, stores=stores, copies=("second", "third"), reserve=0)
    uri = bring(endpoint, tmp_path, "f", b"1", "other")
    with pytest.raises(UsageFault, match="1 good copies would be left on distinct media, and 2 are asked for"):
        drop_copies(endpoint, "main", [uri], reason="try")
    assert drop_copies(endpoint, "third", [uri], reason="try")


# --- pins ---------------------------------------------------------------------------------------------


def test_pins_are_ones_own(endpoint: Endpoint, tmp_path: Path) -> None:
    uri = bring(endpoint, tmp_path, "f", b"1")
    end = datetime.now(UTC) + timedelta(days=3)
    assert pinning.add(endpoint, [uri], reason="mine", until=end, by="ann") == [uri]
    assert pinning.add(endpoint, [uri], reason="mine", until=end, by="ann") == []
    assert pinning.add(endpoint, [uri], reason="mine", by="ben") == [uri]
    assert [(pin.actor, pin.until, pin.reason) for pin in pinning.pins(endpoint)] == [
        ("ann", end, "mine"),
        ("ben", None, "mine"),
    ]
    assert pinning.remove(endpoint, [uri], by="cleo") == ()
    assert pinning.remove(endpoint, [uri], by="ben") == (uri,)
    with pytest.raises(UsageFault, match="is over"):
        pinning.add(endpoint, [uri], reason="late", until=datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(UsageFault, match="No reason"):
        pinning.add(endpoint, [uri], reason="")
    pinning.remove(endpoint, [uri], of="ann")
    drop(endpoint, [uri], reason="room", forced=True)
    with pytest.raises(UsageFault, match="was dropped"):
        pinning.add(endpoint, [uri], reason="too late")
    assert [each["uri"] for each in happened(endpoint, "pin")] == [uri, uri]
    assert [each["of"] for each in happened(endpoint, "unpin")] == ["ben", "ann"]
