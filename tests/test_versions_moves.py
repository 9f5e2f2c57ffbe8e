"""Schema versions that re-express, split, merge, add and move columns, on both engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from archive.backbone.endpoint import Endpoint
from archive.releases import examine
from tests.test_versions import asked, described, endpoint, move_on

__all__ = ["endpoint"]

UNITS = """
versions:
  - version: 2
    tables:
      star:
        express:
          - {name: vt_mmag, datatype: double, ivoa:unit: mmag, ivoa:ucd: phot.mag, as: vt_mag * 1000,
             replaces: [vt_mag], description: Magnitude in VT in thousandths.}
          - {name: l, datatype: double, ivoa:unit: deg, as: "ra / 15", description: A column that is new.}
"""
SPLIT_AND_MERGED = """
  - version: 3
    tables:
      star:
        express:
          - {name: tens, datatype: int, as: star_id / 10, replaces: [star_id], description: Split.}
          - {name: ones, datatype: int, as: "star_id - 10 * (star_id / 10)", replaces: [star_id], description: Split.}
      field:
        express:
          - {name: place, datatype: double, as: ra * 1000 + dec, replaces: [ra, dec], description: Merged.}
"""
MOVED = """
  - version: 4
    tables:
      field:
        move:
          - {column: stars, to: star, by: {field_id: field_id}, name: crowd}
      star:
        rename: {vt_mmag: milli}
"""
RENAMED_THERE = """
  - version: 5
    tables:
      star:
        rename: {crowd: neighbours}
        hide: [ones]
