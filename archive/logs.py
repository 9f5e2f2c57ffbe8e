"""The log: one line for each thing worth telling, on standard error.

At a terminal for people; elsewhere a JSON object per line, for the programs that collect them. Lines of one request
carry its ``request``, lines of a job its ``job``.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

_SHARED: tuple[Any, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def begin(level: int = logging.INFO) -> None:
    """Have this process, and those it forks, log like that; may be called again."""
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(handler)
    handler = _Handler(sys.stderr)
    handler.setFormatter(_formatter(for_people=sys.stderr.isatty()))
    root.addHandler(handler)
    root.setLevel(logging.WARNING)  # what others have to say in detail is not ours to tell
    logging.getLogger("archive").setLevel(level)


def bind(**values: str) -> None:
    """Have what this thread logs from now on carry ``values``, and nothing that was bound before."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**values)


class _Handler(logging.StreamHandler[Any]):
    """Ours among the handlers of the root."""


def _formatter(*, for_people: bool) -> structlog.stdlib.ProcessorFormatter:
    last: list[Any] = (
        [structlog.dev.ConsoleRenderer()]
        if for_people
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
