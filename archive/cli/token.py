"""``archive token``: secrets by which programs act for an actor in one role, over HTTP or by ``ARCHIVE_TOKEN``.

The archive keeps a digest and can never tell a token again. A token is worth something only while its actor is granted
its role.
"""

from __future__ import annotations

from collections.abc import Mapping

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output
from archive.cli.grant import ROLES
from archive.faults import NotFound, UsageFault


@click.group(help=__doc__)
def token() -> None:
    pass


@token.command()
@click.argument("actor")
@click.option("--role", required=True, type=click.Choice(ROLES), help="What can be done by it.")
@click.option("--days", type=click.IntRange(1), help="That it is valid; for ever unless given.")
@click.option("--reason", help="Why, for the log.")
@click.pass_obj
def create(output: Output, actor: str, role: str, days: int | None, reason: str | None) -> None:
    """Make a token; it is printed once and is nowhere else."""
    from datetime import UTC, datetime, timedelta

    from archive.ledger import grants, tokens
    from archive.ledger.database import stamp

    expires = None if days is None else stamp(datetime.now(UTC) + timedelta(days=days))
    with opened(output, "OPERATE") as endpoint, endpoint.ledger.write(reason=reason) as transaction:
        if role not in grants.roles(transaction, actor):
            raise UsageFault(f"'{actor}' is not {role}.", f"Grant it first: archive grant add '{actor}' {role}")
        made = tokens.create(transaction, actor, role, expires)
    facts = {"token": made, "id": made.partition(".")[0], "actor": actor, "role": role, "expires": expires}
    output.result(facts, made)


@token.command("list")
@click.pass_obj
def list_(output: Output) -> None:
    """List all tokens there ever were, without their secrets."""
    from archive.ledger import tokens
    from archive.ledger.database import now

    with opened(output, "OPERATE") as endpoint, endpoint.ledger.read() as transaction:
        found = tokens.everything(transaction)
    moment = now()
    facts = [
        {
            "id": each.id,
            "actor": each.actor,
            "role": each.role,
            "valid": each.is_valid(moment),
            "created": each.created,
            "expires": each.expires,
            "revoked": each.revoked,
            "last_used": each.last_used,
        }
        for each in found
    ]
    output.result({"tokens": facts}, *map(_told, facts))


@token.command()
@click.argument("number", metavar="ID")
@click.option("--reason", help="Why, for the log.")
@click.pass_obj
def revoke(output: Output, number: str, reason: str | None) -> None:
    """Make a token worthless, for ever."""
    from archive.ledger import tokens

    number = number.partition(".")[0]
    with opened(output, "OPERATE") as endpoint, endpoint.ledger.write(reason=reason) as transaction:
        changed = tokens.revoke(transaction, number)
    if changed is None:
        raise NotFound(f"There is no token '{number}'.", "See archive token list.")
    told = f"{number} is worthless now." if changed else f"{number} was revoked before; nothing changed."
    output.result({"id": number, "changed": changed}, told)


def _told(facts: Mapping[str, object]) -> str:
    ended = f"revoked {facts['revoked']}" if facts["revoked"] else f"expires {facts['expires'] or 'never'}"
    return f"{facts['id']}: {facts['role']} {facts['actor']}, {ended}, last used {facts['last_used'] or 'never'}"
