"""The formats that results come in: one table of writers (TAP 1.1 section 2.7.2, DALI 1.1 section 3.4.3).

The same table feeds ``/capabilities``, the choice of a format per request, and the documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from archive.faults import Fault, UsageFault
from archive.results import arrow, delimited, fits, html, json, parquet, text, votable
from archive.results.document import error_votable, fault_text
from archive.results.result import Envelope, Result

Writer = Callable[[Result, Envelope], Iterator[bytes]]

VOTABLE_TYPE = "application/x-votable+xml"
_PLAIN_TEXT = "text/plain;charset=utf-8"
_HTML = "text/html;charset=utf-8"
_OUTPUT = "ivo://ivoa.net/std/TAPRegExt#output-votable-"


@dataclass(frozen=True, slots=True)
class Format:
    """A format: its short name, its media type, its aliases (the short name first) as advertised, and its writer.

    ``content_type`` is what a result is sent as; ``error_type`` what the document is that ``refuse`` makes of a
    fault. Every name in ``names`` is understood by ``find``.
    """

    name: str
    mime: str
    write: Writer
    extension: str
    aliases: tuple[str, ...] = ()
    ivo_id: str | None = None
    content_type: str = ""
    refuse: Callable[[Fault], bytes] = error_votable
    error_type: str = VOTABLE_TYPE

    def __post_init__(self) -> None:
        object.__setattr__(self, "content_type", self.content_type or self.mime)
        if self.name not in self.aliases:
            object.__setattr__(self, "aliases", (self.name, *self.aliases))

    @property
    def names(self) -> tuple[str, ...]:
        """All that may be asked for: the media type first."""
        return (self.mime, *self.aliases)


def plain_error(fault: Fault) -> bytes:
    """An error as text/plain, for formats that have no errors of their own."""
    return f"{fault_text(fault)}\n".encode()


def _plain(name: str, mime: str, write: Writer, extension: str, content_type: str = "") -> Format:
    return Format(name, mime, write, extension, content_type=content_type, refuse=plain_error, error_type=_PLAIN_TEXT)


FORMATS: tuple[Format, ...] = (
    Format("votable", VOTABLE_TYPE, votable.binary2, "vot", ("text/xml",), _OUTPUT + "binary2"),
    Format("votable/b2", f"{VOTABLE_TYPE};serialization=BINARY2", votable.binary2, "vot", (), _OUTPUT + "binary2"),
    Format("votable/td", f"{VOTABLE_TYPE};serialization=TABLEDATA", votable.tabledata, "vot", (), _OUTPUT + "td"),
    Format("votable/b", f"{VOTABLE_TYPE};serialization=BINARY", votable.binary, "vot", (), _OUTPUT + "binary"),
    _plain("csv", "text/csv", delimited.csv, "csv", "text/csv;header=present"),
    _plain("tsv", "text/tab-separated-values", delimited.tsv, "tsv"),
    _plain("fits", "application/fits", fits.table, "fits"),
    _plain("parquet", "application/vnd.apache.parquet", parquet.voparquet, "parquet"),
    _plain("arrow", "application/vnd.apache.arrow.stream", arrow.stream, "arrows"),
    Format("json", "application/json", json.rows, "json", refuse=json.error, error_type="application/json"),
    _plain("text", "text/plain", text.table, "txt", _PLAIN_TEXT),
    Format("html", "text/html", html.page, "html", content_type=_HTML, refuse=html.error, error_type=_HTML),
)


def find(asked: str | None) -> Format:
    """The format called ``asked`` (short name or media type, parameters and case as they come); None is the default.

    ``content_type`` of what is found echoes a plain media type that was asked for (TAP 1.1 section 2.7.2).
    Raises UsageFault, naming what there is.
    """
    if asked is None or not asked.strip():
        return FORMATS[0]
    key = _key(asked)
    found = _BY_KEY.get(_key(VOTABLE_TYPE + key.removeprefix("text/xml")) if key.startswith("text/xml") else key)
    if found is None:
        names = ", ".join(each.name for each in FORMATS)
        raise UsageFault(f"There is no format {asked.strip()!r}.", f"Ask for one of: {names}.")
    if key.startswith("text/xml"):
        return replace(found, content_type=found.content_type.replace(VOTABLE_TYPE, "text/xml"), error_type="text/xml")
    return found


def _key(asked: str) -> str:
    """A name to compare by: lower case, and of the parameters only those that change what is sent."""
    name, *parameters = (part.strip().lower() for part in asked.split(";"))
    kept = [part.replace(" ", "").replace('"', "") for part in parameters]
    return ";".join([name, *sorted(part for part in kept if part.startswith(("serialization=", "header=absent")))])


_BY_KEY = {_key(name): each for each in FORMATS for name in each.names}
