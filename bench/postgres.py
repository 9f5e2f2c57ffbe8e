r"""Claim: PostgreSQL answers near its own speed.

Tycho-2 (1.87 million stars) is built as an edition in a server of this run's own. Then, side by side:

* out: all rows (star_id, ra, dec, vt_mag) as each format, beside ``psql \copy (...) to /dev/null with binary``.
  Aims: BINARY2 0.70 of its speed, CSV and FITS 0.60, TABLEDATA and Parquet 0.40; first byte within 100 ms.
* cones: median time of a cone from ADQL to rows, at three radii, beside the SQL an expert writes by hand, with
  pgSphere's index, over the same driver. Aim: 1.5 times at most.
* joins: 10,000 positions against all stars within 5 arcseconds, beside the same by pgSphere's index.
* in: rows per second into the edition, HEALPix index included. Aim: 120,000.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from adbc_driver_postgresql import dbapi

from archive.adql import parse, resolve
from archive.columns import Column, Datatype
from archive.engine.contract import Bindings, Limits
from archive.engine.postgres import Postgres
from archive.results import Result, encode, find
from archive.sky import healpix_29
from archive.tables import Catalog, Position, Schema, Table
from tests.postgres import postgres

DATA = Path(os.environ.get("BENCH_DATA", "../shared/data")) / "catalogs" / "tycho2_stars.parquet"
ALL = "SELECT star_id, ra, dec, vt_mag FROM t.star"
FORMATS = ("votable/b2", "votable", "csv", "fits", "votable/td", "parquet")
COLUMNS = (
    Column("star_id", Datatype.INT, ucd="meta.id;meta.main", nullable=False),
    Column("ra", Datatype.DOUBLE, unit="deg", ucd="pos.eq.ra;meta.main", nullable=False),
    Column("dec", Datatype.DOUBLE, unit="deg", ucd="pos.eq.dec;meta.main", nullable=False),
    Column("vt_mag", Datatype.FLOAT, unit="mag", ucd="phot.mag;em.opt.V"),
)
STAR = Table("t", "star", COLUMNS, position=Position("ra", "dec"))
MINE = Table("TAP_UPLOAD", "mine", COLUMNS[:3])


class Bench:
    """The engine with the stars in it, and ways to ask it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = sa.make_url(url)
        self.engine = Postgres(url)
        stars = pq.read_table(DATA)
        self.stars = stars.select([column.name for column in COLUMNS])
        cells = healpix_29(stars["ra"].to_numpy(), stars["dec"].to_numpy())
        part = self.stars.append_column("_healpix_29", pa.array(cells)).sort_by("_healpix_29")
        pq.write_table(part, folder / "part.parquet")
        begin = time.perf_counter()
        self.edition = self.engine.build(STAR, 1, [folder / "part.parquet"])
        print(f"in: {self.edition.rows / (time.perf_counter() - begin):,.0f} rows/s")
        self.table = f'archive_editions."{self.edition.place}"'
        with sa.create_engine(url).begin() as connection:
            connection.exec_driver_sql(f"CREATE INDEX ON {self.table} USING gist (spoint(radians(c2), radians(c3)))")

    def ask(self, query: str, uploads: dict[tuple[str, str], pa.Table] | None = None) -> Result:
        catalog = Catalog([Schema("t", (STAR,)), Schema("TAP_UPLOAD", (MINE,))])
        bound = resolve(parse(query), catalog)
        stream = self.engine.run(bound, Bindings({STAR.key: self.edition}, uploads or {}), Limits(seconds=600))
        return Result(stream.columns, stream.batches, stream.close)

    def psql(self, query: str) -> float:
        """Seconds in which PostgreSQL's own client copies an answer to nowhere."""
        host, user = str(self.url.query["host"]), str(self.url.username)
        copy = f"\\copy ({query}) to /dev/null with binary"
        begin = time.perf_counter()
        subprocess.run(["psql", "-q", "-h", host, "-U", user, "-d", str(self.url.database), "-c", copy], check=True)
        return time.perf_counter() - begin


