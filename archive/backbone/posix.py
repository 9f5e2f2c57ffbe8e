"""``PosixStore``: a store of plain files in a folder, readable without us.

Bytes are flushed before the file gets its name, and the folder is flushed after: write, fsync, rename, fsync of the
folder. Files that come in together are flushed side by side, and each folder once.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, TypeVar

from archive.backbone.disk import Disk
from archive.backbone.steps import step
from archive.backbone.stores import (
    MARK,
    STAGING,
    Lying,
    Opened,
    Staged,
    Store,
    fingerprint,
    steps,
    taken,
    unwritable,
)
from archive.faults import FatalFault, NotFound

T = TypeVar("T")

_SIDE_BY_SIDE = 16  # flushes at once; a disk makes one of those that wait together
_TRIES = 5
_REMEMBERED = 10_000  # folders


class PosixOpened(Opened):
    """A file opened for reading; ``fileno`` lets the system send it, from where it stands."""

    def __init__(self, file: BinaryIO, first: int, last: int | None) -> None:
        self._file = file
        about = os.fstat(file.fileno())
        self.size = about.st_size
        self.fingerprint = fingerprint(about)
        self._left = max(0, (self.size if last is None else min(last + 1, self.size)) - first)
        file.seek(first)

    def fileno(self) -> int:
        return self._file.fileno()

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        try:
            data = self._file.read(wanted)
        except OSError as error:
            raise _unreadable(error) from error
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._file.close()


class PosixStore(Store):
    """Files below ``root``."""

    def __init__(self, root: Path, name: str = "main", *, writable: bool = True, disk: Disk | None = None) -> None:
        super().__init__(name, writable=writable)
        self.root = root
        self._disk = disk or Disk()
        self._safe: dict[Path, int] = {}  # folders whose names are known to be on the disk, and their inodes

    def place(self, path: str) -> Path:
        """Where the file ``path`` lies, or would lie."""
        return self.root.joinpath(*steps(path))

    def prepare(self) -> None:
        self._check_writable()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._disk.fsync_dir(self.root.parent)
        except OSError as error:
            raise unwritable(error) from error

    # --- in ---------------------------------------------------------------------------------------

    def stage(self, owner: str) -> Staged:
        self._check_writable()
        folder = self.root / STAGING / owner
        if not folder.is_dir():
            self._check_there()  # the root is never made here: on whatever disk it would be, it is not the store's
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise unwritable(error) from error
        return Staged(self, self._disk, folder / secrets.token_hex(8))

    def commit_all(self, files: Sequence[tuple[Staged, str]]) -> None:
        self._check_writable()
        targets = [(staged, path, self.place(path)) for staged, path in files]
        side_by_side(lambda staged: staged.close(), [staged for staged, _, _ in targets])
        step("store.flushed")
        named: list[str] = []
        held: set[Path] = set()  # folders that hold a file of these, so nobody removes them
        try:
            for staged, path, target in targets:
                if target.parent not in held:
                    self._make_folder(target.parent)
                self._name(staged.path, path, target)
                held.add(target.parent)
                named.append(path)
            step("store.named")
            side_by_side(self._disk.fsync_dir, list(held))
        except BaseException as error:
            for path in named:
                self.delete(path)
            if isinstance(error, OSError):
                raise unwritable(error) from error
            raise

    def _name(self, staged: Path, path: str, target: Path) -> None:
        """Another process may remove an empty folder as soon as it is made: then it is made again."""
        for left in reversed(range(_TRIES)):
            try:
                self._disk.rename(staged, target)
                break
            except FileExistsError:
                raise taken(path) from None
            except FileNotFoundError:
                if not left or not staged.exists():
                    raise
                self._make_folder(target.parent)

    def _make_folder(self, folder: Path) -> None:
        """Make a folder and its parents so that they survive a power cut.

        One that is there may have been made a moment ago by another process that has not flushed it yet.
        """
        inode = _inode(folder)
        if folder == self.root or (inode is not None and self._safe.get(folder) == inode):
            return
        self._make_folder(folder.parent)
        if inode is None:
            self._disk.mkdir(folder)
        self._disk.fsync_dir(folder.parent)
        inode = _inode(folder)
        if len(self._safe) >= _REMEMBERED:
            self._safe.clear()
        if inode is not None:
            self._safe[folder] = inode

    def secure(self, path: str) -> None:
        target = self.place(path)
        with self._reading(path), self._disk.open(target) as file:
            self._disk.fsync(file)
            for folder in target.parents:
                self._disk.fsync_dir(folder)
                if folder == self.root:
                    break

    def delete(self, path: str) -> None:
        self._check_writable()
        target = self.place(path)
        try:
            self._disk.unlink(target)
        except OSError as error:
            raise unwritable(error) from error
        folder = target.parent
        while folder != self.root and _removed(folder):
            folder = folder.parent

    def leave(self, owner: str) -> None:
        if self.writable:
            shutil.rmtree(self.root / STAGING / owner, ignore_errors=True)

    def sweep(self, living: Iterable[str]) -> None:
        staging = self.root / STAGING
        alive = set(living)
        for folder in list(staging.iterdir()) if staging.is_dir() else []:
            if folder.name not in alive:
                self.leave(folder.name)

    # --- out --------------------------------------------------------------------------------------

    def open(self, path: str, first: int = 0, last: int | None = None) -> PosixOpened:
        with self._reading(path):
            return PosixOpened(self._disk.open(self.place(path)), first, last)

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        if self.size(path) is None:
            raise self._missing(path)
        yield self.place(path)

    def size(self, path: str) -> int | None:
        try:
            with self._reading(path):
                about = self.place(path).stat()
                return about.st_size if stat.S_ISREG(about.st_mode) else None
        except NotFound:
            return None

    def paths(self, below: str = "") -> Iterator[str]:
        folder = self.place(below) if below else self.root
        for path in self._below(folder):
            yield path.relative_to(self.root).as_posix()

    def lying(self, after: str = "") -> Iterator[Lying]:
        for path in self._below(self.root, after):
            try:
                about = path.stat()
            except FileNotFoundError:
                continue  # removed meanwhile
            except OSError as error:
                raise _unreadable(error) from error
            if stat.S_ISREG(about.st_mode):
                changed = datetime.fromtimestamp(about.st_mtime, UTC)
                yield Lying(path.relative_to(self.root).as_posix(), about.st_size, changed)

    def _below(self, folder: Path, after: str = "") -> Iterator[Path]:
        """The files in a folder whose paths come ``after`` one, which is told from that folder on."""
        try:
            with os.scandir(folder) as entries:
                found = [(entry.name + "/" if entry.is_dir() else entry.name) for entry in entries]
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise _unreadable(error) from error
        own = (MARK, f"{STAGING}/") if folder == self.root else ()
        for name in sorted(found):  # folders with their slash: so the paths below come in the order of paths
            if name in own:
                continue
            if name.endswith("/") and after.startswith(name):
                yield from self._below(folder / name, after.removeprefix(name))
            elif name > after:
                yield from self._below(folder / name) if name.endswith("/") else (folder / name,)

    def free(self) -> int | None:
        folder = next((place for place in (self.root, *self.root.parents) if place.exists()), None)
        return None if folder is None else shutil.disk_usage(folder).free

    def _domain(self) -> str:
        """The file system: of two partitions of one disk only the setting can tell."""
        try:
            return f"device {self.root.stat().st_dev}"
        except OSError:
            return f"store {self.name}"

    @contextmanager
    def _reading(self, path: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            self._check_there()
            raise self._missing(path) from None
        except OSError as error:
            raise _unreadable(error) from error

    def _check_there(self) -> None:
        if not self.root.is_dir():
            raise FatalFault(f"The folder of the store '{self.name}' is missing.", "Is its disk mounted?")

    def _missing(self, path: str) -> NotFound:
        return NotFound(f"The store '{self.name}' has no file '{path}'.")


def side_by_side(work: Callable[[T], object], items: Sequence[T]) -> None:
    """Do ``work`` for all ``items``; what fails is raised when all have ended."""
    waiting, failed = iter(items), list[BaseException]()

    def take() -> None:
        for item in waiting:  # each thread takes the next one itself: handing each over costs more than a flush
            try:
                work(item)
            except BaseException as error:
                failed.append(error)

    if len(items) < 2:
        take()
    else:
        count = min(len(items), _SIDE_BY_SIDE)
        with ThreadPoolExecutor(count) as threads:
            for _ in range(count):
                threads.submit(take)
    if failed:
        raise failed[0]


def _inode(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino
    except FileNotFoundError:
        return None


def _removed(folder: Path) -> bool:
    """Whether a folder could be removed: only an empty one can."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _unreadable(error: OSError) -> FatalFault:
    return FatalFault(f"The store cannot be read: {error.strerror}.", "Is its disk mounted and whole?")
