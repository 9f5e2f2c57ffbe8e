"""The tables of jobs, for SQLite and PostgreSQL alike."""

from __future__ import annotations

import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import Dialect

from archive.ledger.connections import connected
from archive.ledger.layouts import Layout, ready


class Instant(sa.types.TypeDecorator[datetime.datetime]):
    """A time in UTC, kept as whole milliseconds since 1970: compared and sorted alike by every database."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime.datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else round(value.timestamp() * 1000)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime.datetime | None:
        if value is None:
            return None
        seconds, milliseconds = divmod(value, 1000)
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(microsecond=milliseconds * 1000)


metadata = sa.MetaData()

LAYOUT = Layout("jobs", metadata, 2, mark="jobs")

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("owner", sa.Text),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("client", sa.Text, nullable=False, doc="Client.key: by which shares are counted"),
    sa.Column("phase", sa.Text, nullable=False),
    sa.Column("lane", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text),
    sa.Column("created", Instant, nullable=False),
    sa.Column("queued", Instant),
    sa.Column("started", Instant),
    sa.Column("ended", Instant),
    sa.Column("destruction", Instant, nullable=False),
    sa.Column("duration", sa.BigInteger, nullable=False),
    sa.Column("runner", sa.Text, doc="who executes or executed the job: the holder of the lease"),
    sa.Column("beat", sa.BigInteger, nullable=False, default=0, doc="grows while the holder lives"),
    sa.Column("rows", sa.BigInteger, nullable=False, default=0),
    sa.Column("fault", sa.Text, doc="DALI word"),
    sa.Column("message", sa.Text),
    sa.Index("jobs_by_phase", "phase", "lane", "queued"),
    sa.Index("jobs_by_client", "client", "created"),
    sa.Index("jobs_by_destruction", "destruction"),
)

parameters = sa.Table(
    "job_parameters",
    metadata,
    sa.Column("job", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("file", sa.Text, doc="of an inline upload: its name in the job's folder"),
)

products = sa.Table(
    "job_products",
    metadata,
    sa.Column("job", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("media", sa.Text, nullable=False),
    sa.Column("file", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("token", sa.Text, doc="what the result can be had again with"),
)


def connect(url: str, *, pooled: bool = True) -> sa.Engine:
    """An engine on ``url`` whose tables exist. Unpooled, no connection outlives its use: safe to fork around."""
    engine = connected(url, pooled=pooled)
    ready(engine, LAYOUT)
    return engine
