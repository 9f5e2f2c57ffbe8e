"""The crew of runners that ``archive serve`` keeps beside the web server."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

_PATIENCE = 10  # seconds that a crew has to leave
_YOUNG = 5.0  # a crew that ends before this age is hired again more slowly


class Hired:
    """``archive work`` as a child process; hired again whenever it ends before it is dismissed."""

    def __init__(self, home: Path) -> None:
        self._command = [sys.executable, "-m", "archive.cli", "--home", str(home), "work", "--parent"]
        self._dismissed = threading.Event()
        self._crew: int | None = None
        self._keeper = threading.Thread(target=self._keep, name="crew", daemon=True)

    def start(self) -> None:
        """Hire the crew; it ends with the process that calls this, however that ends."""
        self._command.append(str(os.getpid()))
        self._keeper.start()

    def dismiss(self) -> None:
        """Have the crew leave; on return it has."""
        self._dismissed.set()
        crew = self._crew
        if crew is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(crew, signal.SIGTERM)
        if self._keeper.is_alive():
            self._keeper.join(_PATIENCE)

    def _keep(self) -> None:
        failures = 0
        while not self._dismissed.is_set():
            born = time.monotonic()
            self._crew = self._hire()
            with contextlib.suppress(ChildProcessError):  # the server waits for all its children and was faster
                os.waitpid(self._crew, 0)
            self._crew = None
            failures = failures + 1 if time.monotonic() - born < _YOUNG else 0
            self._dismissed.wait(min(30.0, 0.2 * 2**failures))

    def _hire(self) -> int:
        """Start the crew; returns its process.

        Not by ``subprocess``: the server forks while this thread works, and a fork that inherits the pipe by which
        ``subprocess`` learns of failures keeps it waiting for ever. The session of its own keeps the terminal's
        Ctrl+C away from the crew: it is for the server, which then dismisses the crew.
        """
        return os.posix_spawn(sys.executable, self._command, os.environ, setsid=True)
