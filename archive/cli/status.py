"""``archive status``: what is on its way, and what was loaded and is not shown yet; the public sees nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output

if TYPE_CHECKING:
    from archive.ledger.underway import Underway


@click.command(help=__doc__)
@click.pass_obj
def status(output: Output) -> None:
    from archive.ledger.underway import underway

    with opened(output, "WATCH") as endpoint, endpoint.ledger.read() as transaction:
        found = underway(transaction)
    output.result(asdict(found), *(list(_told(found)) or ["Nothing is on its way; all that was loaded is shown."]))


def _told(found: Underway) -> Iterator[str]:
    for table in found.tables:
        shown = "not shown yet" if table.shown is None else f"{table.shown:,} of them shown"
        show = f"Show them: archive publish {table.name.partition('.')[0]}"
        yield f"{table.name}: {table.loaded:,} rows loaded, {shown}. {show}"
    for name in found.building:
        yield f"{name}: an edition is being built."
    for arrival in found.arrivals:
        who = f"{arrival.role} on {arrival.host}" if arrival.alive else "a process that lives no more"
        yield f"{arrival.id}: files come into store '{arrival.store}' since {arrival.begun}, brought by {who}."
    if found.proprietary:
        yield f"{found.proprietary:,} files are not public yet."
    for name in ("absent", "bad"):
        if found.copies.get(name):
            yield f"{found.copies[name]:,} copies are {name}."
