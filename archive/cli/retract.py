"""``archive retract``: take files back that were ingested by mistake; nobody is shown them any more.

Their names are never used again. What others were made from is taken back only together with all of these.
"""

from __future__ import annotations

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output


@click.command(help=__doc__)
@click.argument("uris", metavar="URI...", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why, for the log.")
@click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")
@click.pass_obj
def retract(output: Output, uris: tuple[str, ...], reason: str, dry_run: bool) -> None:
    from archive.backbone import amendments

    with opened(output, "CURATE") as endpoint:
        done = amendments.retract(endpoint, uris, reason=reason, dry_run=dry_run)
    would = "would be" if dry_run else "is"
    sentences = [f"{uri} {would} retracted." for uri in done]
    sentences += [f"{uri} was retracted before; nothing changed." for uri in uris if uri not in done]
    output.result({"retracted": list(done), "dry_run": dry_run}, *sentences)
