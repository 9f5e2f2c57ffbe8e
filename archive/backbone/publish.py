"""Publishing: a release's loaded rows become what is queried, all its tables in one commit, while it is served."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from archive.backbone.endpoint import Endpoint
from archive.backbone.steps import step
from archive.faults import NotFound, TransientFault
from archive.ledger import contents, descriptions, editions, files
from archive.ledger.descriptions import Registered
from archive.ledger.editions import Built
from archive.ledger.files import State
from archive.releases import Release

Progress = Callable[[str, int], None]
"""Told as work goes on: the qualified name of the table and how many of its rows have come into place since."""


@dataclass(frozen=True, slots=True)
class Publication:
    """What publishing did: rows of each table that changed, all published tables of the schema, the revision."""

    schema: str
    revision: int
    changed: Mapping[str, int]
    tables: tuple[str, ...]
    without_rows: tuple[str, ...]
    removed: int


def publish(
    endpoint: Endpoint,
    name: str,
    progress: Progress = lambda table, rows: None,
    *,
    by: str | None = None,
    reason: str | None = None,
    also: Callable[[Connection], object] = lambda transaction: None,
) -> Publication:
    """Show the newest states of all tables of schema ``name``; what is shown already changes nothing.

    ``also`` is done in the same commit.

    Raises:
        NotFound: nothing was loaded into the schema, or the release was withdrawn.
    """
    with endpoint.attend("publish") as attendance:
        registered, states, due = _plan(endpoint, name)
        step("publish.begun")
        built = [_build(endpoint, registered, state, attendance.id, progress) for state in due]
        step("publish.built")
        revision = _switch(registered, built, partial(endpoint.ledger.write, by, reason), also)
        step("publish.switched")
        removed = remove_retired(endpoint)
        step("publish.removed")
    return Publication(
        name,
        revision,
        {".".join(item.edition.key): item.edition.rows for item in built},
        tuple(state.table for state in states),
        tuple(table.name for table in registered.release.schema.tables if table.name not in {s.table for s in states}),
        removed,
    )


def rebuild(endpoint: Endpoint, name: str, progress: Progress = lambda table, rows: None) -> int:
    """Make the editions of everything that is shown of schema ``name`` anew, from the files; returns how many.

    What is shown stays the same.

    Raises:
        TransientFault: the schema was published anew meanwhile, or a file cannot be read.
    """
    with endpoint.attend("publish") as attendance:
        with endpoint.ledger.read() as transaction:
            shown = editions.published_states(transaction, name)
            if not shown:
                return 0
            states = [files.state(transaction, (name, table), number) for table, (number, _) in shown.items()]
            (number,) = {number for _, number in shown.values()}  # one description for all tables of a schema
            registered = descriptions.by_id(transaction, number)
        built = [_build(endpoint, registered, state, attendance.id, progress) for state in states]
        with endpoint.ledger.write() as transaction:
            if editions.published_states(transaction, name) != shown:
                raise TransientFault(f"'{name}' was published anew meanwhile.", "Look whether it is still needed.")
            editions.publish(transaction, name, registered.id, built)
        remove_retired(endpoint)
    return len(built)


def _plan(endpoint: Endpoint, name: str) -> tuple[Registered, list[State], list[State]]:
    """The description in force, the state of each table that has rows, and those that are not shown yet."""
    with endpoint.ledger.read() as transaction:
        if name in (withdrawn := contents.withdrawn(transaction)):
            raise contents.gone(withdrawn[name])
        registered = descriptions.find(transaction, name)
        if registered is None or not files.states(transaction, name):
            raise NotFound(f"Nothing was loaded into '{name}'.", f"Load something: archive load {name} TABLE FILE...")
        tables = registered.release.schema.tables
        numbers = files.states(transaction, name)
        states = [files.newest_state(transaction, table.key) for table in tables if table.name in numbers]
        shown = editions.published_states(transaction, name)
    due = [state for state in states if state.table not in shown or shown[state.table][0] < state.number]
    return registered, states, due


def _build(endpoint: Endpoint, registered: Registered, state: State, builder: str, progress: Progress) -> Built:
    table = registered.release.table(state.table)
    with endpoint.ledger.write() as transaction:
        number = editions.begin(transaction, table.key, state.number, registered.id, builder)
        since = files.since(transaction, state)
    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        progress(table.qualified, rows - done)
        done = rows

    with ExitStack() as held:
        parts = [held.enter_context(endpoint.store.local(part.artifact.path)) for part in state.parts]
        return Built(endpoint.engine.build(table, number, parts, advance, since), state.number)


def migrate(endpoint: Endpoint, release: Release) -> tuple[Registered, int]:
    """Put ``release`` in force and show what is published of its schema by it, in one commit while queries run.

    Rows stay where they are: only how they are shown changes. Returns the description and the revision that shows
    it; the same description again changes nothing.

    Raises:
        UsageFault: it does not fit the rows that are there.
        NotFound: nothing of the schema is published.
    """
    with endpoint.ledger.write() as transaction:
        shown = editions.published_states(transaction, release.name)
        if not shown:
            raise NotFound(f"Nothing of '{release.name}' is published.", "Register it: archive schema register FILE")
        registered = descriptions.register(transaction, release)
        if all(description == registered.id for _, description in shown.values()):
            return registered, editions.current_revision(transaction)
        return registered, editions.publish(transaction, release.name, registered.id, [])


def _switch(
    registered: Registered,
    built: list[Built],
    writing: Callable[[], AbstractContextManager[Connection]],
    also: Callable[[Connection], object],
) -> int:
    """One commit that shows everything built; none if nothing differs from what is shown."""
    name = registered.release.name
    with writing() as transaction:
        also(transaction)
        shown = editions.published_states(transaction, name)
        if not built and all(description == registered.id for _, description in shown.values()):
            return editions.current_revision(transaction)
        revision = editions.publish(transaction, name, registered.id, built)
        step("publish.switching")
        return revision


def remove_retired(endpoint: Endpoint) -> int:
    """Remove the editions that nobody serves any more; returns how many.

    A process that serves says in the ledger which revision it still answers from; an edition goes when all living
    ones are past it and its grace has passed.
    """
    with endpoint.ledger.write() as transaction:
        removable = editions.removable(transaction, endpoint.config.grace)
    for edition in removable:
        endpoint.engine.remove(edition)
        with endpoint.ledger.write() as transaction:
            editions.remove(transaction, edition.number)
    return len(removable)
