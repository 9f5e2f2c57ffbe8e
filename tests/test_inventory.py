"""Tables over the ledger, ``ivoa.obscore`` and ``backbone.*``: they tell what it holds now, on both deployments."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive import inventory
from archive.backbone.endpoint import Endpoint
from archive.engine.listed import Patched
from archive.inventory import Inventory, compacting, current
from archive.inventory.described import form
from archive.inventory.rows import batches, table
from archive.ledger import collections, contents, datasets, files, observations, replicas, schema
from archive.ledger import inventory as listings
from archive.ledger.connections import connected
from archive.ledger.copying import copy_rows
from archive.ledger.dataids import DataId
from archive.ledger.products import Product, add, amend
from archive.query import Question, prepare
from archive.serving import Serving
from archive.sky import Circle
from tests import clusters
from tests.archives import make
from tests.seen import images, meets, numbers_told, register, uri

Rows = list[tuple[Any, ...]]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path, data: Path) -> Iterator[Endpoint]:
    database = None if request.param == "sqlite" else clusters.empty(tmp_path)
    with make(tmp_path / "home", data, database=database, query_role=None) as made:
        yield made


@pytest.fixture
def embedded(tmp_path: Path, data: Path) -> Iterator[Endpoint]:
    with make(tmp_path / "home", data) as made:
        yield made


def serving(endpoint: Endpoint) -> Serving:
    return Serving(endpoint.config, endpoint.ledger, endpoint.engine)


def ask(serving: Serving, query: str, **more: Any) -> Rows:
    with closing(serving.answer(Question(query, **more))) as result:
        return [row for batch in result.batches for row in zip(*(c.to_pylist() for c in batch.columns), strict=True)]


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def number_of(endpoint: Endpoint, name: str) -> int:
    with endpoint.ledger.read() as transaction:
        return files.find(transaction, [name])[name].id


# --- what is visible ------------------------------------------------------------------------------


@pytest.mark.requirement("DMS-DBB-REQ-0056")
def test_a_file_is_seen_by_the_next_query_and_gone_with_its_retraction(endpoint: Endpoint) -> None:
    asking = serving(endpoint)
    for count in (0, 3, 5):
        register_more(endpoint, count)
        assert ask(asking, "SELECT COUNT(*) AS n FROM ivoa.ObsCore") == [(count,)]
        assert len(ask(asking, "SELECT uri FROM backbone.files")) == count
    with endpoint.ledger.write() as transaction:
        files.retract(transaction, {files.find(transaction, [uri(1)])[uri(1)].id: uri(1)})
    assert {row[0] for row in ask(asking, "SELECT uri FROM backbone.files")} == {uri(at) for at in (0, 2, 3, 4)}
    assert ask(asking, "SELECT COUNT(*) AS n FROM ivoa.obscore") == [(4,)]


def register_more(endpoint: Endpoint, upto: int) -> None:
    """Have ``upto`` images registered, each by its number."""
    with endpoint.ledger.write() as transaction:
        known = files.find(transaction, [uri(at) for at in range(upto)])
        for at in range(len(known), upto):
            place = replicas.Place(replicas.MAIN, f"{at}")
            artifact = files.Artifact(uri(at), f"{at:064x}", 10, "application/fits", place)
            (number,) = files.add_new(transaction, [(artifact, {})])
            product = Product(type="coadd", release="dr1", collection="Images", band="r", ra=10.0 + at, dec=-5.0)
            add(transaction, {number: product})
            observations.add(transaction, {number: observations.Observed({}, images(upto)[at])})


@pytest.mark.requirement("DMS-DBB-REQ-0056")
def test_no_transaction_is_seen_before_it_is_committed(endpoint: Endpoint) -> None:
    asking = serving(endpoint)
    register_more(endpoint, 1)
    with endpoint.ledger.write() as transaction:
        files.retract(transaction, {files.find(transaction, [uri(0)])[uri(0)].id: uri(0)})
        assert ask(asking, "SELECT uri FROM backbone.files") == [(uri(0),)]
    assert ask(asking, "SELECT uri FROM backbone.files") == []


@pytest.mark.requirement("DMS-DBB-REQ-0008")
def test_datasets_are_seen_while_they_are_whole(endpoint: Endpoint) -> None:
    asking, query = serving(endpoint), "SELECT d.data_id, m.file FROM backbone.datasets d, backbone.members m"
    query += " WHERE m.dataset = d.uri"
    register_more(endpoint, 2)
    first = number_of(endpoint, uri(0))
    with endpoint.ledger.write() as transaction:
        run = collections.create(transaction, "dr1/runs/1", collections.Kind.RUN)
        made = datasets.begin(transaction, run, "coadd", DataId.of({"band": "r"}))
        datasets.add_files(transaction, made, {first: None})
    assert ask(asking, query) == []
    with endpoint.ledger.write() as transaction:
        datasets.seal(transaction, datasets.named(transaction, made.uri))
    assert ask(asking, query) == [("band=r", uri(0))]
    assert ask(asking, "SELECT name, kind FROM backbone.collections WHERE name LIKE '%runs%'") == [
        ("dr1/runs/1", "run")
    ]
    with endpoint.ledger.write() as transaction:
        replicas.mark_bad(transaction, first, replicas.MAIN, "test")
    assert ask(asking, query) == []
    with endpoint.ledger.write() as transaction:
        replicas.mark_checked(transaction, first, replicas.MAIN)
    assert ask(asking, query) == [("band=r", uri(0))]


def test_files_of_a_withdrawn_release_are_not_shown(endpoint: Endpoint) -> None:
    asking = serving(endpoint)
    register_more(endpoint, 2)
    with endpoint.ledger.write() as transaction:
        contents.create(transaction, "dr1")
        contents.withdraw(transaction, "dr1", "wrong")
    assert ask(asking, "SELECT uri FROM backbone.files") == []
    assert ask(asking, "SELECT obs_id FROM ivoa.obscore") == []


# --- what they are ----------------------------------------------------------------------------------


def test_rows_are_those_of_the_ledger(endpoint: Endpoint) -> None:
    register(endpoint, images(30))
    (row,) = (each for each in images(30) if each.obs_publisher_did.endswith("/4.fits"))
    asking = serving(endpoint)
    names = (
        "s_ra",
        "s_dec",
        "s_fov",
        "t_min",
        "em_max",
        "target_name",
        "pol_states",
        "obs_release_date",
        "calib_level",
    )
    told = ask(asking, f"SELECT {', '.join(names)}, s_region FROM ivoa.obscore WHERE obs_publisher_did LIKE '%/4.fits'")
    region = None if row.s_region is None else [number for vertex in row.s_region.vertices for number in vertex]
    ((*others, outline),) = told
    assert (*others, numbers_told(outline)) == (*(getattr(row, name) for name in names), region)


def test_addresses_begin_where_the_asker_found_the_service(endpoint: Endpoint) -> None:
    strange = "archive://archive.test/dr1/a+b&c%23d.fits"
    with endpoint.ledger.write() as transaction:
        place = replicas.Place(replicas.MAIN, "x")
        files.add_new(transaction, [(files.Artifact(strange, "0" * 64, 1, "application/fits", place), {})])
    asking, query = serving(endpoint), "SELECT obs_publisher_did, access_url FROM backbone.files"
    ((did, address),) = ask(asking, query, base="https://a.test/it's/")
    assert did == "ivo://archive.test/files?dr1/a+b&c%23d.fits"
    assert address == "https://a.test/it's/datalink/links?ID=ivo://archive.test/files?dr1/a%2Bb%26c%2523d.fits"
    ((_, address),) = ask(asking, query)
    assert address.startswith("http://localhost/datalink/links?ID=ivo://")
    assert len(ask(asking, f"{query} WHERE access_url LIKE 'http://localhost/%'")) == 1


def test_answers_cannot_be_repeated_and_say_so(endpoint: Endpoint) -> None:
    with closing(serving(endpoint).answer(Question("SELECT TOP 1 * FROM backbone.files"))) as result:
        assert (result.token, result.obstacle) == (None, "it reads tables that tell how things are now")


def test_they_stand_in_tap_schema_and_beside_catalogs(endpoint: Endpoint) -> None:
    asking = serving(endpoint)
    told = ask(asking, "SELECT table_name FROM TAP_SCHEMA.tables WHERE schema_name IN ('ivoa', 'backbone')")
    assert {name for (name,) in told} == {".".join(key) for key in listings.LISTINGS}
    columns = ask(asking, "SELECT COUNT(*) AS n FROM TAP_SCHEMA.columns WHERE table_name = 'ivoa.obscore'")
    assert columns == [(60,)]
    assert "_links" not in str(ask(asking, "SELECT column_name FROM TAP_SCHEMA.columns"))
    register_more(endpoint, 3)
    joined = "SELECT f.uri, o.obs_id, s.schema_name FROM backbone.files AS f JOIN ivoa.obscore AS o"
    joined += " ON f.obs_publisher_did = o.obs_publisher_did CROSS JOIN TAP_SCHEMA.schemas AS s"
    assert len(ask(asking, f"{joined} WHERE s.schema_name = 'ivoa'")) == 3


@pytest.mark.service
def test_the_role_of_queries_reads_the_views_and_nothing_of_the_ledger(tmp_path: Path, data: Path) -> None:
    database = clusters.empty(tmp_path)
    role = f"reader_{abs(hash(str(tmp_path))) % 10**9}"
    with make(tmp_path / "home", data, database=database, query_role=role) as endpoint:
        register_more(endpoint, 2)
        assert len(ask(serving(endpoint), "SELECT uri FROM backbone.files")) == 2
        engine = connected(database, pooled=False)
        with engine.begin() as connection:
            may = "has_table_privilege(:role, 'public.' || quote_ident(tablename), 'SELECT')"
            asked = f"SELECT tablename FROM pg_tables WHERE CASE WHEN schemaname = 'public' THEN {may} END"
            readable = connection.execute(sa.text(asked), {"role": role}).scalars().all()
        assert readable == []


# --- what changed, and editions -----------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["come", "come", "go", "bad", "right", "amend", "unseen", "withdraw", "compact", "reopen"]),
        st.integers(0, 1000),
    ),
    min_size=6,
    max_size=14,
)


@pytest.mark.requirement("DMS-DBB-REQ-0056")
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_happens_the_answer_is_what_the_ledger_says(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory, data: Path
) -> None:
    with make(tmp_path_factory.mktemp("any") / "home", data) as endpoint:
        Story(endpoint).tell(steps)


def as_kept(cell: Any) -> Any:
    """A cell of an answer as the ledger holds it: a region as numbers."""
    return numbers_told(cell) if isinstance(cell, str) and cell.startswith("POLYGON ICRS ") else cell


class Story:
    """An archive to which things happen; after each its tables are compared with the ledger."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.inventory = inventory.Inventory(endpoint.ledger)
        self.seen: dict[str, bool] = {}  # names to whether they can be had

    def tell(self, steps: list[tuple[str, int]]) -> None:
        for what, number in steps:
            getattr(self, f"_{what}")(number)
            self._compare()

    def _come(self, number: int) -> None:
        count = len(self.seen) + number % 5
        register_more(self.endpoint, count)
        self.seen |= {uri(at): True for at in range(len(self.seen), count)}

    def _some(self, number: int) -> tuple[str, int] | None:
        here = sorted(name for name, seen in self.seen.items() if seen)
        name = here[number % len(here)] if here else None
        return None if name is None else (name, number_of(self.endpoint, name))

    def _go(self, number: int) -> None:
        if (some := self._some(number)) is not None:
            with self.endpoint.ledger.write() as transaction:
                files.retract(transaction, {some[1]: some[0]})
            del self.seen[some[0]]
            self.seen[f"{some[0]} retracted"] = False

    def _bad(self, number: int) -> None:
        if (some := self._some(number)) is not None:
            with self.endpoint.ledger.write() as transaction:
                replicas.mark_bad(transaction, some[1], replicas.MAIN, "test")
            self.seen[some[0]] = False

    def _right(self, number: int) -> None:
        bad = sorted(name for name, seen in self.seen.items() if not seen and "retracted" not in name)
        if bad:
            name = bad[number % len(bad)]
            with self.endpoint.ledger.write() as transaction:
                replicas.mark_checked(transaction, files.find(transaction, [name])[name].id, replicas.MAIN)
            self.seen[name] = True

    def _amend(self, number: int) -> None:
        if (some := self._some(number)) is not None:
            product = Product(type="coadd", release="dr1", collection="Images", ra=float(number % 360), dec=1.0)
            with self.endpoint.ledger.write() as transaction:
                amend(transaction, some[1], product)

    def _unseen(self, number: int) -> None:
        if (some := self._some(number)) is not None:
            with self.endpoint.ledger.write() as transaction:
                observations.remove(transaction, [some[1]])

    def _withdraw(self, number: int) -> None:
        """A release with none of these files in it is withdrawn."""
        with self.endpoint.ledger.write() as transaction:
            contents.create(transaction, f"dr{number}x")
            contents.withdraw(transaction, f"dr{number}x", "test")

    def _compact(self, number: int) -> None:
        assert inventory.compact(self.endpoint.ledger, self.endpoint.engine, self.endpoint.config.editions, number % 2)

    def _reopen(self, _: int) -> None:
        """As another process sees it."""
        self.inventory = inventory.Inventory(self.endpoint.ledger)

    def _compare(self) -> None:
        asking = serving(self.endpoint)
        asking._inventory = self.inventory
        told = {row[0] for row in ask(asking, "SELECT uri FROM backbone.files")}
        assert told == {name for name, seen in self.seen.items() if seen}
        for key in [("ivoa", "obscore"), ("backbone", "files")]:
            names = [column.name for column in form(key).columns if column.name != listings.LINKS]
            written = ", ".join(f'"{name}"' for name in names)
            found = [tuple(map(as_kept, row)) for row in ask(asking, f"SELECT {written} FROM {'.'.join(key)}")]
            assert sorted(map(repr, found)) == sorted(map(repr, self._plainly(key, names)))

    def _plainly(self, key: listings.Key, names: list[str]) -> Rows:
        with self.endpoint.ledger.read() as transaction:
            rows = table(batches(transaction, listings.LISTINGS[key], form(key)), form(key))
        columns = [rows[form(key).physical[name]].to_pylist() for name in names]
        return list(zip(*columns, strict=True))


