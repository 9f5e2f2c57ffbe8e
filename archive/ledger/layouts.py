"""Layouts: which tables a store of facts has, and the version that says so inside it.

The ledger, the jobs and the query log are three such stores, in SQLite files of their own or together in one
PostgreSQL. Each keeps the number of its layout in a table beside its own (``ledger_version`` for the ledger); a program
works only with the numbers it was made for. ``archive.ledger.migrations`` brings a store from one number to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, func, inspect, select

from archive.faults import FatalFault
from archive.ledger.connections import WRITES, shown

_MAKING = 0x41524D4B  # PostgreSQL's name for the lock under which stores are made

UNNUMBERED = 0
"""The version of a store that was made before versions were kept; its tables are those of version 1."""


@dataclass(frozen=True, eq=False)
class Layout:
    """The tables of one store, as this program knows them.

    ``mark`` is the table by which a store of version 1 is known, should it not say its version; ``first_rows`` are
    what a new store begins with, by table.
    """

    name: str
    metadata: MetaData
    version: int
    mark: str
    first_rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def versions(self) -> str:
        """Name of the table that holds the version, in the form that alembic keeps it."""
        return f"{self.name}_version"

    def found(self, connection: Connection) -> int | None:
        """The version of the store that is there; None where there is none."""
        tables = inspect(connection)
        if not tables.has_table(self.versions):
            return UNNUMBERED if tables.has_table(self.mark) else None
        return int(connection.execute(select(self._table.c.version_num)).scalar_one())

    def make(self, connection: Connection) -> None:
        """Make the store, unless it is there."""
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_MAKING)))
        if self.found(connection) is not None:
            return
        self.metadata.create_all(connection)
        for name, row in self.first_rows.items():
            connection.execute(self.metadata.tables[name].insert().values(**row))
        self._table.create(connection)
        connection.execute(self._table.insert().values(version_num=revision(self.version)))

    def check(self, found: int, url: str) -> None:
        """Refuse a store whose version is not this program's.

        Raises:
            FatalFault: so it is; tells what to do.
        """
        if found == self.version:
            return
        older = found < self.version
        raise FatalFault(
            f"The {self.name} at {shown(url)} has layout {found}; this program knows layout {self.version}.",
            "Bring it up to date with 'archive upgrade'." if older else "Use the newer program that made it so.",
        )

    @cached_property
    def _table(self) -> Table:
        return Table(self.versions, MetaData(), Column("version_num", String(32), primary_key=True))


def ready(engine: Engine, layout: Layout) -> None:
    """See that the store is there, and of the version that this program knows; where there is none, one is made.

    Raises:
        FatalFault: it has another version.
    """
    with engine.begin() as connection:
        found = layout.found(connection)
    if found is None:
        with engine.execution_options(**{WRITES: True}).begin() as connection:
            layout.make(connection)
            found = layout.found(connection)
    assert found is not None
    layout.check(found, engine.url.render_as_string(hide_password=False))


def revision(version: int) -> str:
    """A version as alembic names it."""
    return f"{version:04d}"
