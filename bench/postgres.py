"""Claim: PostgreSQL answers near its own speed.

Tycho-2 (1.87 million stars) is built as an edition in a server of this run's own. Then, side by side:

* cones: median time of a cone from ADQL to rows, at three radii, beside the SQL an expert writes by hand, with
  pgSphere's index, over the same driver. Aim: 1.5 times at most. The statement alone, sent like the other, tells how
  much of it is the database's.
* regions: 200,000 footprints, by the index of the sky and by hand with pgSphere's index over polygons of its own.
* joins: 10,000 positions against all stars within 5 arcseconds, beside the same by pgSphere's index.
* in: rows per second into the edition, HEALPix index and statistics included, and how much longer it takes with the
  index of pgSphere. Aim: 120,000 before that.

How fast rows leave it stands in ``stream.py``.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
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
from archive.results import Result
from archive.sky import healpix_29
from archive.tables import Catalog, Edition, Index, Position, Schema, Table
from tests.postgres import postgres

DATA = Path(os.environ.get("BENCH_DATA", "../shared/data")) / "catalogs" / "tycho2_stars.parquet"
ALL = "SELECT star_id, ra, dec, vt_mag FROM t.star"
COLUMNS = (
    Column("star_id", Datatype.INT, ucd="meta.id;meta.main", nullable=False),
    Column("ra", Datatype.DOUBLE, unit="deg", ucd="pos.eq.ra;meta.main", nullable=False),
    Column("dec", Datatype.DOUBLE, unit="deg", ucd="pos.eq.dec;meta.main", nullable=False),
    Column("vt_mag", Datatype.FLOAT, unit="mag", ucd="phot.mag;em.opt.V"),
)
STAR = Table("t", "star", COLUMNS, position=Position("ra", "dec"))
INDEXED = replace(STAR, indexes=(Index("by_place", ("ra", "dec")),))
IMAGE = Table(
    "t",
    "image",
    (COLUMNS[0], Column("s_region", Datatype.DOUBLE, "*", "polygon", "deg")),
    indexes=(Index("by_region", ("s_region",)),),
)
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
        plain = timed(lambda: self.engine.build(STAR, 1, [folder / "part.parquet"]))
        begin = time.perf_counter()
        self.edition = self.engine.build(INDEXED, 2, [folder / "part.parquet"])
        more = time.perf_counter() - begin - plain
        print(f"in: {self.edition.rows / plain:,.0f} rows/s; the index of pgSphere takes {more / plain:.1f} times that")
        self.table = f'archive_editions."{self.edition.place}"'
        self.images = self._images(folder / "images.parquet")

    def _images(self, part: Path) -> Edition:
        """Squares of a third of a degree around stars."""
        chosen = self.stars.take(np.random.default_rng(3).integers(0, self.stars.num_rows, 200_000))
        lon, lat = chosen["ra"].to_numpy(), np.clip(chosen["dec"].to_numpy(), -85, 85)
        corners = [part for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)) for part in (lon + x / 6, lat + y / 6)]
        regions = pa.array(np.stack(corners, axis=1).tolist(), pa.list_(pa.float64()))
        pq.write_table(pa.table({"star_id": chosen["star_id"], "s_region": regions}), part)
        edition = self.engine.build(IMAGE, 3, [part])
        points = ", ".join(f"spoint(radians(c2[{at}]), radians(c2[{at + 1}]))" for at in (1, 3, 5, 7))
        with sa.create_engine(self.url).begin() as connection:
            connection.exec_driver_sql(
                f"CREATE TABLE images AS SELECT c1, (SELECT spoly(p ORDER BY n) FROM unnest(ARRAY[{points}])"
                f' WITH ORDINALITY AS u(p, n)) AS region FROM archive_editions."{edition.place}"'
            )
            connection.exec_driver_sql("CREATE INDEX ON images USING gist (region)")
            connection.exec_driver_sql("ANALYZE images")
        return edition

    def ask(self, query: str, uploads: dict[tuple[str, str], pa.Table] | None = None) -> Result:
        catalog = Catalog([Schema("t", (INDEXED, IMAGE)), Schema("TAP_UPLOAD", (MINE,))])
        bound = resolve(parse(query), catalog)
        stream = self.engine.run(bound, self.bindings(uploads), Limits(seconds=600))
        return Result(stream.columns, stream.batches, stream.close)

    def bindings(self, uploads: dict[tuple[str, str], pa.Table] | None = None) -> Bindings:
        return Bindings({STAR.key: self.edition, IMAGE.key: self.images}, uploads or {})

    def sql(self, query: str) -> str:
        """The statement that the engine sends."""
        return self.engine.sql(resolve(parse(query), Catalog([Schema("t", (INDEXED, IMAGE))])), self.bindings())

    def rows(self, query: str) -> int:
        return sum(batch.num_rows for batch in self.ask(query).batches)


class Hand:
    """SQL as an expert writes it, over the same driver."""

    def __init__(self, bench: Bench) -> None:
        self._connection = dbapi.connect(
            f"postgresql:///{bench.url.database}?host={bench.url.query['host']}&user={bench.url.username}"
            "&options=-c%20jit%3Doff"
        )

    def rows(self, query: str) -> int:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            found = int(cursor.fetch_arrow_table().num_rows)
        self._connection.rollback()
        return found


def places(count: int) -> list[list[float]]:
    random = np.random.default_rng(1)
    lat = np.degrees(np.arcsin(random.uniform(-1, 1, count)))
    return np.stack([random.uniform(0, 360, count), lat], axis=1).tolist()


def cones(bench: Bench) -> None:
    hand = Hand(bench)
    print("\ncones: median ms of ours, our statement sent alone, and by hand")
    for radius in (0.1, 1.0, 5.0):
        queries = [f"{ALL} WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE({x!r}, {y!r}, {radius}))" for x, y in places(60)]
        expert = [
            f"select c1, c2, c3, c4 from {bench.table} where spoint(radians(c2), radians(c3))"
            f" <@ scircle(spoint(radians({x!r}), radians({y!r})), radians({radius}))"
            for x, y in places(60)
        ]
        compare(bench, hand, f"{radius:4} deg", queries, expert)


def regions(bench: Bench) -> None:
    hand = Hand(bench)
    print("\nregions: median ms of ours, our statement sent alone, and by hand")
    ours = "SELECT star_id FROM t.image WHERE 1 = "
    expert = "select c1 from images where region "
    forms = {
        "that hold a point": ("CONTAINS(POINT({0!r}, {1!r}), s_region)", "@> spoint(radians({0!r}), radians({1!r}))"),
        "that meet a circle": (
            "INTERSECTS(s_region, CIRCLE({0!r}, {1!r}, 1))",
            "&& scircle(spoint(radians({0!r}), radians({1!r})), radians(1))",
        ),
    }
    for name, (adql, sql) in forms.items():
        queries = [ours + adql.format(*place) for place in places(60)]
        compare(bench, hand, name, queries, [expert + sql.format(*place) for place in places(60)])


def compare(bench: Bench, hand: Hand, name: str, queries: list[str], expert: list[str]) -> None:
    """They take turns, so that a busy machine slows all alike."""
    assert [bench.rows(query) for query in queries[:5]] == [hand.rows(query) for query in expert[:5]]
    spent = []
    for query, by_hand in zip(queries, expert, strict=True):
        sql = bench.sql(query)
        spent.append((timed(bench.rows, query), timed(hand.rows, sql), timed(hand.rows, by_hand)))
    mine, alone, other = (statistics.median(each) * 1000 for each in zip(*spent, strict=True))
    print(
        f"  {name:20} {mine:7.2f} {alone:7.2f} {other:7.2f}"
        f"  ratio {mine / other:.2f}, of the statement {alone / other:.2f}"
    )


def joins(bench: Bench) -> None:
    mine = bench.stars.select(["star_id", "ra", "dec"]).take(np.random.default_rng(2).integers(0, 1_800_000, 10_000))
    near = "DISTANCE(m.ra, m.dec, s.ra, s.dec) < 5 / 3600."
    query = f"SELECT COUNT(*) AS n FROM TAP_UPLOAD.mine AS m JOIN t.star AS s ON {near}"
    ours = min(timed(lambda: list(bench.ask(query, {MINE.key: mine}).batches)) for _ in range(3))
    with sa.create_engine(bench.url).begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE mine AS SELECT c2 AS ra, c3 AS dec FROM {bench.table} LIMIT 10000")
        connection.exec_driver_sql("ANALYZE mine")
        join = (
            f"SELECT count(*) FROM mine m JOIN {bench.table} s ON spoint(radians(s.c2), radians(s.c3))"
            " <@ scircle(spoint(radians(m.ra), radians(m.dec)), radians(5 / 3600.))"
        )
        hand = min(timed(lambda: connection.exec_driver_sql(join).all()) for _ in range(3))
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
        regions(bench)
        joins(bench)
        bench.engine.close()


if __name__ == "__main__":
    main()
