"""Each test of this folder runs once per engine; a new engine is one more entry here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archive.engine.contract import Engine
from archive.engine.duckdb import DuckDB
from tests import clusters

from .world import World

ENGINES: dict[str, Callable[[Path], Engine]] = {
    "duckdb": lambda folder: DuckDB(folder, threads=2, memory="1GB"),
    "postgresql": clusters.engine,
}


@pytest.fixture(scope="module", params=["duckdb", pytest.param("postgresql", marks=pytest.mark.service)])
def make_engine(request: pytest.FixtureRequest) -> Callable[[Path], Engine]:
    """Opens an engine on a folder, as each process does."""
    return ENGINES[request.param]


@pytest.fixture
def world(make_engine: Callable[[Path], Engine], tmp_path: Path) -> Iterator[World]:
    """An engine of this test's own."""
    engine = make_engine(tmp_path / "editions")
    yield World(engine, tmp_path)
    engine.close()


@pytest.fixture(scope="module")
def shared(make_engine: Callable[[Path], Engine], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An engine shared by the tests of a module, which only read."""
    folder = tmp_path_factory.mktemp("world")
    engine = make_engine(folder / "editions")
    yield World(engine, folder)
    engine.close()
