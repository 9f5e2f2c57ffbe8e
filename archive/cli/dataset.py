"""``archive dataset``: files and rows that belong together: made, sealed, looked at.

A dataset is named by its collection, its type and its data id (KEY=VALUE,...); each attempt at it has a number. Verbs
take its URI, or what follows datasets/ there; without a number it is the one that is found.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from archive.cli._endpoint import opened
from archive.cli._listing import ending, listing, size
from archive.cli._output import Output
from archive.cli._pairs import pairs
from archive.faults import UsageFault

if TYPE_CHECKING:
    from archive.backbone.datasets import Shown
    from archive.ledger.datasets import Dataset


@click.group(help=__doc__)
def dataset() -> None:
    pass


@dataset.command()
@click.argument("collection")
@click.argument("kind", metavar="TYPE")
@click.argument("data_id", metavar="KEY=VALUE...", nargs=-1, required=True)
@click.option(
    "--lease", metavar="DAYS", type=click.FloatRange(0, min_open=True), help="It fails if nothing comes so long."
)
@click.option("--again", is_flag=True, help="Even if it was given up before.")
@click.pass_obj
def create(
    output: Output, collection: str, kind: str, data_id: tuple[str, ...], lease: float | None, again: bool
) -> None:
    """Begin a dataset: the next attempt at it. Prints its URI."""
    from datetime import timedelta

    from archive.backbone import datasets
    from archive.ledger.datasets import LEASE

    told = pairs("KEY=VALUE", data_id)
    time = LEASE if lease is None else timedelta(days=lease)
    with opened(output, "DELIVER") as endpoint:
        made = datasets.begin(endpoint, collection, kind, told, lease=time, again=again)
    output.result(facts(made), made.uri)


@dataset.command()
@click.argument("name", metavar="DATASET")
@click.argument("uris", metavar="[URI...|-]", nargs=-1)
@click.option("--role", help="The part that these files have in it.")
@click.option("--rows", metavar="SCHEMA.TABLE", help="Rows of this table, as they are published now.")
@click.option("--where", default="", metavar="CONDITION", help="With --rows: only those; what follows WHERE in ADQL.")
@click.pass_obj
def add(output: Output, name: str, uris: tuple[str, ...], role: str | None, rows: str | None, where: str) -> None:
    """Add registered files, or rows of a table. With - URIs are read, a line each."""
    from archive.backbone import datasets

    wanted = [line.strip() for line in sys.stdin if line.strip()] if uris == ("-",) else list(uris)
    if bool(wanted) == (rows is not None):
        raise UsageFault("Either files or rows are added.", "Give URIs of files, or --rows SCHEMA.TABLE.")
    with opened(output, "DELIVER") as endpoint:
        if rows is not None:
            done = datasets.add_rows(endpoint, name, rows, where)
        else:
            done = datasets.add(endpoint, name, wanted, role=role)
    told = f"Rows new in it: {done.rows:,}." if rows is not None else f"Files new in it: {done.files:,}."
    output.result(facts(done.dataset) | {"new_files": done.files, "new_rows": done.rows}, told)


@dataset.command()
@click.argument("name", metavar="DATASET")
@click.option("--expect", metavar="N", type=click.IntRange(1), help="Only if it has so many files.")
@click.pass_obj
def seal(output: Output, name: str, expect: int | None) -> None:
    """Seal a dataset that is whole: it never changes, and the first is found."""
    from archive.backbone import datasets

    with opened(output, "DELIVER") as endpoint:
        done = datasets.seal(endpoint, name, expected=expect)
    told = [f"{done.dataset.uri} is sealed ({done.dataset.files:,} files, {size(done.dataset.size)})."]
    if not done.won:
        told.append(f"It is a spare: {done.found.uri} was sealed before and is the one that is found.")
    output.result(facts(done.dataset) | {"found": done.found.uri}, *told)


@dataset.command()
@click.argument("name", metavar="DATASET")
@click.option("--reason", required=True, help="Why, for the log.")
@click.option("--permanent", is_flag=True, help="No other attempt will do better.")
@click.pass_obj
def fail(output: Output, name: str, reason: str, permanent: bool) -> None:
    """Say that an attempt had no result."""
    from archive.backbone import datasets

    with opened(output, "DELIVER") as endpoint:
        done = datasets.fail(endpoint, name, reason=reason, for_good=permanent)
    output.result(facts(done), f"{done.uri} is {done.state}.")


@dataset.command()
@click.argument("name", metavar="DATASET")
@click.option("--reason", required=True, help="Why, for the log.")
@click.pass_obj
def withdraw(output: Output, name: str, reason: str) -> None:
    """Take back a sealed dataset that was a mistake; another may be made."""
    from archive.backbone import datasets

    with opened(output, "CURATE") as endpoint:
        done = datasets.withdraw(endpoint, name, reason=reason)
    output.result(facts(done), f"{done.uri} is withdrawn.")


@dataset.command()
@click.argument("name", metavar="DATASET")
@click.pass_obj
def show(output: Output, name: str) -> None:
    """Show all that is known of a dataset, and whether it is complete here."""
    from archive.backbone import datasets

    with opened(output, "READ") as endpoint:
        shown = datasets.show(endpoint, name)
    if output.as_json:
        output.result(_all_facts(shown))
        return
    _tell(shown)


@dataset.command("list")
@click.argument("data_id", metavar="[KEY=VALUE...]", nargs=-1)
@click.option("--collection", help="Made or tagged there.")
@click.option("--type", "kind", help="Of this type.")
@click.option("--state", "states", multiple=True, help="open, found, spare, failed, given-up or withdrawn.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="At most so many, newest first.")
@click.pass_obj
def list_(
    output: Output,
    data_id: tuple[str, ...],
    collection: str | None,
    kind: str | None,
    states: tuple[str, ...],
    limit: int,
) -> None:
    """List datasets, newest first."""
    from archive.ledger import datasets

    wanted = [_state(each) for each in states]
    values = pairs("KEY=VALUE", data_id)
    with opened(output, "READ") as endpoint, endpoint.ledger.read() as transaction:
        found = datasets.listed(
            transaction, collection=collection, kind=kind, values=values, states=wanted, most=limit + 1
        )
    more, found = len(found) > limit, found[:limit]
    if output.as_json:
        output.result({"datasets": [facts(each) for each in found], "more": more})
        return
    if found:
        listing(_HEAD, [_row(each) for each in found], ("FILES", "SIZE", "ROWS"))
    ending(len(found), "datasets", more=more)


def facts(told: Dataset) -> dict[str, Any]:
    """A dataset for programs."""
    return {
        "dataset": told.uri,
        "collection": told.collection,
        "type": told.type,
        "data_id": dict(told.data_id.values),
        "attempt": told.attempt,
        "state": told.state.value,
        "opened": told.opened,
        "lease": told.lease,
        "ended": told.ended,
        "reason": told.reason,
        "digest": told.digest,
        "files": told.files,
        "bytes": told.size,
        "rows": told.rows,
    }


_HEAD = ("DATASET", "STATE", "FILES", "SIZE", "ROWS", "OPENED")


def _row(told: Dataset) -> tuple[str, ...]:
    return (told.uri, told.state, f"{told.files:,}", size(told.size), f"{told.rows:,}", told.opened[:19])


def _state(text: str) -> Any:
    from archive.documents import near
    from archive.ledger.datasets import State

    try:
        return State(text)
    except ValueError:
        raise UsageFault(f"'{text}' is no state of a dataset.", near(text, list(State)) or ", ".join(State)) from None


def _all_facts(shown: Shown) -> dict[str, Any]:
    return facts(shown.dataset) | {
        "complete": shown.complete,
        "intact": shown.intact,
        "missing": [{"what": each.what, "why": each.why} for each in shown.missing],
        "members": [
            {"uri": each.uri, "sha256": each.sha256, "size": each.size, "role": each.role} for each in shown.files
        ],
        "row_groups": [group.facts() for group in shown.rows],
        "held_by": list(shown.held_by),
        "attempts": [facts(each) for each in shown.attempts],
    }


def _tell(shown: Shown) -> None:
    told = shown.dataset
    lines = [told.uri, f"{told.state}, {told.files:,} files, {size(told.size)}, {told.rows:,} rows"]
    if told.reason:
        lines.append(f"because: {told.reason}")
    if told.digest:
        lines.append(f"sha256 {told.digest}")
    if told.state.is_sealed:
        lines.append("complete here" if shown.complete else "NOT complete here:")
    if not shown.intact:
        lines.append("  its members are not those that were sealed")
    lines += [f"  {each.what} {each.why}" for each in shown.missing]
    lines += [f"in {name}" for name in shown.held_by]
    others = [each for each in shown.attempts if each != told]
    lines += [f"attempt {each.attempt} is {each.state}{_because(each.reason)}" for each in others]
    for line in lines:
        click.echo(line)
    rows: list[Sequence[str]] = [(each.uri, each.role or "", size(each.size)) for each in shown.files]
    rows += [(group.name, "rows", f"{group.rows:,}") for group in shown.rows]
    if rows:
        listing(("MEMBER", "ROLE", "SIZE"), rows, ("SIZE",))


def _because(reason: str | None) -> str:
    return f": {reason}" if reason else ""
