"""``S3Store``: a store in a bucket of Amazon S3 or of a server that speaks its protocol.

What comes in is first written on this machine, where it can be read and checked, and goes to the bucket when it gets
its name: a small file by one conditional PUT, a larger one in pieces under a temporary name and from there by a
conditional copy. Both fail where the name is taken, so a name is never given twice, whoever else writes; whether the
server keeps to that is tried out by each process before it first writes. What was sent is read back and compared,
unless the server is said to check digests itself.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import obstore
from obstore import exceptions
from obstore.store import S3Store as Bucket

from archive.backbone.cache import Cache
from archive.backbone.disk import Disk
from archive.backbone.posix import side_by_side
from archive.backbone.stores import CHUNK, MARK, STAGING, Lying, Opened, Staged, Store, steps, taken, unwritable
from archive.faults import FatalFault, NotFound, TransientFault, UsageFault

_WHOLE = 8 * 2**20  # bytes up to which a file is sent by one request, from memory
_PIECE = 8 * 2**20  # bytes of each piece of a larger one; two are under way
_MOST = 5 * 2**30  # bytes that the protocol copies in one request
_TIMES = {"timeout": "1day", "read_timeout": "60s", "connect_timeout": "10s"}  # a slow reader may take a day
_TRIALS = 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class S3Place:
    """Where an ``S3Store`` is and what its server can do.

    ``copy`` is how a name is given by copying only if it is free: ``multipart`` (Amazon's) or ``header`` (a plain copy
    with If-None-Match). With ``checked`` the server compares the sha256 sent with each request.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str = "us-east-1"
    key: str | None = None
    secret: str | None = None
    virtual_hosts: bool = False
    copy: str = "multipart"
    checked: bool = False
    patience: int = 60  # seconds that a request is tried again


class _Spool(Disk):
    """Files on their way need not survive a power cut here: until they are in the bucket they are nothing."""

    def fsync(self, file: BinaryIO) -> None:
        file.flush()


class S3Opened(Opened):
    """An object being read as it comes over the network."""

    def __init__(self, store: S3Store, size: int, fingerprint: str, chunks: Iterator[bytes]) -> None:
        self.size = size
        self.fingerprint = fingerprint
        self._store = store
        self._chunks = chunks
        self._rest = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK), b""))
        if not self._rest:
            with self._store.reached():
                self._rest = memoryview(next(self._chunks, b""))
        data, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return data

    def close(self) -> None:
        self._chunks = iter(())
        self._rest = memoryview(b"")


