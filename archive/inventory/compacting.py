"""Making editions of the inventory anew, so that few changes have to be read beside them."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from sqlalchemy import Connection

from archive.engine.contract import Engine
from archive.engine.duckdb import DuckDB
from archive.engine.duckdb_listed import is_place
from archive.inventory.current import edition_of
from archive.inventory.described import digest, form
from archive.inventory.rows import batches
from archive.ledger import Ledger, inventory
from archive.ledger.database import stamp
from archive.ledger.inventory import LISTINGS, Compacted, Key
from archive.tables import Edition


def compact(ledger: Ledger, engine: Engine, folder: Path, grace: float) -> bool:
    """Make editions of all tables that changed, and put them in force in one commit; False if another process does.

    Editions that were replaced longer than ``grace`` seconds ago are removed. Nothing is to be done on a server.
    """
    if ledger.is_on_server or not isinstance(engine, DuckDB):
        return False
    with _alone(folder) as is_mine:
        if not is_mine:
            return False
        with ledger.read() as transaction:
            before, upto = inventory.compacted(transaction), inventory.last_change(transaction)
            made = {key: _made(transaction, engine, folder, key, before.get(key), upto) for key in LISTINGS}
        with ledger.write() as transaction:
            inventory.replace(transaction, made)
        _sweep(ledger, engine, folder, grace)
    return True


def _made(
    transaction: Connection, engine: DuckDB, folder: Path, key: Key, before: Compacted | None, upto: int
) -> Compacted:
    listing, kept, edition = LISTINGS[key], form(key), edition_of(key, before, folder)
    gone: list[int] = []
    if edition is not None and before is not None:
        gone = inventory.changes(transaction, listing.subject, before.upto)
        if not gone:
            return Compacted(before.number, before.place, before.form, before.rows, upto)
    rows = batches(transaction, listing, kept, None if edition is None else gone)
    done = engine.compact(kept, upto, edition, pa.array(gone, pa.int64()), rows)
    return Compacted(0, done.place, digest(key), done.rows, upto)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no other process makes editions; then none does meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".over-ledger").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _sweep(ledger: Ledger, engine: DuckDB, folder: Path, grace: float) -> None:
    """Remove what was replaced so long ago that no query which began before can still be waiting to read it, and what
    a process left that was ended while it made editions.
    """
    with ledger.read() as transaction:
        old = inventory.replaced(transaction, stamp(datetime.now(UTC) - timedelta(seconds=grace)))
        known = inventory.places(transaction)
    left = [path.name for path in folder.iterdir() if is_place(path.name) and path.name not in known]
    for place in (*(place for _, place in old), *left):
        engine.remove(Edition(("", ""), 0, place, {}, 0, False))
    if old:
        with ledger.write() as transaction:
            inventory.forget(transaction, [number for number, _ in old])