def test_regions_are_found_as_by_a_look_at_each(endpoint: Endpoint) -> None:
    rows, dice = images(240), random.Random(4)
    register(endpoint, rows[:200])
    inventory.compact(endpoint.ledger, endpoint.engine, endpoint.config.editions, 60)
    with endpoint.ledger.write() as transaction:
        transaction.exec_driver_sql("UPDATE artifact SET uri = uri")  # all of them count as changed
    asking = serving(endpoint)
    for again in range(2):
        for _ in range(12):
            lon, lat = dice.choice([0.0, 120.0, 359.9]) + dice.uniform(-8, 8), dice.choice([-89.5, -30, 0, 30, 89.0])
            circle = Circle(lon % 360, lat, dice.choice([0.0, 0.2, 5.0, 40.0, 120.0]))
            where = f"1 = INTERSECTS(s_region, CIRCLE({circle.lon}, {circle.lat}, {circle.radius}))"
            told = {row[0] for row in ask(asking, f"SELECT obs_publisher_did FROM ivoa.obscore WHERE {where}")}
            assert told == {
                row.obs_publisher_did for row in rows[:200] if row.s_region is not None and meets(row, circle)
            }
        if not again:
            inventory.compact(endpoint.ledger, endpoint.engine, endpoint.config.editions, 60)


