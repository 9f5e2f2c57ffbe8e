"""PostgreSQL for tests of the engine: one server for each test process, a database for each folder."""

from __future__ import annotations

import atexit
import hashlib
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from archive.engine.postgres import Postgres
from tests.postgres import postgres

_TEMPLATE = "prepared"


def engine(folder: Path) -> Postgres:
    """The engine whose database stands for ``folder``; made at first use, the same one for each process or thread."""
    return Postgres(database(folder), pool=8)


def database(folder: Path) -> str:
    """The URL of the database that stands for ``folder``."""
    name = "d" + hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    _make(name, _TEMPLATE)
    return _url(name)


def empty(folder: Path) -> str:
    """The URL of a database that stands for ``folder`` and in which nothing was set up."""
    name = "e" + hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    _make(name, "template0")
    return _url(name)


@cache
def _server() -> str:
    running = ExitStack()
    atexit.register(running.close)
    return running.enter_context(postgres())


@cache
def _make(name: str, template: str) -> None:
    if template == _TEMPLATE:
        _prepared()
    server = sa.create_engine(_server(), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")


@cache
def _prepared() -> None:
    """A database that has been set up, to copy: that is ten times faster than setting up each."""
    _make(_TEMPLATE, "template0")
    Postgres(_url(_TEMPLATE)).close()


def _url(name: str) -> str:
    return sa.make_url(_server()).set(database=name).render_as_string(hide_password=False)
