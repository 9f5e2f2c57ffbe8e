"""``archive load``: take catalog files into a table of a release; ``archive publish`` then shows them."""

from __future__ import annotations

from pathlib import Path

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output


@click.command(help=__doc__)
@click.argument("release")
@click.argument("table")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--null", "nulls", multiple=True, help="A word that means NULL in CSV and TSV, besides nothing at all.")
@click.pass_obj
def load(output: Output, release: str, table: str, files: tuple[Path, ...], nulls: tuple[str, ...]) -> None:
    from archive.backbone import catalogs

    with opened(output, "DELIVER") as endpoint, output.progress({"copy": "bytes"}) as progress:
        loaded = catalogs.load(endpoint, release, table, files, nulls=nulls, progress=progress)
    facts = {
        "table": loaded.table,
        "loaded": loaded.rows,
        "already_loaded": list(loaded.known),
        "parts": loaded.parts,
        "rows": loaded.total,
    }
    sentences = [f"{loaded.table}: {rows:,} rows from {file}." for file, rows in loaded.rows.items()]
    sentences += [f"{loaded.table}: {file} was loaded before; nothing changed." for file in loaded.known]
    if loaded.rows:
        sentences.append(f"{loaded.table} holds {loaded.total:,} rows. Show them with: archive publish {release}")
    output.result(facts, *sentences)
