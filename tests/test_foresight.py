"""Looking ahead: what is foretold of an answer is what it then is, or nothing is foretold."""

from __future__ import annotations

import io
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from flask.testing import FlaskClient

from archive import foresight
from archive.columns import Column, Datatype
from archive.config import Config
from archive.engine.contract import Limits
from archive.engine.duckdb import DuckDB
from archive.faults import FatalFault
from archive.ledger import Published, Site
from archive.query import Question, answer
from archive.results import Result, encode, find
from archive.results.result import Extent, Foresight, Seen
from archive.serving import Serving
from tests.contract.world import World, number, rows_of, sky_rows, sky_table
from tests.faces import app

ROWS = 150_000
STARS = sky_table(
    "star",
    number("bright", Datatype.INT),
    number("least", Datatype.SHORT),
    number("sure", Datatype.INT, nullable=False),
    Column("name", Datatype.UNICODE, "*"),
    Column("seen", Datatype.CHAR, "*", xtype="timestamp"),
    Column("pair", Datatype.FLOAT, "2"),
    Column("many", Datatype.FLOAT, "*"),
    Column("essay", Datatype.CHAR, "*"),
)
PLAIN = "id, ra, bright, least, sure, name, seen, pair"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    engine = DuckDB(folder / "editions", threads=2, memory="1GB")
    made = World(engine, folder)
    every = np.arange(ROWS)
    values = {
        "bright": [None if at == ROWS - 1 else at for at in range(ROWS)],
        "least": np.where(every == ROWS - 2, -(2**15), 1),
        "sure": every,
        "name": np.where(every == ROWS - 3, "Gänseblümchen", "star"),
        "seen": every.astype("datetime64[us]"),
        "pair": np.stack([every, every], 1).astype("f4").tolist(),
        "many": [[1.0] * (at % 3) for at in range(ROWS)],
        "essay": np.where(every == 5, "x" * 300, "short"),
    }
    made.publish(STARS, rows_of(STARS, **sky_rows(ROWS, seed=4), **values))
    yield made
    engine.close()


def asked(world: World, query: str, **more: object) -> Result:
    published = Published(1, world.catalog(), world.bindings.editions)
    ledger = SimpleNamespace(published=lambda: published)
    return answer(Question(query, **more), ledger, world.engine)  # type: ignore[arg-type]


def extent(world: World, query: str, **more: object) -> Extent | None:
    result = asked(world, query, **more)
    try:
        return result.foresight.extent()
    finally:
        result.close()


@pytest.mark.parametrize(
    ("query", "maxrec", "rows", "overflowed"),
    [
        ("SELECT id FROM sky.star", None, ROWS, False),
        ("SELECT id FROM sky.star", ROWS, ROWS, False),
        ("SELECT id FROM sky.star", ROWS - 1, ROWS - 1, True),
        ("SELECT TOP 120000 id FROM sky.star", None, 120_000, False),
        ("SELECT TOP 120000 id FROM sky.star ORDER BY id OFFSET 100000", None, 50_000, False),
        ("SELECT id FROM sky.star ORDER BY ra OFFSET 200000", None, 0, False),
        ("SELECT id FROM sky.star WHERE sure >= 20000", 130_000, 130_000, False),
        ("SELECT DISTINCT least FROM sky.star", None, 2, False),
        ("SELECT id FROM sky.star UNION ALL SELECT id FROM sky.star WHERE sure < 10", None, ROWS + 10, False),
        ("WITH few AS (SELECT id FROM sky.star WHERE sure < 50000) SELECT * FROM few", 40_000, 40_000, True),
        ("SELECT least, COUNT(*) AS n FROM sky.star GROUP BY least ORDER BY 1", None, 2, False),
    ],
)
def test_rows_are_counted_as_they_will_be_sent(
    world: World, query: str, maxrec: int | None, rows: int, overflowed: bool
) -> None:
    told = extent(world, query, maxrec=maxrec)
    if told is not None:  # a short answer is computed at once, and there is nothing to foresee
        assert (told.rows, told.overflowed) == (rows, overflowed)
    result = asked(world, query, maxrec=maxrec)
    assert sum(batch.num_rows for batch in result.batches) == rows
    assert result.overflowed == overflowed
    assert told is not None or result.at_hand


def test_it_tells_what_columns_hold(world: World) -> None:
    told = extent(world, f"SELECT {PLAIN} FROM sky.star")
    assert told is not None
    assert told.seen == (
        Seen(False, 0),
        Seen(),
        Seen(True, 0),
        Seen(False, -(2**15)),
        Seen(),
        Seen(longest=len("Gänseblümchen")),
        Seen(),
        Seen(),
    )


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id, RAND() AS r FROM sky.star",
        "SELECT id FROM sky.star WHERE ivo_normal_random(0, 1) > 0",
        "SELECT s.id FROM (SELECT TOP 100000 id FROM sky.star) AS s",
        "SELECT id FROM sky.star WHERE id IN (SELECT TOP 100000 id FROM sky.star)",
    ],
)
def test_what_may_come_out_otherwise_is_not_foretold(world: World, query: str) -> None:
    assert extent(world, query) is None


