"""``archive ingest``: take files in as products of a release: checked, kept byte for byte, described by their headers.

Folders are walked. A file that is refused stops no other, and running it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output
from archive.cli._pairs import pairs
from archive.faults import UsageFault

if TYPE_CHECKING:
    from archive.backbone.endpoint import Endpoint
    from archive.backbone.ingest import Ingested
    from archive.backbone.receiving import Outcome, Request, Terms
    from archive.ledger.activities import Activity

_REFUSED = UsageFault.exit_code


@click.command(help=__doc__)
@click.argument("paths", metavar="PATH...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--type", "kind", help="Product type of all these files, such as raw_image (docs/products.md).")
@click.option("--release", help="The release they belong to.")
@click.option("--collection", help="The collection in it, such as raw.")
@click.option("--adopt", is_flag=True, help="The files lie in a store already: leave them there.")
@click.option("--set", "given", metavar="KEY=VALUE", multiple=True, help="Metadata that the files do not tell.")
@click.option("--null", "nulls", metavar="ITEM=REASON", multiple=True, help="Why an item of metadata is not known.")
@click.option("--digest", help="The file's sha256:..., or a list of them as sha256sum writes it; checked.")
@click.option("--public-from", metavar="DATE", help="Proprietary until then (UTC).")
@click.option("--activity", type=click.Path(path_type=Path), help="How they were made (docs/provenance.md).")
@click.option("--reason", help="Why, for the log.")
@click.option("--manifest", type=click.Path(path_type=Path), help="Register what this list tells; see docs/ingest.md.")
@click.option("--unread", is_flag=True, help="With --manifest: do not read the files now; nobody sees them until then.")
@click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")
@click.pass_obj
def ingest(output: Output, /, paths: tuple[Path, ...], **options: Any) -> int:
    with opened(output, "DELIVER") as endpoint:
        way = _files if options["manifest"] is None else _manifest
        status = way(output, endpoint, paths, options)
        endpoint.tend_inventory()
        return status


def _files(output: Output, endpoint: Endpoint, paths: Sequence[Path], options: dict[str, Any]) -> int:
    from archive.backbone import ingest as ingesting

    requests = _requests(endpoint, paths, _terms(endpoint, options), options)
    outcomes: list[Outcome] = []
    with output.progress({"read": "bytes", "files": "files"}) as progress:
        done = ingesting.ingest(
            endpoint,
            requests,
            reason=options["reason"],
            dry_run=options["dry_run"],
            progress=progress,
            told=outcomes.append if output.as_json else lambda outcome: None,
        )
    _tell(output, done, outcomes, dry_run=options["dry_run"])
    return _REFUSED if done.refused else 0


def _requests(endpoint: Endpoint, paths: Sequence[Path], terms: Terms, options: dict[str, Any]) -> list[Request]:
    from archive.backbone import gathering
    from archive.backbone.sources import Digest

    if not paths:
        raise UsageFault("No files are given.", "Give the paths of files or folders.")
    digest = options["digest"]
    one = digest is not None and digest.startswith("sha256:")
    digests = None if digest is None or one else gathering.listed_digests(digest)
    if options["adopt"]:
        requests = gathering.adopted(endpoint, paths, terms, digests)
    else:
        requests = gathering.copied(paths, terms, digests)
    if not one:
        return requests
    if len(requests) != 1:
        raise UsageFault(f"One digest cannot be that of {len(requests)} files.", "Give a list as sha256sum writes it.")
    from dataclasses import replace

    return [replace(requests[0], digest=Digest.read(digest))]


def _terms(endpoint: Endpoint, options: dict[str, Any]) -> Terms:
    from archive.backbone.receiving import Terms

    missing = [name for key, name in _WANTED.items() if not options[key]]
    if missing:
        raise UsageFault(f"{' and '.join(missing)} must be given.", "They say what the files are.")
    public_from = options["public_from"]
    return Terms(
        options["kind"],
        options["release"],
        options["collection"],
        pairs("--set", options["given"]),
        pairs("--null", options["nulls"]),
        None if public_from is None else moment(public_from),
        None if options["activity"] is None else _activity(endpoint, options["activity"]),
    )


def _activity(endpoint: Endpoint, path: Path) -> Activity:
    from archive.backbone import activities

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UsageFault(f"{path} cannot be read as text.", "Give the path of a JSON file.") from None
    return activities.read(text, endpoint.site.authority, str(path))


_USELESS = ("kind", "release", "collection", "adopt", "given", "nulls", "digest", "activity")  # with a manifest
_WANTED = {"kind": "--type", "release": "--release", "collection": "--collection"}


def moment(text: str) -> str:
    """A date or time in UTC, as the ledger writes it.

    Raises:
        UsageFault: it is none.
    """
    from datetime import UTC, datetime

    from archive.ledger.database import stamp

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageFault(f"'{text}' is no date.", "Write it as 2028-01-31 or 2028-01-31T12:00:00.") from None
    return stamp(found if found.tzinfo else found.replace(tzinfo=UTC))


def _manifest(output: Output, endpoint: Endpoint, paths: Sequence[Path], options: dict[str, Any]) -> int:
    from archive.backbone import manifests

    useless = [name for name in _USELESS if options[name]]
    if paths or useless:
        raise UsageFault(
            "A manifest tells all of its files itself.", "Give --manifest without paths and their options."
        )
    with output.progress({"read": "bytes", "registered": "files", "files": "files"}) as progress:
        done = manifests.register(
            endpoint,
            options["manifest"],
            reason=options["reason"],
            read=not options["unread"],
            dry_run=options["dry_run"],
            progress=progress,
        )
    facts = {
        "registered": done.new,
        "known": done.known,
        "present": done.present,
        "refused": [{"file": name, "message": str(fault)} for name, fault in done.refused],
    }
    sentences = [
        f"{done.new:,} files were registered, {done.known:,} were known.",
        f"{done.present:,} were read: they are right.",
    ]
    sentences += [f"{name}: {fault}" for name, fault in done.refused]
    output.result(facts, *sentences)
    return _REFUSED if done.refused else 0


def _tell(output: Output, done: Ingested, outcomes: Sequence[Outcome], *, dry_run: bool) -> None:
    counts = {status.value: count for status, count in done.counts.items()}
    facts = {"dry_run": dry_run, "counts": counts, "files": [_fact(each) for each in outcomes]}
    would = "would be " if dry_run else ""
    words = {"new": "ingested", "known": "known already", "restored": "restored", "refused": "refused"}
    sentences = [f"{counts[name]:,} files {would}{word}." for name, word in words.items() if counts.get(name)]
    output.result(facts, *sentences)
    if not output.as_json:
        for each in done.refused:
            assert each.fault is not None
            output.fault(each.fault)


def _fact(outcome: Outcome) -> dict[str, Any]:
    artifact, fault = outcome.artifact, outcome.fault
    facts: dict[str, Any] = {"file": outcome.request.name, "uri": outcome.uri, "status": outcome.status.value}
    if artifact is not None:
        facts |= {"sha256": artifact.sha256, "size": artifact.size, "media_type": artifact.media_type}
    if fault is not None:
        facts |= {"message": fault.message, "remedy": fault.remedy}
    return facts
