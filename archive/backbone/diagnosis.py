"""Is the archive well? Every check looks at one thing, changes nothing, and tells what it found and what to do."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from archive import access
from archive.backbone import reserve
from archive.backbone.endpoint import Endpoint
from archive.backbone.stores import Store
from archive.backbone.upgrading import stores_of, version
from archive.config import Config
from archive.engine import postgres_facts
from archive.faults import Fault
from archive.ledger import Ledger, chain, incidents, kept, schema
from archive.ledger.connections import connected
from archive.ledger.database import now
from archive.ledger.editions import as_edition
from archive.ledger.layouts import UNNUMBERED
from archive.ledger.replicas import Has

_CLOCK_SECONDS = 5.0  # that clocks may differ
_OLDEST_SERVER = 140_000
_ORDERS = ("C", "POSIX", "C.UTF8")
_DAYS_OF_ROOM = 30


class Severity(StrEnum):
    """How much a finding matters: ``warning`` wants to be looked at, ``fatal`` keeps the archive from its work."""

    GOOD = "good"
    WARNING = "warning"
    FATAL = "fatal"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it."""

    check: str
    severity: Severity
    message: str
    remedy: str = ""


def examine(config: Config, progress: Callable[[str, int], None] = lambda what, number: None) -> list[Finding]:
    """All findings about the archive of ``config``. What keeps others from being looked for comes alone."""
    findings = list(_guarded("layout", lambda: _layouts(config)))
    if any(finding.severity is Severity.FATAL for finding in findings):
        return findings
    with Endpoint(config, Ledger.open(config.ledger_url)) as endpoint:
        checks: dict[str, Callable[[], Iterator[Finding]]] = {
            "database": lambda: _database(config),
            "events": lambda: _events(endpoint, progress),
            "people": lambda: _people(endpoint),
            "stores": lambda: _stores(endpoint),
            "files": lambda: _files(endpoint),
            "editions": lambda: _editions(endpoint),
            "processes": lambda: _processes(endpoint),
            "clock": lambda: _clock(endpoint),
            "incidents": lambda: _incidents(endpoint),
        }
        for name, check in checks.items():
            findings += _guarded(name, check)
    return findings


def worst(findings: list[Finding]) -> Severity:
    """The gravest of what was found."""
    return max((finding.severity for finding in findings), key=list(Severity).index, default=Severity.GOOD)


