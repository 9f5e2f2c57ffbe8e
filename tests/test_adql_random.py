"""Random valid queries: each engine beside the plain evaluator, on a few rows of the small schema.

``make soak`` makes many more and keeps those that fail in hypothesis' example database; what they taught belongs into
``tests/adql/valid``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, seed, settings

from archive.adql import parse, resolve, tree
from archive.engine.contract import Bindings, Engine
from archive.engine.duckdb import DuckDB
from tests import clusters
from tests.adql import printer, tables
from tests.adql.engines import built_rows, fetch
from tests.adql.evaluator import evaluate
from tests.adql.generator import queries
from tests.adql.sameness import same_answer

STARS, OBSERVATIONS = tables.ROWS[tables.STAR.key], tables.ROWS[tables.OBS.key]
ROWS = {tables.STAR.key: STARS[:16] + STARS[36:], tables.OBS.key: OBSERVATIONS[:14], tables.EMPTY.key: []}

PARTS = 4  # so that they can run side by side
EXAMPLES = max(1200, settings().max_examples) // PARTS


ENGINES: dict[str, Callable[[Path], Engine]] = {
    "duckdb": lambda folder: DuckDB(folder, threads=1),
    "postgresql": clusters.engine,
}


@pytest.fixture(scope="module", params=["duckdb", pytest.param("postgresql", marks=pytest.mark.service)])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    made = ENGINES[request.param](tmp_path_factory.mktemp("editions"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def bindings(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Bindings:
    return built_rows(tables.SCHEMA, ROWS, engine, tmp_path_factory.mktemp("parts"))


def _part(number: int) -> Callable[[Engine, Bindings], None]:
    @settings(max_examples=EXAMPLES, suppress_health_check=[*HealthCheck])
    @given(queries())
    def test(engine: Engine, bindings: Bindings, query: tree.Query) -> None:
        text = printer.query(query)
        note(text)
        understood = resolve(parse(text), tables.CATALOG)
        expected = evaluate(understood, ROWS)
        note(f"expected {expected.rows}")
        assert same_answer(fetch(engine, understood, bindings), expected, understood.columns)

    return seed(number)(test) if settings().derandomize else test


test_part_1, test_part_2, test_part_3, test_part_4 = map(_part, range(PARTS))
