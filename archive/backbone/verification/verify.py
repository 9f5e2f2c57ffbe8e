"""``verify``: is every copy where it should be, and does it have its bytes?

A check of names and sizes goes along a store's own listing and finds what is missing, what has another size and what
belongs to nobody. A deep one reads every byte, of those copies first that were not read for the longest time. What is
found is looked at twice before it counts, since files come and go meanwhile. Both go on where they were cut off.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Connection

from archive.backbone.endpoint import Endpoint
from archive.backbone.steps import step
from archive.backbone.stores import Lying, Store
from archive.backbone.verification import brakes, looking, patience
from archive.backbone.verification.brakes import Brake
from archive.backbone.verification.judging import (
    Acquit,
    Action,
    Condemn,
    Damaged,
    Doubtful,
    Failure,
    Finding,
    Listed,
    Miss,
    Missing,
    Nothing,
    Orphan,
    Returned,
    Seen,
    Tell,
    Unreadable,
    decide,
    is_orphan,
    judge,
)
from archive.backbone.verification.mending import Mended, Unmended, foresee, mend
from archive.backbone.verification.patience import Patience
from archive.backbone.verification.remaking import Deliveries
from archive.backbone.verification.sources import OtherStores, Source
from archive.faults import NotFound
from archive.ledger import arrivals, incidents, losses, replicas, rounds
from archive.ledger.rounds import Copy, Round

Progress = Callable[[str, int], None]
"""Told as work goes on: ``files`` looked at, ``bytes`` read, ``mended``; and how many more."""

_BATCH = 500  # copies whose findings are entered at once
_BATCH_BYTES = 1 << 30
_BATCH_SECONDS = 5.0  # of work that a killed run does again
_KEPT = 10_000  # findings that a report tells one by one


@dataclass(frozen=True, slots=True)
class Terms:
    """What is to be done: read all bytes (``deep``), ``repair`` what is wrong, or only say what would be done.

    At most ``limit`` files are looked at, in deep checks read; ``stores`` are those to look at, None for all.
    """

    deep: bool = False
    repair: bool = False
    dry_run: bool = False
    limit: int | None = None
    stores: tuple[str, ...] | None = None
    threads: int | None = None


@dataclass(slots=True)
class Report:
    """What became of one store. ``away`` is why it was not looked at; ``whole`` if there is nothing left to look at.

    ``listed`` files were looked at by name and size, ``read`` by all their ``bytes``; ``counts`` is how many findings
    there are of each kind, ``wrong`` those that are no good news. ``resumed`` if a cut off round went on.
    """

    store: str
    away: str | None = None
    listed: int = 0
    read: int = 0
    bytes: int = 0
    seconds: float = 0.0
    rested: float = 0.0
    whole: bool = True
    resumed: bool = False
    braked: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[Finding] = field(default_factory=list)
    mended: list[Mended] = field(default_factory=list)
    unmended: list[Unmended] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """How many copies were found to be not as they should be."""
        return sum(self.counts[kind.__name__.lower()] for kind in (Damaged, Missing, Unreadable))

    @property
    def left(self) -> int:
        """How many copies are wrong and were not made again."""
        return max(self.failed - len(self.mended), 0) + len(self.unmended)


def own_sources(endpoint: Endpoint) -> tuple[Source, ...]:
    """The sources that an endpoint is to itself, the nearest first."""
    return OtherStores(endpoint), Deliveries(endpoint)


def verify(
    endpoint: Endpoint,
    terms: Terms,
    sources: Sequence[Source] = (),
    progress: Progress = lambda what, number: None,
    patient: Patience | None = None,
) -> list[Report]:
    """Look at all stores, or those named, and with ``terms.repair`` make again what is wrong from these ``sources``.

    Raises:
        NotFound: there is no store of that name.
    """
    names = tuple(endpoint.stores) if terms.stores is None else terms.stores
    for name in names:
        if name not in endpoint.stores:
            raise NotFound(f"There is no store '{name}'.", f"Stores: {', '.join(endpoint.stores)}.")
    patient = patient or patience.of(endpoint.ledger)
    found = [_Check(endpoint, endpoint.stores[name], terms, progress, patient).run() for name in names]
    if terms.repair:
        for report in found:
            _repair(endpoint, report, terms, sources, progress)
    return found


def _repair(endpoint: Endpoint, report: Report, terms: Terms, sources: Sequence[Source], progress: Progress) -> None:
    """Mend what is wrong in a store, when all of them were looked at: so nothing is mended from what is bad."""
    with endpoint.ledger.read() as transaction:
        held = {(each.kind, each.subject) for each in incidents.open_incidents(transaction)}
    report.braked |= (brakes.TRIPPED, report.store) in held
    if report.away is not None or report.braked:
        return
    store = endpoint.stores[report.store]
    failing = {each.copy.replica.artifact: each.copy for each in report.wrong if isinstance(each, Damaged | Missing)}
    dry = terms.dry_run
    for each in foresee(endpoint, store, sources, list(failing.values())) if dry else mend(endpoint, store, sources):
        match each:
            case Mended():
                report.mended.append(each)
                progress("mended", 1)
            case Unmended():
                report.unmended.append(each)


class _Check:
    """The check of one store."""

    def __init__(self, endpoint: Endpoint, store: Store, terms: Terms, progress: Progress, patient: Patience) -> None:
        self._ledger = endpoint.ledger
        self._endpoint = endpoint
        self._store = store
        self._terms = terms
        self._progress = progress
        self._patience = patient
        self._brake = Brake()
        self._report = Report(store.name)
        self._left = terms.limit
        self._failing: set[int] = set()  # files that a dry run has not entered as such

    def run(self) -> Report:
        report, began, rested = self._report, time.monotonic(), self._patience.rested
        report.away = brakes.away(self._endpoint, self._store, dry=self._terms.dry_run)
        if report.away is None:
            self._patience.begin()
            self._names()
            if self._terms.deep:
                self._bytes()
        else:
            report.whole = False
        report.seconds = time.monotonic() - began
        report.rested = self._patience.rested - rested
        report.braked = self._brake.tripped
        return report

    # --- names and sizes ----------------------------------------------------------------------------

    def _names(self) -> None:
        current = self._enter(deep=False)
        arriving = self._arriving()
        copies = looking.copies_by_path(self._ledger, self._store.name, current.after)
        found: list[Finding] = []
        size, began, most = 0, time.monotonic(), self._page()
        for copy, lying in looking.side_by_side(copies, self._store.lying(current.after)):
            if copy is None:
                found += self._unnamed(lying, arriving)
                continue
            found += self._compared(copy, Nothing() if lying is None else Listed(lying.size))
            self._report.listed += 1
            self._progress("files", 1)
            self._patience.step()
            size += 1
            if size >= most or time.monotonic() - began > _BATCH_SECONDS:
                current = self._enter_found(current, found, size, copy.path)
                if not self._terms.deep and self._spent(size):
                    return
                found, size, began = [], 0, time.monotonic()
                most = self._page()
        self._end(self._enter_found(current, found, size, current.after))

    def _compared(self, copy: Copy, seen: Seen) -> Iterator[Finding]:
        finding = self._judged(copy, seen, lambda: looking.glance(self._store, copy))
        if isinstance(finding, Doubtful):
            found = looking.read(self._store, copy, self._read_on)
            finding = None if found is None else judge(copy, found)
        if finding is not None:
            yield finding

    def _unnamed(self, lying: Lying | None, arriving: frozenset[str]) -> Iterator[Finding]:
        if lying is None or not is_orphan(lying, datetime.now(UTC), arriving):
            return
        with self._ledger.read() as transaction:
            named = replicas.owners(transaction, self._store.name, [lying.path])
        if not named and self._store.size(lying.path) is not None:
            yield Orphan(self._store.name, lying)

    def _arriving(self) -> frozenset[str]:
        with self._ledger.read() as transaction:
            return arrivals.marks(transaction)

    # --- bytes ---------------------------------------------------------------------------------------

    def _bytes(self) -> None:
        current = self._enter(deep=True)
        after: tuple[str, int] | None = None
        with ThreadPoolExecutor(self._terms.threads or _threads()) as threads:
            while not self._spent(0):
                with self._ledger.read() as transaction:
                    due = rounds.oldest(transaction, self._store.name, current.begun, after, self._page())
                if not due:
                    self._end(current)
                    return
                due = _at_once(due)
                after = (due[-1].replica.checked or "", due[-1].replica.artifact)
                new = (copy for copy in due if copy.replica.artifact not in self._failing)
                found = [each for each in threads.map(self._deeply, new) if each is not None]
                self._report.read += len(due)
                self._report.bytes += sum(copy.size for copy in due)
                current = self._enter_found(current, found, len(due), "", sum(copy.size for copy in due))
                self._spent(len(due))
        self._report.whole = False

    def _page(self) -> int:
        return _BATCH if self._left is None else max(1, min(_BATCH, self._left))

    def _deeply(self, copy: Copy) -> Finding | None:
        self._patience.begin()

        def look() -> Seen | None:
            return looking.read(self._store, copy, self._read_on)

        seen = look()
        finding = None if seen is None else self._judged(copy, seen, look)
        self._progress("files", 1)
        return finding

    def _read_on(self, size: int) -> None:
        self._progress("bytes", size)
        self._patience.step()

    # --- both ----------------------------------------------------------------------------------------

    def _judged(self, copy: Copy, seen: Seen, look: Callable[[], Seen | None]) -> Finding | None:
        """What it means; a failure only if it is seen again, of a copy that the ledger still expects there."""
        finding: Finding | None = judge(copy, seen)
        if isinstance(finding, Failure):
            with self._ledger.read() as transaction:
                now = rounds.again(transaction, copy)
            seen_again = look() if now is not None else None
            finding = None if now is None or seen_again is None else judge(now, seen_again)
        return finding

    def _enter(self, *, deep: bool) -> Round:
        """The round that is under way, or a new one; a dry run has one of its own that nobody remembers."""
        if self._terms.dry_run:
            time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            return Round(0, self._store.name, deep, time, time, None, "", 0, 0, 0)
        with self._ledger.write() as transaction:
            found = rounds.enter(transaction, self._store.name, deep=deep)
        self._report.resumed |= found.files > 0
        return found

    def _end(self, current: Round) -> None:
        if not self._terms.dry_run:
            with self._ledger.write() as transaction:
                rounds.end(transaction, current)

    def _enter_found(self, current: Round, found: Sequence[Finding], files: int, after: str, size: int = 0) -> Round:
        """Note what was found, and that the round came on."""
        trips = self._count(found)
        if self._terms.dry_run:
            return current
        failed = sum(isinstance(each, Failure) for each in found)
        with self._ledger.write() as transaction:
            if trips:
                told = {"failed": self._brake.failed, "checks": self._brake.checks}
                incidents.open_incident(transaction, brakes.TRIPPED, self._store.name, told)
            self._act(transaction, [action for action in map(decide, found) if action is not None])
            current = rounds.come_on(transaction, current, files=files, size=size, failed=failed, after=after)
        step("verify.noted")
        return current

    def _count(self, found: Sequence[Finding]) -> bool:
        """Count what was found; True if the brakes trip."""
        trips = False
        for finding in found:
            self._report.counts[type(finding).__name__.lower()] += 1
            if isinstance(finding, Failure | Orphan | Returned) and len(self._report.wrong) < _KEPT:
                self._report.wrong.append(finding)
            if isinstance(finding, Failure) and self._terms.dry_run:
                self._failing.add(finding.copy.replica.artifact)
            if not isinstance(finding, Orphan):
                trips |= self._brake.check(failed=isinstance(finding, Failure))
        return trips

    def _act(self, transaction: Connection, actions: Sequence[Action]) -> None:
        told = not self._brake.tripped  # one incident stands for all of them
        right = [(each.copy.replica, each.fingerprint) for each in actions if isinstance(each, Acquit)]
        replicas.mark_right(transaction, right)
        back = [each.copy.replica.artifact for each in actions if isinstance(each, Acquit) and each.back]
        losses.found_again(transaction, back)
        for each in actions:
            artifact, store = each.copy.replica.artifact, each.copy.store
            match each:
                case Condemn(_, found):
                    replicas.mark_bad(transaction, artifact, store, found, told=told)
                case Miss():
                    replicas.mark_absent(transaction, artifact, store, told=told)
                case Tell(copy, why) if told:
                    incidents.open_incident(transaction, "unreadable-copy", copy.uri, {"store": store, "found": why})

    def _spent(self, count: int) -> bool:
        """Whether so much was looked at, with ``count`` more, as was asked for."""
        if self._left is not None:
            self._left -= count
            if self._left <= 0:
                self._report.whole = False
                return True
        return False


def _at_once(due: Sequence[Copy]) -> Sequence[Copy]:
    """As many of them as are read before the ledger hears of it."""
    size = 0
    for count, copy in enumerate(due, start=1):
        size += copy.size
        if size > _BATCH_BYTES:
            return due[:count]
    return due


def _threads() -> int:
    return min(4, len(os.sched_getaffinity(0)))
