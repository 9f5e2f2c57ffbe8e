"""DataLink: what belongs to files, each in the words of the standard, and never an answer that fails as a whole."""

from __future__ import annotations

import io
import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from astropy.io import votable
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from sqlalchemy import Select, event, select, update

from archive.ledger import retention, schema
from archive.ledger.linked import MOST, linked
from archive.ledger.site import uri_of
from archive.results.descriptors import DATALINK_TYPE
from tests import clusters
from tests.imaged import Imaged, did, filled, imaged

BASE = "http://localhost"
NAMES = [
    ("ID", "char", "*", None, "meta.id;meta.main"),
    ("access_url", "char", "*", None, "meta.ref.url"),
    ("service_def", "char", "*", None, "meta.ref"),
    ("error_message", "char", "*", None, "meta.code.error"),
    ("description", "char", "*", None, "meta.note"),
    ("semantics", "char", "*", None, "meta.code"),
    ("content_type", "char", "*", None, "meta.code.mime"),
    ("content_length", "long", None, "byte", "phys.size;meta.file"),
    ("content_qualifier", "char", "*", None, None),
    ("local_semantics", "char", "*", None, "meta.id.assoc"),
    ("link_auth", "char", "*", None, "meta.code"),
    ("link_authorized", "boolean", None, None, "meta.code"),
]

Row = Mapping[str, Any]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, data: Path) -> Imaged:
    folder = tmp_path_factory.mktemp(request.param)
    database = None if request.param == "sqlite" else clusters.empty(folder)
    return imaged(folder, data, database=database)


@pytest.fixture(scope="module")
def uris(archive: Imaged) -> Mapping[str, str]:
    return filled(archive)


def rows(archive: Imaged, *ids: str, role: str | None = None, method: str = "GET", **more: str) -> list[Row]:
    """The rows of an answer that is as it should be."""
    given = [("ID", each) for each in ids] + list(more.items())
    headers = {} if role is None else archive.bearing(role)
    where = {"query_string": given} if method == "GET" else {"data": _form(given)}
    answer = archive.client.open("/datalink/links", method=method, headers=headers, **where)
    assert answer.status_code == 200, answer.text
    assert answer.content_type == DATALINK_TYPE
    return read(answer.data)


