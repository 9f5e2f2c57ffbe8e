"""The database under a ledger: opening it, and transactions that mean the same on SQLite and PostgreSQL.

On SQLite a commit that returned survives a power cut, and readers never wait for a writer (``connections``).
A transaction that writes takes the ledger's one write lock when it begins (PostgreSQL: an advisory lock), so it never
fails half-way because another was faster, and what it reads is the newest there is.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg2
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError, OperationalError

from archive.faults import FatalFault, NotFound, TransientFault
from archive.ledger.connections import WRITES, address, connected, file_of, shown
from archive.ledger.layouts import ready
from archive.ledger.schema import LAYOUT, revision

_WRITERS = 0x41524348  # PostgreSQL's name for the lock that writers hold


class Database:
    """Connections to one ledger's database. Safe for threads, not across a fork."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._file = file_of(engine.url)
        self._glance: sqlite3.Connection | None = None  # never writes: SQLite counts the commits of others for it
        self._watching: Any = None  # a connection of PostgreSQL's own kind
        self._glancing = threading.Lock()
        self._writing = engine.execution_options(**{WRITES: True})
        self._locks = engine.dialect.name == "postgresql"
        if self._locks:
            self._engine = engine.execution_options(isolation_level="REPEATABLE READ")
        self._glances = engine.execution_options(isolation_level="AUTOCOMMIT")  # one round trip, no transaction

    @classmethod
    def open(cls, url: str) -> Database:
        """Open an existing ledger.

        Raises:
            NotFound: there is none at ``url``.
            FatalFault: it has another layout than this program knows.
        """
        file = file_of(address(url))
        if file is not None and not file.is_file():
            raise NotFound(f"There is no archive here: {file} is missing.", "Make one with 'archive init'.")
        database = cls(connected(url))
        with database.read() as transaction:
            found = LAYOUT.found(transaction)
        if found is None:
            raise NotFound(f"{shown(url)} holds no archive.", "Make one with 'archive init'.")
        LAYOUT.check(found, url)
        return database

    @classmethod
    def create(cls, url: str) -> Database:
        """Open the ledger at ``url``, made if it is not there."""
        engine = connected(url)
        with _told():
            ready(engine, LAYOUT)
        return cls(engine)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction in which everything read is of one moment."""
        with _told(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, by: str | None = None, reason: str | None = None) -> Iterator[Connection]:
        """A transaction that alone writes; commits when left, or leaves nothing if left by an exception.

        ``by`` and ``reason`` are kept with it for its events.
        """
        with _told(), self._writing.connect() as connection, connection.begin():
            connection.execution_options(archive_by=by, archive_reason=reason)
            if self._locks:
                connection.execute(select(func.pg_advisory_xact_lock(_WRITERS)))
            yield connection

    def version(self) -> int | None:
        """A number that changes whenever what is published does (on SQLite with every commit of anybody); None where
        that cannot be had for nearly nothing.

        It means something only beside another that the same object gave.
        """
        if self._locks:
            return self._revision()
        if self._file is None:
            return None
        with self._glancing:
            if self._glance is None:
                self._glance = sqlite3.connect(
                    f"{self._file.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False
                )
            return int(self._glance.execute("PRAGMA data_version").fetchone()[0])

    @property
    def is_on_server(self) -> bool:
        """Whether it is PostgreSQL."""
        return self._locks

    def close(self) -> None:
        self._engine.dispose()
        with self._glancing:
            if self._glance is not None:
                self._glance.close()
                self._glance = None
            if self._watching is not None:
                self._watching.close()
                self._watching = None

    def _revision(self) -> int:
        """The revision of what is published, over a connection that does nothing else: every query asks."""
        with self._glancing:
            if self._watching is not None:
                try:
                    return _asked(self._watching)
                except psycopg2.Error:  # what follows tells why
                    self._watching.close()
                    self._watching = None
            with _told(), self._glances.connect() as connection:  # tells what is wrong, if anything is
                number = int(connection.execute(select(revision.c.number)).scalar_one())
                self._watching = _watching(self._engine)
                return number


def _watching(engine: Engine) -> Any:
    """A connection on which ``_asked`` can be asked; None if there is none to be had."""
    positional, named = engine.dialect.create_connect_args(engine.url)
    try:
        connection = psycopg2.connect(*positional, **named)
    except psycopg2.OperationalError:
        return None
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"PREPARE glance AS {select(revision.c.number)}")
    return connection


def _asked(connection: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute("EXECUTE glance")
        (number,) = cursor.fetchone()
    return int(number)


def now() -> str:
    """This moment as the ledger writes it: UTC, ISO 8601, microseconds."""
    return stamp(datetime.now(UTC))


def stamp(time: datetime) -> str:
    """``time`` as the ledger writes it."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@contextmanager
def _told() -> Iterator[None]:
    """Turn what a database says into faults that people understand."""
    try:
        yield
    except OperationalError as error:
        if "locked" in str(error.orig) or "busy" in str(error.orig):
            raise TransientFault("The ledger is busy.", "Try again in a moment.") from error
        raise FatalFault("The ledger cannot be used.", "Is there room on the disk, and is it writable?") from error
    except DBAPIError as error:
        raise FatalFault("The ledger refused a change.", "This is a fault of the program.") from error
