"""``Store``: where an endpoint keeps bytes, as plain files under readable paths.

A file is first staged: written under a temporary name while its sha256 is taken, and flushed. Only then does it
get its name, and the folder is flushed too; so under its own name a file is always whole, even after a power cut.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from archive.faults import FatalFault, UsageFault

_CHUNK = 1 << 20
_STAGING = "staging"


class Staged:
    """A file being written; file-like, so that writers of formats can be given one."""

    def __init__(self, store: Store, path: Path) -> None:
        self.path = path
        self._store = store
        self._file: BinaryIO = path.open("xb")
        self._hash = hashlib.sha256()
        self._size = 0

    @property
    def closed(self) -> bool:
        return self._file.closed

    @property
    def size(self) -> int:
        return self._size

    @property
    def sha256(self) -> str:
        """Digest of what has been written."""
        return self._hash.hexdigest()

    def write(self, data: bytes | memoryview) -> int:
        """Append ``data``.

        Raises:
            FatalFault: there is no room, or the disk fails.
        """
        try:
            self._file.write(data)
        except OSError as error:
            raise FatalFault(f"The store cannot be written: {error.strerror}.", "Is there room on the disk?") from error
        self._hash.update(data)
        self._size += memoryview(data).nbytes
        return memoryview(data).nbytes

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        """Part of being file-like; nothing has to be flushed before ``close``."""

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """End writing; on return the bytes are on the disk."""
        if self._file.closed:
            return
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise FatalFault(f"The store cannot be written: {error.strerror}.", "Is there room on the disk?") from error
        finally:
            self._file.close()

    def commit(self, path: str) -> None:
        """Give the file its name in the store, which must not be taken; on return the name is on the disk."""
        self.close()
        target = self._store.local(path)
        _make_folder(target.parent)
        if target.exists():
            raise FatalFault(f"The store already has a file '{path}'.", "This is a fault of the program.")
        self.path.rename(target)
        _flush_folder(target.parent)

    def discard(self) -> None:
        """Forget the file; harmless once it has its name."""
        self._file.close()
        self.path.unlink(missing_ok=True)


class Store:
    """Files below ``root``. Paths inside a store are relative, with ``/``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def stage(self, owner: str) -> Staged:
        """A new file on its way in; ``owner`` (a process of the ledger) answers for it until it has its name."""
        folder = self.root / _STAGING / owner
        folder.mkdir(parents=True, exist_ok=True)
        return Staged(self, folder / f"{len(list(folder.iterdir())):06d}")

    def copy(self, source: Path, owner: str, progress: Callable[[int], None] = lambda size: None) -> Staged:
        """Stage a byte-for-byte copy of ``source``; ``progress`` is told the bytes of each step.

        Raises:
            UsageFault: the source cannot be read.
        """
        staged = self.stage(owner)
        try:
            with source.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    staged.write(chunk)
                    progress(len(chunk))
        except OSError as error:
            staged.discard()
            raise UsageFault(
                f"{source} cannot be read: {error.strerror}.", "Give the path of a readable file."
            ) from None
        except BaseException:
            staged.discard()
            raise
        staged.close()
        return staged

    def local(self, path: str) -> Path:
        """Where the file ``path`` lies in this machine's file system."""
        parts = PurePosixPath(path).parts
        if not parts or parts[0] in ("/", _STAGING) or ".." in parts:
            raise FatalFault(f"'{path}' is no path in a store.", "This is a fault of the program.")
        return self.root.joinpath(*parts)

    def open(self, path: str) -> BinaryIO:
        """The file's bytes, from the start; seek for a range."""
        return self.local(path).open("rb")

    def paths(self, below: str = "") -> Iterator[str]:
        """All files that have a name, or those in the folder ``below``, in no order."""
        for folder, subfolders, names in os.walk(self.local(below) if below else self.root):
            if Path(folder) == self.root and _STAGING in subfolders:
                subfolders.remove(_STAGING)
            for name in names:
                yield (Path(folder) / name).relative_to(self.root).as_posix()

    def delete(self, path: str) -> None:
        """Remove a file, and the folders that it leaves empty; harmless when it is gone."""
        target = self.local(path)
        target.unlink(missing_ok=True)
        folder = target.parent
        while folder != self.root and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent

    def leave(self, owner: str) -> None:
        """Remove what ``owner`` staged and did not commit."""
        shutil.rmtree(self.root / _STAGING / owner, ignore_errors=True)

    def sweep(self, living: Iterable[str]) -> None:
        """Remove what was staged by owners that live no more."""
        staging = self.root / _STAGING
        alive = set(living)
        for folder in list(staging.iterdir()) if staging.is_dir() else []:
            if folder.name not in alive:
                self.leave(folder.name)


def _make_folder(folder: Path) -> None:
    """Make a folder and its parents so that they survive a power cut."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
