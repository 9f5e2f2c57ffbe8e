"""``archive sweep``: delete the bytes of dropped files whose grace is over. Run it every day.

What was broken off is completed by the next run. A spare copy whose file has no other good ones any more stays.
"""

from __future__ import annotations

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output


@click.command(help=__doc__)
@click.option("--limit", type=click.IntRange(min=1), help="At most so many copies.")
@click.option("--dry-run", is_flag=True, help="Tell what would be deleted, change nothing.")
@click.pass_obj
def sweep(output: Output, limit: int | None, dry_run: bool) -> int:
    from archive.backbone import dropping
    from archive.backbone.reserve import shown

    units = {"files": "files", "read": "bytes"}
    with opened(output, "OPERATE") as endpoint, output.progress(units) as progress:
        done = dropping.sweep(endpoint, limit=limit, dry=dry_run, progress=progress)
    would = "would be" if dry_run else "are"
    held = [{"uri": row.uri, "store": row.copy.place.store, "why": why} for row, why in done.held]
    sentences = [f"{each['uri']} stays in {each['store']}: {each['why']}." for each in held]
    sentences.append(f"{done.copies:,} copies ({shown(done.size)}) {would} deleted.")
    output.result({"copies": done.copies, "bytes": done.size, "held": held, "dry_run": dry_run}, *sentences)
    return 1 if held else 0
