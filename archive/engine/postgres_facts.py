"""What a PostgreSQL server says of itself and of an archive's database in it; nothing is changed by asking."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from archive.engine.postgres_build import SCHEMA


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """``sphere`` is the version of pgSphere here, ``sphere_to_be_had`` the one that the server could add; None where
    there is none. ``serial`` is how many of its functions keep a query from running in parallel although they need not.
    """

    version: int
    encoding: str
    order: str
    sphere: str | None
    sphere_to_be_had: str | None
    serial: int
    time: datetime


_DATABASE = sa.text(
    "SELECT current_setting('server_version_num')::int AS version, pg_encoding_to_char(encoding) AS encoding,"
    " datcollate AS order, clock_timestamp() AS time,"
    " (SELECT extversion FROM pg_extension WHERE extname = 'pg_sphere') AS sphere,"
    " (SELECT default_version FROM pg_available_extensions WHERE name = 'pg_sphere') AS sphere_to_be_had"
    " FROM pg_database WHERE datname = current_database()"
)
_SERIAL = sa.text(
    "SELECT count(*) FROM pg_proc p"
    " JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e' AND d.classid = 'pg_proc'::regclass"
    " JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'pg_sphere'"
    " WHERE p.provolatile = 'i' AND p.proparallel <> 's' AND p.prokind = 'f'"
)
_TABLES = sa.text("SELECT tablename FROM pg_tables WHERE schemaname = :schema").bindparams(schema=SCHEMA)


def server_facts(connection: Connection) -> ServerFacts:
    """What the server says."""
    found = connection.execute(_DATABASE).one()
    return ServerFacts(**found._mapping, serial=connection.execute(_SERIAL).scalar_one())


def places(connection: Connection) -> set[str]:
    """The places of all editions that are in the database."""
    return set(connection.execute(_TABLES).scalars())
