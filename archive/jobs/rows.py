"""Rows of the job tables to and from the words of this room."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from archive.jobs import tables
from archive.jobs.model import Client, Failure, Job, Lane, Parameter, Phase, Product


def queue(lane: Lane) -> sa.Select[tuple[str]]:
    """The jobs waiting in ``lane``, next first: who has fewest jobs running, then who has waited longest."""
    c, other = tables.jobs.c, tables.jobs.alias()
    running = (
        sa.select(sa.func.count())
        .select_from(other)
        .where(other.c.client == c.client, other.c.phase == Phase.EXECUTING, other.c.lane == c.lane)
        .correlate(tables.jobs)
        .scalar_subquery()
    )
    return sa.select(c.id).where(c.phase == Phase.QUEUED, c.lane == lane).order_by(running, c.queued, c.id)


def insert_parameters(connection: sa.Connection, job: str, place: int, given: Sequence[Parameter]) -> None:
    """Write parameters of a job, the first at ``place``."""
    rows = [
        {"job": job, "place": place + i, "name": p.name, "value": p.value, "file": p.file.name if p.file else None}
        for i, p in enumerate(given)
    ]
    if rows:
        connection.execute(sa.insert(tables.parameters), rows)


def parameters(connection: sa.Connection, job: str, folder: Path) -> tuple[Parameter, ...]:
    """The parameters of a job in order; uploads lie in its ``folder``."""
    c = tables.parameters.c
    found = connection.execute(sa.select(c.name, c.value, c.file).where(c.job == job).order_by(c.place))
    return tuple(Parameter(row.name, row.value, folder / row.file if row.file else None) for row in found)


def products(connection: sa.Connection, job: str) -> tuple[Product, ...]:
    """The results of a job."""
    c = tables.products.c
    rows = connection.execute(sa.select(c.name, c.media, c.file, c.size, c.token).where(c.job == job).order_by(c.name))
    return tuple(Product(row.name, row.media, row.file, row.size, row.token) for row in rows)


def job(row: sa.Row[Any], given: tuple[Parameter, ...], made: tuple[Product, ...]) -> Job:
    """A job from its row and its parts."""
    return Job(
        id=row.id,
        service=row.service,
        client=Client(row.owner, row.address),
        phase=Phase(row.phase),
        lane=Lane(row.lane),
        run_id=row.run_id,
        created=row.created,
        queued=row.queued,
        started=row.started,
        ended=row.ended,
        destruction=row.destruction,
        duration=row.duration,
        runner=row.runner,
        rows=row.rows,
        failure=None if row.fault is None else Failure(row.fault, row.message),
        parameters=given,
        products=made,
    )


def reason(why: Failure | None) -> dict[str, str]:
    """The columns that keep a failure."""
    return {} if why is None else {"fault": why.dali, "message": why.message}
