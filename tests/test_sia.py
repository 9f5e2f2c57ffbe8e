"""Simple Image Access 2.0: every parameter finds what a plain filter finds, on both deployments; its documents."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from astropy.io.votable import parse
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from lxml import etree
from werkzeug.test import Client, TestResponse

from archive import literals
from archive.ledger.observations import Observation
from archive.sia.request import PARAMETERS
from archive.vocabularies import STATES
from tests import seen

ROWS = seen.images(160)
BY_DID = {row.obs_publisher_did: row for row in ROWS}
FOUND = [row for row in ROWS if row.dataproduct_type in ("image", "cube")]
NUMBERS = (0.0, 0.3, 0.7, 1.0, 4.5, 5.0, 15.0, 30.0, 1e4, 1e5, 3e-7, 4e-7, 1e-3, 60000.0, 60005.0, -1.0)

Query = tuple[tuple[str, str], ...]


@pytest.fixture(scope="module", params=["embedded", pytest.param("postgresql", marks=pytest.mark.service)])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Client]:
    """An archive that says that there are images, and has none."""
    with seen.asked(tmp_path_factory.mktemp("sia"), data, ROWS, embedded=request.param == "embedded") as client:
        yield client


def ask(client: Client, *pairs: tuple[str, str], **more: str) -> TestResponse:
    values: dict[str, list[str]] = {}
    for name, value in (*pairs, *more.items()):
        values.setdefault(name, []).append(value)
    return client.post("/sia2/query", data=values)


def found(client: Client, *pairs: tuple[str, str]) -> set[str]:
    """The identifiers of what is found."""
    answer = ask(client, *pairs, RESPONSEFORMAT="csv")
    assert answer.status_code == 200, answer.text
    return {row["obs_publisher_did"] for row in csv.DictReader(io.StringIO(answer.text))}


def dids(test: Callable[[Observation], Any]) -> set[str]:
    return {row.obs_publisher_did for row in FOUND if test(row)}


# --- against a plain filter -----------------------------------------------------------------------


def _inside(name: str) -> Callable[[Observation, str], bool]:
    def test(row: Observation, text: str) -> bool:
        value, interval = getattr(row, name), literals.interval("X", text)
        return value is not None and interval.low <= value <= interval.high

    return test


def _overlapping(low: str, high: str) -> Callable[[Observation, str], bool]:
    def test(row: Observation, text: str) -> bool:
        start, end, interval = getattr(row, low), getattr(row, high), literals.interval("X", text)
        return None not in (start, end) and start <= interval.high and end >= interval.low

    return test


def _equal(name: str) -> Callable[[Observation, str], bool]:
    return lambda row, text: str(getattr(row, name)) == text and getattr(row, name) is not None


def _released(row: Observation, text: str) -> bool:
    first, last = literals.period("X", text)
    released = row.obs_release_date
    return released is not None and (first or released) <= released <= (last or released)


PLAIN: Mapping[str, Callable[[Observation, str], bool | None]] = {
    "POS": lambda row, text: seen.meets(row, literals.shape("POS", text)),
    "BAND": _overlapping("em_min", "em_max"),
    "TIME": _overlapping("t_min", "t_max"),
    "POL": lambda row, text: text in (row.pol_states or "").split("/"),
    "FOV": _inside("s_fov"),
    "SPATRES": _inside("s_resolution"),
    "SPECRP": _inside("em_res_power"),
    "EXPTIME": _inside("t_exptime"),
    "TIMERES": _inside("t_resolution"),
    "ID": lambda row, text: row.obs_publisher_did.lower() == text.lower(),
    "COLLECTION": _equal("obs_collection"),
    "FACILITY": _equal("facility_name"),
    "INSTRUMENT": _equal("instrument_name"),
    "DPTYPE": _equal("dataproduct_type"),
    "CALIB": _equal("calib_level"),
    "TARGET": _equal("target_name"),
    "FORMAT": _equal("access_format"),
    "RELEASEDATE": _released,
}


def _any(tests: list[bool | None]) -> bool | None:
    return True if True in tests else None if None in tests else False


def wanted(query: Query) -> tuple[set[str], set[str]]:
    """What must be found, and what may be: what lies too close to a border is not decided."""
    must, may = set(), set()
    by_name: dict[str, list[str]] = {}
    for name, value in query:
        by_name.setdefault(name, []).append(value)
    for row in FOUND:
        tests = [_any([PLAIN[name](row, value) for value in values]) for name, values in by_name.items()]
        if False not in tests:
            may.add(row.obs_publisher_did)
            if None not in tests:
                must.add(row.obs_publisher_did)
    return must, may


@st.composite
def intervals(draw: st.DrawFn) -> str:
    low, high = sorted(draw(st.tuples(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS))))
    forms = [f"{low!r} {high!r}", f"-Inf {high!r}", f"{low!r} +Inf", f"{low!r} inf", f"{low!r}", "-Inf Inf"]
    return draw(st.sampled_from(forms))


@st.composite
def shapes(draw: st.DrawFn) -> str:
    lon = draw(st.sampled_from([0.0, 3.0, 118.0, 121.5, 240.0, 355.0]))
    lat = draw(st.sampled_from([-90.0, -88.0, -31.0, 0.0, 29.5, 87.0, 90.0]))
    size = draw(st.sampled_from([0.0, 0.01, 0.5, 3.0, 20.0, 50.0]))
    match draw(st.sampled_from(["CIRCLE", "RANGE", "POLYGON"])):
        case "CIRCLE":
            return f"CIRCLE {lon!r} {lat!r} {size!r}"
        case "RANGE":
            width = draw(st.sampled_from([0.0, 1.0, 12.0, 50.0]))
            return f"RANGE {lon!r} {(lon + width) % 360!r} {max(-90, lat - size)!r} {min(90, lat + size)!r}"
        case _:
            size = max(size, 0.01)
            flat = max(-60.0, min(60.0, lat))
            corners = ((lon - size, flat - size / 2), (lon + size, flat - size / 2), (lon, flat + size / 2))
            return "POLYGON " + " ".join(f"{a % 360!r} {d!r}" for a, d in corners)


def _told(name: str) -> st.SearchStrategy[str]:
    """What rows tell there, and what none does."""
    some = {str(getattr(row, name)) for row in ROWS if getattr(row, name) is not None}
    return st.sampled_from([*sorted(some), "x%", "' OR 1=1 --"])


VALUES: Mapping[str, st.SearchStrategy[str]] = {
    "POS": shapes(),
    "BAND": intervals(),
    "TIME": intervals(),
    "POL": st.sampled_from(STATES),
    "FOV": intervals(),
    "SPATRES": intervals(),
    "SPECRP": intervals(),
    "EXPTIME": intervals(),
    "TIMERES": intervals(),
    "ID": st.sampled_from(sorted(BY_DID)).flatmap(lambda did: st.sampled_from([did, did.upper()])),
    "COLLECTION": _told("obs_collection"),
    "FACILITY": _told("facility_name"),
    "INSTRUMENT": _told("instrument_name"),
    "DPTYPE": st.sampled_from(["image", "cube", "spectrum"]),
    "CALIB": st.sampled_from("01234"),
    "TARGET": _told("target_name"),
    "FORMAT": _told("access_format"),
    "RELEASEDATE": st.sampled_from(["2026-01-01", "2026-01-01T05:00 +Inf", "-Inf 2026-01-02", "-Inf +Inf"]),
}


@st.composite
def queries(draw: st.DrawFn) -> Query:
    names = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3, unique=True))
    return tuple((name, value) for name in names for value in draw(st.lists(VALUES[name], min_size=1, max_size=3)))


def test_every_parameter_is_tried() -> None:
    assert set(VALUES) == set(PLAIN) == set(PARAMETERS)


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example((("POS", "RANGE -Inf +Inf -Inf +Inf"),))
@example((("POS", "RANGE 0 360 89 90"),))
@example((("POS", "RANGE 350 10 -5 5"), ("POS", "CIRCLE 120 -30 1")))
@example((("POS", "CIRCLE 0 0 180"),))
@example((("POS", "CIRCLE 10 90 0"),))
@example((("TIME", "-Inf +Inf"), ("BAND", "-Inf +Inf"), ("EXPTIME", "-Inf +Inf")))
@given(query=queries())
def test_what_is_found_is_what_a_plain_filter_finds(client: Client, query: Query) -> None:
    must, may = wanted(query)
    told = found(client, *query)
    assert must <= told <= may


@pytest.mark.parametrize("name", sorted(VALUES))
def test_each_parameter_finds_some_and_leaves_some(client: Client, name: str) -> None:
    """Else the test above might compare nothing with nothing."""
    some = {
        "POS": "CIRCLE 120 -30 3",
        "TIME": "60002 60004.5",
        "BAND": "5.1e-7 5.2e-7",
        "POL": "POLI",
        "FOV": "1 +Inf",
        "SPATRES": "0.7 1",
        "SPECRP": "4 6",
        "EXPTIME": "30",
        "TIMERES": "-Inf 15",
        "ID": FOUND[0].obs_publisher_did,
        "COLLECTION": "raw",
        "FACILITY": "VLT",
        "INSTRUMENT": "LSSTCam",
        "DPTYPE": "cube",
        "CALIB": "3",
        "TARGET": "M 31",
        "RELEASEDATE": "2026-01-01 2026-01-01T12:00:00",
    }
    if name == "FORMAT":
        assert found(client, (name, "application/x-votable+xml; content=datalink")) == dids(bool)
        assert found(client, (name, "application/fits")) == set()
        return
    told = found(client, (name, some[name]))
    assert told == wanted(((name, some[name]),))[0]
    assert 0 < len(told) < len(FOUND)


def test_alternatives_add_rows_and_constraints_take_them_away(client: Client) -> None:
    rubin, vlt = (found(client, ("FACILITY", name)) for name in ("Rubin", "VLT"))
    assert found(client, ("FACILITY", "Rubin"), ("facility", "VLT")) == rubin | vlt
    level = found(client, ("CALIB", "2"))
    assert found(client, ("FACILITY", "Rubin"), ("CALIB", "2")) == rubin & level


def test_nothing_asked_is_everything_and_unknown_parameters_are_ignored(client: Client) -> None:
    assert found(client) == found(client, ("UPLOAD", "t,http://x"), ("XYZ", "1")) == dids(bool)


@pytest.mark.parametrize("method", ["get", "post"])
def test_both_methods_and_a_plus_for_a_blank(client: Client, method: str) -> None:
    url = "/sia2/query?pos=CIRCLE+120+-30+3&RESPONSEFORMAT=csv"
    answer = client.get(url) if method == "get" else client.post("/sia2/query", data=dict(_pairs(url)))
    assert len(answer.text.splitlines()) == 1 + len(wanted((("POS", "CIRCLE 120 -30 3"),))[0])


def _pairs(url: str) -> list[tuple[str, str]]:
    return parse_qsl(url.partition("?")[2])


# --- documents ------------------------------------------------------------------------------------


def test_the_answer_is_a_table_of_obscore_with_ways_on(client: Client) -> None:
    answer = ask(client, MAXREC="3")
    assert answer.content_type == "application/x-votable+xml"
    document = parse(io.BytesIO(answer.data))
    results, links, this = document.resources
    infos = {info.name: info.value for info in results.infos}
    assert infos["standardID"] == "ivo://ivoa.net/std/SIA#query-2.0"
    assert [info.value for info in results.infos if info.name == "QUERY_STATUS"] == ["OK", "OVERFLOW"]
    table = results.tables[0]
    assert len(table.array) == 3
    names = [field.name for field in table.fields]
    assert names[:4] == ["dataproduct_type", "calib_level", "obs_collection", "obs_id"]
    region = next(field for field in table.fields if field.name == "s_region")
    assert (region.datatype, region.arraysize, region.xtype) == ("char", "*", "adql:REGION")
    assert region.utype == "obscore:Char.SpatialAxis.Coverage.Support.Area"
    for did, text in zip(table.array["obs_publisher_did"], table.array["s_region"], strict=True):
        outline = BY_DID[did].s_region
        assert seen.numbers_told(text) == (
            None if outline is None else [part for at in outline.vertices for part in at]
        )
    (reference,) = [param.ref for group in links.groups for param in group.entries]
    assert next(field.name for field in table.fields if reference == field.ID) == "obs_publisher_did"
    assert this.utype == "adhoc:this"
    assert table.array["access_url"][0].startswith("http://localhost/datalink/links?ID=")


def test_maxrec_0_tells_all_about_the_service(client: Client) -> None:
    document = etree.fromstring(ask(client, MAXREC="0").data)
    space = {"v": "http://www.ivoa.net/xml/VOTable/v1.3"}
    assert document.xpath("//v:FIELD[@name='s_region']", namespaces=space)
    assert not document.xpath("//v:TR", namespaces=space)
    (group,) = (each for each in document.iterfind("v:RESOURCE[@name='this']/v:GROUP", space))
    params: dict[str, Any] = {str(each.get("name")): each for each in group}
    assert set(params) == {*PARAMETERS, "MAXREC", "RESPONSEFORMAT"}
    for each in params.values():
        assert each.find("v:DESCRIPTION", space).text
    options = [each.get("value") for each in params["POL"].iterfind("v:VALUES/v:OPTION", space)]
    assert options == list(STATES)
    assert (params["BAND"].get("unit"), params["BAND"].get("xtype")) == ("m", "interval")
    assert params["CALIB"].find("v:VALUES/v:MAX", space).get("value") == "4"


WRONG = [
    ("POS", "BOX 1 2 3 4"),
    ("POS", "CIRCLE 1 2"),
    ("POS", "CIRCLE 1 95 1"),
    ("POS", "CIRCLE 1 5 -1"),
    ("POS", "POLYGON 1 1 2 2 3"),
    ("POS", "RANGE 1 2 4 3"),
    ("BAND", "2 1"),
    ("BAND", "red"),
    ("TIME", "2026-01-01"),
    ("POL", "Z"),
    ("FOV", "NaN"),
    ("CALIB", "7"),
    ("CALIB", "1 2"),
    ("DPTYPE", "picture"),
    ("RELEASEDATE", "61000"),
    ("COLLECTION", "a\x01b"),
    ("ID", ""),
    ("MAXREC", "-1"),
    ("MAXREC", "many"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_cannot_be_understood_is_told_in_the_form_of_dali(client: Client, name: str, value: str) -> None:
    answer = ask(client, (name, value))
    assert (answer.status_code, answer.content_type) == (400, "application/x-votable+xml")
    document = parse(io.BytesIO(answer.data))
    (info,) = [info for info in document.resources[0].infos if info.name == "QUERY_STATUS"]
    assert info.value == "ERROR"
    assert info.content.startswith(f"UsageFault: {name}")
    assert "Traceback" not in answer.text
    plain = ask(client, (name, value), RESPONSEFORMAT="csv")
    assert plain.content_type.startswith("text/plain")
    assert plain.text.startswith(f"UsageFault: {name}")


def test_a_format_that_is_none(client: Client) -> None:
    answer = ask(client, RESPONSEFORMAT="image/gif")
    assert (answer.status_code, answer.content_type) == (400, "application/x-votable+xml")


def test_too_many_values(client: Client) -> None:
    answer = ask(client, *[("COLLECTION", "a")] * 1001)
    assert answer.status_code == 400
    assert "1,001 times" in answer.text


def test_other_methods_and_paths_are_refused_in_words(client: Client) -> None:
    assert client.delete("/sia2/query").status_code == 405
    answer = client.get("/sia2/nothing")
    assert (answer.status_code, answer.mimetype) == (404, "text/plain")


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from([*sorted(PARAMETERS), "MAXREC", "RESPONSEFORMAT"]), text=st.text(max_size=30))
def test_nothing_that_comes_breaks_it(client: Client, name: str, text: str) -> None:
    answer = ask(client, (name, text))
    assert answer.status_code in (200, 400)
    if not answer.content_type.startswith("text/"):
        etree.fromstring(answer.data)


def test_capabilities_lead_to_the_query(client: Client) -> None:
    document = etree.fromstring(client.get("/sia2/capabilities").data)
    found = {each.get("standardID"): each.findtext("interface/accessURL") for each in document}
    assert found["ivo://ivoa.net/std/SIA#query-2.0"] == "http://localhost/sia2/query"
    assert "ivo://ivoa.net/std/VOSI#availability" in found
    beside = etree.fromstring(client.get("/tap/capabilities").data)
    assert "ivo://ivoa.net/std/SIA#query-2.0" in {each.get("standardID") for each in beside}
    assert b"<vosi:available>true" in client.get("/sia2/availability").data
