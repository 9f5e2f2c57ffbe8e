"""``archive schema check|diff|migrate|rehearse`` and ``archive query carry``: moving a schema on, with open eyes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from archive.faults import NotFound, UsageFault
from archive.ledger.querylog import Entry, QueryLog
from tests.test_cli import SAMPLE, SITE, archive, home
from tests.test_versions import described
from tests.test_versions_moves import HISTORY, UNITS

__all__ = ["home"]

NEW_UNIT = UNITS.replace("replaces: [vt_mag], ", "")


def published(home: Path, folder: Path) -> None:
    """The sample's first release at version 1."""
    first = described(folder, "")
    archive("init", *SITE)
    archive("schema", "register", first)
    archive("load", "dr1", "star", SAMPLE / "dr1.star.parquet")
    archive("load", "dr1", "field", SAMPLE / "dr1.field.parquet")
    assert archive("publish", "dr1").code == 0


def asked(home: Path, *queries: str) -> None:
    """As if users had asked these."""
    log = QueryLog(f"sqlite:///{home / 'queries.sqlite'}")
    for number, query in enumerate(queries):
        log.note(Entry(str(number), "::1", "", "sync", "ADQL", query, datetime.now(UTC), 0.1, 1, 1, "OK"))
    log.close()


@pytest.mark.requirement("DMS-DBB-REQ-0054")
@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("vt_mgg * 1000", "'vt_mgg * 1000' does not fit version 1"),
        ("vt_mag *", "does not fit version 1"),
        ("POINT(ra, dec)", "its expression is a POINT, the column is a number"),
        ("l + 1", "does not fit version 1"),
        ("vt_mag + ivo_normal_random(0, 1)", "is random, so no answer could be had again"),
    ],
)
def test_an_expression_that_cannot_be_shown_is_told(home: Path, tmp_path: Path, expression: str, told: str) -> None:
    wrong = described(tmp_path / "schema", UNITS.replace("vt_mag * 1000", f'"{expression}"'))
    done = archive("schema", "check", wrong)
    assert done.code == UsageFault.exit_code
    assert "version 2, star.vt_mmag" in done.out
    assert told in done.out
    archive("init", *SITE)
    refused = archive("schema", "register", wrong)
    assert refused.code == UsageFault.exit_code
    assert told in refused.err


def test_values_that_would_be_cut_are_told(home: Path, tmp_path: Path) -> None:
    cut = described(tmp_path, UNITS.replace("name: vt_mmag, datatype: double", "name: vt_mmag, datatype: int"))
    done = archive("schema", "check", cut)
    assert done.code == UsageFault.exit_code
    assert "would cut its values" in done.out


def test_a_whole_history_is_right(home: Path, tmp_path: Path) -> None:
    assert archive("schema", "check", described(tmp_path, HISTORY)).code == 0


@pytest.mark.requirement("DMS-DBB-REQ-0054")
def test_a_schema_moves_on_in_one_commit(home: Path, tmp_path: Path) -> None:
    published(home, tmp_path / "schema")
    moved = described(tmp_path / "schema", UNITS)
    first = archive("--json", "schema", "migrate", moved)
    assert first.facts["version"] == 2
    again = archive("--json", "schema", "migrate", moved)
    assert again.facts == first.facts
    assert "vt_mmag" in archive("explain", "SELECT TOP 1 vt_mmag FROM dr1.star").out


def test_what_is_not_published_cannot_move_on(home: Path, tmp_path: Path) -> None:
    archive("init", *SITE)
    refused = archive("schema", "migrate", described(tmp_path / "schema", UNITS))
    assert refused.code == NotFound.exit_code
    assert "archive schema register" in refused.err


