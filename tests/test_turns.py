"""Turns: so many at once, so many each, first come first served, and nobody waits for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from archive.engine.contract import Stop
from archive.faults import TransientFault
from archive.turns import Turns


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_turns_beyond_the_most_are_refused_when_patience_ends(held: ExitStack) -> None:
    turns = Turns(2, 2, patience=0.05)
    for asker in "ab":
        held.enter_context(turns.taken(asker, Stop()))
    with pytest.raises(TransientFault, match="service is busy") as refusal, turns.taken("c", Stop()):
        pass
    assert (refusal.value.status, refusal.value.after > 0) == (503, True)
    assert (turns.under_way, turns.waiting) == (2, 0)
    held.close()
    with turns.taken("c", Stop()):
        assert turns.under_way == 1
    assert turns.under_way == 0


def test_who_has_all_his_turns_is_passed_over(held: ExitStack) -> None:
    turns = Turns(3, 2, patience=0.05)
    for _ in range(2):
        held.enter_context(turns.taken("greedy", Stop()))
    with pytest.raises(TransientFault, match="2 other queries from your address") as refusal:
        held.enter_context(turns.taken("greedy", Stop()))
    assert refusal.value.status == 429
    with turns.taken("other", Stop()):
        assert turns.under_way == 3


def test_a_turn_that_ends_goes_to_who_came_first() -> None:
    turns = Turns(1, 1, patience=10)
    order: list[str] = []

    def take(name: str) -> None:
        with turns.taken(name, Stop(), patient=True):
            order.append(name)

    with turns.taken("first", Stop()):
        waiting = []
        for name in ("second", "third", "fourth"):
            waiting.append(threading.Thread(target=take, args=(name,)))
            waiting[-1].start()
            while turns.waiting < len(waiting):
                time.sleep(0.001)
    for thread in waiting:
        thread.join()
    assert order == ["second", "third", "fourth"]


def test_who_waits_can_be_stopped(held: ExitStack) -> None:
    turns, cord = Turns(1, 1, patience=60), Stop()
    held.enter_context(turns.taken("a", Stop()))
    threading.Timer(0.05, cord.pull).start()
    with pytest.raises(TransientFault, match="stopped"), turns.taken("b", cord, patient=True):
        pass
    assert turns.waiting == 0


def test_a_turn_is_given_back_whatever_happens() -> None:
    turns = Turns(1, 1, patience=0.05)
    with pytest.raises(ZeroDivisionError), turns.taken("a", Stop()):
        raise ZeroDivisionError
    with turns.taken("a", Stop()):
        assert turns.under_way == 1


def test_never_more_at_once_than_allowed_and_all_are_served() -> None:
    turns, lock = Turns(4, 2, patience=60), threading.Lock()
    now: list[str] = []
    most: list[tuple[int, int]] = []

    def work(asker: str) -> None:
        for _ in range(20):
            with turns.taken(asker, Stop()):
                with lock:
                    now.append(asker)
                    most.append((len(now), now.count(asker)))
                time.sleep(0.0005)
                with lock:
                    now.remove(asker)

    threads = [threading.Thread(target=work, args=(asker,)) for asker in "aaaabbbc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 160
    assert max(together for together, _ in most) <= 4
    assert max(each for _, each in most) <= 2
