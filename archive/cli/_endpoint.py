"""How a verb gets at its archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from archive.cli._output import Output

if TYPE_CHECKING:
    from archive.backbone.endpoint import Endpoint


@contextmanager
def opened(output: Output) -> Iterator[Endpoint]:
    """The archive in the folder that the settings name."""
    from archive.backbone.endpoint import Endpoint  # what a verb needs is imported when it runs
    from archive.config import Config

    with Endpoint.open(Config.load(home=output.home)) as endpoint:
        yield endpoint
