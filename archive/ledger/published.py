"""``Published``: what can be queried at one revision of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, select

from archive.ledger import contents, descriptions, schema
from archive.ledger.contents import Content
from archive.ledger.editions import as_edition, current_revision
from archive.releases import Release
from archive.tables import Catalog, Edition, Schema, Table
from archive.versions import Change, Version, tables_of, unfold

Key = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Published:
    """The catalog of published tables, the edition that holds the rows of each, and the state that it shows.

    ``withdrawn`` are releases that only staff are shown, by name; the catalog has them without listing them.
    """

    revision: int
    catalog: Catalog
    editions: Mapping[Key, Edition]
    states: Mapping[Key, int] = field(default_factory=dict)
    withdrawn: Mapping[str, Content] = field(default_factory=dict)


def read_published(transaction: Connection, instead: Release | None = None) -> Published:
    """What is published in this transaction. Only tables with rows in place are in the catalog, and no foreign key
    leads out of it.

    With ``instead``, what it would be if that description were in force for its schema.
    """
    shown, edition = schema.published, schema.edition
    rows = transaction.execute(
        select(edition, shown.c.description.label("shown_as"))
        .join(shown, shown.c.edition == edition.c.number)
        .order_by(shown.c.schema)
    ).all()
    editions = {(row.schema, row.table): as_edition(row) for row in rows}
    described = {row.schema: descriptions.by_id(transaction, row.shown_as).release for row in rows}
    if instead is not None and instead.name in described:
        described[instead.name] = instead
    withdrawn = contents.withdrawn(transaction)
    schemas = [
        replace(version, listed=version.listed and release.name not in withdrawn)
        for release in described.values()
        for version in unfold(_shown(release.schema, editions), _versions(release, editions))
    ]
    states = {(row.schema, row.table): row.state for row in rows}
    return Published(current_revision(transaction), Catalog(schemas), editions, states, withdrawn)


def _versions(release: Release, editions: Mapping[Key, Edition]) -> tuple[Version, ...]:
    """The schema versions of a release, with the changes of tables that have rows in place."""
    return tuple(
        Version(version.number, tuple(each for each in version.changes if _in_place(each, release.name, editions)))
        for version in release.versions
    )


def _in_place(change: Change, schema: str, editions: Mapping[Key, Edition]) -> bool:
    return all((schema, table) in editions for table in tables_of(change))


def _shown(schema: Schema, editions: Mapping[Key, Edition]) -> Schema:
    tables = (_counted(table, editions) for table in schema.tables if table.key in editions)
    return replace(schema, tables=tuple(tables))


def _counted(table: Table, editions: Mapping[Key, Edition]) -> Table:
    known = {".".join(key) for key in editions}
    keys = tuple(key for key in table.foreign_keys if key.target in known)
    return replace(table, rows=editions[table.key].rows, foreign_keys=keys)
