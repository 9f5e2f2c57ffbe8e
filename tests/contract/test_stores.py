"""What every kind of store promises (archive/backbone/stores.py), shown on each kind."""

from __future__ import annotations

import errno
import hashlib
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest

from archive.backbone.disk import Disk
from archive.backbone.posix import PosixStore
from archive.backbone.s3 import S3Place, S3Store
from archive.backbone.stores import Store
from archive.faults import FatalFault, Fault, NotFound, TransientFault, UsageFault
from tests.buckets import BUCKET, KEY, SECRET, Buckets, Front

LARGE = random.Random(1).randbytes(40 * 2**20)

# Every character that means something to some program, and names that sort differently as folders than as names.
NAMES = sorted(
    ["a", "a b", "a#b", "a%20b", "a&b=c", "a+b", "a-b", "a.b", "a/x", "a/y/z", "a0", "ab/c", "b?c", "ü/é", "漢"][1:]
)


@dataclass
class Place:
    """Where a store of a kind is: ``open`` gives one as another process would have it, ``behind`` the file itself."""

    open: Callable[..., Store]
    behind: Callable[[str], Path]
    front: Front | None = None


@pytest.fixture(scope="module")
def buckets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buckets]:
    buckets = Buckets(tmp_path_factory.mktemp("buckets"))
    yield buckets
    buckets.close()


