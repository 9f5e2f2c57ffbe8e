"""``archive consistency``: whether files belong together, and which are at odds (then the exit code is 2).

Files and datasets are named by their URIs, or listed in a file, a line each (- for standard input).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output
from archive.faults import UsageFault


@click.command(help=__doc__)
@click.argument("names", metavar="URI...|LIST|-", nargs=-1, required=True)
@click.pass_obj
def consistency(output: Output, names: tuple[str, ...]) -> int:
    from archive.backbone.consistency import judge

    with opened(output, "WATCH") as endpoint:
        found = judge(endpoint, _listed(names))
    facts = {"files": list(found.listed), "origins": found.origins, "consistent": found.is_consistent}
    odds = [asdict(each) for each in found.odds]
    sentences = [f"{' and '.join(each.uris)}: {each.message}." for each in found.odds]
    looked = f"{len(found.listed):,} files, and {found.origins:,} that they were made from,"
    sentences.append(f"{looked} belong together." if found.is_consistent else f"{looked} do not all belong together.")
    output.result({**facts, "odds": odds}, *sentences)
    return 0 if found.is_consistent else UsageFault.exit_code


def _listed(names: Sequence[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        if name == "-":
            found += sys.stdin.read().split()
        elif "://" not in name and Path(name).is_file():
            found += _lines(Path(name))
        else:
            found.append(name)
    if not found:
        raise UsageFault("No files are named.", "Give their URIs.")
    return list(dict.fromkeys(found))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        raise UsageFault(f"{path} cannot be read as text.", "It holds a URI a line.") from None
