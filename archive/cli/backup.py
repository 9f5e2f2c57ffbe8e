"""``archive backup``: make a folder from which the archive can be made again, while it is served.

It holds the ledger and the query log, and the list of all stored files with their digests; with ``--files`` also the
files themselves. Without it, see that the stores are copied too: their files never change. ``archive restore`` makes
the archive again, also on the other kind of database. Settings are not in it.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output


@click.command(help=__doc__)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--files", is_flag=True, help="The bytes of all stored files too.")
@click.pass_obj
def backup(output: Output, directory: Path, files: bool) -> None:
    from archive.backbone import backup as backups

    began = time.monotonic()
    with opened(output, "OPERATE") as endpoint, output.progress({"bytes": "bytes"}) as progress:
        made = backups.backup(endpoint, directory, files=files, progress=progress)
    seconds = time.monotonic() - began
    kept = "with their bytes" if files else "without their bytes"
    output.result(
        {"directory": str(directory), "seconds": round(seconds, 3), **asdict(made)},
        f"{directory} is a backup of {made.authority}, made in {seconds:.1f} s.",
        f"It lists {made.files:,} files ({made.bytes / 1e6:,.1f} MB), {kept}.",
    )
