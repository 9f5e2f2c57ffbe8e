"""Which file a path means, and whether who asks may have it: the same for its bytes and for pictures of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from archive import access
from archive.access import Action
from archive.bearers import Bearers
from archive.faults import NotFound
from archive.ledger import Ledger, Site, contents, holdings
from archive.ledger.holdings import Holding


@dataclass(frozen=True, slots=True)
class Given:
    """What may be given away by an endpoint."""

    site: Site
    ledger: Ledger
    bearers: Bearers

    def find(self, path: str) -> Holding:
        """The file of which the URI ends with ``path``, as it is in a URL after decoding.

        Raises:
            NotFound: there is none, it was retracted or dropped, or its release was withdrawn.
            NotAuthenticated: it is proprietary, and nobody knows who asks.
            NotAuthorized: it is, and they may not have it.
        """
        uri = self.site.uri(quote(path))
        with self.ledger.read() as transaction:
            held = holdings.find(transaction, uri)
            hidden = None if held is None else contents.hidden(transaction, [held.id]).get(held.id)
        if held is None:
            raise NotFound(f"There is no file {uri}.")
        self.bearers.require_readable(uri, held.public_from)
        if held.retracted is not None:
            raise NotFound(f"{uri} was retracted on {held.retracted:%Y-%m-%d}.", http=410)
        if hidden is not None and not access.may(self.bearers.actor(), Action.READ):
            raise contents.gone(hidden)
        if held.dropped is not None:
            raise NotFound(f"{uri} is not kept here since {held.dropped:%Y-%m-%d}.", http=410)
        return held


def is_proprietary(held: Holding) -> bool:
    """Whether the file is not for everybody yet."""
    return held.public_from is not None and held.public_from > datetime.now(UTC)
