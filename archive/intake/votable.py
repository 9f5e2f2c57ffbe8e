"""VOTable 1.0-1.5 to ``Delivered``: the first TABLE, whatever its serialisation.

Ours rather than astropy's, because an archive must tell NULL from the empty string in BINARY2, must not drop a
last row that was cut short, and must refuse hostile documents before memory is spent on them.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from lxml import etree

from archive.columns import Column, Datatype
from archive.faults import UsageFault
from archive.intake import flat
from archive.intake.binary import read_rows
from archive.intake.cells import Shape, arrow_column, parse_cell
from archive.intake.delivered import Delivered, Measure, delivered

_TRUNCATED = "It may be truncated; send it again."

_DEEPEST = 64
_MOST_FIELDS = 5000
_MOST_ELEMENTS = 100_000  # beside rows and cells
_LONGEST_TAG = 64 * 1024  # bytes, attributes included
_FAR = re.compile(rb"<(?=[^<]{%d})" % _LONGEST_TAG)
_TAG = re.compile(rb"""<(?:[^<>"']++|"[^"]*+"?|'[^']*+'?)*+""")
_ENCODING = re.compile(rb"""^\s*<\?xml[^>]*encoding\s*=\s*["']([^"']*)""")
_PLAIN = re.compile(rb"(?i)utf-?8|us-ascii|ascii|iso-8859-\d+|latin-?1|windows-125\d")


@dataclass(slots=True)
class _Table:
    """What has been read of the table so far."""

    name: str
    measure: Measure
    shapes: list[Shape] = field(default_factory=list)
    rows: list[list[object]] = field(default_factory=list)
    stream: tuple[str, str | None] | None = None  # serialisation, text
    result: Delivered | None = None
    complete: bool = False


def read_votable(content: bytes, name: str, measure: Measure) -> Delivered:
    """The first TABLE of the document with the types, units, UCDs, utypes, xtypes and descriptions it declares.

    Raises:
        UsageFault: it is not well-formed VOTable, declares entities, nests too deeply, points to data elsewhere,
            or has a cell or length that cannot be (row and column are named).
    """
    if b"<!ENTITY" in content or not _is_plain(content):
        raise UsageFault(f"{name} is refused: XML entities and encodings other than UTF-8 are not read.")
    _check_tags(content, name)
    table = _Table(name, measure)
    try:
        for event, tag, element in _events(content, table):
            _take(event, tag, element, table)
    except etree.XMLSyntaxError as error:
        raise UsageFault(f"{name} is not well-formed XML: {error.msg}.", _TRUNCATED) from error
    return _finished(table)


def _is_plain(content: bytes) -> bool:
    """True if markup is written in ASCII: in other encodings a document could hide what is looked for."""
    named = _ENCODING.search(content[:200])
    return b"\x00" not in content[:64] and (named is None or bool(_PLAIN.fullmatch(named[1])))


def _check_tags(content: bytes, name: str) -> None:
    """A tag is parsed whole, with all its attributes, before anything can be said about it."""
    for far in _FAR.finditer(content):
        tag = _TAG.match(content, far.start())
        if tag is not None and len(tag[0]) > _LONGEST_TAG:
            raise UsageFault(f"{name} has a tag that is longer than {_LONGEST_TAG:,} bytes.")


def _events(content: bytes, table: _Table) -> Iterator[tuple[str, str, etree._Element]]:
    """Start and end of each element but cells, with its name; what is read stays small however much is sent."""
    depth = others = cells = 0
    source = io.BytesIO(content)
    safe = {"resolve_entities": False, "load_dtd": False, "no_network": True}
    parser = etree.iterparse(source, ("start", "end"), huge_tree=True, remove_comments=True, remove_pis=True, **safe)
    for event, element in parser:
        tag = _name(element.tag)
        started = event == "start"
        depth += 1 if started else -1
        if depth > _DEEPEST:
            raise UsageFault(f"{table.name} nests deeper than any real VOTable does.")
        if table.complete:
            if not started:
                _forget(element)
            continue
        if tag == "TD":
            cells += started
            if cells > len(table.shapes):
                raise UsageFault(f"{table.name}, row {len(table.rows) + 1}: more cells than columns.")
            continue
        if tag == "TR":
            cells = 0
        else:
            others += started
        if others > _MOST_ELEMENTS:
            raise UsageFault(f"{table.name} has more than {_MOST_ELEMENTS:,} elements beside its rows.")
        yield event, tag, element


@lru_cache(maxsize=64)
def _name(tag: str) -> str:
    """Without its namespace."""
    return tag.rpartition("}")[2]


def _take(event: str, tag: str, element: etree._Element, table: _Table) -> None:
    """Learn from one event."""
    match event, tag:
        case "end", "FIELD":
            table.shapes.append(_shape(element, table.name))
            if len(table.shapes) > _MOST_FIELDS:
                raise UsageFault(f"{table.name} has more than {_MOST_FIELDS} columns.")
        case "end", "TR":
            _row(element, table)
        case "end", "STREAM":
            _stream(element, table)
        case "end", "TABLE":
            table.complete = True


def _shape(element: etree._Element, name: str) -> Shape:
    get = element.get
    title = get("name") or get("ID") or ""
    kind = (get("datatype") or "").strip()
    try:
        datatype = Datatype(kind)
    except ValueError as error:
        raise UsageFault(f"{name}: FIELD {title} has the unknown datatype {kind!r}.") from error
    values = element.find("{*}VALUES")
    about = element.find("{*}DESCRIPTION")
    column = Column(
        title,
        datatype,
        get("arraysize"),
        _xtype(get("xtype")),
        unit=get("unit") or None,
        ucd=get("ucd") or None,
        utype=get("utype") or None,
        description=" ".join(str(about.text or "").split()) if about is not None else "",
    )
    return Shape.of(column, None if values is None else values.get("null"), name)


def _xtype(xtype: str | None) -> str | None:
    return {"adql:TIMESTAMP": "timestamp", "": None}.get(xtype or "", xtype)


def _row(element: etree._Element, table: _Table) -> None:
    cells = [child.text for child in element]
    number = len(table.rows) + 1
    if len(cells) != len(table.shapes):
        raise UsageFault(f"{table.name}, row {number}: {len(cells)} cells for {len(table.shapes)} columns.")
    table.measure.check_rows(number, table.name)
    table.rows.append(
        [parse_cell(text, shape, table.name, number) for text, shape in zip(cells, table.shapes, strict=True)]
    )
    _forget(element)


def _forget(element: etree._Element) -> None:
    """Free an element's content and what stands before it."""
    parent = element.getparent()
    element.clear()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def _stream(element: etree._Element, table: _Table) -> None:
    if element.get("href"):
        raise UsageFault(f"{table.name} points to data elsewhere (STREAM href).", "Send the data inside the VOTable.")
    parent = element.getparent()
    kind = etree.QName(parent).localname if parent is not None else ""
    raw = _decoded(element, table)
    if kind == "FITS":
        table.result = flat.read_fits(raw, table.name, table.measure)
        return
    table.rows = read_rows(raw, table.shapes, table.name, table.measure, flags=kind == "BINARY2")


def _decoded(element: etree._Element, table: _Table) -> bytes:
    encoding = (element.get("encoding") or "base64").lower()
    if encoding not in ("base64", "gzip"):
        raise UsageFault(f"{table.name}: STREAM encoding {encoding!r} is not read here.", "Use base64.")
    try:
        raw = base64.b64decode(element.text or "")
    except binascii.Error as error:
        raise UsageFault(f"{table.name}: the STREAM is not valid base64.", _TRUNCATED) from error
    return table.measure.unpacked(raw, table.name)


def _finished(table: _Table) -> Delivered:
    if table.result is not None:
        return _redescribed(table.result, table.shapes)
    if not table.shapes:
        raise UsageFault(f"{table.name} has no TABLE with columns.")
    cells = list(zip(*table.rows, strict=True)) or [()] * len(table.shapes)
    columns = [shape.column for shape in table.shapes]
    arrays = [arrow_column(list(cell), shape, table.name) for cell, shape in zip(cells, table.shapes, strict=True)]
    return delivered(columns, arrays)


def _redescribed(found: Delivered, shapes: list[Shape]) -> Delivered:
    """FITS data under the FIELDs of the VOTable around it, where they are as many."""
    if len(shapes) != len(found.columns):
        return found
    columns = [
        replace(shape.column, datatype=column.datatype, arraysize=column.arraysize, xtype=column.xtype)
        for shape, column in zip(shapes, found.columns, strict=True)
    ]
    return delivered(columns, found.rows.columns)
