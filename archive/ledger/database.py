"""The database under a ledger: opening it, and transactions that mean the same on SQLite and PostgreSQL.

SQLite runs in WAL mode with ``synchronous=FULL``: a commit that returned survives a power cut, and readers never
wait for a writer. A transaction that writes takes the ledger's one write lock when it begins (PostgreSQL: an
advisory lock), so it never fails half-way because another was faster, and what it reads is the newest there is.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, inspect, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from archive.faults import FatalFault, NotFound, TransientFault, UsageFault
from archive.ledger import schema

_PATIENCE = 30_000  # milliseconds that a writer waits for another
_WRITERS = 0x41524348  # PostgreSQL's name for the lock that writers hold


class Database:
    """Connections to one ledger's database. Safe for threads, not across a fork."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._file = _file(engine.url)
        self._glance: sqlite3.Connection | None = None  # never writes: SQLite counts the commits of others for it
        self._glancing = threading.Lock()
        self._writing = engine.execution_options(archive_writes=True)
        if engine.dialect.name == "postgresql":
            self._writing = self._writing.execution_options(isolation_level="READ COMMITTED")

    @classmethod
    def open(cls, url: str) -> Database:
        """Open an existing ledger.

        Raises:
            NotFound: there is none at ``url``.
            FatalFault: it has another layout than this program knows.
        """
        address = _address(url)
        if _file(address) is not None and not _exists(address):
            raise NotFound(f"There is no archive here: {_file(address)} is missing.", "Make one with 'archive init'.")
        database = cls(_engine(address))
        database._check_layout(url)
        return database

    @classmethod
    def create(cls, url: str) -> Database:
        """Open the ledger at ``url``, made if it is not there."""
        address = _address(url)
        file = _file(address)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        database = cls(_engine(address))
        with database.write() as transaction:
            if not inspect(transaction).has_table(schema.layout.name):
                schema.metadata.create_all(transaction)
                transaction.execute(schema.layout.insert().values(version=schema.VERSION))
                transaction.execute(schema.revision.insert().values(one=1, number=0))
        database._check_layout(url)
        return database

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction in which everything read is of one moment."""
        with _told(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that alone writes; commits when left, or leaves nothing if left by an exception."""
        with _told(), self._writing.connect() as connection, connection.begin():
            yield connection

    def version(self) -> int | None:
        """A number that changes whenever anybody commits anything; None where that cannot be had for nearly nothing.

        It means something only beside another that the same object gave.
        """
        if self._file is None:
            return None
        with self._glancing:
            if self._glance is None:
                self._glance = sqlite3.connect(
                    f"{self._file.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False
                )
            return int(self._glance.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        self._engine.dispose()
        with self._glancing:
            if self._glance is not None:
                self._glance.close()
                self._glance = None

    def _check_layout(self, url: str) -> None:
        with self.read() as transaction:
            if not inspect(transaction).has_table(schema.layout.name):
                raise NotFound(f"{_shown(url)} holds no archive.", "Make one with 'archive init'.")
            version = transaction.execute(select(schema.layout.c.version)).scalar_one()
        if version != schema.VERSION:
            raise FatalFault(
                f"The ledger at {_shown(url)} has layout {version}; this program knows layout {schema.VERSION}.",
                "Use the program that fits.",
            )


def connected(url: str) -> Engine:
    """An engine on ``url`` with the habits of the ledger; a SQLite file's folder is made.

    Transactions that write take ``execution_options(archive_writes=True)``.
    """
    address = _address(url)
    file = _file(address)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    return _engine(address)


def now() -> str:
    """This moment as the ledger writes it: UTC, ISO 8601, microseconds."""
    return stamp(datetime.now(UTC))


def stamp(time: datetime) -> str:
    """``time`` as the ledger writes it."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _address(url: str) -> URL:
    try:
        address = make_url(url)
    except ArgumentError:
        remedy = "Write, for example, sqlite:////data/ledger.sqlite"
        raise UsageFault(f"'{url}' is not a database URL.", remedy) from None
    if address.drivername == "postgresql":
        return address.set(drivername="postgresql+psycopg2")
    return address


def _shown(url: str) -> str:
    return make_url(url).render_as_string(hide_password=True)


def _file(address: URL) -> Path | None:
    """The file of a SQLite database."""
    if address.get_backend_name() != "sqlite" or address.database in (None, "", ":memory:"):
        return None
    return Path(str(address.database))


def _exists(address: URL) -> bool:
    file = _file(address)
    return file is not None and file.is_file()


def _engine(address: URL) -> Engine:
    options = {} if address.get_backend_name() == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    engine = create_engine(address, pool_size=8, max_overflow=24, **options)
    event.listen(engine, "begin", _begin)
    if address.get_backend_name() != "sqlite":
        return engine
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself; _begin does
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {_PATIENCE}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("archive_writes", False)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
    elif writes:
        connection.execute(select(func.pg_advisory_xact_lock(_WRITERS)))


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
