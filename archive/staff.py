"""``/staff/status``: how the archive is and what the public does not see yet, for those who may watch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response

from archive.access import Action
from archive.bearers import Bearers


def staff_blueprint(bearers: Bearers, condition: Callable[[], Mapping[str, Any]]) -> Blueprint:
    """The pages for staff, each of which asks for a token; ``condition`` tells how the archive is."""
    blueprint = Blueprint("staff", __name__)

    def status() -> Response:
        bearers.require(Action.WATCH)
        return Response(json.dumps(condition()), headers={"Cache-Control": "no-store"}, content_type="application/json")

    blueprint.add_url_rule("/status", view_func=status)
    return blueprint
