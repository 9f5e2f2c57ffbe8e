"""Upgrading: the stores of facts of an archive brought to the layouts that this program works with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import column, select, table

from archive.access import adopt
from archive.backbone.endpoint import Endpoint
from archive.config import Config
from archive.faults import NotFound, TransientFault
from archive.jobs.tables import LAYOUT as JOBS
from archive.ledger import Ledger, descriptions
from archive.ledger import site as sites
from archive.ledger.connections import address, connected, file_of
from archive.ledger.copying import copy_sqlite
from archive.ledger.database import now
from archive.ledger.layouts import Layout
from archive.ledger.migrations import Step, migrate, steps
from archive.ledger.querylog import LAYOUT as QUERIES
from archive.ledger.schema import LAYOUT as LEDGER

FOLDER = "before-upgrade"
"""Folder of the home for copies of SQLite files as they were before an upgrade."""


@dataclass(frozen=True, slots=True)
class Due:
    """A store of an older layout and what lies between it and this program."""

    layout: Layout
    url: str
    found: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What was done, and where the files as they were before lie; None if there are none."""

    done: tuple[Due, ...]
    kept: Path | None


def stores_of(config: Config) -> tuple[tuple[Layout, str], ...]:
    """The stores of facts of an archive and their URLs."""
    return (LEDGER, config.ledger_url), (JOBS, config.jobs_url), (QUERIES, config.query_log_url)


def version(url: str, layout: Layout) -> int | None:
    """The version of the store that is there; None where there is none. Nothing is made."""
    file = file_of(address(url))
    if file is not None and not file.is_file():
        return None
    engine = connected(url, pooled=False)
    with engine.begin() as connection:
        return layout.found(connection)


def require_newest(config: Config) -> None:
    """Refuse an archive any store of which has another layout than this program knows.

    Raises:
        FatalFault: so it is; tells what to do.
    """
    for layout, url in stores_of(config):
        if (found := version(url, layout)) is not None:
            layout.check(found, url)


def due(config: Config) -> tuple[Due, ...]:
    """The stores that are to be upgraded.

    Raises:
        NotFound: there is no archive.
        FatalFault: a store is newer than this program.
    """
    if version(config.ledger_url, LEDGER) is None:
        raise NotFound("There is no archive here.", "Make one with 'archive init'.")
    return tuple(_due(config))


def _due(config: Config) -> Iterator[Due]:
    for layout, url in stores_of(config):
        found = version(url, layout)
        if found is not None and found > layout.version:
            layout.check(found, url)
        if found is not None and found < layout.version:
            yield Due(layout, url, found, steps(layout, found))


def upgrade(config: Config, progress: Callable[[Layout, Step], None] = lambda layout, step: None) -> Upgraded:
    """Upgrade every store that needs it, each in one transaction; SQLite files are copied first.

    Raises:
        NotFound: there is no archive.
        TransientFault: processes are at work on it.
        FatalFault: a store is newer than this program, or cannot be upgraded.
    """
    found = due(config)
    if found:
        _check_nobody_works(config.ledger_url)
    kept = _keep(config, found)
    _let_go(config, found)
    for each in found:
        migrate(each.url, each.layout, progress=lambda step, layout=each.layout: progress(layout, step))  # type: ignore[misc]
    if any(each.layout is LEDGER for each in found):
        _adopt(config.ledger_url)
        with Endpoint.open(config) as endpoint:
            endpoint.tend_inventory(always=True)
    _reread(config.ledger_url)
    return Upgraded(found, kept)


def _reread(url: str) -> None:
    """Have descriptions at hand in the shape that this program reads fastest."""
    ledger = Ledger.open(url)
    with ledger.write() as transaction:
        descriptions.refresh(transaction)
    ledger.close()


def _let_go(config: Config, found: tuple[Due, ...]) -> None:
    """Take views of the ledger away, which would hold its tables fast; they are made again when they are needed."""
    if config.database is not None and any(each.layout is LEDGER for each in found):
        from archive.engine.postgres_listed import drop_views  # the embedded deployment has no need of its libraries

        with connected(config.ledger_url, pooled=False).begin() as connection:
            drop_views(connection)


def _adopt(url: str) -> None:
    """Somebody has to be an operator from now on."""
    with closing(Ledger.open(url)) as ledger, ledger.write() as transaction:
        if sites.find_site(transaction) is not None:
            adopt(transaction)


def _check_nobody_works(url: str) -> None:
    process = table("process", *map(column, ("role", "host", "pid", "lease")))
    engine = connected(url, pooled=False)
    with engine.begin() as connection:
        rows = connection.execute(select(process).where(process.c.lease > now()).order_by(process.c.host)).all()
    if rows:
        working = ", ".join(f"{row.role} on {row.host} (process {row.pid})" for row in rows)
        raise TransientFault(
            f"The archive is being used: {working}.", "Stop them; what ended by itself counts as gone after a while."
        )


def _keep(config: Config, found: tuple[Due, ...]) -> Path | None:
    files = [file for each in found if (file := file_of(address(each.url))) is not None]
    if not files:
        return None
    folder = config.home / FOLDER / f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        copy_sqlite(file, folder / file.name)
    return folder
