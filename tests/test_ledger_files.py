"""What the ledger knows of files: copies, products, blocks of IDs, incidents, arrivals. The same on every database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from archive.faults import FatalFault, TransientFault, UsageFault
from archive.ledger import (
    Ledger,
    Site,
    arrivals,
    descriptions,
    events,
    files,
    idblocks,
    incidents,
    products,
    provenance,
    replicas,
    schema,
)
from archive.ledger import site as sites
from archive.ledger.arrivals import Arrival
from archive.ledger.bulk import Encoded, insert_all
from archive.ledger.files import Artifact
from archive.ledger.products import Product
from archive.ledger.replicas import MAIN, Has, Place, Want
from archive.releases import ID_SHIFT, Release, from_documents
from tests import clusters


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    url = f"sqlite:///{tmp_path}/ledger.sqlite" if request.param == "sqlite" else clusters.empty(tmp_path)
    made = Ledger.create(url)
    with made.write() as transaction:
        sites.write_site(transaction, Site("archive.test", "Tests", "tests@archive.test"))
    yield made
    made.close()


def artifact(name: str, place: Place | None = None) -> Artifact:
    return Artifact(f"archive://archive.test/{name}", name.encode().hex().rjust(64, "0"), 10, "text/csv", place)


def register(ledger: Ledger, *names: str) -> list[int]:
    with ledger.write() as transaction:
        return files.add_new(transaction, [(artifact(name, Place(MAIN, name)), {}) for name in names])


# --- many rows at once ----------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(texts=st.lists(TEXTS, min_size=1, max_size=20), value=VALUES, number=st.floats(allow_nan=False) | st.none())
def test_rows_come_back_as_they_went_in(ledger: Ledger, texts: list[str], value: object, number: float | None) -> None:
    metadata = {"value": value}
    with ledger.write() as transaction:
        transaction.execute(schema.product.delete())
        transaction.execute(schema.replica.delete())
        transaction.execute(schema.artifact.delete())
        given_numbers = files.add_new(transaction, [(artifact(f"{n}", Place(MAIN, f"{n}")), {}) for n in range(20)])
        rows = [
            {
                "artifact": numbered,
                "type": texts[at % len(texts)],
                "release": "dr1",
                "collection": r"\N",
                "detector": None if at % 2 else "\t\\",
                "t_min": number,
                "metadata": Encoded(json.dumps(metadata)) if at % 2 else metadata,
                "revision": 1,
            }
            for at, numbered in enumerate(given_numbers)
        ]
        insert_all(transaction, schema.product, rows)
        found = transaction.execute(select(schema.product).order_by(schema.product.c.artifact)).all()
    for row, wanted in zip(found, rows, strict=True):
        assert (row.type, row.collection, row.detector) == (wanted["type"], wanted["collection"], wanted["detector"])
        assert (row.t_min, row.metadata, row.instrument) == (number, metadata, None)


def test_numbers_are_given_once(ledger: Ledger) -> None:
    first, second = register(ledger, "a", "b"), register(ledger, *(f"c{number}" for number in range(20)))
    third = register(ledger, "d")
    assert len({*first, *second, *third}) == 23
    with ledger.read() as transaction:
        known = files.find(transaction, [artifact(f"c{number}").uri for number in range(20)])
    assert [known[artifact(f"c{number}").uri].id for number in range(20)] == second


# --- who did it -----------------------------------------------------------------------------------


def test_events_say_who_and_why(ledger: Ledger) -> None:
    with ledger.write("alice", "because") as transaction:
        events.append(transaction, "x", {"a": 1})
    with ledger.write() as transaction:
        events.append(transaction, "x", {"a": 2})
        rows = transaction.execute(select(schema.event.c.body).where(schema.event.c.kind == "x")).scalars().all()
    assert rows[0] == {"a": 1, "actor": "alice", "reason": "because"}
    assert rows[1]["reason"] is None
    assert rows[1]["actor"]


# --- copies ---------------------------------------------------------------------------------------


def test_a_file_is_read_where_it_is_good(ledger: Ledger) -> None:
    (number,) = register(ledger, "a")
    uri = artifact("a").uri
    with ledger.write() as transaction:
        replicas.add(transaction, {number: Place("spare", "x/a", adopted=True)})
        assert files.find(transaction, [uri])[uri].artifact.here == Place(MAIN, "a")
        replicas.mark_bad(transaction, number, MAIN, "another digest")
        assert files.find(transaction, [uri])[uri].artifact.here == Place("spare", "x/a", adopted=True)
        replicas.mark_bad(transaction, number, "spare", "gone")
        known = files.find(transaction, [uri])[uri]
        assert known.artifact.place is None
        with pytest.raises(TransientFault, match="cannot be read here now"):
            _ = known.artifact.here
        replicas.mark_checked(transaction, number, "spare", "1-2-3")
        (main, spare) = replicas.of(transaction, [number])[number]
    assert (main.place.store, main.has, main.want) == (MAIN, Has.BAD, Want.KEEP)
    assert (spare.has, spare.place.fingerprint) == (Has.PRESENT, "1-2-3")
    assert spare.checked is not None


def test_two_files_do_not_lie_in_one_place(ledger: Ledger) -> None:
    register(ledger, "a")
    with pytest.raises(FatalFault), ledger.write() as transaction:
        files.add_new(transaction, [(artifact("b", Place(MAIN, "a")), {})])
    with ledger.read() as transaction:
        assert not files.is_registered(transaction, artifact("b").uri)


def test_members_of_a_bundle_share_its_place(ledger: Ledger) -> None:
    (bundle,) = register(ledger, "bundle.tar")
    members = [
        (artifact(name, Place(MAIN, "bundle.tar", bundle=bundle, offset=at)), {}) for at, name in enumerate("ab")
    ]
    with ledger.write() as transaction:
        numbers = files.add_new(transaction, members)
        assert [replicas.good(transaction, numbers)[number].offset for number in numbers] == [0, 1]
        assert replicas.paths(transaction, MAIN, "bundle.tar") == set()


@pytest.mark.parametrize("wrong", [{"has": "gone"}, {"want": "sell"}, {"offset": 5}])
def test_copies_that_cannot_be(ledger: Ledger, wrong: dict[str, Any]) -> None:
    (number,) = register(ledger, "a")
    with pytest.raises(FatalFault), ledger.write() as transaction:
        transaction.execute(schema.replica.update().where(schema.replica.c.artifact == number).values(**wrong))


# --- products -------------------------------------------------------------------------------------


def test_a_product_comes_back(ledger: Ledger) -> None:
    (number,) = register(ledger, "a")
    inputs = (("science", "archive://archive.test/s"), ("template", "archive://archive.test/t"))
    product = Product(
        type="difference_image",
        release="dr1",
        collection="diff",
        band="g",
        t_min=60000.5,
        ra=10.0,
        dec=-5.0,
        metadata={"x": {"value": 1.5}, "y": {"null": "cloudy"}},
        inputs=inputs,
    )
    with ledger.write() as transaction:
        products.add(transaction, {number: product})
        found = products.find(transaction, [number, number + 1])
        assert found == {number: products.Versioned(product, 1)}
        changed = replace(product, band="r", ra=None, inputs=inputs[:1])
        assert products.amend(transaction, number, changed) == 2
        assert products.find(transaction, [number])[number] == products.Versioned(changed, 2)
        assert transaction.execute(select(schema.product.c._healpix_29)).scalar_one() is None


def test_what_was_made_from_what(ledger: Ledger) -> None:
    raw, science, difference, other = register(ledger, "raw", "science", "difference", "other")
    made = Product(type="other", release="dr1", collection="c")
    with ledger.write() as transaction:
        transaction.execute(schema.derived_from.insert().values(artifact=science, source=raw))
        products.add(transaction, {difference: replace(made, inputs=(("science", artifact("science").uri),))})
        products.add(transaction, {other: made})
        found = provenance.made_from(transaction, {raw: artifact("raw").uri})
        assert found == [artifact("science").uri, artifact("difference").uri]
        files.retract(transaction, {difference: artifact("difference").uri})
        assert provenance.made_from(transaction, {raw: artifact("raw").uri}) == [artifact("science").uri]


# --- blocks of IDs --------------------------------------------------------------------------------


def described(name: str, block: int) -> Release:
    document = f"name: {name}\ntables:\n- name: t\n  primaryKey: '#t.a'\n  columns:\n  - {{name: a, datatype: long}}\n"
    facts = f"schema: {name}\nid_block: {block}\ntables:\n  t: {{ids: {{a: release}}}}\n"
    return from_documents({f"{name}.yaml": document, f"{name}.archive.yaml": facts})


@pytest.mark.requirement("DMS-DBB-REQ-0031")
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    blocks=st.lists(st.integers(1, 127), min_size=12, max_size=12, unique=True),
    ids=st.lists(st.integers(0, 2**56 - 1), min_size=1, max_size=5),
)
def test_ids_of_twelve_releases_never_meet(ledger: Ledger, blocks: list[int], ids: list[int]) -> None:
    with ledger.write() as transaction:
        for table in (schema.description, schema.id_block):
            transaction.execute(table.delete())
        releases = [described(f"dr{number}", block) for number, block in enumerate(blocks, start=1)]
        for release in releases:
            descriptions.register(transaction, release)
        for release in releases:
            assert release.ids is not None
            for low in (*ids, 0, 2**56 - 1):
                assert idblocks.owner(transaction, release.ids.start + low) == release.name
        given_blocks = idblocks.blocks(transaction)
        assert all(before.last < after.first for before, after in pairwise(given_blocks))
        with pytest.raises(UsageFault, match=f"which belongs to dr3.*; {min({*range(1, 128)} - {*blocks})} is free"):
            descriptions.register(transaction, described("dr13", blocks[2]))


@pytest.mark.parametrize(
    "wrong", [{"first": 5}, {"last": (4 << ID_SHIFT) - 2}, {"number": 128}, {"number": 0, "first": 0}]
)
def test_blocks_that_cannot_be(ledger: Ledger, wrong: dict[str, int]) -> None:
    right = {"number": 3, "name": "dr3", "first": 3 << ID_SHIFT, "last": (4 << ID_SHIFT) - 1}
    with ledger.write() as transaction:
        transaction.execute(schema.id_block.insert().values(**right))
    with pytest.raises(FatalFault), ledger.write() as transaction:
        transaction.execute(schema.id_block.update().values(**wrong))


# --- incidents ------------------------------------------------------------------------------------


def test_an_incident_is_opened_once_and_closed(ledger: Ledger) -> None:
    with ledger.write() as transaction:
        first = incidents.open_incident(transaction, "bad-copy", "a", {"found": 1})
        assert incidents.open_incident(transaction, "bad-copy", "a", {"found": 2}) == first
        incidents.open_incident(transaction, "bad-copy", "b", {})
        assert incidents.close_incident(transaction, "bad-copy", "a")
        assert not incidents.close_incident(transaction, "bad-copy", "a")
        (left,) = incidents.open_incidents(transaction)
        kinds = transaction.execute(select(schema.event.c.kind).order_by(schema.event.c.seq)).scalars().all()
        assert incidents.open_incident(transaction, "bad-copy", "a", {}) != first
    assert left.subject == "b"
    assert kinds == ["incident", "incident", "incident-closed"]


# --- arrivals -------------------------------------------------------------------------------------


def test_an_arrival_outlives_its_process(ledger: Ledger) -> None:
    with ledger.attend("ingest") as living, ledger.attend("ingest") as dying:
        mine, theirs = (Arrival(each.id, each.id, MAIN, each.id) for each in (living, dying))
        with ledger.write() as transaction:
            arrivals.begin(transaction, mine, 5)
            arrivals.begin(transaction, theirs, 7)
            assert arrivals.claimed_by_others(transaction, MAIN, living.id) == 7
            assert arrivals.claimed_by_others(transaction, "spare", living.id) == 0
            assert arrivals.abandoned(transaction) == []
            transaction.execute(schema.process.delete().where(schema.process.c.id == dying.id))
            assert arrivals.abandoned(transaction) == [theirs]
            assert arrivals.claimed_by_others(transaction, MAIN, living.id) == 0
            assert arrivals.abandoned(transaction) == [replace(theirs, process="")], "until it is swept"
            arrivals.check_own(transaction, mine)
            with pytest.raises(TransientFault, match="taken for dead"):
                arrivals.check_own(transaction, theirs)
            arrivals.end(transaction, [theirs.id])
            assert arrivals.abandoned(transaction) == []


def test_what_a_store_takes_in_is_counted_by_the_hour(ledger: Ledger) -> None:
    with ledger.write() as transaction:
        assert arrivals.rate(transaction, MAIN, 6) == 0
        arrivals.note(transaction, MAIN, 2, 3600)
        arrivals.note(transaction, MAIN, 1, 3600 * 5)
        old = {"store": MAIN, "hour": "2000-01-01T00", "files": 1, "bytes": 10**15}
        transaction.execute(schema.taken_in.insert().values(**old))
        assert 6 / 7 <= arrivals.rate(transaction, MAIN, 6) <= 1.0
        row = transaction.execute(select(schema.taken_in).order_by(schema.taken_in.c.hour.desc()).limit(1)).one()
    assert (row.files, row.bytes) == (3, 6 * 3600)