@pytest.fixture(params=["posix", pytest.param("s3", marks=pytest.mark.service)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "posix":
        yield Place(lambda **how: PosixStore(tmp_path / "store", **how), lambda path: tmp_path / "store" / path)
        return
    yield from s3(request.getfixturevalue("buckets"), tmp_path)


@pytest.fixture
def bucket(buckets: Buckets, tmp_path: Path) -> Iterator[Place]:
    yield from s3(buckets, tmp_path)


def s3(buckets: Buckets, tmp_path: Path) -> Iterator[Place]:
    def open_store(
        writable: bool = True, secret: str = SECRET, endpoint: str = buckets.url, checked: bool = False
    ) -> Store:
        place = S3Place(
            BUCKET, tmp_path.name, endpoint, key=KEY, secret=secret, copy="header", checked=checked, patience=1
        )
        return S3Store(place, tmp_path / "scratch", "main", writable=writable, cached=10**8)

    buckets.front.__init__()
    yield Place(open_store, lambda path: buckets.place(f"{tmp_path.name}/{path}"), buckets.front)
    buckets.front.__init__()


@pytest.fixture
def store(place: Place) -> Store:
    store = place.open()
    store.prepare()
    return store


def put(store: Store, path: str, content: bytes, owner: str = "me") -> str:
    staged = store.stage(owner)
    staged.write(content)
    staged.commit(path)
    assert staged.fingerprint is not None
    return staged.fingerprint


def read(store: Store, path: str, *span: int | None) -> bytes:
    with store.open(path, *span) as opened:  # type: ignore[arg-type]
        return opened.read()


# --- in -------------------------------------------------------------------------------------------


@pytest.mark.requirement("DMS-DBB-REQ-0019")
def test_a_file_is_there_only_when_it_has_its_name(store: Store, place: Place) -> None:
    staged = store.stage("me")
    staged.write(b"some ")
    staged.write(memoryview(b"bytes"))
    assert list(store.paths()) == []
    staged.commit("a/b/c.txt")
    other = place.open()
    assert list(other.paths()) == ["a/b/c.txt"]
    assert read(other, "a/b/c.txt") == b"some bytes"
    assert other.size("a/b/c.txt") == 10
    assert (staged.size, staged.sha256) == (10, hashlib.sha256(b"some bytes").hexdigest())


def test_what_is_staged_can_be_read_before_it_counts(store: Store) -> None:
    staged = store.stage("me")
    staged.write(b"bytes")
    staged.close()
    assert staged.path.read_bytes() == b"bytes"
    staged.discard()
    assert not staged.path.exists()


@pytest.mark.parametrize("content", [b"", b"x", LARGE], ids=["empty", "small", "in pieces"])
def test_any_size(store: Store, content: bytes) -> None:
    put(store, "file", content)
    assert store.size("file") == len(content)
    assert read(store, "file") == content
    store.leave("me")
    assert list(store.paths()) == ["file"]


@pytest.mark.parametrize("size", [1, 20 * 2**20], ids=["small", "in pieces"])
def test_a_name_is_given_once_whoever_asks_for_it(store: Store, place: Place, size: int) -> None:
    def attempt(number: int) -> bytes | FatalFault:
        try:
            put(place.open(), "the/name", bytes([number]) * size, f"owner {number}")
        except FatalFault as fault:
            return fault
        return bytes([number]) * size

    with ThreadPoolExecutor(4) as threads:
        came = list(threads.map(attempt, range(4)))
    (won,) = [content for content in came if isinstance(content, bytes)]
    assert {str(fault) for fault in came if isinstance(fault, FatalFault)} == {
        "The store already has a file 'the/name'. This is a fault of the program."
    }
    assert read(store, "the/name") == won
    with pytest.raises(FatalFault, match="already has a file"):
        put(store, "the/name", b"late")
    assert read(store, "the/name") == won


def test_many_get_their_names_or_none(store: Store) -> None:
    files = [(store.stage("me"), f"many/{number}") for number in range(20)]
    for staged, path in files:
        staged.write(path.encode())
    store.commit_all(files)
    assert {path: read(store, path).decode() for path in store.paths()} == {path: path for _, path in files}
    more = [(store.stage("me"), path) for path in ("many/20", "many/7", "many/21")]
    with pytest.raises(FatalFault, match="already has a file 'many/7'"):
        store.commit_all(more)
    assert len(list(store.paths())) == 20
    assert read(store, "many/7") == b"many/7"


def test_a_file_that_others_laid_there(store: Store, place: Place) -> None:
    put(place.open(), "laid", b"there")
    store.secure("laid")
    assert read(store, "laid") == b"there"
    with pytest.raises(NotFound, match="has no file 'nowhere'"):
        store.secure("nowhere")


def test_deleting_is_harmless_when_there_is_nothing(store: Store) -> None:
    put(store, "a/b/c", b"1")
    put(store, "a/d", b"2")
    store.delete("a/b/c")
    store.delete("a/b/c")
    assert list(store.paths()) == ["a/d"]
    put(store, "a/b/c", b"3")
    assert read(store, "a/b/c") == b"3"


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../out", "a/../../out", "staging/x", "a//b", "./a", "a/", "a\0b", "x" * 256]
)
def test_paths_stay_inside(store: Store, path: str) -> None:
    for use in (store.size, store.open, store.delete, store.secure, lambda path: put(store, path, b"")):
        with pytest.raises(FatalFault, match="is no path in a store"):
            use(path)


def test_what_the_dead_staged_is_swept(store: Store, place: Place) -> None:
    staged = {owner: store.stage(owner) for owner in ("dead", "alive")}
    store.sweep({"alive"})
    assert not staged["dead"].path.exists()
    staged["alive"].commit("kept")
    place.open().sweep(set())
    assert list(store.paths()) == ["kept"]


# --- out ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 1, 9, 10, 11])
@pytest.mark.parametrize("last", [None, 0, 1, 8, 9, 10, 99])
def test_ranges(store: Store, first: int, last: int | None) -> None:
    put(store, "file", b"0123456789")
    assert read(store, "file", first, last) == b"0123456789"[first : None if last is None else last + 1]
    with store.open("file", first, last) as opened:
        assert opened.size == 10


def test_bytes_come_as_they_are_wanted(store: Store) -> None:
    put(store, "file", LARGE)
    with store.open("file", 3) as opened:
        pieces = [opened.read(1000) for _ in range(5)]
        assert all(pieces)
        got = b"".join(pieces)
        assert got == LARGE[3 : 3 + len(got)]


def test_listed_in_order(store: Store) -> None:
    for name in random.Random(2).sample(NAMES, len(NAMES)):
        put(store, name, name.encode())
    assert list(store.paths()) == NAMES
    assert list(store.paths("a")) == ["a/x", "a/y/z"]
    assert list(store.paths("nowhere")) == []
    for name in NAMES:
        assert read(store, name) == name.encode()
        with store.local(name) as path:
            assert path.read_bytes() == name.encode()


def test_listed_with_what_can_be_seen_from_any_name_on(store: Store) -> None:
    for name in NAMES:
        put(store, name, name.encode())
    found = list(store.lying())
    assert [each.path for each in found] == NAMES
    assert [each.size for each in found] == [len(name.encode()) for name in NAMES]
    assert all(abs((datetime.now(UTC) - each.changed).total_seconds()) < 3600 for each in found)
    for after in [*NAMES, "a/", "a/w", "b", "zz"]:
        assert [each.path for each in store.lying(after)] == [name for name in NAMES if name > after]


@pytest.mark.requirement("DMS-DBB-REQ-0035")
def test_a_store_has_one_mark_for_ever(store: Store, place: Place) -> None:
    assert store.mark() is None
    store.set_mark("main of archive.test")
    other = place.open()
    assert other.mark() == "main of archive.test"
    with pytest.raises(FatalFault):
        other.set_mark("another")
    put(store, "file", b"1")
    other.sweep(())
    assert other.mark() == "main of archive.test"
    assert list(other.paths()) == ["file"] == [each.path for each in other.lying()]


def test_what_is_not_there(store: Store) -> None:
    put(store, "folder/file", b"")
    for path in ("nowhere", "folder", "folder/file/below"):
        assert store.size(path) is None
        with pytest.raises(NotFound, match=f"The store 'main' has no file '{path}'"):
            store.open(path)
        with pytest.raises(NotFound, match="has no file"), store.local(path):
            pass


def test_a_file_that_changed_behind_our_back_shows_it(store: Store, place: Place) -> None:
    before = put(store, "file", b"bytes")
    with store.open("file") as opened:
        assert opened.fingerprint == before
    place.behind("file").write_bytes(b"BYTES")
    with store.open("file") as opened:
        assert opened.fingerprint != before
        assert opened.read() == b"BYTES"
    with store.local("file") as path:
        assert path.read_bytes() == b"BYTES"


def test_room(store: Store) -> None:
    free = store.free()
    assert free is None or free > 0


@pytest.mark.requirement("DMS-DBB-REQ-0035")
def test_a_store_that_nobody_writes(store: Store, place: Place) -> None:
    put(store, "file", b"bytes")
    staged = store.stage("dead")
    closed = place.open(writable=False)
    for change in (
        lambda: closed.stage("me"),
        lambda: closed.delete("file"),
        lambda: closed.commit_all([(staged, "other")]),
        closed.prepare,
    ):
        with pytest.raises(UsageFault, match="The store 'main' is read-only"):
            change()
    closed.sweep(set())
    closed.leave("dead")
    assert staged.path.exists()
    assert read(closed, "file") == b"bytes"
    assert list(closed.paths()) == ["file"]


# --- a disk that fails ----------------------------------------------------------------------------


class Failing(Disk):
    """Fails at one operation, from the given time on; ``done`` is what was asked of it."""

    def __init__(self, operation: str = "", code: int = errno.EIO, after: int = 0) -> None:
        self.operation, self.code, self.after = operation, code, after
        self.done: list[str] = []

    def _do(self, operation: str) -> None:
        self.done.append(operation)
        if operation == self.operation and self.done.count(operation) > self.after:
            raise OSError(self.code, os.strerror(self.code))

    def create(self, path: Path) -> BinaryIO:
        self._do("create")
        return super().create(path)

    def write(self, file: BinaryIO, data: bytes | memoryview) -> None:
        self._do("write")
        super().write(file, data)

    def fsync(self, file: BinaryIO) -> None:
        self._do("fsync")
        super().fsync(file)

    def rename(self, source: Path, target: Path) -> None:
        self._do("rename")
        super().rename(source, target)

    def mkdir(self, folder: Path) -> None:
        self._do("mkdir")
        super().mkdir(folder)

    def fsync_dir(self, folder: Path) -> None:
        self._do("fsync_dir")
        super().fsync_dir(folder)

    def unlink(self, path: Path) -> None:
        self._do("unlink")
        super().unlink(path)


@pytest.mark.requirement("DMS-DBB-REQ-0019")
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("operation", ["create", "write", "fsync", "rename", "mkdir", "fsync_dir"])
def test_a_disk_that_fails(tmp_path: Path, operation: str, code: int, after: int) -> None:
    disk = Failing(operation, code, after)
    PosixStore(tmp_path).prepare()
    store = PosixStore(tmp_path, disk=disk)
    files = [("a/1", b"1"), ("b/2", b"2")]

    def come() -> None:
        staged = [(store.stage("me"), path, content) for path, content in files]
        for file, _, content in staged:
            file.write(content)
        store.commit_all([(file, path) for file, path, _ in staged])

    with pytest.raises(FatalFault, match=f"cannot be written: {os.strerror(code)}"):
        come()
    assert list(store.paths()) == []
    disk.operation = ""
    come()
    assert [(path, read(store, path)) for path in store.paths()] == files


@pytest.mark.requirement("DMS-DBB-REQ-0019")
def test_bytes_are_safe_before_the_name_and_the_name_before_the_end(tmp_path: Path) -> None:
    disk = Failing()
    store = PosixStore(tmp_path, disk=disk)
    store.prepare()
    put(store, "a", b"1")
    assert disk.done[1:] == ["create", "write", "fsync", "rename", "fsync_dir"]
    disk.done.clear()
    put(store, "b/c", b"1")
    assert disk.done == ["create", "write", "fsync", "mkdir", "fsync_dir", "rename", "fsync_dir"]
    disk.done.clear()
    files = [(store.stage("me"), f"b/{number}") for number in range(10)]
    store.commit_all(files)
    assert disk.done == ["create"] * 10 + ["fsync"] * 10 + ["rename"] * 10 + ["fsync_dir"]


def test_the_folder_of_a_store_is_not_made_anew_where_its_disk_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FatalFault, match=r"The folder of the store 'far' is missing\. Is its disk mounted\?"):
        PosixStore(tmp_path / "mount", "far").stage("me")
    assert not (tmp_path / "mount").exists()


