"""``Previews``: pictures of registered images, made when first asked for, few at once, and kept for a while."""

from __future__ import annotations

import gzip
import io
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, cast

from archive.backbone.cache import Cache
from archive.backbone.copies import Copies
from archive.backbone.previews.drawing import picture, smaller
from archive.backbone.previews.frames import read_frame
from archive.faults import Fault, NotFound, TransientFault
from archive.ledger.holdings import Holding

VERSION = 1
"""Of how pictures look; one more makes them all anew."""

_BLOCK = 4 << 20  # bytes asked of a store at once
_SECONDS = 30.0  # that the reading of one image may take
_MOST_PACKED = 256 << 20  # bytes of a file that has to be unpacked to be read
_REMEMBERED = 10_000  # files of which there is no picture
_log = logging.getLogger(__name__)


class Size(IntEnum):
    """How many pixels a picture has each way, at most."""

    PREVIEW = 1024
    THUMBNAIL = 192


class Previews:
    """Makes pictures, ``turns`` at once, and keeps about ``most`` bytes of them in ``folder``.

    Shared by all threads of a process; processes may share the folder. Who comes when all turns are taken waits for
    ``patience`` seconds.
    """

    def __init__(self, copies: Copies, folder: Path, *, most: int, turns: int, patience: float) -> None:
        self._copies = copies
        self._cache = Cache(folder, most)
        self._turns = threading.BoundedSemaphore(max(1, turns))
        self._patience = patience
        self._hopeless: dict[str, str] = {}
        self._under_way: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def picture(self, held: Holding, size: Size) -> bytes:
        """A PNG of the file's first image.

        Raises:
            NotFound: it has none of which a picture can be made.
            TransientFault: no good copy is at hand, or others are waiting for too many pictures.
        """
        if size is Size.PREVIEW:
            return self._kept(held, size, lambda: self._drawn(held))
        return self._kept(held, size, lambda: smaller(self.picture(held, Size.PREVIEW), size))

    def _kept(self, held: Holding, size: Size, draw: Callable[[], bytes]) -> bytes:
        name = f"{held.sha256}-{size.name.lower()}-{VERSION}.png"
        with self._alone(name), self._cache.held(name, lambda path: _write(path, draw())) as kept:
            return kept.read_bytes()

    def _drawn(self, held: Holding) -> bytes:
        """The preview, made in a turn."""
        if held.sha256 in self._hopeless:
            raise NotFound(self._hopeless[held.sha256])
        if not self._turns.acquire(timeout=self._patience):
            raise TransientFault("Many pictures are being made just now.", "Ask again in a moment.")
        try:
            with _opened(self._copies, held) as file:
                return picture(read_frame(file, Size.PREVIEW), Size.PREVIEW)
        except NotFound as fault:
            raise self._given_up(held, str(fault)) from None
        except Fault:
            raise
        except Exception:  # whatever astropy finds in a file that came in sound
            _log.exception("no picture of %s", held.uri)
            raise self._given_up(held, "It cannot be read as an image.") from None
        finally:
            self._turns.release()

    def _given_up(self, held: Holding, why: str) -> NotFound:
        """So that nobody tries again and again."""
        with self._lock:
            if len(self._hopeless) >= _REMEMBERED:
                self._hopeless.clear()
            message = self._hopeless[held.sha256] = f"There is no picture of {held.uri}: {why}"
        return NotFound(message)

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """No two threads make the same picture."""
        with self._lock:
            lock = self._under_way.setdefault(name, threading.Lock())
        try:
            with lock:
                yield
        finally:
            with self._lock:
                self._under_way.pop(name, None)


def _write(path: Path, content: bytes) -> None:
    """On the disk before it has its name: what is cached outlives a power cut whole."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _opened(copies: Copies, held: Holding) -> Iterator[BinaryIO]:
    """The bytes of a file as FITS, unpacked if it came packed."""
    with io.BufferedReader(_Bytes(copies, held), _BLOCK) as file:
        begin = file.peek(9)
        if begin.startswith(b"\x1f\x8b"):
            if held.size > _MOST_PACKED:
                raise NotFound("It is too large to be unpacked for that.")
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast("BinaryIO", unpacked)
        elif begin.startswith(b"SIMPLE  ="):
            yield cast("BinaryIO", file)
        else:
            raise NotFound("It is no FITS file.")


class _Bytes(io.RawIOBase):
    """A registered file to read from any place; only for so long."""

    def __init__(self, copies: Copies, held: Holding) -> None:
        self._copies = copies
        self._held = held
        self._place = 0
        self._end = time.monotonic() + _SECONDS

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._held.size}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer: object) -> int:
        """Fills ``buffer`` as far as there are bytes.

        Raises:
            NotFound: it has taken too long already.
        """
        if time.monotonic() > self._end:
            raise NotFound(f"It takes longer than {_SECONDS:g} s to be read.")
        room = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        last = min(self._place + len(room), self._held.size) - 1
        if last < self._place:
            return 0
        reading = self._copies.read(self._held, self._place, last)
        try:
            found = b"".join(reading.pieces())
        finally:
            reading.close()
        room[: len(found)] = found
        self._place += len(found)
        return len(found)
