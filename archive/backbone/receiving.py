"""One file comes in: its bytes are read once, and on their way kept, hashed, inspected and held against its type.

Nothing here counts yet: a file that is received lies staged, without a name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from archive.backbone.examination import coverage, examine
from archive.backbone.inspection import Inspection
from archive.backbone.obscore import observed
from archive.backbone.sources import Digest, Source, unreadable
from archive.backbone.stores import CHUNK, Staged
from archive.faults import Fault, UsageFault
from archive.ledger.activities import Activity
from archive.ledger.files import Artifact, Known, refusal
from archive.ledger.observations import Observed
from archive.ledger.products import Product
from archive.products import ProductTypes


@dataclass(frozen=True, slots=True)
class Terms:
    """What is said alike of all files of a delivery: what they are and where they belong.

    ``given`` are values of metadata that files do not tell, ``nulls`` reasons why items are null, both by item.
    Before ``public_from`` (as the ledger writes times) files are proprietary. ``activity`` made them; None where that
    is left to their headers.
    """

    type: str
    release: str
    collection: str
    given: Mapping[str, str] = field(default_factory=dict)
    nulls: Mapping[str, str] = field(default_factory=dict)
    public_from: str | None = None
    activity: Activity | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """A file to be ingested; ``name`` is its path in its collection, ``digest`` what who delivers it says it has."""

    name: str
    source: Source
    terms: Terms
    digest: Digest | None = None

    @property
    def path(self) -> str:
        """Its path in the archive."""
        return f"{self.terms.release}/{self.terms.collection}/{self.name}"


class Status(StrEnum):
    """How an ingest of one file ended. A dry run tells how it would."""

    NEW = "new"
    KNOWN = "known"  # the same bytes under the same name: nothing changed
    RESTORED = "restored"  # they were known, and had no good copy here any more
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of one request: the ``artifact`` unless it was refused, else the ``fault``."""

    request: Request
    uri: str
    status: Status
    artifact: Artifact | None = None
    fault: Fault | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """A file whose bytes were found right; ``staged`` if they were kept, ``product`` if its name is new.

    ``observed`` is what it shows, if products of its type are observations.
    """

    request: Request
    artifact: Artifact
    staged: Staged | None
    product: Product | None
    observed: Observed | None = None


def receive(
    request: Request,
    uri: str,
    types: ProductTypes,
    known: Known | None,
    staging: Callable[[], Staged] | None,
    progress: Callable[[int], None] = lambda size: None,
) -> Received:
    """Read a file once and find out all about it.

    ``known`` is what the ledger says of its name. The bytes are kept in a file from ``staging``, unless that is None.

    Raises:
        UsageFault: it cannot be read, is not whole, does not fit its type or its digest, or its name is taken.
    """
    if known is not None and known.retracted is not None:
        raise refusal(known, known.artifact) or AssertionError
    staged = staging() if staging is not None else None
    try:
        return _received(request, uri, types, known, staged, progress)
    except BaseException:
        if staged is not None:
            staged.discard()
        raise


def _received(
    request: Request,
    uri: str,
    types: ProductTypes,
    known: Known | None,
    staged: Staged | None,
    progress: Callable[[int], None],
) -> Received:
    content = hashlib.sha256() if staged is None else None
    inspection = Inspection(request.name, digest=False)
    expected, size = request.source.size(), 0
    for data in _chunks(request.source, expected):
        if staged is not None:
            staged.write(data)
        if content is not None:
            content.update(data)
        if known is None:  # what was found right once is right
            inspection.feed(data)
        size += len(data)
        progress(len(data))
    sha256 = content.hexdigest() if content is not None else staged.sha256 if staged is not None else ""
    _check_whole(request, expected, size, sha256)
    artifact = Artifact(uri, sha256, size, "", public_from=request.terms.public_from)
    if known is not None:
        fault = refusal(known, artifact)
        if fault is not None:
            raise fault
        return Received(request, known.artifact, staged, None)
    terms = request.terms
    inspected = inspection.finish()
    kind = types[terms.type]
    product = examine(kind, inspected, terms.given, terms.nulls, release=terms.release, collection=terms.collection)
    artifact = Artifact(uri, sha256, size, inspected.media_type, public_from=terms.public_from)
    shown = None
    if kind.calib_level is not None:
        shown = observed(product, coverage(inspected.hdus), types, artifact, datetime.now(UTC))
    return Received(request, artifact, staged, product, shown)


def _chunks(source: Source, expected: int | None) -> Iterator[bytes]:
    most = CHUNK if expected is None else min(CHUNK, expected + 1)  # a small file needs no large buffer
    with closing(source.open()) as reader:
        while True:
            try:
                data = reader.read(most)
            except OSError as error:
                raise unreadable(source.name, error) from None
            if not data:
                return
            yield data


def _check_whole(request: Request, expected: int | None, size: int, sha256: str) -> None:
    if expected is not None and expected != size:
        raise UsageFault(
            f"{request.name}: {size:,} bytes came of {expected:,}.",
            "Send it again when it is whole and at rest.",
        )
    if request.digest is not None and request.digest.sha256 != sha256:
        raise UsageFault(
            f"{request.name}: its sha256 is {sha256}, not {request.digest.sha256} as you say.",
            "It was damaged on its way, or is another file: send it again.",
        )
