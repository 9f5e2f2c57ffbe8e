"""Random histories of a schema and its rows: every answer can be had again at every later version and state."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.columns import Column, Datatype
from archive.engine.contract import Engine
from archive.ledger import Published
from archive.query import Question, prepare, run
from archive.repeats import Token
from archive.tables import Catalog, Edition, Position, Schema, Table
from archive.versions import Change, Express, Hide, Move, Rename, Version, unfold
from tests.contract.world import World, rows_of

KEYS = {"star": "id", "extra": "eid"}

STAR = Table(
    "rel",
    "star",
    (
        Column("id", Datatype.LONG, nullable=False),
        Column("ra", Datatype.DOUBLE, unit="deg"),
        Column("dec", Datatype.DOUBLE, unit="deg"),
        Column("mag", Datatype.DOUBLE, unit="mag", ucd="phot.mag"),
        Column("n", Datatype.INT),
        Column("word", Datatype.CHAR, arraysize="*"),
        Column("f", Datatype.FLOAT),
    ),
    position=Position("ra", "dec"),
    primary_key=("id",),
)
EXTRA = Table(
    "rel",
    "extra",
    (
        Column("eid", Datatype.LONG, nullable=False),
        Column("w", Datatype.DOUBLE, unit="km"),
        Column("k", Datatype.INT),
        Column("label", Datatype.CHAR, arraysize="*"),
    ),
    primary_key=("eid",),
)
SCHEMA = Schema("rel", (STAR, EXTRA))


@dataclass
class Past:
    """The names a schema shows while its history is made up: of each table, column name to type."""

    draw: random.Random
    used: int = 0
    shown: dict[str, dict[str, Datatype]] = field(
        default_factory=lambda: {table.name: {c.name: c.datatype for c in table.columns} for table in SCHEMA.tables}
    )
    keys: dict[str, str] = field(default_factory=lambda: dict(KEYS))

    def fresh(self) -> str:
        self.used += 1
        return f"x{self.used}"

    def version(self, number: int) -> Version:
        """A version with a few changes, one to a column."""
        touched: set[tuple[str, str]] = set()
        changes = [self.change(touched) for _ in range(self.draw.randint(1, 4))]
        return Version(number, tuple(change for change in changes if change is not None))

    def change(self, touched: set[tuple[str, str]]) -> Change | None:
        table = self.draw.choice(("star", "extra"))
        columns = [name for name in self.shown[table] if (table, name) not in touched and name != self.keys[table]]
        if len(columns) < 2:
            return None
        kinds: tuple[Callable[[str, list[str]], tuple[Change, list[str], list[str]] | None], ...]
        kinds = (self.renamed, self.hidden, self.in_another_unit, self.split, self.merged, self.added, self.moved)
        made = self.draw.choice(kinds)(table, columns)
        if made is None:
            return None
        change, gone, new = made
        touched |= {(table, name) for name in (*gone, *new)}
        if isinstance(change, Move):
            touched |= {(change.to, change.name), *((each, self.keys[each]) for each in KEYS)}
        return change

    def renamed(self, table: str, columns: list[str]) -> tuple[Change, list[str], list[str]]:
        old, new = self.draw.choice(columns), self.fresh()
        self.shown[table][new] = self.shown[table].pop(old)
        return Rename(table, old, new), [old], [new]

    def hidden(self, table: str, columns: list[str]) -> tuple[Change, list[str], list[str]]:
        old = self.draw.choice(columns)
        del self.shown[table][old]
        return Hide(table, old), [old], []

    def in_another_unit(self, table: str, columns: list[str]) -> tuple[Change, list[str], list[str]] | None:
        numbers = [name for name in columns if self.shown[table][name].is_numeric]
        if not numbers:
            return None
        old = self.draw.choice(numbers)
        return self.expressed(table, Datatype.DOUBLE, f"{old} * 1000.0", [old])

    def split(self, table: str, columns: list[str]) -> tuple[Change, list[str], list[str]] | None:
        whole = [name for name in columns if self.shown[table][name] is Datatype.INT]
        if not whole:
            return None
        old = self.draw.choice(whole)
        return self.expressed(table, Datatype.INT, f"{old} / 10", [old])

    def merged(self, table: str, columns: list[str]) -> tuple[Change, list[str], list[str]] | None:
        numbers = [name for name in columns if self.shown[table][name].is_numeric]
        if len(numbers) < 2:
            return None
        one, other = self.draw.sample(numbers, 2)
        return self.expressed(table, Datatype.DOUBLE, f"{one} + {other} / 2.0", [one, other])

    def added(self, table: str, columns: list[str]) -> tuple[Change, list[str], list[str]]:
        base = self.draw.choice(columns)
        kind = self.shown[table][base]
        if kind.is_text:
            return self.expressed(table, kind, f"{base} || 'x'", [])
        return self.expressed(table, Datatype.DOUBLE, f"ABS({base}) * 2 - 0.5", [])

    def expressed(
        self, table: str, datatype: Datatype, expression: str, replaces: list[str]
    ) -> tuple[Change, list[str], list[str]]:
        new = self.fresh()
        for old in replaces:
            del self.shown[table][old]
        self.shown[table][new] = datatype
        column = Column(new, datatype, arraysize="*" if datatype.is_text else None, unit="km", description=expression)
        return Express(table, column, expression, tuple(replaces)), replaces, [new]

    def moved(self, table: str, columns: list[str]) -> tuple[Change, list[str], list[str]]:
        old, to, new = self.draw.choice(columns), "extra" if table == "star" else "star", self.fresh()
        self.shown[to][new] = self.shown[table].pop(old)
        return Move(table, old, to, new, ((self.keys[to], self.keys[table]),)), [old], [new]

    # --- what users ask at this version --------------------------------------------------------------

    def queries(self) -> Iterator[str]:
        for table, key in self.keys.items():
            names = [name for name in self.shown[table] if name != key]
            numbers = [name for name in names if self.shown[table][name].is_numeric] or [key]
            some, number = self.draw.sample(names, min(3, len(names))), self.draw.choice(numbers)
            listed = ", ".join((key, *some))
            yield f"SELECT {listed} FROM rel.{table} WHERE {number} > 3 ORDER BY {key}"
            yield f"SELECT COUNT(*) AS n, MIN({number}) AS low, MAX({number}) AS high FROM rel.{table}"
            yield f"SELECT {some[0]}, COUNT(*) AS n FROM rel.{table} GROUP BY {some[0]}"
            yield (
                f"WITH w AS (SELECT {listed} FROM rel.{table}) SELECT a.{key}, b.{some[0]} FROM w AS a, w AS b"
                f" WHERE a.{key} = b.{key}"
            )
        stars, extras = (self.draw.choice(list(self.shown[table])) for table in KEYS)
        star, extra = self.keys["star"], self.keys["extra"]
        yield (
            f"SELECT s.{star}, s.{stars}, e.{extras} FROM rel.star s LEFT JOIN rel.extra e ON s.{star} = e.{extra}"
            f" WHERE s.{stars} IS NOT NULL"
        )
        yield f"SELECT e.{extra}, s.{stars} FROM rel.star s RIGHT JOIN rel.extra e ON s.{star} = e.{extra} + 1"
        if {"ra", "dec"} <= self.shown["star"].keys():
            yield f"SELECT {star}, {stars} FROM rel.star WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(30, 10, 25))"


STATES = 3
"""How often rows came to each table, in the end."""

Editions = dict[tuple[tuple[str, str], int], Edition]


@dataclass
class Held:
    """An engine, and the editions that it holds of each table at each of its states."""

    engine: Engine
    editions: Editions

    def published(self, catalog: Catalog, states: dict[tuple[str, str], int]) -> Published:
        now = {key: self.editions[key, state] for key, state in states.items()}
        return Published(0, catalog, now, dict(states))

    def asked(self, published: Published, query: str, token: str | None = None) -> Answer:
        at = None if token is None else Token.read(token)
        result = run(prepare(Question(query, at=at), published), self.engine)
        rows: list[tuple[Any, ...]] = []
        try:
            for batch in result.batches:
                assert result.digest is not None
                result.digest.add(batch)
                rows += [tuple(column[at].as_py() for column in batch.columns) for at in range(batch.num_rows)]
        finally:
            result.close()
        assert result.token is not None, result.obstacle
        return Answer(tuple(result.columns), sorted(rows, key=repr), result.token, str(result.digest))


@dataclass(frozen=True)
class Answer:
    """Columns, rows in an order of their own, and what says that they are the same later."""

    columns: tuple[Column, ...]
    rows: list[tuple[Any, ...]]
    token: str
    digest: str

    def shows(self, other: Answer) -> bool:
        """Whether columns and rows are the same, whatever they were made from."""
        return (self.columns, self.rows) == (other.columns, other.rows)


@pytest.fixture(scope="module")
def held(make_engine: Callable[[Path], Engine], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """The rows, as they were stored with one state after another."""
    folder = tmp_path_factory.mktemp("history")
    engine = make_engine(folder / "editions")
    draw = random.Random(5)
    ids = list(range(1, 41))
    stars = {
        "id": ids,
        "ra": [draw.uniform(0, 60) for _ in ids],
        "dec": [draw.uniform(-20, 40) for _ in ids],
        "mag": [draw.choice((None, draw.uniform(0, 20))) for _ in ids],
        "n": [draw.choice((None, draw.randint(-50, 50))) for _ in ids],
        "word": [draw.choice((None, "a", "bb", "é")) for _ in ids],
        "f": [draw.choice((None, 0.5, 2.25, 17.0)) for _ in ids],
    }
    some = ids[::2]
    extras = {
        "eid": some,
        "w": [draw.uniform(-5, 5) for _ in some],
        "k": [draw.choice((None, draw.randint(0, 99))) for _ in some],
        "label": [draw.choice(("p", "q", None)) for _ in some],
    }
    editions: Editions = {}
    world = World(engine, folder)
    for table, columns in ((STAR, stars), (EXTRA, extras)):
        order = draw.sample(range(len(columns[KEYS[table.name]])), len(columns[KEYS[table.name]]))
        rows = rows_of(table, **columns).take(order)
        cuts = [0, *sorted(draw.sample(range(5, rows.num_rows), STATES - 1)), rows.num_rows]
        parts = [world.parts(table, rows.slice(one, other - one))[0] for one, other in pairwise(cuts)]
        for state in range(1, STATES + 1):
            since = range(1, state + 1)
            world.builds += 1
            editions[table.key, state] = engine.build(table, world.builds, parts[:state], since=since)
    yield Held(engine, editions)
    engine.close()


@pytest.mark.requirement("DMS-DBB-REQ-0054")
@pytest.mark.requirement("DMS-DBB-REQ-0030")
@settings(
    deadline=None,
    max_examples=max(5, settings.default.max_examples // 20),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32))
def test_a_query_of_any_version_has_the_same_answer_at_every_later_one(held: Held, seed: int) -> None:
    """While versions and rows are added at random: with its token always, without it until rows come."""
    draw = random.Random(seed)
    past = Past(draw)
    versions: list[Version] = []
    states = {table.key: 1 for table in SCHEMA.tables}
    recorded: list[tuple[str, int, dict[tuple[str, str], int], Answer]] = []
    for step in range(6):
        if step:
            growing = [key for key, state in states.items() if state < STATES and draw.random() < 0.3]
            states |= {key: states[key] + 1 for key in growing}
            if not growing or draw.random() < 0.7:
                versions.append(past.version(len(versions) + 2))
        published = held.published(Catalog(unfold(SCHEMA, versions)), states)
        for query, since, then, answer in recorded:
            again = held.asked(published, query, answer.token)
            assert again == answer, (query, versions, states)
            if then == states:
                assert held.asked(published, query).shows(answer), (query, versions)
                pinned = query.replace("rel.", f"rel_v{since}.")
                assert not versions or held.asked(published, pinned).shows(answer), (pinned, versions)
        number = len(versions) + 1
        recorded += [(query, number, dict(states), held.asked(published, query)) for query in past.queries()]
