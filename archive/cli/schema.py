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
    from archive.tables import Schema


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
    examined = {str(file): examine(file) for file in mains}
    found = {file: problems for file, (_, problems) in examined.items()}
    unsound = {file: _unsound(release, found[file]) for file, (release, _) in examined.items()}
    facts: dict[str, list[dict[str, object]]] = {
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
    for file, told in unsound.items():
        facts[file] = [*facts[file], *({"file": file, "message": sentence, "grave": True} for sentence in told)]
    sentences = [
        sentence
        for file, problems in found.items()
        for sentence in (*map(_told, problems), *unsound[file]) or (f"{file}: nothing is wrong.",)
    ]
    output.result(facts, *sentences)
    if any(unsound.values()) or any(problem.grave for problems in found.values() for problem in problems):
        raise click.exceptions.Exit(UsageFault.exit_code)


def _unsound(release: Release | None, problems: tuple[Problem, ...]) -> tuple[str, ...]:
    """What is wrong with the expressions of its versions, once nothing else is."""
    from archive.adql.proof import unsound

    return () if release is None or any(problem.grave for problem in problems) else unsound(release)


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
    with opened(output, "CURATE") as endpoint, endpoint.ledger.write() as transaction:
        before = descriptions.find(transaction, release.name)
        registered = descriptions.register(transaction, release)
    changed = before is None or before.id != registered.id
    facts = {"schema": release.name, "number": registered.number, "sha256": release.digest, "changed": changed}
    number = f"description {registered.number} of {release.name}"
    output.result(facts, f"In force is {number}." if changed else f"This is {number}, in force already.")


@schema.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def migrate(output: Output, file: Path) -> None:
    """Show what is published of a schema by a description with newer versions, in one commit while queries run.

    Rows stay where they are, and old names go on to be understood. See first what it does: archive schema rehearse.
    """
    from archive.backbone.publish import migrate as show_by
    from archive.releases import read_release

    release = read_release(file)
    with opened(output, "CURATE") as endpoint:
        registered, revision = show_by(endpoint, release)
    version = release.versions[-1].number if release.versions else 1
    facts = {"schema": release.name, "number": registered.number, "version": version, "revision": revision}
    output.result(facts, f"{release.name} is shown at version {version} now (revision {revision}).")


@schema.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--queries", default=1000, show_default=True, help="So many different ones, those asked last.")
@click.option("--rows", default=10_000, show_default=True, help="Of each answer that are compared.")
@click.option("--seconds", default=30.0, show_default=True, help="That each query may run.")
@click.pass_obj
def rehearse(output: Output, file: Path, queries: int, rows: int, seconds: float) -> None:
    """Ask again what users asked of a release, as things are and as they would be under another description.

    Queries are those that were saved and those of the query log, jobs among them. Nothing is changed. Exits with a
    fault if an answer would differ; those that use * are listed by themselves.
    """
    from archive.backbone.rehearsal import Outcome, rehearse
    from archive.ledger import saved
    from archive.ledger.querylog import QueryLog
    from archive.releases import read_release

    release = read_release(file)
    found: dict[Outcome, list[dict[str, str]]] = {outcome: [] for outcome in Outcome}
    with opened(output) as endpoint, output.progress({"queries": "queries"}) as advance:
        log = QueryLog(endpoint.config.query_log_url)
        with endpoint.ledger.read() as transaction:
            asked = list(dict.fromkeys([*saved.texts(transaction), *log.texts(queries)]))
        log.close()
        for rehearsed in rehearse(endpoint, release, asked, maxrec=rows, seconds=seconds):
            found[rehearsed.outcome].append({"query": rehearsed.query, "detail": rehearsed.detail})
            advance("queries", 1)
    sentences = [f"{len(each)} {outcome}" for outcome, each in found.items() if each] or ["No query was logged."]
    for outcome in (Outcome.STAR, Outcome.DIFFERS, Outcome.FAILS):
        sentences += [f"{outcome}: {' '.join(each['query'].split())} ({each['detail']})" for each in found[outcome]]
    output.result({str(outcome): each for outcome, each in found.items()}, *sentences)
    if found[Outcome.DIFFERS] or found[Outcome.FAILS]:
        raise click.exceptions.Exit(UsageFault.exit_code)


@schema.command()
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page for people to this file.")
@click.pass_obj
def diff(output: Output, old: str, new: str, html: Path | None) -> None:
    """Tell what differs between two releases or versions: dr1 dr2, dr1_v1 dr1, or files."""
    from archive.differences import differences

    one, other = shown_schema(output, old), shown_schema(output, new)
    found = differences(one, other)
    if html is not None:
        from archive.portal.differences import page

        html.write_text(page(one, other, found), encoding="utf-8")
    facts = [
        {
            "kind": str(each.kind),
            "table": each.table,
            "column": each.column,
            "detail": each.detail,
            "works": each.works,
        }
        for each in found
    ]
    output.result({"differences": facts}, *(map(str, found) if found else ("Nothing differs.",)))


def shown_schema(output: Output, what: str) -> Schema:
    """The schema of a release at its newest version, or at the one that is pinned (``dr1_v2``)."""
    from archive.versions import unfold

    name, pin, _ = what.rpartition("_v") if not what.endswith((".yaml", ".yml")) else (what, "", "")
    release = _find(output, name if pin else what)
    shown = {schema.name: schema for schema in unfold(release.schema, release.versions)}
    wanted = what if pin else release.name
    if pin and wanted == f"{name}_v1" and len(shown) == 1:
        wanted = release.name
    if wanted not in shown:
        versions = ", ".join(known for known in shown if known != release.name)
        raise NotFound(f"{release.name} has no version '{what}'.", f"It has {versions or 'one version only'}.")
    return shown[wanted]


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
