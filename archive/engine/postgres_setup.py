"""What a database needs before it is an archive's: our functions, the schema of editions, pgSphere made parallel."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import quote, urlencode

import sqlalchemy as sa
from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError, OperationalError

from archive.engine.postgres_build import REMOVED, SCHEMA
from archive.engine.postgres_dialect import UDF
from archive.faults import FatalFault, TransientFault

_FUNCTIONS = files("archive.engine").joinpath("postgres.sql").read_text(encoding="utf-8")
_VERSION = hashlib.sha256(_FUNCTIONS.encode()).hexdigest()[:16]
_LOCK = 0x6172_6368  # of the advisory lock under which one process sets up
_OLDEST = 140_000  # server version: SQL-standard function bodies

_SPHERE = "CREATE EXTENSION IF NOT EXISTS pg_sphere"
_PARALLEL = """
DO $$ DECLARE f record; BEGIN
    FOR f IN SELECT p.oid::regprocedure AS name FROM pg_proc p
        JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e' AND d.classid = 'pg_proc'::regclass
        JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'pg_sphere'
        WHERE p.provolatile = 'i' AND p.proparallel <> 's' AND p.prokind = 'f'
    LOOP EXECUTE format('ALTER FUNCTION %s PARALLEL SAFE', f.name); END LOOP;
END $$
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the database has: pgSphere's version and schema, None where it is not installed."""

    sphere: str | None
    sphere_schema: str | None


def prepare(address: URL) -> Facts:
    """Make the database at ``address`` fit, where it is not yet, and tell what it has.

    Raises:
        TransientFault: it cannot be reached.
        FatalFault: it is of a kind we cannot work with, or we may not set it up.
    """
    engine = sa.create_engine(address, poolclass=sa.NullPool)
    try:
        with engine.connect() as connection, connection.begin():
            _check(connection)
            if _installed(connection) != _VERSION:
                _set_up(connection)
            return _facts(connection)
    except OperationalError as error:
        raise TransientFault("The database cannot be reached at the moment.", "Is the server running?") from error
    except DBAPIError as error:
        raise FatalFault(
            "The database cannot be prepared for the archive's tables.",
            "Let the archive's user own the database, then try again.",
        ) from error
    finally:
        engine.dispose()


def _check(connection: Connection) -> None:
    query = sa.text(
        "SELECT current_setting('server_version_num')::int, pg_encoding_to_char(encoding), datcollate"
        " FROM pg_database WHERE datname = current_database()"
    )
    version, encoding, order = connection.execute(query).one()
    if version < _OLDEST or encoding != "UTF8" or order.upper().replace("-", "") not in ("C", "POSIX", "C.UTF8"):
        raise FatalFault(
            f"The database is of version {version // 10_000}, encoding {encoding}, order {order}.",
            "The archive needs PostgreSQL 14 or newer and a database made with:"
            " CREATE DATABASE ... TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'",
        )


def _installed(connection: Connection) -> str | None:
    query = sa.text("SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = :name")
    found: str | None = connection.execute(query, {"name": UDF}).scalar_one_or_none()
    return found


def _set_up(connection: Connection) -> None:
    literally = connection.execution_options(no_parameters=True)
    literally.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    literally.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}; GRANT USAGE ON SCHEMA {SCHEMA} TO PUBLIC")
    literally.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {REMOVED} (place text PRIMARY KEY)")
    literally.exec_driver_sql(_FUNCTIONS)
    _add_sphere(literally)
    literally.exec_driver_sql(f"COMMENT ON SCHEMA {UDF} IS '{_VERSION}'")


def _add_sphere(connection: Connection) -> None:
    """Add pgSphere where it can be had; its functions that depend on nothing but arguments may run in parallel."""
    for statement in (_SPHERE, _PARALLEL):
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(statement)
        except DBAPIError:  # not installed, or not ours to alter: HEALPix answers everything without it
            return


def _facts(connection: Connection) -> Facts:
    query = sa.text(
        "SELECT extversion, nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace"
        " WHERE extname = 'pg_sphere'"
    )
    found = connection.execute(query).one_or_none()
    return Facts(None, None) if found is None else Facts(*found)


def libpq(address: URL, options: dict[str, str]) -> str:
    """The address as PostgreSQL's own library takes it, with settings for each session."""
    own = address.query.get("options", "")
    settings = " ".join([str(own), *(f"-c {name}={value}" for name, value in options.items())]).strip()
    query = {**address.query, "options": settings}
    bare = address.set(drivername="postgresql", query={}).render_as_string(hide_password=False)
    return f"{bare}?{urlencode(query, quote_via=quote)}"
