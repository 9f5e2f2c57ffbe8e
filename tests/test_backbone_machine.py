"""Any history of an endpoint's files, with crashes and damage: nothing acknowledged is lost, nothing half is seen.

The machine ingests, repeats, amends, retracts, verifies and mends, groups files into datasets, loses its power anywhere
(at a labelled step, or before any operation of the disk), comes back with what the disk then holds, and has its files
damaged meanwhile. The model beside it knows what was acknowledged.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import initialize, invariant, precondition, rule
from sqlalchemy import select

from archive.backbone import steps
from archive.backbone.amendments import amend, retract
from archive.backbone.copies import Copies
from archive.backbone.dropping import drop, drop_by_rule, sweep, undrop
from archive.backbone.endpoint import Endpoint
from archive.backbone.ingest import ingest
from archive.backbone.posix import PosixStore
from archive.backbone.receiving import Outcome, Request, Status, Terms
from archive.backbone.retention import Rule
from archive.backbone.sources import LocalFile
from archive.backbone.stores import Staged
from archive.backbone.verification import verify as verifying
from archive.backbone.verification.judging import Failure
from archive.backbone.verification.patience import Patience
from archive.backbone.verification.sources import Source
from archive.faults import FatalFault, TransientFault, UsageFault
from archive.ledger import Ledger, chain, files, holdings, incidents, products, replicas, retention, schema
from archive.ledger.holdings import Holding
from archive.ledger.rounds import Copy
from tests import archives
from tests.dataset_rules import Datasets
from tests.lossy import LossyDisk, Power, PowerCut, cut_off, tampered
from tests.release_rules import Releases

DESCRIPTIONS = Path(__file__).parent / "data"
TERMS = Terms("intermediate", "sp_test", "c", {"task": "dome"})
LABELS = [label for label in steps.LABELS if label.startswith("ingest.")]

# Where a verb is cut off: not at all, at a step, or when the disk has done so much.
CUTS = st.one_of(st.none(), st.sampled_from(LABELS), st.integers(0, 40))


MENDING = [label for label in steps.LABELS if label.startswith("mend.")]
MENDS = st.one_of(st.none(), st.sampled_from(MENDING), st.integers(0, 60))

LEAVING = [label for label in steps.LABELS if label.startswith(("drop.", "undrop.", "sweep."))]
LEAVES = st.one_of(st.none(), st.sampled_from(LEAVING), st.integers(0, 20))


class _Friend(Source):
    """Has the bytes of everything that was ever sent."""

    name = "a friend"

    def __init__(self, sent: Mapping[str, bytes]) -> None:
        self._sent = sent

    def has(self, wanted: Copy) -> bool:
        return True

    def fetch(self, wanted: Copy, staging: Callable[[], Staged]) -> Staged:
        staged = staging()
        staged.write(self._sent[wanted.uri.rpartition("/")[2]])
        staged.close()
        return staged


class Files(Datasets, Releases):
    """One endpoint. ``sent`` are all files that were ever delivered; ``acknowledged`` those we were told are kept;
    ``said`` is what they were amended to.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="machine", dir=_fast()))
        self.endpoint = archives.make(self.folder / "home", DESCRIPTIONS, heartbeat=3600.0, reserve=0)
        self.sent: dict[str, bytes] = {}
        self.acknowledged: dict[str, bytes] = {}
        self.said: dict[str, str] = {}
        self.retracted: set[str] = set()
        self.damaged: set[str] = set()
        self.dropped: set[str] = set()

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.power = Power()
        root = self.endpoint.config.store
        self.disk = LossyDisk(root, self.power, self.chance)
        self.disk.fsync_dir(root)
        self.begin_release()
        self.open()
        self.verified(repair=False)  # from now on it is known which store it is

    def teardown(self) -> None:
        if hasattr(self, "power"):
            self.restart()
            self.all_is_well()
            self.all_datasets_are_well()
            ingest(self.endpoint, [])
            assert not list((self.endpoint.config.store / "staging").glob("*/*"))
        self.endpoint.close()
        shutil.rmtree(self.folder)

    # --- life and death -------------------------------------------------------------------------------

    def open(self) -> None:
        """A process of its own on what is there."""
        config = self.endpoint.config
        self.endpoint.close()
        self.endpoint = Endpoint(config, Ledger.open(config.ledger_url))
        store = PosixStore(config.store, disk=self.disk)
        self.endpoint.stores = {"main": store}
        self.endpoint.store = store
        cut_off(self.endpoint.ledger._database, self.power)

    @rule()
    def restart(self) -> None:
        """The process ends and a new one begins, long enough later for the old one to be known as gone."""
        self.power.on, self.power.left, self.power.at = True, None, None
        with self.endpoint.ledger.write() as transaction:
            transaction.execute(schema.process.update().values(lease="2000-01-01T00:00:00.000000Z"))
        self.open()

    def during(self, cut: str | int | None, work: Callable[[], object]) -> bool:
        """Do ``work`` until the power goes; True if it went. Then it comes back, with what the disk still holds."""
        self.power.left = cut if isinstance(cut, int) else None
        self.power.at = cut if isinstance(cut, str) else None
        steps._trap = self.power  # type: ignore[assignment]
        try:
            work()
        except PowerCut:
            pass
        finally:
            steps._trap = None
        went, self.power.left, self.power.at = not self.power.on, None, None
        if went:
            if self.chance.random() < 0.8:  # else only the process was killed
                self.disk.lose()
            self.restart()
        return went

    # --- files come in --------------------------------------------------------------------------------

    @rule(sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=5), cut=CUTS)
    def ingest_new(self, sizes: list[int], cut: str | int | None) -> None:
        names = [f"f{len(self.sent) + at}" for at in range(len(sizes))]
        for name, size in zip(names, sizes, strict=True):
            self.sent[name] = self.chance.randbytes(size)
        self.deliver(names, cut, (Status.NEW,))

    @precondition(lambda self: self.sent)
    @rule(pick=st.lists(st.integers(0, 10**6), min_size=1, max_size=4), cut=CUTS)
    def ingest_again(self, pick: list[int], cut: str | int | None) -> None:
        """What was sent before, acknowledged or not, is sent again: harmless, or it completes what was cut off."""
        names = list({sorted(self.sent)[each % len(self.sent)] for each in pick} - self.retracted)
        self.deliver(names, cut, (Status.NEW, Status.KNOWN, Status.RESTORED))

    def deliver(self, names: Sequence[str], cut: str | int | None, expected: tuple[Status, ...]) -> None:
        told: list[Outcome] = []
        requests = [self.request(name, self.sent[name]) for name in names]
        self.during(cut, lambda: ingest(self.endpoint, requests, told=told.append))
        for outcome in told:
            assert outcome.status in expected, outcome.fault
            name = outcome.request.name
            assert (outcome.status is Status.NEW) <= (name not in self.acknowledged)
            if outcome.status is Status.RESTORED:
                self.damaged.discard(name)
            self.acknowledged[name] = self.sent[name]
        self.see_what_is_dropped(names)

    def request(self, name: str, data: bytes) -> Request:
        path = self.folder / "outside" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return Request(name, LocalFile(path), TERMS)

    @precondition(lambda self: self.acknowledged)
    @rule(pick=st.integers(0, 10**6))
    def other_bytes_under_a_known_name(self, pick: int) -> None:
        name = self.any_of(self.acknowledged, pick)
        done = ingest(self.endpoint, [self.request(name, self.sent[name] + b"!")])
        assert done.counts == {Status.REFUSED: 1}
        assert isinstance(done.refused[0].fault, UsageFault)

    # --- second thoughts ------------------------------------------------------------------------------

    @precondition(lambda self: self.acknowledged.keys() - self.retracted - self.standing())
    @rule(pick=st.integers(0, 10**6), cut=CUTS)
    def retract_one(self, pick: int, cut: str | int | None) -> None:
        name = self.any_of(self.acknowledged.keys() - self.retracted - self.standing(), pick)
        self.during(cut, lambda: retract(self.endpoint, [self.uri(name)], reason="a mistake"))
        if self.holding(name).retracted is not None:
            self.retracted.add(name)
        else:
            assert cut is not None

    @precondition(lambda self: self.acknowledged.keys() - self.retracted)
    @rule(pick=st.integers(0, 10**6), cut=CUTS)
    def amend_one(self, pick: int, cut: str | int | None) -> None:
        name = self.any_of(self.acknowledged.keys() - self.retracted, pick)
        said = str(self.chance.random())
        self.during(cut, lambda: amend(self.endpoint, self.uri(name), {"task": said}, reason="better known"))
        if self.described(name) == said:
            self.said[name] = said
        else:
            assert cut is not None

    @precondition(lambda self: self.retracted)
    @rule(pick=st.integers(0, 10**6))
    def a_retracted_name_is_never_used_again(self, pick: int) -> None:
        name = self.any_of(self.retracted, pick)
        done = ingest(self.endpoint, [self.request(name, self.sent[name])])
        assert done.counts == {Status.REFUSED: 1}

    # --- damage ---------------------------------------------------------------------------------------

    @precondition(lambda self: self.acknowledged)
    @rule(pick=st.integers(0, 10**6), how=st.sampled_from(["flip", "truncate", "delete"]))
    def damage(self, pick: int, how: str) -> None:
        name = self.any_of(self.acknowledged, pick)
        for copy in self.holding(name).copies:
            if tampered(self.endpoint.config.store / copy.place.path, how, self.chance):
                self.damaged.add(name)

    @precondition(lambda self: self.acknowledged)
    @rule(pick=st.integers(0, 10**6))
    def read(self, pick: int) -> None:
        self.look(self.any_of(self.acknowledged, pick))

    # --- files leave and come back --------------------------------------------------------------------

    @precondition(lambda self: self.acknowledged.keys() - self.retracted - self.dropped)
    @rule(pick=st.integers(0, 10**6), cut=LEAVES)
    def drop_one(self, pick: int, cut: str | int | None) -> None:
        name = self.any_of(self.acknowledged.keys() - self.retracted - self.dropped, pick)
        self.during(cut, lambda: drop(self.endpoint, [self.uri(name)], reason="room", forced=True))
        self.see_what_is_dropped([name])
        assert cut is not None or name in self.dropped

    @rule(cut=LEAVES)
    def drop_what_was_retracted(self, cut: str | int | None) -> None:
        self.during(cut, lambda: drop_by_rule(self.endpoint, [Rule.RETRACTED], reason="room"))
        self.see_what_is_dropped(self.retracted & self.acknowledged.keys())
        assert cut is not None or self.retracted & self.acknowledged.keys() <= self.dropped

    @precondition(lambda self: self.dropped - self.retracted)
    @rule(pick=st.integers(0, 10**6), cut=LEAVES)
    def undrop_one(self, pick: int, cut: str | int | None) -> None:
        """It comes back whole, unless its bytes are deleted already or were damaged."""
        name = self.any_of(self.dropped - self.retracted, pick)
        there, told = self.is_leaving(name), list[str]()

        def back() -> None:
            try:
                told.extend(undrop(self.endpoint, [self.uri(name)], reason="needed"))
            except UsageFault:
                assert not there
            except FatalFault:
                assert name in self.damaged

        self.during(cut, back)
        self.see_what_is_dropped([name])
        assert bool(told) <= (name not in self.dropped)
        if name not in self.dropped:
            self.damaged.discard(name)

    @rule(cut=LEAVES)
    def sweep_what_left(self, cut: str | int | None) -> None:
        with self.endpoint.ledger.write() as transaction:
            transaction.execute(schema.leaving.update().values(until="2000-01-01T00:00:00.000000Z"))
        if not self.during(cut, lambda: sweep(self.endpoint)):
            assert not any(self.is_leaving(name) for name in self.acknowledged)
            with self.endpoint.ledger.read() as transaction:
                assert transaction.execute(select(schema.leaving)).all() == []

    def is_leaving(self, name: str) -> bool:
        """Whether its bytes lie here and may come back."""
        with self.endpoint.ledger.read() as transaction:
            number = files.find(transaction, [self.uri(name)])[self.uri(name)].id
            rows = retention.leaving(transaction, of=[number])
        return any(not row.taken for row in rows)

    def see_what_is_dropped(self, names: Iterable[str]) -> None:
        """What was cut off happened or did not: the ledger tells."""
        for name in names:
            if name in self.acknowledged:
                (self.dropped.add if self.holding(name).dropped else self.dropped.discard)(name)

    # --- looked after ---------------------------------------------------------------------------------

    @rule(cut=MENDS)
    def verify(self, cut: str | int | None) -> None:
        """Nobody is accused who was not damaged; after a whole check every copy that is shown is right."""
        if not self.during(cut, lambda: self.verified(repair=False)):
            self.what_is_shown_is_right()

    @rule(cut=MENDS)
    def repair(self, cut: str | int | None) -> None:
        """What a friend still has is made again, all of it."""
        if not self.during(cut, lambda: self.verified(repair=True)):
            self.what_is_shown_is_right()
            kept = self.acknowledged.keys() - self.retracted - self.dropped
            assert not any(self.holding(name).copies for name in self.dropped)
            assert all(self.holding(name).copies for name in kept)
            self.damaged -= kept

    def verified(self, *, repair: bool) -> None:
        terms = verifying.Terms(deep=True, repair=repair, threads=1)
        calm = Patience(lambda: 0.0)
        (report,) = verifying.verify(self.endpoint, terms, (_Friend(self.sent),), patient=calm)
        assert report.away is None
        prefix = self.uri("")
        accused = {each.copy.uri.removeprefix(prefix) for each in report.wrong if isinstance(each, Failure)}
        assert accused <= self.damaged
        if repair and report.braked:
            with self.endpoint.ledger.write(reason="seen to") as transaction:
                incidents.close_incident(transaction, "brakes", "main")
            verifying.verify(self.endpoint, replace(terms, deep=False), (_Friend(self.sent),), patient=calm)

    def what_is_shown_is_right(self) -> None:
        for name in self.acknowledged.keys() - self.retracted:
            for copy in self.holding(name).copies:
                assert (self.endpoint.config.store / copy.place.path).read_bytes() == self.sent[name]

    # --- what must hold -------------------------------------------------------------------------------

    def all_is_well(self) -> None:
        for name in self.acknowledged:
            self.look(name)

    def look(self, name: str) -> None:
        """Read a file as users do: the bytes that were acknowledged, or a clear fault; a fault only for the damaged."""
        held = self.holding(name)
        assert (held.retracted is not None) == (name in self.retracted)
        assert held.size == len(self.acknowledged[name])
        assert self.described(name) == self.said.get(name, "dome")
        assert (held.dropped is not None) == (name in self.dropped)
        copies = Copies(self.endpoint.ledger, self.endpoint.stores)
        try:
            reading = copies.read(held, 0, held.size - 1)
            found = b"".join(reading.pieces())
            reading.close()
        except (TransientFault, FatalFault):
            assert name in self.damaged | self.dropped, f"{name} was lost"
        else:
            assert found == self.acknowledged[name], f"{name} has other bytes"

    @invariant()
    def the_ledger_is_sound(self) -> None:
        """Events follow each other without a gap; whoever is registered was sent, and all of it is known."""
        if not hasattr(self, "power"):
            return
        with self.endpoint.ledger.read() as transaction:
            assert chain.check(transaction) is None
            rows = transaction.execute(schema.artifact.select()).all()
        prefix = self.uri("")
        names = {row.uri.removeprefix(prefix): row for row in rows if row.uri.startswith(prefix)}
        assert self.acknowledged.keys() <= names.keys()
        for name, row in names.items():
            assert row.size == len(self.sent[name])

    @invariant()
    def what_is_shown_is_whole(self) -> None:
        """Every copy that counts as present has all its bytes, unless somebody damaged it."""
        if not hasattr(self, "power"):
            return
        with self.endpoint.ledger.read() as transaction:
            artifact, replica = schema.artifact.c, schema.replica.c
            rows = transaction.execute(
                select(artifact.uri, replica.path, replica.has).where(replica.artifact == artifact.id)
            ).all()
        for row in rows:
            name = row.uri.removeprefix(self.uri(""))
            if row.has == replicas.Has.PRESENT and name in self.sent and name not in self.damaged:
                assert (self.endpoint.config.store / row.path).read_bytes() == self.sent[name]

    # --- small things ---------------------------------------------------------------------------------

    def any_of(self, names: Iterable[str], pick: int) -> str:
        ordered = sorted(names)
        return ordered[pick % len(ordered)]

    def uri(self, name: str) -> str:
        return f"archive://archive.test/sp_test/c/{name}"

    def described(self, name: str) -> str:
        with self.endpoint.ledger.read() as transaction:
            number = files.find(transaction, [self.uri(name)])[self.uri(name)].id
            said: str = products.find(transaction, [number])[number].product.metadata["task"]["value"]
        return said

    def holding(self, name: str) -> Holding:
        with self.endpoint.ledger.read() as transaction:
            held = holdings.find(transaction, self.uri(name))
        assert held is not None, f"{name} is not registered"
        return held


def _fast() -> str | None:
    """Memory, where there is a file system of it: the disk under test is a model, the real one only costs time."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


TestFiles = pytest.mark.requirement("DMS-DBB-REQ-0056")(
    pytest.mark.requirement("DMS-DBB-REQ-0019")(pytest.mark.requirement("DMS-DBB-REQ-0035")(Files.TestCase))
)
Files.TestCase.settings = settings(
    max_examples=max(300, settings.default.max_examples),
    stateful_step_count=42,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
