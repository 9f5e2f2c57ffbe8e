"""Schema versions: an old query keeps its names, units, UCDs and values after the schema moved on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from archive.adql.tell import tell
from archive.backbone import catalogs, publish
from archive.backbone.endpoint import Endpoint
from archive.config import Config
from archive.faults import UsageFault
from archive.ledger import Site, descriptions
from archive.query import Question, answer, prepare
from archive.releases import breaking_changes, examine, read_release
from archive.results import Result
from archive.standing import shelf

SCHEMA = Path(__file__).parent.parent / "schema"
SAMPLE = Path(__file__).parent / "data" / "sample"

SECOND = """
versions:
  - version: 2
    tables:
      star:
        rename: {vt_mag: mag_vt}
        hide: [field_id]
"""

THIRD = """
  - version: 3
    tables:
      star:
        rename: {mag_vt: brightness, star_id: "Id"}
      field:
        rename: {stars: star_count}
"""


def described(folder: Path, versions: str) -> Path:
    """The sample's description with these versions."""
    folder.mkdir(exist_ok=True)
    shutil.copy(SCHEMA / "dr1.yaml", folder)
    facts = (SCHEMA / "dr1.archive.yaml").read_text(encoding="utf-8").partition("\nversions:")[0]
    (folder / "dr1.archive.yaml").write_text(facts + versions, encoding="utf-8")
    return folder / "dr1.yaml"


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    """The sample, published at version 1."""
    described(tmp_path / "schema", "")
    config = Config(home=tmp_path / "home", descriptions=tmp_path / "schema", grace=0.0)
    with Endpoint.create(config, Site("archive.test", "Tests", "tests@archive.test")) as made:
        catalogs.load(made, "dr1", "star", [SAMPLE / "dr1.star.parquet"])
        catalogs.load(made, "dr1", "field", [SAMPLE / "dr1.field.parquet"])
        publish.publish(made, "dr1")
        yield made


def move_on(endpoint: Endpoint, folder: Path, versions: str) -> None:
    release = read_release(described(folder, versions))
    with endpoint.ledger.write() as transaction:
        descriptions.register(transaction, release)
    publish.publish(endpoint, "dr1")


def asked(endpoint: Endpoint, query: str) -> tuple[Result, list[tuple[object, ...]]]:
    result = answer(Question(query), endpoint.ledger, endpoint.engine)
    rows = [tuple(row.values()) for batch in result.batches for row in _named(batch).to_pylist()]
    result.close()
    return result, rows


