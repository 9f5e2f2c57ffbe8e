"""Files on their way in: who brings them, where they will lie, how much room they may still take.

An arrival outlives the process that died over it; so it tells what that left behind. Beside it stands how much each
store took in, hour by hour.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, func, select

from archive.faults import TransientFault
from archive.ledger import schema
from archive.ledger.database import now
from archive.ledger.processes import forget_silent, living

_HOUR = "%Y-%m-%dT%H"
_NOBODY = ""  # owns what was taken from the dead until it is swept


@dataclass(frozen=True, slots=True)
class Arrival:
    """Files that ``process`` brings into ``store``: all of them below ``folder``, if they get their names there."""

    id: str
    process: str
    store: str
    folder: str | None


def begin(transaction: Connection, arrival: Arrival, claimed: int = 0) -> None:
    """Note that files will come, of ``claimed`` bytes together."""
    transaction.execute(
        schema.arrival.insert().values(
            id=arrival.id,
            process=arrival.process,
            store=arrival.store,
            folder=arrival.folder,
            claimed=claimed,
            begun=now(),
        )
    )


def claim(transaction: Connection, arrival: str, size: int) -> None:
    """Say how many bytes an arrival may still write."""
    table = schema.arrival
    transaction.execute(table.update().where(table.c.id == arrival).values(claimed=size))


def claimed_by_others(transaction: Connection, store: str, process: str) -> int:
    """Bytes that living processes but this one may still write into the store."""
    table, alive = schema.arrival, schema.process
    total = select(func.coalesce(func.sum(table.c.claimed), 0)).where(
        table.c.store == store, table.c.process != process, table.c.process.in_(select(alive.c.id))
    )
    return int(transaction.execute(total).scalar_one())


def end(transaction: Connection, ids: Collection[str]) -> None:
    """Forget arrivals that left nothing behind."""
    transaction.execute(delete(schema.arrival).where(schema.arrival.c.id.in_(ids)))


def abandoned(transaction: Connection) -> list[Arrival]:
    """The arrivals of processes that live no more, taken from them: from now on they can register nothing, even if
    they were only silent and come back.
    """
    forget_silent(transaction)
    alive = living(transaction)
    table = schema.arrival
    rows = transaction.execute(select(table.c.id, table.c.process, table.c.store, table.c.folder)).all()
    left = [Arrival(*row) for row in rows if row.process not in alive]
    for arrival in left:
        transaction.execute(table.update().where(table.c.id == arrival.id).values(process=_NOBODY))
    return left


def marks(transaction: Connection) -> frozenset[str]:
    """Names of arrivals and their folders: paths with one of them are on their way in, or will be swept."""
    table = schema.arrival
    rows = transaction.execute(select(table.c.id, table.c.folder)).all()
    return frozenset({mark for row in rows for mark in row if mark is not None})


def check_own(transaction: Connection, arrival: Arrival) -> None:
    """Make sure that nobody took the process for dead: what it was about to register may have been swept away.

    Raises:
        TransientFault: somebody did.
    """
    table = schema.arrival
    mine = select(table.c.id).where(table.c.id == arrival.id, table.c.process == arrival.process)
    if transaction.execute(mine).first() is None:
        raise TransientFault("This process was silent for so long that it was taken for dead.", "Do it again.")


# --- how fast stores fill ---------------------------------------------------------------------------


def note(transaction: Connection, store: str, files: int, size: int) -> None:
    """Add to what the store took in during this hour."""
    table = schema.taken_in
    hour = datetime.now(UTC).strftime(_HOUR)
    here = (table.c.store == store) & (table.c.hour == hour)
    more = {"files": table.c.files + files, "bytes": table.c.bytes + size}
    if not transaction.execute(table.update().where(here).values(**more)).rowcount:
        transaction.execute(table.insert().values(store=store, hour=hour, files=files, bytes=size))


def rate(transaction: Connection, store: str, hours: int) -> float:
    """Bytes per second that the store took in during the last ``hours`` full hours and the one that runs."""
    table, time = schema.taken_in, datetime.now(UTC)
    since = (time - timedelta(hours=hours)).replace(minute=0, second=0, microsecond=0)
    total = select(func.coalesce(func.sum(table.c.bytes), 0)).where(
        table.c.store == store, table.c.hour >= since.strftime(_HOUR)
    )
    return float(transaction.execute(total).scalar_one()) / (time - since).total_seconds()
