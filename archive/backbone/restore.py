"""Restoring: an archive made again from a backup, on either kind of database, where there is none.

Everything happens on a working copy of the backup's ledger: it is brought to this program's layout, its events are
followed, the stored files are checked, the editions of what was published are built. Only then does it become the
archive's ledger, as the last step: until then there is no archive, and restoring can be tried again.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from archive.access import Role
from archive.backbone import publish
from archive.backbone.backup import FILES, Manifest, Stored, place_of, read_manifest, stored_files
from archive.backbone.endpoint import Endpoint
from archive.backbone.stores import Store
from archive.backbone.upgrading import stores_of, version
from archive.config import Config
from archive.faults import FatalFault, NotFound, UsageFault
from archive.ledger import Ledger, chain, events, grants, schema
from archive.ledger.connections import WRITES, address, connected, file_of
from archive.ledger.copying import copy_rows, copy_sqlite, flush
from archive.ledger.layouts import Layout
from archive.ledger.migrations import migrate
from archive.ledger.querylog import LAYOUT as QUERIES
from archive.ledger.replicas import Has
from archive.ledger.schema import LAYOUT as LEDGER

Progress = Callable[[str, int], None]
"""Told as work goes on: what is being done and how many (bytes, rows) of it since it was last told."""

_OWNER = "restore"
_TOLD = 10  # files that a message names
_COPIES = {LEDGER: "ledger.sqlite", QUERIES: "queries.sqlite"}


@dataclass(frozen=True, slots=True)
class Restored:
    """What was made: of which backup, how many files were checked, brought back, missing; editions built; tables left
    out because their files are missing.
    """

    manifest: Manifest
    checked: int
    brought: int
    missing: tuple[str, ...]
    editions: int
    left_out: tuple[str, ...]


def restore(
    config: Config, folder: Path, *, incomplete: bool = False, progress: Progress = lambda what, number: None
) -> Restored:
    """Make the archive of ``config`` from the backup ``folder``.

    Stored files are taken where they lie, if they are right, else from the backup. With ``incomplete`` those that are
    nowhere count as lost copies from then on.

    Raises:
        UsageFault: there is an archive already, or the folder is no backup, or files are missing.
        FatalFault: the ledger in the backup is damaged, or what lies in a store is not what was registered.
    """
    manifest = read_manifest(folder)
    _check_empty(config)
    with _working(config, folder, manifest, progress) as copies:
        with Endpoint(config, Ledger.open(_url(copies[LEDGER]))) as endpoint:
            _check_events(endpoint, progress)
            if endpoint.store.writable:
                endpoint.store.prepare()
            config.editions.mkdir(exist_ok=True)
            checked, brought, missing = _files(endpoint, folder / FILES, progress)
            if missing and not incomplete:
                raise _incomplete(missing)
            left_out = _clear(endpoint, missing)
            with endpoint.ledger.write() as transaction:
                told = {"made": manifest.made, "program": manifest.program, "missing": [file.uri for file in missing]}
                events.append(transaction, "restore", told)
                grants.add(transaction, events.own_actor(), Role.OPERATOR)  # who makes an archive runs it
            built = _build(endpoint, progress)
        _switch(config, copies, progress)
    return Restored(manifest, checked, brought, tuple(file.uri for file in missing), built, left_out)


def restore_ledger(config: Config, folder: Path, progress: Progress = lambda what, number: None) -> Manifest:
    """Only the facts of the backup ``folder``, as they were: no file is looked at and nothing is built.

    Raises:
        UsageFault: there is an archive already, or the folder is no backup.
        FatalFault: the ledger in the backup is damaged.
    """
    manifest = read_manifest(folder)
    _check_empty(config)
    with _working(config, folder, manifest, progress) as copies:
        with Endpoint(config, Ledger.open(_url(copies[LEDGER]))) as endpoint:
            _check_events(endpoint, progress)
        _switch(config, copies, progress)
    return manifest


def _check_empty(config: Config) -> None:
    for layout, url in stores_of(config):
        if version(url, layout) is not None:
            place = file_of(address(url)) or "the database"
            raise UsageFault(
                f"There is an archive already: {place} holds its {layout.name}.",
                "Nothing is overwritten: restore into another home or database, or move away what is there.",
            )


@contextmanager
def _working(config: Config, folder: Path, manifest: Manifest, progress: Progress) -> Iterator[Mapping[Layout, Path]]:
    """Copies of the backup's stores of facts, in this program's layout, in a folder that goes away."""
    config.home.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=".restoring-", dir=config.home))
    try:
        copies = {layout: place / name for layout, name in _COPIES.items() if name in manifest.digests}
        for layout, copy in copies.items():
            copy_sqlite(folder / copy.name, copy)
            migrate(_url(copy), layout, progress=lambda step: progress("upgrade", 1))
        yield copies
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _url(file: Path) -> str:
    return f"sqlite:///{file}"


def _check_events(endpoint: Endpoint, progress: Progress) -> None:
    with endpoint.ledger.read() as transaction:
        wrong = chain.check(transaction, lambda number: progress("events", number))
    if wrong is not None:
        raise FatalFault(
            f"The events of {wrong.origin} in the backup are damaged: {wrong.found}.", "Use another backup."
        )


# --- files ----------------------------------------------------------------------------------------


def _files(endpoint: Endpoint, backed_up: Path, progress: Progress) -> tuple[int, int, list[Stored]]:
    """Check every stored file and bring back what is not there; how many are right now, were brought, are missing."""
    counted, missing, wrong = Counter[str](), [], []
    with endpoint.ledger.read() as transaction:
        for file in stored_files(transaction):
            store = _store(endpoint.stores, file)
            found = _digest(store, file.path, progress)
            if found is None and store.writable and place_of(backed_up, file.sha256).is_file():
                found = _bring(store, file, place_of(backed_up, file.sha256), progress)
                counted["brought"] += 1
            if found is None:
                missing.append(file)
            elif found != file.sha256:
                wrong.append(file)
            else:
                counted["right"] += 1
    if wrong:
        raise FatalFault(
            f"{_named(wrong)}: what lies there is not what was registered.",
            "Remove what is wrong; it then comes from the backup, or counts as missing.",
        )
    return counted["right"], counted["brought"], missing


def _store(stores: Mapping[str, Store], file: Stored) -> Store:
    try:
        return stores[file.store]
    except KeyError:
        remedy = "Say where it is: see the setting stores."
        raise UsageFault(f"The backup has files in a store '{file.store}', which is not known.", remedy) from None


def _digest(store: Store, path: str, progress: Progress) -> str | None:
    """The sha256 of what lies there; None if there is nothing."""
    try:
        with store.open(path) as file:
            return file.digest(lambda size: progress("check", size))[0]
    except NotFound:
        return None


def _bring(store: Store, file: Stored, source: Path, progress: Progress) -> str:
    staged = store.copy(source, _OWNER, lambda size: progress("copy", size))
    try:
        if staged.sha256 == file.sha256:
            staged.commit(file.path)
        return staged.sha256
    finally:
        staged.discard()
        store.leave(_OWNER)


def _incomplete(missing: list[Stored]) -> UsageFault:
    return UsageFault(
        f"{len(missing)} of the archive's files are missing: {_named(missing)}.",
        "Bring them back into their store, or restore what there is with --incomplete.",
    )


def _named(files: list[Stored]) -> str:
    names = ", ".join(f"{file.path} in store '{file.store}'" for file in files[:_TOLD])
    return names if len(files) <= _TOLD else f"{names}, and {len(files) - _TOLD} more"


# --- facts ----------------------------------------------------------------------------------------


def _clear(endpoint: Endpoint, missing: Iterable[Stored]) -> tuple[str, ...]:
    """Forget what was of the lost machine only: processes, files on their way, marks of stores, editions, lost copies.

    Returns the tables that cannot be shown without the missing files.
    """
    shown, edition, replica = schema.published, schema.edition, schema.replica
    with endpoint.ledger.write() as transaction:
        for table in (schema.process, schema.arrival, schema.store_mark, schema.check_round, schema.inventory):
            transaction.execute(table.delete())
        for file in missing:
            lost = (replica.c.store == file.store) & (replica.c.path == file.path)
            transaction.execute(replica.update().where(lost).values(has=Has.ABSENT))
        left_out = list(_broken(transaction))
        for schema_name, table_name in left_out:
            transaction.execute(shown.delete().where(shown.c.schema == schema_name, shown.c.table == table_name))
        transaction.execute(edition.delete().where(edition.c.number.not_in(select(shown.c.edition))))
    return tuple(".".join(key) for key in left_out)


def _broken(transaction: Connection) -> Iterator[tuple[str, str]]:
    """Published tables of whose rows some lie in files that are nowhere."""
    shown, row, replica = schema.published, schema.state_part, schema.replica
    here = select(replica.c.artifact).where(replica.c.has == Has.PRESENT)
    found = transaction.execute(
        select(shown.c.schema, shown.c.table)
        .join(
            row,
            (row.c.schema == shown.c.schema) & (row.c.table == shown.c.table) & (row.c.state == shown.c.state),
        )
        .where(row.c.part.not_in(here))
        .distinct()
    )
    return ((name, table) for name, table in found.all())


def _build(endpoint: Endpoint, progress: Progress) -> int:
    """The editions of everything that was shown; those of the lost machine are forgotten."""
    shown, edition = schema.published, schema.edition
    with endpoint.ledger.read() as transaction:
        names = transaction.execute(select(shown.c.schema).distinct().order_by(shown.c.schema)).scalars().all()
    built = sum(publish.rebuild(endpoint, name, progress) for name in names)
    with endpoint.ledger.write() as transaction:
        transaction.execute(edition.delete().where(edition.c.number.not_in(select(shown.c.edition))))
    return built


def _switch(config: Config, copies: Mapping[Layout, Path], progress: Progress) -> None:
    """The working copies become the archive's: files by their names, in PostgreSQL in one transaction."""
    targets = {layout: url for layout, url in stores_of(config) if layout in copies}
    if config.database is None:
        for layout in sorted(
            copies, key=lambda layout: layout is LEDGER
        ):  # the ledger last: with it there is an archive
            file = file_of(address(targets[layout]))
            assert file is not None
            final = copies[layout].with_name(f"{file.name}.whole")
            copy_sqlite(copies[layout], final)
            final.rename(file)
            flush(file.parent)
        return
    target = connected(config.database, pooled=False)
    with target.execution_options(**{WRITES: True}).begin() as connection:
        for layout, copy in copies.items():
            with connected(_url(copy), pooled=False).begin() as source:
                copy_rows(source, connection, layout, lambda rows: progress("rows", rows))
