"""Copies of a store of facts: as a SQLite file of its own, whatever database it is in, and from there into another."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Table, func, select

from archive.faults import FatalFault, UsageFault
from archive.ledger.connections import WRITES, address, connected, file_of
from archive.ledger.layouts import Layout

_BATCH = 2000  # rows

Told = Callable[[int], None]
"""Told as work goes on: rows copied since it was last told."""


def copy_out(url: str, layout: Layout, target: Path, told: Told = lambda rows: None) -> None:
    """Write the store at ``url`` to a new SQLite file, while others use it: of one moment, whole and on the disk, or
    not there.

    Raises:
        FatalFault: there is no room.
    """
    file = file_of(address(url))
    if file is not None:
        copy_sqlite(file, target)
        return
    unfinished = target.with_name(f"{target.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    source = connected(url, pooled=False).execution_options(isolation_level="REPEATABLE READ")
    copy = connected(f"sqlite:///{unfinished}", pooled=False).execution_options(**{WRITES: True})
    with source.begin() as original, copy.begin() as made:
        copy_rows(original, made, layout, told)
    _settle(unfinished, target)


def copy_rows(source: Connection, target: Connection, layout: Layout, told: Told = lambda rows: None) -> None:
    """Make the store in ``target`` with all rows of the one in ``source``, which has the same layout.

    Raises:
        UsageFault: there is one already.
    """
    if layout.found(target) is not None:
        raise UsageFault(f"There is a store of {layout.name} already.", "Nothing is overwritten: move it away first.")
    layout.make(target)
    for name in layout.first_rows:
        target.execute(layout.metadata.tables[name].delete())
    for table in layout.metadata.sorted_tables:
        if table.info.get("of_this_database"):
            continue
        rows = source.execution_options(yield_per=_BATCH).execute(select(table)).mappings()
        for batch in rows.partitions():
            target.execute(table.insert(), [dict(row) for row in batch])
            told(len(batch))
        _count_on(target, table)


def _count_on(target: Connection, table: Table) -> None:
    """PostgreSQL's counters do not notice numbers that were given."""
    column = table.autoincrement_column
    if column is None or target.dialect.name != "postgresql":
        return
    counter = func.pg_get_serial_sequence(f'"{table.name}"', column.name)
    target.execute(
        select(func.setval(counter, func.max(column))).where(counter.is_not(None)).having(func.max(column) > 0)
    )


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a SQLite database while others use it; the copy is of one moment, whole and on the disk, or not there.

    Raises:
        FatalFault: there is no room, or the file is no database.
    """
    unfinished = target.with_name(f"{target.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        original = sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)
        with closing(original), closing(sqlite3.connect(unfinished)) as copy:
            original.backup(copy)
        _settle(unfinished, target)
    except (OSError, sqlite3.Error) as error:
        unfinished.unlink(missing_ok=True)
        raise FatalFault(f"{source.name} cannot be copied to {target.parent}.", "Is there room on the disk?") from error


def _settle(unfinished: Path, target: Path) -> None:
    """All of the database in its one file, the file on the disk, and only then its name."""
    with closing(sqlite3.connect(unfinished)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
    flush(unfinished)
    unfinished.rename(target)
    flush(target.parent)


def flush(path: Path) -> None:
    """Have a file or folder on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