def test_what_takes_long_is_not_foretold(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foresight, "_SECONDS", 0.02)
    assert extent(world, "SELECT a.id FROM sky.star AS a, sky.star AS b WHERE a.ra * b.dec > 1") is None


def fits_of(result: Result) -> tuple[bytes, int]:
    """The file, and how many rows had been drawn when its first byte left."""
    drawn = 0

    def counted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        nonlocal drawn
        for batch in batches:
            drawn += batch.num_rows
            yield batch

    result.batches = counted(result.batches)
    pieces = encode(result, find("fits"))
    first = next(pieces)
    at_first = drawn
    return first + b"".join(pieces), at_first


@pytest.mark.parametrize("maxrec", [None, 100_000])
def test_fits_leaves_early_and_says_the_same(world: World, maxrec: int | None) -> None:
    query = f"SELECT {PLAIN} FROM sky.star ORDER BY id"
    early, drawn = fits_of(asked(world, query, maxrec=maxrec))
    waited = asked(world, query, maxrec=maxrec)
    waited.foresight = Foresight()
    late, drawn_late = fits_of(waited)
    assert drawn < drawn_late / 2
    with fits.open(io.BytesIO(early)) as one, fits.open(io.BytesIO(late)) as other:
        one.verify("exception")
        assert one[1].header["NAXIS2"] == drawn_late
        assert str(one[1].header.get("COMMENT", "")).startswith("OVERFLOW" if maxrec else "Where text")
        for name in PLAIN.split(", "):
            assert (one[1].data[name] == other[1].data[name]).all(), name


@pytest.mark.parametrize("column", ["many", "essay"])
def test_cells_that_lie_behind_the_rows_make_fits_wait(world: World, column: str) -> None:
    _, drawn = fits_of(asked(world, f"SELECT id, ra, dec, {column} FROM sky.star"))
    assert drawn == ROWS


def test_a_fits_file_that_does_not_come_out_as_foretold_breaks_off(world: World) -> None:
    class Wrong(Foresight):
        def extent(self) -> Extent | None:
            return Extent(ROWS + 1, False, (Seen(), Seen()))

    result = asked(world, "SELECT ra, dec FROM sky.star")
    result.foresight = Wrong()
    with pytest.raises(FatalFault, match="foreseen"):
        fits_of(result)


# --- told to clients ------------------------------------------------------------------------------


@pytest.fixture
def client(world: World) -> FlaskClient:
    published = Published(1, world.catalog(), world.bindings.editions)
    ledger = SimpleNamespace(published=lambda: published, site=lambda: Site("a.test", "Tests", "t@a.test"))
    serving = Serving(Config(default_maxrec=100_000), ledger, world.engine)  # type: ignore[arg-type]
    return app(serving).test_client()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("query", "given", "told"),
    [
        ("SELECT id, ra FROM sky.star", {}, "rows=100000"),
        ("SELECT id, ra FROM sky.star", {"MAXREC": "149999"}, "rows=149999"),
        ("SELECT id, ra FROM sky.star", {"MAXREC": "150000"}, None),
        ("SELECT TOP 90000 id, ra FROM sky.star", {}, None),
        ("SELECT id, RAND() AS r FROM sky.star", {}, "rows=100000"),
    ],
)
def test_a_long_answer_that_will_be_cut_says_so_in_its_header(
    client: FlaskClient, query: str, given: dict[str, str], told: str | None
) -> None:
    response = client.get("/tap/sync", query_string={"LANG": "ADQL", "QUERY": query, "FORMAT": "csv"} | given)
    assert response.status_code == 200
    assert response.headers.get("X-Archive-Overflow") == told
    assert ("/tap/async" in response.headers.get("Link", "")) == (told is not None)


def test_a_look_ahead_takes_its_turn(world: World) -> None:
    turns = []

    class Turn:
        def __enter__(self) -> None:
            turns.append("taken")

        def __exit__(self, *_: object) -> None:
            turns.append("given back")

    result = asked(world, "SELECT id FROM sky.star WHERE id > 0", maxrec=100_000)
    assert isinstance(result.foresight, foresight.Ahead)
    result.foresight.turn = Turn
    assert result.foresight.cut_at() == 100_000
    result.close()
    assert turns == ["taken", "given back"]


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("SELECT sure, ra FROM sky.star", ROWS),
        ("SELECT TOP 7 sure FROM sky.star ORDER BY ra", 7),
        ("SELECT bright, ra FROM sky.star", None),
        ("SELECT sure FROM sky.star WHERE sure > 3", None),
        ("SELECT DISTINCT sure FROM sky.star", None),
        ("SELECT COUNT(*) AS n FROM sky.star", None),
    ],
)
def test_a_whole_table_is_foretold_without_asking(
    world: World, monkeypatch: pytest.MonkeyPatch, query: str, rows: int | None
) -> None:
    """Where a look ahead would cost the engine much, only what the edition knows is told."""
    monkeypatch.setattr(type(world.engine), "foresees", False)
    foretold = foresight.Ahead(world.engine, world.understood(query), world.bindings, Limits(None), most=10**6).extent()
    assert (None if foretold is None else foretold.rows) == rows
