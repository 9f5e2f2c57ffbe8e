"""Prints the peak of this process' memory (kB) after streaming few rows and after streaming many."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from archive.columns import Datatype
from archive.engine.duckdb import DuckDB
from tests.contract.world import World, number, rows_of, sky_rows, sky_table


def main(folder: Path) -> None:
    table = sky_table("stars", number("mag", Datatype.FLOAT))
    engine = DuckDB(folder / "editions", threads=2, memory="1GB")
    world = World(engine, folder)
    world.publish(table, rows_of(table, **sky_rows(100_000, seed=1)))
    every = "select a.id as i, a.ra as r, a.dec as d, b.id as j from sky.stars a, sky.stars b where b.id < "
    for copies in (5, 100):
        rows = sum(batch.num_rows for batch in world.start(f"{every} {copies}").batches)
        assert rows == copies * 100_000, rows
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    engine.close()


main(Path(sys.argv[1]))
