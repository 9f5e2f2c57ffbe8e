"""How the archive is: the screen, the JSON, the incidents, and what is lost and may be."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from fractions import Fraction
from math import comb
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from archive.backbone import diagnosis
from archive.backbone.condition import condition
from archive.backbone.endpoint import Endpoint
from archive.backbone.verification import giving_up
from archive.backbone.verification import verify as verifying
from archive.backbone.verification.loss import ALLOWED, Account, needed, upper_limit
from archive.backbone.verification.patience import Patience
from archive.backbone.verification.verify import Terms
from archive.cli import archive
from archive.faults import NotFound, UsageFault
from tests import archives, clusters, holdings

pytestmark = pytest.mark.requirement("DMS-DBB-REQ-0035")


@pytest.fixture
def endpoint(tmp_path: Path, data: Path) -> Iterator[Endpoint]:
    """An archive of 30 files in two stores; one copy is bad, another file has no good copy."""
    yield from ailing(tmp_path, data, None)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def either(request: pytest.FixtureRequest, tmp_path: Path, data: Path) -> Iterator[Endpoint]:
    """The same, with its ledger in each kind of database."""
    yield from ailing(tmp_path, data, None if request.param == "sqlite" else clusters.database(tmp_path))


def ailing(tmp_path: Path, data: Path, database: str | None) -> Iterator[Endpoint]:
    (tmp_path / "second").mkdir()
    stores = (f"second=file://{tmp_path / 'second'}",)
    settings: dict[str, Any] = {"stores": stores, "copies": ("second",), "database": database}
    with archives.make(tmp_path / "home", data, reserve=0, **settings) as made:
        holdings.fill(made, tmp_path, 30, random.Random(1))
        check(made)
        for store, number in (("main", 3), ("main", 4), ("second", 4)):
            folder = made.config.store if store == "main" else tmp_path / "second"
            (folder / holdings.places(made, store)[uri(number)]).write_bytes(b"bad")
        check(made)
        yield made


def check(endpoint: Endpoint, **terms: Any) -> None:
    verifying.verify(endpoint, Terms(deep=True, **terms), patient=Patience(lambda: 0.0))


def uri(number: int) -> str:
    return f"{holdings.PREFIX}{number:04d}"


def ran(endpoint: Endpoint, *verb: str) -> str:
    """What a verb prints, run in this process."""
    config = endpoint.config
    settings = {"ARCHIVE_HOME": str(config.home), "ARCHIVE_DESCRIPTIONS": str(config.descriptions)}
    settings |= {"ARCHIVE_DATABASE": config.database or "", "ARCHIVE_STORES": " ".join(config.stores)}
    settings |= {"ARCHIVE_COPIES": "second", "COLUMNS": "150"}
    done = CliRunner(env=settings | {"ARCHIVE_RESERVE": "0"}).invoke(archive, verb, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def said(endpoint: Endpoint, *verb: str) -> Any:
    """What a verb prints for programs."""
    return json.loads(ran(endpoint, "--json", *verb))


# --- one set of facts -----------------------------------------------------------------------------


def test_all_faces_tell_the_same(either: Endpoint) -> None:
    found = condition(either)
    assert (found.whole.files, found.whole.gone, found.whole.declared) == (30, 1, 0)
    counts = {(each.store, each.state): each.files for each in found.kept}
    assert counts == {("main", "present"): 28, ("main", "bad"): 2, ("second", "present"): 29, ("second", "bad"): 1}
    at_risk = [(each.uri, each.store, each.good) for each in found.at_risk]
    assert at_risk == [(uri(4), "main", 0), (uri(4), "second", 0), (uri(3), "main", 1)]
    assert all(each.deep is not None and each.deep.ended for each in found.stores)
    assert found.oldest_age is not None
    told = said(either, "status")
    assert told["whole"] == {"files": 30, "gone": 1, "declared": 0, "oldest": found.whole.oldest, "read": 29}
    assert told["kept"] == json.loads(json.dumps(found.facts()["kept"]))
    assert told["copies"] == {"present": 57, "bad": 3}
    messages = [each.message for each in diagnosis.examine(either.config) if each.check == "files"]
    assert messages[0].startswith("57 stored files are present; the oldest check")
    assert messages[1:] == ["3 stored files are bad."]


def test_the_screen_tells_what_matters(endpoint: Endpoint) -> None:
    screen = ran(endpoint, "status")
    for words in ("1 of 30 files have no good copy.", uri(4), "bad-copy", "oldest unverified byte", "second", "95%"):
        assert words in screen


# --- incidents ------------------------------------------------------------------------------------


def test_a_person_closes_an_incident_and_says_why(endpoint: Endpoint) -> None:
    found = said(endpoint, "incident", "list")["incidents"]
    assert {(each["kind"], each["subject"]) for each in found} == {("bad-copy", uri(3)), ("bad-copy", uri(4))}
    number = str(found[0]["id"])
    assert "found" in said(endpoint, "incident", "show", number)["detail"]
    assert said(endpoint, "incident", "close", number, "--reason", "seen to")["closed"]
    assert not said(endpoint, "incident", "close", number, "--reason", "seen to")["closed"]
    assert len(said(endpoint, "incident", "list")["incidents"]) == 1
    assert len(said(endpoint, "incident", "list", "--all")["incidents"]) == 2
    assert "seen to" in ran(endpoint, "log", "--kind", "incident-closed")
    with pytest.raises(NotFound, match="no incident 99"):
        ran(endpoint, "incident", "show", "99")


# --- losses ---------------------------------------------------------------------------------------


def test_only_a_person_gives_up_a_file_and_only_one_that_nobody_has(endpoint: Endpoint, tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="has a good copy here"):
        giving_up.declare(endpoint, [uri(3)], reason="why not")
    with pytest.raises(UsageFault, match="No reason"):
        giving_up.declare(endpoint, [uri(4)], reason=" ")
    with pytest.raises(NotFound):
        giving_up.declare(endpoint, [uri(4), uri(99)], reason="gone")
    check(endpoint, repair=True)
    assert said(endpoint, "loss", "list") == {"lost": []}  # whatever fails, no step gives up a file
    assert said(endpoint, "loss", "declare", uri(4), "--reason", "the disk burnt")["declared"] == [uri(4)]
    assert said(endpoint, "loss", "declare", uri(4), "--reason", "again")["declared"] == []
    (lost,) = said(endpoint, "loss", "list")["lost"]
    assert (lost["uri"], lost["reason"]) == (uri(4), "the disk burnt")
    assert condition(endpoint).whole.declared == 1
    assert uri(4) not in [subject for _, subject in holdings.incidents_of(endpoint)]


def test_what_turns_up_again_is_not_lost(either: Endpoint, tmp_path: Path) -> None:
    giving_up.declare(either, [uri(4)], reason="gone")
    ran(
        either,
        *("ingest", str(tmp_path / "night"), "--type", "other", "--release", "sp_test", "--collection", "notes"),
    )
    found = condition(either)
    assert (found.whole.gone, found.whole.declared) == (0, 0)


def test_the_report_counts_what_was_read_and_what_is_gone(endpoint: Endpoint) -> None:
    told = said(endpoint, "loss", "report")
    assert (told["checked"], told["lost"], told["shown"], told["allowed"]) == (30, 1, False, 1e-5)
    assert told["limit"] == pytest.approx(upper_limit(1, 30, 0.95))


@pytest.mark.parametrize(("lost", "checked"), [(0, 10), (0, 300), (1, 20), (3, 1000), (7, 50), (19, 20)])
def test_the_limit_is_the_rate_at_which_so_little_is_seen_once_in_twenty_times(lost: int, checked: int) -> None:
    rate = Fraction(upper_limit(lost, checked, 0.95))
    tail = sum(comb(checked, k) * rate**k * (1 - rate) ** (checked - k) for k in range(lost + 1))
    assert float(tail) == pytest.approx(0.05, rel=1e-9)


def test_the_limit_of_large_archives() -> None:
    assert upper_limit(0, 10**9, 0.95) == pytest.approx(-1e-9 * -2.995732, rel=1e-5)  # the rule of three
    assert upper_limit(5, 5, 0.95) == 1.0
    assert upper_limit(10_000, 10**9, 0.95) == pytest.approx(1.0166e-5, rel=1e-3)
    assert (needed(0, ALLOWED, 0.95), needed(1, ALLOWED, 0.95)) == (299_572, 474_385)
    with pytest.raises(ValueError, match="cannot be lost"):
        upper_limit(2, 1, 0.95)


@pytest.mark.parametrize(
    ("account", "words"),
    [
        (Account(0, 0, None), "nothing is known"),
        (Account(1000, 0, None), "it takes 299,572 files"),
        (Account(400_000, 0, None), "that is shown"),
        (Account(1000, 1, None), "more is lost than that"),
    ],
)
def test_the_report_says_what_its_numbers_mean(account: Account, words: str) -> None:
    assert words in str(account)
