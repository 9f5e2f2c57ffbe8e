"""Bells: how one process tells the others on its machine that a job has changed, without anybody polling.

A bell is a named pipe in a folder that all share. Ringing may get lost (a process has just died, another machine):
whoever listens looks by itself now and then too.
"""

from __future__ import annotations

import contextlib
import os
import select
from pathlib import Path

RING = 0  # other values are numbers of signals: see Bell.fileno


class Bell:
    """One listener's bell; it hangs until ``close``."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / name
        unhung = folder / f".{name}"
        os.mkfifo(unhung, 0o600)
        # Opened for both ways, it never meets an end of file; opened before it is seen, it is never taken for stale.
        self._pipe = os.open(unhung, os.O_RDWR | os.O_NONBLOCK)
        unhung.rename(self._path)

    def fileno(self) -> int:
        """For ``signal.set_wakeup_fd``: a signal rings the bell with its number, whatever the main thread does."""
        return self._pipe

    def wait(self, seconds: float | None) -> frozenset[int]:
        """Sleep until the bell is rung or ``seconds`` are over; returns what it was rung with."""
        ready, _, _ = select.select([self._pipe], [], [], seconds)
        if not ready:
            return frozenset()
        with contextlib.suppress(BlockingIOError):
            return frozenset(os.read(self._pipe, 4096))
        return frozenset()

    def ring(self) -> None:
        _strike(self._pipe)

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._pipe)


class Bells:
    """All bells that hang in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def hang(self, name: str) -> Bell:
        return Bell(self._folder, name)

    def ring(self) -> None:
        """Wake every listener; bells whose listener is dead are taken down."""
        if not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            if not path.name.startswith("."):
                _ring(path)


def _ring(path: Path) -> None:
    try:
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:  # nobody has it open for reading
        path.unlink(missing_ok=True)
        return
    try:
        _strike(pipe)
    finally:
        os.close(pipe)


def _strike(pipe: int) -> None:
    with contextlib.suppress(BlockingIOError):  # full of rings already
        os.write(pipe, bytes([RING]))
