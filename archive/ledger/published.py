"""``Published``: what can be queried at one revision of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection, select

from archive.ledger import descriptions, schema
from archive.ledger.editions import as_edition, current_revision
from archive.tables import Catalog, Edition, Table

Key = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Published:
    """The catalog of published tables and the edition that holds the rows of each."""

    revision: int
    catalog: Catalog
    editions: Mapping[Key, Edition]


def read_published(transaction: Connection) -> Published:
    """What is published in this transaction. Only tables with rows in place are in the catalog, and no foreign key
    leads out of it.
    """
    shown, edition = schema.published, schema.edition
    rows = transaction.execute(
        select(edition).join(shown, shown.c.edition == edition.c.number).order_by(edition.c.schema)
    )
    editions = {(row.schema, row.table): as_edition(row) for row in rows}
    known = {".".join(key) for key in editions}
    schemas = []
    for registered in descriptions.newest(transaction):
        described = registered.release.schema
        tables = tuple(_shown(table, editions[table.key], known) for table in described.tables if table.key in editions)
        if tables:
            schemas.append(replace(described, tables=tables))
    return Published(current_revision(transaction), Catalog(schemas), editions)


def _shown(table: Table, edition: Edition, known: set[str]) -> Table:
    keys = tuple(key for key in table.foreign_keys if key.target in known)
    return replace(table, rows=edition.rows, foreign_keys=keys)
