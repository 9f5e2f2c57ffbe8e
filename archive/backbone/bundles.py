"""Bundles: many small files kept as members of one, so that a store has few files to keep and to check.

A bundle is a plain tar file (POSIX.1-2001, not compressed), registered like any file; so it can be read without us.
Each member is registered under a name of its own too, and lies in the bundle from an offset that the ledger knows:
it is read as a range. Parts of catalogs and other Parquet files are never bundled, since engines read them as files.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, cast
from urllib.parse import quote

from sqlalchemy import Connection

from archive.backbone.endpoint import Endpoint
from archive.backbone.registrar import Arrival
from archive.backbone.stores import Staged, steps
from archive.faults import UsageFault
from archive.ledger import files
from archive.ledger.files import Artifact

MEDIA_TYPE = "application/x-tar"

_BLOCK = tarfile.BLOCKSIZE
_LARGEST = 16 << 20  # bytes of a member: what is larger is no burden to a store


@dataclass(frozen=True, slots=True)
class Member:
    """A file to be bundled: under which path it is registered, and where it lies now."""

    path: str
    source: Path
    media_type: str


def register(endpoint: Endpoint, path: str, members: Sequence[Member]) -> list[Artifact]:
    """Register copies of small files as members of one new bundle, which is registered under ``path``: all or none.

    Raises:
        UsageFault: a file cannot be read, is too large or of a kind that is never bundled, or a name is taken.
    """
    for member in members:
        steps(member.path)
        _check(member)
    with Arrival(endpoint) as arrival:
        arrival.claim(sum(member.source.stat().st_size + 3 * _BLOCK for member in members))
        staged = arrival.stage()
        found = _write(endpoint, staged, members)
        bundle = arrival.name(staged, path, MEDIA_TYPE)

        def facts(transaction: Connection) -> list[Artifact]:
            number = files.find(transaction, [bundle.uri])[bundle.uri].id
            placed = [
                replace(artifact, place=replace(bundle.here, bundle=number, offset=offset))
                for artifact, offset in found
            ]
            for artifact in placed:
                files.add_artifact(transaction, artifact)
            return placed

        return arrival.commit(facts)


def _check(member: Member) -> None:
    if member.path.endswith(".parquet") or "parquet" in member.media_type:
        raise UsageFault(
            f"{member.source} is a Parquet file.", "These are kept as they are: leave it out of the bundle."
        )
    try:
        size = member.source.stat().st_size
    except OSError as error:
        raise _unreadable(member, error) from None
    if size > _LARGEST:
        raise UsageFault(f"{member.source} has {size:,} bytes.", f"Only files up to {_LARGEST:,} bytes are bundled.")


def _write(endpoint: Endpoint, staged: Staged, members: Sequence[Member]) -> list[tuple[Artifact, int]]:
    """Write the bundle; each member as it will be registered, and the offset of its bytes."""
    found = []
    with tarfile.open(fileobj=cast("IO[bytes]", staged), mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            try:
                data = member.source.read_bytes()
            except OSError as error:
                raise _unreadable(member, error) from None
            about = tarfile.TarInfo(member.path)
            about.size = len(data)
            tar.addfile(about, io.BytesIO(data))
            offset = staged.tell() - len(data) - -len(data) % _BLOCK
            uri = endpoint.uri(quote(member.path))
            sha256 = hashlib.sha256(data).hexdigest()
            found.append((Artifact(uri, sha256, len(data), member.media_type), offset))
    return found


def _unreadable(member: Member, error: OSError) -> UsageFault:
    return UsageFault(f"{member.source} cannot be read: {error.strerror}.", "Give the path of a readable file.")
