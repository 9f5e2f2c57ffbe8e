"""Names of runners: unique for all time, and a crew can tell which of them was which of its processes."""

from __future__ import annotations

import os
import secrets
import socket


def new_name() -> str:
    """A name for a runner in this process."""
    return f"{_of(os.getpid())}{secrets.token_hex(4)}"


def is_of(name: str, process: int) -> bool:
    """Whether ``name`` was given in process ``process`` of this machine."""
    return name.startswith(_of(process))


def _of(process: int) -> str:
    return f"{socket.gethostname()}-{process}-"
