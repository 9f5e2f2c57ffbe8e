"""Rules of the state machine for releases: a second release fills, is frozen at some time, and never changes then.

Its files are its own: what happens to those of the first release does not touch them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from archive.backbone import sealing, steps
from archive.backbone.amendments import amend, retract
from archive.backbone.endpoint import Endpoint
from archive.backbone.ingest import ingest
from archive.backbone.receiving import Outcome, Request, Status, Terms
from archive.backbone.sources import LocalFile
from archive.faults import UsageFault
from archive.ledger import contents, files, holdings
from archive.ledger.contents import Content, State

RELEASE = "sp_twin"
TERMS = Terms("intermediate", RELEASE, "c", {"task": "dome"})

_LABELS = [label for label in steps.LABELS if label.startswith(("freeze.", "load.named", "load.regist", "store."))]
FREEZES = st.one_of(st.none(), st.sampled_from(_LABELS), st.integers(0, 25))
COMES = st.one_of(st.none(), st.integers(0, 30))


class Releases(RuleBasedStateMachine):
    """``sealed`` are the files of the second release by their names, ``frozen`` what became of it."""

    endpoint: Endpoint
    folder: Path
    chance: random.Random
    during: Callable[[str | int | None, Callable[[], object]], bool]

    def begin_release(self) -> None:
        """Make the second release."""
        self.twins: dict[str, bytes] = {}
        self.gone: set[str] = set()
        self.frozen: Content | None = None
        with self.endpoint.ledger.write() as transaction:
            contents.create(transaction, RELEASE)

    @rule(count=st.integers(1, 3), cut=COMES)
    def fill_release(self, count: int, cut: int | None) -> None:
        """What is told to be kept is in it; nothing new comes into a frozen one, and what is there may come again."""
        names = [f"t{len(self.twins) + at}" for at in range(count)]
        sent = {name: self.chance.randbytes(100) for name in names}
        told: list[Outcome] = []
        requests = [self._twin(name, data) for name, data in sent.items()]
        requests += [self._twin(name, data) for name, data in sorted(self.twins.items())[:1] if name not in self.gone]
        self.during(cut, lambda: ingest(self.endpoint, requests, told=told.append))
        for outcome in told:
            name = outcome.request.name
            expected = Status.KNOWN if name in self.twins else Status.NEW if self.frozen is None else Status.REFUSED
            assert outcome.status is expected, outcome.fault
        self._see(sent)

    @precondition(lambda self: self.twins.keys() - self.gone)
    @rule(pick=st.integers(0, 10**6), how=st.sampled_from(["amend", "retract"]), cut=COMES)
    def change_release(self, pick: int, how: str, cut: int | None) -> None:
        """As long as it is open."""
        names = sorted(self.twins.keys() - self.gone)
        name = names[pick % len(names)]
        uri = self._uri(name)

        def change() -> None:
            if how == "amend":
                amend(self.endpoint, uri, {"task": str(pick)}, reason="better known")
            else:
                retract(self.endpoint, [uri], reason="a mistake")

        refused = ""
        try:
            self.during(cut, change)
        except UsageFault as fault:
            refused = fault.message
        assert ("was frozen" in refused) == (self.frozen is not None) or cut is not None
        self._see({})

    @precondition(lambda self: self.frozen is None and len(self.twins) > 2)
    @rule(cut=FREEZES)
    def freeze_release(self, cut: str | int | None) -> None:
        """It is frozen or it is not, wherever that is cut off; if it is not, it is open."""
        self.during(cut, lambda: sealing.freeze(self.endpoint, RELEASE))
        with self.endpoint.ledger.read() as transaction:
            content = contents.named(transaction, RELEASE)
        if content.state is State.FROZEN:
            self.frozen = content
            listed = json.loads(self._manifest(content)).get("products", [])
            assert {each["uri"] for each in listed} == {self._uri(name) for name in self.twins.keys() - self.gone}
        else:
            assert cut is not None

    @invariant()
    def what_is_frozen_stays(self) -> None:
        """The ledger says of it what was sealed, for ever."""
        if getattr(self, "frozen", None) is None:
            return
        with self.endpoint.ledger.read() as transaction:
            assert contents.named(transaction, RELEASE) == self.frozen
            assert self.frozen is not None
            assert sealing.digest(transaction, RELEASE) == self.frozen.digest

    def _see(self, sent: dict[str, bytes]) -> None:
        """What was cut off happened or did not: the ledger tells."""
        uris = {name: self._uri(name) for name in {**sent, **self.twins}}
        with self.endpoint.ledger.read() as transaction:
            known = files.find(transaction, uris.values())
        self.twins |= {name: data for name, data in sent.items() if uris[name] in known}
        self.gone |= {name for name, uri in uris.items() if uri in known and known[uri].retracted is not None}

    def _manifest(self, content: Content) -> bytes:
        with self.endpoint.ledger.read() as transaction:
            held = holdings.find(transaction, str(content.manifest))
        assert held is not None
        (copy,) = held.copies
        return (self.endpoint.config.store / copy.place.path).read_bytes()

    def _twin(self, name: str, data: bytes) -> Request:
        path = self.folder / "outside" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return Request(name, LocalFile(path), TERMS)

    def _uri(self, name: str) -> str:
        return f"archive://archive.test/{RELEASE}/c/{name}"
