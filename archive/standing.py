"""TAP_SCHEMA: the tables that tell what tables there are (TAP 1.1 section 4), made from a ``Catalog``.

Nothing here is stored: the rows are Arrow tables derived from the descriptions, once per published catalog, so
they can never differ from what is served. The schema describes itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import pyarrow as pa

from archive.adql.tree import Identifier
from archive.adql.words import is_reserved
from archive.columns import Column, Datatype, arrow_type, is_regular_identifier
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


def shelf(published: Published) -> Shelf:
    """The standing tables over ``published``; made once per catalog."""
    return _shelf(published.catalog)


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
def _shelf(published: Catalog) -> Shelf:
    listed = Catalog(schema for schema in published.schemas if schema.listed)
    described = listed.with_schema(_SELF)
    rows = {table.key: _arrow(table, _ROWS[table.name](described)) for table in _SELF.tables}
    counted = replace(_SELF, tables=tuple(replace(table, rows=rows[table.key].num_rows) for table in _SELF.tables))
    return Shelf(published.with_schema(counted), listed.with_schema(counted), rows)


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
        for index, column in enumerate(table.columns):
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


# --- the description of TAP_SCHEMA itself (TAP 1.1 section 4) ---------------------------------------


def _text(name: str, description: str, ucd: str | None = None, *, nullable: bool = True) -> Column:
    return Column(
        name, Datatype.CHAR, "*", ucd=ucd, description=description, nullable=nullable, principal=True, std=True
    )


def _prose(name: str, description: str) -> Column:
    """Free text, which may hold any character."""
    return Column(name, Datatype.UNICODE, "*", description=description, principal=True, std=True)


def _int(name: str, description: str, *, nullable: bool = True) -> Column:
    return Column(name, Datatype.INT, description=description, nullable=nullable, principal=not nullable, std=True)


def _standing(name: str, description: str, *columns: Column, keys: tuple[ForeignKey, ...] = ()) -> Table:
    return Table(TAP_SCHEMA, name, columns, description=description, foreign_keys=keys)


def _to(name: str, column: str, target: str, target_column: str, description: str) -> ForeignKey:
    return ForeignKey(name, (column,), f"{TAP_SCHEMA}.{target}", (target_column,), description)


_UTYPE = "what it is in a data model, where there is one"

_SELF = Schema(
    TAP_SCHEMA,
    (
        _standing(
            "schemas",
            "the schemas that can be queried",
            _text("schema_name", "name of the schema as written in a query", nullable=False),
            _text("utype", _UTYPE),
            _prose("description", "what the schema holds"),
            _int("schema_index", "place of the schema in recommended display order"),
        ),
        _standing(
            "tables",
            "the tables that can be queried",
            _text("schema_name", "schema the table belongs to", nullable=False),
            _text("table_name", "qualified name as written in a query", nullable=False),
            _text("table_type", "table or view", nullable=False),
            _text("utype", _UTYPE),
            _prose("description", "what one row of the table is"),
            _int("table_index", "place of the table in its schema in recommended display order"),
            keys=(_to("schema", "schema_name", "schemas", "schema_name", "the schema of a table"),),
        ),
        _standing(
            "columns",
            "the columns of the tables",
            _text("table_name", "table the column belongs to", nullable=False),
            _text("column_name", "name as written in a query", nullable=False),
            _text("datatype", "VOTable datatype", nullable=False),
            _text("arraysize", "VOTable arraysize; NULL for scalars"),
            _text("xtype", "DALI extended type"),
            _int("size", "length of one-dimensional arrays where it is fixed or bounded; arraysize says more"),
            _prose("description", "what the column holds"),
            _text("utype", _UTYPE),
            _text("unit", "unit in VOUnits syntax"),
            _text("ucd", "what kind of quantity it is, as UCD1+"),
            _int("indexed", "1 if conditions on the column are answered by an index", nullable=False),
            _int("principal", "1 if the column belongs to the core of its table", nullable=False),
            _int("std", "1 if a standard defines the column", nullable=False),
            _int("column_index", "place of the column in its table"),
            keys=(_to("table", "table_name", "tables", "table_name", "the table of a column"),),
        ),
        _standing(
            "keys",
            "foreign keys: which tables fit together",
            _text("key_id", "identifier of the key", nullable=False),
            _text("from_table", "table whose rows refer to others", nullable=False),
            _text("target_table", "table referred to", nullable=False),
            _prose("description", "what the key means"),
            _text("utype", _UTYPE),
            keys=(
                _to("from_table", "from_table", "tables", "table_name", "the table that refers"),
                _to("target_table", "target_table", "tables", "table_name", "the table referred to"),
            ),
        ),
        _standing(
            "key_columns",
            "foreign keys: which columns fit together",
            _text("key_id", "key the pair belongs to", nullable=False),
            _text("from_column", "column that refers", nullable=False),
            _text("target_column", "column referred to", nullable=False),
            keys=(_to("key", "key_id", "keys", "key_id", "the key of a pair of columns"),),
        ),
    ),
    description="Tables that describe the tables of this service (TAP 1.1).",
)
