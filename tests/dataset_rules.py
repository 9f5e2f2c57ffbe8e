"""What the machine of an endpoint's files does with datasets, cut off anywhere, and what must hold of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import func, select

from archive.backbone import datasets
from archive.backbone.amendments import retract
from archive.faults import UsageFault
from archive.ledger import schema
from archive.ledger.datasets import State

if TYPE_CHECKING:
    from archive.backbone.endpoint import Endpoint
    from archive.ledger.holdings import Holding

RUN, TYPE, UNITS = "sp_test/c", "group", 3
CUT = st.one_of(st.none(), st.none(), st.integers(0, 2))  # before the transaction, before its end, after it
PICK = st.integers(0, 10**6)


class Datasets(RuleBasedStateMachine):
    """``members`` are the names of the files in each dataset, by its URI; ``states`` what became of it; ``digests``
    what was sealed.
    """

    endpoint: Endpoint
    acknowledged: dict[str, bytes]
    retracted: set[str]
    during: Callable[[str | int | None, Callable[[], object]], bool]
    any_of: Callable[[Iterable[str], int], str]
    uri: Callable[[str], str]
    holding: Callable[[str], Holding]

    def __init__(self) -> None:
        super().__init__()
        self.members: dict[str, set[str]] = {}
        self.states: dict[str, State] = {}
        self.digests: dict[str, str | None] = {}

    # --- what is done ---------------------------------------------------------------------------------

    @rule(unit=st.integers(1, UNITS), cut=CUT)
    def begin_dataset(self, unit: int, cut: int | None) -> None:
        told: list[str] = []
        data_id = {"unit": str(unit)}
        self.during(cut, lambda: told.append(datasets.begin(self.endpoint, RUN, TYPE, data_id, again=True).uri))
        assert told or cut is not None
        for uri in told:
            self.members[uri], self.states[uri] = set(), State.OPEN
        table = schema.dataset
        with self.endpoint.ledger.read() as transaction:  # begun, though nobody was told
            unknown = set(transaction.execute(select(table.c.uri)).scalars()) - self.members.keys()
        for uri in unknown:
            self.members[uri], self.states[uri] = set(), State.OPEN

    @precondition(lambda self: self.of(State.OPEN) and self.acknowledged.keys() - self.retracted)
    @rule(pick=PICK, picks=st.lists(PICK, min_size=1, max_size=3), cut=CUT)
    def add_to_dataset(self, pick: int, picks: list[int], cut: int | None) -> None:
        uri = self.any_of(self.of(State.OPEN), pick)
        names = {self.any_of(self.acknowledged.keys() - self.retracted, each) for each in picks}
        self.during(cut, lambda: datasets.add(self.endpoint, uri, [self.uri(name) for name in sorted(names)]))
        found = self.held_by(uri)
        assert found == self.members[uri] | names or (cut is not None and found == self.members[uri])
        self.members[uri] = found

    @precondition(lambda self: self.of(State.OPEN))
    @rule(pick=PICK, cut=CUT)
    def seal_dataset(self, pick: int, cut: int | None) -> None:
        """Sealed and found, or a spare if another is; refused if it is not whole, whatever the power does."""
        uri = self.any_of(self.of(State.OPEN), pick)
        whole = bool(self.members[uri]) and not self.lacking(uri)
        first = [each for each in self.of(State.FOUND) if self.unit(each) == self.unit(uri)]

        def seal() -> None:
            if whole:
                sealed = datasets.seal(self.endpoint, uri)
                assert [sealed.found.uri] == (first or [uri])
                return
            with pytest.raises(UsageFault):
                datasets.seal(self.endpoint, uri)

        self.during(cut, seal)
        state = self.look_at(uri)
        expected = (State.SPARE if first else State.FOUND) if whole else State.OPEN
        assert state is expected or (cut is not None and state is State.OPEN)

    @precondition(lambda self: self.of(State.OPEN))
    @rule(pick=PICK, permanent=st.booleans(), cut=CUT)
    def fail_dataset(self, pick: int, permanent: bool, cut: int | None) -> None:
        uri = self.any_of(self.of(State.OPEN), pick)
        self.during(cut, lambda: datasets.fail(self.endpoint, uri, reason="no luck", for_good=permanent))
        state = self.look_at(uri)
        assert state is (State.GIVEN_UP if permanent else State.FAILED) or (cut is not None and state is State.OPEN)

    @precondition(lambda self: self.of(State.FOUND))
    @rule(pick=PICK, cut=CUT)
    def withdraw_dataset(self, pick: int, cut: int | None) -> None:
        uri = self.any_of(self.of(State.FOUND), pick)
        self.during(cut, lambda: datasets.withdraw(self.endpoint, uri, reason="a mistake"))
        state = self.look_at(uri)
        assert state is State.WITHDRAWN or (cut is not None and state is State.FOUND)

    @precondition(lambda self: self.standing() - self.retracted)
    @rule(pick=PICK)
    def files_of_what_stands_are_not_retracted(self, pick: int) -> None:
        name = self.any_of(self.standing() - self.retracted, pick)
        with pytest.raises(UsageFault):
            retract(self.endpoint, [self.uri(name)], reason="a mistake")

    @precondition(lambda self: self.members)
    @rule(pick=PICK)
    def look_at_one(self, pick: int) -> None:
        self.look_at(self.any_of(self.members, pick))

    # --- what must hold -------------------------------------------------------------------------------

    def look_at(self, uri: str) -> State:
        """A dataset holds what was put into it, misses what has no good copy, and is what it was when sealed."""
        shown = datasets.show(self.endpoint, uri)
        state = shown.dataset.state
        assert {each.uri for each in shown.files} == {self.uri(name) for name in self.members[uri]}
        assert {each.what for each in shown.missing} == {self.uri(name) for name in self.lacking(uri)}
        assert shown.intact
        assert shown.dataset.files == len(self.members[uri])
        assert shown.dataset.size == sum(len(self.acknowledged[name]) for name in self.members[uri])
        assert shown.dataset.digest == self.digests.setdefault(uri, shown.dataset.digest) or not self.digests[uri]
        assert shown.complete == (state.is_sealed and not self.lacking(uri))
        self.states[uri], self.digests[uri] = state, shown.dataset.digest
        return state

    def all_datasets_are_well(self) -> None:
        for uri, state in list(self.states.items()):
            assert self.look_at(uri) is state

    @invariant()
    def one_of_each_is_found(self) -> None:
        if not self.members:
            return
        table = schema.dataset
        asked = select(func.count()).where(table.c.state == State.FOUND).group_by(table.c.data_id)
        with self.endpoint.ledger.read() as transaction:
            counts = transaction.execute(asked).scalars().all()
        assert all(count == 1 for count in counts)

    # --- small things ---------------------------------------------------------------------------------

    def of(self, state: State) -> list[str]:
        return [uri for uri, known in self.states.items() if known is state]

    def unit(self, uri: str) -> str:
        return uri.rpartition("/")[0]

    def standing(self) -> set[str]:
        """Names of the files of datasets that are sealed and not withdrawn."""
        uris = (*self.of(State.FOUND), *self.of(State.SPARE))
        return {name for uri in uris for name in self.members[uri]}

    def lacking(self, uri: str) -> set[str]:
        """Names of its files that cannot be had, as far as the endpoint knows."""
        return {name for name in self.members[uri] if name in self.retracted or not self.holding(name).copies}

    def held_by(self, uri: str) -> set[str]:
        return {each.uri.removeprefix(self.uri("")) for each in datasets.show(self.endpoint, uri).files}