def _named(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.rename_columns([f"c{i}" for i in range(batch.num_columns)])


OLD = (
    "SELECT TOP 20 star_id, vt_mag, field_id FROM dr1.star WHERE vt_mag < 3 ORDER BY vt_mag",
    "SELECT vt_mag + 1 AS fainter FROM dr1.star WHERE DISTANCE(ra, dec, 80, -5) < 10 ORDER BY 1",
    "SELECT s.vt_mag, f.stars FROM dr1.star AS s JOIN dr1.field AS f USING (field_id) WHERE s.star_id < 9 ORDER BY 1",
    "SELECT field_id, MIN(vt_mag) AS m FROM dr1.star GROUP BY field_id HAVING COUNT(*) > 40 ORDER BY field_id",
)


@pytest.mark.requirement("DMS-DBB-REQ-0030")
@pytest.mark.requirement("DMS-DBB-REQ-0054")
@pytest.mark.parametrize("query", OLD)
def test_an_old_query_gives_the_same_answer_at_every_later_version(
    endpoint: Endpoint, tmp_path: Path, query: str
) -> None:
    before, rows = asked(endpoint, query)
    assert rows
    for versions in (SECOND, SECOND + THIRD):
        move_on(endpoint, tmp_path / "schema", versions)
        for text in (query, query.replace("dr1.", "dr1_v1.")):
            after, same = asked(endpoint, text)
            assert same == rows
            assert after.columns == before.columns


def test_what_was_adapted_is_told(endpoint: Endpoint, tmp_path: Path) -> None:
    move_on(endpoint, tmp_path / "schema", SECOND)
    old, _ = asked(endpoint, OLD[0])
    assert len(old.notes) == 2
    assert any("vt_mag" in note and "mag_vt" in note for note in old.notes)
    assert any("field_id" in note and "no longer shown" in note for note in old.notes)
    new, _ = asked(endpoint, "SELECT TOP 1 star_id, mag_vt FROM dr1.star")
    assert new.notes == ()


def test_new_names_mean_the_same_column(endpoint: Endpoint, tmp_path: Path) -> None:
    _, rows = asked(endpoint, OLD[0].replace(", field_id", ""))
    move_on(endpoint, tmp_path / "schema", SECOND + THIRD)
    new, same = asked(endpoint, 'SELECT TOP 20 "Id", brightness FROM dr1.star WHERE brightness < 3 ORDER BY brightness')
    assert same == rows
    assert [(column.name, column.unit) for column in new.columns] == [("Id", None), ("brightness", "mag")]


def test_a_star_shows_the_version_that_was_asked_for(endpoint: Endpoint, tmp_path: Path) -> None:
    move_on(endpoint, tmp_path / "schema", SECOND + THIRD)
    names = {
        schema: [column.name for column in asked(endpoint, f"SELECT TOP 1 * FROM {schema}.star")[0].columns]
        for schema in ("dr1", "dr1_v1", "dr1_v2", "dr1_v3")
    }
    starred = asked(endpoint, "SELECT TOP 1 s.* FROM dr1.star AS s")[0].notes
    assert len(starred) == 1
    assert "dr1_v1.star" in starred[0]
    assert asked(endpoint, "SELECT TOP 1 * FROM dr1_v1.star")[0].notes == ()
    assert names["dr1_v1"] == ["star_id", "ra", "dec", "vt_mag", "field_id"]
    assert names["dr1_v2"] == ["star_id", "ra", "dec", "mag_vt"]
    assert names["dr1_v3"] == names["dr1"] == ["Id", "ra", "dec", "brightness"]


def test_a_pinned_version_knows_no_later_name(endpoint: Endpoint, tmp_path: Path) -> None:
    move_on(endpoint, tmp_path / "schema", SECOND + THIRD)
    with pytest.raises(UsageFault, match="brightness"):
        asked(endpoint, "SELECT brightness FROM dr1_v2.star")


def test_tap_schema_lists_the_newest_version_alone(endpoint: Endpoint, tmp_path: Path) -> None:
    move_on(endpoint, tmp_path / "schema", SECOND + THIRD)
    shown = shelf(endpoint.ledger.published()).shown
    assert [schema.name for schema in shown.schemas if schema.name.startswith("dr1")] == ["dr1"]
    _, rows = asked(endpoint, "SELECT column_name FROM TAP_SCHEMA.columns WHERE table_name = 'dr1.star'")
    assert {row[0] for row in rows} == {"Id", "ra", "dec", "brightness"}
    _, keys = asked(endpoint, "SELECT COUNT(*) FROM TAP_SCHEMA.keys WHERE from_table = 'dr1.star'")
    assert keys == [(0,)]  # the one there was used the column that is hidden now


def test_indexes_serve_an_adapted_query(endpoint: Endpoint, tmp_path: Path) -> None:
    query = "SELECT {} FROM dr1.star WHERE DISTANCE(ra, dec, 80, -5) < 1"
    move_on(endpoint, tmp_path / "schema", SECOND)
    statements = []
    for name in ("vt_mag", "mag_vt"):
        prepared = prepare(Question(query.format(name)), endpoint.ledger.published())
        statements.append(endpoint.engine.sql(prepared.query, prepared.bindings))
        assert name in tell(prepared.query)
    assert statements[0] == statements[1]
    assert "_healpix_29" in statements[0]


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        (SECOND.replace("vt_mag: mag_vt", "vt_mug: mag_vt"), "Did you mean 'vt_mag'"),
        (SECOND.replace("vt_mag: mag_vt", "vt_mag: RA"), "never means two things"),
        (SECOND.replace("hide: [field_id]", "hide: [vt_mag]"), "no column shown"),
        (SECOND.replace("version: 2", "version: 3"), "must be 2, not 3"),
        (SECOND.replace("star:", "stars:"), "no table 'stars'"),
        (SECOND.replace("hide:", "hyde:"), "the key 'hyde' is unknown"),
        (SECOND + THIRD.replace("mag_vt: brightness", "mag_vt: vt_mag"), "never means two things"),
        (SECOND + THIRD.replace("mag_vt: brightness", "vt_mag: brightness"), "no column shown by the version before"),
    ],
)
def test_versions_that_cannot_be_are_told_with_their_place(tmp_path: Path, versions: str, words: str) -> None:
    problems = examine(described(tmp_path, versions))[1]
    assert any(words in str(problem) and problem.place.line for problem in problems)


def test_a_version_once_registered_never_changes(tmp_path: Path) -> None:
    old = read_release(described(tmp_path, SECOND))
    assert not breaking_changes(old, read_release(described(tmp_path, SECOND + THIRD)))
    assert breaking_changes(old, read_release(described(tmp_path, SECOND.replace("mag_vt", "mag"))))
    assert breaking_changes(old, read_release(described(tmp_path, "")))
