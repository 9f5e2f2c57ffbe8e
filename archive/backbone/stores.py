"""``Store``: what every place that keeps an endpoint's bytes promises, whatever it is made of.

A file is first staged: written under a temporary name while its sha256 is taken. Only when its bytes are safe does it
get its name, in one step and never in another's place; so under its own name a file is always whole, even after a
power cut. Stores know nothing of what files mean: that is the ledger's.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Self

from archive.backbone.disk import Disk
from archive.faults import FatalFault, NotFound, UsageFault

STAGING = "staging"
"""Folder of a store for what has no name yet; no path begins with it."""

MARK = "ARCHIVE-STORE"
"""Name of the file at the root of a store that tells which one it is; no registered file is called so."""

CHUNK = 1 << 20
"""Bytes that are read or copied at once."""

_LONGEST_NAME = 255  # bytes of one step of a path: what file systems take
_LONGEST_PATH = 1024  # bytes of a path: what S3 takes


def steps(path: str) -> tuple[str, ...]:
    """The steps of a path inside a store: relative, with ``/``, written in the one way there is.

    Raises:
        FatalFault: ``path`` is none, or leads out of the store.
    """
    found = tuple(path.split("/"))
    wrong = any(
        step in ("", ".", "..") or len(step.encode("utf-8", "surrogateescape")) > _LONGEST_NAME for step in found
    )
    if wrong or found[0] == STAGING or "\0" in path or len(path.encode("utf-8", "surrogateescape")) > _LONGEST_PATH:
        raise FatalFault(f"'{path}' is no path in a store.", "This is a fault of the program.")
    return found


class Staged:
    """A file being written; file-like, so that writers of formats can be given one.

    Until it is committed it lies on this machine, at ``path``, whatever the store; so it can be read and checked
    before it counts. ``fingerprint`` is that of the file in the store (see ``Opened``), known when it has its name.
    """

    fingerprint: str | None = None

    def __init__(self, store: Store, disk: Disk, path: Path) -> None:
        self.path = path
        self._store = store
        self._disk = disk
        try:
            self._file: BinaryIO = disk.create(path)
        except OSError as error:
            raise unwritable(error) from error
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
            self._disk.write(self._file, data)
        except OSError as error:
            raise unwritable(error) from error
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
            self._disk.fsync(self._file)
            self.fingerprint = fingerprint(os.fstat(self._file.fileno()))
        except OSError as error:
            raise unwritable(error) from error
        finally:
            self._file.close()

    def commit(self, path: str) -> None:
        """Give the file its name in the store, which must be free; on return bytes and name are safe there.

        Raises:
            FatalFault: the name is taken, or the store fails; the file has no name then.
        """
        self._store.commit_all([(self, path)])

    def discard(self) -> None:
        """Forget the file; harmless once it has its name."""
        self._file.close()
        self._disk.unlink(self.path)


class Opened(ABC):
    """Bytes of a stored file, to be read once from the first to the last. A context manager.

    ``size`` is that of the whole file as it lies there. ``fingerprint`` stays the same as long as nothing was written
    to the file since it was last looked at through another ``Opened``; it tells nothing about damage beneath.
    """

    size: int
    fingerprint: str

    @abstractmethod
    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes more, or all that are left; nothing at the end.

        Raises:
            FatalFault: the store fails.
        """

    def digest(self, progress: Callable[[int], None] = lambda size: None) -> tuple[str, int]:
        """The sha256 and number of the bytes that are left; ``progress`` is told the bytes of each step.

        Raises:
            FatalFault: the store fails.
        """
        found, size = hashlib.sha256(), 0
        while data := self.read(CHUNK):
            found.update(data)
            size += len(data)
            progress(len(data))
        return found.hexdigest(), size

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Lying:
    """A file as a store lists it; nothing of it was read."""

    path: str
    size: int
    changed: datetime


