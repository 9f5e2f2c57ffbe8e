"""Finding: files and whole datasets, by what is known of them, and what verbs say."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from click.testing import CliRunner, Result

from archive.backbone import datasets, gathering, searching
from archive.backbone.endpoint import Endpoint
from archive.backbone.ingest import ingest
from archive.backbone.receiving import Terms
from archive.cli import archive
from archive.faults import UsageFault
from archive.ledger import files, products, replicas
from archive.ledger.files import Artifact
from archive.ledger.finding import Condition, Criteria
from archive.ledger.products import Product
from archive.ledger.replicas import Place
from archive.products import product_types
from archive.sky import Circle, Interval, Outline, Polygon, vectors
from tests import clusters
from tests.archives import make
from tests.observations import LSST, TAN, image

COUNT = 300
DAY = 61000.0
PREFIX = "archive://archive.test/sp_test"


def listed(number: int, chance: random.Random) -> Product:
    """A product somewhere, mostly short, sometimes long; some tell no time or place."""
    start = DAY + chance.random() * 30
    length = chance.choice([0.0003, 0.0003, 0.0003, 5.0])
    return Product(
        type=chance.choice(["raw_image", "processed_image"]),
        release="sp_test",
        collection=chance.choice(["raw", "night/one"]),
        instrument="LSSTCam",
        detector=str(number % 4),
        band=chance.choice("gri"),
        exposure=f"e{number // 4}",
        t_min=None if number % 50 == 0 else start,
        t_max=None if number % 25 == 0 else start + length,
        ra=None if number % 40 == 0 else 360 * chance.random(),
        dec=math.degrees(math.asin(2 * chance.random() - 1)),
        metadata={
            "exp_time": {"value": chance.choice([15.0, 30.0])},
            "physical_filter": {"value": f"r_{number % 3}"},
            "vignette": {"value": number % 2 == 0} if number % 7 else {"null": "not told"},
        },
    )


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)], scope="module")
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, data: Path
) -> Iterator[tuple[Endpoint, dict[str, Product]]]:
    """Products as a manifest would register them."""
    folder = tmp_path_factory.mktemp("find")
    database = None if request.param == "sqlite" else clusters.empty(folder)
    endpoint = make(folder / "home", data, database=database, reserve=0)
    chance = random.Random(11)
    known = {f"{PREFIX}/{number:04d}": listed(number, chance) for number in range(COUNT)}
    with endpoint.ledger.write() as transaction:
        new: list[tuple[Artifact, dict[str, Any]]] = [
            (Artifact(uri, "0" * 64, 5, "application/fits", Place("main", uri)), {}) for uri in known
        ]
        products.add(transaction, dict(zip(files.add_new(transaction, new), known.values(), strict=True)))
    yield endpoint, known
    endpoint.close()


def uris(endpoint: Endpoint, criteria: Criteria) -> list[str]:
    found = [hit.uri for hit in searching.find(endpoint, criteria).hits]
    assert searching.count(endpoint, criteria) == len(found)
    return found


def meets(product: Product, time: Interval) -> bool:
    if product.t_min is None:
        return False
    end = product.t_min if product.t_max is None else product.t_max
    return product.t_min <= time.high and end >= time.low


def apart(product: Product, circle: Circle) -> float:
    if product.ra is None or product.dec is None:
        return math.inf
    here = SkyCoord(product.ra, product.dec, unit="deg")
    return float(here.separation(SkyCoord(circle.lon, circle.lat, unit="deg")).deg)


World = tuple[Endpoint, dict[str, Product]]


@pytest.mark.requirement("DMS-DBB-REQ-0032")
def test_all_that_is_asked_for_holds(world: World) -> None:
    endpoint, known = world
    asked: list[tuple[Criteria, Any]] = [
        (Criteria(), lambda p: True),
        (Criteria(types=("raw_image",), collection="raw"), lambda p: (p.type, p.collection) == ("raw_image", "raw")),
        (Criteria(types=("raw_image", "coadd")), lambda p: p.type == "raw_image"),
        (Criteria(release="dr9"), lambda p: False),
        (Criteria(exposure="e7", detector="2"), lambda p: (p.exposure, p.detector) == ("e7", "2")),
        (Criteria(exposure="e7", band="g", release="sp_test"), lambda p: (p.exposure, p.band) == ("e7", "g")),
        (Criteria(conditions=(Condition("exp_time", ">", 20.0),)), lambda p: p.metadata["exp_time"]["value"] == 30.0),
        (
            Criteria(conditions=(Condition("physical_filter", "=", "r_1"),), band="r"),
            lambda p: p.metadata["physical_filter"]["value"] == "r_1" and p.band == "r",
        ),
        (
            Criteria(conditions=(Condition("vignette", "=", True),)),
            lambda p: p.metadata["vignette"].get("value") is True,
        ),
        (Criteria(conditions=(Condition("physical_filter", ">", 0.0),)), None),
    ]
    for criteria, holds in asked:
        found = uris(endpoint, criteria)
        if holds is not None:
            assert found == [uri for uri, product in known.items() if holds(product)], criteria
    assert uris(endpoint, Criteria(public=True)) == list(known)


@pytest.mark.parametrize(
    ("low", "high"), [(-math.inf, math.inf), (10, 11), (10, math.inf), (-math.inf, 3), (4, 4)], ids=str
)
def test_what_overlaps_a_time_is_found(world: World, low: float, high: float) -> None:
    endpoint, known = world
    time = Interval(DAY + low, DAY + high)
    assert uris(endpoint, Criteria(time=time)) == [uri for uri, product in known.items() if meets(product, time)]


def test_what_lies_in_an_area_is_found(world: World) -> None:
    endpoint, known = world
    chance = random.Random(5)
    for radius in (0.5, 5.0, 20.0, 179.0):
        circle = Circle(360 * chance.random(), 150 * chance.random() - 75, radius)
        near = [uri for uri, product in known.items() if apart(product, circle) <= radius]
        assert uris(endpoint, Criteria(area=circle)) == near
    north = Polygon(((0.0, 40.0), (90.0, 40.0), (180.0, 40.0), (270.0, 40.0)))
    inside = uris(endpoint, Criteria(area=north, time=Interval(DAY, DAY + 40)))
    assert inside
    assert all((known[uri].dec or 0) > 40 for uri in inside)


def test_limits_say_when_there_is_more(world: World) -> None:
    endpoint, known = world
    first = searching.find(endpoint, Criteria(), 10)
    assert ([hit.uri for hit in first.hits], first.more) == (list(known)[:10], True)
    everything = searching.find(endpoint, Criteria(), COUNT)
    assert (len(everything.hits), everything.more) == (COUNT, False)


@pytest.fixture
def endpoint(tmp_path: Path, data: Path) -> Endpoint:
    return make(tmp_path / "home", data, reserve=0)


def exposed(endpoint: Endpoint, folder: Path, *detectors: str, **cards: Any) -> list[str]:
    (folder / "n").mkdir(exist_ok=True)
    for detector in detectors:
        (folder / "n" / f"{detector}.fits").write_bytes(image({**TAN, **LSST, "DETECTOR": detector, **cards}))
    terms = Terms("raw_image", "sp_test", "raw", nulls={"*": "not told"})
    assert not ingest(endpoint, gathering.copied([folder / "n" / f"{each}.fits" for each in detectors], terms)).refused
    return [f"{PREFIX}/raw/{detector}.fits" for detector in detectors]


@pytest.mark.requirement("DMS-DBB-REQ-0032")
def test_images_are_found_where_their_footprints_reach(endpoint: Endpoint, tmp_path: Path) -> None:
    (uri,) = exposed(endpoint, tmp_path, "a")
    corner = (53.0004, -28.0003)  # the image is 0.0009 by 0.0007 degrees
    assert uris(endpoint, Criteria(area=Circle(*corner, 1e-6))) == [uri]
    assert uris(endpoint, Criteria(area=Circle(53.001, -28.001, 1e-6))) == []
    assert uris(endpoint, Criteria(area=Circle(53.0, -27.0, 0.9999))) == [uri]
    around = ((52.0, -29.0), (54.0, -29.0), (54.0, -27.0), (52.0, -27.0))
    beside = ((53.0003, -28.0), (54.0, -28.0), (54.0, -27.0))
    beyond = ((53.001, -28.0), (54.0, -28.0), (54.0, -27.0))
    assert [uris(endpoint, Criteria(area=Polygon(each))) for each in (around, beside, beyond)] == [[uri], [uri], []]


def test_polygons_overlap_as_their_points_do() -> None:
    """Against points on a fine grid; what only touches may go either way."""
    chance = np.random.default_rng(4)
    seen = set()
    for _ in range(100):
        ours, theirs = (
            Outline([tuple(place) for place in centre + chance.uniform(-1, 1, (3, 2))])
            for centre in (np.array([10.0, 80.0]), np.array([10.0, 80.0]) + chance.uniform(-2, 2, 2))
        )
        lon, lat = np.meshgrid(np.linspace(5, 15, 40), np.linspace(76, 84, 100))
        points = vectors(lon.ravel(), lat.ravel())
        shared = bool((ours.inside(points) & theirs.inside(points)).any())
        assert ours.overlaps(theirs) == theirs.overlaps(ours)
        assert ours.overlaps(theirs) or not shared
        seen.add((shared, ours.overlaps(theirs)))
    assert {(True, True), (False, False)} <= seen
    cross = [
        Outline(((10.0, -1.0), (10.1, -1.0), (10.1, 1.0), (10.0, 1.0))),
        Outline(((9.0, 0.0), (11.0, 0.0), (11.0, 0.1))),
    ]
    assert cross[0].overlaps(cross[1])  # though no corner of one lies in the other
    assert not cross[0].overlaps(Outline(((190.0, -1.0), (190.1, -1.0), (190.1, 1.0), (190.0, 1.0))))


@pytest.mark.requirement("DMS-DBB-REQ-0032")
def test_the_public_never_sees_a_partial_dataset(endpoint: Endpoint, tmp_path: Path) -> None:
    members = exposed(endpoint, tmp_path, "a", "b")
    made = datasets.begin(endpoint, "sp_test/raw", "raw_exposure", {"exposure": "1"})
    datasets.add(endpoint, made.uri, members)
    everybody, staff = Criteria(instrument="LSSTCam", public=True), Criteria(instrument="LSSTCam")
    assert searching.find_datasets(endpoint, staff).datasets == ()
    datasets.seal(endpoint, made.uri)
    for criteria in (everybody, staff):
        (found,) = searching.find_datasets(endpoint, criteria).datasets
        assert found.complete
    with endpoint.ledger.write() as transaction:
        known = files.find(transaction, members)
        replicas.mark_bad(transaction, known[members[1]].id, "main", "other bytes")
    assert searching.find_datasets(endpoint, everybody).datasets == ()
    (found,) = searching.find_datasets(endpoint, staff).datasets
    assert [(each.what, each.why) for each in found.missing] == [(members[1], "has no good copy here")]
    assert found.dataset.files == 2


def test_words_become_criteria(endpoint: Endpoint) -> None:
    types = product_types(endpoint.config.description_folders)
    assert searching.condition("exp_time >= 30", types) == Condition("exp_time", ">=", 30.0)
    assert searching.condition("target_name=NGC = 1", types) == Condition("target_name", "=", "NGC = 1")
    assert searching.span("2026-03-01") == Interval(61100.0, 61101.0)
    assert searching.span("2026-03-01T12:00:00..") == Interval(61100.5)
    assert searching.span("..61100") == Interval(high=61100.0)
    assert searching.moment("2026-03-01T01:00:00+01:00") == 61100.0
    assert searching.area("10, -20, 1", None) == Circle(10, -20, 1)
    for wrong in ("exp_time", "exp_tim=3", "exp_time=long", "=3"):
        with pytest.raises(UsageFault):
            searching.condition(wrong, types)
    for text in ("yesterday", "2026-03-02..2026-03-01", "x.."):
        with pytest.raises(UsageFault):
            searching.span(text)
    shapes: list[tuple[str | None, str | None]] = [("1,2", None), ("1,2,0", None), ("1,95,1", None), (None, "1,2,3,4")]
    for cone, polygon in (*shapes, (None, "1,2,3,4,5"), (None, "a,b,c"), ("1,2,3", "1,2,3,4,5,6")):
        with pytest.raises(UsageFault):
            searching.area(cone, polygon)


@pytest.mark.requirement("DMS-DBB-REQ-0032")
@pytest.mark.requirement("DMS-DBB-REQ-0033")
@pytest.mark.requirement("DMS-DBB-REQ-0012")
def test_the_verbs(endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = exposed(endpoint, tmp_path, "a", "b")
    monkeypatch.setenv("ARCHIVE_DESCRIPTIONS", str(endpoint.config.descriptions))

    def run(*arguments: str, lines: str | None = None) -> Result:
        return CliRunner().invoke(archive, ["--home", str(endpoint.config.home), *arguments], input=lines)

    def told(*arguments: str) -> Any:
        return json.loads(run("--json", *arguments).stdout)

    assert run("find", "--cone", "53,-28,0.01", "--uris").stdout.split() == members
    assert "Files: 2" in run("find", "--count").stdout
    assert "there are more" in run("find", "--limit", "1").stdout
    assert told("find", "--filter", "r_57", "--where", "exp_time>10", "--limit", "1")["more"] is True
    through_r = told("find", "--filter", "r", "--collection", "sp_test/raw")["files"]
    assert [each["detector"] for each in through_r] == ["a", "b"]
    uri = run("dataset", "create", "sp_test/raw", "raw_exposure", "exposure=1").stdout.strip()
    assert "Files new in it: 2" in run("dataset", "add", uri, "-", "--role", "image", lines="\n".join(members)).stdout
    assert "is sealed" in run("dataset", "seal", uri, "--expect", "2").stdout
    shown = run("dataset", "show", "sp_test/raw/raw_exposure/exposure=1").stdout
    assert "complete here" in shown
    assert members[1] in shown
    assert told("dataset", "show", uri)["complete"] is True
    second = run("dataset", "create", "sp_test/raw", "raw_exposure", "exposure=1").stdout.strip()
    run("dataset", "add", second, members[0])
    assert f"{uri} was sealed before" in run("dataset", "seal", second).stdout
    third = told("dataset", "create", "sp_test/raw", "raw_exposure", "exposure=1")["dataset"]
    assert "given-up" in run("dataset", "fail", third, "--permanent", "--reason", "no disk").stdout
    states = [each["state"] for each in told("dataset", "list", "exposure=1")["datasets"]]
    assert states == ["given-up", "spare", "found"]
    assert run("find", "--datasets", "--uris", "--time", "2026-03-01").stdout.strip() == uri
    assert "is a collection" in run("collection", "create", "sp_test/best", "--kind", "tagged").stdout
    assert "Datasets new in sp_test/best: 1" in run("collection", "tag", "sp_test/best", uri).stdout
    assert uri in run("collection", "show", "sp_test/best").stdout
    assert "Datasets taken out of sp_test/best: 1" in run("collection", "untag", "sp_test/best", uri).stdout
    assert "withdrawn" in run("dataset", "withdraw", uri, "--reason", "wrong").stdout
    assert [each["collection"] for each in told("collection", "list")["collections"]] == ["sp_test/best", "sp_test/raw"]
    run("collection", "create", "sp_test/calib", "--kind", "calibration")
    certified = run("collection", "certify", "sp_test/calib", members[0], "--from", "2026-01-01").stdout
    assert "valid for raw_image of LSSTCam" in certified
    fit = told("find", "--calibration-for", members[0], "--type", "raw_image")["calibrations"]
    assert [each["files"] for each in fit] == [[members[0]]]
    assert "Validities changed: 1" in run("collection", "decertify", "sp_test/calib", members[0]).stdout
    wrongs = [("find", "--calibration-for", "x"), ("find", "--cone", "1"), ("dataset", "add", uri)]
    for wrong in (*wrongs, ("dataset", "list", "--state", "x")):
        assert isinstance(run(*wrong).exception, UsageFault), wrong
