"""Stored files are looked after: damage is made in every way, and found, and mended where good bytes are."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archive.backbone.endpoint import Endpoint
from archive.backbone.verification import verify as verifying
from archive.backbone.verification.judging import Damaged, Missing, Orphan
from archive.backbone.verification.patience import Patience
from archive.backbone.verification.verify import Report, Terms
from archive.ledger import rounds
from tests import archives, holdings
from tests.buckets import BUCKET, KEY, SECRET, Buckets

pytestmark = pytest.mark.requirement("DMS-DBB-REQ-0035")


def check(endpoint: Endpoint, **terms: Any) -> Report:
    """Verify the main store; nobody else is at work."""
    asked = Terms(stores=("main",), **terms)
    calm = Patience(lambda: 0.0)
    (report,) = verifying.verify(endpoint, asked, verifying.own_sources(endpoint), patient=calm)
    return report


def accused(report: Report) -> set[str]:
    return {each.copy.uri for each in report.wrong if isinstance(each, Damaged | Missing)}


def lying(endpoint: Endpoint) -> dict[str, Path]:
    return {uri: endpoint.config.store / path for uri, path in holdings.places(endpoint).items()}


@pytest.fixture
def endpoint(tmp_path: Path, data: Path) -> Iterator[Endpoint]:
    with archives.make(tmp_path / "home", data, reserve=0) as made:
        yield made


@pytest.fixture
def doubled(tmp_path: Path, data: Path) -> Iterator[Endpoint]:
    """An archive whose files lie in two stores."""
    (tmp_path / "second").mkdir()
    stores = (f"second=file://{tmp_path / 'second'}",)
    with archives.make(tmp_path / "home", data, reserve=0, stores=stores, copies=("second",)) as made:
        yield made


# --- the campaign ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_one_deep_check_finds_all_damage_and_accuses_nobody_else(endpoint: Endpoint, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    sent = holdings.fill(endpoint, tmp_path, 1000, chance)
    assert check(endpoint, deep=True).failed == 0
    harmed = holdings.damage(lying(endpoint), 0.15, chance)
    assert len(set(harmed.values())) == 6
    report = check(endpoint, deep=True)
    assert accused(report) == harmed.keys()
    gone = {uri for uri, how in harmed.items() if how == "delete"}
    bad = harmed.keys() - gone
    expected = {uri: "absent" if uri in gone else "bad" if uri in bad else "present" for uri in sent}
    assert holdings.states(endpoint) == expected
    assert report.braked
    assert ("brakes", "main") in holdings.incidents_of(endpoint)
    assert check(endpoint, deep=True).failed == 0  # what is known is not found again


def test_names_and_sizes_tell_what_they_can(endpoint: Endpoint, tmp_path: Path) -> None:
    chance = random.Random(3)
    holdings.fill(endpoint, tmp_path, 300, chance)
    harmed = holdings.damage(lying(endpoint), 0.1, chance)
    seen = {uri for uri, how in harmed.items() if how in ("truncate", "extend", "empty", "delete")}
    assert seen <= accused(check(endpoint)) <= harmed.keys()


def test_a_dry_run_finds_the_same_and_changes_nothing(doubled: Endpoint, tmp_path: Path) -> None:
    chance = random.Random(4)
    holdings.fill(doubled, tmp_path, 60, chance)
    harmed = holdings.damage(lying(doubled), 0.06, chance)
    before = archives.snapshot(doubled)
    report = check(doubled, deep=True, repair=True, dry_run=True)
    assert accused(report) == harmed.keys()
    assert archives.snapshot(doubled) == before
