"""Which lane a query is for: about how many rows it reads."""

from __future__ import annotations

import pytest

from archive.adql import parse, resolve
from archive.engine.contract import Bindings
from archive.tables import Edition
from archive.weight import rows_read
from tests.adql.tables import CATALOG

STARS, OBS = 1_000_000, 50_000
BINDINGS = Bindings(
    {
        ("t", name): Edition(("t", name), 1, f"{name}.duckdb", {}, rows, healpix=True)
        for name, rows in (("star", STARS), ("obs", OBS), ("empty", 0))
    }
)
CONE = "1 = CONTAINS(POINT(ra, dec), CIRCLE(10, 20, {radius}))"


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("SELECT COUNT(*) AS n FROM t.star", STARS),
        ("SELECT TOP 5 * FROM t.star", 5),
        ("SELECT TOP 5 name FROM t.star OFFSET 10", 15),
        ("SELECT TOP 100000000 name FROM t.star", STARS),
        ("SELECT TOP 5 name FROM t.star WHERE mag < 5", STARS),
        ("SELECT TOP 5 name FROM t.star ORDER BY mag", STARS),
        ("SELECT DISTINCT TOP 5 name FROM t.star", STARS),
        ("SELECT TOP 5 MAX(mag) AS m FROM t.star", STARS),
        ("SELECT TOP 5 (SELECT MAX(o.star_id) FROM t.obs AS o) AS m FROM t.star", STARS + OBS),
        ("SELECT s.name FROM t.star AS s JOIN t.obs AS o ON s.star_id = o.star_id", STARS + OBS),
        ("SELECT s.name FROM t.star AS s WHERE s.star_id IN (SELECT star_id FROM t.obs)", STARS + OBS),
        (f"SELECT name FROM t.star WHERE {CONE.format(radius=0.1)}", 8),
        (f"SELECT name FROM t.star WHERE mag < 5 AND {CONE.format(radius=0.1)}", 8),
        ("SELECT name FROM t.star WHERE DISTANCE(10, 20, ra, dec) < 0.1", 8),
        (f"SELECT name FROM t.star WHERE {CONE.format(radius=10)} AND {CONE.format(radius=5)}", 19_027),
        (f"SELECT name FROM t.star WHERE {CONE.format(radius=60)}", STARS),
        (f"SELECT name FROM t.star WHERE mag < 5 OR {CONE.format(radius=0.1)}", STARS),
        (f"SELECT name FROM t.star WHERE NOT ({CONE.format(radius=0.1)})", STARS),
        ("SELECT COUNT(*) AS n FROM t.star AS a, t.obs AS b", STARS * OBS),
        ("SELECT COUNT(*) AS n FROM t.star AS a JOIN t.star AS b ON a.mag < b.mag", STARS * STARS),
        ("SELECT COUNT(*) AS n FROM t.star AS a, t.obs AS b WHERE a.star_id = b.star_id", STARS + OBS),
        (
            "SELECT COUNT(*) AS n FROM t.star AS a JOIN t.star AS b ON DISTANCE(a.ra, a.dec, b.ra, b.dec) < 2.0 / 3600",
            2 * STARS,
        ),
        ("SELECT COUNT(*) AS n FROM t.star AS a JOIN t.star AS b ON DISTANCE(a.ra, a.dec, b.ra, b.dec) < 3", STARS**2),
        (
            "SELECT COUNT(*) AS n FROM t.obs AS o JOIN (SELECT star_id AS i FROM t.star) AS s ON s.i = o.star_id",
            STARS + OBS,
        ),
        ("SELECT COUNT(*) AS n FROM t.star AS a, t.empty AS b", STARS),
        ("SELECT COUNT(*) AS n FROM (SELECT ra FROM t.star UNION ALL SELECT ra FROM t.star) AS u", 2 * STARS),
        ("WITH w AS (SELECT ra FROM t.star) SELECT COUNT(*) AS n FROM w", STARS),
    ],
)
def test_rows_are_estimated_on_the_side_of_many(query: str, rows: int) -> None:
    assert round(rows_read(resolve(parse(query), CATALOG), BINDINGS)) == rows
