"""Whether files belong together: each rule by itself, and the whole over an archive."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from archive.backbone import gathering
from archive.backbone.consistency import CALIBRATION, About, judge, judged
from archive.backbone.endpoint import Endpoint
from archive.backbone.ingest import ingest
from archive.backbone.receiving import Terms
from archive.cli import archive
from archive.ledger import replicas, schema
from archive.ledger.provenance import Derivation, Presence
from archive.sky import Interval
from tests import clusters
from tests.archives import make
from tests.observations import BIAS, DIFFERENCE, LSST, image

PLACE = "archive://archive.test/sp_test"

RAW = About(
    "raw1", Presence.HERE, "raw_image", "dr1", "Cam", "S11", "r", "E1", Interval(60000.0, 60000.1), (), None, "r_57"
)
OTHER = replace(RAW, uri="raw2", exposure="E2", time=Interval(60001.0, 60001.1))
FLAT = About(
    "flat", Presence.HERE, CALIBRATION, "dr1", "Cam", "S11", "r", valid=(Interval(59990.0, 60010.0),), software="cp 27"
)
MADE = replace(RAW, uri="made1", type="processed_image", software="drp 27")

LISTS: dict[str, tuple[list[About], list[tuple[str, tuple[str, ...]]]]] = {
    "nothing is at odds": ([RAW, OTHER, FLAT, MADE], []),
    "nothing is known": ([About("x", Presence.HERE), About("y", Presence.HERE)], []),
    "retracted": ([RAW, replace(OTHER, presence=Presence.RETRACTED)], [("retracted", ("raw2",))]),
    "no copy": ([RAW, replace(OTHER, presence=Presence.AWAY)], [("presence", ("raw2",))]),
    "never registered": ([RAW, About("z", Presence.UNKNOWN)], [("presence", ("z",))]),
    "release": ([RAW, OTHER, replace(MADE, release="dr2")], [("release", ("made1",))]),
    "instrument": ([RAW, OTHER, replace(MADE, instrument="Old")], [("instrument", ("made1",))]),
    "software": (
        [MADE, replace(MADE, uri="made2"), replace(MADE, uri="made3", software="drp 28")],
        [("software", ("made3",))],
    ),
    "software of other types may differ": ([MADE, FLAT], []),
    "detector of a calibration": ([RAW, replace(FLAT, detector="S12")], [("calibration", ("flat",))]),
    "band of a calibration": ([RAW, replace(FLAT, band="i")], [("calibration", ("flat",))]),
    "filter of a calibration": ([RAW, replace(FLAT, filter="r_03")], [("calibration", ("flat",))]),
    "a calibration for all detectors": ([RAW, replace(FLAT, detector=None, band=None)], []),
    "one of several exposures": ([RAW, replace(OTHER, detector="S12"), FLAT], []),
    "validity": ([RAW, replace(FLAT, valid=(Interval(59000.0, 59999.0),))], [("validity", ("flat", "raw1"))]),
    "two times of validity": ([RAW, replace(FLAT, valid=(Interval(59000.0, 59001.0), Interval(60000.0)))], []),
    "validity is not told": ([RAW, replace(FLAT, valid=())], []),
}


@pytest.mark.parametrize(("listed", "expected"), LISTS.values(), ids=LISTS)
def test_files_of_a_list(listed: list[About], expected: list[tuple[str, tuple[str, ...]]]) -> None:
    found = judged(listed, {each.uri: each for each in listed}, [])
    assert [(each.rule, each.uris) for each in found] == expected


STEPS: dict[str, tuple[About, str, About, list[str]]] = {
    "all agree": (MADE, "raw", RAW, []),
    "another instrument": (MADE, "raw", replace(RAW, instrument="Old"), ["instrument"]),
    "another band": (MADE, "raw", replace(RAW, band="i"), ["band"]),
    "the same exposure at another time": (MADE, "raw", replace(RAW, time=Interval(60000.2, 60000.3)), ["exposure"]),
    "another exposure at another time": (MADE, "raw", OTHER, []),
    "an input that is not here": (MADE, "raw", replace(RAW, presence=Presence.RETRACTED), ["retracted"]),
    "a flat of another band": (MADE, "calibration", replace(FLAT, band="i"), ["calibration"]),
    "a flat of another time": (MADE, "calibration", replace(FLAT, valid=(Interval(1.0, 2.0),)), ["validity"]),
    "a flat made of exposures of another band": (replace(FLAT, band="i"), "exposure", RAW, []),
}


@pytest.mark.parametrize(("product", "role", "source", "expected"), STEPS.values(), ids=STEPS)
def test_what_files_were_made_from(product: About, role: str, source: About, expected: list[str]) -> None:
    everything = {each.uri: each for each in (product, source)}
    found = judged([product], everything, [Derivation(product.uri, source.uri, role, None)])
    assert [each.rule for each in found] == expected


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def endpoint(request: pytest.FixtureRequest, tmp_path: Path, data: Path) -> Endpoint:
    database = None if request.param == "sqlite" else clusters.empty(tmp_path)
    return make(tmp_path / "home", data, database=database, reserve=0)


def deliver(endpoint: Endpoint, folder: Path, kind: str, name: str, cards: dict[str, object]) -> str:
    (folder / name).write_bytes(image(cards))
    done = ingest(endpoint, gathering.copied([folder / name], Terms(kind, "sp_test", "c", nulls={"*": "not told"})))
    assert not done.refused, done.refused[0].fault
    return f"{PLACE}/c/{name}"


@pytest.mark.requirement("DMS-DBB-REQ-0008")
def test_an_archive_judges_what_belongs_together(endpoint: Endpoint, tmp_path: Path) -> None:
    raw = deliver(endpoint, tmp_path, "raw_image", "raw.fits", dict(LSST))
    exposures = {f"INPUT00{n}": deliver(endpoint, tmp_path, "raw_image", f"b{n}.fits", dict(LSST)) for n in (1, 2, 3)}
    bias = deliver(endpoint, tmp_path, "calibration", "bias.fits", {**BIAS, **exposures, "CALIN1": raw})
    inputs = {"SCIENCE": raw, "TEMPLATE": raw}
    made = deliver(endpoint, tmp_path, "difference_image", "d.fits", {**DIFFERENCE, **inputs})
    found = judge(endpoint, [raw, bias, made])
    assert (found.odds, found.origins) == ((), 3)
    late = deliver(
        endpoint, tmp_path, "calibration", "late.fits", {**BIAS, **exposures, "CALIN1": raw, "VALIDBEG": "2026-03-20"}
    )
    lost = select(schema.artifact.c.id).where(schema.artifact.c.uri == exposures["INPUT002"]).scalar_subquery()
    with endpoint.ledger.write() as transaction:
        here = schema.replica.c.artifact == lost
        transaction.execute(schema.replica.update().where(here).values(has=replicas.Has.BAD))
    odds = {(each.rule, each.uris) for each in judge(endpoint, [raw, late, made]).odds}
    expected = {("presence", (exposures["INPUT002"],)), ("validity", (late, made)), ("validity", (late, raw))}
    assert odds == expected


def test_the_verb_reads_lists(tmp_path: Path, data: Path) -> None:
    endpoint = make(tmp_path / "home", data, reserve=0)
    raw = deliver(endpoint, tmp_path, "raw_image", "raw.fits", dict(LSST))
    (tmp_path / "list.txt").write_text(f"{raw}\n{PLACE}/c/nothing.fits\n")
    home, settings = ["--home", str(endpoint.config.home)], {"ARCHIVE_DESCRIPTIONS": str(data)}
    words = [*home, "--json", "consistency", str(tmp_path / "list.txt")]
    done = CliRunner().invoke(archive, words, env=settings, standalone_mode=False)
    told = json.loads(done.output)
    assert (done.return_value, told["consistent"]) == (2, False)
    assert told["odds"] == [
        {"rule": "presence", "uris": [f"{PLACE}/c/nothing.fits"], "message": "is not registered here"}
    ]
    done = CliRunner().invoke(archive, [*home, "consistency", raw], env=settings, standalone_mode=False)
    assert "belong together" in done.output
    assert done.return_value == 0