def test_names_are_given_once_without_the_newest_system_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archive.backbone.disk._renameat2", None)
    store = PosixStore(tmp_path)
    put(store, "a", b"1")
    with pytest.raises(FatalFault, match="already has a file 'a'"):
        put(store, "a", b"2")
    assert read(store, "a") == b"1"


# --- a server that fails --------------------------------------------------------------------------


@pytest.mark.service
def test_a_server_that_replaces_files_is_not_written_to(bucket: Place) -> None:
    assert bucket.front is not None
    bucket.front.heeds = ()
    with pytest.raises(FatalFault, match="The server of the store 'main' replaces files although it is told not to"):
        put(bucket.open(), "file", b"1")
    assert list(bucket.open().paths()) == []


@pytest.mark.service
@pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "in pieces"])
def test_a_server_that_checks_digests_is_not_read_back(bucket: Place, content: bytes) -> None:
    assert bucket.front is not None
    put(bucket.open(checked=True), "file", content)
    assert not [request for request in bucket.front.seen if request.startswith("GET") and "/file" in request]
    assert read(bucket.open(), "file") == content


@pytest.mark.service
def test_a_server_that_keeps_other_bytes(bucket: Place) -> None:
    assert bucket.front is not None
    store = bucket.open()
    store.prepare()

    def flip(request: object, body: bytes) -> bytes:
        if bucket.behind("file").exists():
            bucket.behind("file").write_bytes(b"bytez")
        return body

    bucket.front.after = flip
    with pytest.raises(FatalFault, match="did not keep the bytes of 'file'"):
        put(store, "file", b"bytes")
    bucket.front.after = lambda request, body: body
    assert list(store.paths()) == []


