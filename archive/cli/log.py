"""``archive log``: what happened in the archive: when, by whom and why."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output

if TYPE_CHECKING:
    from archive.backbone.endpoint import Endpoint
    from archive.ledger.log import Entry, Wanted

_PAUSE = 1.0  # seconds between two looks


@click.command(help=__doc__)
@click.option("--kind", help="Only events of this kind, such as artifact, publish, retract or token.")
@click.option("--actor", help="Only what this actor did.")
@click.option("--subject", help="Only what is about this: a URI, a schema, a table, the name of an actor, ...")
@click.option("--since", help="Only from this moment on (UTC), such as 2028-01-31 or 2028-01-31T12:00:00.")
@click.option("--follow", is_flag=True, help="Go on and tell what happens, until Ctrl+C.")
@click.pass_obj
def log(
    output: Output, kind: str | None, actor: str | None, subject: str | None, since: str | None, follow: bool
) -> None:
    from archive.cli.ingest import moment
    from archive.ledger.log import Wanted

    wanted = Wanted(kind, actor, subject, None if since is None else moment(since))
    with opened(output, "WATCH") as endpoint:
        last = _tell(output, endpoint, wanted, None)
        while follow:
            time.sleep(_PAUSE)
            last = _tell(output, endpoint, wanted, last)


def _tell(output: Output, endpoint: Endpoint, wanted: Wanted, after: int | None) -> int:
    """Tell what is new since event ``after`` of this endpoint; returns the newest there is. With --json a line each."""
    from archive.ledger import chain, log

    origin = endpoint.site.authority
    with endpoint.ledger.read() as transaction:
        newest = {head.origin: head.seq for head in chain.heads(transaction)}.get(origin, 0)
        for entry in log.entries(transaction, wanted, None if after is None else (origin, after)):
            click.echo(json.dumps(asdict(entry), ensure_ascii=False) if output.as_json else _told(entry))
    return newest


def _told(entry: Entry) -> str:
    about = " ".join(f"{name}={_short(value)}" for name, value in sorted(entry.facts.items()) if value is not None)
    why = f" ({entry.reason})" if entry.reason else ""
    return f"{entry.time[:19]}Z {entry.seq} {entry.actor} {entry.kind} {about}{why}"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:99]}…"
