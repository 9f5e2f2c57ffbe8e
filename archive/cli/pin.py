"""``archive pin``: keep files beyond their days. A pinned file is dropped by nobody and by no rule.

Everybody has their own pins; a file stays as long as it has one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output
from archive.faults import UsageFault


@click.group(help=__doc__)
def pin() -> None:
    pass


@pin.command()
@click.argument("uris", metavar="URI...", nargs=-1, required=True)
@click.option("--until", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), help="Until then, UTC; else for good.")
@click.option("--days", type=click.IntRange(min=1), help="For so many days.")
@click.option("--reason", required=True, help="Why; others read it.")
@click.pass_obj
def add(output: Output, uris: tuple[str, ...], until: datetime | None, days: int | None, reason: str) -> None:
    """Pin files; again with another date or reason renews the pin."""
    from archive.backbone import pinning

    if until is not None and days is not None:
        raise UsageFault("The end is told twice.", "Give --until or --days.")
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days) if days is not None else until
    end = end.replace(tzinfo=UTC) if end is not None else None
    with opened(output, "CURATE") as endpoint:
        new = pinning.add(endpoint, uris, reason=reason, until=end)
    told = f" until {end:%Y-%m-%d %H:%M} UTC" if end is not None else ""
    sentences = [f"{uri} is pinned{told}." for uri in new]
    sentences += [f"{uri} was pinned so before; nothing changed." for uri in uris if uri not in new]
    output.result({"pinned": new, "until": end.isoformat() if end is not None else None}, *sentences)


@pin.command("list")
@click.pass_obj
def list_(output: Output) -> None:
    """List all pins that hold."""
    from archive.backbone import pinning

    with opened(output, "WATCH") as endpoint:
        found = pinning.pins(endpoint)
    facts = [
        {
            "uri": each.uri,
            "actor": each.actor,
            "since": each.since.isoformat(),
            "until": each.until.isoformat() if each.until is not None else None,
            "reason": each.reason,
        }
        for each in found
    ]
    ends = (f"until {each.until:%Y-%m-%d %H:%M} UTC" if each.until is not None else "for good" for each in found)
    sentences = [f"{each.uri}: {end}, by {each.actor}: {each.reason}" for each, end in zip(found, ends, strict=True)]
    output.result({"pins": facts}, *(sentences or ["Nothing is pinned."]))


@pin.command()
@click.argument("uris", metavar="URI...", nargs=-1, required=True)
@click.option("--of", metavar="ACTOR", help="Another's pins instead of one's own.")
@click.option("--reason", help="Why, for the log.")
@click.pass_obj
def remove(output: Output, uris: tuple[str, ...], of: str | None, reason: str | None) -> None:
    """Remove pins: from then on the files go when their days are over."""
    from archive.backbone import pinning

    with opened(output, "CURATE") as endpoint:
        gone = pinning.remove(endpoint, uris, of=of, reason=reason)
    sentences = [f"{uri} is pinned no more{f' by {of}' if of else ''}." for uri in gone]
    sentences += [
        f"{uri} was not pinned{f' by {of}' if of else ' by you'}; nothing changed." for uri in uris if uri not in gone
    ]
    output.result({"unpinned": list(gone)}, *sentences)
