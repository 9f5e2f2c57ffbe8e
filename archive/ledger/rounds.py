"""Rounds of checks: how far each has come in a store, and which copies are due next.

A round that was cut off goes on where it was. A round over names and sizes remembers the last path; a deep one reads
what was last read before it began, oldest first, so what it has done is told by the copies themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Row, Select, select

from archive.ledger import schema
from archive.ledger.database import now
from archive.ledger.replicas import Has, Place, Replica, Want


@dataclass(frozen=True, slots=True)
class Round:
    """One round of checks of a store; ``deep`` if all bytes are read. ``after`` is the last path it looked at.

    ``files`` and ``bytes`` were looked at so far; of these files ``failed`` were not as they should be.
    """

    id: int
    store: str
    deep: bool
    begun: str
    seen: str
    ended: str | None
    after: str
    files: int
    bytes: int
    failed: int


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy to be checked, and the file that it should be."""

    replica: Replica
    uri: str
    sha256: str
    size: int

    @property
    def store(self) -> str:
        return self.replica.place.store

    @property
    def path(self) -> str:
        return self.replica.place.path


def enter(transaction: Connection, store: str, *, deep: bool) -> Round:
    """The round that is under way in a store, or a new one."""
    table = schema.check_round
    known = last(transaction, store, deep=deep)
    if known is not None and known.ended is None:
        return known
    time = now()
    values = {"store": store, "deep": deep, "begun": time, "seen": time, "after": "", "files": 0, "bytes": 0}
    key = transaction.execute(table.insert().values(**values, failed=0)).inserted_primary_key
    assert key is not None
    return Round(int(key[0]), store, deep, time, time, None, "", 0, 0, 0)


def last(transaction: Connection, store: str, *, deep: bool, ended: bool = False) -> Round | None:
    """The newest round of a store, or the newest that has ``ended``; None if there was none."""
    table = schema.check_round
    wanted = select(table).where(table.c.store == store, table.c.deep == deep)
    if ended:
        wanted = wanted.where(table.c.ended.is_not(None))
    row = transaction.execute(wanted.order_by(table.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else Round(*row)


def come_on(transaction: Connection, of: Round, *, files: int, size: int, failed: int, after: str) -> Round:
    """Note that a round looked at more, up to the path ``after``."""
    table = schema.check_round
    on = replace(of, seen=now(), after=after, files=of.files + files, bytes=of.bytes + size, failed=of.failed + failed)
    values = {"seen": on.seen, "after": on.after, "files": on.files, "bytes": on.bytes, "failed": on.failed}
    transaction.execute(table.update().where(table.c.id == of.id).values(**values))
    return on


def end(transaction: Connection, of: Round) -> None:
    """Note that a round has seen all there is."""
    table = schema.check_round
    transaction.execute(table.update().where(table.c.id == of.id).values(ended=now()))


# --- which copies --------------------------------------------------------------------------------------


def by_path(transaction: Connection, store: str, after: str, count: int) -> Sequence[Copy]:
    """The copies that should lie in a store by themselves, by path, from the one after ``after`` on.

    Among them are those that are to be dropped, and those that are known to be bad or absent.
    """
    copy = schema.replica
    wanted = _copies().where(copy.c.store == store, copy.c.bundle.is_(None), copy.c.path > after)
    return _found(transaction, wanted.order_by(copy.c.path).limit(count))


def oldest(
    transaction: Connection, store: str, before: str, after: tuple[str, int] | None, count: int
) -> Sequence[Copy]:
    """The present copies last read ``before`` a moment, those first that were not read for the longest time.

    ``after`` (time and file of the last one seen) goes on.
    """
    copy = schema.replica
    due = _copies().where(copy.c.store == store, copy.c.has == Has.PRESENT, copy.c.want == Want.KEEP)
    due = due.where(copy.c.checked < before)
    if after is not None:
        time, file = after
        due = due.where((copy.c.checked > time) | ((copy.c.checked == time) & (copy.c.artifact > file)))
    return _found(transaction, due.order_by(copy.c.checked, copy.c.artifact).limit(count))


def wanting(transaction: Connection, store: str, after: int, count: int) -> Sequence[Copy]:
    """The copies that should be in a store and are bad or absent there, by file, from the one after ``after`` on.

    Those in bundles come with their bundles.
    """
    copy = schema.replica
    wanted = _copies().where(
        copy.c.store == store,
        copy.c.has.in_([Has.BAD, Has.ABSENT]),
        copy.c.want == Want.KEEP,
        copy.c.bundle.is_(None),
        copy.c.artifact > after,
    )
    return _found(transaction, wanted.order_by(copy.c.artifact).limit(count))


def again(transaction: Connection, of: Copy) -> Copy | None:
    """What the ledger says now of a copy; None if there is none any more at that place."""
    copy, place = schema.replica, of.replica.place
    here = _copies().where(copy.c.artifact == of.replica.artifact, copy.c.store == place.store)
    found = _found(transaction, here.where(copy.c.path == place.path))
    return found[0] if found else None


def _copies() -> Select[tuple[object, ...]]:
    copy, file = schema.replica, schema.artifact
    return select(copy, file.c.uri, file.c.sha256, file.c.size).join(file, file.c.id == copy.c.artifact)


def _found(transaction: Connection, wanted: Select[tuple[object, ...]]) -> Sequence[Copy]:
    return [_copy(row) for row in transaction.execute(wanted)]


def _copy(row: Row[tuple[object, ...]]) -> Copy:
    place = Place(row.store, row.path, row.adopted, row.bundle, row.offset, row.fingerprint)
    replica = Replica(row.artifact, place, Has(row.has), Want(row.want), row.checked)
    return Copy(replica, row.uri, row.sha256, row.size)


# --- which store is which ------------------------------------------------------------------------------


def mark_of(transaction: Connection, store: str) -> str | None:
    """What stands at the root of a store, as far as it is known."""
    table = schema.store_mark
    return transaction.execute(select(table.c.mark).where(table.c.store == store)).scalar_one_or_none()


def note_mark(transaction: Connection, store: str, mark: str) -> None:
    """Note what stands at the root of a store that had no mark."""
    transaction.execute(schema.store_mark.insert().values(store=store, mark=mark, since=now()))
