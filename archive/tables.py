"""The words ``Table``, ``Schema`` and ``Catalog``: what can be queried, as described, wherever its rows lie.

A ``Schema`` is what one release (or the live schema, a special program, an external catalog, TAP_SCHEMA,
a request's uploads) shows at one version. ``Catalog`` is all schemas a query may name, indexed once for fast
look-up; it is made anew when what is published changes, never altered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from archive.columns import Column


@dataclass(frozen=True, slots=True)
class Position:
    """Names of the two columns that hold a row's place on the sky (ICRS degrees); rows are sorted by them."""

    lon: str
    lat: str


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns here that name rows there; ``target`` is ``schema.table``."""

    name: str
    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]
    description: str = ""
    utype: str | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """Columns that queries often select by."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lookup:
    """A column whose values lie in another table: ``column`` of its one row, if any, that fits by ``by``.

    ``by`` pairs columns here with columns there that are a key of ``table``; ``table`` is shown as it was when the
    column was moved away from it.
    """

    table: Table
    column: str
    by: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table as described. Column names are unique case-sensitively; order is the description's.

    ``columns`` are those of the version shown; a release's rows stay as they were first stored. Names that are
    still understood without being shown (renamed away or hidden) are ``former``, with the descriptions they had.
    ``derived`` gives each shown or former name that is not a stored column as an ADQL expression over others, and
    ``lookups`` those that were moved here from another table. ``successors`` tells for former names what shows their
    values now. ``rows_of`` is the table whose edition holds the rows, where that is not this one (a pinned version).
    ``primary_key`` has the names shown, and is empty if one of them is no longer shown; ``stored_key`` has those of the
    stored columns, where they differ. ``position`` and indexes name stored columns. ``regions`` is for tables of one
    row: what a column holds is a part of the sky that is known beforehand, as half-open ranges of nested HEALPix cells
    at order 29.
    """

    schema: str
    name: str
    columns: tuple[Column, ...]
    description: str = ""
    utype: str | None = None
    title: str | None = None
    kind: str = "table"  # or "view"
    position: Position | None = None
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    indexes: tuple[Index, ...] = ()
    id_scopes: Mapping[str, str] = field(default_factory=dict)  # column name -> release | exposure | external
    rows: int | None = None
    former: tuple[Column, ...] = ()
    derived: Mapping[str, str] = field(default_factory=dict)
    lookups: Mapping[str, Lookup] = field(default_factory=dict)
    successors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rows_of: tuple[str, str] | None = None
    regions: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    stored_key: tuple[str, ...] = ()
    by_name: Mapping[str, Column] = field(init=False, repr=False, compare=False)
    by_folded: Mapping[str, tuple[Column, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        folded: dict[str, tuple[Column, ...]] = {}
        known = (*self.columns, *self.former)
        for column in known:
            key = column.name.lower()
            folded[key] = (*folded.get(key, ()), column)
        object.__setattr__(self, "by_name", {column.name: column for column in known})
        object.__setattr__(self, "by_folded", folded)

    @property
    def key(self) -> tuple[str, str]:
        """(schema, name): how a table is named between rooms."""
        return (self.schema, self.name)

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Schema:
    """What one release or other schema shows at one version.

    A schema that is not ``listed`` can be queried but stands in no TAP_SCHEMA (pinned versions: ``dr1_v1``).
    """

    name: str
    tables: tuple[Table, ...]
    description: str = ""
    utype: str | None = None
    version: int = 1
    listed: bool = True

    def table(self, name: str) -> Table | None:
        return next((table for table in self.tables if table.name == name), None)


@dataclass(frozen=True, slots=True)
class Edition:
    """One immutable local materialisation of a table state.

    ``place`` is the engine's own name for it (DuckDB: the file's path relative to the editions folder;
    PostgreSQL: the physical table). ``physical`` maps described column names to physical ones
    (``c1``, ...); ``healpix`` tells whether ``_healpix_29`` (nested order 29) is stored and rows are sorted by it.
    """

    key: tuple[str, str]
    number: int
    place: str
    physical: Mapping[str, str]
    rows: int
    healpix: bool


class Catalog:
    """All schemas a query may name. Immutable; look-ups are by exact and by lower-cased name."""

    def __init__(self, schemas: Iterable[Schema]) -> None:
        self.schemas: tuple[Schema, ...] = tuple(schemas)
        self._schemas: dict[str, list[Schema]] = {}
        self._tables: dict[tuple[str, str], list[Table]] = {}
        self._bare: dict[str, list[Table]] = {}
        for schema in self.schemas:
            self._schemas.setdefault(schema.name.lower(), []).append(schema)
            for table in schema.tables:
                self._tables.setdefault((schema.name.lower(), table.name.lower()), []).append(table)
                self._bare.setdefault(table.name.lower(), []).append(table)

    def schemas_named(self, folded: str) -> list[Schema]:
        """Schemas whose lower-cased name is ``folded``."""
        return self._schemas.get(folded, [])

    def tables_named(self, schema: str | None, table: str) -> list[Table]:
        """Tables by lower-cased names; with ``schema`` None in whatever schema they stand."""
        if schema is None:
            return self._bare.get(table, [])
        return self._tables.get((schema, table), [])

    def tables(self) -> Iterable[Table]:
        return (table for schema in self.schemas for table in schema.tables)

    def with_schema(self, extra: Schema) -> Catalog:
        """This catalog and one more schema (a request's uploads)."""
        return Catalog((*self.schemas, extra))
