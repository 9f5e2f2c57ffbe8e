"""What images show that came in before anybody asked, or by a list of files: found in their headers afterwards.

An ingest that reads a file finds it on the way. Where it is not known yet, only headers are read, and nothing of what
stands in the ledger is changed but that it is added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from archive.backbone.endpoint import Endpoint
from archive.backbone.examination import Coverage, coverage
from archive.backbone.inspection import Hdu, Inspection, skim
from archive.backbone.obscore import observed, observed_types
from archive.backbone.stores import CHUNK
from archive.faults import Fault, TransientFault
from archive.ledger import events, holdings, observations, products
from archive.ledger.files import Artifact
from archive.ledger.holdings import Holding
from archive.products import ProductTypes, product_types

_BATCH = 200  # files of one transaction
_READERS = 4
_PACKED = "application/gzip"


@dataclass(frozen=True, slots=True)
class Looked:
    """How many files were looked at, and the URIs and faults of those that could not be read; they stay due."""

    files: int
    unread: tuple[tuple[str, Fault], ...]


def due(endpoint: Endpoint) -> list[str]:
    """The URIs of products that may be images and of which it is not known what they show."""
    types = product_types(endpoint.config.description_folders)
    with endpoint.ledger.read() as transaction:
        return observations.unseen(transaction, observed_types(types))


def observe(endpoint: Endpoint, progress: Callable[[int], None] = lambda files: None) -> Looked:
    """Look at all files that are ``due``; ``progress`` is told how many more are done. Again it changes nothing."""
    types = product_types(endpoint.config.description_folders)
    wanted = due(endpoint)
    count, unread = 0, []
    with ThreadPoolExecutor(_READERS) as readers:
        for start in range(0, len(wanted), _BATCH):
            uris = wanted[start : start + _BATCH]
            with endpoint.ledger.read() as transaction:
                held = [found for uri in uris if (found := holdings.find(transaction, uri)) is not None]
            looked = list(zip(held, readers.map(lambda each: _look(endpoint, each), held), strict=True))
            unread += [(each.uri, found) for each, found in looked if isinstance(found, Fault)]
            seen = [(each, found) for each, found in looked if isinstance(found, Coverage)]
            with endpoint.ledger.write() as transaction:
                count += _note(transaction, seen, types)
            progress(len(uris))
    return Looked(count, tuple(unread))


def _note(transaction: Connection, seen: Sequence[tuple[Holding, Coverage]], types: ProductTypes) -> int:
    """Write down what files cover that is still not known; returns how many."""
    numbers = [each.id for each, _ in seen]
    known = observations.covered(transaction, numbers)
    described = products.find(transaction, numbers)
    added = {}
    for each, covered in seen:
        now = holdings.find(transaction, each.uri)
        if each.id in known or now is None or now.retracted is not None:
            continue
        product = described[each.id].product
        added[each.id] = observed(product, covered, types, _artifact(each), each.registered)
        events.append(transaction, "coverage", {"uri": each.uri, "coverage": covered.json})
    observations.add(transaction, added)
    return len(added)


def _artifact(held: Holding) -> Artifact:
    public_from: datetime | None = held.public_from
    told = None if public_from is None else public_from.isoformat()
    return Artifact(held.uri, held.sha256, held.size, held.media_type, public_from=told)


def _look(endpoint: Endpoint, held: Holding) -> Coverage | Fault:
    """What a file covers by its first copy that can be read."""
    fault: Fault = TransientFault(f"{held.uri} has no good copy here.", "Look again when it has one.")
    for copy in held.copies:
        try:
            return coverage(_headers(endpoint, held, copy.place.store, copy.place.path, copy.place.offset or 0))
        except Fault as error:
            fault = error
    return fault


def _headers(endpoint: Endpoint, held: Holding, store: str, path: str, offset: int) -> tuple[Hdu, ...]:
    def read(first: int, last: int) -> bytes:
        if first >= held.size:
            return b""
        with endpoint.stores[store].open(path, offset + first, offset + min(last, held.size) - 1) as opened:
            return opened.read()

    if held.media_type != _PACKED:
        return skim(held.uri, held.size, read) if read(0, 9) == b"SIMPLE  =" else ()
    inspection = Inspection(held.uri, digest=False)
    for first in range(0, held.size, CHUNK):
        inspection.feed(read(first, first + CHUNK))
    return inspection.finish().hdus
