"""How all that keeps facts in SQL is reached: one set of habits for the ledger, the jobs and the query log.

SQLite runs in WAL mode with ``synchronous=FULL`` and with foreign keys in force. Python's driver begins no transaction
by itself; a transaction that is going to write says so when it begins, with ``WRITES``, and so waits for others at its
beginning instead of failing half-way.

A server that cannot be reached is a ``TransientFault``, whoever asks; a connection that died while it lay in the pool
is found out and replaced before it is used.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, QueuePool, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from archive.faults import FatalFault, TransientFault, UsageFault

_log = logging.getLogger(__name__)

WRITES = "archive_writes"
"""The execution option of connections whose transactions write."""

_PATIENCE = 30_000  # milliseconds that a writer waits for another


class _Waiting(QueuePool):
    """A pool whose connections are waited for, but not for ever."""

    def _do_get(self) -> ConnectionPoolEntry:
        try:
            return super()._do_get()
        except PoolTimeout as error:
            raise TransientFault("The service is too busy at the moment.", "Try again in a moment.") from error


logging.getLogger(f"{__name__}.{_Waiting.__name__}").setLevel(logging.WARNING)  # it would tell of each connection

_OF_A_FILE: dict[str, Any] = {"pool_size": 8, "max_overflow": 24}
_OF_A_SERVER: dict[str, Any] = {  # a server counts its connections, so a process has few
    "poolclass": _Waiting,
    "pool_size": 4,
    "max_overflow": 2,
    "pool_timeout": 10.0,  # seconds
    "pool_pre_ping": True,
}


def connected(url: str, *, pooled: bool = True, foreign_keys: bool = True) -> Engine:
    """An engine on ``url``; a SQLite file's folder is made.

    Transactions that write take ``execution_options(archive_writes=True)``. Unpooled, no connection outlives its use:
    safe to fork around. Without ``foreign_keys`` SQLite lets tables be made anew under others that refer to them.
    """
    found = address(url)
    file = file_of(found)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    pool: dict[str, Any] = {"poolclass": NullPool}
    if pooled:
        pool = _OF_A_FILE if file is not None else _OF_A_SERVER
    engine = create_engine(found, **pool)
    if engine.dialect.name == "postgresql":
        event.listen(engine, "handle_error", _unreachable)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _preparing(foreign_keys))
        event.listen(engine, "begin", _begin)
    return engine


def address(url: str) -> URL:
    """The URL as SQLAlchemy takes it.

    Raises:
        UsageFault: it is none.
    """
    try:
        found = make_url(url)
    except ArgumentError:
        remedy = "Write, for example, sqlite:////data/ledger.sqlite"
        raise UsageFault(f"'{url}' is not a database URL.", remedy) from None
    return found.set(drivername="postgresql+psycopg2") if found.drivername == "postgresql" else found


def shown(url: str) -> str:
    """The URL without what is secret in it."""
    return make_url(url).render_as_string(hide_password=True)


def file_of(found: URL) -> Path | None:
    """The file of a SQLite database."""
    if found.get_backend_name() != "sqlite" or found.database in (None, "", ":memory:"):
        return None
    return Path(str(found.database))


_AWAY = ("08", "57P", "53300")
"""SQLSTATEs, or their beginnings, of a server that is not there, is starting or ending, or takes no more clients."""

_KEPT_OUT = re.compile(r"authentication|pg_hba|(role|database) .* does not exist|password")


def _unreachable(context: ExceptionContext) -> None:
    """Tell of a server that cannot be reached in words for people; it says itself what is wrong only to the log."""
    error = context.original_exception
    if context.is_pre_ping or context.sqlalchemy_exception is None:  # what is no error of the database is not ours
        return
    state = getattr(error, "pgcode", None) or ""
    if not (context.is_disconnect or context.connection is None or state.startswith(_AWAY)):
        return
    _log.warning("the database cannot be reached: %s", str(error).strip())
    if context.connection is None and _KEPT_OUT.search(str(error)):
        raise FatalFault(
            "The database does not let the archive in.", "Check its user, password and name in the setting 'database'."
        ) from error
    raise TransientFault("The database cannot be reached at the moment.", "Try again in a moment.") from error


def _preparing(foreign_keys: bool) -> Any:
    pragmas = (
        f"busy_timeout = {_PATIENCE}",
        "journal_mode = WAL",
        "synchronous = FULL",
        f"foreign_keys = {'ON' if foreign_keys else 'OFF'}",
    )

    def prepare(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself; _begin does
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return prepare


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