def test_intervals_are_found_however_they_are_written(endpoint: Endpoint) -> None:
    rows, dice = images(200), random.Random(6)
    register(endpoint, rows)
    with endpoint.ledger.write() as transaction:  # these end before they begin
        transaction.exec_driver_sql("UPDATE observation SET t_max = t_min - 1 WHERE artifact <= 20")
    asking = serving(endpoint)
    spans = [(name, low, high) for name, low, high in ask(asking, "SELECT obs_id, t_min, t_max FROM ivoa.obscore")]
    known = [(name, low, high) for name, low, high in spans if low is not None and high is not None]
    assert 0 < len(known) < len(spans)
    for _ in range(8):
        begin = dice.choice(known)[1] + dice.uniform(-3, 3)
        for end in (begin, begin + dice.uniform(0, 2), begin - 0.5):
            ways = [f"t_min <= {end} AND t_max >= {begin}", f"{begin} < t_max AND calib_level >= 0 AND {end} > t_min"]
            ways += [f"{begin} BETWEEN t_min AND t_max"] if begin == end else []
            truth = sorted(name for name, low, high in known if low <= end and high >= begin)
            for where in ways:
                found = ask(asking, f"SELECT obs_id FROM ivoa.obscore WHERE {where}")
                assert sorted(name for (name,) in found) == truth, where
            rest = ask(asking, f"SELECT COUNT(*) AS n FROM ivoa.obscore WHERE NOT ({ways[0]})")
            assert rest == [(sum(1 for _, low, high in spans if _is_false(low, high, begin, end)),)]


