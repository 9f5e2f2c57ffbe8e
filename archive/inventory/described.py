"""What the tables of the inventory are: their descriptions, and the forms in which engines store their rows."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cache, lru_cache

from archive.columns import Column, Datatype
from archive.engine.listed import Form
from archive.ledger.inventory import LINKS, LISTINGS, Key
from archive.releases import read_release, shipped
from archive.tables import Catalog, Schema, Table

_NAMES = ("ivoa", "backbone")
_ADDRESS = "access_url"
_LINKS = Column(LINKS, Datatype.CHAR, arraysize="*", description="What follows the service's address.", nullable=False)
_NOWHERE = "http://localhost"
_MADE = 2  # the way in which rows are made of what the ledger holds


def is_listed(key: Key) -> bool:
    """Whether ``key`` (schema, name) is a table of the inventory."""
    return key in LISTINGS


@lru_cache(maxsize=16)
def schemas(base: str | None = None) -> tuple[Schema, ...]:
    """The schemas of the inventory for a service whose public URL is ``base``: ``access_url`` begins with it."""
    return tuple(_schema(name, base or _NOWHERE) for name in _NAMES)


@lru_cache(maxsize=16)  # catalogs compare by identity
def with_inventory(catalog: Catalog, base: str | None) -> Catalog:
    """``catalog`` and the inventory of a service at ``base``."""
    names = [schema.name for schema in catalog.schemas]
    return Catalog((*catalog.schemas, *(each for each in schemas(base) if each.name not in names)))


@cache
def form(key: Key) -> Form:
    """How the rows of a table of the inventory are stored."""
    table = next(table for schema in schemas() for table in schema.tables if table.key == key)
    return Form(table, tuple(column for column in (*table.columns, *table.former) if column.name not in table.derived))


@cache
def digest(key: Key) -> str:
    """What tells this form of a table, and what it shows, from others that programs had or will have."""
    found = form(key)
    told = [(column.name, str(column.datatype), column.arraysize, column.xtype) for column in found.columns]
    return hashlib.sha256(f"{_MADE} {told} {found.recorded()} {LISTINGS[key].rows}".encode()).hexdigest()


@cache
def _described(name: str) -> Schema:
    return read_release(shipped() / f"{name}.yaml", thorough=False).schema


def _schema(name: str, base: str) -> Schema:
    schema = _described(name)
    return replace(schema, tables=tuple(_at(table, base) for table in schema.tables))


def _at(table: Table, base: str) -> Table:
    if _ADDRESS not in table.by_name:
        return table
    quoted = base.rstrip("/").replace("'", "''")
    return replace(table, former=(_LINKS,), derived={_ADDRESS: f"'{quoted}' || \"{LINKS}\""})
