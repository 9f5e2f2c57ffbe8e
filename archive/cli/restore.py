"""``archive restore``: make the archive again from a backup, where there is none.

Every stored file is read and checked where it lies, or brought back from the backup; what was published is built anew.
Nothing is overwritten, and until all is done there is no archive, so it can be tried again. The exit code is 1 if files
are missing and it was restored without them.
"""

from __future__ import annotations

import time
from pathlib import Path

import click

from archive.cli._output import Output

_INCOMPLETE = 1


@click.command(help=__doc__)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--incomplete", is_flag=True, help="Go on without files that are nowhere; tables made of them are not shown."
)
@click.pass_obj
def restore(output: Output, directory: Path, incomplete: bool) -> None:
    from archive.backbone import restore as restoring
    from archive.config import Config

    began = time.monotonic()
    config = Config.load(home=output.home)
    with output.progress({"check": "bytes", "copy": "bytes"}) as progress:
        done = restoring.restore(config, directory, incomplete=incomplete, progress=progress)
    seconds = time.monotonic() - began
    facts = {
        "authority": done.manifest.authority,
        "made": done.manifest.made,
        "seconds": round(seconds, 3),
        "files": done.checked,
        "brought": done.brought,
        "missing": list(done.missing),
        "editions": done.editions,
        "left_out": list(done.left_out),
    }
    sentences = [
        f"The archive {done.manifest.authority} is as it was on {done.manifest.made}; restored in {seconds:.1f} s.",
        f"{done.checked:,} files are right, {done.brought:,} of them from the backup.",
        f"{done.editions} tables are shown.",
    ]
    sentences += [f"{uri} is missing." for uri in done.missing]
    sentences += [f"{table} is not shown: files of it are missing." for table in done.left_out]
    output.result(facts, *sentences)
    if done.missing:
        raise click.exceptions.Exit(_INCOMPLETE)
