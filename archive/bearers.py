"""Bearers: who asks over HTTP, by the token that a request bears (RFC 6750)."""

from __future__ import annotations

from datetime import datetime

from flask import g, request

from archive import access
from archive.access import PUBLIC, Action, Actor
from archive.faults import NotAuthenticated, NotAuthorized
from archive.ledger import Ledger


class Bearers:
    """Knows whom the requests of one application come from."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def actor(self) -> Actor:
        """Who sends the request at hand; ``PUBLIC`` if it bears no token.

        Raises:
            NotAuthenticated: it bears one that is not valid.
        """
        if "actor" not in g:
            g.actor = self._actor()
        actor: Actor = g.actor
        return actor

    def require(self, action: Action) -> Actor:
        """Who sends the request at hand, who may do ``action``.

        Raises:
            NotAuthenticated: nobody knows who it is.
            NotAuthorized: they may not.
        """
        actor = self.actor()
        access.require(actor, action)
        return actor

    def require_readable(self, name: str, public_from: datetime | None) -> None:
        """Let whoever sends the request at hand read the file ``name``, which is proprietary until ``public_from``.

        A file that is public is for everybody, whatever they bear.

        Raises:
            NotAuthenticated: it is not public yet, and nobody knows who it is.
            NotAuthorized: it is not, and they may not.
        """
        if access.may_read(PUBLIC, public_from) or access.may_read(self.actor(), public_from):
            return
        proprietary = f"{name} is proprietary until {public_from:%Y-%m-%dT%H:%M:%SZ}."
        if self.actor() == PUBLIC:
            raise NotAuthenticated(proprietary, "Say who you are with a token: Authorization: Bearer <token>.")
        raise NotAuthorized(proprietary, "Ask the archive's operators for the right to read it.")

    def _actor(self) -> Actor:
        scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
        if scheme.lower() != "bearer":  # what else is there may be meant for a proxy before us
            return PUBLIC
        return access.bearer(self._ledger, token.strip())
