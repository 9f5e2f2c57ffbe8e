"""The ledger's contract, the same on every database it may live in."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import column, inspect, select, table, text

from archive.faults import FatalFault, NotFound, TransientFault, UsageFault
from archive.ledger import Ledger, Site, descriptions, editions, events, files, processes, schema
from archive.ledger import site as sites
from archive.ledger.editions import Built
from archive.ledger.files import Artifact, Delivery, Part
from archive.ledger.replicas import MAIN, Place
from archive.releases import from_documents, read_release, shipped
from archive.tables import Edition
from tests.postgres import postgres

SITE = Site("archive.test", "Tests", "tests@archive.test")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)], scope="module")
def urls(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Gives the URL of a new place for a ledger each time it is called."""
    numbers = itertools.count(1)
    if request.param == "sqlite":
        folder = tmp_path_factory.mktemp("ledgers")
        yield lambda: f"sqlite:///{folder}/{next(numbers)}/ledger.sqlite"
        return
    with postgres() as server:
        import sqlalchemy

        def database() -> str:
            name = f"ledger{next(numbers)}"
            engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(text(f"create database {name}"))
            engine.dispose()
            return sqlalchemy.make_url(server).set(database=name).render_as_string(hide_password=False)

        yield database


@pytest.fixture
def url(urls: Callable[[], str]) -> str:
    return urls()


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    made = Ledger.create(url)
    with made.write() as transaction:
        sites.write_site(transaction, SITE)
    yield made
    made.close()


# --- opening --------------------------------------------------------------------------------------


def test_what_was_made_can_be_opened(ledger: Ledger, url: str) -> None:
    again = Ledger.open(url)
    assert again.site() == SITE
    again.close()


def test_making_it_again_keeps_what_is_there(ledger: Ledger, url: str) -> None:
    Ledger.create(url).close()
    assert ledger.site() == SITE


def test_where_nothing_is_nothing_is_made(url: str) -> None:
    with pytest.raises(NotFound, match="archive init"):
        Ledger.open(url)
    with pytest.raises(NotFound, match="archive init"):
        Ledger.open(url)


def test_another_layout_is_not_opened(ledger: Ledger, url: str) -> None:
    with ledger.write() as transaction:
        transaction.execute(table("ledger_version", column("version_num")).update().values(version_num="0099"))
    known = schema.VERSION
    with pytest.raises(FatalFault, match=f"has layout 99; this program knows layout {known}"):
        Ledger.open(url)


def test_a_ledger_without_a_site(url: str) -> None:
    ledger = Ledger.create(url)
    with pytest.raises(NotFound, match="archive init"):
        ledger.site()
    ledger.close()


def test_what_is_no_url() -> None:
    with pytest.raises(UsageFault, match="is not a database URL"):
        Ledger.open("nonsense")


