"""All of Tycho-2 as an edition of the embedded engine, and the quickest ways to ask it, for the claims that need it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from archive.adql import parse, resolve
from archive.columns import Column, Datatype
from archive.engine.contract import Bindings, Limits
from archive.engine.duckdb import DuckDB
from archive.sky import healpix_29
from archive.tables import Catalog, Position, Schema, Table

DATA = Path(os.environ.get("BENCH_DATA", "../shared/data")) / "catalogs" / "tycho2_stars.parquet"
STARS = Table(
    "ext_tycho2",
    "star",
    (
        Column("star_id", Datatype.INT),
        Column("ra", Datatype.DOUBLE, unit="deg"),
        Column("dec", Datatype.DOUBLE, unit="deg"),
        Column("vt_mag", Datatype.FLOAT, unit="mag"),
    ),
    position=Position("ra", "dec"),
)
MINE = Table("TAP_UPLOAD", "mine", STARS.columns[:3])


class Stars:
    """An engine with the stars in it."""

    def __init__(self, folder: Path) -> None:
        rows = pq.read_table(DATA)
        self.cells = healpix_29(rows["ra"].to_numpy(), rows["dec"].to_numpy())
        order = pa.array(np.argsort(self.cells, kind="stable"))
        self.part = folder / "part.parquet"
        self.rows = rows.take(order)
        pq.write_table(rows.append_column("_healpix_29", pa.array(self.cells)).take(order), self.part)
        self.engine = DuckDB(folder / "editions")
        self.edition = self.engine.build(STARS, 1, [self.part])
        self.file = folder / "editions" / self.edition.place
        self.catalog = Catalog([Schema("ext_tycho2", (STARS,)), Schema("TAP_UPLOAD", (MINE,))])

    def ask(self, query: str, mine: pa.Table | None = None) -> int:
        """Rows of an answer, from ADQL text to the last batch."""
        bindings = Bindings({STARS.key: self.edition}, {} if mine is None else {MINE.key: mine})
        bound = resolve(parse(query), self.catalog)
        return sum(batch.num_rows for batch in self.engine.run(bound, bindings, Limits(seconds=600)).batches)


def middle(*actions: Callable[[int], object], times: int) -> list[float]:
    """The median time of each action in ms; they take turns, so that a busy machine slows all alike."""
    spent: list[list[float]] = [[] for _ in actions]
    for turn in range(times):
        for action, list_of in zip(actions, spent, strict=True):
            began = time.perf_counter()
            action(turn)
            list_of.append((time.perf_counter() - began) * 1000)
    return [median(each) for each in spent]


def show(title: str, figures: Mapping[str, float], against: str) -> None:
    """One line: each figure in ms, and the ratio of the first to the one it is measured against."""
    first = next(iter(figures.values()))
    text = "  ".join(f"{name} {value:8.2f} ms" for name, value in figures.items())
    print(f"{title:28} {text}  ratio {first / figures[against]:.2f}")
