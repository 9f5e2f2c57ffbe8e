"""The VOTable around the rows: what is said of a result before and after them (VOTable 1.4, DALI 1.1 section 4.4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from copy import copy, deepcopy
from functools import cached_property, lru_cache

from lxml import etree
from lxml.builder import ElementMaker

from archive.columns import Column
from archive.faults import Fault
from archive.results.cells import legal_xml
from archive.results.result import Envelope, Result

NAMESPACE = "http://www.ivoa.net/xml/VOTable/v1.3"
VERSION = "1.4"  # says all we have to say, and more readers know it than 1.5

E = ElementMaker(namespace=NAMESPACE, nsmap={None: NAMESPACE})

COOSYS_ID = "_icrs"
_NULL_WORD = re.compile(r"[^A-Za-z0-9_.]")
_SCALES = ("TAI", "TT", "TDB", "TCB", "TCG", "UTC", "UT", "GPS")
_SCALE = re.compile(rf"\b({'|'.join(_SCALES)})\b")
_ORIGINS = {"MJD": "MJD-origin", "JD": "JD-origin"}
_ORIGIN = re.compile(r"\b(MJD|JD)\b")
_ROWS = b"<?rows here?>"
_END = b"<?rows end?>"

Info = tuple[str, str, str]
Nulls = Callable[[Column], int | None]


def _no_null(column: Column) -> None:
    return None


def unique(names: Iterable[str], *, folded: bool = False, taken: Iterable[str] = ()) -> tuple[str, ...]:
    """``names`` with ``_`` put behind each that came before; ``folded``: also if in other case (FITS)."""
    key: Callable[[str], str] = str.lower if folded else str
    seen, result = set(map(key, taken)), []
    for name in names:
        while key(name) in seen:
            name += "_"
        seen.add(key(name))
        result.append(name)
    return tuple(result)


def field_ids(columns: Sequence[Column]) -> tuple[str, ...]:
    """The XML IDs of the FIELDs: unique NCNames of ASCII letters, digits, ``_`` and ``.``, never beginning with ``_``.

    So any other ID of the document that begins with ``_`` or holds ``-`` is free.
    """
    words = (_NULL_WORD.sub("_", column.name).lstrip("_.") for column in columns)
    return unique(word if word[:1].isalpha() else f"c{word}" for word in words)


def said_of(column: Column) -> dict[str, str]:
    """What is known of a column besides its name, by the names that VOTable has for it; text always has a size."""
    said = {
        "datatype": str(column.datatype),
        "arraysize": column.arraysize or ("*" if column.datatype.is_text else None),
        "xtype": column.xtype,
        "unit": column.unit,
        "ucd": column.ucd,
        "utype": column.utype,
        "description": column.description,
    }
    return {key: value for key, value in said.items() if value}


class Document:
    """A VOTable for one result: ``head`` up to the rows, ``tail`` after them.

    ``data`` is what lies in DATA and has the place of the rows marked by ``rows_in``; None makes a document
    without data. ``columns`` are those of the rows where a format changes them; ``nulls`` gives for a column the
    integer that stands for NULL in it, or None.
    """

    def __init__(
        self,
        result: Result,
        envelope: Envelope,
        data: etree._Element | None = None,
        *,
        columns: Sequence[Column] | None = None,
        nulls: Nulls = _no_null,
    ) -> None:
        self._result = result
        fields, systems = _described(tuple(result.columns if columns is None else columns), nulls)
        table = E.TABLE(*map(copy, fields))
        if data is not None:
            table.append(E.DATA(data))
        self._results = E.RESOURCE(
            info("QUERY_STATUS", "OK"),
            *(info(*each) for each in _said(result, envelope)),
            *map(copy, systems),
            table,
            type="results",
        )
        self._results.append(etree.ProcessingInstruction("rows", "end"))
        self._root = E.VOTABLE(self._results, *map(deepcopy, envelope.resources), version=VERSION)

    @cached_property
    def _around(self) -> tuple[bytes, bytes, bytes]:
        """What is before the rows, between them and the place of what is said at their end, and after that."""
        head, _, rest = xml_bytes(self._root).partition(_ROWS)
        return head, *_parted(rest)

    @property
    def head(self) -> bytes:
        """Everything before the rows."""
        return self._around[0]

    def tail(self, *infos: Info) -> bytes:
        """Everything after the rows, with how the query ended; to be asked once, when the rows are exhausted."""
        _, between, after = self._around
        return b"".join((between, *map(_line, self._closing(infos)), after))

    def whole(self, *infos: Info) -> bytes:
        """The document at its end, rows left out."""
        head, after = _parted(xml_bytes(self._root))
        return b"".join((head, *map(_line, self._closing(infos)), after))

    def _closing(self, infos: Sequence[Info]) -> Iterable[Info]:
        result = self._result
        yield from ending(result)
        if result.digest is not None and result.fault is None:
            yield ("DIGEST", str(result.digest), f"Of {result.rows} rows in any order.")
        yield from infos


def rows_in(element: etree._Element) -> etree._Element:
    """``element``, with the place of the rows marked in it."""
    element.text = "\n"
    element.append(etree.ProcessingInstruction("rows", "here"))
    return element


def ending(result: Result) -> tuple[Info, ...]:
    """The QUERY_STATUS to give after the rows, if any."""
    if result.fault is not None:
        return (("QUERY_STATUS", "ERROR", fault_text(result.fault)),)
    if result.overflowed:
        told = f"The query has more rows: these are the first {result.rows}. {result.rest}"
        onward = "" if result.last is None else result.onward(result.last)
        if onward:
            told = f"{told} The next rows: {onward}"
        return (("QUERY_STATUS", "OVERFLOW", told.strip()),)
    return ()


def error_votable(fault: Fault) -> bytes:
    """The error document of DALI 1.1 section 4.4.2."""
    status = info("QUERY_STATUS", "ERROR", fault_text(fault))
    return xml_bytes(E.VOTABLE(E.RESOURCE(status, type="results"), version=VERSION))


def fault_text(fault: Fault) -> str:
    """``UsageFault: what is wrong. What to do.`` in the words of DALI 1.1 and SIA 2.0 section 2.3."""
    return f"{fault.dali}: {fault}"


def info(name: str, value: str, text: str = "") -> etree._Element:
    """An INFO element."""
    element: etree._Element = E.INFO(name=legal_xml(name), value=legal_xml(value))
    element.text = legal_xml(text) or None
    return element


def _parted(document: bytes) -> tuple[bytes, bytes]:
    """What is before the line for what is said at the end, and what is after it."""
    before, _, after = document.partition(_END)
    return before.rstrip(b" "), after.lstrip(b"\n")


def _line(told: Info) -> bytes:
    """An INFO as a line of a document, whose namespace it has."""
    element = etree.Element("INFO", name=legal_xml(told[0]), value=legal_xml(told[1]))
    element.text = legal_xml(told[2]) or None
    return b"    " + etree.tostring(element) + b"\n"


def xml_bytes(root: etree._Element) -> bytes:
    """``root`` as a document in UTF-8."""
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True)


def _said(result: Result, envelope: Envelope) -> Iterable[Info]:
    yield from envelope.infos
    yield from result.infos
    if result.query is not None:
        yield ("QUERY", result.query, "")
    if result.token is not None:
        yield ("TOKEN", result.token, "")
    if result.obstacle:
        yield ("REPEATABLE", "no", f"This answer cannot be had again at will: {result.obstacle}.")
    for note in result.notes:
        yield ("NOTE", "note", note)


@lru_cache(maxsize=64)
def _described(
    columns: tuple[Column, ...], nulls: Nulls
) -> tuple[tuple[etree._Element, ...], tuple[etree._Element, ...]]:
    """The FIELDs of ``columns`` and the systems that they name, to be copied: the same columns are sent often."""
    return tuple(_fields(columns, nulls)), tuple(_systems(columns))


def _fields(columns: Sequence[Column], nulls: Nulls) -> Iterable[etree._Element]:
    names = unique(column.name for column in columns)
    for column, name, identity in zip(columns, names, field_ids(columns), strict=True):
        element = E.FIELD(ID=identity, name=legal_xml(name))
        said = said_of(column)
        description = said.pop("description", None)
        if said.get("arraysize") == "1":  # the same as none; saying it is deprecated (VOTable 1.3 erratum 3)
            del said["arraysize"]
        for key, value in said.items():
            element.set(key, legal_xml(value))
        system = _system(column)
        if system:
            element.set("ref", system)
        if description:
            element.append(E.DESCRIPTION(legal_xml(description)))
        null = nulls(column)
        if null is not None:
            element.append(E.VALUES(null=str(null)))
        yield element


def _system(column: Column) -> str | None:
    """The ID of the system that a column's values are in: COOSYS for positions, TIMESYS for times."""
    words = (column.ucd or "").lower().split(";")
    if column.is_geometry or words[0] in ("pos.eq.ra", "pos.eq.dec"):
        return COOSYS_ID
    time = _time(column)
    return None if time is None else "_".join(("_time", *time)).lower()


def _time(column: Column) -> tuple[str, ...] | None:
    """(time scale[, origin]) of a column of times, as its description states them.

    Calendar times are UTC unless stated (DALI 1.1 section 3.3.3); day numbers count only if they say from when.
    """
    scale = _SCALE.search(column.description)
    if column.is_timestamp:
        return (scale.group() if scale else "UTC",)
    origin = _ORIGIN.search(column.description)
    if origin and column.unit == "d" and column.datatype.is_numeric and (column.ucd or "").startswith("time"):
        return (scale.group() if scale else "UNKNOWN", _ORIGINS[origin.group()])
    return None


def _systems(columns: Sequence[Column]) -> Iterable[etree._Element]:
    found: dict[str, tuple[str, ...] | None] = {}
    for column in columns:
        identity = _system(column)
        if identity:
            found[identity] = None if identity == COOSYS_ID else _time(column)
    for identity, time in sorted(found.items()):
        if time is None:
            yield E.COOSYS(ID=identity, system="ICRS")
            continue
        scale, *origin = time
        system = E.TIMESYS(ID=identity, timescale=scale, refposition="UNKNOWN")
        if origin:
            system.set("timeorigin", origin[0])
        yield system