def test_sqlite_is_set_to_survive_power_cuts(tmp_path: Path) -> None:
    ledger = Ledger.create(f"sqlite:///{tmp_path}/ledger.sqlite")
    with ledger.read() as transaction:
        settings = {
            name: transaction.execute(text(f"pragma {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    ledger.close()


# --- transactions ---------------------------------------------------------------------------------


def test_nothing_stays_of_a_transaction_that_fails(ledger: Ledger) -> None:
    def half() -> None:
        with ledger.write() as transaction:
            events.append(transaction, "x", {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    with ledger.read() as transaction:
        assert transaction.execute(select(schema.event)).all() == []


def test_a_reader_sees_one_moment(ledger: Ledger) -> None:
    with ledger.read() as reader:
        before = editions.current_revision(reader)
        with ledger.write() as writer:
            writer.execute(schema.revision.update().values(number=before + 1))
        assert editions.current_revision(reader) == before
    with ledger.read() as reader:
        assert editions.current_revision(reader) == before + 1


def test_writers_wait_for_each_other_and_see_the_newest(ledger: Ledger) -> None:
    def count() -> None:
        for _ in range(10):
            with ledger.write() as transaction:
                number = editions.current_revision(transaction)
                transaction.execute(schema.revision.update().values(number=number + 1))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ledger.read() as transaction:
        assert editions.current_revision(transaction) == 80


def test_what_a_database_says_is_not_shown(ledger: Ledger) -> None:
    with pytest.raises(FatalFault) as caught, ledger.write() as transaction:
        transaction.execute(schema.delivery.insert().values(artifact=99, schema="a"))
    assert "delivery" not in str(caught.value)


def test_all_tables_are_there(ledger: Ledger) -> None:
    with ledger.read() as transaction:
        assert set(schema.metadata.tables) <= set(inspect(transaction).get_table_names())


# --- events ---------------------------------------------------------------------------------------


def test_events_have_no_gaps_and_chain_each_other(ledger: Ledger) -> None:
    def happen(name: str) -> None:
        for number in range(10):
            with ledger.write() as transaction:
                events.append(transaction, name, {"number": number})

    threads = [threading.Thread(target=happen, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with ledger.read() as transaction:
        rows = transaction.execute(select(schema.event).order_by(schema.event.c.seq)).all()
    assert [row.seq for row in rows] == list(range(1, 41))
    digest = "0" * 64
    for row in rows:
        digest = events.digest(digest, row.origin, row.seq, row.time, row.kind, row.body)
        assert row.digest == digest
    assert [row.time for row in rows] == sorted(row.time for row in rows)


# --- descriptions ---------------------------------------------------------------------------------


def test_a_description_comes_back_verbatim(ledger: Ledger) -> None:
    release = read_release(shipped() / "dr1.yaml")
    with ledger.write() as transaction:
        registered = descriptions.register(transaction, release)
        assert descriptions.register(transaction, release).id == registered.id, "the same again changes nothing"
    with ledger.read() as transaction:
        found = descriptions.find(transaction, "dr1")
        assert descriptions.find(transaction, "dr2") is None
    assert found is not None
    assert found.release.schema == release.schema
    assert found.release.documents == release.documents
    assert found.number == 1


DOCUMENT = """\
name: {name}
tables:
- name: t
  primaryKey: "#t.a"
  columns:
  - {{name: a, datatype: {datatype}, description: {words}}}
"""
FACTS = "schema: {name}\nid_block: {block}\ntables:\n  t: {{ids: {{a: release}}}}\n"


def described(name: str, block: int = 1, words: str = "One.", datatype: str = "long"):  # type: ignore[no-untyped-def]
    return from_documents(
        {
            f"{name}.yaml": DOCUMENT.format(name=name, words=words, datatype=datatype),
            f"{name}.archive.yaml": FACTS.format(name=name, block=block),
        }
    )


@pytest.mark.requirement("DMS-DBB-REQ-0031")
def test_no_two_schemas_share_an_id_block(ledger: Ledger) -> None:
    with ledger.write() as transaction:
        descriptions.register(transaction, described("dr1"))
        with pytest.raises(UsageFault, match=r"dr2 wants ID block 1, which belongs to dr1\. .*; 2 is free"):
            descriptions.register(transaction, described("dr2"))
        descriptions.register(transaction, described("dr2", block=2))


def test_words_may_change_while_rows_are_there_but_facts_may_not(ledger: Ledger) -> None:
    with ledger.write() as transaction:
        registered = descriptions.register(transaction, described("dr1"))
        descriptions.register(transaction, described("dr1", datatype="long", block=3))
        registered = descriptions.register(transaction, described("dr1"))
        assert registered.number == 3
        add_rows(transaction, registered.id)
        changed = descriptions.register(transaction, described("dr1", words="Another."))
        assert changed.number == 4
        with pytest.raises(UsageFault, match="the ID block differs"):
            descriptions.register(transaction, described("dr1", block=3))
    with ledger.read() as transaction:
        assert [item.number for item in descriptions.newest(transaction)] == [4]


# --- files and states -----------------------------------------------------------------------------


def artifact(name: str, sha256: str = "") -> Artifact:
    place = Place(MAIN, name)
    return Artifact(f"archive://archive.test/{name}", sha256 or name.rjust(64, "0"), 10, "text/csv", place)


def add_rows(transaction, description: int, name: str = "one"):  # type: ignore[no-untyped-def]
    before = files.newest_state(transaction, ("dr1", "t"))
    delivery = Delivery(artifact(f"{name}.csv"), f"{name}.csv", 5)
    return files.append_rows(transaction, before, description, [delivery], [Part(artifact(name), 5, 1, 9)])


def test_states_grow_and_old_ones_stay(ledger: Ledger) -> None:
    with ledger.write() as transaction:
        registered = descriptions.register(transaction, described("dr1"))
        assert files.newest_state(transaction, ("dr1", "t")).number == 0
        one = add_rows(transaction, registered.id)
        two = add_rows(transaction, registered.id, "two")
        assert files.newest_state(transaction, ("dr1", "t")) == two
        assert [part.artifact.here.path for part in two.parts] == ["one", "two"]
        assert (two.number, two.rows) == (2, 10)
        assert two.parts[:1] == one.parts
        assert files.delivered(transaction, ("dr1", "t"), [artifact("two.csv").sha256, "x"]) == {
            artifact("two.csv").sha256
        }
        assert files.states(transaction, "dr1") == {"t": 2}


def test_rows_checked_against_an_older_state_are_refused(ledger: Ledger) -> None:
    with ledger.write() as transaction:
        registered = descriptions.register(transaction, described("dr1"))
        before = files.newest_state(transaction, ("dr1", "t"))
        add_rows(transaction, registered.id)
    with pytest.raises(TransientFault, match="Load again"), ledger.write() as transaction:
        files.append_rows(transaction, before, registered.id, [], [Part(artifact("late"), 1, None, None)])
    with ledger.read() as transaction:
        assert not files.is_registered(transaction, artifact("late").uri)


def test_a_name_never_gets_other_bytes(ledger: Ledger) -> None:
    with ledger.write() as transaction:
        first = files.add_artifact(transaction, artifact("one"))
        assert files.add_artifact(transaction, artifact("one")) == first
    with pytest.raises(UsageFault, match="is registered with other bytes"), ledger.write() as transaction:
        files.add_artifact(transaction, artifact("one", "f" * 64))


# --- processes, editions and what is published ------------------------------------------------------


@pytest.fixture
def loaded(ledger: Ledger) -> int:
    """A table ``dr1.t`` with rows; gives the description's id."""
    with ledger.write() as transaction:
        registered = descriptions.register(transaction, described("dr1"))
        add_rows(transaction, registered.id)
    return registered.id


def show(ledger: Ledger, description: int, state: int = 1) -> int:
    """Publish ``dr1.t`` and return the edition's number."""
    with ledger.write() as transaction:
        number = editions.begin(transaction, ("dr1", "t"), state, description, "builder")
        edition = Edition(("dr1", "t"), number, f"place{number}", {"a": "c1"}, 5, healpix=False)
        editions.publish(transaction, "dr1", description, [Built(edition, state)])
    return number


def test_nothing_is_published_at_first(ledger: Ledger, loaded: int) -> None:
    published = ledger.published()
    assert (published.revision, dict(published.editions), published.catalog.schemas) == (0, {}, ())


def test_what_is_published_is_the_same_object_until_it_changes(ledger: Ledger, loaded: int) -> None:
    number = show(ledger, loaded)
    first = ledger.published()
    assert first is ledger.published()
    assert (first.revision, first.editions["dr1", "t"].number) == (1, number)
    assert [(table.qualified, table.rows) for table in first.catalog.tables()] == [("dr1.t", 5)]
    second = show(ledger, loaded)
    assert ledger.published().editions["dr1", "t"].number == second > number
    assert first.editions["dr1", "t"].number == number, "an answer under way keeps what it began with"


def test_what_another_process_publishes_is_seen(ledger: Ledger, url: str, loaded: int) -> None:
    other = Ledger.open(url)
    assert other.published().revision == 0
    show(ledger, loaded)
    assert other.published().revision == 1
    other.close()


def test_an_older_state_does_not_take_the_place_of_a_newer_one(ledger: Ledger, loaded: int) -> None:
    with ledger.write() as transaction:
        add_rows(transaction, loaded, "two")
    newer = show(ledger, loaded, state=2)
    slower = show(ledger, loaded, state=1)
    assert ledger.published().editions["dr1", "t"].number == newer
    with ledger.write() as transaction:
        assert [edition.number for edition in editions.removable(transaction, -1)] == [slower]


def test_new_words_are_shown_when_they_are_published(ledger: Ledger, loaded: int) -> None:
    show(ledger, loaded)
    with ledger.write() as transaction:
        changed = descriptions.register(transaction, described("dr1", words="Another."))
    fresh = [table.columns[0].description for table in ledger.published().catalog.tables()]
    assert fresh == ["One."]
    with ledger.write() as transaction:
        editions.publish(transaction, "dr1", changed.id, [])
    fresh = [table.columns[0].description for table in ledger.published().catalog.tables()]
    assert fresh == ["Another."]


def test_an_edition_stays_while_it_is_served_and_through_its_grace(ledger: Ledger, loaded: int) -> None:
    old = show(ledger, loaded)
    served = ledger.published().revision
    with ledger.attend("serve", 60, lambda: served) as serving:
        new = show(ledger, loaded)

        def removable(grace: float) -> list[int]:
            with ledger.write() as transaction:
                return [edition.number for edition in editions.removable(transaction, grace)]

        assert removable(-1) == []
        served = ledger.published().revision
        serving.beat()
        assert removable(60) == []
        assert removable(-1) == [old]
    with ledger.write() as transaction:
        editions.remove(transaction, old)
        assert editions.removable(transaction, -1) == []
    assert ledger.published().editions["dr1", "t"].number == new


def test_one_process_that_lags_behind_keeps_an_edition(ledger: Ledger, loaded: int) -> None:
    show(ledger, loaded)
    with ledger.attend("serve", 60, lambda: 1), ledger.attend("serve", 60, lambda: 2):
        show(ledger, loaded)
        with ledger.write() as transaction:
            assert editions.removable(transaction, -1) == []


def test_a_process_that_falls_silent_is_forgotten(ledger: Ledger, loaded: int) -> None:
    old = show(ledger, loaded)
    attendance = ledger.attend("serve", 60, lambda: 1)
    attendance.begin()
    show(ledger, loaded)
    with ledger.write() as transaction:
        transaction.execute(schema.process.update().values(lease="2000-01-01T00:00:00.000000Z"))
        assert [edition.number for edition in editions.removable(transaction, -1)] == [old]
        assert processes.living(transaction) == set()
    attendance.leave()
    attendance.leave()


def test_a_process_that_was_seen_to_end_is_forgotten_at_once(ledger: Ledger) -> None:
    attendance = ledger.attend("work", 60)
    attendance.begin()
    with ledger.write() as transaction:
        processes.forget(transaction, os.getpid() + 1)
        assert processes.is_here(transaction, os.getpid())
        assert processes.living(transaction) == {attendance.id}
    with ledger.write() as transaction:
        processes.forget(transaction, os.getpid())
        processes.forget(transaction, os.getpid())
        assert not processes.is_here(transaction, os.getpid())
    attendance.leave()


def test_signs_of_life_come_by_themselves(ledger: Ledger) -> None:
    asked = threading.Semaphore(0)

    def oldest() -> int:
        asked.release()
        return 7

    with ledger.attend("serve", 0.02, oldest) as attendance:
        for _ in range(3):
            assert asked.acquire(timeout=30)
        with ledger.read() as transaction:
            row = transaction.execute(select(schema.process)).one()
        assert (row.id, row.role, row.revision) == (attendance.id, "serve", 7)
        assert row.started <= row.seen < row.lease
    with ledger.read() as transaction:
        assert transaction.execute(select(schema.process)).all() == []


def test_a_sign_of_life_that_fails_is_not_the_last(ledger: Ledger) -> None:
    asked = threading.Semaphore(0)
    answers = iter([1, None, 2])

    def oldest() -> int:
        answer = next(answers, 3)
        asked.release()
        if answer is None:
            raise RuntimeError("for once")
        return answer

    with ledger.attend("serve", 0.02, oldest):
        for _ in range(4):
            assert asked.acquire(timeout=30)


def test_an_edition_whose_builder_died_is_taken_over(ledger: Ledger, loaded: int) -> None:
    with ledger.attend("publish", 60) as alive, ledger.write() as transaction:
        first = editions.begin(transaction, ("dr1", "t"), 1, loaded, alive.id)
        assert editions.begin(transaction, ("dr1", "t"), 1, loaded, "other") != first
    with ledger.write() as transaction:
        taken = {editions.begin(transaction, ("dr1", "t"), 1, loaded, alive.id) for _ in range(2)}
    assert first in taken


def test_numbers_of_editions_are_never_used_again(ledger: Ledger, loaded: int) -> None:
    first = show(ledger, loaded)
    second = show(ledger, loaded)
    with ledger.write() as transaction:
        editions.remove(transaction, first)
        transaction.execute(schema.published.delete())
        editions.remove(transaction, second)
    assert show(ledger, loaded) > second


KEYS = """\
- name: u
  columns:
  - {name: a, datatype: long}
  constraints:
  - name: k
    "@type": ForeignKey
    columns: ["#u.a"]
    referencedColumns: ["#t.a"]
"""


def test_foreign_keys_to_what_is_not_published_are_not_shown(ledger: Ledger) -> None:
    documents = described("dr1").documents
    release = from_documents(documents | {"dr1.yaml": documents["dr1.yaml"] + KEYS})
    with ledger.write() as transaction:
        registered = descriptions.register(transaction, release)
        for name in ("t", "u"):
            before = files.newest_state(transaction, ("dr1", name))
            files.append_rows(transaction, before, registered.id, [], [Part(artifact(name), 5, 1, 9)])
    for name, keys in (("u", 0), ("t", 1)):
        with ledger.write() as transaction:
            number = editions.begin(transaction, ("dr1", name), 1, registered.id, "builder")
            edition = Edition(("dr1", name), number, name, {}, 5, healpix=True)
            editions.publish(transaction, "dr1", registered.id, [Built(edition, 1)])
        assert sum(len(table.foreign_keys) for table in ledger.published().catalog.tables()) == keys
