"""``archive release``: what a release holds is sealed, given to the public, and perhaps taken back.

It is open first, then frozen: nothing in it changes from then on, and a manifest lists all that it holds. What is
frozen can be published. One that is withdrawn is seen by staff alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output
from archive.faults import UsageFault

if TYPE_CHECKING:
    from archive.backbone.releasing import Looked
    from archive.ledger.contents import Content

_SHOWN = 10  # names of files on a screen


@click.group(help=__doc__)
def release() -> None:
    pass


@release.command()
@click.argument("name")
@click.option("--reason", help="Why, for the log.")
@click.pass_obj
def create(output: Output, name: str, reason: str | None) -> None:
    """Begin a release that is described; its block of IDs is its own from then on."""
    from archive.backbone import releasing

    with opened(output, "CURATE") as endpoint:
        new = releasing.create(endpoint, name, reason=reason)
    told = f"{name} is open." if new else f"{name} was created before; nothing changed."
    output.result({"release": name, "changed": new}, told)


@release.command()
@click.argument("name")
@click.option("--reason", help="Why, for the log.")
@click.pass_obj
def freeze(output: Output, name: str, reason: str | None) -> None:
    """Seal what a release holds: nothing in it changes from now on."""
    from archive.backbone import sealing

    with opened(output, "CURATE") as endpoint, output.progress({"listed": "entries"}) as progress:
        content = sealing.freeze(endpoint, name, reason=reason, progress=progress)
    sentences = (
        f"{name} is frozen: {content.files:,} files with {content.bytes:,} bytes.",
        f"Its manifest is {content.manifest}",
        f"with sha256 {content.digest}.",
    )
    output.result(_facts(content), *sentences)


@release.command()
@click.argument("name")
@click.option("--reason", help="Why, for the log.")
@click.pass_obj
def publish(output: Output, name: str, reason: str | None) -> None:
    """Give a frozen release to the public: all its tables and all its files at once."""
    from archive.backbone import releasing

    with opened(output, "CURATE") as endpoint, output.progress({}) as progress:
        done = releasing.publish(endpoint, name, reason=reason, progress=progress)
    sentences = [f"{table}: {rows:,} rows are shown now." for table, rows in done.rows.items()]
    if done.files:
        sentences.append(f"{done.files:,} files are public now.")
    facts = {"release": name, "tables": dict(done.rows), "files": done.files}
    output.result(facts, *(sentences or [f"{name}: the public has all of it; nothing changed."]))


@release.command()
@click.argument("name")
@click.option("--reason", required=True, help="Why, as the public will be told.")
@click.pass_obj
def withdraw(output: Output, name: str, reason: str) -> None:
    """Take a release from the public, which is told the reason; staff still see it."""
    from archive.backbone import releasing

    with opened(output, "CURATE") as endpoint:
        new = releasing.withdraw(endpoint, name, reason=reason)
    told = f"{name} is withdrawn." if new else f"{name} was withdrawn before; nothing changed."
    output.result({"release": name, "changed": new}, told)


@release.command("list")
@click.pass_obj
def list_(output: Output) -> None:
    """List all releases that were created, and how far each of them is."""
    from archive.backbone import releasing

    with opened(output) as endpoint:
        found = releasing.everything(endpoint)
    facts = [{**_facts(content), "version": version} for content, version in found]
    output.result({"releases": facts}, *(_line(content) for content, _ in found))
    if not found and not output.as_json:
        click.echo("No release was created yet: archive release create NAME")


@release.command()
@click.argument("name")
@click.pass_obj
def show(output: Output, name: str) -> int:
    """Tell what a release holds, and whether all of it is here and as it was sealed; if not, the exit code is 2."""
    from archive.backbone import releasing

    with opened(output, "WATCH") as endpoint:
        found = releasing.look(endpoint, name)
    facts: dict[str, Any] = {**_facts(found.content), "holds": asdict(found.holds), "shown": list(found.shown)}
    facts |= {"missing": list(found.missing), "wrong": list(found.wrong), "whole": found.is_whole}
    output.result(facts, *_told(found))
    return 0 if found.is_whole else UsageFault.exit_code


def _facts(content: Content) -> dict[str, Any]:
    facts = asdict(content)
    facts["release"] = facts.pop("name")
    return facts


def _line(content: Content) -> str:
    return f"{content.name}: {', '.join(_became(content))}"


def _became(content: Content) -> Iterator[str]:
    yield f"created {content.created[:10]}"
    if content.freezing is not None:
        yield "being frozen"
    if content.frozen is not None:
        yield f"frozen {content.frozen[:10]} ({content.files:,} files, {content.bytes:,} bytes)"
    if content.published is not None:
        yield f"published {content.published[:10]}"
    if content.withdrawn is not None:
        yield f"withdrawn {content.withdrawn[:10]}: {content.reason}"


def _told(found: Looked) -> Iterator[str]:
    holds = found.holds
    yield _line(found.content)
    yield f"It holds {holds.files:,} files with {holds.bytes:,} bytes."
    yield from (f"  {count:,} of type {name}" for name, count in sorted(holds.products.items()))
    for table, rows in sorted(holds.tables.items()):
        yield f"  {rows:,} rows of {table}" + ("" if table in found.shown else ", not shown")
    if holds.datasets:
        yield f"  {holds.datasets:,} sealed datasets"
    if found.content.manifest is not None:
        yield f"Manifest: {found.content.manifest}, sha256 {found.content.digest}"
    yield from (f"Cannot be read here: {uri}" for uri in found.missing[:_SHOWN])
    if len(found.missing) > _SHOWN:
        yield f"and {len(found.missing) - _SHOWN:,} more; --json tells them."
    yield from found.wrong
    if found.is_whole and found.content.manifest is not None:
        yield "All of it is here and as it was sealed."
    elif found.is_whole:
        yield "All of it is here."
