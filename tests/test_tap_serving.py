"""Which revisions a process still answers from: the oldest counts until its answer is closed."""

from __future__ import annotations

from pathlib import Path

import pytest

from archive import serving as module
from archive.config import Config
from archive.engine.contract import Bindings
from archive.faults import UsageFault
from archive.ledger import Published, Site
from archive.query import Prepared, Question
from archive.results import Result
from archive.serving import Serving
from archive.tables import Catalog


class Ledger:
    """Says that it is at ``revision``."""

    revision = 1

    def site(self) -> Site:
        return Site("archive.test", "Tests", "tests@archive.test")

    def published(self) -> Published:
        return Published(self.revision, Catalog(()), {})


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def serving(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Serving:
    def prepare(question: Question, published: Published, inventory: object) -> Prepared:
        if question.text == "wrong":
            raise UsageFault("wrong")
        return Prepared(question, None, Bindings(), published.revision, 0)

    monkeypatch.setattr(module, "prepare", prepare)
    monkeypatch.setattr(module, "run", lambda *_: Result((), iter(())))
    return Serving(Config(home=Path("nowhere")), ledger, object())


def test_an_idle_process_serves_the_newest(serving: Serving, ledger: Ledger) -> None:
    assert serving.oldest_revision() == 1
    ledger.revision = 5
    assert serving.oldest_revision() == 5


def test_the_oldest_answer_under_way_counts(serving: Serving, ledger: Ledger) -> None:
    first = serving.answer(Question("a"))
    second = serving.answer(Question("b"))
    ledger.revision = 2
    third = serving.answer(Question("c"))
    ledger.revision = 3
    assert serving.oldest_revision() == 1
    first.close()
    first.close()
    assert serving.oldest_revision() == 1
    second.close()
    assert serving.oldest_revision() == 2
    third.close()
    assert serving.oldest_revision() == 3


def test_a_wrong_query_leaves_nothing_behind(serving: Serving, ledger: Ledger) -> None:
    with pytest.raises(UsageFault):
        serving.answer(Question("wrong"))
    ledger.revision = 2
    assert serving.oldest_revision() == 2


def test_an_answer_that_cannot_be_closed_is_over_all_the_same(
    serving: Serving, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck() -> None:
        raise RuntimeError

    monkeypatch.setattr(module, "run", lambda *_: Result((), iter(()), stuck))
    result = serving.answer(Question("a"))
    ledger.revision = 2
    with pytest.raises(RuntimeError):
        result.close()
    assert serving.oldest_revision() == 2