@pytest.mark.requirement("DMS-DBB-REQ-0054")
def test_a_rehearsal_tells_what_would_become_of_queries(home: Path, tmp_path: Path) -> None:
    published(home, tmp_path / "schema")
    asked(
        home,
        "SELECT star_id, vt_mag FROM dr1.star WHERE vt_mag < 2",
        "SELECT TOP 3 * FROM dr1.star ORDER BY star_id",
        "SELECT * FROM tap_schema.tables",
        "SELECT nothing FROM dr1.star",
    )
    same = archive("--json", "schema", "rehearse", described(tmp_path / "new", HISTORY))
    assert same.code == 0, same.err
    assert {outcome: len(each) for outcome, each in same.facts.items()} == {
        "same": 1,
        "star": 1,
        "differs": 0,
        "fails": 0,
        "failed before": 1,
    }
    assert "milli" in same.facts["star"][0]["detail"]
    assert "1 same" in archive("schema", "rehearse", described(tmp_path / "new", HISTORY)).out


DIFFERENCES = (
    "star.star_id: replaced: now tens and ones",
    "star.vt_mag: replaced: now milli [mmag]",
    "field.stars: moved: now star.crowd",
    "field.ra: replaced: now place",
)


def test_differences_of_versions_are_told(home: Path, tmp_path: Path) -> None:
    published(home, tmp_path / "schema")
    archive("schema", "migrate", described(tmp_path / "schema", HISTORY.replace("hide: [ones]", "hide: []")))
    done = archive("schema", "diff", "dr1_v1", "dr1")
    for sentence in DIFFERENCES:
        assert sentence in done.out
    facts = archive("--json", "schema", "diff", "dr1_v1", "dr1_v2").facts["differences"]
    assert [(each["kind"], each["column"]) for each in facts] == [("replaced", "vt_mag"), ("new", "l")]
    assert archive("schema", "diff", "dr1", "dr1").out.strip() == "Nothing differs."
    assert archive("schema", "diff", "dr1_v9", "dr1").code == NotFound.exit_code


def test_differences_of_releases_are_a_page(home: Path, tmp_path: Path) -> None:
    lsst = Path(__file__).parent.parent / "schema" / "lsst"
    page = tmp_path / "page.html"
    done = archive("schema", "diff", lsst / "dr1.yaml", lsst / "dr2.yaml", "--html", page)
    assert "ForcedSource.psfFlux: changed: type float -> double" in done.out
    assert "Object.shape_xx: changed: unit pixel**2 -> arcsec**2" in done.out
    text = page.read_text(encoding="utf-8")
    assert "<h1>From dr1 to dr2</h1>" in text
    assert "<td>photoz_mode</td>" in text
    assert '<span class="kind changed">7 changed</span>' in text
    assert "archive query carry --from dr1 --to dr2" in text
    assert "still understood" not in text  # a unit that is another one is no name that goes on to work


def test_differences_of_versions_are_a_page(home: Path, tmp_path: Path) -> None:
    published(home, tmp_path / "schema")
    archive("schema", "migrate", described(tmp_path / "schema", HISTORY))
    page = tmp_path / "page.html"
    archive("schema", "diff", "dr1_v1", "dr1", "--html", page)
    text = page.read_text(encoding="utf-8")
    assert "<h1>From dr1 version 1 to dr1 version 5</h1>" in text
    assert "Every old name below is still understood" in text
    archive("schema", "diff", "dr1", "dr1_v1", "--html", page)
    assert "still understood" not in page.read_text(encoding="utf-8")


@pytest.mark.requirement("DMS-DBB-REQ-0054")
def test_a_query_is_carried_to_another_release(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHIVE_DESCRIPTIONS", str(Path(__file__).parent.parent / "schema" / "lsst"))
    query = (
        'SELECT o.objectId, dr1.Source.ra, refExtendedness, shape_xx FROM DR1.Object o, "dr1".Source -- of dr1\n'
        "WHERE o.coord_ra < 3"
    )
    done = archive("--json", "query", "carry", "--from", "dr1", "--to", "dr2", query)
    assert done.code == 0, done.err
    assert done.facts["query"] == (
        "SELECT o.objectId, dr2.Source.ra, refExtendedness, shape_xx FROM dr2.Object o, dr2.Source -- of dr1\n"
        "WHERE o.coord_ra < 3"
    )
    advice = " ".join(done.facts["advice"])
    assert "Object.refExtendedness: gone" in advice
    assert "Object.shape_xx: changed: unit pixel**2 -> arcsec**2" in advice
    assert "ap12Flux" not in advice
