"""The pages: an overview with a query box, a search for images, and one page for each table. Data for templates."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from flask import Blueprint, Response, make_response, render_template, request

from archive import regions
from archive.book import Book
from archive.columns import Column, Datatype
from archive.dali import Parameters, fault_headers
from archive.examples import Example, examples
from archive.faults import Fault, NotFound, UsageFault
from archive.portal.images import MOST, UNITS, Form, ImageSearch
from archive.portal.skymap import HEIGHT, WIDTH
from archive.results.formats import FORMATS, Format
from archive.serving import Serving
from archive.standing import column_name, is_standing, known_keys, table_name
from archive.tables import Catalog, Table

_STATIC = Path(__file__).parent / "static"
_ASKED_AT_ONCE = 5_000_000  # rows; a larger table is not read for somebody who only opened the page

# Nothing comes from elsewhere, and nothing runs that is not a file of ours.
_POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'self'; base-uri 'none'; form-action 'self'"

_TYPES = {
    Datatype.BOOLEAN: "BOOLEAN",
    Datatype.BIT: "BIT",
    Datatype.BYTE: "SMALLINT",
    Datatype.SHORT: "SMALLINT",
    Datatype.INT: "INTEGER",
    Datatype.LONG: "BIGINT",
    Datatype.CHAR: "CHAR",
    Datatype.UNICODE: "CHAR",
    Datatype.FLOAT: "REAL",
    Datatype.DOUBLE: "DOUBLE",
    Datatype.FLOAT_COMPLEX: "COMPLEX",
    Datatype.DOUBLE_COMPLEX: "COMPLEX",
}


_LABELS = {"votable": "VOTable", "csv": "CSV", "tsv": "TSV", "fits": "FITS", "parquet": "Parquet", "json": "JSON"}


@dataclass(frozen=True, slots=True)
class Totals:
    """How much is published, TAP_SCHEMA not counted."""

    schemas: int
    tables: int
    rows: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A table as listed: ``name`` as pasted into a query."""

    schema: str
    bare: str
    name: str
    description: str
    rows: int | None
    columns: int

    @property
    def path(self) -> str:
        """Its place below the addresses of pages about tables."""
        return f"{quote(self.schema, safe='')}/{quote(self.bare, safe='')}"


@dataclass(frozen=True, slots=True)
class ShownColumn:
    """A column as listed: ``name`` as pasted into a query, ``type`` in the words of ADQL."""

    name: str
    type: str
    unit: str
    ucd: str
    description: str
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShownKey:
    """A foreign key, seen from the table at its ``here`` end; ``there`` are the columns of ``table``."""

    here: str
    table: Shown
    there: str
    description: str


class Portal:
    """The views; ``base_url`` gives the public URL of the archive for the request at hand."""

    def __init__(self, serving: Serving, book: Book, base_url: Callable[[], str]) -> None:
        self._serving = serving
        self._images = ImageSearch(serving, book)
        self._base_url = base_url
        self._version = _digest(_STATIC)

    def blueprint(self) -> Blueprint:
        """All pages, and the files they use, relative to the public URL."""
        pages = Blueprint("portal", __name__, template_folder="templates", static_folder="static")
        pages.add_app_template_filter(_grouped, "grouped")
        pages.add_url_rule("/", "home", self.home)
        pages.add_url_rule("/images", "images", self.images)
        pages.add_url_rule("/table/<schema>/<path:name>", "table", self.table)
        pages.add_url_rule("/columns/<schema>/<path:name>", "columns", self.columns)
        return pages

    def home(self) -> Response:
        """What is here, and a place to ask."""
        catalog = self._serving.catalog()
        found = examples(catalog)
        return self._page(
            "home.html",
            schemas=[(schema, [_shown(table) for table in schema.tables]) for schema in catalog.schemas],
            totals=_totals(catalog),
            examples=found,
            at_once=_cheap(found, catalog),
            downloads=_downloads(),
            hard_maxrec=self._serving.config.hard_maxrec,
        )

    def images(self) -> Response:
        """A search for images; without a position those that come first."""
        form = Form.read(Parameters.of(request))
        found, fault = None, None
        try:
            found = self._images.found(form)
        except UsageFault as error:
            fault = error
        response = self._page(
            "images.html", form=form, found=found, fault=fault, units=UNITS, most=MOST, width=WIDTH, height=HEIGHT
        )
        response.status_code = 200 if fault is None else fault.status
        return response

    def table(self, schema: str, name: str) -> Response:
        """One table: its columns and how it fits with others."""
        catalog = self._serving.catalog()
        found = _find(catalog, schema, name)
        return self._page(
            "table.html",
            table=_shown(found),
            columns=[_shown_column(column, found) for column in found.columns],
            keys=list(_keys_from(found, catalog)),
            referring=list(_keys_to(found, catalog)),
        )

    def columns(self, schema: str, name: str) -> Response:
        """The columns of one table as a piece of a page, for the list beside the query."""
        found = _find(self._serving.catalog(), schema, name)
        columns = [_shown_column(column, found) for column in found.columns]
        return self._page("columns.html", table=_shown(found), columns=columns)

    def error_page(self, fault: Fault) -> Response:
        """What went wrong, for people."""
        response = self._page("error.html", fault=fault)
        response.status_code = fault.status
        response.headers.update(fault_headers(fault))
        return response

    def _page(self, template: str, **values: object) -> Response:
        base = self._base_url()
        page = render_template(
            f"portal/{template}",
            title=self._serving.site.publisher,
            base=base,
            root=urlsplit(base).path,  # links inside work under any name by which this host is reached
            version=self._version,
            **values,
        )
        response = make_response(page)
        response.headers["Content-Security-Policy"] = _POLICY
        return response


