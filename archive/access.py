"""Who may what: roles, the actors who have them, and the one table that says which role allows which action.

Roles are granted to actors in the ledger (``archive grant``). A caller of the command line is the user whose process it
is, or whom ``ARCHIVE_TOKEN`` names; a caller over HTTP is whom their bearer token names (RFC 6750), else ``PUBLIC``. A
token speaks for its actor in one role, and only while that role is granted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import Connection

from archive.faults import NotAuthenticated, NotAuthorized
from archive.ledger import Ledger, grants, tokens
from archive.ledger.events import own_actor


class Role(StrEnum):
    """What somebody is to the archive."""

    READER = "reader"
    PRODUCER = "producer"
    CURATOR = "curator"
    OPERATOR = "operator"
    PEER = "peer"


class Action(StrEnum):
    """What not everybody may do, in words for messages."""

    READ = "read what is not public yet"
    WATCH = "see what is on its way and the log"
    DELIVER = "bring in files and rows"
    CURATE = "decide what is shown and what is said of it"
    OPERATE = "run the archive"


MAY: Mapping[Role, frozenset[Action]] = {
    Role.READER: frozenset({Action.READ}),
    Role.PRODUCER: frozenset({Action.WATCH, Action.DELIVER}),
    Role.CURATOR: frozenset({Action.READ, Action.WATCH, Action.DELIVER, Action.CURATE}),
    Role.OPERATOR: frozenset(Action),
    Role.PEER: frozenset({Action.READ, Action.WATCH}),
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who acts, and the roles they have at the moment; ``name`` is what the log says."""

    name: str
    roles: frozenset[Role] = frozenset()


PUBLIC = Actor("")
"""Everybody of whom nothing is known."""


def may(actor: Actor, action: Action) -> bool:
    """Whether ``actor`` has a role that allows ``action``."""
    return any(action in MAY[role] for role in actor.roles)


def require(actor: Actor, action: Action) -> None:
    """Refuse ``action`` unless ``actor`` may do it.

    Raises:
        NotAuthenticated: nobody knows who asks.
        NotAuthorized: they may not.
    """
    if may(actor, action):
        return
    if actor == PUBLIC:
        raise NotAuthenticated(f"Not everybody may {action}.", "Send a token: Authorization: Bearer ...")
    roles = " or ".join(role for role in Role if action in MAY[role])
    raise NotAuthorized(
        f"'{actor.name}' may not {action}.", f"An operator can change that: archive grant add '{actor.name}' ({roles})."
    )


def may_read(actor: Actor, public_from: datetime | None) -> bool:
    """Whether ``actor`` may read now a file that is proprietary until ``public_from``."""
    return public_from is None or public_from <= datetime.now(UTC) or may(actor, Action.READ)


def known_as(ledger: Ledger, name: str) -> Actor:
    """The actor of that name, with all roles that they were granted."""
    with ledger.read() as transaction:
        return Actor(name, frozenset(map(Role, grants.roles(transaction, name))))


def known_operators(ledger: Ledger) -> set[str]:
    """Who may run the archive; nobody in one that was made before there were grants."""
    with ledger.read() as transaction:
        return grants.holders(transaction, Role.OPERATOR)


def adopt(transaction: Connection) -> None:
    """Let the user whose process this is run the archive, if nobody else does: who makes an archive runs it."""
    if not grants.holders(transaction, Role.OPERATOR):
        grants.add(transaction, own_actor(), Role.OPERATOR)


def bearer(ledger: Ledger, token: str) -> Actor:
    """Whom a token names.

    Raises:
        NotAuthenticated: it is none of ours, was revoked, has expired, or its actor has its role no more.
    """
    found = tokens.find(ledger, token)
    if found is None:
        raise NotAuthenticated(
            "The token is not valid: it is unknown, was revoked or has expired.",
            "Ask the archive's operators for another one.",
            presented=True,
        )
    return Actor(found.actor, frozenset({Role(found.role)}))


def caller(ledger: Ledger, token: str | None) -> Actor:
    """Who calls from the command line: whom ``token`` names, else the user whose process this is.

    Raises:
        NotAuthenticated: the token is not valid.
    """
    return bearer(ledger, token) if token else known_as(ledger, own_actor())