def _is_false(low: float | None, high: float | None, begin: float, end: float) -> bool:
    """Whether it is false, and not only unknown, that an interval has a point in common with another."""
    return (low is not None and low > end) or (high is not None and high < begin)


@pytest.mark.service
@pytest.mark.requirement("DMS-DBB-REQ-0056")
def test_times_are_looked_up_in_an_index_of_intervals(tmp_path: Path, data: Path) -> None:
    with make(tmp_path / "home", data, database=clusters.empty(tmp_path), query_role=None) as endpoint:
        register(endpoint, images(200))
        for name in ("ivoa.obscore", "backbone.files"):  # views and indexes are made when first needed
            ask(serving(endpoint), f"SELECT COUNT(*) AS n FROM {name}")
        for table, query in (
            ("observation", "SELECT obs_id FROM ivoa.obscore WHERE t_min <= 60000.1 AND t_max >= 60000"),
            ("product", "SELECT uri FROM backbone.files WHERE 60000 BETWEEN t_min AND t_max"),
        ):
            question = prepare(Question(query), endpoint.ledger.published(), Inventory(endpoint.ledger))
            assert " && archive_udf.span_of(" in endpoint.engine.sql(question.query, question.bindings)
            alone = f"SELECT artifact FROM {table} WHERE archive_udf.span_of(t_min, t_max) && archive_udf.span_of(1, 2)"
            with endpoint.ledger.read() as transaction:
                transaction.exec_driver_sql("SET LOCAL enable_seqscan = off")
                plan = "".join(transaction.exec_driver_sql(f"EXPLAIN {alone}").scalars())
            assert f"{table}_t_min_span" in plan