def _digest(folder: Path) -> str:
    """Changes with the files, so that a browser may keep them for as long as they stay."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _grouped(number: int) -> str:
    """Digits in groups of three, with narrow spaces that do not break."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _totals(catalog: Catalog) -> Totals:
    tables = [table for table in catalog.tables() if not is_standing(table.key)]
    return Totals(len({table.schema for table in tables}), len(tables), sum(table.rows or 0 for table in tables))


def _downloads() -> list[tuple[Format, str]]:
    """The formats worth a button, with the words on it; the others are for programs."""
    return [(format_, _LABELS[format_.name]) for format_ in FORMATS if format_.name in _LABELS]


def _cheap(found: tuple[Example, ...], catalog: Catalog) -> Example | None:
    """The first example, if its tables are small enough to be read for everybody who comes by."""
    rows = {table_name(table): table.rows for table in catalog.tables()}
    first = next(iter(found), None)
    known = [rows.get(name) for name in first.tables] if first else []
    return first if all(count is not None and count <= _ASKED_AT_ONCE for count in known) else None


def _find(catalog: Catalog, schema: str, name: str) -> Table:
    found = [table for table in catalog.tables_named(schema.lower(), name.lower()) if table.key == (schema, name)]
    if not found:
        raise NotFound(f"There is no table {schema}.{name}.")
    return found[0]


def _shown(table: Table) -> Shown:
    description = table.description or table.title or ""
    return Shown(table.schema, table.name, table_name(table), description, table.rows, len(table.columns))


def _shown_column(column: Column, table: Table) -> ShownColumn:
    marks = {
        "key": column.name in table.primary_key,
        "indexed": column.indexed,
        "principal": column.principal,
        "standard": column.std,
    }
    return ShownColumn(
        column_name(table, column.name),
        _type(regions.told(column)),
        column.unit or "",
        column.ucd or "",
        column.description,
        tuple(mark for mark, holds in marks.items() if holds),
    )


def _type(column: Column) -> str:
    if column.xtype:
        return column.xtype.upper().removeprefix("ADQL:")
    name = _TYPES[column.datatype]
    if column.arraysize is None:
        return name
    if column.is_text:
        return f"VAR{name}" if "*" in column.arraysize else f"{name}({column.arraysize})"
    return f"{name}[{column.arraysize}]"


def _keys_from(table: Table, catalog: Catalog) -> Iterator[ShownKey]:
    for key, target in known_keys(table, catalog):
        yield ShownKey(", ".join(key.columns), _shown(target), ", ".join(key.target_columns), key.description)


def _keys_to(table: Table, catalog: Catalog) -> Iterator[ShownKey]:
    for other in catalog.tables():
        for key, target in known_keys(other, catalog):
            if target.key == table.key:
                yield ShownKey(", ".join(key.target_columns), _shown(other), ", ".join(key.columns), key.description)