@pytest.mark.service
def test_a_server_that_is_away(bucket: Place) -> None:
    assert bucket.front is not None
    store = bucket.open()
    put(store, "file", b"1")
    bucket.front.before = lambda request: 503
    for use in (lambda: put(store, "other", b"2"), lambda: read(store, "file"), lambda: store.size("file")):
        with pytest.raises(TransientFault, match="The store 'main' cannot be reached, or fails"):
            use()
    with pytest.raises(TransientFault, match="cannot be reached"):
        bucket.open(endpoint="http://127.0.0.1:9").size("file")
    bucket.front.before = lambda request: None
    assert list(store.paths()) == ["file"]
    put(store, "other", b"2")


@pytest.mark.service
def test_a_server_that_fails_half_way_through_many(bucket: Place) -> None:
    assert bucket.front is not None
    store = bucket.open()
    store.prepare()
    files = [(store.stage("me"), f"many/{number}") for number in range(8)]
    bucket.front.before = lambda request: 400 if request.method == "PUT" and "/many/5" in request.path else None
    with pytest.raises(Fault):
        store.commit_all(files)
    assert list(store.paths()) == []


@pytest.mark.service
def test_a_server_that_stumbles_is_asked_again(bucket: Place) -> None:
    assert bucket.front is not None
    store = bucket.open()
    put(store, "file", LARGE)
    stumbles = iter([503, 500])
    bucket.front.before = lambda request: next(stumbles, None)
    assert read(store, "file") == LARGE


@pytest.mark.service
def test_keys_that_are_refused(bucket: Place) -> None:
    with pytest.raises(FatalFault, match="The server of the store 'main' refuses us"):
        bucket.open(secret="wrong").open("file")
