"""How a verb gets at its archive."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from archive.cli._output import Output

if TYPE_CHECKING:
    from archive.access import Actor
    from archive.backbone.endpoint import Endpoint
    from archive.ledger import Ledger

Action = Literal["READ", "WATCH", "DELIVER", "CURATE", "OPERATE"]
"""By name what is told in ``archive.access``: verbs that are only asked for help do not import it."""


@contextmanager
def opened(output: Output, action: Action | None = None) -> Iterator[Endpoint]:
    """The archive in the folder that the settings name, for whoever runs the verb.

    Raises:
        NotAuthenticated: the token in the environment is not valid.
        NotAuthorized: who runs the verb may not do ``action``.
    """
    from archive.backbone.endpoint import Endpoint  # what a verb needs is imported when it runs
    from archive.config import Config

    with Endpoint.open(Config.load(home=output.home)) as endpoint:
        identify(endpoint.ledger, action)
        yield endpoint


def identify(ledger: Ledger, action: Action | None = None) -> Actor:
    """Whoever runs the verb; from here on what happens in ``ledger`` happens by them.

    Raises:
        NotAuthenticated: the token in the environment is not valid.
        NotAuthorized: they may not do ``action``.
    """
    from archive import access
    from archive.config import TOKEN

    actor = access.caller(ledger, os.environ.get(TOKEN))
    if action is not None:
        access.require(actor, access.Action[action])
    ledger.by = actor.name
    return actor
