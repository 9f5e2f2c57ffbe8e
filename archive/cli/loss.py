"""``archive loss``: what is lost: report how much may be, list what was declared lost, or declare a file lost.

No step of the archive gives up a file: that is for a person to decide, with a reason. If its bytes turn up again
(``archive ingest``, ``archive verify``), it is not lost any more.
"""

from __future__ import annotations

from dataclasses import asdict

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output


@click.group(help=__doc__)
def loss() -> None:
    pass


@loss.command()
@click.pass_obj
def report(output: Output) -> None:
    """Tell how many files have no good copy, and what that says of the rate of loss."""
    from archive.backbone.condition import account
    from archive.backbone.verification.loss import ALLOWED, CONFIDENCE

    with opened(output, "WATCH") as endpoint, endpoint.ledger.read() as transaction:
        found = account(transaction, endpoint.stores)
    facts = asdict(found) | {
        "confidence": CONFIDENCE,
        "limit": found.limit if found.checked else None,
        "allowed": ALLOWED,
        "shown": bool(found.checked) and found.is_shown,
    }
    since = f"Since {found.since[:19]}Z every store was read whole." if found.since else ""
    output.result(facts, *filter(None, (since, str(found))))


@loss.command("list")
@click.pass_obj
def list_(output: Output) -> None:
    """List the files that were declared lost, and why."""
    from archive.ledger import losses

    with opened(output, "WATCH") as endpoint, endpoint.ledger.read() as transaction:
        found = losses.all_of(transaction)
    lines = [f"{each.declared[:19]}Z  {each.uri}  {each.size:,} bytes  ({each.reason})" for each in found]
    output.result({"lost": [asdict(each) for each in found]}, *(lines or ["No file was declared lost."]))


@loss.command()
@click.argument("uris", metavar="URI...", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why, for the log.")
@click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")
@click.pass_obj
def declare(output: Output, uris: tuple[str, ...], reason: str, dry_run: bool) -> None:
    """Declare files lost that have no good copy."""
    from archive.backbone.verification import giving_up

    with opened(output, "OPERATE") as endpoint:
        done = giving_up.declare(endpoint, uris, reason=reason, dry_run=dry_run)
    would = "would be" if dry_run else "is"
    sentences = [f"{uri} {would} declared lost." for uri in done]
    sentences += [f"{uri} was declared lost before; nothing changed." for uri in uris if uri not in done]
    output.result({"declared": list(done), "dry_run": dry_run}, *sentences)
