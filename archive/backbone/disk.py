"""``Disk``: the few operations of a file system on which it depends what is left after a power cut.

Stores change files through one such object and nothing else, so that tests can stand another one there: one that
loses what was not flushed, has no room, or fails.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from typing import BinaryIO

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_NOT_HERE = (errno.ENOSYS, errno.EINVAL)  # an old kernel, or a file system such as NFS

_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # Python's own rename replaces


class Disk:
    """The file system of this machine. What fails raises ``OSError``.

    Bytes written are safe after ``fsync`` of their file, a name given or taken after ``fsync_dir`` of its folder.
    """

    def create(self, path: Path) -> BinaryIO:
        """A new file for writing; its name must not be taken."""
        return path.open("xb")

    def open(self, path: Path) -> BinaryIO:
        """A file for reading."""
        return path.open("rb", buffering=0)

    def write(self, file: BinaryIO, data: bytes | memoryview) -> None:
        """Append all of ``data``."""
        file.write(data)

    def fsync(self, file: BinaryIO) -> None:
        """Return when all that was written to ``file`` is on the disk."""
        file.flush()
        os.fsync(file.fileno())

    def rename(self, source: Path, target: Path) -> None:
        """Move a file to a name that is free, in one step.

        Raises:
            FileExistsError: the name is taken; nothing has changed.
        """
        if _renameat2 is not None:
            places = (_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target))
            if _renameat2(*places, _RENAME_NOREPLACE) == 0:
                return
            code = ctypes.get_errno()
            if code not in _NOT_HERE:
                raise OSError(code, os.strerror(code), str(target))
        os.link(source, target)
        source.unlink()

    def mkdir(self, folder: Path) -> None:
        """Make a folder; harmless when it is there."""
        folder.mkdir(exist_ok=True)

    def fsync_dir(self, folder: Path) -> None:
        """Return when the names in ``folder`` are on the disk."""
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def unlink(self, path: Path) -> None:
        """Remove a file; harmless when it is gone."""
        path.unlink(missing_ok=True)
