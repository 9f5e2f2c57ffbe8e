"""Pins: a person wants a file kept beyond its days, until a date or until they say otherwise, and says why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection

from archive.backbone.endpoint import Endpoint
from archive.faults import NotFound, UsageFault
from archive.ledger import events, files, retention
from archive.ledger.files import Known
from archive.ledger.retention import Pin


def add(
    endpoint: Endpoint, uris: Sequence[str], *, reason: str, until: datetime | None = None, by: str | None = None
) -> list[str]:
    """Pin files, as one act; returns those for which that says something new.

    Each actor has their own pins: another's stay as they are.

    Raises:
        NotFound: one of them is not registered; nothing is pinned.
        UsageFault: no reason is given, ``until`` is over, or there is nothing left to keep of one.
    """
    if not reason.strip():
        raise UsageFault("No reason is given.", 'Say why: --reason "...".')
    if until is not None and until <= datetime.now(UTC):
        raise UsageFault(f"{until:%Y-%m-%d %H:%M} UTC is over.", "Give a later date.")
    with endpoint.ledger.write(by, reason) as transaction:
        known = _known(files.find(transaction, uris), uris)
        for file in retention.facts(transaction, [each.id for each in known.values()]):
            if file.retracted or file.dropped is not None:
                remedy = "" if file.retracted else "Bring it back first: 'archive undrop', or ingest it again."
                how = "taken back" if file.retracted else "dropped"
                raise UsageFault(f"{file.uri} was {how}.", remedy, http=409)
        before = retention.pins(transaction, [each.id for each in known.values()])
        said = {(pin.uri, pin.until, pin.reason) for pins in before.values() for pin in pins if _own(transaction, pin)}
        new = {each.id: uri for uri, each in known.items() if (uri, until, reason.strip()) not in said}
        retention.pin(transaction, new, until, reason)
    return list(new.values())


def remove(
    endpoint: Endpoint, uris: Sequence[str], *, of: str | None = None, reason: str | None = None, by: str | None = None
) -> tuple[str, ...]:
    """Remove one's own pins from files, or those ``of`` another actor; returns the files that had one.

    Raises:
        NotFound: one of them is not registered.
    """
    with endpoint.ledger.write(by, reason) as transaction:
        known = _known(files.find(transaction, uris), uris)
        actor = of or events.actor_of(transaction)
        return retention.unpin(transaction, {each.id: uri for uri, each in known.items()}, actor)


def pins(endpoint: Endpoint) -> list[Pin]:
    """All pins that hold, by file."""
    with endpoint.ledger.read() as transaction:
        return [pin for several in retention.pins(transaction).values() for pin in several]


def _own(transaction: Connection, pin: Pin) -> bool:
    return pin.actor == events.actor_of(transaction)


def _known(found: dict[str, Known], uris: Sequence[str]) -> dict[str, Known]:
    missing = [uri for uri in uris if uri not in found]
    if missing:
        raise NotFound(f"{missing[0]}: no such file is registered.", "Write its whole URI: archive://...")
    return found