"""
HISTORY = UNITS + SPLIT_AND_MERGED + MOVED + RENAMED_THERE

QUERIES = (
    "SELECT TOP 9 star_id, ra, dec, vt_mag, field_id FROM dr1.star WHERE vt_mag < 3 ORDER BY star_id",
    "SELECT f.field_id, f.stars, f.ra, f.dec FROM dr1.field AS f WHERE f.stars > 30 ORDER BY f.field_id",
    (
        "SELECT s.star_id, f.stars FROM dr1.star s JOIN dr1.field f ON s.field_id = f.field_id WHERE s.star_id < 20"
        " ORDER BY s.star_id"
    ),
    "SELECT star_id FROM dr1.star WHERE 1 = CONTAINS(POINT(ra, dec), CIRCLE(80, -5, 9)) ORDER BY vt_mag",
    "SELECT COUNT(*) AS n, MIN(vt_mag) AS m FROM dr1.star GROUP BY field_id HAVING COUNT(*) > 40 ORDER BY 1, 2",
)


@pytest.mark.requirement("DMS-DBB-REQ-0030")
@pytest.mark.requirement("DMS-DBB-REQ-0054")
def test_old_queries_live_through_every_kind_of_change(endpoint: Endpoint, tmp_path: Path) -> None:
    recorded = [asked(endpoint, query) for query in QUERIES]
    assert all(rows for _, rows in recorded)
    for versions in (UNITS, UNITS + SPLIT_AND_MERGED, UNITS + SPLIT_AND_MERGED + MOVED, HISTORY):
        move_on(endpoint, tmp_path / "schema", versions)
        for query, (result, rows) in zip(QUERIES, recorded, strict=True):
            for text in (query, query.replace("dr1.", "dr1_v1.")):
                again, same = asked(endpoint, text)
                assert same == rows
                assert again.columns == result.columns


def test_new_columns_have_the_values_of_what_they_replace(endpoint: Endpoint, tmp_path: Path) -> None:
    _, rows = asked(endpoint, "SELECT star_id, vt_mag FROM dr1.star WHERE star_id < 50 ORDER BY star_id")
    move_on(endpoint, tmp_path / "schema", HISTORY)
    new, values = asked(
        endpoint,
        "SELECT tens * 10 + ones AS id, milli, neighbours FROM dr1.star WHERE tens < 5 ORDER BY 1",
    )
    assert [(one, milli) for one, milli, _ in values] == [(one, magnitude * 1000) for one, magnitude in rows]
    assert [column.unit for column in new.columns] == [None, "mmag", None]
    _, counted = asked(endpoint, "SELECT field_id, stars FROM dr1.field")
    _, looked_up = asked(endpoint, "SELECT DISTINCT field_id, neighbours FROM dr1.star")
    assert set(looked_up) == {pair for pair in counted if pair[1]}


def test_a_moved_column_serves_in_every_place(endpoint: Endpoint, tmp_path: Path) -> None:
    move_on(endpoint, tmp_path / "schema", HISTORY)
    _, expected = asked(
        endpoint,
        "SELECT f.stars, COUNT(*) AS n FROM dr1_v1.star s JOIN dr1_v1.field f ON s.field_id = f.field_id"
        " GROUP BY f.stars ORDER BY f.stars",
    )
    for query in (
        "SELECT neighbours, COUNT(*) AS n FROM dr1.star GROUP BY neighbours ORDER BY neighbours",
        (
            "WITH w AS (SELECT neighbours FROM dr1.star) SELECT neighbours, COUNT(*) AS n FROM w GROUP BY neighbours"
            " ORDER BY neighbours"
        ),
        "SELECT crowd, n FROM (SELECT crowd, COUNT(*) AS n FROM dr1_v4.star GROUP BY crowd) AS x ORDER BY crowd",
    ):
        assert asked(endpoint, query)[1] == expected
    _, joined = asked(
        endpoint,
        "SELECT COUNT(*) AS n FROM dr1.field f LEFT JOIN dr1.star s ON s.field_id = f.field_id"
        " AND s.neighbours = f.stars WHERE s.tens IS NOT NULL",
    )
    assert joined == [(sum(n for _, n in expected),)]


def test_what_was_adapted_says_where_the_values_are_now(endpoint: Endpoint, tmp_path: Path) -> None:
    move_on(endpoint, tmp_path / "schema", HISTORY)
    notes = " ".join(asked(endpoint, "SELECT s.star_id, s.vt_mag FROM dr1.star s")[0].notes)
    assert "star_id is a name of an earlier schema version, now given by tens and ones" in notes
    assert "vt_mag is a name of an earlier schema version, now given by vt_mmag" in notes
    moved = asked(endpoint, "SELECT stars FROM dr1.field")[0].notes
    assert "moved to dr1.star.crowd" in moved[0]


WRONG = {
    "a replaced column that is not there": (
        "express:\n          - {name: a, datatype: int, as: x, replaces: [vt_mg], description: d.}",
        "'vt_mg' is no column shown by the version before. Did you mean 'vt_mag'?",
    ),
    "a name that was used": (
        "express:\n          - {name: RA, datatype: int, as: dec, description: d.}",
        "'RA' already is or was the name of a column here.",
    ),
    "no expression": ("express:\n          - {name: a, datatype: int, description: d.}", "'as' is missing"),
    "moved nowhere": (
        "move:\n          - {column: ra, to: feld, by: {field_id: field_id}}",
        "'feld' is no other table",
    ),
    "moved by what is no key": (
        "move:\n          - {column: ra, to: field, by: {field_id: field_id}}",
        "'by' must name the whole primary key of 'star'",
    ),
    "moved by an unknown column": (
        "move:\n          - {column: ra, to: field, by: {x: star_id}}",
        "'x' is no column of",
    ),
    "replaced and renamed at once": (
        (
            "rename: {vt_mag: m}\n        express:\n          - {name: a, datatype: double,"
            " as: vt_mag, replaces: [vt_mag], description: d.}"
        ),
        "'vt_mag' is no column shown by the version before.",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_change_is_told_with_its_place(case: str, tmp_path: Path) -> None:
    entry, message = WRONG[case]
    path = described(tmp_path, f"\nversions:\n  - version: 2\n    tables:\n      star:\n        {entry}\n")
    _, problems = examine(path)
    assert any(message in str(problem) and "star" in str(problem) for problem in problems), [*map(str, problems)]
