"""Where files come from that are to be ingested: this machine, a connection, or a store that holds them already."""

from __future__ import annotations

import stat
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from archive.backbone.stores import Store
from archive.faults import NotFound, UsageFault


class Reader(Protocol):
    """Bytes that are read once, from the first to the last."""

    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class Source(ABC):
    """The bytes of one file to come; ``name`` is what people call it, and its ending tells what it should be."""

    name: str

    @abstractmethod
    def size(self) -> int | None:
        """How many bytes will come; None where nobody knows before.

        Raises:
            UsageFault: there is no such file.
        """

    @abstractmethod
    def open(self) -> Reader:
        """The bytes.

        Raises:
            UsageFault: they cannot be read.
        """


class LocalFile(Source):
    """A file of this machine; it is copied."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name

    def size(self) -> int:
        try:
            about = self.path.stat()
        except FileNotFoundError:
            about = None
        except OSError as error:
            raise unreadable(self.path, error) from None
        if about is not None and stat.S_ISREG(about.st_mode):
            return about.st_size
        raise UsageFault(f"{self.path} is no file.", "Give the path of a readable file.")

    def open(self) -> BinaryIO:
        try:
            return self.path.open("rb", buffering=0)
        except OSError as error:
            raise unreadable(self.path, error) from None


class Stream(Source):
    """Bytes that come over a connection, called ``name``; can be opened once."""

    def __init__(self, name: str, reader: Reader, size: int | None = None) -> None:
        self.name = name
        self._reader = reader
        self._size = size

    def size(self) -> int | None:
        return self._size

    def open(self) -> Reader:
        return self._reader


class Stored(Source):
    """A file that lies in a store already: it is read once, never moved and never deleted."""

    def __init__(self, store: Store, path: str) -> None:
        self.store = store
        self.path = path
        self.name = path.rpartition("/")[2]

    def size(self) -> int:
        found = self.store.size(self.path)
        if found is None:
            raise UsageFault(
                f"The store '{self.store.name}' has no file '{self.path}'.", "Give the path of one it has."
            )
        return found

    def open(self) -> Reader:
        try:
            return self.store.open(self.path)
        except NotFound as fault:
            raise UsageFault(fault.message, "Give the path of one it has.") from None


@dataclass(frozen=True, slots=True)
class Digest:
    """A sha256 that who delivers a file says it has, as 64 hexadecimal digits."""

    sha256: str

    @classmethod
    def read(cls, text: str) -> Digest:
        """From ``sha256:<hexadecimal>`` or the digits alone.

        Raises:
            UsageFault: it is neither.
        """
        digits = text.strip().removeprefix("sha256:").lower()
        if len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
            raise UsageFault(f"'{text}' is no sha256 digest.", "Write sha256: and 64 hexadecimal digits.")
        return cls(digits)


def unreadable(path: object, error: OSError) -> UsageFault:
    """The fault of a file that cannot be read."""
    return UsageFault(f"{path} cannot be read: {error.strerror}.", "Give the path of a readable file.")
