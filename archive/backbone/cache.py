"""``Cache``: copies of far files on this machine, for programs that read nothing else.

All processes share one folder. A copy that is in use is locked; when there are more bytes than allowed, those go that
were not used for longest and are not in use. A copy may go at any time otherwise: it is made again.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_COMING = ".coming-"
_ABANDONED = 86_400  # seconds after which a copy that is still coming is nobody's


class Cache:
    """Copies in ``folder``, which may have about ``most`` bytes beside those in use."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._most = most

    @contextmanager
    def held(self, name: str, fetch: Callable[[Path], None]) -> Iterator[Path]:
        """The copy called ``name``, made by ``fetch`` (which is told where) unless it is there; kept while in use."""
        path = self._folder / name
        file = self._locked(path)
        while file is None:
            self._fetch(path, fetch)
            file = self._locked(path)
        with file:
            os.utime(path)
            yield path

    def _fetch(self, path: Path, fetch: Callable[[Path], None]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._trim()
        coming = self._folder / f"{_COMING}{secrets.token_hex(8)}"
        try:
            fetch(coming)
            coming.replace(path)
        finally:
            coming.unlink(missing_ok=True)

    def _locked(self, path: Path) -> BinaryIO | None:
        """The copy, locked against removal; None if there is none (any more)."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        fcntl.flock(file, fcntl.LOCK_SH)
        with suppress(FileNotFoundError):
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                return file
        file.close()
        return None

    def _trim(self) -> None:
        found = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                found.append((path.stat(), path))
        total = sum(about.st_size for about, _ in found)
        for about, path in sorted(found, key=lambda each: each[0].st_mtime):
            if path.name.startswith(_COMING):
                if time.time() - about.st_mtime > _ABANDONED:
                    path.unlink(missing_ok=True)
            elif total > self._most and _removed(path):
                total -= about.st_size


def _removed(path: Path) -> bool:
    """Whether a copy could be removed: one in use cannot."""
    with suppress(OSError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
        return True
    return False
