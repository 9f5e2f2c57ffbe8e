"""The descriptions in schema/lsst: every table and column that the survey's data model and requirements name."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from archive.backbone.catalogs import load
from archive.backbone.publish import publish
from archive.columns import Column, Datatype
from archive.query import Question, answer
from archive.releases import Kind, Release, read_release
from tests import archives

ROOT = Path(__file__).resolve().parent.parent
FACTS = Path(__file__).parent / "data" / "lsst_columns.csv"

# The list gives filter names the type of the detector number beside them.
MISTAKEN = {("CalibrationProduct", "physical_filter"), ("CalibrationProduct", "band")}


def described(name: str) -> Release:
    return read_release(ROOT / "schema" / "lsst" / f"{name}.yaml", thorough=False)


@pytest.fixture(scope="module")
def releases() -> tuple[Release, ...]:
    return tuple(described(name) for name in ("prompt", "dr1", "dr2"))


def columns(release: Release) -> dict[tuple[str, str], Column]:
    return {(table.name, column.name): column for table in release.schema.tables for column in table.columns}


DATATYPES = {
    "long": Datatype.LONG,
    "int": Datatype.INT,
    "short": Datatype.SHORT,
    "float": Datatype.FLOAT,
    "double": Datatype.DOUBLE,
    "boolean": Datatype.BOOLEAN,
    "binary": Datatype.BYTE,
}


def expected(kind: str) -> Datatype:
    return DATATYPES.get(kind.partition("(")[0], Datatype.CHAR)


def test_every_column_of_the_data_model_is_described(releases: tuple[Release, ...]) -> None:
    prompt, dr1, _ = (columns(release) for release in releases)
    with FACTS.open() as file:
        facts = list(csv.DictReader(file))
    assert len(facts) == 872
    for fact in facts:
        key = (fact["table"], fact["name"])
        found = [have[key] for have in (prompt, dr1) if key in have]
        assert found, f"{key} is described nowhere"
        for column in found:
            assert (column.unit or "") == fact["unit"], key
            assert key in MISTAKEN or column.datatype is expected(fact["type"]), key
            assert not (fact["notnull"] and column.nullable), key


@pytest.mark.requirement("DMS-DBB-REQ-0031")
def test_live_and_release_schemas_hand_out_ids_of_their_own(releases: tuple[Release, ...]) -> None:
    assert [release.schema.name for release in releases] == ["prompt", "dr1", "dr2"]
    assert [release.kind for release in releases] == [Kind.LIVE, Kind.RELEASE, Kind.RELEASE]
    blocks = [release.ids for release in releases]
    for one in blocks:
        assert all(one is other or one.stop <= other.start or other.stop <= one.start for other in blocks)


@pytest.mark.requirement("DMS-DBB-REQ-0054")
def test_the_second_release_differs_as_releases_do(releases: tuple[Release, ...]) -> None:
    _, dr1, dr2 = (columns(release) for release in releases)
    gone, new = dr1.keys() - dr2.keys(), dr2.keys() - dr1.keys()
    both = dr1.keys() & dr2.keys()
    assert ("Object", "refExtendedness") in gone
    assert ("Object", "extendedness") in new
    assert ("Object", "deblend_blendId") in gone
    assert ("Object", "photoz_mode") in new
    assert [dr1["Object", "shape_xx"].unit, dr2["Object", "shape_xx"].unit] == ["pixel**2", "arcsec**2"]
    retyped = {key for key in both if dr1[key].datatype is not dr2[key].datatype}
    assert retyped == {("ForcedSource", name) for name in ("psfFlux", "psfFluxErr", "psfDiffFlux", "psfDiffFluxErr")}


def make(folder: Path, *options: str) -> dict[str, Path]:
    """Small data for all three schemas, by the name of their table."""
    program = ROOT / "scripts" / "make_lsst.py"
    subprocess.run(
        [sys.executable, program, folder, "--objects", "90", "--visits", "40", *options],
        check=True,
        capture_output=True,
    )
    return {path.name.removesuffix(".parquet"): path for path in sorted(folder.iterdir())}


def test_the_same_seed_makes_the_same_survey(tmp_path: Path) -> None:
    one, again = make(tmp_path / "one"), make(tmp_path / "again")
    other = make(tmp_path / "other", "--seed", "2")
    assert len(one) == 44
    assert all(one[name].read_bytes() == again[name].read_bytes() for name in one)
    assert pq.read_table(one["dr1.Object"]) != pq.read_table(other["dr1.Object"])


@pytest.mark.requirement("DMS-DBB-REQ-0048")
def test_two_releases_and_live_data_are_loaded_and_joined(tmp_path: Path) -> None:
    endpoint = archives.make(tmp_path / "home", ROOT / "schema" / "lsst")
    for name, path in make(tmp_path / "data").items():
        schema, table = name.split(".")
        load(endpoint, schema, table, [path])
    for schema in ("prompt", "dr1", "dr2"):
        publish(endpoint, schema)

    def rows(query: str) -> list[tuple[object, ...]]:
        result = answer(Question(query), endpoint.ledger, endpoint.engine)
        return [tuple(row.values()) for batch in result.batches for row in batch.to_pylist()]

    orbits = rows(
        "SELECT o.designation, s.helioRange FROM prompt.SSSource s"
        " JOIN prompt.SSObject b ON s.ssObjectId = b.ssObjectId"
        " JOIN prompt.mpc_orbits o ON b.designation = o.designation WHERE s.helioRange BETWEEN o.a*(1-o.e)-0.01"
        " AND o.a*(1+o.e)+0.01"
    )
    assert len(orbits) == 200
    both = rows(
        "SELECT a.refExtendedness, b.extendedness FROM dr1.Object a JOIN dr2.Object b"
        " ON 1 = CONTAINS(POINT(a.coord_ra, a.coord_dec), CIRCLE(b.coord_ra, b.coord_dec, 0.0001))"
    )
    assert len(both) >= 90
    assert all(one == other for one, other in both)
