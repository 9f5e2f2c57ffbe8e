"""Which engine an archive has: that of its database if it is PostgreSQL, else DuckDB over files in its home."""

from __future__ import annotations

import sqlalchemy as sa

from archive.config import Config
from archive.engine.contract import Engine


def open_engine(config: Config) -> Engine:
    """The engine of the archive with these settings, open in this process; it does not survive a fork.

    Raises:
        TransientFault: the database cannot be reached.
        FatalFault: the database is of a kind we cannot work with.
    """
    # Each engine is imported where it is chosen: a verb should not wait for the libraries of the other.
    if config.database is not None and sa.make_url(config.database).get_backend_name() == "postgresql":
        from archive.engine.postgres import Postgres

        # A connection for each query that has its turn, and one for whoever asks beside them.
        pool = config.short_queries + config.long_queries + 1
        return Postgres(config.database, role=config.query_role, pool=pool)
    from archive.engine.duckdb import DuckDB

    return DuckDB(config.editions, threads=config.threads, memory=config.memory, scratch=config.scratch_folder)
