"""The bytes of jobs: one folder per job with its uploads and results; nothing half written is ever seen."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from archive.faults import TransientFault, UsageFault

_UNFINISHED = ".part"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Folders:
    """One folder per job below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def of(self, job: str) -> Path:
        return self.root / job

    def write(self, job: str, name: str, chunks: Iterable[bytes], most: int | None = None) -> int:
        """Store ``chunks`` as file ``name`` of ``job``; returns their number of bytes.

        The bytes are flushed to the disk before the name appears.

        Raises:
            UsageFault: there are more than ``most`` bytes.
            TransientFault: the disk is full.
        """
        target = self.of(job) / name
        unfinished = target.with_name(target.name + _UNFINISHED)
        try:
            target.parent.mkdir(exist_ok=True)
            size = _written(unfinished, chunks, most)
            unfinished.rename(target)
            _flush_folder(target.parent)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            if error.errno in _FULL:
                raise TransientFault("The service has no space left for results.", "Try again later.") from error
            raise
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        return size

    def size(self, job: str, name: str) -> int:
        """Bytes of file ``name`` of ``job``; 0 if it is gone."""
        try:
            return (self.of(job) / name).stat().st_size
        except FileNotFoundError:
            return 0

    def remove(self, job: str) -> None:
        """Delete all bytes of a job; harmless when they are gone."""
        shutil.rmtree(self.of(job), ignore_errors=True)

    def empty(self, job: str, keep: Collection[str]) -> None:
        """Delete the files of a job, except those named in ``keep``."""
        if not self.of(job).is_dir():
            return
        for path in self.of(job).iterdir():
            if path.name not in keep:
                path.unlink(missing_ok=True)

    def strays(self, known: Callable[[str], bool], age: float = 3600) -> list[str]:
        """Jobs that have a folder but that are not ``known``, untouched for ``age`` seconds."""
        before = time.time() - age
        return [
            path.name
            for path in self.root.iterdir()
            if path.is_dir() and path.stat().st_mtime < before and not known(path.name)
        ]


def _written(path: Path, chunks: Iterable[bytes], most: int | None) -> int:
    size = 0
    with path.open("wb") as file:
        for chunk in chunks:
            size += len(chunk)
            if most is not None and size > most:
                raise UsageFault(
                    f"The result is larger than the {most} bytes a job may store.",
                    "Ask for fewer rows or columns, or split the query.",
                )
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return size


def _flush_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
