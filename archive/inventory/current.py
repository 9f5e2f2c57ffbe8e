"""``Inventory``: where the rows of its tables are at this moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlalchemy import Connection

from archive.engine.listed import KEY, Form, Listed, Patched, Viewed
from archive.inventory.described import digest, form
from archive.inventory.rows import batches, table
from archive.ledger import Ledger, inventory
from archive.ledger.inventory import LISTINGS, MOST, Compacted, Key
from archive.tables import Edition

_FRESH = 60.0  # seconds that the number of rows on a server is believed


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read of a table: on top of which edition, up to which change."""

    edition: str | None
    seen: int
    gone: NDArray[np.int64]
    patched: Patched


class Inventory:
    """The tables over one ledger, for all threads of a process.

    ``overdue`` is called, by the thread of a query, when editions should be made anew. One whose file is not in the
    ``folder`` of editions counts as never made.
    """

    def __init__(self, ledger: Ledger, folder: Path | None = None, overdue: Callable[[], None] = lambda: None) -> None:
        self._ledger = ledger
        self._folder = folder
        self._overdue = overdue
        self._lock = threading.Lock()
        self._known: dict[Key, _Known] = {}
        self._moment: dict[Key, int] = {}
        self._sizes: dict[Key, tuple[float, int]] = {}

    def now(self, keys: Collection[Key]) -> Mapping[Key, Listed]:
        """The rows of these tables, all of one moment that is not before this call."""
        if not keys:
            return {}
        if self._ledger.is_on_server:
            return {key: self._viewed(key) for key in keys}
        moment = self._ledger.moment()  # before what it stands for is read
        with self._lock:
            if moment is None or any(self._moment.get(key) != moment for key in keys):
                self._renew(keys, moment)
            found = {key: self._known[key].patched for key in keys}
        if any(max(len(each.gone), each.rows.num_rows) > MOST for each in found.values()):
            self._overdue()
        return found

    def _viewed(self, key: Key) -> Viewed:
        listing = LISTINGS[key]
        return Viewed(form(key), listing.rows, self._size(key), listing.folded, listing.intervals)

    def _renew(self, keys: Collection[Key], moment: int | None) -> None:
        with self._ledger.read() as transaction:
            editions = inventory.compacted(transaction)
            last = inventory.last_change(transaction)
            for key in keys:
                edition = edition_of(key, editions.get(key), self._folder)
                self._known[key] = _renewed(transaction, key, edition, editions.get(key), last, self._known.get(key))
                if moment is not None:
                    self._moment[key] = moment

    def _size(self, key: Key) -> int:
        read, size = self._sizes.get(key, (-_FRESH, 0))
        if time.monotonic() - read > _FRESH:
            with self._ledger.read() as transaction:
                size = inventory.estimate(transaction, LISTINGS[key])
            self._sizes[key] = (time.monotonic(), size)
        return size


def edition_of(key: Key, compacted: Compacted | None, folder: Path | None) -> Edition | None:
    """The edition in force, if it is of the form that this program knows, and there."""
    if compacted is None or compacted.form != digest(key):
        return None
    if folder is not None and not (folder / compacted.place).is_file():
        return None
    kept = form(key)
    return Edition(key, compacted.number, compacted.place, kept.recorded(), compacted.rows, kept.healpix)


def _renewed(
    transaction: Connection,
    key: Key,
    edition: Edition | None,
    compacted: Compacted | None,
    last: int,
    known: _Known | None,
) -> _Known:
    """What is read of a table now, given what was ``known`` of it before."""
    listing, kept = LISTINGS[key], form(key)
    place = None if edition is None else edition.place
    if known is None or known.edition != place:
        known = _begun(transaction, key, edition, compacted, last)
    fresh = np.unique(np.array(inventory.changes(transaction, listing.subject, known.seen), dtype=np.int64))
    if not len(fresh):
        return _Known(place, last, known.gone, known.patched)
    rows = table(batches(transaction, listing, kept, fresh.tolist()), kept)
    gone = np.union1d(known.gone, fresh)
    rows = pa.concat_tables([_without(known.patched.rows, fresh), rows])
    return _Known(place, last, gone, Patched(kept, edition, pa.array(gone), rows))


def _begun(
    transaction: Connection, key: Key, edition: Edition | None, compacted: Compacted | None, last: int
) -> _Known:
    """An edition as it was made; where there is none, all rows."""
    kept: Form = form(key)
    nothing = np.empty(0, dtype=np.int64)
    if edition is None or compacted is None:
        rows = table(batches(transaction, LISTINGS[key], kept), kept)
        return _Known(None, last, nothing, Patched(kept, None, pa.array(nothing), rows))
    rows = kept.schema.empty_table()
    return _Known(edition.place, compacted.upto, nothing, Patched(kept, edition, pa.array(nothing), rows))


def _without(rows: pa.Table, gone: NDArray[np.int64]) -> pa.Table:
    if not rows.num_rows:
        return rows
    return rows.filter(pc.invert(pc.is_in(rows[KEY], value_set=pa.array(gone))))
