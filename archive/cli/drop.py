"""``archive drop``: keep files no more, by rule or by name. They can be brought back until their grace is over.

Files that are kept for ever, pinned, frozen with a release, or needed otherwise are refused; see docs/retention.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output
from archive.faults import UsageFault

if TYPE_CHECKING:
    from archive.backbone.endpoint import Endpoint

_RULES = ("expired", "area", "withdrawn", "retracted")


@click.command(help=__doc__)
@click.argument("uris", metavar="URI...", nargs=-1)
@click.option("--rule", "rules", type=click.Choice(_RULES), multiple=True, help="All files that this rule lets go.")
@click.option("--store", help="Only the copies in this store, because enough others stay.")
@click.option("--force", is_flag=True, help="Named files before their days are over; nothing else is forced.")
@click.option("--limit", type=click.IntRange(min=1), help="By rule: at most so many files.")
@click.option("--reason", required=True, help="Why, for the log.")
@click.option("--dry-run", is_flag=True, help="Tell what would be dropped, change nothing.")
@click.pass_obj
def drop(
    output: Output,
    uris: tuple[str, ...],
    rules: tuple[str, ...],
    store: str | None,
    force: bool,
    limit: int | None,
    reason: str,
    dry_run: bool,
) -> None:
    if bool(uris) == bool(rules) or (rules and (store or force)):
        raise UsageFault("Say which files.", "Name them, with --store or --force if need be, or give a --rule.")
    with opened(output, "OPERATE") as endpoint:
        if rules:
            _by_rule(output, endpoint, rules, limit, reason, dry_run)
        elif store:
            _spare(output, endpoint, uris, store, reason, dry_run)
        else:
            _named(output, endpoint, uris, force, reason, dry_run)


def _by_rule(
    output: Output, endpoint: Endpoint, rules: tuple[str, ...], limit: int | None, reason: str, dry_run: bool
) -> None:
    from archive.backbone import dropping
    from archive.backbone.reserve import shown
    from archive.backbone.retention import Finding, Rule

    found: list[tuple[str, str, str]] = []
    size = 0

    def told(finding: Finding) -> None:
        nonlocal size
        size += finding.file.size
        if dry_run:
            found.append((finding.file.uri, str(finding.rule), finding.why))

    with output.progress({"files": "files"}) as progress:
        counts = dropping.drop_by_rule(
            endpoint,
            [Rule(each) for each in rules],
            reason=reason,
            limit=limit,
            dry=dry_run,
            told=told,
            progress=progress,
        )
    facts = {"dropped": {str(rule): count for rule, count in counts.items()}, "bytes": size, "dry_run": dry_run}
    would = "would be" if dry_run else "are"
    sentences = [f"{uri}: {why}." for uri, _, why in found]
    sentences.append(f"{counts.total():,} files ({shown(size)}) {would} dropped.{'' if dry_run else _grace(endpoint)}")
    output.result(facts | {"files": [each[0] for each in found]} if dry_run else facts, *sentences)


def _named(output: Output, endpoint: Endpoint, uris: tuple[str, ...], force: bool, reason: str, dry_run: bool) -> None:
    from archive.backbone import dropping

    done = dropping.drop(endpoint, uris, reason=reason, forced=force, dry=dry_run)
    gone = [each.file.uri for each in done]
    would = "would be" if dry_run else "is"
    sentences = [f"{each.file.uri} {would} dropped: {each.why}.{'' if dry_run else _grace(endpoint)}" for each in done]
    sentences += [f"{uri} was dropped before; nothing changed." for uri in uris if uri not in gone]
    output.result({"dropped": gone, "dry_run": dry_run}, *sentences)


def _spare(output: Output, endpoint: Endpoint, uris: tuple[str, ...], store: str, reason: str, dry_run: bool) -> None:
    from archive.backbone import dropping

    with output.progress({"read": "bytes"}) as progress:
        done = dropping.drop_copies(endpoint, store, uris, reason=reason, dry=dry_run, progress=progress)
    would = "would be" if dry_run else "are"
    said = f"{len(done):,} copies in the store {store} {would} dropped.{'' if dry_run else _grace(endpoint)}"
    output.result({"dropped": [file.uri for file in done], "store": store, "dry_run": dry_run}, said)


def _grace(endpoint: Endpoint) -> str:
    days = endpoint.config.drop_grace / 86_400
    return f" Their bytes stay for {days:g} days; 'archive undrop' brings them back until then."
