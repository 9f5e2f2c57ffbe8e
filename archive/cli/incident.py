"""``archive incident``: what went wrong and wants people's eyes: list it, show one, or close it with a reason.

Most incidents are closed by what puts them right. A person closes what only a person can judge: that a disk may be
trusted again after so much failed (``brakes``), say.
"""

from __future__ import annotations

from dataclasses import asdict

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output


@click.group(help=__doc__)
def incident() -> None:
    pass


@incident.command("list")
@click.option("--all", "also_closed", is_flag=True, help="Also those that are closed.")
@click.option("--kind", help="Only of this kind, such as bad-copy or brakes.")
@click.pass_obj
def list_(output: Output, also_closed: bool, kind: str | None) -> None:
    """List incidents, oldest first."""
    from archive.ledger import incidents

    with opened(output, "WATCH") as endpoint, endpoint.ledger.read() as transaction:
        found = incidents.everything(transaction) if also_closed else incidents.open_incidents(transaction)
    found = [each for each in found if kind in (None, each.kind)]
    lines = [
        f"{each.id}  {each.opened[:19]}Z  {each.kind}  {each.subject}{'  (closed)' if each.closed else ''}"
        for each in found
    ]
    output.result({"incidents": [asdict(each) for each in found]}, *(lines or ["There are none."]))


@incident.command()
@click.argument("number", type=int)
@click.pass_obj
def show(output: Output, number: int) -> None:
    """Show all that is known of one."""
    from archive.ledger import incidents

    with opened(output, "WATCH") as endpoint, endpoint.ledger.read() as transaction:
        found = incidents.named(transaction, number)
    lines = [f"{name}: {value}" for name, value in asdict(found).items() if name != "detail" and value is not None]
    output.result(asdict(found), *lines, *(f"{name} = {value}" for name, value in found.detail.items()))


@incident.command()
@click.argument("number", type=int)
@click.option("--reason", required=True, help="Why it is over, for the log.")
@click.pass_obj
def close(output: Output, number: int, reason: str) -> None:
    """Say that one is over; if it is not, it is opened again when that shows."""
    from archive.faults import UsageFault
    from archive.ledger import incidents

    if not reason.strip():
        raise UsageFault("No reason is given.", 'Say why: --reason "...".')
    with opened(output, "OPERATE") as endpoint, endpoint.ledger.write(reason=reason) as transaction:
        found = incidents.named(transaction, number)
        closed = incidents.close_incident(transaction, found.kind, found.subject) if found.closed is None else False
    said = "is closed" if closed else "was closed before; nothing changed"
    output.result({"id": number, "closed": closed}, f"{found.kind} of {found.subject} {said}.")
