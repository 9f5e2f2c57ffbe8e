"""``archive grant``: who has which role.

A reader may read files before they are public; a producer bring in files and rows; a curator do both, publish them and
correct what is said of them; an operator do everything; a peer is another endpoint. Actors are users of this machine or
names of your choice, for which tokens are made.
"""

from __future__ import annotations

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output
from archive.faults import UsageFault

ROLES = ("reader", "producer", "curator", "operator", "peer")


@click.group(help=__doc__)
def grant() -> None:
    pass


@grant.command()
@click.argument("actor")
@click.argument("role", type=click.Choice(ROLES))
@click.option("--reason", help="Why, for the log.")
@click.pass_obj
def add(output: Output, actor: str, role: str, reason: str | None) -> None:
    """Give an actor a role."""
    from archive.ledger import grants

    _check(actor)
    with opened(output, "OPERATE") as endpoint, endpoint.ledger.write(reason=reason) as transaction:
        new = grants.add(transaction, actor, role)
    told = f"{actor} is {role} now." if new else f"{actor} is {role} already; nothing changed."
    output.result({"actor": actor, "role": role, "changed": new}, told)


@grant.command("list")
@click.pass_obj
def list_(output: Output) -> None:
    """List all grants."""
    from archive.ledger import grants

    with opened(output, "WATCH") as endpoint, endpoint.ledger.read() as transaction:
        found = grants.everyone(transaction)
    facts = [{"actor": each.actor, "role": each.role, "since": each.since, "by": each.by} for each in found]
    output.result({"grants": facts}, *(f"{each.actor}: {each.role}, since {each.since} by {each.by}" for each in found))


@grant.command()
@click.argument("actor")
@click.argument("role", type=click.Choice(ROLES))
@click.option("--reason", help="Why, for the log.")
@click.pass_obj
def remove(output: Output, actor: str, role: str, reason: str | None) -> None:
    """Take a role from an actor; their tokens in it are worthless from then on."""
    from archive.ledger import grants

    with opened(output, "OPERATE") as endpoint, endpoint.ledger.write(reason=reason) as transaction:
        if role == "operator" and grants.holders(transaction, role) == {actor}:
            raise UsageFault(f"'{actor}' is the last operator.", "Make somebody else one first.")
        gone = grants.remove(transaction, actor, role)
    told = f"{actor} is {role} no more." if gone else f"{actor} was not {role}; nothing changed."
    output.result({"actor": actor, "role": role, "changed": gone}, told)


def _check(actor: str) -> None:
    if not actor.strip() or not actor.isprintable():
        raise UsageFault(f"{actor!r} is no name of an actor.", "Write it in signs that can be seen.")
