"""``archive undrop``: bring dropped files back as long as their bytes are there. Each is read and compared first."""

from __future__ import annotations

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output


@click.command(help=__doc__)
@click.argument("uris", metavar="URI...", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why, for the log.")
@click.option("--dry-run", is_flag=True, help="Check what can be checked without reading, write nothing.")
@click.pass_obj
def undrop(output: Output, uris: tuple[str, ...], reason: str, dry_run: bool) -> None:
    from archive.backbone import dropping

    with opened(output, "OPERATE") as endpoint, output.progress({"read": "bytes"}) as progress:
        done = dropping.undrop(endpoint, uris, reason=reason, dry=dry_run, progress=progress)
    would = "would be" if dry_run else "is"
    sentences = [f"{uri} {would} here again." for uri in done]
    sentences += [f"{uri} was not dropped; nothing changed." for uri in uris if uri not in done]
    output.result({"returned": done, "dry_run": dry_run}, *sentences)