def _guarded(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a check finds; one that cannot be made is a finding itself."""
    try:
        yield from check()
    except Fault as fault:
        yield Finding(name, Severity.FATAL, fault.message, fault.remedy)
    except SQLAlchemyError:
        yield Finding(name, Severity.FATAL, "The database cannot be reached.", "Is its server running?")


# --- the ledger -----------------------------------------------------------------------------------


def _layouts(config: Config) -> Iterator[Finding]:
    for layout, url in stores_of(config):
        found = version(url, layout)
        if found is None and layout is schema.LAYOUT:
            yield Finding("layout", Severity.FATAL, "There is no archive here.", "Make one with 'archive init'.")
        elif found is None or found == layout.version:
            yield Finding("layout", Severity.GOOD, f"{layout.name}: layout {layout.version}.")
        else:
            said = "of before layouts had numbers" if found == UNNUMBERED else str(found)
            newer = found > layout.version
            yield Finding(
                "layout",
                Severity.FATAL,
                f"{layout.name}: layout {said}; this program knows layout {layout.version}.",
                "Use the newer program that made it so." if newer else "Bring it up to date with 'archive upgrade'.",
            )


def _events(endpoint: Endpoint, progress: Callable[[str, int], None]) -> Iterator[Finding]:
    with endpoint.ledger.read() as transaction:
        wrong = chain.check(transaction, lambda number: progress("events", number))
        heads = chain.heads(transaction)
    if wrong is not None:
        yield Finding(
            "events",
            Severity.FATAL,
            f"The chain of events of {wrong.origin} does not hold: {wrong.found}.",
            "Somebody changed the ledger by hand, or its disk did. Restore the newest sound backup.",
        )
        return
    for head in heads:
        yield Finding("events", Severity.GOOD, f"{head.origin}: {head.seq:,} events, the chain holds.")


def _people(endpoint: Endpoint) -> Iterator[Finding]:
    operators = access.known_operators(endpoint.ledger)
    if operators:
        yield Finding("people", Severity.GOOD, f"Operators: {', '.join(sorted(operators))}.")
    else:
        yield Finding("people", Severity.WARNING, "Nobody is operator.", "Who runs 'archive init' will be one.")


def _incidents(endpoint: Endpoint) -> Iterator[Finding]:
    with endpoint.ledger.read() as transaction:
        for incident in incidents.open_incidents(transaction):
            yield Finding(
                "incidents",
                Severity.WARNING,
                f"{incident.kind}: {incident.subject}, since {incident.opened}.",
                f"It is closed when it is put right; see 'archive incident show {incident.id}'.",
            )


# --- files ----------------------------------------------------------------------------------------


def _stores(endpoint: Endpoint) -> Iterator[Finding]:
    for store in endpoint.stores.values():
        yield from _guarded("stores", lambda store=store: _store(endpoint, store))  # type: ignore[misc]
    with endpoint.ledger.read() as transaction:
        named = set(transaction.execute(select(schema.replica.c.store).distinct()).scalars())
    for name in sorted(named - set(endpoint.stores)):
        remedy = "Say where it is: see the setting stores."
        yield Finding("stores", Severity.FATAL, f"The ledger names a store '{name}', which is not known.", remedy)


def _store(endpoint: Endpoint, store: Store) -> Iterator[Finding]:
    if not store.writable:
        next(iter(store.paths()), None)
        yield Finding("stores", Severity.GOOD, f"{store.name}: can be read; nobody writes.")
        return
    owner = f"doctor-{uuid.uuid4().hex}"
    try:
        staged = store.stage(owner)
        staged.write(b"is there anybody?")
        staged.close()
        staged.discard()
    finally:
        store.leave(owner)
    found = reserve.outlook(endpoint, store)
    if found is None:
        yield Finding("stores", Severity.GOOD, f"{store.name}: can be written.")
        return
    room = f"{store.name}: {reserve.shown(found.free)} free, {reserve.shown(found.reserve)} kept in reserve."
    soon = found.reached is not None and (found.reached - datetime.now(UTC)).days < _DAYS_OF_ROOM
    if found.room <= 0:
        yield Finding("stores", Severity.FATAL, f"{room} Nothing more comes in.", "Make room, or add a store.")
    elif soon:
        yield Finding("stores", Severity.WARNING, f"{room} {found}", "Make room, or add a store.")
    else:
        yield Finding("stores", Severity.GOOD, room)


def _files(endpoint: Endpoint) -> Iterator[Finding]:
    with endpoint.ledger.read() as transaction:
        copies, oldest = kept.copies(transaction), kept.whole(transaction).oldest
    known: Counter[str] = Counter()
    for each in copies:
        known[each.state] += each.files
    checked = f"; the oldest check of one is of {oldest[:10]}" if oldest else ""
    yield Finding("files", Severity.GOOD, f"{known[Has.PRESENT]:,} stored files are present{checked}.")
    for state in (Has.BAD, Has.ABSENT):
        if known[state]:
            remedy = "Have them made again with 'archive verify --repair', or bring back their right bytes."
            yield Finding("files", Severity.WARNING, f"{known[state]:,} stored files are {state}.", remedy)


def _editions(endpoint: Endpoint) -> Iterator[Finding]:
    edition, shown = schema.edition, schema.published
    with endpoint.ledger.read() as transaction:
        rows = transaction.execute(select(edition).join(shown, shown.c.edition == edition.c.number)).all()
    published = [as_edition(row) for row in rows]
    there = _places(endpoint.config)
    for each in published:
        if each.place not in there:
            yield Finding(
                "editions",
                Severity.FATAL,
                f"{'.'.join(each.key)} is published, but its edition {each.place} is gone.",
                f"Make it anew with 'archive publish {each.key[0]} --rebuild'.",
            )
    present = sum(each.place in there for each in published)
    yield Finding("editions", Severity.GOOD, f"{present} of {len(published)} published tables are in place.")


def _places(config: Config) -> set[str]:
    if config.database is None:
        return {path.name for path in config.editions.glob("*")} if config.editions.is_dir() else set()
    with connected(config.database, pooled=False).begin() as connection:
        return postgres_facts.places(connection)


# --- machines -------------------------------------------------------------------------------------


def _database(config: Config) -> Iterator[Finding]:
    if config.database is None:
        return
    with connected(config.database, pooled=False).begin() as connection:
        found = postgres_facts.server_facts(connection)
    fits = found.version >= _OLDEST_SERVER and found.encoding == "UTF8"
    if not fits or found.order.upper().replace("-", "") not in _ORDERS:
        yield Finding(
            "database",
            Severity.FATAL,
            f"PostgreSQL {found.version // 10_000}, encoding {found.encoding}, order {found.order}.",
            "The archive needs PostgreSQL 14 or newer and a database in UTF8 with the order C or C.UTF-8.",
        )
    else:
        message = f"PostgreSQL {found.version // 10_000}, {found.encoding}, order {found.order}."
        yield Finding("database", Severity.GOOD, message)
    yield _sphere(found)
    yield from _apart("the database server", (found.time - datetime.now(UTC)).total_seconds())


def _sphere(found: postgres_facts.ServerFacts) -> Finding:
    if found.sphere is None:
        remedy = (
            "Run CREATE EXTENSION pg_sphere in the database as its superuser."
            if found.sphere_to_be_had
            else "Install it on the server, for example postgresql-15-pgsphere, then CREATE EXTENSION pg_sphere."
        )
        message = "pgSphere is not there: all is answered by HEALPix, regions and joins by position more slowly."
        return Finding("database", Severity.WARNING, message, remedy)
    if found.serial:
        return Finding(
            "database",
            Severity.WARNING,
            f"pgSphere {found.sphere}: {found.serial} functions keep queries from running in parallel.",
            "Mark them PARALLEL SAFE as the database's superuser, or let the archive's user own the extension.",
        )
    return Finding("database", Severity.GOOD, f"pgSphere {found.sphere}, its functions run in parallel.")


def _processes(endpoint: Endpoint) -> Iterator[Finding]:
    process, moment = schema.process, now()
    with endpoint.ledger.read() as transaction:
        rows = transaction.execute(select(process).order_by(process.c.started)).all()
    for row in rows:
        name = f"{row.role} on {row.host} (process {row.pid})"
        if row.lease >= moment:
            yield Finding("processes", Severity.GOOD, f"{name} lives.")
        else:
            message = f"{name} has been silent since {row.seen}."
            yield Finding(
                "processes", Severity.WARNING, message, "If it has ended, the next process clears up after it."
            )
    if not any(row.role == "serve" and row.lease >= moment for row in rows):
        yield Finding("processes", Severity.GOOD, "Nobody serves the archive at the moment.")


def _clock(endpoint: Endpoint) -> Iterator[Finding]:
    event, process = schema.event, schema.process
    with endpoint.ledger.read() as transaction:
        newest = transaction.execute(select(func.max(event.c.time))).scalar_one()
        seen = transaction.execute(select(func.max(process.c.seen))).scalar_one()
    moment = datetime.now(UTC)
    latest = max(filter(None, (newest, seen)), default=None)
    ahead = 0.0 if latest is None else (datetime.fromisoformat(latest) - moment).total_seconds()
    yield from _apart("the newest entry of the ledger", max(ahead, 0.0))
    yield Finding("clock", Severity.GOOD, f"It is {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC here.")


def _apart(what: str, seconds: float) -> Iterator[Finding]:
    if abs(seconds) > _CLOCK_SECONDS:
        way = "ahead of" if seconds > 0 else "behind"
        message = f"The clock of {what} is {abs(seconds):,.0f} s {way} this machine's."
        yield Finding("clock", Severity.WARNING, message, "Have the clocks set by NTP on all machines.")
