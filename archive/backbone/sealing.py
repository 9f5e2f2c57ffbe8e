"""Freezing a release: the list of all that it holds is written once, always in the same form, and sealed.

The list, its *manifest*, is itself a registered file, and its sha256 is the release's digest: whoever has the manifest
can prove with ``sha256sum`` alone what the release holds. ``docs/releases.md`` tells its form: one JSON document with
an entry a line, so that it can be read by lines too, and so that two of them can be compared by any tool.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from archive.backbone.endpoint import Endpoint
from archive.backbone.registrar import Arrival, sweep
from archive.backbone.steps import step
from archive.faults import UsageFault
from archive.ledger import belongings, contents, descriptions, files
from archive.ledger.belongings import Entry, Kept, KeptDataset, KeptDelivery, KeptPart, KeptProduct
from archive.ledger.contents import Content, Seal, State
from archive.ledger.events import Json, canonical
from archive.releases import Kind

FORMAT = "archive-release/1"

_SHOWN = 5  # names in one message

Progress = Callable[[str, int], None]
"""Told as work goes on: the step ("listed") and how many more entries are done."""


class Sink(Protocol):
    """What a manifest is written to."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""


@dataclass(frozen=True, slots=True)
class Written:
    """How much a manifest lists."""

    files: int
    bytes: int


def freeze(
    endpoint: Endpoint,
    name: str,
    *,
    by: str | None = None,
    reason: str | None = None,
    progress: Progress = lambda step, done: None,
) -> Content:
    """Seal the content of a release: nothing in it changes from now on. One that is frozen stays as it is.

    Raises:
        NotFound: there is no such release.
        UsageFault: it was withdrawn, is of a kind that grows for ever, or is not whole: files of it have no good copy
            here, or datasets are still open.
        TransientFault: another process is freezing it.
    """
    with endpoint.ledger.read() as transaction:
        content = contents.named(transaction, name)
        _check_kind(transaction, name)
    if content.state is State.FROZEN:
        return content
    with Arrival(endpoint) as arrival:
        sweep(endpoint, _folder(name))
        with endpoint.ledger.write(by, reason) as transaction:
            contents.begin_freezing(transaction, name, arrival.process)
        step("freeze.begun")
        try:
            return _seal(endpoint, arrival, name, (by, reason), progress)
        except BaseException:
            with endpoint.ledger.write(by, reason) as transaction:
                contents.stop_freezing(transaction, name, arrival.process)
            raise


def _seal(
    endpoint: Endpoint, arrival: Arrival, name: str, who: tuple[str | None, str | None], progress: Progress
) -> Content:
    folder = _folder(name)
    staged = arrival.stage()
    with endpoint.ledger.read() as transaction:
        _check_whole(transaction, name)
        written = write(transaction, name, staged, progress)
    step("freeze.written")
    artifact = arrival.name(
        staged, f"{folder}/{arrival.id}/manifest.json", "application/json", called=f"{folder}/manifest.json"
    )

    def seal(transaction: Connection) -> Content:
        number = files.find(transaction, [artifact.uri])[artifact.uri].id
        contents.freeze(transaction, name, arrival.process, Seal(number, artifact.sha256, written.files, written.bytes))
        return contents.named(transaction, name)

    return arrival.commit(seal, *who)


def _folder(name: str) -> str:
    """Where in the store, and in names, its manifest lies."""
    return f"releases/{name}"


def _check_kind(transaction: Connection, name: str) -> None:
    registered = descriptions.find(transaction, name)
    if registered is not None and registered.release.kind is Kind.LIVE:
        raise UsageFault(f"'{name}' is a live schema, which grows for ever.", "Only releases are frozen.")


def _check_whole(transaction: Connection, name: str) -> None:
    lost = belongings.without_copy(transaction, name, _SHOWN + 1)
    if lost:
        raise UsageFault(
            f"Release '{name}' is not whole: {_several(lost)} cannot be read here.",
            "Repair them first: archive verify --repair",
        )
    begun = belongings.open_datasets(transaction, name, _SHOWN + 1)
    if begun:
        raise UsageFault(
            f"Release '{name}' is not whole: {_several(begun)} {'is' if len(begun) == 1 else 'are'} still open.",
            "Seal each dataset, or say that it has failed: archive dataset seal, archive dataset fail",
        )


def _several(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" and more" if len(names) > _SHOWN else "")


# --- the form of a manifest -----------------------------------------------------------------------


def digest(transaction: Connection, name: str) -> str:
    """The sha256 that the manifest of the release would have now; that of a frozen one is the release's digest."""
    sha256 = hashlib.sha256()
    write(transaction, name, _Hashing(sha256.update))
    return sha256.hexdigest()


def write(transaction: Connection, name: str, sink: Sink, progress: Progress = lambda step, done: None) -> Written:
    """Write the manifest of a release: the same bytes as long as its content is the same."""
    total, size = 0, 0
    head: dict[str, Json] = {"format": FORMAT, "release": name}
    sink.write(f"{canonical(head)[:-1]}".encode())
    group, end = None, ""
    for entry in belongings.entries(transaction, name):
        heading, line = _line(entry)
        start = "," if heading == group else f'{end},\n"{heading}": ['
        sink.write(f"{start}\n{line}".encode())
        group, end = heading, "\n]"
        if not isinstance(entry, KeptDataset):
            total, size = total + 1, size + entry.file.size
        progress("listed", 1)
    tail = canonical({"bytes": size, "files": total})
    sink.write(f'{end},\n"totals": {tail}}}\n'.encode())
    return Written(total, size)


@dataclass(frozen=True, slots=True)
class _Hashing:
    write: Callable[[bytes], object]


def _line(entry: Entry) -> tuple[str, str]:
    """The group that an entry stands in, and the entry as canonical JSON."""
    match entry:
        case KeptProduct(file, type_, collection, said):
            return "products", canonical({**_file(file), "type": type_, "collection": collection, "said": said})
        case KeptPart(file, table, position, rows, description):
            facts: dict[str, Json] = {"table": table, "position": position, "rows": rows, "description": description}
            return "parts", canonical({**_file(file), **facts})
        case KeptDelivery(file, table, rows):
            return "deliveries", canonical({**_file(file), "table": table, "rows": rows})
        case KeptDataset(uri, collection, type_, data_id, state, digest_):
            told: dict[str, Json] = {"uri": uri, "collection": collection, "type": type_, "data_id": data_id}
            return "datasets", canonical({**told, "state": state, "sha256": digest_})


def _file(file: Kept) -> dict[str, Json]:
    return {"uri": file.uri, "sha256": file.sha256, "size": file.size}


def listed(lines: Iterable[str]) -> Iterator[str]:
    """The entries of a manifest, each as it stands in its line."""
    for line in lines:
        if line.startswith('{"') and not line.startswith('{"format"'):
            yield line.rstrip().rstrip(",")