class Store(ABC):
    """Files under readable paths: relative, with ``/``.

    ``name`` is how the ledger calls the store. One that is not ``writable`` refuses every change with a ``UsageFault``.
    A store that fails raises a ``FatalFault``, or a ``TransientFault`` where waiting may help.
    All methods may be called by several threads at once.
    """

    def __init__(self, name: str, *, writable: bool = True) -> None:
        self.name = name
        self.writable = writable

    @abstractmethod
    def prepare(self) -> None:
        """Make the place ready when an archive is made; harmless when it is.

        Raises:
            FatalFault: it cannot be used.
        """

    # --- in ---------------------------------------------------------------------------------------

    @abstractmethod
    def stage(self, owner: str) -> Staged:
        """A new file on its way in; ``owner`` (a process of the ledger) answers for it until it has its name."""

    def copy(self, source: Path, owner: str, progress: Callable[[int], None] = lambda size: None) -> Staged:
        """Stage a byte-for-byte copy of ``source``; ``progress`` is told the bytes of each step.

        Raises:
            UsageFault: the source cannot be read.
        """
        staged = self.stage(owner)
        try:
            with source.open("rb") as file:
                while chunk := file.read(CHUNK):
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

    @abstractmethod
    def commit_all(self, files: Sequence[tuple[Staged, str]]) -> None:
        """Give staged files of this store their names: all of them or none. They are made safe side by side, so many
        at once take little longer than one.

        Raises:
            UsageFault: a file is larger than the store takes.
        FatalFault: a name is taken, or the store fails.
        TransientFault: the store cannot be reached.
        """

    @abstractmethod
    def secure(self, path: str) -> None:
        """Make sure that a file which others laid into the store is as safe as one committed.

        Raises:
            NotFound: there is no such file.
        """

    @abstractmethod
    def delete(self, path: str) -> None:
        """Remove a file; harmless when it is gone."""

    @abstractmethod
    def leave(self, owner: str) -> None:
        """Remove what ``owner`` staged and did not commit."""

    @abstractmethod
    def sweep(self, living: Iterable[str]) -> None:
        """Remove what was staged by owners that live no more."""

    # --- out --------------------------------------------------------------------------------------

    @abstractmethod
    def open(self, path: str, first: int = 0, last: int | None = None) -> Opened:
        """The bytes ``first`` to ``last`` of a file, both included and counted from 0; to its end if it is None.

        Raises:
            NotFound: there is no such file.
        """

    @abstractmethod
    def local(self, path: str) -> AbstractContextManager[Path]:
        """The file as one of this machine, for programs that read nothing else; it must not be changed.

        Raises:
            NotFound: there is no such file.
        """

    @abstractmethod
    def size(self, path: str) -> int | None:
        """The bytes of a file as it lies there; None if there is none."""

    @abstractmethod
    def paths(self, below: str = "") -> Iterator[str]:
        """All files that have a name, or those in the folder ``below``, in the order of their paths' code points.

        The store's own mark is none of them.
        """

    @abstractmethod
    def lying(self, after: str = "") -> Iterator[Lying]:
        """As ``paths``, with what is to be seen of each without opening it; those whose paths come ``after`` one."""

    @abstractmethod
    def free(self) -> int | None:
        """Bytes that can still be written; None where nobody knows."""

    # --- what it shares with others -------------------------------------------------------------------

    medium: str | None = None
    """What it lies on, if the setting says so."""

    @property
    def domain(self) -> str:
        """What fails as one: of the copies of a file in stores of one domain only one counts. As the setting says, else
        as it looks from here.
        """
        return self.medium or self._domain()

    @abstractmethod
    def _domain(self) -> str: ...

    # --- which one it is ----------------------------------------------------------------------------

    def mark(self) -> str | None:
        """What the store's mark says; None if it has none: then it is new, or not the one it is taken for."""
        try:
            with self.open(MARK) as opened:
                return opened.read(CHUNK).decode("utf-8", "replace").strip()
        except NotFound:
            return None

    def set_mark(self, mark: str) -> None:
        """Give the store its mark, once for ever.

        Raises:
            FatalFault: it has one, or fails.
        """
        staged = self.stage("mark")
        try:
            staged.write(f"{mark}\n".encode())
            staged.commit(MARK)
        finally:
            staged.discard()
            self.leave("mark")

    # --- for those who make stores ------------------------------------------------------------------

    def _check_writable(self) -> None:
        if not self.writable:
            raise UsageFault(
                f"The store '{self.name}' is read-only.", "Files come in through another one: see the setting stores."
            )


def fingerprint(about: os.stat_result) -> str:
    """That of a file of this machine."""
    return f"{about.st_ino}-{about.st_mtime_ns}-{about.st_size}"


def unwritable(error: OSError) -> FatalFault:
    """The fault of a disk that does not take bytes."""
    return FatalFault(f"The store cannot be written: {error.strerror}.", "Is there room on the disk?")


def taken(path: str) -> FatalFault:
    """The fault of a name that would have been given twice."""
    return FatalFault(f"The store already has a file '{path}'.", "This is a fault of the program.")
