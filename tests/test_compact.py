"""Descriptions as compact JSON: the same when read again, and read again only by a program with the same classes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.compact import packed, shape, unpacked
from archive.ledger import Ledger, Site, descriptions, schema
from archive.ledger import site as sites
from archive.releases import Release, read_release

ROOT = Path(__file__).parent.parent
FILES = [*sorted((ROOT / "schema").rglob("[!.]*.yaml")), *sorted((ROOT / "tests" / "data").glob("*.yaml"))]
DESCRIPTIONS = [file for file in FILES if file.with_name(f"{file.stem}.archive.yaml").exists()]


class Sort(Enum):
    ONE = "one"
    TWO = "two"


@dataclass(frozen=True)
class Leaf:
    sort: Sort
    number: int | None = None


@dataclass(frozen=True)
class Other:
    text: str


@dataclass(frozen=True)
class Tree:
    name: str
    leaves: tuple[Leaf | Other, ...]
    pair: tuple[int, str]
    below: Mapping[str, Tree] = field(default_factory=dict)
    counted: int = field(init=False, default=0)


LEAVES = st.builds(Leaf, st.sampled_from(Sort), st.none() | st.integers()) | st.builds(Other, st.text())
TREES = st.recursive(
    st.builds(Tree, st.text(), st.lists(LEAVES).map(tuple), st.tuples(st.integers(), st.text())),
    lambda below: st.builds(
        Tree, st.text(), st.just(()), st.tuples(st.integers(), st.text()), st.dictionaries(st.text(), below, max_size=3)
    ),
    max_leaves=6,
)


@given(TREES)
def test_a_tree_is_the_same_when_it_comes_back(tree: Tree) -> None:
    assert unpacked(Tree, json.loads(json.dumps(packed(tree, Tree)))) == tree


@pytest.mark.parametrize("file", DESCRIPTIONS, ids=lambda file: file.stem)
def test_a_description_is_the_same_when_it_comes_back(file: Path) -> None:
    release = read_release(file)
    assert unpacked(Release, json.loads(json.dumps(packed(release, Release)))) == release


def test_there_are_descriptions_to_try() -> None:
    assert len(DESCRIPTIONS) >= 5


def test_another_class_has_another_shape() -> None:
    @dataclass(frozen=True)
    class Leaf:  # the name alone does not make it the same
        sort: int

    assert len({shape(Leaf), shape(Tree), shape(Release)}) == 3
    assert shape(Tree) == shape(Tree)


def test_what_cannot_be_packed_is_told() -> None:
    with pytest.raises(TypeError, match="cannot be packed"):
        packed({1}, set[int])


def test_the_ledger_reads_descriptions_of_another_shape_and_writes_them_anew(tmp_path: Path) -> None:
    ledger = Ledger.create(f"sqlite:///{tmp_path}/ledger.sqlite")
    with ledger.write() as transaction:
        sites.write_site(transaction, Site("archive.test", "Tests", "tests@archive.test"))
    release = read_release(ROOT / "schema" / "dr1.yaml")
    table = schema.description
    with ledger.write() as transaction:
        descriptions.register(transaction, release)
        transaction.execute(table.update().values(shape="0", compact="[]"))
    with ledger.read() as transaction:
        found = descriptions.find(transaction, "dr1")
    assert found is not None
    assert found.release == release
    with ledger.write() as transaction:
        assert descriptions.refresh(transaction) == 1
        assert descriptions.refresh(transaction) == 0
    with ledger.read() as transaction:
        found = descriptions.find(transaction, "dr1")
    assert found is not None
    assert found.release == release
    ledger.close()
