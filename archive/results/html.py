"""HTML out, for people: one page with the result as a table, streamed."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
from lxml import etree
from lxml.builder import E

from archive.columns import Column
from archive.faults import Fault
from archive.results import cells
from archive.results.cells import legal_xml
from archive.results.document import ending, fault_text, unique
from archive.results.flow import blocks, pieces
from archive.results.result import Envelope, Result

_HTML = cells.Spelling(text=cells.xml, infinity="Inf", minus_infinity="-Inf")
_ADDRESS = r"^https?://[^\s\"'<>]+$"
_ROWS = "rows"  # where rows go, and where the ending goes
_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5em }
table { border-collapse: collapse }
th, td { padding: .15em .6em; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top }
thead th { position: sticky; top: 0; background: #fff }
small { display: block; font-weight: normal; color: #555 }
td { font-variant-numeric: tabular-nums }
.status { font-weight: bold; color: #a00 }
"""


def page(result: Result, envelope: Envelope) -> Iterator[bytes]:
    """``result`` as a page; NULL is an empty cell; how the query ended stands below the table."""
    names = unique(column.name for column in result.columns)
    titles = [_title(column, name) for column, name in zip(result.columns, names, strict=True)]
    notes = [E.p(legal_xml(note)) for note in result.notes]
    if result.token is not None:
        notes.append(E.p("Token: ", E.code(legal_xml(result.token))))
    query = [E.pre(legal_xml(result.query))] if result.query else []
    table = E.table(E.thead(E.tr(*titles)), E.tbody(etree.Comment(_ROWS)))
    whole = _page("Result", *query, *notes, table, etree.Comment(_ROWS))
    head, below, tail = whole.split(f"<!--{_ROWS}-->".encode())
    yield head

    def encode(batch: pa.RecordBatch) -> memoryview:
        texts = cells.table(result.columns, batch, _HTML)
        told = [_linked(column, text) for column, text in zip(result.columns, texts, strict=True)]
        return cells.rows(told, "<tr><td>", "</td><td>", "</td></tr>\n")

    for block in blocks(result, encode):
        yield from pieces(block)
    yield below
    for _, status, message in ending(result):
        yield _fragment(E.p(f"{status}: {legal_xml(message)}", {"class": "status"}))
    yield tail


def _linked(column: Column, texts: pa.Array) -> pa.Array:
    """Addresses, to be followed; of other kinds than those of the web none is."""
    if column.ucd != "meta.ref.url" or not column.is_text:
        return texts
    link = pc.binary_join_element_wise('<a href="', texts, '">', texts, "</a>", "")
    return pc.if_else(pc.match_substring_regex(texts, _ADDRESS), link, texts)


def error(fault: Fault) -> bytes:
    """A fault as a page."""
    return _page("Error", E.p(legal_xml(fault_text(fault)), {"class": "status"}))


def _title(column: Column, name: str) -> etree._Element:
    title: etree._Element = E.th(legal_xml(name))
    if column.description:
        title.set("title", legal_xml(column.description))
    if column.unit:
        title.append(E.small(legal_xml(column.unit)))
    return title


def _page(title: str, *content: etree._Element) -> bytes:
    head = E.head(E.meta(charset="utf-8"), E.title(title), E.style(_STYLE))
    return b"<!DOCTYPE html>\n" + _fragment(E.html(head, E.body(*content)))


def _fragment(element: etree._Element) -> bytes:
    return etree.tostring(element, method="html", encoding="utf-8")
