"""The table of formats: what may be asked for, what is answered, and errors in each."""

from __future__ import annotations

import json

import pytest
from lxml import etree, html

from archive.faults import NotFound, UsageFault
from archive.results import FORMATS, Format, error_document, find
from tests.results_cases import all_kinds, written

VOTABLE = "application/x-votable+xml"


@pytest.mark.parametrize(
    ("asked", "name", "content_type"),
    [
        (None, "votable", VOTABLE),
        ("", "votable", VOTABLE),
        ("votable", "votable", VOTABLE),
        ("VOTable", "votable", VOTABLE),
        (VOTABLE, "votable", VOTABLE),
        ("text/xml", "votable", "text/xml"),
        ("text/xml; serialization=tabledata", "votable/td", "text/xml;serialization=TABLEDATA"),
        ("votable/td", "votable/td", f"{VOTABLE};serialization=TABLEDATA"),
        (f"{VOTABLE}; Serialization = TableData", "votable/td", f"{VOTABLE};serialization=TABLEDATA"),
        (f'{VOTABLE};serialization="BINARY2"', "votable/b2", f"{VOTABLE};serialization=BINARY2"),
        (f"{VOTABLE};serialization=BINARY", "votable/b", f"{VOTABLE};serialization=BINARY"),
        (f"{VOTABLE};version=1.3", "votable", VOTABLE),
        ("csv", "csv", "text/csv;header=present"),
        ("text/csv", "csv", "text/csv;header=present"),
        ("text/csv; header=present", "csv", "text/csv;header=present"),
        ("text/tab-separated-values", "tsv", "text/tab-separated-values"),
        ("application/fits", "fits", "application/fits"),
        ("parquet", "parquet", "application/vnd.apache.parquet"),
        ("arrow", "arrow", "application/vnd.apache.arrow.stream"),
        ("application/json", "json", "application/json"),
        ("text/plain", "text", "text/plain;charset=utf-8"),
        ("html", "html", "text/html;charset=utf-8"),
    ],
)
def test_what_is_asked_for_is_found(asked: str | None, name: str, content_type: str) -> None:
    found = find(asked)
    assert (found.name, found.content_type) == (name, content_type)


@pytest.mark.parametrize(
    "asked", ["pdf", "image/png", f"{VOTABLE};serialization=FITS", "text/csv;header=absent", "xml"]
)
def test_what_there_is_not_is_told_with_what_there_is(asked: str) -> None:
    with pytest.raises(UsageFault) as caught:
        find(asked)
    assert repr(asked) in str(caught.value)
    for each in FORMATS:
        assert each.name in str(caught.value)


def test_names_are_unambiguous() -> None:
    names = [name.lower() for each in FORMATS for name in each.names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_every_advertised_name_works(form: Format) -> None:
    for name in form.names:
        assert find(name).write is form.write
    assert written(all_kinds(), form.mime)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_errors_come_in_the_format_asked_for_or_as_text(form: Format) -> None:
    document = error_document(NotFound("There is no <job> x.", "Look at /async."), form)
    text = "NotFoundFault: There is no <job> x. Look at /async."
    match form.error_type.partition(";")[0]:
        case "application/x-votable+xml":
            root = etree.fromstring(document)
            assert root.find(".//{*}TABLE") is None
            status = root.find(".//{*}INFO[@name='QUERY_STATUS']")
            assert status is not None
            assert (status.get("value"), status.text) == ("ERROR", text)
        case "application/json":
            assert json.loads(document) == {"status": "ERROR", "message": text}
        case "text/html":
            assert text in html.document_fromstring(document).text_content()
        case kind:
            assert kind == "text/plain"
            assert document.decode() == f"{text}\n"
