"""Answers can be had again: tokens, digests, earlier states of tables, and what became of an answer."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.backbone import catalogs, publish
from archive.backbone.endpoint import Endpoint
from archive.config import Config
from archive.engine.contract import SINCE
from archive.faults import TransientFault, UsageFault
from archive.ledger import Ledger, Site, saved
from archive.ledger.saved import Answered
from archive.query import Question, answer, prepare
from archive.repeats import Shown, Token, hash_of
from archive.reruns import Verdict, keep, newcomers, rerun
from archive.results import Result, encode, find
from archive.results.digest import Digest
from tests import clusters
from tests.archives import parquet, source
from tests.test_versions import SAMPLE, described, move_on
from tests.test_versions_moves import HISTORY

pytestmark = pytest.mark.requirement("DMS-DBB-REQ-0030")

DATA = Path(__file__).parent / "data"


@pytest.fixture(params=["duckdb", pytest.param("postgresql", marks=pytest.mark.service)])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Endpoint]:
    """``sp_test.source`` with 100 rows, in one state."""
    database = clusters.empty(tmp_path / "database") if request.param == "postgresql" else None
    config = Config(home=tmp_path / "home", descriptions=DATA, grace=0.0, database=database)
    with Endpoint.create(config, Site("archive.test", "Tests", "tests@archive.test")) as made:
        grow(made, tmp_path, range(100))
        yield made


def grow(endpoint: Endpoint, folder: Path, numbers: range) -> None:
    file = parquet(folder / f"{numbers.start}.parquet", [source(number) for number in numbers])
    catalogs.load(endpoint, "sp_test", "source", [file])
    publish.publish(endpoint, "sp_test")


def asked(endpoint: Endpoint, query: str, **more: object) -> tuple[Result, list[tuple[object, ...]]]:
    result = answer(Question(query, **more), endpoint.ledger, endpoint.engine)  # type: ignore[arg-type]
    rows = []
    for batch in result.batches:
        assert result.digest is not None
        result.digest.add(batch)
        rows += list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    result.close()
    return result, rows


def record(query: str, result: Result, rows: int, *, cut: int | None = None) -> Answered:
    assert result.token is not None
    return Answered(result.token, "ADQL", query, "2026-11-23T00:00:00", rows, str(result.digest), cut)


QUERIES = (
    "SELECT id, flux FROM sp_test.source",
    "SELECT Band, COUNT(*) AS n, AVG(flux) AS mean FROM sp_test.source GROUP BY Band",
    "SELECT id FROM sp_test.source WHERE CONTAINS(POINT(ra, dec), CIRCLE(37.5, -44, 20)) = 1",
    "SELECT TOP 7 id, ra FROM sp_test.source ORDER BY flux DESC, id",
    "SELECT COUNT(*) AS pairs FROM sp_test.source AS a JOIN sp_test.source AS b ON a.n = b.n",
)


@pytest.mark.parametrize("query", QUERIES)
def test_with_its_token_a_query_gives_the_same_rows_at_any_later_time(
    endpoint: Endpoint, tmp_path: Path, query: str
) -> None:
    first, rows = asked(endpoint, query)
    assert first.token is not None
    grow(endpoint, tmp_path, range(100, 150))
    grow(endpoint, tmp_path, range(150, 160))
    now, newer = asked(endpoint, query)
    again, same = asked(endpoint, query, at=Token.read(first.token))
    assert sorted(same) == sorted(rows)
    assert (again.token, str(again.digest)) == (first.token, str(first.digest))
    assert now.token != first.token
    if sorted(newer) != sorted(rows):
        assert str(now.digest) != str(first.digest)


def test_what_became_of_an_answer_is_told(endpoint: Endpoint, tmp_path: Path) -> None:
    def ask(question: Question) -> Result:
        return answer(question, endpoint.ledger, endpoint.engine)

    query = "SELECT id, flux FROM sp_test.source WHERE flux >= 10"
    result, rows = asked(endpoint, query)
    recorded = record(query, result, len(rows))
    found = rerun(recorded, ask)
    assert (found.then.verdict, found.now.verdict) == (Verdict.IDENTICAL, Verdict.IDENTICAL)
    grow(endpoint, tmp_path, range(100, 130))
    found = rerun(recorded, ask)
    assert (found.then.verdict, found.then.rows) == (Verdict.IDENTICAL, 90)
    assert (found.now.verdict, found.now.rows, found.now.added, found.now.gone) == (Verdict.SUPERSET, 120, 30, 0)
    written = b"".join(encode(newcomers(recorded, ask), find("csv"))).split()
    assert sorted(int(line.split(b",")[0]) for line in written[1:]) == [source(n)["id"] for n in range(100, 130)]
    other = Answered(recorded.token, "ADQL", query, recorded.asked, 90, "0" * 32)
    assert rerun(other, ask).then.verdict is Verdict.DIFFERS
    counted = "SELECT COUNT(*) AS n FROM sp_test.source"
    grown, rows = asked(endpoint, counted)
    grow(endpoint, tmp_path, range(130, 131))
    found = rerun(record(counted, grown, 1), ask)
    assert (found.then.verdict, found.now.verdict) == (Verdict.IDENTICAL, Verdict.DIFFERS)
    assert (found.now.added, found.now.gone) == (1, 1)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("SELECT TOP 5 id FROM sp_test.source", "TOP or OFFSET"),
        ("SELECT TOP 5 id FROM sp_test.source ORDER BY Band", "TOP or OFFSET"),
        ("SELECT x.id FROM (SELECT TOP 5 id FROM sp_test.source) AS x", "TOP or OFFSET"),
        ("SELECT id FROM sp_test.source WHERE RAND() < 0.5", "RAND"),
        ("SELECT ivo_normal_random(1, 2) AS r FROM sp_test.source", "ivo_normal_random"),
        ("SELECT id FROM sp_test.source WHERE GAVO_NORMAL_RANDOM(0, 1) > 0", "GAVO_NORMAL_RANDOM"),
        (
            "SELECT s.id FROM sp_test.source AS s JOIN TAP_SCHEMA.tables AS t ON t.table_index < s.n",
            "how things are now",
        ),
        ("SELECT table_name FROM TAP_SCHEMA.tables", "how things are now"),
    ],
)
def test_what_cannot_be_had_again_says_so(endpoint: Endpoint, query: str, why: str) -> None:
    result, _ = asked(endpoint, query)
    assert result.token is None
    assert why in result.obstacle


def test_rows_cut_off_without_an_order_take_the_token_away(endpoint: Endpoint) -> None:
    result, _ = asked(endpoint, "SELECT id FROM sp_test.source", maxrec=10)
    assert result.token is None
    assert "cut off" in result.obstacle
    result, _ = asked(endpoint, "SELECT id FROM sp_test.source ORDER BY id", maxrec=10)
    assert result.overflowed
    assert result.token is not None


def test_a_token_is_for_its_own_query_and_for_what_is_here(endpoint: Endpoint) -> None:
    query = "SELECT id FROM sp_test.source"
    result, _ = asked(endpoint, query)
    token = Token.read(str(result.token))
    with pytest.raises(UsageFault, match="another query"):
        asked(endpoint, f"{query} WHERE id > 0", at=token)
    ahead = Token(token.query, (Shown("sp_test", 1, (("source", 9),)),))
    with pytest.raises(TransientFault, match="is at state 1 here"):
        asked(endpoint, query, at=ahead)
    later = Token(token.query, (Shown("sp_test", 2, (("source", 1),)),))
    with pytest.raises(TransientFault, match="Version 2"):
        asked(endpoint, query, at=later)


@pytest.mark.parametrize("wrong", ["", "~sp_test.1", "~sp_test.1~.other.1", "~sp_test.1~.source.1~sp_else.1~.t.4"])
def test_a_token_that_is_cut_or_made_up_is_refused(endpoint: Endpoint, wrong: str) -> None:
    query = "SELECT id FROM sp_test.source"
    with pytest.raises(UsageFault, match="does not fit the tables"):
        asked(endpoint, query, at=Token.read(f"1~{hash_of(query, 'ADQL')}{wrong}"))


def test_an_edition_in_which_states_cannot_be_told_apart_is_made_anew(endpoint: Endpoint, tmp_path: Path) -> None:
    query = "SELECT id FROM sp_test.source"
    first, rows = asked(endpoint, query)
    grow(endpoint, tmp_path, range(100, 110))
    published = endpoint.ledger.published()
    ((key, edition),) = [item for item in published.editions.items() if item[0] == ("sp_test", "source")]
    older = replace(edition, physical={name: at for name, at in edition.physical.items() if name != SINCE})
    stale = replace(published, editions={**published.editions, key: older})
    with pytest.raises(TransientFault, match="publish --rebuild sp_test") as raised:
        prepare(Question(query, at=Token.read(str(first.token))), stale)
    assert raised.value.after == 3600
    publish.rebuild(endpoint, "sp_test")
    _, same = asked(endpoint, query, at=Token.read(str(first.token)))
    assert sorted(same) == sorted(rows)


def test_a_pinned_version_has_a_token_of_its_own(tmp_path: Path) -> None:
    """So has a query in which a column was moved here from a table that it does not name."""
    described(tmp_path / "schema", "")
    config = Config(home=tmp_path / "home", descriptions=tmp_path / "schema", grace=0.0)
    with Endpoint.create(config, Site("archive.test", "Tests", "tests@archive.test")) as made:
        for table in ("star", "field"):
            catalogs.load(made, "dr1", table, [SAMPLE / f"dr1.{table}.parquet"])
        publish.publish(made, "dr1")
        move_on(made, tmp_path / "schema", HISTORY)
        queries = {
            "SELECT * FROM dr1_v1.star WHERE star_id < 30": "~dr1_v1.1~.star.1",
            "SELECT star_id, neighbours FROM dr1.star WHERE star_id < 30": "~dr1.5~.field.1~.star.1",
        }
        recorded = {query: asked(made, query) for query in queries}
        for query, shown in queries.items():
            assert str(recorded[query][0].token).endswith(shown)
        move_on(made, tmp_path / "schema", HISTORY + SIXTH)
        for query, (first, rows) in recorded.items():
            again, same = asked(made, query, at=Token.read(str(first.token)))
            assert (again.token, again.columns, str(again.digest)) == (first.token, first.columns, str(first.digest))
            assert sorted(map(str, same)) == sorted(map(str, rows))
            kept = keep(made.ledger, record(query, first, len(rows)), author="", title="")
            assert [version for _, _, version in kept.schemas] == ["1"]


@pytest.mark.requirement("DMS-DBB-REQ-0054")
@pytest.mark.parametrize("change", ['rename: {star_id: "Id"}', "hide: [star_id]"])
def test_rows_stay_in_a_total_order_when_the_key_is_called_otherwise(tmp_path: Path, change: str) -> None:
    described(tmp_path / "schema", "")
    config = Config(home=tmp_path / "home", descriptions=tmp_path / "schema", grace=0.0)
    with Endpoint.create(config, Site("archive.test", "Tests", "tests@archive.test")) as made:
        catalogs.load(made, "dr1", "star", [SAMPLE / "dr1.star.parquet"])
        publish.publish(made, "dr1")
        query = "SELECT TOP 5 star_id, ra FROM dr1.star ORDER BY star_id"
        first, rows = asked(made, query)
        move_on(made, tmp_path / "schema", f"\nversions:\n  - version: 2\n    tables:\n      star: {{{change}}}\n")
        for at in (None, Token.read(str(first.token))):
            again, same = asked(made, query, at=at)
            assert (again.obstacle, str(again.digest), same) == ("", str(first.digest), rows)
        assert again.token == first.token


SIXTH = """
  - version: 6
    tables:
      star:
        rename: {neighbours: near}
