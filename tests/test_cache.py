"""Copies of far files on this machine: made once, shared, and removed when there are too many, never while in use."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from archive.backbone.cache import Cache


class Far:
    """Counts what is fetched; each file has 100 bytes."""

    def __init__(self) -> None:
        self.fetched: list[str] = []

    def fetch(self, name: str) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            self.fetched.append(name)
            path.write_bytes(name.encode() * 100)

        return write


def use(cache: Cache, far: Far, name: str) -> None:
    with cache.held(name, far.fetch(name)) as path:
        assert path.read_bytes() == name.encode() * 100


def test_a_copy_is_made_once(tmp_path: Path) -> None:
    far = Far()
    for _ in range(2):
        use(Cache(tmp_path, 1000), far, "a")
    assert far.fetched == ["a"]


def test_those_not_used_for_longest_go(tmp_path: Path) -> None:
    far, cache = Far(), Cache(tmp_path, 250)
    for age, name in enumerate("dcba"):
        use(cache, far, name)
        os.utime(tmp_path / name, (age, age))
    use(cache, far, "d")  # the oldest until now; a moment ago it was fetched first
    use(cache, far, "e")
    assert {"d", "e"} <= {path.name for path in tmp_path.iterdir()}
    assert len(list(tmp_path.iterdir())) <= 4
    use(cache, far, "c")
    assert far.fetched.count("c") == 2


def test_copies_in_use_stay(tmp_path: Path) -> None:
    far, cache = Far(), Cache(tmp_path, 0)
    with ExitStack() as held:
        paths = [held.enter_context(cache.held(name, far.fetch(name))) for name in "abc"]
        use(Cache(tmp_path, 0), far, "d")
        assert all(path.exists() for path in paths)
    use(cache, far, "e")
    assert not any(path.exists() for path in paths)


def test_a_fetch_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise ConnectionError

    with pytest.raises(ConnectionError), Cache(tmp_path, 1000).held("a", fail):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_the_dead_were_fetching_goes_after_a_day(tmp_path: Path) -> None:
    far, cache = Far(), Cache(tmp_path, 1000)
    for name, age in ((".coming-old", 90_000), (".coming-new", 60)):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    use(cache, far, "a")
    assert {path.name for path in tmp_path.iterdir()} == {".coming-new", "a"}