class S3Store(Store):
    """Objects of ``place``.

    ``folder`` is one of this machine, for files on their way and for copies of ``cached`` bytes that programs read.
    """

    def __init__(self, place: S3Place, folder: Path, name: str, *, writable: bool = True, cached: int) -> None:
        super().__init__(name, writable=writable)
        self._place = place
        self._spool = folder / STAGING
        self._cache = Cache(folder / "cached", cached)
        self._disk = _Spool()
        self._tried = False
        self._trying = threading.Lock()

    @cached_property
    def _bucket(self) -> Bucket:
        """Opened at first use: what it starts does not survive a fork."""
        place = self._place
        given: Any = {
            "region": place.region,
            "virtual_hosted_style_request": place.virtual_hosts,
            "copy_if_not_exists": "multipart" if place.copy == "multipart" else "header: if-none-match: *",
        }
        optional = {
            "endpoint": place.endpoint,
            "access_key_id": place.key,
            "secret_access_key": place.secret,
            "checksum_algorithm": "sha256" if place.checked else None,
        }
        given |= {name: value for name, value in optional.items() if value is not None}
        insecure = place.endpoint is not None and place.endpoint.startswith("http://")
        options: Any = {**_TIMES, "allow_http": insecure}
        again: Any = {"retry_timeout": timedelta(seconds=place.patience)}
        prefix = place.prefix or None
        return Bucket(place.bucket, prefix=prefix, config=given, client_options=options, retry_config=again)

    def prepare(self) -> None:
        self._check_writable()
        self._try_out()

    def _try_out(self) -> None:
        """See that the server refuses to give a name twice.

        Raises:
            FatalFault: it does not.
        """
        with self._trying:
            if self._tried:
                return
            if not any(self._keeps_names() for _ in range(_TRIALS)):  # one may be swept away while it is under way
                raise FatalFault(
                    f"The server of the store '{self.name}' replaces files although it is told not to.",
                    "Use one that heeds If-None-Match, and say how it copies: copy=multipart or copy=header.",
                )
            self._tried = True

    def _keeps_names(self) -> bool:
        folder = f"{STAGING}/trial-{secrets.token_hex(8)}"
        first, second = f"{folder}/1", f"{folder}/2"
        with self.reached():
            try:
                self._put(first, b"1")
                self._put(second, b"2")
                written = _done(lambda: self._put(first, b"3"))
                copied = _done(lambda: obstore.copy(self._bucket, first, second, overwrite=False))
                return not written and not copied
            finally:
                obstore.delete(self._bucket, [first, second])

    def _put(self, path: str, data: bytes) -> None:
        obstore.put(self._bucket, path, data, mode="create", use_multipart=False)

    # --- in ---------------------------------------------------------------------------------------

    def stage(self, owner: str) -> Staged:
        self._check_writable()
        folder = self._spool / owner
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(error) from error
        return Staged(self, self._disk, folder / secrets.token_hex(8))

    def commit_all(self, files: Sequence[tuple[Staged, str]]) -> None:
        self._check_writable()
        for staged, path in files:
            steps(path)
            staged.close()
            if staged.size > _MOST:
                raise UsageFault(f"The store '{self.name}' takes no file above 5 GiB, as '{path}' is.", "Divide it.")
        self._try_out()
        named: list[str] = []

        def send(file: tuple[Staged, str]) -> None:
            self._send(*file)
            named.append(file[1])

        try:
            side_by_side(send, files)
        except BaseException:
            for path in named:
                self.delete(path)
            raise
        for staged, _ in files:
            staged.discard()

    def _send(self, staged: Staged, path: str) -> None:
        with self.reached():
            try:
                if staged.size <= _WHOLE:
                    self._put(path, staged.path.read_bytes())
                else:
                    self._send_pieces(staged, path)
            except exceptions.AlreadyExistsError:
                raise taken(path) from None
        try:
            staged.fingerprint = self._compared(staged, path)
        except BaseException:
            self.delete(path)
            raise

    def _send_pieces(self, staged: Staged, path: str) -> None:
        before = f"{STAGING}/{staged.path.parent.name}/{staged.path.name}"
        try:
            with staged.path.open("rb") as file:
                obstore.put(self._bucket, before, file, use_multipart=True, chunk_size=_PIECE, max_concurrency=2)
            obstore.copy(self._bucket, before, path, overwrite=False)
        finally:
            obstore.delete(self._bucket, before)

    def _compared(self, staged: Staged, path: str) -> str:
        """The fingerprint of what lies in the bucket, when it is what was sent."""
        if self._place.checked:
            about = obstore.head(self._bucket, path)
            right = about["size"] == staged.size
            fingerprint = _fingerprint(about)
        else:
            with self.open(path) as opened:
                right = opened.digest()[0] == staged.sha256
                fingerprint = opened.fingerprint
        if not right:
            raise FatalFault(
                f"The store '{self.name}' did not keep the bytes of '{path}'.", "Try again, and tell its people."
            )
        return fingerprint

    def secure(self, path: str) -> None:
        if self.size(path) is None:
            raise self._missing(path)

    def delete(self, path: str) -> None:
        self._check_writable()
        steps(path)
        with self.reached():
            obstore.delete(self._bucket, path)

    def leave(self, owner: str) -> None:
        if not self.writable:
            return
        shutil.rmtree(self._spool / owner, ignore_errors=True)
        self._forget(f"{STAGING}/{owner}")

    def _forget(self, below: str) -> None:
        with self.reached():
            for found in obstore.list(self._bucket, below):
                obstore.delete(self._bucket, [about["path"] for about in found])

    def sweep(self, living: Iterable[str]) -> None:
        if not self.writable:
            return
        alive = set(living)
        with self.reached():
            there = obstore.list_with_delimiter(self._bucket, STAGING)["common_prefixes"]
        owners = {prefix.rpartition("/")[2] for prefix in there}
        owners |= {folder.name for folder in self._spool.iterdir()} if self._spool.is_dir() else set()
        for owner in owners - alive:
            self.leave(owner)

    # --- out --------------------------------------------------------------------------------------

    def open(self, path: str, first: int = 0, last: int | None = None) -> S3Opened:
        steps(path)
        with self.reached(path):
            about = obstore.head(self._bucket, path) if first or last is not None else None
            if about is not None and first >= min(about["size"], about["size"] if last is None else last + 1):
                return S3Opened(self, about["size"], _fingerprint(about), iter(()))
            options: Any = {} if about is None else {"range": (first, _end(about["size"], last))}
            if about is not None and about["e_tag"]:
                options["if_match"] = about["e_tag"]
            found = obstore.get(self._bucket, path, options=options)
            return S3Opened(self, found.meta["size"], _fingerprint(found.meta), iter(found.stream(CHUNK)))

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        steps(path)
        with self.reached(path):
            about = obstore.head(self._bucket, path)
        name = hashlib.sha256(f"{path}\n{_fingerprint(about)}".encode()).hexdigest()
        ending = "".join(Path(path).suffixes[-2:])

        def fetch(target: Path) -> None:
            with self.open(path) as opened, target.open("xb") as file:
                shutil.copyfileobj(opened, file, CHUNK)
            if target.stat().st_size != about["size"]:
                raise TransientFault(f"The store '{self.name}' gave '{path}' only in part.", "Try again.")

        with self._cache.held(name + ending, fetch) as copy:
            yield copy

    def size(self, path: str) -> int | None:
        steps(path)
        try:
            with self.reached(path):
                return obstore.head(self._bucket, path)["size"]
        except NotFound:
            return None

    def paths(self, below: str = "") -> Iterator[str]:
        if below:
            steps(below)
        with self.reached():
            for about in self._listed(below or None):
                yield about["path"]

    def lying(self, after: str = "") -> Iterator[Lying]:
        with self.reached():
            for about in self._listed(None, after or None):
                if about["path"] > after:  # not every server heeds where it is told to begin
                    yield Lying(about["path"], about["size"], about["last_modified"])

    def _listed(self, below: str | None, after: str | None = None) -> Iterator[Any]:
        for found in obstore.list(self._bucket, below, offset=after):
            for about in found:
                if not about["path"].startswith(f"{STAGING}/") and about["path"] != MARK:
                    yield about

    def free(self) -> int | None:
        return None

    def _domain(self) -> str:
        return f"{self._place.endpoint or 'Amazon'} {self._place.region}"

    @contextmanager
    def reached(self, path: str = "") -> Iterator[None]:
        """Turns what the network and the server say into faults."""
        try:
            yield
        except FileNotFoundError:
            raise self._missing(path) from None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError, PermissionError) as error:
            _log.warning("store %s: %s", self.name, error)
            raise FatalFault(
                f"The server of the store '{self.name}' refuses us.", "Are its keys right, and what they may do?"
            ) from error
        except (exceptions.BaseError, OSError, TimeoutError) as error:
            _log.warning("store %s: %s", self.name, error)
            raise TransientFault(f"The store '{self.name}' cannot be reached, or fails.", "Try again soon.") from error

    def _missing(self, path: str) -> NotFound:
        return NotFound(f"The store '{self.name}' has no file '{path}'.")


def _done(write: Callable[[], None]) -> bool:
    """Whether a name was given that was taken."""
    try:
        write()
    except exceptions.AlreadyExistsError:
        return False
    return True


def _fingerprint(about: Any) -> str:
    return f"{about['e_tag'] or about['last_modified'].isoformat()}-{about['size']}"


def _end(size: int, last: int | None) -> int:
    return size if last is None else min(last + 1, size)
