"""``/staff/status``: what the public does not see yet, for those who may watch."""

from __future__ import annotations

import json
from dataclasses import asdict

from flask import Blueprint, Response

from archive.access import Action
from archive.bearers import Bearers
from archive.ledger import Ledger
from archive.ledger.underway import underway


def staff_blueprint(ledger: Ledger, bearers: Bearers) -> Blueprint:
    """The pages for staff; each of them asks for a token."""
    blueprint = Blueprint("staff", __name__)

    def status() -> Response:
        bearers.require(Action.WATCH)
        with ledger.read() as transaction:
            facts = asdict(underway(transaction))
        return Response(json.dumps(facts), headers={"Cache-Control": "no-store"}, content_type="application/json")

    blueprint.add_url_rule("/status", view_func=status)
    return blueprint
