"""``archive schema``: check, register and show the descriptions of releases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output
from archive.faults import NotFound, UsageFault

if TYPE_CHECKING:
    from archive.documents import Problem
    from archive.releases import Release


@click.group(help=__doc__)
def schema() -> None:
    pass


@schema.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.pass_obj
def check(output: Output, files: tuple[Path, ...]) -> None:
    """Check descriptions and tell everything that is wrong with them."""
    from archive.releases import FACTS, examine

    mains = dict.fromkeys(
        file.with_name(file.name.removesuffix(FACTS) + ".yaml") if file.name.endswith(FACTS) else file for file in files
    )
    found = {str(file): examine(file)[1] for file in mains}
    facts = {
        file: [
            {
                "file": problem.place.file,
                "line": problem.place.line,
                "table": problem.place.table,
                "column": problem.place.column,
                "message": problem.message,
                "remedy": problem.remedy,
                "grave": problem.grave,
            }
            for problem in problems
        ]
        for file, problems in found.items()
    }
    sentences = [
        _told(problem) if problem else f"{file}: nothing is wrong."
        for file, problems in found.items()
        for problem in problems or (None,)
    ]
    output.result(facts, *sentences)
    if any(problem.grave for problems in found.values() for problem in problems):
        raise click.exceptions.Exit(UsageFault.exit_code)


def _told(problem: Problem) -> str:
    return str(problem) if problem.grave else f"{problem} (It can stay so.)"


@schema.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def register(output: Output, file: Path) -> None:
    """Put a description in force, instead of the one registered for the same schema, if any.

    What was loaded must still be described by it: while a schema holds rows, only words and new tables may change.
    """
    from archive.ledger import descriptions
    from archive.releases import read_release

    release = read_release(file)
    with opened(output) as endpoint, endpoint.ledger.write() as transaction:
        before = descriptions.find(transaction, release.name)
        registered = descriptions.register(transaction, release)
    changed = before is None or before.id != registered.id
    facts = {"schema": release.name, "number": registered.number, "sha256": release.digest, "changed": changed}
    number = f"description {registered.number} of {release.name}"
    output.result(facts, f"In force is {number}." if changed else f"This is {number}, in force already.")


@schema.command()
@click.argument("what", metavar="RELEASE|FILE")
@click.argument("table", required=False)
@click.pass_obj
def show(output: Output, what: str, table: str | None) -> None:
    """Show a description: of a registered release, or in a file; all its tables, or the columns of one."""
    release = _find(output, what)
    if output.as_json:
        output.result(_facts(release, table))
        return
    from rich.console import Console

    console = Console()
    for rendered in _rendered(release, table):
        console.print(rendered)


def _find(output: Output, what: str) -> Release:
    """A file by its ending; else a registered release, else one in the description folders."""
    from archive.config import Config
    from archive.ledger import descriptions
    from archive.releases import find, read_release

    if what.endswith((".yaml", ".yml")):
        return read_release(Path(what))
    try:
        with opened(output) as endpoint, endpoint.ledger.read() as transaction:
            registered = descriptions.find(transaction, what)
        if registered is not None:
            return registered.release
    except NotFound:
        pass  # without an archive there are still the descriptions that come with the program
    folders = Config.load(home=output.home).description_folders
    path = find(what, folders)
    if path is None:
        raise NotFound(f"No schema '{what}' is described.", "Give the name of a release or the path of a .yaml file.")
    return read_release(path)


def _facts(release: Release, table: str | None) -> dict[str, object]:
    from dataclasses import asdict

    tables = [release.table(table)] if table else list(release.schema.tables)
    return {
        "schema": release.name,
        "kind": release.kind.value,
        "version": release.version,
        "description": release.schema.description,
        "tables": [
            {
                "name": item.name,
                "description": item.description,
                "primary_key": list(item.primary_key),
                "columns": [asdict(column) for column in item.columns],
            }
            for item in tables
        ],
    }


def _rendered(release: Release, table: str | None) -> list[object]:
    from rich.table import Table as Grid
    from rich.text import Text

    from archive.backbone.fitting import described

    if table is None:
        grid = Grid("table", "columns", "what a row is", title=f"{release.name}, {release.kind}: {release.version}")
        for item in release.schema.tables:
            grid.add_row(Text(item.name), str(len(item.columns)), Text(item.description))
        return [Text(release.schema.description), grid]
    found = release.table(table)
    grid = Grid("column", "type", "unit", "UCD", "description", title=found.qualified)
    for column in found.columns:
        cells = (column.name, described(column), column.unit or "", column.ucd or "", column.description)
        grid.add_row(*(Text(cell) for cell in cells))
    return [Text(found.description), grid]