def out(bench: Bench) -> None:
    by_psql = min(bench.psql(f"select c1, c2, c3, c4 from {bench.table}") for _ in range(3))
    print(f"\nout: psql {bench.edition.rows / by_psql:,.0f} rows/s")
    for name in FORMATS:
        best, first = 1e9, 1e9
        for _ in range(3):
            begin = time.perf_counter()
            pieces = iter(encode(bench.ask(ALL), find(name)))
            next(pieces)
            first = min(first, time.perf_counter() - begin)
            for _piece in pieces:
                pass
            best = min(best, time.perf_counter() - begin)
        print(f"  {name:10} {by_psql / best:5.2f} of psql, first byte {first * 1000:6.1f} ms")


def cones(bench: Bench) -> None:
    random = np.random.default_rng(1)
    places = np.stack([random.uniform(0, 360, 60), np.degrees(np.arcsin(random.uniform(-1, 1, 60)))], axis=1).tolist()
    connection = dbapi.connect(
        f"postgresql:///{bench.url.database}?host={bench.url.query['host']}&user={bench.url.username}"
    )

    def ours(lon: float, lat: float, radius: float) -> int:
        where = f"1 = CONTAINS(POINT(ra, dec), CIRCLE({lon!r}, {lat!r}, {radius}))"
        return sum(batch.num_rows for batch in bench.ask(f"{ALL} WHERE {where}").batches)

    def by_hand(lon: float, lat: float, radius: float) -> int:
        circle = f"scircle(spoint(radians({lon!r}), radians({lat!r})), radians({radius}))"
        with connection.cursor() as cursor:
            cursor.execute(
                f"select c1, c2, c3, c4 from {bench.table} where spoint(radians(c2), radians(c3)) <@ {circle}"
            )
            found = int(cursor.fetch_arrow_table().num_rows)
        connection.rollback()
        return found

    print("\ncones: median ms, ours and by hand")
    for radius in (0.1, 1.0, 5.0):
        assert ours(*places[0], radius) == by_hand(*places[0], radius)
        mine, hand = (statistics.median(timed(ask, *place, radius) for place in places) for ask in (ours, by_hand))
        print(f"  {radius:4} deg {mine * 1000:7.2f} {hand * 1000:7.2f}  ratio {mine / hand:.2f}")
    connection.close()


def joins(bench: Bench) -> None:
    mine = bench.stars.select(["star_id", "ra", "dec"]).take(np.random.default_rng(2).integers(0, 1_800_000, 10_000))
    near = "DISTANCE(m.ra, m.dec, s.ra, s.dec) < 5 / 3600."
    query = f"SELECT COUNT(*) AS n FROM TAP_UPLOAD.mine AS m JOIN t.star AS s ON {near}"
    ours = timed(lambda: list(bench.ask(query, {MINE.key: mine}).batches))
    with sa.create_engine(bench.url).begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE mine AS SELECT c2 AS ra, c3 AS dec FROM {bench.table} LIMIT 10000")
        connection.exec_driver_sql("ANALYZE mine")
        join = (
            f"SELECT count(*) FROM mine m JOIN {bench.table} s ON spoint(radians(s.c2), radians(s.c3))"
            " <@ scircle(spoint(radians(m.ra), radians(m.dec)), radians(5 / 3600.))"
        )
        hand = timed(lambda: connection.exec_driver_sql(join).all())
    print(f"\njoins: {ours:.2f} s with upload, by hand {hand:.2f} s, ratio {ours / hand:.2f}")


def timed(action: Callable[..., object], *arguments: object) -> float:
    begin = time.perf_counter()
    action(*arguments)
    return time.perf_counter() - begin


def main() -> None:
    """Print the figures."""
    with postgres() as url, tempfile.TemporaryDirectory() as folder:
        bench = Bench(url, Path(folder))
        cones(bench)
        joins(bench)
        out(bench)
        bench.engine.close()


if __name__ == "__main__":
    main()
