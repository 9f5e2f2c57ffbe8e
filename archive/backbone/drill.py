"""The drill: the newest backup is restored into a scratch place, and compared with the archive that is at work.

It shows any day that a backup is good for something and how long it takes; nothing of the archive is touched. The
scratch place is a folder, or a database of its own on the same server, and is removed at the end.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, NullPool, Table, create_engine, func, make_url, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql.compiler import DDLCompiler

from archive.backbone import restore
from archive.backbone.backup import MANIFEST, Manifest, read_manifest
from archive.backbone.endpoint import Endpoint
from archive.config import Config
from archive.faults import UsageFault
from archive.ledger import Ledger, chain, events, schema
from archive.ledger.events import Json

Progress = Callable[[str, int], None]
"""Told as work goes on: what is being done and how much more of it."""

_BACKUP = "ledger.sqlite"


@dataclass(frozen=True, slots=True)
class Drilled:
    """What a drill showed: which backup came back in how many ``seconds``, with how many ``rows`` and ``events``.

    ``behind`` is how many events happened since it was made: they would be lost. ``differences`` tells, in words, what
    is not as it should be. With a whole drill ``files`` were read and found right and ``editions`` built.
    """

    backup: Path
    manifest: Manifest
    seconds: float
    rows: int
    events: int
    behind: int
    differences: tuple[str, ...]
    files: int | None = None
    editions: int | None = None


def drill(
    endpoint: Endpoint,
    folder: Path,
    *,
    whole: bool = False,
    database: str | None = None,
    progress: Progress = lambda what, number: None,
) -> Drilled:
    """Restore ``folder``, a backup or a folder of backups of which the newest is taken.

    The ledger comes back; with ``whole`` also every stored file is read and everything published is built. Where the
    archive is in PostgreSQL, ``database`` is an empty one to restore into; without it one is made and dropped.

    Raises:
        UsageFault: there is no backup, it is of another archive, or no database can be made.
        FatalFault: the backup is damaged.
    """
    backup = newest(folder)
    manifest = read_manifest(backup)
    if manifest.authority != endpoint.site.authority:
        raise UsageFault(
            f"{backup} is a backup of {manifest.authority}, not of {endpoint.site.authority}.",
            "Give one of this archive.",
        )
    with _scratch(endpoint.config, database) as config:
        began = time.monotonic()
        restored = restore.restore(config, backup, incomplete=True, progress=progress) if whole else None
        if restored is None:
            restore.restore_ledger(config, backup, progress)
        seconds = time.monotonic() - began
        found = _compared(endpoint, config, backup, manifest, exact=not whole)
    found = replace(found, seconds=seconds)
    if restored is not None:
        gone = tuple(f"{uri} is missing." for uri in restored.missing)
        found = replace(
            found, files=restored.checked, editions=restored.editions, differences=(*found.differences, *gone)
        )
    with endpoint.ledger.write() as transaction:
        told: dict[str, Json] = {"made": manifest.made, "seconds": round(seconds, 3), "whole": whole}
        told["right"] = not found.differences
        events.append(transaction, "drill", told)
    return found


def newest(folder: Path) -> Path:
    """The backup ``folder``, or the newest backup in it.

    Raises:
        UsageFault: there is none.
    """
    if (folder / MANIFEST).is_file():
        return folder
    backups = [path.parent for path in folder.glob(f"*/{MANIFEST}")] if folder.is_dir() else []
    if not backups:
        raise UsageFault(f"There is no backup in {folder}.", "Make one with 'archive backup'.")
    return max(backups, key=lambda path: read_manifest(path).made)


# --- what came back -------------------------------------------------------------------------------


def _compared(endpoint: Endpoint, config: Config, backup: Path, manifest: Manifest, *, exact: bool) -> Drilled:
    """What the restored ledger says beside the backup and the one at work; ``exact`` if nothing was added to it."""
    differences: list[str] = []
    with closing(Ledger.open(config.ledger_url)) as ledger, ledger.read() as transaction:
        wrong = chain.check(transaction)
        if wrong is not None:
            differences.append(f"The chain of events of {wrong.origin} does not hold: {wrong.found}.")
        counts = _counts(transaction)
        digests = {origin: _digest(transaction, origin, seq) for origin, seq in manifest.events.items()}
    with endpoint.ledger.read() as transaction:
        now = {head.origin: head.seq for head in chain.heads(transaction)}
        for origin, seq in manifest.events.items():
            if digests[origin] is None or digests[origin] != _digest(transaction, origin, seq):
                differences.append(f"Event {seq} of {origin} is not that of the archive at work.")
    for table, count in _counts_of_backup(backup).items() if exact else ():
        if counts.get(table) != count:
            differences.append(f"Table {table}: {counts.get(table, 0):,} rows came back of {count:,}.")
    behind = sum(now.get(origin, 0) - seq for origin, seq in manifest.events.items())
    total = sum(manifest.events.values())
    return Drilled(backup, manifest, 0.0, sum(counts.values()), total, behind, tuple(differences))


def _counts(transaction: Connection) -> dict[str, int]:
    return {
        table.name: int(transaction.execute(select(func.count()).select_from(table)).scalar_one())
        for table in _tables()
    }


def _tables() -> Iterator[Table]:
    """The tables of facts; what one kind of database needs for itself is no fact."""
    return (table for table in schema.metadata.sorted_tables if not table.info.get("of_this_database"))


def _counts_of_backup(backup: Path) -> Mapping[str, int]:
    """Rows of each table that the backup has, as it lies there."""
    address = f"{(backup / _BACKUP).resolve().as_uri()}?mode=ro&immutable=1"
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(address, uri=True), poolclass=NullPool)
    with engine.connect() as connection:
        there = set(engine.dialect.get_table_names(connection))
        return {
            table.name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
            for table in _tables()
            if table.name in there
        }


def _digest(transaction: Connection, origin: str, seq: int) -> str | None:
    event = schema.event
    here = (event.c.origin == origin) & (event.c.seq == seq)
    found: str | None = transaction.execute(select(event.c.digest).where(here)).scalar_one_or_none()
    return found


# --- the scratch place ----------------------------------------------------------------------------


@contextmanager
def _scratch(config: Config, database: str | None) -> Iterator[Config]:
    """Settings of an archive in a place of its own, whose stores are those of ``config``, to be read only."""
    config.scratch_folder.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="drill-", dir=config.scratch_folder))
    try:
        told = {each.partition("=")[0]: each for each in config.stores}
        told.setdefault("main", f"main=file://{quote(str(config.store.absolute()))}")
        stores = tuple(_read_only(each) for each in told.values())
        descriptions, *_ = config.description_folders
        aside = replace(config, home=home, scratch=home / "scratch", descriptions=descriptions)
        aside = replace(aside, stores=stores, copies=(), database=None)
        if config.database is None:
            yield aside
        elif database is not None:
            yield replace(aside, database=database)
        else:
            with _database_beside(config.database) as url:
                yield replace(aside, database=url)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _read_only(store: str) -> str:
    """A store of the setting that nobody writes: what is told last holds."""
    return f"{store}{'&' if '?' in store else '?'}readonly=yes"


class _CreateDatabase(ExecutableDDLElement):
    def __init__(self, name: str) -> None:
        self.name = name


class _DropDatabase(ExecutableDDLElement):
    def __init__(self, name: str) -> None:
        self.name = name


@compiles(_CreateDatabase)
def _create(element: _CreateDatabase, compiler: DDLCompiler, **_: Any) -> str:
    return f"CREATE DATABASE {compiler.preparer.quote(element.name)} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"


@compiles(_DropDatabase)
def _drop(element: _DropDatabase, compiler: DDLCompiler, **_: Any) -> str:
    return f"DROP DATABASE IF EXISTS {compiler.preparer.quote(element.name)} WITH (FORCE)"


@contextmanager
def _database_beside(url: str) -> Iterator[str]:
    """The URL of a new database on the same server, which goes away."""
    name = f"archive_drill_{uuid.uuid4().hex[:12]}"
    server = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    try:
        with server.connect() as connection:
            connection.execute(_CreateDatabase(name))
    except DBAPIError:
        raise UsageFault(
            "No database can be made for the drill.",
            "Let the archive's user make databases (ALTER ROLE ... CREATEDB), or give an empty one: --database URL.",
        ) from None
    try:
        yield make_url(url).set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.execute(_DropDatabase(name))
