"""``archive find``: find files, datasets, or the calibration for an exposure, by what is known of them.

All that is asked for holds at once. Times are UTC, positions ICRS degrees.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from archive.cli._endpoint import opened
from archive.cli._listing import date, ending, listing, size
from archive.cli._output import Output
from archive.faults import UsageFault

if TYPE_CHECKING:
    from archive.backbone.endpoint import Endpoint
    from archive.backbone.searching import FoundDataset
    from archive.ledger.finding import Criteria, Hit

_LIMIT = 100


@click.command(help=__doc__)
@click.option("--type", "types", multiple=True, help="Product type, such as raw_image; several: any of them.")
@click.option("--release", help="The release they belong to.")
@click.option("--collection", help="The collection: raw with --release dr1, or dr1/raw.")
@click.option("--instrument", help="Taken with this instrument.")
@click.option("--detector", help="Of this detector.")
@click.option("--filter", "filter_", help="Through this filter, or in this band.")
@click.option("--exposure", help="Of this exposure.")
@click.option("--time", metavar="FROM..TO", help="Taken then: dates, times or MJD; one end may be left out.")
@click.option("--cone", metavar="RA,DEC,R", help="Which show something within R degrees of a position.")
@click.option("--polygon", metavar="RA,DEC,...", help="Which show something within a polygon.")
@click.option("--where", multiple=True, metavar="ITEM=VALUE", help="An item of metadata; also <, <=, >, >=.")
@click.option("--public", is_flag=True, help="Only what everybody may see, whole and here.")
@click.option("--datasets", is_flag=True, help="Find the datasets that such files belong to.")
@click.option("--calibration-for", metavar="URI|EXPOSURE", help="The one calibration of --type for it.")
@click.option("--limit", default=_LIMIT, show_default=True, type=click.IntRange(0), help="At most so many; 0: all.")
@click.option("--count", is_flag=True, help="Only how many there are.")
@click.option("--uris", is_flag=True, help="Only their URIs, a line each, for other verbs.")
@click.pass_obj
def find(output: Output, /, **options: Any) -> int:
    with opened(output, None if options["public"] else "READ") as endpoint:
        if options["calibration_for"] is not None:
            return _calibrations(output, endpoint, options)
        criteria = _criteria(endpoint, options)
        if options["datasets"]:
            return _datasets(output, endpoint, criteria, options)
        return _files(output, endpoint, criteria, options)


def _criteria(endpoint: Endpoint, options: dict[str, Any]) -> Criteria:
    from archive.backbone import searching
    from archive.ledger.finding import Condition, Criteria
    from archive.products import product_types

    types = product_types(endpoint.config.description_folders)
    for name in options["types"]:
        types.named(name)
    conditions = [searching.condition(text, types, options["types"]) for text in options["where"]]
    band, filter_ = None, options["filter_"]
    if filter_ is not None and any(filter_ == each.name for each in types.bands):
        band = filter_
    elif filter_ is not None:
        conditions.append(Condition("physical_filter", "=", filter_))
    release, collection = options["release"], options["collection"]
    if release is None and collection and "/" in collection:
        release, _, collection = collection.partition("/")
    return Criteria(
        types=options["types"],
        release=release,
        collection=collection,
        instrument=options["instrument"],
        detector=options["detector"],
        band=band,
        exposure=options["exposure"],
        time=None if options["time"] is None else searching.span(options["time"]),
        area=searching.area(options["cone"], options["polygon"]),
        conditions=tuple(conditions),
        public=options["public"],
    )


# --- files ----------------------------------------------------------------------------------------


def _files(output: Output, endpoint: Endpoint, criteria: Criteria, options: dict[str, Any]) -> int:
    from archive.backbone import searching

    if options["count"]:
        number = searching.count(endpoint, criteria)
        output.result({"count": number}, f"Files: {number:,}")
        return 0
    found = searching.find(endpoint, criteria, options["limit"] or None)
    if options["uris"]:
        _uris(output, [hit.uri for hit in found.hits], more=found.more)
    elif output.as_json:
        output.result({"files": [_facts(hit) for hit in found.hits], "more": found.more})
    else:
        if found.hits:
            listing(_HEAD, [_row(hit) for hit in found.hits], ("SIZE",))
        ending(len(found.hits), "files", more=found.more)
    return 0


_HEAD = ("URI", "TYPE", "EXPOSURE", "DETECTOR", "BAND", "START (UTC)", "SIZE", "HERE")


def _row(hit: Hit) -> tuple[str, ...]:
    told = (hit.uri, hit.type, hit.exposure or "", hit.detector or "", hit.band or "", date(hit.t_min), size(hit.size))
    return (*told, "yes" if hit.here else "no")


def _facts(hit: Hit) -> dict[str, Any]:
    facts = asdict(hit)
    del facts["artifact"]
    return facts


# --- datasets -------------------------------------------------------------------------------------


def _datasets(output: Output, endpoint: Endpoint, criteria: Criteria, options: dict[str, Any]) -> int:
    from archive.backbone import searching

    if options["count"]:
        number = len(searching.find_datasets(endpoint, criteria).datasets)
        output.result({"count": number}, f"Datasets: {number:,}")
        return 0
    found = searching.find_datasets(endpoint, criteria, options["limit"] or None)
    if options["uris"]:
        _uris(output, [each.dataset.uri for each in found.datasets], more=found.more)
    elif output.as_json:
        output.result({"datasets": [_dataset_facts(each) for each in found.datasets], "more": found.more})
    else:
        if found.datasets:
            rows = [_dataset_row(each) for each in found.datasets]
            listing(("DATASET", "FILES", "SIZE", "ROWS", "COMPLETE"), rows, ("FILES", "SIZE", "ROWS"))
        ending(len(found.datasets), "datasets", more=found.more)
    return 0


def _dataset_row(found: FoundDataset) -> tuple[str, ...]:
    dataset, lacks = found.dataset, found.missing
    told = "yes" if not lacks else f"no: {lacks[0].what} {lacks[0].why}"
    more = f" and {len(lacks) - 1} more" if len(lacks) > 1 else ""
    return (dataset.uri, f"{dataset.files:,}", size(dataset.size), f"{dataset.rows:,}", told + more)


def _dataset_facts(found: FoundDataset) -> dict[str, Any]:
    from archive.cli.dataset import facts

    missing = [{"what": each.what, "why": each.why} for each in found.missing]
    return facts(found.dataset) | {"complete": found.complete, "missing": missing}


# --- calibrations -----------------------------------------------------------------------------------


def _calibrations(output: Output, endpoint: Endpoint, options: dict[str, Any]) -> int:
    from archive.backbone import calibrations

    if len(options["types"]) != 1:
        raise UsageFault("Which kind of calibration is wanted?", "Give --type once, such as bias or flat.")
    fits = calibrations.for_exposure(
        endpoint,
        options["calibration_for"],
        options["types"][0],
        detector=options["detector"],
        collection=options["collection"],
    )
    if options["uris"]:
        _uris(output, list(dict.fromkeys(uri for fit in fits for uri in fit.files)), more=False)
        return 0
    told = [
        {"file": fit.file, "detector": fit.detector, "calibration": fit.calibration.uri}
        | {"files": list(fit.files), "collection": fit.calibration.collection}
        for fit in fits
    ]
    output.result({"calibrations": told})
    if not output.as_json:
        rows = [(fit.file, fit.detector or "", uri) for fit in fits for uri in fit.files]
        listing(("EXPOSED", "DETECTOR", "CALIBRATION"), rows)
    return 0


def _uris(output: Output, uris: list[str], *, more: bool) -> None:
    output.result({"uris": uris, "more": more}, *uris)
    if more and not output.as_json:
        click.echo("There are more: give --limit 0 for all.", err=True)
