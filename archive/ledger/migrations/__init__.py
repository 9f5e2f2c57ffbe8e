"""Migrations: how a store of an older layout becomes one that this program works with.

For each store a folder in ``versions`` holds one step for each version, in alembic's form; step ``0001`` makes the
first layout. All steps of a store happen in one transaction, or none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, func, select

from archive.faults import FatalFault
from archive.ledger.connections import WRITES, connected
from archive.ledger.layouts import UNNUMBERED, Layout, revision

_FOLDER = Path(__file__).parent
_FIRST = 1  # the version whose tables an unnumbered store has
_LOCK = 0x41524D47  # PostgreSQL's name for the lock under which stores are migrated


@dataclass(frozen=True, slots=True)
class Step:
    """From one version to the next, and what it changes, in words."""

    version: int
    title: str


def steps(layout: Layout, found: int | None) -> tuple[Step, ...]:
    """What lies between a store of version ``found``, or none, and this program, in order."""
    known = ScriptDirectory.from_config(_config(layout))
    between = known.iterate_revisions("head", None if found is None else revision(max(found, _FIRST)))
    return tuple(Step(int(each.revision), each.doc) for each in reversed(list(between)))


def migrate(
    url: str,
    layout: Layout,
    *,
    to: int | None = None,
    progress: Callable[[Step], None] = lambda step: None,
) -> None:
    """Bring the store at ``url`` to version ``to`` (default: this program's); a new one is made step by step.

    ``progress`` is told each step that is done.

    Raises:
        FatalFault: the store is newer than this program, or its rows do not fit the new layout.
    """
    engine = connected(url, pooled=False, foreign_keys=False)
    with engine.execution_options(**{WRITES: True}).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        found = layout.found(connection)
        if found is not None and found > layout.version:
            layout.check(found, url)
        _walk(connection, layout, found, revision(layout.version if to is None else to), progress)
        _check_references(connection)


def _walk(connection: Connection, layout: Layout, found: int | None, to: str, progress: Callable[[Step], None]) -> None:
    titles = {step.version: step for step in steps(layout, None)}
    config = _config(layout)
    config.attributes |= {
        "connection": connection,
        "layout": layout,
        "progress": lambda version: progress(titles[version]),
    }
    if found == UNNUMBERED:
        command.stamp(config, revision(_FIRST))
        Table("layout", MetaData()).drop(connection, checkfirst=True)  # where the first ledgers kept their version
    command.upgrade(config, to)


def _check_references(connection: Connection) -> None:
    """SQLite does not look at foreign keys while tables are made anew."""
    if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
        raise FatalFault("Rows of the store refer to rows that are not there.", "Nothing was changed; ask for help.")


def _config(layout: Layout) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("version_locations", str(_FOLDER / "versions" / layout.name).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return config