def _form(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def read(document: bytes) -> list[Row]:
    """The rows of a VOTable, empty cells as None."""
    table = votable.parse(io.BytesIO(document), verify="exception").get_first_table()
    said = [(f.name, f.datatype, f.arraysize, f.unit and str(f.unit), f.ucd) for f in table.fields]
    assert said == NAMES
    return [
        {
            name: None if value is np.ma.masked or value == "" else value
            for name, value in zip(row.dtype.names, row, strict=False)
        }
        for row in table.array
    ]


def told(found: Sequence[Row]) -> list[tuple[str, str | None]]:
    return [(row["semantics"], row["access_url"] and row["access_url"].removeprefix(BASE)) for row in found]


# --- what belongs to a file -----------------------------------------------------------------------


@pytest.mark.requirement("DMS-DBB-REQ-0012")
def test_a_file_and_all_that_belongs_to_it(archive: Imaged, uris: Mapping[str, str]) -> None:
    found = rows(archive, did(uris["processed"]))
    assert told(found) == [
        ("#this", "/files/sp_test/processed/processed.fits"),
        ("#preview", "/previews/sp_test/processed/processed.fits.png"),
        ("#thumbnail", "/thumbnails/sp_test/processed/processed.fits.png"),
        ("#bias", "/files/sp_test/calib/bias.fits"),
        ("#progenitor", "/files/sp_test/raw/raw.fits"),
        ("#derivation", "/files/sp_test/difference/d.fits"),
    ]
    this, preview, _, bias, raw, difference = found
    assert {row["ID"] for row in found} == {did(uris["processed"])}
    assert this["content_type"] == "application/fits"
    assert this["content_length"] == len(archive.client.get(this["access_url"].removeprefix(BASE)).data)
    assert this["content_qualifier"] == "#image"
    assert (this["link_auth"], bool(this["link_authorized"])) == ("false", True)
    assert this["description"] == "Processed image of sp_test (MC_O_20260228_000123, R22_S11, r): processed.fits"
    assert (preview["content_type"], preview["content_length"]) == ("image/png", None)
    assert (bias["local_semantics"], raw["local_semantics"]) == ("calibration", "raw")
    assert difference["local_semantics"] == "made from it as science"


def test_what_it_was_made_from_may_not_be_here(archive: Imaged, uris: Mapping[str, str]) -> None:
    (row,) = (row for row in rows(archive, did(uris["difference"])) if row["local_semantics"] == "template")
    assert row["semantics"] == "#progenitor"
    assert row["access_url"] is None
    assert row["error_message"] == (
        "NotFoundFault: archive://rubin.example/dr1/template/9813-40.fits is not registered here."
    )


def test_the_same_exposure_and_the_same_place_in_other_bands(archive: Imaged, uris: Mapping[str, str]) -> None:
    raw = rows(archive, did(uris["raw"]))
    assert [row["local_semantics"] for row in raw if row["semantics"] == "#counterpart"] == ["same exposure"]
    h = rows(archive, did(uris["gc_h"]))
    assert [(row["local_semantics"], row["access_url"]) for row in h if row["semantics"] == "#counterpart"] == [
        (f"same place in band {band}", f"{BASE}/files/sp_test/2mass/gc_2mass_{band.lower()}.fits") for band in "JK"
    ]


def test_links_lead_to_what_they_say(archive: Imaged, uris: Mapping[str, str]) -> None:
    for row in rows(archive, *map(did, uris.values()), role="reader"):
        if row["access_url"] is None:
            continue
        answer = archive.client.get(row["access_url"].removeprefix(BASE), headers=archive.bearing("reader"))
        assert answer.status_code == 200, row
        assert answer.content_type == row["content_type"]
        assert row["content_length"] in (None, len(answer.data))


# --- many, and wrong ones -------------------------------------------------------------------------


def test_many_at_once_in_their_order_by_get_and_post(archive: Imaged, uris: Mapping[str, str]) -> None:
    ids = [did(uri) for uri in uris.values()] + [uris["notes"]]
    found = rows(archive, *ids, ids[0])
    assert list(dict.fromkeys(row["ID"] for row in found)) == ids
    changes = sum(one["ID"] != other["ID"] for one, other in itertools.pairwise(found))
    assert changes == len(ids) - 1, "the rows of each stand together"
    assert rows(archive, *ids, method="POST") == found
    assert read(archive.client.post("/datalink/links", query_string={"id": ids[0]}, data={"ID": ids[1]}).data) == [
        row for row in found if row["ID"] in ids[:2]
    ]


def test_one_row_for_each_that_cannot_be_had(archive: Imaged, uris: Mapping[str, str]) -> None:
    wrong = {
        "nonsense": "UsageFault: 'nonsense' identifies no file. An ID is like",
        "": "UsageFault: '' identifies no file.",
        "ivo://archive.test/files?sp_test/none": "NotFoundFault: There is no file ivo://archive.test/files?sp_test/none.",
        "ivo://elsewhere.test/files?sp_test/raw/raw.fits": "NotFoundFault: There is no file",
        "ivo://archive.test/other?sp_test/raw/raw.fits": "UsageFault: ",
        did(uris["gone"]): "NotFoundFault: archive://archive.test/sp_test/notes/gone.txt was retracted on 2",
        "<&\x01>": "UsageFault: ",
    }
    found = rows(archive, *wrong, did(uris["notes"]))
    assert [row["semantics"] for row in found] == ["#this"] * (len(wrong) + 1)
    for row, message in zip(found, wrong.values(), strict=False):
        assert row["access_url"] is None
        assert row["error_message"].startswith(message)
    assert found[-1]["error_message"] is None


@given(st.text(min_size=1).filter(lambda text: max(text) < "\ud800" or min(text) > "\udfff"))
def test_identifiers_lead_back_to_names(path: str) -> None:
    uri = f"archive://archive.test/{quote(path)}"
    assert uri_of(uri) == uri_of(did(uri)) == uri
    if "%" not in path:
        assert uri_of(f"ivo://archive.test/files?{path}") == uri, "also where somebody decoded it"


@pytest.mark.parametrize(
    "wrong", ["", "x", "ivo://a", "ivo://a/files", "ivo://a/files?", "ivo://a/b?c", "archive://a", "http://a/files?b"]
)
def test_what_identifies_no_file(wrong: str) -> None:
    assert uri_of(wrong) is None


def test_the_authority_has_no_case(archive: Imaged, uris: Mapping[str, str]) -> None:
    asked = did(uris["notes"]).replace("ivo://archive.test/files", "IVO://Archive.TEST/Files")
    (row,) = rows(archive, asked)
    assert (row["ID"], row["error_message"]) == (asked, None)


def test_a_file_of_which_no_good_copy_is_here(archive: Imaged, uris: Mapping[str, str]) -> None:
    copy = schema.replica
    of_it = copy.c.artifact.in_(number(uris["bias"]))
    with archive.endpoint.ledger.write() as transaction:
        transaction.execute(update(copy).where(of_it).values(has="bad"))
    try:
        this, *_ = rows(archive, did(uris["bias"]))
        assert this["error_message"].startswith("TransientFault: archive://archive.test/sp_test/calib/bias.fits cannot")
    finally:
        with archive.endpoint.ledger.write() as transaction:
            transaction.execute(update(copy).where(of_it).values(has="present"))


def number(uri: str) -> Select[Any]:
    return select(schema.artifact.c.id).where(schema.artifact.c.uri == uri)


@pytest.mark.parametrize(
    ("role", "fault"), [(None, "NotFoundFault: Release 'sp_test' was withdrawn on 2"), ("reader", "")]
)
def test_what_was_withdrawn_is_for_staff(
    archive: Imaged, uris: Mapping[str, str], role: str | None, fault: str
) -> None:
    values = {"state": "withdrawn", "withdrawn": "2026-01-01T00:00:00.000000Z", "created": "2025", "reason": "no good"}
    with archive.endpoint.ledger.write() as transaction:
        transaction.execute(schema.release.insert().values(name="sp_test", **values))
    try:
        this, *_ = rows(archive, did(uris["notes"]), role=role)
        assert (this["error_message"] or "").startswith(fault)
        assert (this["access_url"] is None) == bool(fault)
        headers = {} if role is None else archive.bearing(role)
        answer = archive.client.get(f"/files/{uris['notes'].split('/', 3)[3]}", headers=headers)
        assert answer.status_code == (410 if fault else 200)
    finally:
        with archive.endpoint.ledger.write() as transaction:
            transaction.execute(schema.release.delete())


def test_what_was_dropped_is_told_so(archive: Imaged, uris: Mapping[str, str]) -> None:
    uri, when = uris["notes"], datetime.now(UTC)
    with archive.endpoint.ledger.write() as transaction:
        found = transaction.execute(number(uri)).scalar_one()
        retention.drop(transaction, {found: (uri, "class")}, when)
        transaction.execute(update(schema.replica).where(schema.replica.c.artifact == found).values(has="absent"))
    this, *_ = rows(archive, did(uri))
    assert this["error_message"] == f"NotFoundFault: {uri} is not kept here since {when:%Y-%m-%d}."
    answer = archive.client.get(f"/files/{uri.split('/', 3)[3]}")
    assert (answer.status_code, "is not kept here since" in answer.text) == (410, True)
    with archive.endpoint.ledger.write() as transaction:
        transaction.execute(schema.dropping.delete())
        transaction.execute(update(schema.replica).where(schema.replica.c.artifact == found).values(has="present"))


# --- who may ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("role", "may"), [(None, False), ("producer", False), ("reader", True)])
def test_each_caller_is_told_whether_they_may(
    archive: Imaged, uris: Mapping[str, str], role: str | None, may: bool
) -> None:
    found = rows(archive, did(uris["secret"]), role=role)
    assert {row["semantics"] for row in found} == {"#this", "#preview", "#thumbnail"}
    for row in found:
        assert (row["link_auth"], bool(row["link_authorized"])) == ("true", may)
        headers = {} if role is None else archive.bearing(role)
        answer = archive.client.get(row["access_url"].removeprefix(BASE), headers=headers)
        assert (answer.status_code == 200) == may


def test_a_token_that_is_not_valid_is_refused(archive: Imaged, uris: Mapping[str, str]) -> None:
    answer = archive.client.get("/datalink/links", headers={"Authorization": "Bearer arc_wrong"})
    assert answer.status_code == 401
    assert b'value="ERROR">AuthenticationFault: ' in answer.data


# --- the form of answers --------------------------------------------------------------------------


def test_no_id_is_an_empty_table_that_describes_the_service(archive: Imaged) -> None:
    answer = archive.client.get("/datalink/links")
    assert answer.content_type == DATALINK_TYPE
    assert read(answer.data) == []
    root = etree.fromstring(answer.data)
    names = {"v": root.nsmap[None]}
    assert root.xpath("//v:INFO[@name='standardID']/@value", namespaces=names) == [
        "ivo://ivoa.net/std/DataLink#links-1.1"
    ]
    this = "//v:RESOURCE[@utype='adhoc:this']"
    assert root.xpath(f"{this}/v:PARAM[@name='accessURL']/@value", namespaces=names) == [f"{BASE}/datalink/links"]
    assert "ID" in root.xpath(f"{this}/v:GROUP/v:PARAM/@name", namespaces=names)


def test_what_is_too_much_is_cut_between_files(archive: Imaged, uris: Mapping[str, str]) -> None:
    ids = [did(uris[name]) for name in ("notes", "processed", "raw")]
    whole = Counter(row["ID"] for row in rows(archive, *ids))
    for most in range(sum(whole.values()) + 1):
        answer = archive.client.get("/datalink/links", query_string=[("MAXREC", most), *(("ID", each) for each in ids)])
        found = Counter(row["ID"] for row in read(answer.data))
        assert all(found[each] == whole[each] for each in found)
        assert sum(found.values()) <= most
        assert (b'name="QUERY_STATUS" value="OVERFLOW"' in answer.data) == (found != whole)


@pytest.mark.parametrize(
    ("asked", "content_type"),
    [
        ("votable", DATALINK_TYPE),
        ("application/x-votable+xml", DATALINK_TYPE),
        (DATALINK_TYPE, DATALINK_TYPE),
        ("text/xml", "text/xml"),
        ("csv", "text/csv;header=present"),
    ],
)
def test_formats(archive: Imaged, uris: Mapping[str, str], asked: str, content_type: str) -> None:
    given = {"ID": did(uris["notes"]), "RESPONSEFORMAT": asked}
    answer = archive.client.get("/datalink/links", query_string=given)
    assert answer.content_type == content_type
    assert b"<TABLEDATA>" in answer.data or asked == "csv"


@pytest.mark.parametrize(
    ("given", "message"),
    [("RESPONSEFORMAT=pony", "There is no format"), ("MAXREC=-1", "MAXREC="), ("MAXREC=1&MAXREC=2", "MAXREC is given")],
)
def test_what_is_wrong_as_a_whole_is_an_error_document(archive: Imaged, given: str, message: str) -> None:
    answer = archive.client.get(f"/datalink/links?ID=x&{given}")
    assert answer.status_code == 400
    assert answer.content_type == "application/x-votable+xml"
    assert f'value="ERROR">UsageFault: {message}'.encode() in answer.data


def test_capabilities_and_availability(archive: Imaged) -> None:
    answer = archive.client.get("/datalink/capabilities")
    assert answer.content_type == "text/xml"
    assert b"ivo://ivoa.net/std/DataLink#links-1.1" in answer.data
    assert f"{BASE}/datalink/links".encode() in answer.data
    assert b"available>true<" in archive.client.get("/datalink/availability").data


# --- much ------------------------------------------------------------------------------------------


def test_what_is_made_from_much_used_files_is_told_in_part(archive: Imaged, uris: Mapping[str, str]) -> None:
    artifact, inputs = schema.artifact, schema.product_input
    with archive.endpoint.ledger.write() as transaction:
        for count in range(MOST + 5):
            values = {"uri": f"archive://archive.test/sp_test/many/{count}", "sha256": "0" * 64, "size": 1}
            made = transaction.execute(
                artifact.insert().values(**values, media_type="x/y", registered="2026-01-01T00:00:00.000000Z")
            ).inserted_primary_key[0]
            transaction.execute(inputs.insert().values(artifact=made, role="dark", uri=uris["notes"]))
    found = rows(archive, did(uris["notes"]))
    assert Counter(row["semantics"] for row in found) == {"#this": 1, "#derivation": MOST}
    assert found[-1]["description"].endswith(f"(the first {MOST}; there are more)")


def test_parts_of_tables_have_their_deliveries(archive: Imaged, uris: Mapping[str, str]) -> None:
    derived = schema.derived_from
    with archive.endpoint.ledger.write() as transaction:
        made, source = (transaction.execute(number(uris[each])).scalar_one() for each in ("gc_j", "bias"))
        transaction.execute(derived.insert().values(artifact=made, source=source))
    assert ("#bias", "/files/sp_test/calib/bias.fits") in told(rows(archive, did(uris["gc_j"])))
    assert ("#derivation", "/files/sp_test/2mass/gc_2mass_j.fits") in told(rows(archive, did(uris["bias"])))


@pytest.mark.parametrize("archive", ["sqlite"], indirect=True)  # plans of PostgreSQL depend on how much there is
def test_no_table_is_read_whole(archive: Imaged, uris: Mapping[str, str]) -> None:
    """However many files there are, links are found through indexes: SQLite tells how it reads each statement."""
    asked: list[tuple[str, Any]] = []
    with archive.endpoint.ledger.read() as transaction:

        def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            asked.append((statement, parameters))

        event.listen(transaction, "before_cursor_execute", note)
        linked(transaction, list(uris.values()))
        event.remove(transaction, "before_cursor_execute", note)
        plans = [row[3] for one in asked for row in transaction.exec_driver_sql(f"EXPLAIN QUERY PLAN {one[0]}", one[1])]
    assert len(asked) >= 6
    assert any("product_of_exposure" in line for line in plans)
    tables = "artifact|product|product_input|derived_from|replica|observation|dropping"
    assert [line for line in plans if re.fullmatch(rf"SCAN ({tables})\b.*", line)] == []
