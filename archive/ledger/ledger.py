"""``Ledger``: the door to the facts of one endpoint."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import Connection

from archive.ledger import editions, site
from archive.ledger.database import Database
from archive.ledger.processes import Attendance
from archive.ledger.published import Published, read_published


class Ledger:
    """Facts of one endpoint. Safe for threads; open it anew in each process.

    What there is to know about one subject is a module of functions (``files``, ``descriptions``, ``editions``,
    ...) that take a transaction, so that any of them can be done together or not at all.
    """

    def __init__(self, database: Database) -> None:
        self.by: str | None = None  # who acts where a transaction does not say; None for the process' own user
        self._database = database
        self._published: Published | None = None
        self._seen: tuple[Published | None, int | None] = (None, None)
        self._lock = threading.Lock()

    @classmethod
    def open(cls, url: str) -> Ledger:
        """The ledger at a SQLAlchemy URL.

        Raises:
            NotFound: there is none.
            FatalFault: it is of another layout.
        """
        return cls(Database.open(url))

    @classmethod
    def create(cls, url: str) -> Ledger:
        """The ledger at ``url``, made if it is not there."""
        return cls(Database.create(url))

    def read(self) -> AbstractContextManager[Connection]:
        """A transaction to read in; all of it is of one moment."""
        return self._database.read()

    def write(self, by: str | None = None, reason: str | None = None) -> AbstractContextManager[Connection]:
        """A transaction to write in; everything done in it happens when it is left, or nothing.

        Its events say that ``by`` did it, else ``self.by``, else the user whose process this is; and why, if a
        ``reason`` is given.
        """
        return self._database.write(by or self.by, reason)

    def site(self) -> site.Site:
        """Who runs this endpoint.

        Raises:
            NotFound: nobody has said yet.
        """
        with self.read() as transaction:
            return site.read_site(transaction)

    def published(self) -> Published:
        """What can be queried now; the same object as long as nothing changes."""
        version = self._database.version()  # before what it stands for is read
        known, of = self._seen
        if known is not None and version is not None and version == of:
            return known
        found = self._read_published()
        self._seen = (found, version)
        return found

    def _read_published(self) -> Published:
        with self.read() as transaction:
            revision = editions.current_revision(transaction)
            known = self._published
            if known is not None and known.revision == revision:
                return known
            with self._lock:
                if self._published is None or self._published.revision < revision:
                    self._published = read_published(transaction)
                return self._published

    @property
    def is_on_server(self) -> bool:
        """Whether other programs can read the ledger with us: it is in PostgreSQL."""
        return self._database.is_on_server

    def moment(self) -> int | None:
        """A number that has changed if anything was committed since; None where that cannot be had for nearly nothing.

        On a server it tells of what is published only.
        """
        return self._database.version()

    def attend(
        self,
        role: str,
        interval: float = 5.0,
        oldest: Callable[[], int] | None = None,
        busy: Callable[[], float] | None = None,
    ) -> Attendance:
        """This process' presence in the ledger; see ``Attendance``."""
        return Attendance(self._database, role, interval, oldest, busy)

    def close(self) -> None:
        self._database.close()
