"""Answers in pieces: one after another they are the whole answer, whatever its order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from flask.testing import FlaskClient

from archive import onward
from archive.columns import Column, Datatype
from archive.config import Config
from archive.engine.duckdb import DuckDB
from archive.faults import UsageFault
from archive.ledger import Published, Site
from archive.query import Question, answer
from archive.results import Result
from archive.serving import Serving
from archive.tables import Table
from tests.contract.world import World, number, rows_of
from tests.faces import app

ROWS = 60
STARS = Table(
    "sky",
    "star",
    (
        number("id", Datatype.LONG, nullable=False),
        number("field", Datatype.SHORT),
        number("mag", Datatype.FLOAT),
        Column("name", Datatype.UNICODE, "*"),
        Column("seen", Datatype.CHAR, "*", xtype="timestamp"),
        Column("good", Datatype.BOOLEAN),
    ),
    primary_key=("id",),
)
FIELDS = Table("sky", "field", (number("field", Datatype.SHORT, nullable=False),), primary_key=("field",))
HEAP = Table("sky", "heap", (number("id", Datatype.LONG),))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    engine = DuckDB(folder / "editions", threads=2, memory="1GB")
    made = World(engine, folder)
    every = range(ROWS)
    values: dict[str, Any] = {
        "id": np.random.default_rng(3).permutation(ROWS) + 2**60,
        "field": [None if at % 7 == 0 else at % 3 for at in every],
        "mag": [None if at % 5 == 0 else np.float32(0.1) * (at % 4) for at in every],
        "name": [None if at % 11 == 0 else "äÄ 'o\"&;"[at % 8 :] for at in every],
        "seen": [None if at % 4 == 0 else datetime(2026, 1, 1) + timedelta(microseconds=at % 6) for at in every],
        "good": [True] * ROWS,
    }
    made.publish(STARS, rows_of(STARS, **values))
    made.publish(FIELDS, rows_of(FIELDS, field=[0, 1, 2]))
    made.publish(HEAP, rows_of(HEAP, id=range(ROWS)))
    yield made
    engine.close()


def asked(world: World, query: str, maxrec: int | None, begin: onward.Place | None = None) -> Result:
    published = Published(1, world.catalog(), world.bindings.editions)
    ledger = SimpleNamespace(published=lambda: published)
    return answer(Question(query, maxrec=maxrec, begin=begin), ledger, world.engine)  # type: ignore[arg-type]


def rows(result: Result) -> list[tuple[Any, ...]]:
    batches = list(result.batches)
    result.close()
    return [row for batch in batches for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)]


ORDERED = [
    "SELECT id FROM sky.star ORDER BY id",
    "SELECT name, id AS number FROM sky.star ORDER BY number DESC",
    "SELECT id, mag FROM sky.star ORDER BY mag, id",
    "SELECT id, mag, field FROM sky.star WHERE field > 0 OR id > 0 ORDER BY field DESC, mag, 1 DESC",
    "SELECT id, name, seen FROM sky.star ORDER BY seen DESC, name, id",
    "SELECT field, COUNT(*) AS n FROM sky.star GROUP BY field ORDER BY field",
    "SELECT DISTINCT field, mag FROM sky.star ORDER BY mag DESC, field",
    "SELECT s.id, f.field FROM sky.star AS s JOIN sky.field AS f ON s.field = f.field ORDER BY f.field, s.id",
    "WITH few AS (SELECT id FROM sky.star) SELECT id FROM sky.star WHERE id IN (SELECT id FROM few) ORDER BY id",
]


@pytest.mark.parametrize("piece", [1, 7, 59, 60])
@pytest.mark.parametrize("query", ORDERED)
def test_pieces_make_the_whole(world: World, query: str, piece: int) -> None:
    whole = rows(asked(world, query, None))
    found: list[tuple[Any, ...]] = []
    begin: onward.Place | None = None
    for _ in range(len(whole) + 1):
        result = asked(world, query, piece, begin)
        found += rows(result)
        if not result.overflowed:
            break
        assert result.last is not None
        begin = onward.place(result.last)
    assert found == whole


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id FROM sky.star",
        "SELECT mag, id FROM sky.star ORDER BY mag",
        "SELECT mag FROM sky.star ORDER BY id",
        "SELECT id FROM sky.heap ORDER BY id",
        "SELECT id, good FROM sky.star ORDER BY good, id",
        "SELECT TOP 50 id FROM sky.star ORDER BY id",
        "SELECT id FROM sky.star ORDER BY id OFFSET 1",
        "SELECT id + 1 AS up FROM sky.star ORDER BY up",
        "SELECT field, COUNT(*) AS n FROM sky.star GROUP BY field ORDER BY n",
        "SELECT s.id FROM sky.star AS s, sky.field AS f ORDER BY s.id",
        "SELECT s.id FROM (SELECT id FROM sky.star) AS s ORDER BY id",
        "SELECT id FROM sky.star UNION SELECT id FROM sky.heap ORDER BY id",
        "SELECT s.id, f.field FROM sky.star AS s LEFT JOIN sky.field AS f ON s.field = f.field ORDER BY f.field, s.id",
    ],
)
def test_rows_without_a_total_order_have_no_next_piece(world: World, query: str) -> None:
    result = asked(world, query, 2)
    rows(result)
    assert result.overflowed
    assert result.last is None
    with pytest.raises(UsageFault, match="no two are alike"):
        asked(world, query, 2, (1,))


@pytest.mark.parametrize("text", ["", "7", "[]", "{}", "[true]", "[[1]]", "[1", '{"a": 1}', f"[{2**70}]"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(UsageFault, match="CONTINUE is not understood"):
        onward.place(text)


@pytest.mark.parametrize("begin", [(1, 2), ("text",), (2.5, None)])
def test_a_place_in_another_order(world: World, begin: onward.Place) -> None:
    with pytest.raises(UsageFault, match="CONTINUE has"):
        asked(world, "SELECT id FROM sky.star ORDER BY id", 2, begin)


def test_a_place_that_is_no_time(world: World) -> None:
    with pytest.raises(UsageFault, match="for the time seen"):
        asked(world, "SELECT id, seen FROM sky.star ORDER BY seen, id", 2, ("yesterday", 1))


# --- over HTTP ------------------------------------------------------------------------------------


@pytest.fixture
def client(world: World) -> FlaskClient:
    published = Published(1, world.catalog(), world.bindings.editions)
    ledger = SimpleNamespace(published=lambda: published, site=lambda: Site("a.test", "Tests", "t@a.test"))
    return app(Serving(Config(), ledger, world.engine)).test_client()  # type: ignore[arg-type]


def test_the_next_piece_is_an_address_in_the_document_and_in_a_header(client: FlaskClient) -> None:
    asking = {"LANG": "ADQL", "QUERY": "SELECT id, name FROM sky.star ORDER BY name, id", "FORMAT": "text"}
    whole = client.get("/tap/sync", query_string=asking).text.splitlines()
    address: str | None = f"/tap/sync?{'&'.join(f'{name}={value}' for name, value in asking.items())}&MAXREC=25"
    found: list[str] = []
    while address:
        response = client.get(address)
        *lines, told = response.text.splitlines()
        found += lines[2:] if told.startswith("OVERFLOW") else [*lines[2:], told]
        link = re.search('<([^>]*)>; rel="next"', response.headers.get("Link", ""))
        assert (link is not None) == told.startswith("OVERFLOW")
        address = None if link is None else link[1]
        assert address is None or told.endswith(f"The next rows: {address}")
    assert [line.split() for line in found] == [line.split() for line in whole[2:]]


def test_what_was_asked_is_asked_again(client: FlaskClient) -> None:
    asking = {
        "lang": "ADQL-2.1",
        "query": "SELECT id FROM sky.star ORDER BY id",
        "responseformat": "csv",
        "MAXREC": "3",
    }
    response = client.post("/tap/sync", data=asking | {"RUNID": "mine"})
    link = re.search('<([^>]*)>; rel="next"', response.headers["Link"])
    assert link is not None
    again = parse_qs(urlsplit(link[1]).query)
    assert again == {
        "LANG": ["ADQL-2.1"],
        "QUERY": [asking["query"]],
        "RESPONSEFORMAT": ["csv"],
        "MAXREC": ["3"],
        "RUNID": ["mine"],
        "CONTINUE": [f"[{2**60 + 2}]"],
    }


def test_uploads_are_gone_when_the_next_piece_is_asked_for(client: FlaskClient) -> None:
    asking = {"LANG": "ADQL", "QUERY": "SELECT id FROM sky.star ORDER BY id", "MAXREC": "3", "UPLOAD": "t,param:t"}
    response = client.post("/tap/sync", data=asking | {"t": "a\n1\n"})
    assert response.status_code == 200
    assert "next" not in response.headers["Link"]
    assert "The next rows" not in response.text
