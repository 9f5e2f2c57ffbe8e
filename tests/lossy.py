"""A machine that may lose its power: a disk that forgets what was not flushed, and a ledger that is cut off with it."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Connection

from archive.backbone.disk import Disk
from archive.ledger.database import Database


class PowerCut(BaseException):
    """The machine is off. Nothing that runs on it does anything any more."""


@dataclass
class Power:
    """Whether there is power, and after how many further operations of the disk it goes (None: it stays).

    ``at`` is a labelled step at which it goes.
    """

    left: int | None = None
    at: str | None = None
    on: bool = True
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def use(self) -> None:
        """One operation; raises ``PowerCut`` if there is no power for it."""
        with self._lock:
            if self.left is not None and self.on:
                self.left -= 1
                self.on = self.left >= 0
            if not self.on:
                raise PowerCut

    def cut(self) -> None:
        self.on = False
        raise PowerCut

    # What ``steps.step`` asks of its trap.

    @property
    def label(self) -> str | None:
        return self.at

    def spring(self) -> None:
        self.cut()


class LossyDisk(Disk):
    """A disk that after ``lose`` holds only what was flushed before, and by chance some of what was not.

    Files and folders have numbers of its own making; ``_held`` are the bytes of each file that are safe, ``_names``
    the names in each folder that are.
    """

    def __init__(self, root: Path, power: Power, chance: random.Random) -> None:
        self._root = root
        self._power = power
        self._chance = chance
        self._numbers = itertools.count()
        self._files: dict[Path, int] = {}
        self._folders: dict[Path, int] = {}
        self._held: dict[int, bytes] = {}
        self._names: dict[int, dict[str, tuple[str, int]]] = {}
        self._lock = threading.RLock()

    def create(self, path: Path) -> BinaryIO:
        self._power.use()
        file = super().create(path)
        with self._lock:
            self._files[path] = next(self._numbers)
        return file

    def write(self, file: BinaryIO, data: bytes | memoryview) -> None:
        self._power.use()
        super().write(file, data)

    def open(self, path: Path) -> BinaryIO:
        self._power.use()
        return super().open(path)

    def fsync(self, file: BinaryIO) -> None:
        self._power.use()
        file.flush()
        path = Path(file.name)
        with self._lock:
            self._held[self._file(path)] = path.read_bytes()

    def rename(self, source: Path, target: Path) -> None:
        self._power.use()
        with self._lock:
            super().rename(source, target)
            self._files[target] = self._files.pop(source)

    def mkdir(self, folder: Path) -> None:
        self._power.use()
        with self._lock:
            if not folder.exists():
                self._folders[folder] = next(self._numbers)
            super().mkdir(folder)

    def fsync_dir(self, folder: Path) -> None:
        self._power.use()
        with self._lock:
            self._names[self._folder(folder)] = self._listed(folder)

    def unlink(self, path: Path) -> None:
        self._power.use()
        with self._lock:
            super().unlink(path)
            self._files.pop(path, None)

    def _file(self, path: Path) -> int:
        """A file's number; one that came from elsewhere is taken as it lies there."""
        if path not in self._files:
            self._files[path] = next(self._numbers)
            self._held[self._files[path]] = path.read_bytes()
        return self._files[path]

    def _folder(self, path: Path) -> int:
        return self._folders.setdefault(path, next(self._numbers))

    def _listed(self, folder: Path) -> dict[str, tuple[str, int]]:
        return {
            path.name: ("folder", self._folder(path)) if path.is_dir() else ("file", self._file(path))
            for path in folder.iterdir()
        }

    # --- the cut ------------------------------------------------------------------------------------

    def lose(self) -> None:
        """Lay the disk as it is found when the power is back. Each folder may keep names that were not flushed, and
        files that were not flushed may have part of their bytes.
        """
        with self._lock:
            found: dict[Path, bytes] = {}
            folders: dict[Path, int] = {}
            files: dict[Path, int] = {}
            self._collect(self._root, self._folder(self._root), found, folders, files)
            for entry in list(self._root.iterdir()):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
            for path, data in found.items():
                path.write_bytes(data)
            self._files, self._folders = files, folders
            self._held = {files[path]: data for path, data in found.items()}
            self._names = {number: self._listed(path) for path, number in folders.items()}

    def _collect(
        self, path: Path, number: int, found: dict[Path, bytes], folders: dict[Path, int], files: dict[Path, int]
    ) -> None:
        folders[path] = number
        names = self._names.get(number, {})
        if path.is_dir() and self._folders.get(path) == number and self._chance.random() < 0.5:
            names = {**names, **self._listed(path)}
        for name, (kind, inner) in names.items():
            if kind == "folder":
                self._collect(path / name, inner, found, folders, files)
            else:
                found[path / name] = self._bytes_of(path / name, inner)
                files[path / name] = inner

    def _bytes_of(self, path: Path, number: int) -> bytes:
        held = self._held.get(number)
        if held is not None:
            return held
        written = path.read_bytes() if path.is_file() else b""
        return written[: self._chance.randint(0, len(written))]


def cut_off(database: Database, power: Power) -> None:
    """From now on ``database`` commits nothing without power."""
    write = database.write

    @contextmanager
    def written(*arguments: Any, **options: Any) -> Iterator[Connection]:
        power.use()
        with write(*arguments, **options) as transaction:
            yield transaction
            power.use()

    database.write = written  # type: ignore[method-assign]


def tampered(path: Path, how: str, chance: random.Random) -> bool:
    """Damage a file behind everybody's back: ``flip``, ``truncate`` or ``delete`` it. False if it cannot be."""
    if not path.is_file():
        return False
    data = bytearray(path.read_bytes())
    if how == "delete":
        path.unlink()
        return True
    if not data:
        return False
    if how == "truncate":
        del data[chance.randrange(len(data)) :]
    else:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    time = path.stat().st_mtime_ns
    path.write_bytes(bytes(data))
    os.utime(path, ns=(time, time + 1_000_000_000))
    return True
