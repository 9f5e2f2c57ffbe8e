"""``archive drill``: restore the newest backup into a scratch place, compare, and tell how long it took.

FOLDER is a backup, or holds backups. Nothing of the archive is touched. Without ``--whole`` the ledger comes back; with
it all that ``archive restore`` does is done: every stored file is read, everything published is built. The exit code is
1 if something did not come back as it should.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output

_WRONG = 1


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--whole", is_flag=True, help="Also read every stored file and build everything that is published.")
@click.option("--database", help="URL of an empty PostgreSQL database to restore into; else one is made and dropped.")
@click.pass_obj
def drill(output: Output, folder: Path, whole: bool, database: str | None) -> None:
    from archive.backbone import drill as drills

    with (
        opened(output, "OPERATE") as endpoint,
        output.progress({"events": "events", "check": "bytes", "copy": "bytes"}) as progress,
    ):
        done = drills.drill(endpoint, folder, whole=whole, database=database, progress=progress)
    came = "the ledger" if not whole else f"the ledger, {done.files:,} files and {done.editions:,} tables"
    sentences = [
        f"{done.backup} of {done.manifest.made[:19]}Z: {came} came back in {done.seconds:.1f} s.",
        f"{done.rows:,} rows, {done.events:,} events; the archive has had {done.behind:,} events since.",
    ]
    sentences += done.differences or ("What came back is what was there.",)
    output.result(asdict(done) | {"backup": str(done.backup), "seconds": round(done.seconds, 3)}, *sentences)
    if done.differences:
        raise click.exceptions.Exit(_WRONG)
