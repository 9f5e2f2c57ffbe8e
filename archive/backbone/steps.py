"""Labelled steps: where a test may end this process, or have the disk fail, to see what is left.

The environment variable ``CRASH_AT`` arms one step: ``ingest.named=kill`` ends the process there as a power cut
would, ``ingest.named=ENOSPC`` (or ``EIO``) fails as a disk does; ``@3`` after it waits for the third time. Without the
variable a step does nothing.
"""

from __future__ import annotations

import errno
import os
import signal
import threading

from archive.backbone.stores import unwritable

VARIABLE = "CRASH_AT"

LABELS = (
    "ingest.begun",
    "ingest.staged",
    "store.flushed",
    "store.named",
    "ingest.named",
    "ingest.registering",
    "ingest.registered",
    "load.copied",
    "load.written",
    "load.checked",
    "load.named",
    "load.registering",
    "load.registered",
    "publish.begun",
    "publish.built",
    "publish.switching",
    "publish.switched",
    "publish.removed",
    "verify.noted",
    "mend.named",
    "mend.registering",
    "mend.registered",
    "freeze.begun",
    "freeze.written",
    "drop.noting",
    "drop.noted",
    "undrop.read",
    "undrop.noted",
    "sweep.taken",
    "sweep.deleted",
    "sweep.noted",
)
"""All steps there are, in the order in which a verb takes them."""


class _Trap:
    """What is to happen at one step."""

    def __init__(self, text: str) -> None:
        self.label, _, rest = text.partition("=")
        self._how, _, times = rest.partition("@")
        self._left = int(times or 1)
        self._lock = threading.Lock()
        if self.label not in LABELS:
            raise ValueError(f"{VARIABLE} names '{self.label}', which is no step")

    def spring(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left != 0:
                return
        if self._how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        code = int(getattr(errno, self._how))
        raise unwritable(OSError(code, os.strerror(code)))


_trap = _Trap(os.environ[VARIABLE]) if VARIABLE in os.environ else None


def step(label: str) -> None:
    """Say that the step ``label`` has been reached.

    Raises:
        FatalFault: a test has armed it so.
    """
    if _trap is not None and _trap.label == label:
        _trap.spring()
