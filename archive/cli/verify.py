"""``archive verify``: is every stored file where it should be and, with ``--deep``, has it its bytes?

Without ``--deep`` names and sizes are compared with each store's own listing. With it all bytes are read, those first
that were not read for the longest time. What fails is not served any more. While users or ingest need the disk, checks
work a tenth of the time. A run that was stopped goes on where it was.

With ``--repair`` what is bad or absent is made again from good bytes; nothing is given up and no last copy is removed.
The exit code is 1 if something is wrong that was not mended.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output

if TYPE_CHECKING:
    from archive.backbone.verification.judging import Finding
    from archive.backbone.verification.verify import Report

_WRONG = 1


@click.command(help=__doc__)
@click.option("--deep", is_flag=True, help="Read every byte.")
@click.option("--repair", is_flag=True, help="Make again what is bad or absent.")
@click.option("--dry-run", is_flag=True, help="Look, say what would be done, and change nothing.")
@click.option("--limit", type=click.IntRange(min=1), help="Look at (deep: read) at most so many files of a store.")
@click.option("--store", "stores", multiple=True, help="Only this store; may be given several times.")
@click.option("--threads", type=click.IntRange(min=1), help="Files that are read at once.")
@click.pass_obj
def verify(
    output: Output,
    deep: bool,
    repair: bool,
    dry_run: bool,
    limit: int | None,
    stores: tuple[str, ...],
    threads: int | None,
) -> None:
    from archive.backbone.verification import verify as verifying

    terms = verifying.Terms(deep, repair, dry_run, limit, stores or None, threads)
    with opened(output, "OPERATE") as endpoint, output.progress(_UNITS) as progress:
        reports = verifying.verify(endpoint, terms, verifying.own_sources(endpoint), progress)
    facts = {"dry_run": dry_run, "stores": [_facts(report) for report in reports]}
    output.result(facts, *(sentence for report in reports for sentence in _told(report, terms)))
    if any(report.away or report.left for report in reports):
        raise click.exceptions.Exit(_WRONG)


_UNITS = {"bytes": "bytes", "files": "files", "mended": "copies"}


def _facts(report: Report) -> dict[str, Any]:
    return {
        "store": report.store,
        "away": report.away,
        "whole": report.whole,
        "resumed": report.resumed,
        "listed": report.listed,
        "read": report.read,
        "bytes": report.bytes,
        "seconds": round(report.seconds, 3),
        "rested": round(report.rested, 3),
        "braked": report.braked,
        "found": dict(report.counts),
        "wrong": [_finding(each) for each in report.wrong],
        "mended": [{"uri": each.copy.uri, "source": each.source, "store": each.store} for each in report.mended],
        "unmended": [{"uri": each.copy.uri, "why": each.why} for each in report.unmended],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    from archive.backbone.verification.judging import Orphan

    kind = type(finding).__name__.lower()
    if isinstance(finding, Orphan):
        lying = finding.lying
        return {"kind": kind, "path": lying.path, "size": lying.size, "changed": lying.changed.isoformat()}
    found = getattr(finding, "found", None) or getattr(finding, "why", None)
    return {"kind": kind, "uri": finding.copy.uri, "path": finding.copy.path, "found": found}


def _told(report: Report, terms: Any) -> Iterator[str]:
    if report.away:
        yield f"{report.store}: not looked at: {report.away}."
        return
    again = " (a round that was cut off went on)" if report.resumed else ""
    yield f"{report.store}: {report.listed:,} files looked at by name and size{again}."
    if terms.deep:
        rate = report.bytes / 1e6 / report.seconds if report.seconds else 0.0
        rested = f", {report.rested:.0f} s of them at rest" if report.rested >= 1 else ""
        yield (
            f"{report.store}: {report.read:,} files read, {report.bytes / 1e6:,.1f} MB "
            f"in {report.seconds:.1f} s{rested}: {rate:,.0f} MB/s."
        )
    if not report.whole:
        yield f"{report.store}: there is more to look at; run it again."
    for finding in report.wrong:
        facts = _finding(finding)
        why = f": {facts['found']}" if facts.get("found") else ""
        yield f"{report.store}: {facts['kind']}: {facts.get('uri') or facts['path']}{why}."
    yield from _mended(report, terms)


def _mended(report: Report, terms: Any) -> Iterator[str]:
    would = "would be" if terms.dry_run else "was"
    for each in report.mended:
        yield f"{report.store}: {each.copy.uri} {would} made again from {each.source}."
    for failed in report.unmended:
        yield f"{report.store}: {failed.copy.uri} cannot be made again: {failed.why}."
    if report.braked:
        yield (
            f"{report.store}: so much is wrong that nothing is mended: look at its disk, "
            "then 'archive incident close' and run it again."
        )
    if not report.failed and not report.unmended and not report.braked:
        yield f"{report.store}: all is well."
