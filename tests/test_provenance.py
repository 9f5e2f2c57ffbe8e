"""Provenance: who made what from what, told by deliverers, by headers and by our own loads; walked both ways."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from archive.backbone import activities, catalogs, gathering
from archive.backbone.amendments import amend, retract
from archive.backbone.copies import Copies
from archive.backbone.dropping import drop
from archive.backbone.endpoint import Endpoint
from archive.backbone.ingest import Ingested, ingest
from archive.backbone.receiving import Terms
from archive.faults import UsageFault
from archive.ledger import holdings, provenance, schema
from archive.ledger.activities import Activity, Told
from archive.ledger.provenance import Lineage, Presence, Way
from archive.query import Question, answer
from tests import clusters
from tests.archives import make, parquet, snapshot, source
from tests.observations import DIFFERENCE, image

PLACE = "archive://archive.test/sp_test"

DONE = {
    "id": "run-7/subtract",
    "name": "subtraction",
    "software": "hotpants",
    "version": "5.1.11",
    "agent": "Night crew",
    "start_time": "2026-01-02T03:04:05",
    "stop_time": "2026-01-02T03:05:00Z",
    "parameters": {"order": 2, "kernel": "gauss"},
    "used": [{"role": "science", "entity": f"{PLACE}/raw/s.csv"}, {"role": "flat", "entity": f"{PLACE}/raw/f.csv"}],
}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path, data: Path) -> Endpoint:
    database = None if request.param == "sqlite" else clusters.database(tmp_path)
    return make(tmp_path / "home", data, database=database, reserve=0)


def telemetry(endpoint: Endpoint, folder: Path, name: str, activity: Activity | None = None) -> str:
    """Ingest a file; returns its URI."""
    (folder / name).write_text(f"time,temperature\n1,{name}\n")
    terms = Terms("engineering_data", "sp_test", "raw", {"subsystem": "dome"}, {"*": "not told"}, activity=activity)
    _ingested(ingest(endpoint, gathering.copied([folder / name], terms)))
    return f"{PLACE}/raw/{name}"


def difference(endpoint: Endpoint, folder: Path, name: str, activity: Activity | None = None, **inputs: str) -> str:
    """Ingest a difference image, which is made if it is not there; returns its URI."""
    if not (folder / name).exists():  # made again its bytes would differ: astropy notes when
        (folder / name).write_bytes(image({**DIFFERENCE, **inputs}))
    terms = Terms("difference_image", "sp_test", "diff", nulls={"*": "not told"}, activity=activity)
    _ingested(ingest(endpoint, gathering.copied([folder / name], terms)))
    return f"{PLACE}/diff/{name}"


def _ingested(done: Ingested) -> None:
    assert not done.refused, done.refused[0].fault


def read(told: dict[str, Any]) -> Activity:
    return activities.read(json.dumps(told), "archive.test", "told.json")


def walk(endpoint: Endpoint, *uris: str, way: Way = Way.ORIGINS, most: int = 100) -> Lineage:
    with endpoint.ledger.read() as transaction:
        return provenance.lineage(transaction, uris, way, most)


def count(endpoint: Endpoint) -> tuple[int, int, int]:
    """How many activities, uses and made files there are."""
    with endpoint.ledger.read() as transaction:
        tables = (schema.activity, schema.used, schema.was_generated_by)
        first, second, third = (
            transaction.execute(select(func.count()).select_from(each)).scalar_one() for each in tables
        )
        return first, second, third


@pytest.mark.requirement("DMS-DBB-REQ-0008")
def test_what_a_deliverer_tells_of_how_files_were_made(endpoint: Endpoint, tmp_path: Path) -> None:
    activity = read(DONE)
    science, flat = telemetry(endpoint, tmp_path, "s.csv"), telemetry(endpoint, tmp_path, "f.csv")
    assert count(endpoint) == (0, 0, 0)  # nobody made what was observed
    made = [difference(endpoint, tmp_path, f"{n}.fits", activity, SCIENCE=science, TEMPLATE="t.fits") for n in (1, 2)]
    assert count(endpoint) == (1, 2, 2)
    found = walk(endpoint, made[0])
    (done,) = found.activities.values()
    assert done == activity
    assert done.uri == "activity://archive.test/run-7/subtract"
    assert (done.start_time, done.stop_time) == ("2026-01-02T03:04:05.000000Z", "2026-01-02T03:05:00.000000Z")
    assert done.parameters == {"order": "2", "kernel": "gauss"}
    assert {(each.role, each.source) for each in found.derivations} >= {("science", science), ("flat", flat)}
    assert {each.activity for each in found.derivations} == {activity.uri}
    before = snapshot(endpoint)
    difference(endpoint, tmp_path, "1.fits", activity, SCIENCE=science, TEMPLATE="t.fits")
    assert snapshot(endpoint) == before
    with pytest.raises(UsageFault, match="known with other facts"):
        telemetry(endpoint, tmp_path, "other.csv", read(DONE | {"version": "5.2"}))
    assert snapshot(endpoint) == before


@pytest.mark.requirement("DMS-DBB-REQ-0012")
def test_what_headers_tell_of_how_files_were_made(endpoint: Endpoint, tmp_path: Path) -> None:
    science = telemetry(endpoint, tmp_path, "s.csv")
    made = difference(endpoint, tmp_path, "d.fits", SCIENCE=science, TEMPLATE=f"{PLACE}/raw/t.csv")
    found = walk(endpoint, made)
    (done,) = found.activities.values()
    assert (done.told, done.software) == (Told.HEADER, DIFFERENCE["PIPELINE"])
    assert set(done.used) == {("science", science), ("template", f"{PLACE}/raw/t.csv")}
    presence = {uri: each.presence for uri, each in found.entities.items()}
    assert presence == {made: Presence.HERE, science: Presence.HERE, f"{PLACE}/raw/t.csv": Presence.UNKNOWN}


def test_headers_that_were_wrong_are_told_anew(endpoint: Endpoint, tmp_path: Path) -> None:
    science, right = telemetry(endpoint, tmp_path, "s.csv"), telemetry(endpoint, tmp_path, "right.csv")
    made = difference(endpoint, tmp_path, "d.fits", SCIENCE=science, TEMPLATE=f"{PLACE}/raw/t.csv")
    amend(endpoint, made, {"science": right}, reason="mixed up")
    assert count(endpoint) == (1, 2, 1)
    assert {each.source for each in walk(endpoint, made).derivations} == {right, f"{PLACE}/raw/t.csv"}
    given = difference(endpoint, tmp_path, "g.fits", read(DONE), SCIENCE=science, TEMPLATE="t.fits")
    amend(endpoint, given, {"software": "something else"}, reason="mixed up")
    assert walk(endpoint, given).made_by[given] == read(DONE).uri


def test_our_own_loads_are_activities(endpoint: Endpoint, tmp_path: Path) -> None:
    catalogs.load(endpoint, "sp_test", "source", [parquet(tmp_path / "a.parquet", [source(1)])])
    with endpoint.ledger.read() as transaction:
        uris = transaction.execute(select(schema.artifact.c.uri).order_by(schema.artifact.c.uri)).scalars().all()
    delivery, part = uris
    found = walk(endpoint, part)
    (done,) = found.activities.values()
    assert (done.told, done.name, done.software) == (Told.ARCHIVE, "loading of sp_test.source", "archive")
    assert done.start_time is not None
    assert done.stop_time is not None
    assert done.start_time < done.stop_time
    assert [(each.product, each.role, each.source) for each in found.derivations] == [(part, "delivery", delivery)]
    assert [each.product for each in walk(endpoint, delivery, way=Way.DERIVED).derivations] == [part]


@pytest.mark.requirement("DMS-DBB-REQ-0047")
def test_a_raw_is_kept_for_what_an_activity_made_of_it(endpoint: Endpoint, tmp_path: Path) -> None:
    """Also where the product itself says nothing of it, only its activity."""
    science, flat = telemetry(endpoint, tmp_path, "s.csv"), telemetry(endpoint, tmp_path, "f.csv")
    made = difference(endpoint, tmp_path, "d.fits", read(DONE), SCIENCE=science, TEMPLATE="t.fits")
    with pytest.raises(UsageFault, match=r"diff/d\.fits was made from these files"):
        retract(endpoint, [flat], reason="bad")
    with endpoint.ledger.read() as transaction:
        assert provenance.needed(transaction, {1: science, 2: flat, 3: made}) == {science: [made], flat: [made]}
    assert set(retract(endpoint, [flat, made], reason="bad")) == {flat, made}
    assert walk(endpoint, made).entities[made].presence is Presence.RETRACTED
    assert walk(endpoint, science, way=Way.DERIVED).derivations == ()


def test_walks_end(endpoint: Endpoint, tmp_path: Path) -> None:
    """A file may tell of itself as its input, by mistake; and there may be more than anybody wants to see."""
    loop = f"{PLACE}/diff/loop.fits"
    difference(endpoint, tmp_path, "loop.fits", SCIENCE=loop, TEMPLATE=f"{PLACE}/raw/t.csv")
    assert set(walk(endpoint, loop).entities) == {loop, f"{PLACE}/raw/t.csv"}
    assert walk(endpoint, loop, way=Way.DERIVED).entities.keys() == {loop}
    cut = walk(endpoint, loop, most=1)
    assert (set(cut.entities), cut.cut) == ({loop}, True)
    assert walk(endpoint, f"{PLACE}/nothing").entities[f"{PLACE}/nothing"].presence is Presence.UNKNOWN


@pytest.mark.requirement("DMS-DBB-REQ-0008")
def test_astronomers_ask_for_it_in_adql(endpoint: Endpoint, tmp_path: Path) -> None:
    science = telemetry(endpoint, tmp_path, "s.csv")
    made = difference(endpoint, tmp_path, "d.fits", read(DONE), SCIENCE=science, TEMPLATE=f"{PLACE}/raw/t.csv")

    def asked(query: str) -> list[tuple[Any, ...]]:
        result = answer(Question(query), endpoint.ledger, endpoint.engine)
        return [tuple(row.values()) for batch in result.batches for row in batch.to_pylist()]

    joined = (
        "SELECT u.role, u.entity, a.software, a.version FROM backbone.generated AS g "
        "JOIN backbone.activity AS a ON a.id = g.activity JOIN backbone.used AS u ON u.activity = a.id "
        f"WHERE g.entity = '{made}' ORDER BY u.role"
    )
    flat = f"{PLACE}/raw/f.csv"
    assert asked(joined) == [("flat", flat, "hotpants", "5.1.11"), ("science", science, "hotpants", "5.1.11")]
    pairs = f"SELECT role, source FROM backbone.provenance WHERE entity = '{made}' ORDER BY role"
    assert asked(pairs) == [("flat", flat), ("science", science), ("template", f"{PLACE}/raw/t.csv")]


@pytest.mark.requirement("DMS-DBB-REQ-0047")
def test_every_leaf_of_a_public_product_can_be_downloaded_and_is_never_dropped(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    science, template = telemetry(endpoint, tmp_path, "s.csv"), telemetry(endpoint, tmp_path, "t.csv")
    middle = difference(endpoint, tmp_path, "m.fits", SCIENCE=science, TEMPLATE=template)
    made = difference(endpoint, tmp_path, "d.fits", SCIENCE=middle, TEMPLATE=template)
    found = walk(endpoint, made)
    leaves = found.entities.keys() - {each.product for each in found.derivations}
    assert leaves == {science, template}
    copies = Copies(endpoint.ledger, endpoint.stores)
    for leaf in leaves:
        with endpoint.ledger.read() as transaction:
            held = holdings.find(transaction, leaf)
        assert held is not None
        reading = copies.read(held, 0, held.size - 1)
        assert hashlib.sha256(b"".join(reading.pieces())).hexdigest() == held.sha256
        reading.close()
    with pytest.raises(UsageFault, match="kept for ever"):
        drop(endpoint, sorted(leaves), reason="no room", forced=True)


WRONG = {
    "no JSON": ("{", "told.json is no JSON: .* in line 1"),
    "a list": ("[]", "is no JSON object"),
    "no name": ('{"software": "x"}', "'name' is missing"),
    "another key": ('{"name": "x", "softwear": "y"}', "'softwear' is not known.*software"),
    "no time": ('{"name": "x", "start_time": "noon"}', "'start_time' is no time"),
    "no text": ('{"name": 7}', "'name' is no text"),
    "id": ('{"name": "x", "id": "a b"}', "'id' may have letters"),
    "parameters": ('{"name": "x", "parameters": [1]}', "'parameters' is no object"),
    "used": ('{"name": "x", "used": [{"role": "raw", "entity": "x.fits"}]}', "'used' is no list of objects"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_activities_that_are_told_wrong(text: str, message: str) -> None:
    with pytest.raises(UsageFault, match=message):
        activities.read(text, "archive.test", "told.json")


def test_the_same_text_is_the_same_activity() -> None:
    nameless = {key: value for key, value in DONE.items() if key != "id"}
    assert read(nameless) == read(dict(reversed(nameless.items())))
    assert read(nameless).uri != read(nameless | {"version": "6"}).uri


def test_the_verb_takes_an_activity(tmp_path: Path, data: Path) -> None:
    from click.testing import CliRunner

    from archive.cli import archive

    endpoint = make(tmp_path / "home", data, reserve=0)
    (tmp_path / "told.json").write_text(json.dumps(DONE))
    (tmp_path / "x.csv").write_text("a\n1\n")
    settings = {"ARCHIVE_RESERVE": "0", "ARCHIVE_DESCRIPTIONS": str(data)}
    words = ["--home", str(endpoint.config.home), "ingest", str(tmp_path / "x.csv"), "--type", "other"]
    words += ["--release", "sp_test", "--collection", "c", "--activity", str(tmp_path / "told.json")]
    done = CliRunner().invoke(archive, words, env=settings, standalone_mode=False)
    assert done.return_value == 0, done.output
    assert walk(endpoint, f"{PLACE}/c/x.csv").made_by == {f"{PLACE}/c/x.csv": read(DONE).uri}
