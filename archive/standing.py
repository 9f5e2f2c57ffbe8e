"""TAP_SCHEMA: the tables that tell what tables there are (TAP 1.1 section 4), made from a ``Catalog``.

It is described like any other schema, in ``schema/tap_schema.yaml``. Nothing of it is stored: the rows are Arrow
tables derived from the descriptions, once per published catalog, so they can never differ from what is served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import pyarrow as pa

from archive import inventory, regions
from archive.adql.tree import Identifier
from archive.adql.words import is_reserved
from archive.columns import arrow_type, is_regular_identifier
from archive.releases import read_release, shipped
from archive.tables import Catalog, ForeignKey, Schema, Table

if TYPE_CHECKING:
    from archive.ledger import Published

TAP_SCHEMA = "TAP_SCHEMA"


@dataclass(frozen=True, slots=True)
class Shelf:
    """What stands at one ledger revision, TAP_SCHEMA included.

    ``catalog`` is all that can be queried, ``shown`` the part of it that is listed, ``rows`` those of TAP_SCHEMA.
    """

    catalog: Catalog
    shown: Catalog
    rows: Mapping[tuple[str, str], pa.Table]


def shelf(published: Published, *, listed: bool = False) -> Shelf:
    """The standing tables over ``published``; made once per catalog.

    With ``listed`` they tell of the tables of the inventory too, which whoever asks adds to the catalog.
    """
    return _shelf(published.catalog, listed)


def is_standing(key: tuple[str, str]) -> bool:
    """True if ``key`` (schema, name) is one of the tables of TAP_SCHEMA."""
    return key[0] == TAP_SCHEMA


def spelled(name: str) -> str:
    """``name`` as pasted into a query: in quotes where ADQL needs them (TAP 1.1 section 4)."""
    return str(Identifier(name, delimited=is_reserved(name) or not is_regular_identifier(name)))


def table_name(table: Table) -> str:
    """The qualified name of ``table`` as pasted into a query."""
    return f"{spelled(table.schema)}.{spelled(table.name)}"


def column_name(table: Table, name: str) -> str:
    """The name of a column as pasted into a query, in quotes too where another differs from it by case alone."""
    alone = len(table.by_folded.get(name.lower(), ())) <= 1
    return spelled(name) if alone else str(Identifier(name, delimited=True))


def key_id(table: Table, key: ForeignKey) -> str:
    """An identifier of ``key`` that is unique over all schemas."""
    return f"{table.qualified}.{key.name}"


def known_keys(table: Table, catalog: Catalog) -> Iterator[tuple[ForeignKey, Table]]:
    """The foreign keys of ``table`` with the tables they point to, without those whose target is not here."""
    for key in table.foreign_keys:
        schema, _, name = key.target.partition(".")
        target = next((found for found in catalog.tables_named(schema.lower(), name.lower())), None)
        if target is not None:
            yield key, target


# --- rows -----------------------------------------------------------------------------------------


@lru_cache(maxsize=4)  # catalogs compare by identity; a revision has one
def _shelf(published: Catalog, listed: bool) -> Shelf:
    told = Catalog(schema for schema in published.schemas if schema.listed)
    told = inventory.with_inventory(told, None) if listed else told
    own = _description()
    described = told.with_schema(own)
    counted = replace(own, tables=tuple(replace(table, rows=_COUNTS[table.name](described)) for table in own.tables))
    return Shelf(published.with_schema(counted), told.with_schema(counted), _Rows(own, described))


class _Rows(Mapping[tuple[str, str], pa.Table]):
    """The rows of the standing tables; each table is made when it is first asked for."""

    def __init__(self, own: Schema, described: Catalog) -> None:
        self._tables = {table.key: table for table in own.tables}
        self._described = described
        self._made: dict[tuple[str, str], pa.Table] = {}

    def __getitem__(self, key: tuple[str, str]) -> pa.Table:
        if key not in self._made:
            table = self._tables[key]
            self._made[key] = _arrow(table, _ROWS[table.name](self._described))
        return self._made[key]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)


@cache
def _description() -> Schema:
    return read_release(shipped() / "tap_schema.yaml", thorough=False).schema


Row = tuple[str | int | None, ...]


def _arrow(table: Table, rows: Iterable[Row]) -> pa.Table:
    values = list(zip(*rows, strict=True)) or [()] * len(table.columns)
    arrays = [pa.array(cells, arrow_type(column)) for cells, column in zip(values, table.columns, strict=True)]
    return pa.table(arrays, names=[column.name for column in table.columns])


def _schema_rows(catalog: Catalog) -> Iterator[Row]:
    for index, schema in enumerate(catalog.schemas):
        yield spelled(schema.name), schema.utype, schema.description or None, index


def _table_rows(catalog: Catalog) -> Iterator[Row]:
    for schema in catalog.schemas:
        for index, table in enumerate(schema.tables):
            description = table.description or table.title or None
            yield spelled(schema.name), table_name(table), table.kind, table.utype, description, index


def _column_rows(catalog: Catalog) -> Iterator[Row]:
    for table in catalog.tables():
        name = table_name(table)
        for index, column in enumerate(regions.all_told(table.columns)):
            yield (
                name,
                column_name(table, column.name),
                column.datatype.value,
                column.arraysize,
                column.xtype,
                _size(column.arraysize),
                column.description or None,
                column.utype,
                column.unit,
                column.ucd,
                int(column.indexed),
                int(column.principal),
                int(column.std),
                index,
            )


def _size(arraysize: str | None) -> int | None:
    """The old "size" of TAP 1.0: a one-dimensional arraysize as a number, else NULL (TAP 1.1 section 4.3)."""
    bare = (arraysize or "").removesuffix("*")
    return int(bare) if bare.isdigit() else None


def _key_rows(catalog: Catalog) -> Iterator[Row]:
    for table in catalog.tables():
        for key, target in known_keys(table, catalog):
            yield key_id(table, key), table_name(table), table_name(target), key.description or None, key.utype


def _key_column_rows(catalog: Catalog) -> Iterator[Row]:
    for table in catalog.tables():
        for key, target in known_keys(table, catalog):
            for here, there in zip(key.columns, key.target_columns, strict=True):
                yield key_id(table, key), column_name(table, here), column_name(target, there)


_ROWS = {
    "schemas": _schema_rows,
    "tables": _table_rows,
    "columns": _column_rows,
    "keys": _key_rows,
    "key_columns": _key_column_rows,
}

_COUNTS: Mapping[str, Callable[[Catalog], int]] = {
    "schemas": lambda catalog: len(catalog.schemas),
    "tables": lambda catalog: sum(len(schema.tables) for schema in catalog.schemas),
    "columns": lambda catalog: sum(len(table.columns) for table in catalog.tables()),
    "keys": lambda catalog: sum(1 for _ in _key_rows(catalog)),
    "key_columns": lambda catalog: sum(1 for _ in _key_column_rows(catalog)),
}
"""How many rows there are, which is known before they are made."""
