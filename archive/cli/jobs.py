"""``archive jobs``: list jobs, show one, or kill some."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import click

from archive.cli._endpoint import Action, identify
from archive.cli._output import Output

if TYPE_CHECKING:
    from archive.jobs import Job, Jobs

_PHASES = ("PENDING", "QUEUED", "EXECUTING", "COMPLETED", "ERROR", "ABORTED")
_KILLED = "An operator of the service stopped this job."


@click.group(help=__doc__)
def jobs() -> None:
    pass


@jobs.command("list")
@click.option("--phase", multiple=True, type=click.Choice(_PHASES, case_sensitive=False), help="Only these phases.")
@click.option("--last", default=50, show_default=True, type=click.IntRange(1), help="So many, newest first.")
@click.option("--service", default="tap", show_default=True, help="The job list of this service.")
@click.pass_obj
def list_(output: Output, phase: tuple[str, ...], last: int, service: str) -> None:
    """List the jobs of all users, newest first."""
    from archive.jobs import Phase

    with _opened(output) as store:
        refs = store.seen_by(service, None, phases=[Phase(each) for each in phase], last=last)
        found = [store.get(ref.id) for ref in refs]
    rows = [_row(job) for job in found]
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (_HEAD, *rows)]
    output.result({"jobs": [_facts(job) for job in found]}, *(lines if found else ["There are no such jobs."]))


@jobs.command()
@click.argument("job")
@click.pass_obj
def show(output: Output, job: str) -> None:
    """Show all that is known of a job."""
    with _opened(output) as store:
        found = store.get(job)
        facts = _facts(found) | {"place_in_queue": store.place_in_queue(found)}
    facts |= {"parameters": [[parameter.name, parameter.value] for parameter in found.parameters]}
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in facts.items() if value not in (None, [], "")]
    lines = [line for line in lines if not line.startswith("parameters: ")]
    output.result(facts, *lines, *(f"{parameter.name} = {parameter.value}" for parameter in found.parameters))


@jobs.command()
@click.argument("job", nargs=-1, required=True)
@click.pass_obj
def kill(output: Output, job: tuple[str, ...]) -> None:
    """Stop jobs; their owners are told that an operator did it."""
    from archive.jobs import Failure

    with _opened(output, "OPERATE") as store:
        stopped = {
            each: store.get(each).phase.active and store.abort(each, Failure("DefaultFault", _KILLED)) for each in job
        }
    told = [f"{each} is stopped." if done else f"{each} had ended; nothing changed." for each, done in stopped.items()]
    output.result({"stopped": [each for each, done in stopped.items() if done]}, *told)


@contextmanager
def _opened(output: Output, action: Action | None = None) -> Iterator[Jobs]:
    from archive.config import Config
    from archive.jobs import Jobs
    from archive.ledger import Ledger

    config = Config.load(home=output.home)
    with closing(Ledger.open(config.ledger_url)) as ledger:  # there is an archive
        identify(ledger, action)
    store = Jobs.of(config)
    try:
        yield store
    finally:
        store.close()


_HEAD = ("JOB", "PHASE", "LANE", "WHO", "CREATED", "RAN", "ROWS")


def _row(job: Job) -> tuple[str, ...]:
    ran = "" if job.started is None else f"{((job.ended or _now()) - job.started).total_seconds():.1f} s"
    created = f"{job.created:%Y-%m-%d %H:%M:%S}"
    return (job.id, job.phase, job.lane, job.client.owner or job.client.address, created, ran, f"{job.rows:,}")


def _facts(job: Job) -> dict[str, Any]:
    return {
        "job": job.id,
        "service": job.service,
        "phase": job.phase,
        "lane": job.lane,
        "owner": job.client.owner,
        "address": job.client.address,
        "run_id": job.run_id,
        "created": _time(job.created),
        "queued": _time(job.queued),
        "started": _time(job.started),
        "ended": _time(job.ended),
        "destruction": _time(job.destruction),
        "duration": job.duration,
        "runner": job.runner,
        "rows": job.rows,
        "error": None if job.failure is None else job.failure.message,
        "results": [[product.name, product.media, product.size] for product in job.products],
    }


def _time(time: datetime.datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="milliseconds")


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
