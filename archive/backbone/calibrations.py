"""The calibration for an exposure: by instrument, detector, filter and time, exactly one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from archive.backbone.endpoint import Endpoint
from archive.backbone.examination import Fact, facts_of
from archive.faults import NotFound, TransientFault, UsageFault
from archive.ledger import certified, files, finding, members, products
from archive.ledger.certified import Certified, Scope
from archive.ledger.finding import Criteria
from archive.ledger.products import Product
from archive.products import ProductTypes, product_types

_KIND = "calib_type"  # the item of metadata that tells what kind of calibration a file is
_SCIENCE = "raw_image"


@dataclass(frozen=True, slots=True)
class Fit:
    """The calibration for one ``file`` of an exposure, and the files it is made up of."""

    file: str
    detector: str | None
    calibration: Certified
    files: tuple[str, ...]


def for_exposure(
    endpoint: Endpoint, name: str, kind: str, *, detector: str | None = None, collection: str | None = None
) -> list[Fit]:
    """The one calibration of a ``kind`` for an exposure, by instrument, detector, filter and the time it began.

    ``name`` is the URI of a file, or an exposure, of which each file (or those of one ``detector``) gets its own.

    Raises:
        NotFound: there is no such exposure, or no calibration for it.
        UsageFault: several fit, or what has to be known of the exposure is not.
        TransientFault: the one that fits is not complete here.
    """
    types = product_types(endpoint.config.description_folders)
    with endpoint.ledger.read() as transaction:
        exposed = _exposed(transaction, name, detector)
        meant = _kind(types, kind)
        return [_fit(transaction, meant, uri, each, collection) for uri, each in exposed]


def _exposed(transaction: Connection, name: str, detector: str | None) -> list[tuple[str, Product]]:
    """The files of an exposure as it was taken, or the file of that name."""
    known = files.find(transaction, [name]).get(name)
    if known is not None:
        numbers = {known.id: name}
    else:
        wanted = Criteria(exposure=name, detector=detector)
        hits = list(finding.find(transaction, wanted))
        taken = [each for each in hits if each.type == _SCIENCE] or hits
        numbers = {each.artifact: each.uri for each in taken}
    found = products.find(transaction, numbers)
    if not found:
        of = f" of detector {detector}" if detector else ""
        raise NotFound(f"There is no exposure '{name}'{of}.", "Give an exposure or the URI of a file of it.")
    return [(numbers[number], each.product) for number, each in sorted(found.items())]


def _fit(transaction: Connection, kind: str, uri: str, product: Product, collection: str | None) -> Fit:
    found = _one(transaction, kind, uri, product, collection)
    lacks = members.missing(transaction, [found.dataset])[found.dataset]
    if lacks:
        raise TransientFault(f"{found.uri} is not complete here: {lacks[0].what} {lacks[0].why}.", "Bring it in again.")
    holds, _ = members.contents(transaction, found.dataset)
    return Fit(uri, product.detector, found, tuple(each.uri for each in holds))


def _one(transaction: Connection, kind: str, uri: str, product: Product, collection: str | None) -> Certified:
    instrument, time = product.instrument, product.t_min
    if instrument is None or time is None:
        raise UsageFault(f"With what or when {uri} was taken is not known.", "Say so with 'archive amend'.")
    facts = facts_of(product.metadata)
    filters = list(filter(None, (_text(facts, "physical_filter"), product.band)))
    found = certified.at(transaction, kind, instrument, product.detector, filters, time, collection)
    of = Scope(kind, instrument, product.detector, " or ".join(dict.fromkeys(filters)) or None)
    if not found:
        raise NotFound(
            f"No {of} is certified for {uri} (MJD {time:.5f}).", "Certify one: 'archive collection certify'."
        )
    if len(found) > 1:
        told = ", ".join(f"{each.uri} in {each.collection}" for each in found)
        raise UsageFault(f"Several {of} fit {uri}: {told}.", "Name one collection: --collection NAME.", http=409)
    return found[0]


def _kind(types: ProductTypes, kind: str) -> str:
    """What is meant by the name of a kind of calibrations, which may be written in several ways."""
    for each in types.values():
        item = each.by_name.get(_KIND)
        for word, others in item.words.items() if item is not None else ():
            if kind == word or kind in others:
                return word
    return kind


def _text(facts: Mapping[str, Fact], name: str) -> str | None:
    value = facts[name].value if name in facts else None
    return value if isinstance(value, str) else None