"""


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("SELECT  a\nFROM t ", "SELECT a FROM t", True),
        ("SELECT a -- why\n FROM t", "SELECT a FROM t", True),
        ("SELECT a -- FROM t", "SELECT a\n-- that's all", True),
        ("SELECT a FROM t WHERE b = 'x  y'", "SELECT a FROM t WHERE b = 'x y'", False),
        ("SELECT a FROM t WHERE b = 'it''s  --  x'", "SELECT a FROM t WHERE b = 'it''s -- x'", False),
        ('SELECT "a  b" FROM t', 'SELECT "a b" FROM t', False),
        ("SELECT a -- , b\n FROM t", "SELECT a -- \n, b FROM t", False),
    ],
)
def test_queries_are_told_apart_by_what_they_mean(one: str, other: str, same: bool) -> None:
    assert (hash_of(one, "ADQL") == hash_of(other, "ADQL")) is same


def test_a_query_is_saved_once_and_found_by_id_and_token(endpoint: Endpoint) -> None:
    query = "SELECT id FROM sp_test.source"
    result, rows = asked(endpoint, query)
    recorded = record(query, result, len(rows))
    with endpoint.ledger.write() as transaction:
        one = saved.save(transaction, recorded, [("sp_test", 1, "v1")], author="A. Stronomer", title="All of it")
    with endpoint.ledger.write() as transaction:
        two = saved.save(transaction, recorded, [], author="Somebody else", title="")
    with endpoint.ledger.read() as transaction:
        assert one == two == saved.find(transaction, one.id) == saved.find(transaction, recorded.token)
        assert saved.find(transaction, "0" * 12) is None
        assert saved.texts(transaction) == [("ADQL", query)]


@pytest.mark.requirement("DMS-DBB-REQ-0054")
def test_a_token_keeps_the_schema_version_that_star_showed(tmp_path: Path) -> None:
    described(tmp_path / "schema", "")
    config = Config(home=tmp_path / "home", descriptions=tmp_path / "schema", grace=0.0)
    with Endpoint.create(config, Site("archive.test", "Tests", "tests@archive.test")) as made:
        catalogs.load(made, "dr1", "star", [SAMPLE / "dr1.star.parquet"])
        publish.publish(made, "dr1")
        query = "SELECT * FROM dr1.star WHERE star_id < 30"
        before, rows = asked(made, query)
        move_on(made, tmp_path / "schema", RENAMED)
        after, _ = asked(made, query)
        again, same = asked(made, query, at=Token.read(str(before.token)))
    assert [column.name for column in after.columns] != [column.name for column in before.columns]
    assert [column.name for column in again.columns] == [column.name for column in before.columns]
    assert sorted(map(str, same)) == sorted(map(str, rows))
    assert (again.token, str(again.digest)) == (before.token, str(before.digest))


RENAMED = """
versions:
  - version: 2
    tables:
      star:
        rename: {vt_mag: mag_vt}
