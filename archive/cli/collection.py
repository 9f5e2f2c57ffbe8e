"""``archive collection``: runs, chosen datasets, and calibrations valid for a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from archive.cli._endpoint import opened
from archive.cli._listing import date, ending, listing
from archive.cli._output import Output

if TYPE_CHECKING:
    from archive.ledger.certified import Certified
    from archive.ledger.collections import Collection


@click.group(help=__doc__)
def collection() -> None:
    pass


@collection.command()
@click.argument("name")
@click.option("--kind", required=True, type=click.Choice(["run", "tagged", "calibration"]), help="What it is to hold.")
@click.option("--about", help="What it is, in words.")
@click.pass_obj
def create(output: Output, name: str, kind: str, about: str | None) -> None:
    """Make a collection. Runs also come to be when files come into them."""
    from archive.backbone import collecting
    from archive.ledger.collections import Kind

    with opened(output, "CURATE") as endpoint:
        made = collecting.create(endpoint, name, Kind(kind), about)
    output.result(_facts(made), f"{made.name} is a collection of kind {made.kind}.")


@collection.command("list")
@click.option("--kind", type=click.Choice(["run", "tagged", "calibration"]), help="Only these.")
@click.pass_obj
def list_(output: Output, kind: str | None) -> None:
    """List collections."""
    from archive.ledger import collections
    from archive.ledger.collections import Kind

    with opened(output, "READ") as endpoint, endpoint.ledger.read() as transaction:
        found = collections.all_of(transaction, None if kind is None else Kind(kind))
    if output.as_json:
        output.result({"collections": [_facts(each) for each in found]})
    elif found:
        rows = [(each.name, each.kind, each.created[:19], each.about or "") for each in found]
        listing(("COLLECTION", "KIND", "SINCE", "WHAT"), rows)
    else:
        click.echo("There are no collections.")


@collection.command()
@click.argument("name")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="At most so many datasets.")
@click.pass_obj
def show(output: Output, name: str, limit: int) -> None:
    """Show what a collection holds."""
    from archive.cli import dataset
    from archive.ledger import certified, collections, datasets

    with opened(output, "READ") as endpoint, endpoint.ledger.read() as transaction:
        known = collections.named(transaction, name)
        valid = certified.of(transaction, known)
        held = datasets.listed(transaction, collection=name, most=limit + 1)
    more, held = len(held) > limit, held[:limit]
    if output.as_json:
        told = {"datasets": [dataset.facts(each) for each in held], "more": more}
        output.result(_facts(known) | told | {"certified": [_validity(each) for each in valid]})
        return
    click.echo(f"{known.name} ({known.kind}){': ' + known.about if known.about else ''}")
    if held:
        listing(("DATASET", "STATE", "FILES"), [(each.uri, each.state, f"{each.files:,}") for each in held], ("FILES",))
        ending(len(held), "datasets", more=more)
    if valid:
        listing(_VALIDITY, [_row(each) for each in valid])


@collection.command()
@click.argument("name")
@click.argument("datasets", metavar="DATASET|URI...", nargs=-1, required=True)
@click.option("--replace", is_flag=True, help="Instead of others of the same type and data id.")
@click.pass_obj
def tag(output: Output, name: str, datasets: tuple[str, ...], replace: bool) -> None:
    """Put sealed datasets, or single files, into a tagged collection."""
    from archive.backbone import collecting

    with opened(output, "CURATE") as endpoint:
        new = collecting.tag(endpoint, name, datasets, replace=replace)
    output.result({"collection": name, "new": new}, f"Datasets new in {name}: {new:,}.")


@collection.command()
@click.argument("name")
@click.argument("datasets", metavar="DATASET|URI...", nargs=-1, required=True)
@click.pass_obj
def untag(output: Output, name: str, datasets: tuple[str, ...]) -> None:
    """Take datasets out of a tagged collection; they stay where they were made."""
    from archive.backbone import collecting

    with opened(output, "CURATE") as endpoint:
        gone = collecting.untag(endpoint, name, datasets)
    output.result({"collection": name, "removed": gone}, f"Datasets taken out of {name}: {gone:,}.")


@collection.command()
@click.argument("name")
@click.argument("dataset", metavar="DATASET|URI")
@click.option("--from", "start", metavar="DATE", help="Valid from then (UTC); else as its file tells.")
@click.option("--to", "stop", metavar="DATE", help="Valid until just before then (UTC); else as its file tells.")
@click.option("--replace", is_flag=True, help="What was valid for the same at that time is so no more.")
@click.pass_obj
def certify(output: Output, name: str, dataset: str, start: str | None, stop: str | None, replace: bool) -> None:
    """Say for which time a calibration is valid."""
    from archive.backbone import collecting
    from archive.backbone.searching import moment

    first, last = (None if text is None else moment(text) for text in (start, stop))
    with opened(output, "CURATE") as endpoint:
        found, new = collecting.certify(endpoint, name, dataset, first, last, replace=replace)
    told = f"{found.uri} is valid for {found.scope} {found.time}."
    output.result(_validity(found) | {"changed": new}, told if new else f"{told} It was so before.")


@collection.command()
@click.argument("name")
@click.argument("dataset", metavar="DATASET|URI")
@click.option("--from", "start", metavar="DATE", help="Not from then (UTC); else since ever.")
@click.option("--to", "stop", metavar="DATE", help="Not until then (UTC); else for ever.")
@click.pass_obj
def decertify(output: Output, name: str, dataset: str, start: str | None, stop: str | None) -> None:
    """Say that a calibration is not valid, for a time or at all."""
    from archive.backbone import collecting
    from archive.backbone.searching import moment
    from archive.sky import Interval

    whole = Interval()
    during = Interval(moment(start) if start else whole.low, moment(stop) if stop else whole.high)
    with opened(output, "CURATE") as endpoint:
        count = collecting.decertify(endpoint, name, dataset, during)
    output.result({"collection": name, "changed": count}, f"Validities changed: {count:,}.")


def _facts(told: Collection) -> dict[str, Any]:
    return {"collection": told.name, "kind": told.kind.value, "created": told.created, "about": told.about}


def _validity(told: Certified) -> dict[str, Any]:
    from math import isfinite

    scope, valid = told.scope, told.valid
    return {
        "collection": told.collection,
        "dataset": told.uri,
        "type": scope.type,
        "instrument": scope.instrument,
        "detector": scope.detector,
        "filter": scope.filter,
        "valid_from": valid.low if isfinite(valid.low) else None,
        "valid_to": valid.high if isfinite(valid.high) else None,
    }


_VALIDITY = ("TYPE", "INSTRUMENT", "DETECTOR", "FILTER", "FROM (UTC)", "TO (UTC)", "DATASET")


def _row(told: Certified) -> tuple[str, ...]:
    facts = _validity(told)
    scope = told.scope
    times = (date(facts["valid_from"]), date(facts["valid_to"]))
    return (scope.type, scope.instrument, scope.detector or "all", scope.filter or "all", *times, told.uri)
