"""Random histories of a schema: every query written for one version gives the same answer at every later one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.adql import parse, resolve
from archive.adql.adapt import adapt
from archive.adql.resolve import expand
from archive.columns import Column, Datatype
from archive.engine.contract import Bindings, Engine, Limits
from archive.tables import Catalog, Position, Schema, Table
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


@pytest.fixture(scope="module")
def held(make_engine: Callable[[Path], Engine], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The rows, as they were first stored."""
    folder = tmp_path_factory.mktemp("history")
    world = World(make_engine(folder / "editions"), folder)
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
    world.publish(STAR, rows_of(STAR, **stars))
    world.publish(EXTRA, rows_of(EXTRA, **extras))
    yield world
    world.engine.close()


def asked(world: World, catalog: Catalog, query: str) -> tuple[tuple[Column, ...], list[tuple[Any, ...]]]:
    """Columns and rows, in an order of their own."""
    understood = adapt(resolve(parse(query), catalog), expand)
    editions = {key: world.bindings.editions[table.rows_of or key] for key, table in understood.tables.items()}
    stream = world.engine.run(understood, Bindings(editions), Limits())
    try:
        rows = [
            tuple(column[at].as_py() for column in batch.columns)
            for batch in stream.batches
            for at in range(batch.num_rows)
        ]
    finally:
        stream.close()
    return tuple(stream.columns), sorted(rows, key=repr)


@pytest.mark.requirement("DMS-DBB-REQ-0054")
@pytest.mark.requirement("DMS-DBB-REQ-0030")
@settings(
    deadline=None,
    max_examples=max(5, settings.default.max_examples // 20),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32))
def test_a_query_of_any_version_has_the_same_answer_at_every_later_one(held: World, seed: int) -> None:
    past = Past(random.Random(seed))
    versions: list[Version] = []
    recorded: list[tuple[str, int, tuple[tuple[Column, ...], list[tuple[Any, ...]]]]] = []
    for number in range(1, 7):
        if number > 1:
            versions.append(past.version(number))
        catalog = Catalog(unfold(SCHEMA, versions))
        for query, since, answer in recorded:
            assert asked(held, catalog, query) == answer, (query, versions)
            pinned = query.replace("rel.", f"rel_v{since}.")
            assert asked(held, catalog, pinned) == answer, (pinned, versions)
        recorded += [(query, number, asked(held, catalog, query)) for query in past.queries()]