def test_only_what_changed_is_read_again(embedded: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []

    def told(transaction: Any, listing: Any, kept: Any, keys: Any = None) -> Any:
        read.append(keys)
        return batches(transaction, listing, kept, keys)

    monkeypatch.setattr(current, "batches", told)
    asking, key = inventory.Inventory(embedded.ledger), ("backbone", "files")
    register_more(embedded, 3)
    asking.now([key])
    register_more(embedded, 5)
    found = asking.now([key])[key]
    asking.now([key])
    assert isinstance(found, Patched)
    assert found.rows.num_rows == 5
    assert read == [None, [number_of(embedded, uri(at)) for at in (3, 4)]]


def test_with_many_changes_editions_are_made_beside_the_queries(
    embedded: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current, "MOST", 3)
    asking = serving(embedded)
    register_more(embedded, 5)
    assert len(ask(asking, "SELECT uri FROM backbone.files")) == 5

    def made() -> bool:
        with embedded.ledger.read() as transaction:
            return len(listings.compacted(transaction)) == len(listings.LISTINGS)

    until(made)
    assert len(ask(asking, "SELECT uri FROM backbone.files")) == 5
    assert isinstance(found := asking._inventory.now([("backbone", "files")])["backbone", "files"], Patched)
    assert found.edition is not None


def test_one_process_at_a_time_makes_editions_and_none_waits(embedded: Endpoint) -> None:
    register_more(embedded, 2)
    arguments = (embedded.ledger, embedded.engine, embedded.config.editions, 0.0)
    with compacting._alone(embedded.config.editions) as mine:
        assert mine
        told: list[bool] = []
        other = threading.Thread(target=lambda: told.append(inventory.compact(*arguments)))
        other.start()
        other.join()
        assert told == [False]
    assert inventory.compact(*arguments)


def test_editions_that_were_replaced_go_after_a_while(embedded: Endpoint) -> None:
    kept = embedded.config.editions
    for count in (1, 2, 3):
        register_more(embedded, count)
        assert inventory.compact(embedded.ledger, embedded.engine, kept, 3600)
    several = len(list(kept.glob("backbone.files.*.duckdb")))
    assert several == 3
    register_more(embedded, 4)
    assert inventory.compact(embedded.ledger, embedded.engine, kept, 0)
    assert len(list(kept.glob("backbone.files.*.duckdb"))) == 1
    assert len(ask(serving(embedded), "SELECT uri FROM backbone.files")) == 4


def test_an_edition_of_another_form_is_made_from_the_ledger(embedded: Endpoint) -> None:
    register_more(embedded, 3)
    arguments = (embedded.ledger, embedded.engine, embedded.config.editions, 60.0)
    inventory.compact(*arguments)
    with embedded.ledger.write() as transaction:
        transaction.execute(schema.inventory.update().values(form="that of another program"))
    assert len(ask(serving(embedded), "SELECT uri FROM backbone.files")) == 3
    inventory.compact(*arguments)
    found = inventory.Inventory(embedded.ledger).now([("backbone", "files")])["backbone", "files"]
    assert isinstance(found, Patched)
    assert found.edition is not None
    assert found.rows.num_rows == 0


def test_what_is_left_of_editions_goes_and_what_was_deleted_is_made_again(embedded: Endpoint) -> None:
    kept = embedded.config.editions
    for name in ("backbone.files.7-0123abcd.duckdb", "ivoa.obscore.7-0123abcd.duckdb.unfinished", "dr1.star.7.duckdb"):
        (kept / name).touch()
    register_more(embedded, 3)
    arguments = (embedded.ledger, embedded.engine, kept, 60.0)
    inventory.compact(*arguments)
    assert (kept / "dr1.star.7.duckdb").exists()
    (only,) = kept.glob("backbone.files.*")
    assert not list(kept.glob("*.unfinished"))
    embedded.engine.close()
    only.unlink()
    asking = inventory.Inventory(embedded.ledger, kept)
    assert asking.now([("backbone", "files")])["backbone", "files"].size == 3
    with make(embedded.config.home, kept, reserve=0) as again:
        inventory.compact(again.ledger, again.engine, kept, 60.0)
        assert len(ask(serving(again), "SELECT uri FROM backbone.files")) == 3
    assert len(list(kept.glob("backbone.files.*"))) == 1


def test_a_copy_of_the_ledger_begins_without_editions(embedded: Endpoint, tmp_path: Path) -> None:
    register_more(embedded, 3)
    inventory.compact(embedded.ledger, embedded.engine, embedded.config.editions, 60)
    url = f"sqlite:///{tmp_path}/copy.sqlite"
    source, target = connected(embedded.config.ledger_url, pooled=False), connected(url, pooled=False)
    with source.begin() as original, target.execution_options(archive_writes=True).begin() as copy:
        copy_rows(original, copy, schema.LAYOUT)
        assert listings.compacted(copy) == {}
        assert copy.execute(sa.select(sa.func.count()).select_from(schema.artifact)).scalar_one() == 3


def test_what_is_not_there_has_no_region(embedded: Endpoint) -> None:
    register(embedded, [row for row in images(40) if row.s_region is None])
    kept = form(("ivoa", "obscore"))
    with embedded.ledger.read() as transaction:
        rows = table(batches(transaction, listings.LISTINGS["ivoa", "obscore"], kept), kept)
    assert rows[kept.physical["s_region"]].null_count == rows.num_rows > 0
    for at, side in enumerate(kept.sides("s_region")):  # a look at the boxes leaves none of them out
        assert set(rows[side].to_pylist()) == {2.0 if at % 2 else -2.0}
    assert rows.schema.equals(kept.schema)
    assert isinstance(rows, pa.Table)
