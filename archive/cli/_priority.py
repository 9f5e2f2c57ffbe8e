"""Who goes first on a machine that has not enough processors for all: what looks after data, then those who ask."""

from __future__ import annotations

import contextlib
import os


def stand_back(niceness: int) -> None:
    """Let the processes that others start go first, by so many steps; what this process starts stands back with it.

    A step is a fifth less of the processors for each thread that wants one: nobody is ever kept from them.
    """
    with contextlib.suppress(OSError):
        os.nice(niceness)
