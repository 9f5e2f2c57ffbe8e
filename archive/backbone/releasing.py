"""Releases from their beginning to their end: created, frozen (see ``sealing``), published, withdrawn; and looked at.

What of it changes the content's state is done by ``ledger.contents``, with an event each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from archive.backbone import catalogs, sealing
from archive.backbone import publish as publishing
from archive.backbone.copies import Copies
from archive.backbone.endpoint import Endpoint
from archive.faults import Fault, UsageFault
from archive.ledger import belongings, contents, descriptions, editions, files, holdings
from archive.ledger.belongings import KeptDataset, KeptDelivery, KeptPart, KeptProduct
from archive.ledger.contents import Content
from archive.ledger.database import now
from archive.releases import Kind

Progress = Callable[[str, int], None]

_MOST = 1000  # names of lost files that are told


@dataclass(frozen=True, slots=True)
class Shown:
    """What publishing a release did: ``rows`` of each table that changed, ``files`` that became public by it."""

    rows: Mapping[str, int]
    files: int


@dataclass(slots=True)
class Holds:
    """How much a release holds: files and bytes, products by their types, rows by their tables, sealed datasets."""

    files: int = 0
    bytes: int = 0
    products: dict[str, int] = field(default_factory=dict)
    tables: dict[str, int] = field(default_factory=dict)
    datasets: int = 0


@dataclass(frozen=True, slots=True)
class Looked:
    """A release as it is found: what it ``holds``, its tables that are ``shown``, its ``missing`` files (which cannot
    be read here now), and what is ``wrong`` with it beside its manifest; nothing of that while it is open.
    """

    content: Content
    holds: Holds
    shown: tuple[str, ...]
    missing: tuple[str, ...]
    wrong: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether all that it holds is here and as it was sealed."""
        return not self.missing and not self.wrong


def create(endpoint: Endpoint, name: str, *, by: str | None = None, reason: str | None = None) -> bool:
    """Begin the release that is described as ``name``; its block of IDs is its own from then on. Whether it is new.

    Raises:
        NotFound: it is described nowhere.
        UsageFault: it is no release of ours, or its block of IDs belongs to another one.
    """
    kind = catalogs.described(endpoint, name).release.kind
    if kind is Kind.LIVE:
        raise UsageFault(f"'{name}' is a live schema, which grows for ever.", "Only what can be frozen is a release.")
    with endpoint.ledger.write(by, reason) as transaction:
        return contents.create(transaction, name)


def publish(
    endpoint: Endpoint,
    name: str,
    *,
    by: str | None = None,
    reason: str | None = None,
    progress: Progress = lambda table, rows: None,
) -> Shown:
    """Give a frozen release to the public: all its tables and all its files in one commit. Again, it changes nothing.

    Raises:
        NotFound: there is no such release, or it was withdrawn.
        UsageFault: it is not frozen.
    """
    opened = 0

    def give(transaction: Connection) -> None:
        nonlocal opened
        opened = contents.publish(transaction, name, now())

    with endpoint.ledger.read() as transaction:
        contents.check_sealed(transaction, name)  # before much is built
        has_tables = bool(files.states(transaction, name))
    if has_tables:
        done = publishing.publish(endpoint, name, progress, by=by, reason=reason, also=give)
        return Shown(done.changed, opened)
    with endpoint.ledger.write(by, reason) as transaction:
        give(transaction)
    return Shown({}, opened)


def withdraw(endpoint: Endpoint, name: str, *, reason: str, by: str | None = None) -> bool:
    """Take a release from the public, which is told the ``reason``; staff still see it. Whether that is new.

    Raises:
        NotFound: there is no such release.
        UsageFault: no reason is given.
    """
    if not reason.strip():
        raise UsageFault("No reason is given.", 'Say why, as the public will be told: --reason "...".')
    with endpoint.ledger.write(by, reason) as transaction:
        return contents.withdraw(transaction, name, reason.strip())


def look(endpoint: Endpoint, name: str) -> Looked:
    """What a release holds, and whether all of it is here and as it was sealed.

    Raises:
        NotFound: there is no such release.
    """
    with endpoint.ledger.read() as transaction:
        content = contents.named(transaction, name)
        holds = _holds(transaction, name)
        missing = tuple(belongings.without_copy(transaction, name, _MOST))
        shown = tuple(sorted(f"{name}.{table}" for table in editions.published_states(transaction, name)))
        differs = content.digest is not None and sealing.digest(transaction, name) != content.digest
    wrong = tuple(_differences(endpoint, content)) if differs else ()
    return Looked(content, holds, shown, missing, wrong)


def _holds(transaction: Connection, name: str) -> Holds:
    found = Holds()
    for entry in belongings.entries(transaction, name):
        match entry:
            case KeptProduct(file, type_, _, _):
                found.products[type_] = found.products.get(type_, 0) + 1
            case KeptPart(file, table, _, rows, _):
                found.tables[table] = found.tables.get(table, 0) + rows
            case KeptDelivery(file, _, _):
                pass
            case KeptDataset():
                found.datasets += 1
                continue
        found.files += 1
        found.bytes += file.size
    return found


def _differences(endpoint: Endpoint, content: Content) -> Iterator[str]:
    """What the ledger says of a frozen release otherwise than its manifest; nothing may."""
    try:
        sealed = set(sealing.listed(_manifest(endpoint, content)))
    except Fault as fault:
        yield f"The manifest cannot be read, and what the ledger tells is not what was sealed: {fault}"
        return
    gathered = _Gathered()
    with endpoint.ledger.read() as transaction:
        sealing.write(transaction, content.name, gathered)
    told = set(sealing.listed(gathered.lines()))
    yield from (f"Sealed, and not in the ledger: {line}" for line in sorted(sealed - told))
    yield from (f"In the ledger, and not sealed: {line}" for line in sorted(told - sealed))


def _manifest(endpoint: Endpoint, content: Content) -> Sequence[str]:
    with endpoint.ledger.read() as transaction:
        held = holdings.find(transaction, str(content.manifest))
    assert held is not None  # a foreign key
    reading = Copies(endpoint.ledger, endpoint.stores).read(held, 0, held.size - 1)
    try:
        return b"".join(reading.pieces()).decode().splitlines()
    finally:
        reading.close()


class _Gathered:
    """A manifest in memory."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes, /) -> None:
        self._pieces.append(data)

    def lines(self) -> Sequence[str]:
        return b"".join(self._pieces).decode().splitlines()


def everything(endpoint: Endpoint) -> list[tuple[Content, str]]:
    """All releases that were created, in that order, each with the version of the description in force."""
    with endpoint.ledger.read() as transaction:
        versions = {each.release.name: each.release.version for each in descriptions.newest(transaction)}
        return [(each, versions.get(each.name, "")) for each in contents.everything(transaction)]
