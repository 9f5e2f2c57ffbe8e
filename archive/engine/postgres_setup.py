"""What a database needs before it is an archive's: our functions, the schema of editions, pgSphere made parallel."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import quote, urlencode

import sqlalchemy as sa
from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError, OperationalError

from archive.engine.postgres_build import REMOVED, SCHEMA
from archive.engine.postgres_dialect import UDF
from archive.faults import FatalFault, TransientFault

_FUNCTIONS, _SPHERICAL = (
    files("archive.engine").joinpath(name).read_text(encoding="utf-8")
    for name in ("postgres.sql", "postgres_sphere.sql")
)
_VERSION = hashlib.sha256((_FUNCTIONS + _SPHERICAL).encode()).hexdigest()[:16]
_LOCK = 0x6172_6368  # of the advisory lock under which one process sets up
_OLDEST = 140_000  # server version: SQL-standard function bodies

_BLANK, _ESCAPED = re.compile(r"([\\ ])"), r"\\\1"  # in the options of a connection

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
    """What a database is: for the engine, and for people who look after it.

    ``version`` is the server's (150018 for 15.18); ``sphere`` and ``sphere_schema`` tell of pgSphere, None where it is
    not installed; ``parallel`` that queries which call it may use several cores; ``stamp`` what was set up here last.
    """

    version: int
    encoding: str
    order: str
    sphere: str | None
    sphere_schema: str | None
    parallel: bool
    stamp: str | None

    @property
    def is_suitable(self) -> bool:
        """True if the archive can work with it."""
        ordered = self.order.upper().replace("-", "") in ("C", "POSIX", "C.UTF8")
        return self.version >= _OLDEST and self.encoding == "UTF8" and ordered

    def is_prepared(self, role: str | None) -> bool:
        """True if the functions, the index support and the rights are those of this program."""
        return self.stamp == _stamp(self.sphere, role)


def prepare(address: URL, role: str | None = None) -> Facts:
    """Make the database at ``address`` fit, where it is not yet, and tell what it is.

    ``role``, if given, is made where it is not there, and may read editions and nothing else.

    Raises:
        TransientFault: it cannot be reached.
        FatalFault: it is of a kind we cannot work with, or we may not set it up.
    """
    with connected(address) as connection:
        found = _facts(connection)
        if not found.is_suitable:
            raise FatalFault(
                f"The database has version {found.version // 10_000}, encoding {found.encoding}, order {found.order}.",
                "The archive needs PostgreSQL 14 or newer and a database made with:"
                " CREATE DATABASE ... TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'",
            )
        if found.is_prepared(role):
            return found
        _set_up(connection.execution_options(no_parameters=True), role)
        return _facts(connection)


@contextmanager
def connected(address: URL) -> Iterator[Connection]:
    """One transaction; what the database says goes into our words."""
    engine = sa.create_engine(address, poolclass=sa.NullPool)
    try:
        with engine.connect() as connection, connection.begin():
            yield connection
    except OperationalError as error:
        raise TransientFault("The database cannot be reached at the moment.", "Is the server running?") from error
    except DBAPIError as error:
        raise FatalFault(
            "The database cannot be prepared for the archive's tables.",
            "Let the archive's user own the database, then try again.",
        ) from error
    finally:
        engine.dispose()


def _facts(connection: Connection) -> Facts:
    query = sa.text(
        "SELECT current_setting('server_version_num')::int, pg_encoding_to_char(encoding), datcollate,"
        " extversion, extnamespace::regnamespace::text, NOT EXISTS (SELECT 1 FROM pg_proc p JOIN pg_depend d"
        " ON d.objid = p.oid AND d.deptype = 'e' AND d.classid = 'pg_proc'::regclass AND d.refobjid = e.oid"
        " WHERE p.provolatile = 'i' AND p.proparallel <> 's' AND p.prokind = 'f'),"
        " (SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = :udf)"
        " FROM pg_database LEFT JOIN pg_extension e ON extname = 'pg_sphere' WHERE datname = current_database()"
    )
    return Facts(*connection.execute(query, {"udf": UDF}).one())


def _stamp(sphere: str | None, role: str | None) -> str:
    return f"{_VERSION} pgSphere {sphere} role {role}".replace("'", '"')


def _set_up(connection: Connection, role: str | None) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    connection.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {REMOVED} (place text PRIMARY KEY)")
    connection.exec_driver_sql(_FUNCTIONS)
    _add_sphere(connection)
    found = _facts(connection)
    if found.sphere is not None:
        connection.exec_driver_sql(f"SET LOCAL search_path = {UDF}, {found.sphere_schema}, pg_catalog")
        connection.exec_driver_sql(_SPHERICAL)
    if role is not None:
        _admit(connection, role)
    connection.exec_driver_sql(f"COMMENT ON SCHEMA {UDF} IS '{_stamp(found.sphere, role)}'")


def _add_sphere(connection: Connection) -> None:
    """Add pgSphere where it can be had; its functions that depend on nothing but arguments may run in parallel."""
    for statement in (_SPHERE, _PARALLEL):
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(statement)
        except DBAPIError:  # not installed, or not ours to alter: HEALPix answers everything without it
            return


def _admit(connection: Connection, role: str) -> None:
    """Make the role where it is not there, and let it read editions, those that are to come as well."""
    name = connection.dialect.identifier_preparer.quote_identifier(role)
    roles = "SELECT rolname, pg_has_role(oid, 'MEMBER') FROM pg_roles"
    member: dict[str, bool] = {row.rolname: row.pg_has_role for row in connection.exec_driver_sql(roles)}
    try:
        with connection.begin_nested():
            if role not in member:
                connection.exec_driver_sql(f"CREATE ROLE {name} NOLOGIN")
            if not member.get(role):
                connection.exec_driver_sql(f"GRANT {name} TO CURRENT_USER")
    except DBAPIError as error:
        raise FatalFault(
            f"The role '{role}', as which queries are to run, cannot be made.",
            f"Let an administrator of the server: CREATE ROLE {role} NOLOGIN, and GRANT {role} TO the archive's user.",
        ) from error
    connection.exec_driver_sql(
        f"GRANT USAGE ON SCHEMA {SCHEMA} TO {name}; GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {name};"
        f" ALTER DEFAULT PRIVILEGES IN SCHEMA {SCHEMA} GRANT SELECT ON TABLES TO {name}"
    )
    database = connection.exec_driver_sql("SELECT quote_ident(current_database())").scalar_one()
    connection.exec_driver_sql(f"GRANT TEMPORARY ON DATABASE {database} TO {name}")


def libpq(address: URL, options: dict[str, str]) -> str:
    """The address as PostgreSQL's own library takes it, with settings for each session."""
    own = address.query.get("options", "")
    written = (f"-c {name}={_BLANK.sub(_ESCAPED, value)}" for name, value in options.items())
    settings = " ".join([str(own), *written]).strip()
    query = {**address.query, "options": settings}
    bare = address.set(drivername="postgresql", query={}).render_as_string(hide_password=False)
    return f"{bare}?{urlencode(query, quote_via=quote)}"
