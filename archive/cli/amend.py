"""``archive amend``: correct what is said of a file; its bytes stay, and what was said before stays in the log."""

from __future__ import annotations

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output
from archive.cli._pairs import pairs


@click.command(help=__doc__)
@click.argument("uri")
@click.option("--set", "given", metavar="KEY=VALUE", multiple=True, help="What is right.")
@click.option("--null", "nulls", metavar="ITEM=REASON", multiple=True, help="Why an item of metadata is not known.")
@click.option("--reason", required=True, help="Why, for the log.")
@click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")
@click.pass_obj
def amend(output: Output, uri: str, given: tuple[str, ...], nulls: tuple[str, ...], reason: str, dry_run: bool) -> None:
    from archive.backbone import amendments

    with opened(output, "CURATE") as endpoint:
        done = amendments.amend(
            endpoint, uri, pairs("--set", given), pairs("--null", nulls), reason=reason, dry_run=dry_run
        )
    facts = {"uri": uri, "revision": done.revision, "changed": list(done.changed), "dry_run": dry_run}
    what = ", ".join(done.changed)
    would = "would be" if dry_run else "is"
    said = f"{uri}: {what} {would} corrected." if what else f"{uri}: this is what was said; nothing changed."
    output.result(facts, said)
