"""Backups: a folder from which an archive can be made again, on either kind of database.

It holds the ledger and the query log as SQLite files, each of one moment; the list of all stored files with their
digests; on request the bytes of these files; and a manifest with the digests of all that. Editions are not in it, since
they are made from the files; jobs are not, since they are the passing work of users.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine, select

from archive import __version__
from archive.backbone.endpoint import Endpoint
from archive.backbone.stores import CHUNK, Store
from archive.backbone.upgrading import version
from archive.faults import FatalFault, UsageFault
from archive.ledger import chain, schema
from archive.ledger.copying import copy_out, flush
from archive.ledger.database import now
from archive.ledger.querylog import LAYOUT as QUERIES
from archive.ledger.replicas import Has
from archive.ledger.schema import LAYOUT as LEDGER

_BATCH = 2000  # files told of at once

FORMAT = 1
MANIFEST, LIST, FILES = "manifest.json", "files.csv", "files"

Progress = Callable[[str, int], None]
"""Told as work goes on: what is being done (``rows`` or ``bytes``) and how many of it since it was last told."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that a store should have."""

    uri: str
    store: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is of, and the sha256 of its files. ``events`` is how many had happened, by origin."""

    format: int
    program: str
    authority: str
    made: str
    events: Mapping[str, int]
    files: int
    bytes: int
    with_bytes: bool
    digests: Mapping[str, str]


def backup(
    endpoint: Endpoint, folder: Path, *, files: bool = False, progress: Progress = lambda what, number: None
) -> Manifest:
    """Make the backup ``folder``, with the bytes of all ``files`` or without; it is whole, or it is not there.

    Raises:
        UsageFault: the folder is there already, or cannot be made.
        FatalFault: there is no room, or a stored file is not what the ledger says it is.
    """
    config = endpoint.config
    with _arising(folder) as place:
        copy_out(config.ledger_url, LEDGER, place / "ledger.sqlite", lambda rows: progress("rows", rows))
        if version(config.query_log_url, QUERIES) is not None:
            copy_out(config.query_log_url, QUERIES, place / "queries.sqlite", lambda rows: progress("rows", rows))
        with _reading(place / "ledger.sqlite") as transaction:
            events = {head.origin: head.seq for head in chain.heads(transaction)}
            count, size = _write_list(place / LIST, stored_files(transaction))
            if files:
                _copy_files(stored_files(transaction), endpoint.stores, place / FILES, progress)
        manifest = Manifest(
            FORMAT,
            __version__,
            endpoint.site.authority,
            now(),
            events,
            count,
            size,
            files,
            {path.name: _sha256(path) for path in sorted(place.iterdir()) if path.is_file()},
        )
        _write(place / MANIFEST, json.dumps(asdict(manifest), indent=1) + "\n")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """What the backup ``folder`` is of.

    Raises:
        UsageFault: it is no backup, of another format, or one of its files was changed.
    """
    try:
        manifest = Manifest(**json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        remedy = "Give the folder that 'archive backup' made."
        raise UsageFault(f"{folder} is no backup: its {MANIFEST} cannot be read.", remedy) from None
    if manifest.format != FORMAT:
        raise UsageFault(
            f"{folder} is a backup of format {manifest.format}; this program reads format {FORMAT}.",
            f"Use archive {manifest.program} or newer.",
        )
    for name, digest in manifest.digests.items():
        if not (folder / name).is_file() or _sha256(folder / name) != digest:
            raise UsageFault(f"{folder / name} is not as it was when the backup was made.", "Use another backup.")
    return manifest


def stored_files(transaction: Connection) -> Iterator[Stored]:
    """The files that stores of this endpoint have, by store and path; members of bundles are in their bundles."""
    file, copy = schema.artifact, schema.replica
    rows = transaction.execution_options(yield_per=_BATCH).execute(
        select(file.c.uri, copy.c.store, copy.c.path, file.c.size, file.c.sha256)
        .join(copy, copy.c.artifact == file.c.id)
        .where(copy.c.bundle.is_(None), copy.c.has == Has.PRESENT)
        .order_by(copy.c.store, copy.c.path)
    )
    return (Stored(*row) for row in rows)


def place_of(files: Path, sha256: str) -> Path:
    """Where the bytes with that digest lie in a backup's folder of files."""
    return files / sha256[:2] / sha256


@contextmanager
def _arising(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` that becomes it at the end, or goes away."""
    if folder.exists():
        raise UsageFault(f"{folder} is there already.", "Give the name of a folder that is to be made.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".unfinished", dir=folder.parent))
    except OSError as error:
        raise UsageFault(f"{folder} cannot be made: {error.strerror}.", "Give the name of another folder.") from None
    try:
        yield place
        for path in (*place.rglob("*"), place):
            flush(path)
        place.rename(folder)
        flush(folder.parent)
    except OSError as error:
        raise FatalFault(f"The backup cannot be written: {error.strerror}.", "Is there room on the disk?") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _reading(file: Path) -> Iterator[Connection]:
    """A copy of a ledger, which stays as it is."""
    address = f"{file.resolve().as_uri()}?mode=ro&immutable=1"
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(address, uri=True), poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def _write_list(path: Path, stored: Iterable[Stored]) -> tuple[int, int]:
    """How many files were listed, and their bytes."""
    count = size = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(field.name for field in fields(Stored))
        for each in stored:
            lines.writerow(astuple(each))
            count, size = count + 1, size + each.size
    return count, size


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _copy_files(stored: Iterable[Stored], stores: Mapping[str, Store], files: Path, progress: Progress) -> None:
    for file in stored:
        target = place_of(files, file.sha256)
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        found = hashlib.sha256()
        with stores[file.store].open(file.path) as source, target.open("xb") as copy:
            while data := source.read(CHUNK):
                copy.write(data)
                found.update(data)
                progress("bytes", len(data))
        if found.hexdigest() != file.sha256:
            raise FatalFault(
                f"{file.path} in store '{file.store}' is not what was registered as {file.uri}.",
                "Bring back its right bytes; a backup without --files saves everything else.",
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
