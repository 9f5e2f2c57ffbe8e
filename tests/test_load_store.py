"""The store and the registrar: bytes under names, for ever."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from archive.backbone import catalogs
from archive.backbone.endpoint import Endpoint
from archive.backbone.posix import PosixStore
from archive.backbone.registrar import Arrival, register
from archive.backbone.stores import Store
from archive.faults import FatalFault, UsageFault
from tests.archives import make, reopened, snapshot


@pytest.fixture
def store(tmp_path: Path) -> PosixStore:
    store = PosixStore(tmp_path / "store")
    store.prepare()
    return store


@pytest.fixture
def endpoint(tmp_path: Path, data: Path) -> Endpoint:
    return make(tmp_path / "home", data)


def put(store: Store, path: str, content: bytes) -> None:
    staged = store.stage("me")
    staged.write(content)
    staged.commit(path)


def test_a_file_is_there_only_when_it_has_its_name(store: PosixStore) -> None:
    staged = store.stage("me")
    staged.write(b"some ")
    staged.write(memoryview(b"bytes"))
    assert list(store.paths()) == []
    staged.commit("a/b/c.txt")
    assert list(store.paths()) == ["a/b/c.txt"]
    with store.open("a/b/c.txt") as file:
        assert file.read() == b"some bytes"
    assert (staged.size, staged.sha256) == (10, hashlib.sha256(b"some bytes").hexdigest())


def test_files_of_a_folder(store: PosixStore) -> None:
    for path in ("a/one", "a/b/two", "ab/three"):
        put(store, path, b"x")
    assert sorted(store.paths("a")) == ["a/b/two", "a/one"]
    assert list(store.paths("nowhere")) == []


def test_a_name_is_given_once(store: PosixStore) -> None:
    put(store, "a", b"1")
    with pytest.raises(FatalFault, match="already has a file 'a'"):
        put(store, "a", b"2")
    assert store.place("a").read_bytes() == b"1"


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../outside", "a/../../outside", "staging/x", "a//b", "./a", "a/", "a\0b"]
)
def test_paths_stay_inside(store: PosixStore, path: str) -> None:
    with pytest.raises(FatalFault, match="is no path in a store"):
        store.place(path)


def test_what_is_deleted_leaves_no_empty_folders(store: PosixStore) -> None:
    put(store, "a/b/c", b"1")
    put(store, "a/d", b"2")
    store.delete("a/b/c")
    store.delete("a/b/c")
    assert not store.place("a/b").exists()
    assert list(store.paths()) == ["a/d"]


def test_what_the_dead_staged_is_swept(store: PosixStore) -> None:
    for owner in ("dead", "alive"):
        store.stage(owner).write(b"x")
    store.sweep({"alive"})
    assert [folder.name for folder in (store.root / "staging").iterdir()] == ["alive"]


@pytest.mark.requirement("DMS-DBB-REQ-0034")
def test_registering(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"bytes")
    artifact = register(endpoint, tmp_path / "a", "notes/ä b", "text/plain")
    assert artifact.uri == "archive://archive.test/notes/%C3%A4%20b"
    assert (endpoint.config.store / "notes/ä b").read_bytes() == b"bytes"
    before = snapshot(endpoint)
    assert register(endpoint, tmp_path / "a", "notes/ä b", "text/plain") == artifact
    (tmp_path / "a").write_bytes(b"other")
    with pytest.raises(UsageFault, match="registered with other bytes"):
        register(endpoint, tmp_path / "a", "notes/ä b", "text/plain")
    assert snapshot(endpoint) == before


def test_what_is_on_its_way_elsewhere_is_not_swept(endpoint: Endpoint, tmp_path: Path) -> None:
    """A load leaves alone the files of another one that has named them and is about to register them."""
    with Arrival(reopened(endpoint.config)) as other:
        staged = other.stage()
        staged.write(b"x")
        staged.commit(f"parts/sp_test/pair/{other.id}/00001.parquet")
        (tmp_path / "a.csv").write_text("left,right,nick\na,1,\n")
        catalogs.load(endpoint, "sp_test", "pair", [tmp_path / "a.csv"])
        assert f"parts/sp_test/pair/{other.id}/00001.parquet" in set(endpoint.store.paths())
    (tmp_path / "b.csv").write_text("left,right,nick\nb,1,\n")
    catalogs.load(endpoint, "sp_test", "pair", [tmp_path / "b.csv"])
    assert not [path for path in endpoint.store.paths() if other.id in path]


def test_names_of_files_may_be_anything(endpoint: Endpoint, tmp_path: Path) -> None:
    name = "ü #%? " + "x" * 230 + ".csv"
    (tmp_path / name).write_text("left,right,nick\na,1,\n")
    assert catalogs.load(endpoint, "sp_test", "pair", [tmp_path / name]).rows == {name: 1}
    (kept,) = endpoint.store.paths("deliveries")
    assert kept.endswith(name)
