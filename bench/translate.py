"""Claim: a typical query goes from text to SQL at least 1 000 times a second on one core.

The queries of ``bench.parse`` over tables described for them. For each: the time to bind names, types and units,
beside the time to parse, and the whole way from text to the statement of the embedded engine. Then a long list of
literals and a wide table, which are apt to be slow.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from archive.adql import parse, resolve
from archive.columns import Column, Datatype, arrow_type
from archive.engine.contract import Bindings
from archive.engine.duckdb import DuckDB
from archive.tables import Catalog, Position, Schema, Table
from bench.parse import TYPICAL, best_time


def _columns(longs: str = "", doubles: str = "", texts: str = "") -> tuple[Column, ...]:
    units = {"ra": "deg", "dec": "deg", "parallax": "mas", "pmra": "mas/yr", "pmdec": "mas/yr", "flux": "nJy"}
    return (
        *(Column(name, Datatype.LONG, ucd="meta.id", description=name) for name in longs.split()),
        *(Column(name, Datatype.DOUBLE, unit=units.get(name), description=name) for name in doubles.split()),
        *(Column(name, Datatype.CHAR, "*", description=name) for name in texts.split()),
    )


_SKY = Position("ra", "dec")
_OBJECT = _columns("object_id", "ra dec mag_r") + tuple(Column(f"extra_{i}", Datatype.FLOAT) for i in range(60))
_GAIA = _columns(
    "source_id object_id flags",
    "ra dec parallax pmra pmdec phot_g_mean_mag parallax_over_error ruwe",
    "class",
)
CATALOG = Catalog(
    [
        Schema(
            "dr1",
            (
                Table("dr1", "object", _OBJECT, position=_SKY),
                Table("dr1", "source", _columns("object_id", "mjd flux flux_err", "band")),
                Table("dr1", "forced", _columns("object_id", "forced_flux")),
                Table("dr1", "wide", tuple(Column(f"column_{i}", Datatype.DOUBLE) for i in range(1000))),
            ),
        ),
        Schema("gaiadr3", (Table("gaiadr3", "gaia_source", _GAIA, position=_SKY),)),
        Schema("TAP_UPLOAD", (Table("TAP_UPLOAD", "mine", _columns("id", "ra dec")),)),
        Schema(
            "TAP_SCHEMA",
            (Table("TAP_SCHEMA", "columns", _columns("", "", "table_name column_name description unit ucd")),),
        ),
    ]
)


def _bindings(engine: DuckDB, folder: Path) -> Bindings:
    """An edition of one row for each table."""
    editions = {}
    for table in CATALOG.tables():
        arrays = {one.name: pa.nulls(1, arrow_type(one)) for one in table.columns}
        if table.position:
            arrays["_healpix_29"] = pa.array([0], pa.int64())
        part = folder / f"{table.qualified}.parquet"
        pq.write_table(pa.table(arrays), part)
        editions[table.key] = engine.build(table, 1, [part])
    return Bindings(editions)


def _report(name: str, text: str, whole: Callable[[str], object], repeats: int) -> tuple[float, float]:
    tree = parse(text)
    reading = best_time(partial(parse, text), repeats)
    binding = best_time(partial(resolve, tree, CATALOG), repeats)
    translating = best_time(partial(whole, text), repeats)
    parts = f"parse {reading * 1e3:7.3f}  resolve {binding * 1e3:7.3f}  text to SQL {translating * 1e3:8.3f} ms"
    print(f"{name:16} {parts}  resolve/parse {binding / reading:4.1f}")
    return binding, translating


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as scratch:
        engine = DuckDB(Path(scratch))
        bindings = _bindings(engine, Path(scratch))

        def whole(text: str) -> str:
            return engine.sql(resolve(parse(text), CATALOG), bindings)

        times = [_report(name, text, whole, 200) for name, text in TYPICAL.items()]
        bound, translated = (len(times) / sum(one) for one in zip(*times, strict=True))
        print(f"typical queries: resolve {bound:,.0f}/s, text to SQL {translated:,.0f}/s (aim 1 000)")
        literals = ", ".join(str(10**15 + i) for i in range(500))
        _report("500 literals", f"SELECT ra FROM dr1.object WHERE object_id IN ({literals})", whole, 20)
        literals = ", ".join(str(10**6 + i) for i in range(110_000))
        _report("1 MB of literals", f"SELECT ra FROM dr1.object WHERE object_id IN ({literals})", whole, 2)
        _report("1000 columns", "SELECT * FROM dr1.wide", whole, 20)
        engine.close()


if __name__ == "__main__":
    main()
