"""The reserve: room on a store's disk that nothing which comes in may touch, so that the archive never runs full.

Whatever comes in claims its bytes first. A claim is refused while it would touch the reserve, with what others have
claimed and not yet written counted in; the refusal tells how fast the store fills.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from archive.backbone.endpoint import Endpoint
from archive.backbone.stores import Store
from archive.faults import TransientFault
from archive.ledger import arrivals, incidents

_HOURS = 6  # over which the rate is taken
_KIND = "reserve"
_LATER = 3600  # seconds after which a pipeline may ask again


@dataclass(frozen=True, slots=True)
class Outlook:
    """How a store's room stands: bytes ``free`` on its disk, ``claimed`` of them by others, and how it goes on.

    ``rate`` is in bytes per second; ``reached`` is when the reserve is reached at that rate, None if never.
    """

    store: str
    free: int
    claimed: int
    reserve: int
    rate: float
    reached: datetime | None

    @property
    def room(self) -> int:
        """Bytes that may still come in; negative when the reserve is touched already."""
        return self.free - self.claimed - self.reserve

    def __str__(self) -> str:
        if self.reached is None:
            return f"Nothing came in during the last {_HOURS} hours."
        when = "now" if self.room <= 0 else f"on {self.reached:%Y-%m-%d at %H:%M} UTC"
        pace = f"At the rate of the last {_HOURS} hours ({shown(self.rate * 3600)} an hour)"
        return f"{pace} the reserve is reached {when}."


def outlook(endpoint: Endpoint, store: Store, process: str = "") -> Outlook | None:
    """How the room of a store stands, for the living ``process`` that asks; None where the store has no bounds."""
    with endpoint.ledger.read() as transaction:
        return _outlook(endpoint, store, process, transaction)


def _outlook(endpoint: Endpoint, store: Store, process: str, transaction: Connection) -> Outlook | None:
    free = store.free()
    if free is None:
        return None
    claimed = arrivals.claimed_by_others(transaction, store.name, process)
    rate = arrivals.rate(transaction, store.name, _HOURS)
    room = free - claimed - endpoint.config.reserve
    reached = None
    if rate > 0:
        reached = datetime.now(UTC) + timedelta(seconds=min(max(0.0, room / rate), 10**9))
    return Outlook(store.name, free, claimed, endpoint.config.reserve, rate, reached)


def claim(endpoint: Endpoint, store: Store, arrival: arrivals.Arrival, size: int, *, new: bool) -> None:
    """Claim ``size`` bytes for an arrival, which is entered into the ledger if it is ``new``.

    Raises:
        TransientFault: that would touch the reserve; tells when it was or will be reached.
    """
    with endpoint.ledger.write() as transaction:
        found = _outlook(endpoint, store, arrival.process, transaction)
        if found is None or size <= found.room:
            if new:
                arrivals.begin(transaction, arrival, size)
            else:
                arrivals.claim(transaction, arrival.id, size)
            incidents.close_incident(transaction, _KIND, store.name)
            return
        detail = {"free": found.free, "claimed": found.claimed, "reserve": found.reserve, "asked": size}
        incidents.open_incident(transaction, _KIND, store.name, detail)
    raise refusal(found, size)


def refusal(found: Outlook, size: int) -> TransientFault:
    """Why ``size`` bytes cannot come in."""
    others = f", {shown(found.claimed)} more are on their way in" if found.claimed else ""
    return TransientFault(
        f"There is no room for {shown(size)} in the store '{found.store}': {shown(found.free)} are free, "
        f"{shown(found.reserve)} of them are kept in reserve{others}. {found}",
        "Make room on its disk, or add a store.",
        http=507,
        after=_LATER,
    )


def shown(size: float) -> str:
    """A number of bytes as people read it."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if abs(size) < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
