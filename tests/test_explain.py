"""``archive explain`` and the plain words it is made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from archive.adql import parse, resolve
from archive.adql.tell import tell
from archive.cli import archive
from tests.adql.tables import CATALOG

SAMPLE = Path(__file__).parent / "data" / "sample"

TOLD = [
    (
        """SELECT TOP 5 star_id FROM t.star WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(10, 20, 0.5)) AND mag < 9
        ORDER BY mag DESC OFFSET 2""",
        [
            "Read t.star (as t1",
            "are at most 0.5 deg apart and t1.mag is less than 9",
            "(falling), unknown values last",
            "Skip the first 2 rows",
            "Stop after 5 rows",
        ],
    ),
    (
        """SELECT name, COUNT(*) AS n FROM t.star JOIN t.obs USING (star_id)
        WHERE NOT (band IN ('g', 'r') OR mjd IS NULL) GROUP BY name HAVING COUNT(*) > 2""",
        ["joined with t.obs (as t2", "not (t2.band is one of 'g', 'r' or t2.mjd is unknown)", "Group them by t1.name",
         "Keep groups where count of rows is greater than 2", "n (long"],
    ),
    (
        "WITH w AS (SELECT star_id FROM t.star) SELECT star_id FROM w UNION SELECT star_id FROM t.obs",
        ["First, call w1:", "Put together with (each row once):"],
    ),
    (
        "SELECT star_id FROM t.star WHERE name LIKE 'A%' AND mag BETWEEN 1 AND 2 AND EXISTS (SELECT 1 FROM t.obs)",
        ["t1.name looks like 'A%'", "lies between 1 and 2", "there are rows of ["],
    ),
    (
        "SELECT star_id FROM t.star WHERE 1 = CONTAINS(POINT(ra, dec), POLYGON(1, 1, 2, 1, 2, 2))",
        ["the point (t1.ra, t1.dec) lies inside the polygon (1.0, 1.0)"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("query", "words"), TOLD)
def test_a_query_is_told_in_plain_words(query: str, words: list[str]) -> None:
    told = tell(resolve(parse(query), CATALOG))
    for part in words:
        assert part in told


def test_explain_shows_meaning_statement_and_plan(tmp_path: Path) -> None:
    runner = CliRunner()
    home = ["--home", str(tmp_path / "home")]
    site = ["--authority", "archive.test", "--publisher", "Tests", "--contact", "tests@archive.test"]
    for arguments in (["init", *site], ["load", "dr1", "star", str(SAMPLE / "dr1.star.parquet")], ["publish", "dr1"]):
        done = runner.invoke(archive, [*home, *arguments])
        assert done.exit_code == 0, done.output
    query = "SELECT star_id FROM dr1.star WHERE DISTANCE(ra, dec, 80, -5) < 1"
    people = runner.invoke(archive, [*home, "explain", query]).output
    assert people.index("Meaning") < people.index("SQL") < people.index("Plan")
    programs = json.loads(runner.invoke(archive, [*home, "--json", "explain", "-"], input=query).output)
    assert "less than 1" in programs["meaning"]
    assert "_healpix_29" in programs["sql"]
    assert programs["plan"]
