"""What queries mean: the examples on the engine, beside the rows their files tell and the plain evaluator."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from archive.adql import bound, parse, resolve
from archive.engine.contract import Bindings, Engine
from archive.engine.duckdb import DuckDB
from archive.faults import UsageFault
from tests.adql import tables
from tests.adql.engines import built_rows, fetch, given_rows
from tests.adql.evaluator import evaluate
from tests.adql.pairs import Example, examples
from tests.adql.sameness import same_answer, same_rows

VALID = examples("valid")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    duckdb = DuckDB(tmp_path_factory.mktemp("editions"), threads=1)
    yield duckdb
    duckdb.close()


@pytest.fixture(scope="module", params=["given", "built"])
def bindings(request: pytest.FixtureRequest, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Bindings:
    if request.param == "given":
        return given_rows(tables.SCHEMA, tables.ROWS)
    folder: Path = tmp_path_factory.mktemp("parts")
    return built_rows(tables.SCHEMA, tables.ROWS, engine, folder)


def understood(example: Example) -> bound.Bound:
    return resolve(parse(example.text, example.language), tables.CATALOG)


def as_told(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows with times as ISO text, as JSON can hold them."""
    return [tuple(v.isoformat() if isinstance(v, datetime.datetime) else v for v in row) for row in rows]


def is_sorted(query: bound.Bound) -> bool:
    return bool(query.body.order_by)


@pytest.mark.parametrize("example", VALID, ids=str)
def test_engine(example: Example, engine: Engine, bindings: Bindings) -> None:
    query = understood(example)
    rows = fetch(engine, query, bindings)
    if example.rows is not None:
        told = list(example.rows)
        pairs = (
            [([g], [t]) for g, t in zip(as_told(rows), told, strict=True)]
            if is_sorted(query)
            else [(as_told(rows), told)]
        )
        assert all(same_rows(got, expected, query.columns) for got, expected in pairs), rows
    if "RAND" not in example.text.upper():
        assert same_answer(rows, evaluate(query, tables.ROWS), query.columns), rows


DEEP = {
    "functions": lambda n: f"SELECT {'ABS(' * n}mag{')' * n} FROM t.star",
    "sum": lambda n: f"SELECT {' + '.join(['mag'] * n)} FROM t.star",
    "texts": lambda n: f"SELECT {' || '.join(['name'] * n)} FROM t.star",
    "conditions": lambda n: f"SELECT ra FROM t.star WHERE {'mag = 1 AND (mag = 2 OR ' * n}mag = 3{')' * n}",
    "unions": lambda n: "SELECT star_id FROM t.star" + " UNION SELECT star_id FROM t.obs" * n,
    "derived tables": lambda n: f"SELECT * FROM {'(SELECT * FROM ' * n}t.star{') AS q' * n}",
    "subqueries": lambda n: f"SELECT ra FROM t.star WHERE {'ra IN (SELECT ra FROM t.star WHERE ' * n}1 = 1{')' * n}",
    "joins": lambda n: (
        "SELECT star_id FROM t.empty" + "".join(f" LEFT JOIN t.obs AS o{i} USING (star_id)" for i in range(n))
    ),
}


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("depth", [40, 200])
def test_deep_queries_are_answered_or_refused_in_words(
    name: str, depth: int, engine: Engine, bindings: Bindings
) -> None:
    with nullcontext() if depth == 40 else suppress(UsageFault):
        fetch(engine, resolve(parse(DEEP[name](depth)), tables.CATALOG), bindings)
