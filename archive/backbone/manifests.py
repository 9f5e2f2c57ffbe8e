"""Registering files that lie in a store and whose digests are known, such as those brought from another site.

First their names, digests and metadata are registered, thousands a second, without reading them. Then each file is
read once; only what is found right is present and can be seen. If that is broken off, the same manifest goes on with
the files that are left.

A manifest is a text of JSON objects, one a line: ``path``, ``sha256``, ``size``, ``type``, ``release``, ``collection``
and, where they are told, ``store`` (``main``), ``name`` (the path), ``media_type``, ``public_from``, ``inputs`` (pairs
of role and URI), ``metadata``, and the searchable ``instrument``, ``detector``, ``band``, ``exposure``, ``t_min``,
``t_max`` (MJD, UTC), ``ra``, ``dec`` (degrees, ICRS).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection

from archive.backbone.activities import doings
from archive.backbone.endpoint import Endpoint
from archive.backbone.registering import taken_places
from archive.backbone.sources import Digest, unreadable
from archive.backbone.stores import steps
from archive.faults import FatalFault, Fault, NotFound, UsageFault
from archive.ledger import activities, contents, files, incidents, products, replicas
from archive.ledger.files import Artifact, Known
from archive.ledger.products import Product
from archive.ledger.replicas import MAIN, Has, Place
from archive.ledger.site import read_site
from archive.products import ProductTypes, product_types

_BATCH = 800  # files of a transaction: others wait for 0.2 s at most
_READERS = 8
_TEXTS = ("instrument", "detector", "band", "exposure")
_NUMBERS = ("t_min", "t_max", "ra", "dec")
_NEEDED = ("path", "sha256", "size", "type", "release", "collection")
_KEYS = {*_NEEDED, *_TEXTS, *_NUMBERS, "store", "name", "media_type", "public_from", "inputs", "metadata"}

Progress = Callable[[str, int], None]
"""Told as work goes on: "registered" files, "read" bytes."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as a manifest tells it."""

    artifact: Artifact
    product: Product


@dataclass(frozen=True, slots=True)
class Registered:
    """What a manifest did: files that are new, were known, were read and found right, and were refused with why."""

    new: int
    known: int
    present: int
    refused: tuple[tuple[str, Fault], ...]


def register(
    endpoint: Endpoint,
    manifest: Path,
    *,
    by: str | None = None,
    reason: str | None = None,
    read: bool = True,
    dry_run: bool = False,
    progress: Progress = lambda step, done: None,
) -> Registered:
    """Register what ``manifest`` tells and, unless told not to, read each file that is not known to be right.

    Raises:
        UsageFault: the manifest cannot be read, or a line of it is wrong; nothing after that line is registered.
    """
    run = _Run(endpoint, by, reason, dry_run, progress)
    listed = _lines(endpoint, manifest)
    # The next lines are understood while the database is at work.
    with _taking_turns_quickly(), ThreadPoolExecutor(1) as worker:
        waiting: Future[None] | None = None
        while batch := list(islice(listed, _BATCH)):
            if waiting is not None:
                waiting.result()
            waiting = worker.submit(run.take, batch, read=read)
        if waiting is not None:
            waiting.result()
    return Registered(run.new, run.known, run.present, tuple(run.refused))


