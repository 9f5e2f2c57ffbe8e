"""Lineages to be looked at: pictures that can be read, documents that programs read, trees on the screen."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from archive.backbone.lineage import graph_of, prov_json, svg
from archive.backbone.lineage.layout import laid_out
from archive.cli import archive
from archive.ledger.activities import Activity, Told
from archive.ledger.provenance import Derivation, Entity, Lineage, Presence, Way
from tests.archives import make
from tests.test_provenance import DONE, PLACE, difference, read, telemetry

SVG = "{http://www.w3.org/2000/svg}"
HERE = "archive://archive.test/dr1"


def lineage(biases: int = 20) -> Lineage:
    """A difference image of a science image, corrected with a bias made of some exposures, and a template elsewhere."""
    raws = [f"{HERE}/raw/bias{number:02d}.fits" for number in range(biases)]
    bias, science, made = f"{HERE}/calib/bias.fits", f"{HERE}/science.fits", f"{HERE}/diff.fits"
    template = "archive://elsewhere.test/coadd/<t&1>.fits"
    combine = _activity("combine", [("exposure", raw) for raw in raws], agent="Night crew")
    subtract = _activity("subtract", [("science", science), ("template", template)])
    steps = [Derivation(bias, raw, "exposure", combine.uri) for raw in raws]
    steps += [Derivation(made, science, "science", subtract.uri), Derivation(made, template, "template", subtract.uri)]
    steps += [Derivation(science, bias, "calibration", None)]
    entities = {uri: Entity(uri, "raw_image", "dr1", 1, Presence.HERE) for uri in raws}
    entities |= {bias: Entity(bias, "calibration", "dr1", 1, Presence.AWAY)}
    entities |= {uri: Entity(uri, "difference_image", "dr1", 1, Presence.HERE) for uri in (science, made)}
    entities |= {template: Entity(template, None, None, None, Presence.UNKNOWN)}
    doing = {each.uri: each for each in (combine, subtract)}
    return Lineage((made,), Way.ORIGINS, entities, doing, {bias: combine.uri, made: subtract.uri}, tuple(steps))


def _activity(name: str, used: list[tuple[str, str]], agent: str | None = None) -> Activity:
    uri = f"activity://archive.test/{name}"
    return Activity(
        uri=uri, name=name, told=Told.DELIVERER, software="pipe", version="27", used=tuple(used), agent=agent
    )


# --- pictures -------------------------------------------------------------------------------------


def test_a_picture_has_everything_and_many_alike_as_one() -> None:
    picture = etree.fromstring(svg(lineage()))
    titles = [each.text or "" for each in picture.iter(f"{SVG}title")]
    assert titles[0] == "What dr1/diff.fits was made from"
    words = {each.text for each in picture.iter(f"{SVG}text")}
    assert {"diff.fits", "science.fits", "bias.fits", "<t&1>.fits", "combine", "subtract", "pipe 27"} <= words
    assert "20 \N{MULTIPLICATION SIGN} raw image" in words
    assert {"exposure", "science", "template"} <= words
    assert any(f"{HERE}/raw/bias00.fits" in title and f"{HERE}/raw/bias19.fits" in title for title in titles)
    assert "no good copy here, calibration, dr1" in words


def test_a_few_alike_are_drawn_each() -> None:
    graph = graph_of(lineage(biases=8))
    assert len(graph.nodes) == 8 + 4 + 2
    assert {len(node.members) for node in graph.nodes.values()} == {1}


@pytest.mark.parametrize("biases", [0, 3, 12])
def test_a_picture_is_drawn_alike_each_time(biases: int) -> None:
    assert svg(lineage(biases)) == svg(lineage(biases))


def test_boxes_stay_in_the_picture_and_apart() -> None:
    picture = etree.fromstring(svg(lineage(biases=8)))
    _, _, width, height = map(float, picture.get("viewBox").split())
    boxes = [
        tuple(float(rect.get(name)) for name in ("x", "y", "width", "height"))
        for rect in picture.iter(f"{SVG}rect")
        if rect.get("stroke") is not None
    ]
    assert len(boxes) == 14
    for x, y, wide, high in boxes:
        assert x >= 0
        assert y >= 0
        assert x + wide <= width
        assert y + high <= height
    for (x, y, wide, high), (x2, y2, wide2, high2) in combinations(boxes, 2):
        assert x + wide <= x2 or x2 + wide2 <= x or y + high <= y2 or y2 + high2 <= y


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=40))
def test_any_graph_is_laid_out_from_left_to_right(pairs: list[tuple[int, int]]) -> None:
    """Nodes never overlap, and without circles every edge leads to the right."""
    edges = {(f"n{min(a, b):02d}", f"n{max(a, b):02d}") for a, b in pairs if a != b}
    heights = {f"n{number:02d}": 20.0 + number for number in range(15)}
    found = laid_out(heights, edges, 10)
    for start, end in edges:
        way = found.ways[start, end]
        assert [layer for layer, _ in way] == list(range(found.places[start][0], found.places[end][0] + 1))
        assert len(way) >= 2
    for one, other in combinations(heights, 2):
        (layer, height), (layer2, height2) = found.places[one], found.places[other]
        if layer == layer2:
            assert abs(height - height2) >= (heights[one] + heights[other]) / 2 + 10 - 1e-6
    assert min(height - heights[node] / 2 for node, (_, height) in found.places.items()) >= -1e-6


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=30))
def test_circles_end(pairs: list[tuple[int, int]]) -> None:
    heights = {f"n{number}": 20.0 for number in range(9)}
    edges = {(f"n{a}", f"n{b}") for a, b in pairs}
    assert laid_out(heights, edges, 10).places.keys() == heights.keys()


# --- documents ------------------------------------------------------------------------------------


def test_prov_json_tells_it_in_the_words_of_the_w3c() -> None:
    told = json.loads(json.dumps(prov_json(lineage(biases=2))))
    assert told["prefix"]["file"] == f"{HERE.rpartition('/')[0]}/"
    assert told["prefix"]["file1"] == "archive://elsewhere.test/"
    assert told["entity"]["file:dr1/raw/bias00.fits"]["prov:type"] == "raw_image"
    assert told["activity"]["activity:combine"]["voprov:software"] == "pipe"
    uses = {(each["prov:activity"], each["prov:role"], each["prov:entity"]) for each in told["used"].values()}
    assert ("activity:subtract", "template", "file1:coadd/<t&1>.fits") in uses
    made = {(each["prov:entity"], each["prov:activity"]) for each in told["wasGeneratedBy"].values()}
    assert made == {("file:dr1/calib/bias.fits", "activity:combine"), ("file:dr1/diff.fits", "activity:subtract")}
    assert len(told["wasDerivedFrom"]) == 5
    assert told["agent"] == {"_:agent1": {"prov:label": "Night crew"}}
    assert told["wasAssociatedWith"] == {"_:a1": {"prov:activity": "activity:combine", "prov:agent": "_:agent1"}}
    declared = told["entity"].keys()
    assert {each["prov:entity"] for each in told["used"].values()} <= declared


# --- the verb -------------------------------------------------------------------------------------


@pytest.mark.requirement("DMS-DBB-REQ-0008")
def test_the_verb(tmp_path: Path, data: Path) -> None:
    endpoint = make(tmp_path / "home", data, reserve=0)

    def run(*words: str) -> Result:
        home = ["--home", str(endpoint.config.home)]
        settings_ = {"ARCHIVE_RESERVE": "0", "ARCHIVE_DESCRIPTIONS": str(data)}
        return CliRunner().invoke(archive, [*home, *words], env=settings_, standalone_mode=False)

    science, flat = telemetry(endpoint, tmp_path, "s.csv"), telemetry(endpoint, tmp_path, "f.csv")
    made = difference(endpoint, tmp_path, "d.fits", read(DONE), SCIENCE=science, TEMPLATE=f"{PLACE}/raw/t.csv")
    tree = run("provenance", made).output
    assert made in tree
    assert "subtraction, hotpants 5.1.11, 2026-01-02T03:05:00, Night crew" in tree
    assert "flat sp_test/raw/f.csv engineering data sp_test" in tree
    assert "template sp_test/raw/t.csv not registered here" in tree
    assert "sp_test/diff/d.fits" in run("provenance", "--derived", flat).output
    picture = tmp_path / "d.svg"
    assert "4 files and 1 activities" in run("provenance", made, "--svg", str(picture)).output
    assert etree.parse(picture).getroot().tag == f"{SVG}svg"
    told = json.loads(run("--json", "provenance", made).output)
    assert "activity:run-7/subtract" in told["activity"]
    assert "no such file is registered" in str(run("provenance", f"{PLACE}/nothing").exception)
    endpoint.close()
