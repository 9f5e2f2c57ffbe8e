"""Claim: the parser reads at least 3 000 typical queries a second on one core, and 500 literals in IN in under 10 ms.

Prints queries per second over queries as astronomers send them, each kind's time beside it, and for comparison
how long Python itself takes to compile an expression of the same length.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from archive.adql import parse

TYPICAL = {
    "first rows": "SELECT TOP 10 * FROM dr1.object",
    "cone, CONTAINS": (
        "SELECT object_id, ra, dec, mag_r FROM dr1.object "
        "WHERE 1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', 266.41683, -29.00781, 0.08333))"
    ),
    "cone, DISTANCE": (
        "SELECT TOP 2000 o.object_id, DISTANCE(o.ra, o.dec, 56.75, 24.1167) AS r FROM dr1.object AS o "
        "WHERE DISTANCE(o.ra, o.dec, 56.75, 24.1167) <= 0.5 ORDER BY r"
    ),
    "cuts": (
        "SELECT source_id, ra, dec, parallax, pmra, pmdec, phot_g_mean_mag FROM gaiadr3.gaia_source "
        "WHERE parallax > 10 AND parallax_over_error > 10 AND ruwe < 1.4 AND phot_g_mean_mag BETWEEN 5.0 AND 18.5 "
        "AND SQRT(POWER(pmra, 2) + POWER(pmdec, 2)) > 100 AND NOT (flags IN (1, 2, 4) OR class IS NULL)"
    ),
    "crossmatch": (
        "SELECT u.id, s.source_id, s.ra, s.dec, DISTANCE(u.ra, u.dec, s.ra, s.dec) * 3600 AS sep "
        "FROM TAP_UPLOAD.mine AS u JOIN gaiadr3.gaia_source AS s "
        "ON 1 = CONTAINS(POINT(s.ra, s.dec), CIRCLE(u.ra, u.dec, 1.0 / 3600)) "
        "LEFT OUTER JOIN dr1.forced USING (object_id) WHERE s.phot_g_mean_mag < 20.5"
    ),
    "groups": (
        "SELECT band, ROUND(mjd, 0) AS night, COUNT(*) AS n, AVG(flux) AS mean_flux, MAX(flux / flux_err) AS best "
        "FROM dr1.source WHERE flux > 0 GROUP BY band, ROUND(mjd, 0) HAVING COUNT(*) >= 5 ORDER BY n DESC, band"
    ),
    "subqueries": (
        "WITH bright AS (SELECT object_id FROM dr1.object WHERE mag_r < 14) "
        "SELECT o.* FROM dr1.object o WHERE o.object_id IN (SELECT object_id FROM bright) "
        "AND EXISTS (SELECT 1 FROM dr1.source s WHERE s.object_id = o.object_id AND s.band = 'r' AND s.mjd > 59000)"
    ),
    "metadata": (
        "SELECT table_name, column_name, description, unit, ucd FROM TAP_SCHEMA.columns "
        "WHERE ucd LIKE 'pos.eq%' OR LOWER(description) LIKE '%proper motion%' ORDER BY table_name, column_name"
    ),
}


def best_time(action: Callable[[], object], repeats: int) -> float:
    """The shortest time of several runs, seconds: what the machine's other work disturbs least."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def python_like(text: str) -> str:
    """A Python expression about as long as ``text``."""
    return "+".join("a" * (len(text) // 2))


def main() -> None:
    """Print the figures."""
    seconds = {name: best_time(partial(parse, text), 300) for name, text in TYPICAL.items()}
    compiled = {name: best_time(partial(compile, python_like(text), "", "eval"), 50) for name, text in TYPICAL.items()}
    for name, taken in seconds.items():
        ratio = taken / compiled[name]
        print(f"{name:16} {len(TYPICAL[name]):4} characters {taken * 1e3:6.3f} ms  {ratio:4.1f} x compile()")
    print(f"typical queries: {len(seconds) / sum(seconds.values()):,.0f} queries/s (aim 3 000)")
    literals = "SELECT * FROM dr1.object WHERE object_id IN (" + ", ".join(str(10**15 + i) for i in range(500)) + ")"
    print(f"500 literals in IN: {best_time(lambda: parse(literals), 50) * 1e3:.2f} ms (aim 10)")


if __name__ == "__main__":
    main()