@contextmanager
def _taking_turns_quickly() -> Iterator[None]:
    """Threads wait shorter for each other: as it is, each answer of the database waits 5 ms for its turn."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(0.0002)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


class _Run:
    """One manifest under way."""

    def __init__(
        self, endpoint: Endpoint, by: str | None, reason: str | None, dry_run: bool, progress: Progress
    ) -> None:
        self._endpoint = endpoint
        self._who = (by, reason)
        self._dry = dry_run
        self._progress = progress
        self.new = self.known = self.present = 0
        self.refused: list[tuple[str, Fault]] = []

    def take(self, batch: Sequence[Listed], *, read: bool) -> None:
        """Register a batch and, if asked for, read it."""
        self.register(batch)
        if read and not self._dry:
            self.check(batch)

    def register(self, batch: Sequence[Listed]) -> None:
        """Say what the files are and where they lie; nobody sees them yet."""
        if self._dry:
            with self._endpoint.ledger.read() as transaction:
                self._fresh(transaction, batch)
            return
        with self._endpoint.ledger.write(*self._who) as transaction:
            fresh = self._fresh(transaction, batch)
            add(transaction, fresh)
        self._progress("registered", len(batch))

    def _fresh(self, transaction: Connection, batch: Sequence[Listed]) -> list[Listed]:
        known = files.find(transaction, [each.artifact.uri for each in batch])
        taken = taken_places(transaction, [each.artifact for each in batch])
        shut = contents.closed(transaction, {each.product.release for each in batch})
        fresh: dict[str, Listed] = {}
        for each in batch:
            uri = each.artifact.uri
            before = known.get(uri) or (Known(0, fresh[uri].artifact, None) if uri in fresh else None)
            new = shut.get(each.product.release) or taken.get(uri)
            fault = files.refusal(before, each.artifact) if before is not None else new
            if fault is not None:
                self.refused.append((uri, fault))
            elif before is not None:
                self.known += 1
            else:
                fresh[uri] = each
        self.new += len(fresh)
        return list(fresh.values())

    def check(self, batch: Sequence[Listed]) -> None:
        """Read the files that have no good copy yet; those that are right are present from then on."""
        with self._endpoint.ledger.read() as transaction:
            known = files.find(transaction, [each.artifact.uri for each in batch])
        due = [
            (known[each.artifact.uri].id, each.artifact)
            for each in batch
            if each.artifact.uri in known and known[each.artifact.uri].artifact.place is None
            if known[each.artifact.uri].artifact.content == each.artifact.content
        ]
        with ThreadPoolExecutor(_READERS) as readers:
            found = list(readers.map(lambda pair: self._trouble(pair[1]), due))
        with self._endpoint.ledger.write(*self._who) as transaction:
            for (number, artifact), fault in zip(due, found, strict=True):
                if fault is None:
                    replicas.mark_checked(transaction, number, artifact.here.store)
                    incidents.close_incident(transaction, "bad-copy", artifact.uri)
                    self.present += 1
                else:
                    replicas.mark_bad(transaction, number, artifact.here.store, fault.message)
                    self.refused.append((artifact.uri, fault))

    def _trouble(self, artifact: Artifact) -> Fault | None:
        """What is wrong with the copy."""
        place = artifact.here
        try:
            store = self._endpoint.stores[place.store]
            with store.open(place.path) as opened:
                sha256, size = opened.digest(lambda more: self._progress("read", more))
            store.secure(place.path)
        except NotFound as fault:
            return fault
        if (sha256, size) != artifact.content:
            return UsageFault(f"It has {size:,} bytes with sha256 {sha256}.", "It is not the file listed.")
        return None


def add(transaction: Connection, listed: Sequence[Listed]) -> None:
    """Register files with new names, which nobody has read here yet."""
    numbers = files.add_new(transaction, [(each.artifact, each.product.facts()) for each in listed], Has.ABSENT)
    known = {number: each.product for number, each in zip(numbers, listed, strict=True)}
    products.add(transaction, known)
    if known:
        activities.record(transaction, doings(known, {}, read_site(transaction).authority))


def _lines(endpoint: Endpoint, manifest: Path) -> Iterator[Listed]:
    types = product_types(endpoint.config.description_folders)
    try:
        with manifest.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _listed(endpoint, types, f"{manifest}, line {number}", line)
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(manifest, error if isinstance(error, OSError) else OSError(0, "it is no UTF-8")) from None


def _listed(endpoint: Endpoint, types: ProductTypes, where: str, line: str) -> Listed:
    try:
        told = json.loads(line)
    except json.JSONDecodeError:
        told = None
    if not isinstance(told, dict):
        raise UsageFault(f"{where}: this is no JSON object.", "A manifest has one a line.")
    unknown, missing = told.keys() - _KEYS, [key for key in _NEEDED if key not in told]
    if unknown or missing:
        wrong = [f"'{key}' is missing" for key in missing] + [f"'{key}' is not known" for key in sorted(unknown)]
        raise UsageFault(f"{where}: {', '.join(wrong)}.", "docs/ingest.md tells what a manifest holds.")
    try:
        artifact, product = _artifact(endpoint, told), _product(told)
    except (TypeError, ValueError) as error:
        raise UsageFault(f"{where}: {error}.", "docs/ingest.md tells what a manifest holds.") from None
    types.named(product.type)
    if artifact.here.store not in endpoint.stores:
        raise UsageFault(
            f"{where}: there is no store '{artifact.here.store}'.", f"There are: {', '.join(endpoint.stores)}."
        )
    product.encoded()  # now, while the database is at work
    return Listed(artifact, product)


def _artifact(endpoint: Endpoint, told: dict[str, Any]) -> Artifact:
    name = _text(told, "name") or _text(told, "path")
    size = told["size"]
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f"size is {size!r}, which is no number of bytes")
    try:
        steps(str(told["path"]))
    except FatalFault as fault:
        raise ValueError(fault.message.rstrip(".")) from None
    return Artifact(
        endpoint.uri(quote(f"{told['release']}/{told['collection']}/{name}")),
        Digest.read(str(told["sha256"])).sha256,
        size,
        _text(told, "media_type") or "application/octet-stream",
        Place(_text(told, "store") or MAIN, str(told["path"]), adopted=True),
        _text(told, "public_from"),
    )


def _product(told: dict[str, Any]) -> Product:
    metadata = told.get("metadata", {})
    if not isinstance(metadata, dict):
        raise TypeError("metadata is no object")
    searchable: dict[str, Any] = {key: _text(told, key) for key in _TEXTS}
    searchable |= {key: None if told.get(key) is None else float(told[key]) for key in _NUMBERS}
    return Product(
        type=str(told["type"]),
        release=str(told["release"]),
        collection=str(told["collection"]),
        metadata=metadata,
        inputs=tuple((str(role), str(uri)) for role, uri in told.get("inputs", ())),
        **searchable,
    )


def _text(told: dict[str, Any], key: str) -> str | None:
    value = told.get(key)
    return None if value is None else str(value)