"""

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)


@given(st.lists(st.tuples(NAMES, st.integers(1, 99), st.lists(st.tuples(NAMES, st.integers(1, 10**6))))))
def test_tokens_are_read_as_they_are_written(given_: list[tuple[str, int, list[tuple[str, int]]]]) -> None:
    token = Token("0123456789abcdef", tuple(Shown(name, number, tuple(of)) for name, number, of in given_))
    text = str(token)
    assert Token.read(text) == token
    assert text.isascii()
    assert not set(text) & set(" \"'<>&;/?#")


@pytest.mark.parametrize(
    "text", ["", "1", "2~0123456789abcdef~dr1.1", "1~short~dr1.1", "1~0123456789abcdef~.t.1", "x y"]
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(UsageFault, match="not understood"):
        Token.read(text)


CELLS = st.fixed_dictionaries(
    {
        "number": st.none() | st.integers(-(2**63), 2**63 - 1),
        "real": st.none() | st.floats(allow_nan=False),
        "text": st.none() | st.text(max_size=5),
        "list": st.none() | st.lists(st.none() | st.integers(-9, 9), max_size=3),
        "truth": st.none() | st.booleans(),
        "pair": st.none() | st.lists(st.floats(-9, 9), min_size=2, max_size=2),
    }
)
SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("real", pa.float64()),
        ("text", pa.string()),
        ("list", pa.list_(pa.int32())),
        ("truth", pa.bool_()),
        ("pair", pa.list_(pa.float64(), 2)),
    ]
)


def digested(rows: list[dict[str, object]], cuts: tuple[int, ...] = ()) -> str:
    digest = Digest()
    for start, end in zip((0, *cuts), (*cuts, len(rows)), strict=True):
        digest.add(pa.RecordBatch.from_pylist(rows[start:end], SCHEMA))
    return str(digest)


@given(st.lists(CELLS, min_size=1, max_size=12), st.randoms(use_true_random=False), st.data())
def test_a_digest_knows_rows_whatever_their_order_and_batches(
    rows: list[dict[str, object]], chance: random.Random, data: st.DataObject
) -> None:
    whole = digested(rows)
    mixed = list(rows)
    chance.shuffle(mixed)
    cuts = tuple(sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3))))
    assert digested(mixed, cuts) == whole
    assert digested([*rows, rows[0]]) != whole
    other = data.draw(CELLS)
    at = data.draw(st.integers(0, len(rows) - 1))
    changed = [*rows[:at], other, *rows[at + 1 :]]
    assert (digested(changed) == whole) == (other == rows[at])


def test_a_digest_is_the_same_whatever_was_digested_before() -> None:
    """In a process that has just begun: what is remembered between answers may not show."""
    spec = importlib.util.find_spec(Digest.__module__)
    assert spec is not None
    assert spec.loader is not None
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    short, long = pa.record_batch({"band": ["g", "", None]}), pa.record_batch({"text": ["x" * 5000]})

    def digested() -> str:
        made = fresh.Digest()
        made.add(short)
        return str(made)

    before = digested()
    fresh.Digest().add(long)
    assert digested() == before
    assert before == "1a783872d5c094b40a0d85501be89c50"  # as it will be in years


def test_last_digits_count_only_for_stored_numbers() -> None:
    close = pa.record_batch({"x": [1.0, 2.0 / 3]}), pa.record_batch({"x": [1.0 + 2**-52, 2.0 / 3 - 2**-53]})
    stored, computed = ([Digest(at), Digest(at)] for at in ((), (0,)))
    for digests in (stored, computed):
        for digest, batch in zip(digests, close, strict=True):
            digest.add(batch)
    assert str(stored[0]) != str(stored[1])
    assert str(computed[0]) == str(computed[1])


def test_a_ledger_is_opened_again_with_what_was_saved(endpoint: Endpoint) -> None:
    query = "SELECT id FROM sp_test.source"
    result, rows = asked(endpoint, query)
    with endpoint.ledger.write() as transaction:
        kept = saved.save(transaction, record(query, result, len(rows)), [("sp_test", 1, "v1")], author="", title="")
    ledger = Ledger.open(endpoint.config.ledger_url)
    with ledger.read() as transaction:
        assert saved.find(transaction, kept.id) == kept
    ledger.close()
