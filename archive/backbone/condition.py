"""How the archive is: one set of facts for ``archive status``, ``archive doctor`` and ``/staff/status``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from archive.backbone import reserve
from archive.backbone.endpoint import Endpoint
from archive.backbone.reserve import Outlook
from archive.backbone.stores import Store
from archive.backbone.verification.loss import Account
from archive.faults import Fault
from archive.ledger import contents, incidents, kept, rounds
from archive.ledger.incidents import Incident
from archive.ledger.kept import AtRisk, Whole
from archive.ledger.rounds import Round
from archive.ledger.underway import Underway, underway
from archive.products import product_types

CATALOGS = "catalogs"
"""What files count as that are no products: deliveries, parts, manifests. They are kept as long as their release."""

_MOST_AT_RISK = 100


@dataclass(frozen=True, slots=True)
class Kept:
    """Copies of one retention class in one store and state (present, absent, bad, leaving), and their bytes."""

    retention: str
    store: str
    state: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class StoreState:
    """How a store fares: its room (None where it has no bounds or cannot be reached: ``away`` says why), and the last
    round of checks of each kind, ended or not.
    """

    name: str
    room: Outlook | None
    away: str | None
    names: Round | None
    deep: Round | None


@dataclass(frozen=True, slots=True)
class Served:
    """A schema that is shown: its tables and their rows, and whether its content is open or frozen."""

    name: str
    tables: int
    rows: int
    content: str


@dataclass(frozen=True, slots=True)
class Condition:
    """All of it, at one moment of the ledger. ``at_risk`` tells the worst ones only."""

    site: str
    time: datetime
    kept: Sequence[Kept]
    whole: Whole
    at_risk: Sequence[AtRisk]
    stores: Sequence[StoreState]
    incidents: Sequence[Incident]
    served: Sequence[Served]
    underway: Underway
    account: Account

    @property
    def oldest_age(self) -> float | None:
        """Seconds since the last check of that good copy which was not read whole for the longest time."""
        if self.whole.oldest is None:
            return None
        return (self.time - datetime.fromisoformat(self.whole.oldest)).total_seconds()

    def facts(self) -> dict[str, Any]:
        """For programs: what is on its way by itself, all else by name."""
        told = asdict(self)
        told |= told.pop("underway")
        for store, state in zip(told["stores"], self.stores, strict=True):
            if state.room is not None:
                reached = state.room.reached
                store["room"] |= {"room": state.room.room, "reached": None if reached is None else reached.isoformat()}
        told["account"] |= {"limit": self.account.limit if self.account.checked else None, "words": str(self.account)}
        return told | {"time": self.time.isoformat(), "oldest_age": self.oldest_age}


def condition(endpoint: Endpoint) -> Condition:
    """How the archive is now. Stores are only asked for their room."""
    rooms = {store.name: _room(endpoint, store) for store in endpoint.stores.values()}
    with endpoint.ledger.read() as transaction:
        since = _read_since(transaction, endpoint.stores)
        whole = kept.whole(transaction, since)
        return Condition(
            endpoint.site.authority,
            datetime.now(UTC),
            _kept(transaction, endpoint),
            whole,
            kept.at_risk(transaction, _MOST_AT_RISK),
            [_store(transaction, name, *rooms[name]) for name in endpoint.stores],
            incidents.open_incidents(transaction),
            _served(transaction),
            underway(transaction),
            _account(whole, since),
        )


def account(transaction: Connection, stores: Iterable[str]) -> Account:
    """What is known of losses since the last whole deep rounds over these stores began."""
    since = _read_since(transaction, stores)
    return _account(kept.whole(transaction, since), since)


def _account(whole: Whole, since: str | None) -> Account:
    return Account(whole.read + whole.gone, whole.gone, since) if since is not None else Account(0, 0, None)


def _read_since(transaction: Connection, stores: Iterable[str]) -> str | None:
    """When the last whole deep rounds over these stores began; None if there was none."""
    ended = [rounds.last(transaction, name, deep=True, ended=True) for name in stores]
    return min((each.begun for each in ended if each is not None), default=None)


def _room(endpoint: Endpoint, store: Store) -> tuple[Outlook | None, str | None]:
    try:
        return reserve.outlook(endpoint, store), None
    except Fault as fault:
        return None, str(fault)


def _store(transaction: Connection, name: str, room: Outlook | None, away: str | None) -> StoreState:
    last = {deep: rounds.last(transaction, name, deep=deep) for deep in (False, True)}
    return StoreState(name, room, away, last[False], last[True])


def _kept(transaction: Connection, endpoint: Endpoint) -> list[Kept]:
    """Copies by the class of their types."""
    types = product_types(endpoint.config.description_folders)
    total: dict[tuple[str, str, str], tuple[int, int]] = {}
    for each in kept.copies(transaction):
        known = types.get(each.type) if each.type is not None else None
        key = (known.retention.name if known is not None else CATALOGS, each.store, each.state)
        files, size = total.get(key, (0, 0))
        total[key] = (files + each.files, size + each.bytes)
    return [Kept(*key, *counts) for key, counts in sorted(total.items())]


def _served(transaction: Connection) -> list[Served]:
    shown = kept.shown(transaction)
    states = {each.name: str(each.state) for each in contents.everything(transaction)}
    names = sorted({*shown, *states})
    return [Served(name, *shown.get(name, (0, 0)), states.get(name, "open")) for name in names]
