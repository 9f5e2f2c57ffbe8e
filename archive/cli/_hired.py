"""The crew of runners that ``archive serve`` keeps beside the web server."""

from __future__ import annotations

import os
import subprocess
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
        self._crew: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep, name="crew", daemon=True)

    def start(self) -> None:
        """Hire the crew; it ends with the process that calls this, however that ends."""
        self._command.append(str(os.getpid()))
        self._keeper.start()

    def dismiss(self) -> None:
        """Have the crew leave; on return it has."""
        self._dismissed.set()
        if self._crew is not None and self._crew.poll() is None:
            self._crew.terminate()
        if self._keeper.is_alive():
            self._keeper.join(_PATIENCE)

    def _keep(self) -> None:
        failures = 0
        while not self._dismissed.is_set():
            born = time.monotonic()
            # In a session of its own it does not get the terminal's Ctrl+C, which is for the server to pass on.
            self._crew = subprocess.Popen(self._command, start_new_session=True)  # noqa: S603 - our own command
            self._crew.wait()
            failures = failures + 1 if time.monotonic() - born < _YOUNG else 0
            self._dismissed.wait(min(30.0, 0.2 * 2**failures))
