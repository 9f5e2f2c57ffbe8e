"""Who is at work on this archive: each process says that it lives, and a silent one loses what it had begun."""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Self

from sqlalchemy import Connection, func, select

from archive.faults import TransientFault
from archive.ledger import schema
from archive.ledger.database import Database, stamp

_log = logging.getLogger(__name__)

_MISSED = 6  # signs of life that may fail to come before a process counts as gone


class Attendance:
    """A process' presence in the ledger, kept up by a thread until ``leave``.

    ``oldest`` tells the oldest ledger revision that the process still serves, ``busy`` how many requests it was at work
    on, on the average since it was last asked; a process that serves nothing gives neither. They are asked at every
    sign of life, every ``interval`` seconds.
    """

    def __init__(
        self,
        database: Database,
        role: str,
        interval: float,
        oldest: Callable[[], int] | None = None,
        busy: Callable[[], float] | None = None,
    ) -> None:
        self.id = uuid.uuid4().hex
        self._database = database
        self._interval = interval
        self._oldest = oldest
        self._busy = busy
        self._told = {
            "id": self.id,
            "role": role,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": stamp(datetime.now(UTC)),
        }
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._keep_up, name=f"heartbeat-{role}", daemon=True)

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def begin(self) -> None:
        """Enter the ledger; on return other processes know of this one."""
        self.beat()
        self._thread.start()

    def beat(self) -> None:
        """Give a sign of life now. A process that was taken for gone, since the ledger was out of reach, comes back."""
        c, values = schema.process.c, self._signs(datetime.now(UTC))
        with self._database.write() as transaction:
            entered = transaction.execute(schema.process.update().where(c.id == self.id).values(**values)).rowcount
            if not entered and not self._left.is_set():
                transaction.execute(schema.process.insert().values(**values, **self._told))

    def leave(self) -> None:
        """Leave the ledger; harmless when called twice."""
        if self._left.is_set():
            return
        self._left.set()
        self._thread.join(timeout=self._interval)
        with self._database.write() as transaction:
            transaction.execute(schema.process.delete().where(schema.process.c.id == self.id))

    def _signs(self, time: datetime) -> dict[str, str | float | None]:
        lease = stamp(time + timedelta(seconds=_MISSED * self._interval))
        return {
            "seen": stamp(time),
            "lease": lease,
            "revision": self._oldest() if self._oldest else None,
            "busy": self._busy() if self._busy else None,
        }

    def _keep_up(self) -> None:
        while not self._left.wait(self._interval):
            try:
                self.beat()
            except TransientFault as fault:
                _log.warning("no sign of life was given: %s", fault)
            except Exception:  # whatever it was, the next sign may come through; silence would end the lease
                _log.warning("no sign of life was given", exc_info=True)


def forget_silent(transaction: Connection) -> None:
    """Remove the processes that have been silent for longer than their lease."""
    transaction.execute(schema.process.delete().where(schema.process.c.lease < stamp(datetime.now(UTC))))


def is_here(transaction: Connection, process: int) -> bool:
    """Whether process number ``process`` of this machine has entered the ledger and not left it."""
    c = schema.process.c
    its = select(c.id).where(c.host == socket.gethostname(), c.pid == process)
    return transaction.execute(its).first() is not None


def forget(transaction: Connection, process: int) -> None:
    """Remove process number ``process`` of this machine, which whoever started it has seen end."""
    c = schema.process.c
    transaction.execute(schema.process.delete().where(c.host == socket.gethostname(), c.pid == process))


def oldest_served(transaction: Connection) -> int | None:
    """The oldest revision that any living process serves; None if none serves."""
    oldest = transaction.execute(select(func.min(schema.process.c.revision))).scalar_one()
    return None if oldest is None else int(oldest)


def living(transaction: Connection) -> set[str]:
    """The identifiers of the processes at work."""
    return set(transaction.execute(select(schema.process.c.id)).scalars())
