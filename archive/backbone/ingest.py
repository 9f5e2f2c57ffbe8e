"""Ingest: files become registered products, many at once, each of them whole or not at all.

Bytes first, truth second: files are staged while they are read once, flushed side by side, given their names, and
then one short transaction registers the batch with all that is known of it. A file that is refused stops no other.
Running it again changes nothing.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Self, TypeVar
from urllib.parse import quote

from archive.backbone import reserve
from archive.backbone.endpoint import Endpoint
from archive.backbone.further import Further
from archive.backbone.receiving import Outcome, Received, Request, Status, Terms, receive
from archive.backbone.registering import Registering, Who
from archive.backbone.registrar import sweep_abandoned
from archive.backbone.sources import Stored, Stream
from archive.backbone.steps import step
from archive.backbone.stores import Staged, steps
from archive.documents import near
from archive.faults import FatalFault, Fault, TransientFault, UsageFault
from archive.ledger import activities, arrivals, contents, descriptions, files
from archive.ledger.arrivals import Arrival
from archive.ledger.files import Known
from archive.ledger.processes import Attendance
from archive.products import ProductTypes, product_types
from archive.releases import find

_FOLDER = "products"
_READERS = 4  # files that are read at once
_BATCH_BYTES = 256 << 20  # after so much a batch is ended, so that large files count soon
_FIRST_BATCH = 64  # files
_BATCHES = (16, 256)  # fewest and most files of a batch: enough to flush side by side while the next ones are read
_SECONDS = 0.15  # that the transaction of a batch should take
_STEP = 64 << 20  # bytes claimed at a time for a file whose size nobody knows
_COLLECTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)*")

T = TypeVar("T")

Progress = Callable[[str, int], None]
"""Told as work goes on: "read" and how many more bytes were, "files" and how many more are done."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of all files: how many are new, were known, were restored or refused, and those refused."""

    counts: Mapping[Status, int]
    refused: tuple[Outcome, ...]


def ingest(
    endpoint: Endpoint,
    requests: Sequence[Request],
    *,
    by: str | None = None,
    reason: str | None = None,
    dry_run: bool = False,
    progress: Progress = lambda step, done: None,
    told: Callable[[Outcome], None] = lambda outcome: None,
) -> Ingested:
    """Ingest files in batches; ``told`` hears what became of each once that is certain.

    ``by`` is who does it. With ``dry_run`` everything is checked and nothing is written.

    Raises:
        UsageFault: the terms are wrong for all files.
        TransientFault: there is no room, or the process was taken for dead.
        FatalFault: the store or the ledger fails; what was told before is safe.
    """
    with Intake(endpoint, Who(by, reason), dry_run=dry_run) as intake:
        return intake.take(requests, progress, told)


class Intake:
    """The door for files of one actor. A context manager; several threads may use it at once.

    A process that attends the ledger already gives its ``attendance``; ``who`` may be told for each file instead.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        who: Who | None = None,
        *,
        dry_run: bool = False,
        attendance: Attendance | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._who = who or Who()
        self._dry = dry_run
        self._own = attendance is None
        self._attendance = attendance or endpoint.attend("ingest")
        self._types = product_types(endpoint.config.description_folders)
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        if not self._dry:
            if self._own:
                self._attendance.begin()
            sweep_abandoned(self._endpoint)
        return self

    def __exit__(self, *_: object) -> None:
        if self._own and not self._dry:
            for name in (self._endpoint.store.name, *self._endpoint.config.copies):
                self._endpoint.stores[name].leave(self._attendance.id)
            self._attendance.leave()

    def take(
        self,
        requests: Sequence[Request],
        progress: Progress = lambda step, done: None,
        told: Callable[[Outcome], None] = lambda outcome: None,
        who: Who | None = None,
    ) -> Ingested:
        """As ``ingest``."""
        for terms in {id(each.terms): each.terms for each in requests}.values():
            self._check(terms)
        time = datetime.now(UTC)
        mark = f"{time:%H%M%S}-{self._attendance.id[:8]}-{next(self._numbers)}"
        folder = f"{_FOLDER}/{time:%Y-%m-%d}/{mark}"
        arrival = Arrival(f"{time:%Y%m%dT}{mark}", self._attendance.id, self._endpoint.store.name, folder)
        run = _Run(self._endpoint, self._types, arrival, who or self._who, progress, told, dry=self._dry)
        return run.take(requests)

    def take_one(self, request: Request, who: Who | None = None) -> Outcome:
        """Ingest one file.

        Raises:
            Fault: it is refused.
        """
        found: list[Outcome] = []
        self.take([request], told=found.append, who=who)
        (outcome,) = found
        if outcome.fault is not None:
            raise outcome.fault
        return outcome

    def _check(self, terms: Terms) -> None:
        """Refuse what is wrong for all files."""
        self._types.named(terms.type)
        if not _COLLECTION.fullmatch(terms.collection):
            raise UsageFault(
                f"'{terms.collection}' is no name of a collection.", "Use letters, digits, '.', '_', '+' and '-'."
            )
        if terms.activity is not None:
            with self._endpoint.ledger.read() as transaction:
                activities.check(transaction, {terms.activity.uri: terms.activity})
        folders = self._endpoint.config.description_folders
        if find(terms.release, folders) is not None:
            return
        with self._endpoint.ledger.read() as transaction:
            known = [each.release.name for each in descriptions.newest(transaction)]
        if terms.release not in known:
            known += sorted(path.stem for folder in folders for path in folder.glob("*.yaml"))
            hint = near(terms.release, known) or f"Describe it in {terms.release}.yaml."
            raise UsageFault(f"No release '{terms.release}' is described.", hint)


class _Sized(NamedTuple):
    """A request, how large its file may be, and the ``room`` in bytes that it needs in the store."""

    request: Request
    size: int
    room: int


class _Run:
    """Some files on their way in together."""

    def __init__(
        self,
        endpoint: Endpoint,
        types: ProductTypes,
        arrival: Arrival,
        who: Who,
        progress: Progress,
        told: Callable[[Outcome], None],
        *,
        dry: bool,
    ) -> None:
        self._endpoint = endpoint
        self._types = types
        self._arrival = arrival
        self._registering = Registering(endpoint, arrival, who)
        self._progress = progress
        self._told = told
        self._dry = dry
        self._most = _FIRST_BATCH
        self._claim = _Claim(endpoint, arrival, self._registering.further)
        self._foreseen: dict[str, tuple[str, int]] = {}
        self._counts: Counter[Status] = Counter()
        self._refused: list[Outcome] = []

    def take(self, requests: Sequence[Request]) -> Ingested:
        sized = self._without_kept([each for each in map(self._sized, requests) if each is not None])
        total = sum(each.room for each in sized)
        try:
            if sized:
                self._claim.begin(total, dry=self._dry)
                step("ingest.begun")
                self._take(sized, total)
        finally:
            self._claim.end()
        return Ingested(dict(self._counts), tuple(self._refused))

    def _take(self, sized: Sequence[_Sized], total: int) -> None:
        """While one batch is being registered the next one is read."""
        done, waiting = 0, None
        before: set[str] = set()
        with ThreadPoolExecutor(_READERS) as readers, ThreadPoolExecutor(1) as finisher:
            for batch in self._batches(sized):
                names = {each.request.path for each in batch}
                if names & before:  # what it repeats must be known first
                    _wait(waiting)
                before = names
                received = self._receive([each.request for each in batch], readers)
                done += len(batch)
                total -= sum(each.room for each in batch)
                _wait(waiting)
                waiting = finisher.submit(self._finish, received, None if done == len(sized) else total)
            _wait(waiting)

    def _batches(self, sized: Sequence[_Sized]) -> Iterator[list[_Sized]]:
        """Files in batches that are not too many, not too large, and in which no name comes twice."""
        batch: list[_Sized] = []
        names: set[str] = set()
        load = 0
        for each in sized:
            if batch and (len(batch) >= self._most or load >= _BATCH_BYTES or each.request.path in names):
                yield batch
                batch, names, load = [], set(), 0
            batch.append(each)
            names.add(each.request.path)
            load += each.size
        if batch:
            yield batch

    def _sized(self, request: Request) -> _Sized | None:
        """The request and how large its file may be; None if it is refused already."""
        try:
            _check_name(request)
            size = request.source.size()
        except UsageFault as fault:
            self._tell(Outcome(request, self._uri(request), Status.REFUSED, fault=fault))
            return None
        size = _STEP if size is None else size
        return _Sized(request, size, 0 if isinstance(request.source, Stored) else size)

    def _without_kept(self, sized: Sequence[_Sized]) -> Sequence[_Sized]:
        """Files that are kept already need no room: running a large ingest again must not ask for it twice."""
        with self._endpoint.ledger.read() as transaction:
            kept = files.kept(transaction, [self._uri(each.request) for each in sized])
        return [each._replace(room=0) if self._uri(each.request) in kept else each for each in sized] if kept else sized

    def _receive(self, requests: Sequence[Request], readers: ThreadPoolExecutor) -> list[Received]:
        """Read files side by side; those that are refused are told."""
        with self._endpoint.ledger.read() as transaction:
            known = files.find(transaction, map(self._uri, requests))
            shut = contents.closed(transaction, {request.terms.release for request in requests})

        def receive_one(request: Request) -> Received | Outcome:
            uri = self._uri(request)
            if uri not in known and request.terms.release in shut:  # what is known may come again: it changes nothing
                return Outcome(request, uri, Status.REFUSED, fault=shut[request.terms.release])
            return self._receive_one(request, known.get(uri))

        found = []
        for each in _each(readers, receive_one, requests):
            if isinstance(each, Received):
                found.append(each)
            else:
                self._tell(each)
        return found

    def _receive_one(self, request: Request, known: Known | None) -> Received | Outcome:
        uri = self._uri(request)
        kept = known is not None and known.artifact.place is not None
        in_place = isinstance(request.source, Stored)
        grown = self._claim.growing(known=not isinstance(request.source, Stream) or request.source.size() is not None)

        def progress(size: int) -> None:
            grown(size)
            self._progress("read", size)

        staging = None if self._dry or kept or in_place else self._stage
        try:
            return receive(request, uri, self._types, known, staging, progress)
        except (FatalFault, TransientFault):
            raise
        except Fault as fault:
            return Outcome(request, uri, Status.REFUSED, fault=fault)

    def _stage(self) -> Staged:
        return self._endpoint.store.stage(self._arrival.process)

    def _finish(self, received: Sequence[Received], claimed: int | None) -> None:
        if self._dry:
            outcomes = [self._foresee(each) for each in received]
        else:
            outcomes = self._registering.finish(received, claimed)
            self._claim.over = claimed is None
            self._adapt(len(received), self._registering.seconds)
        for outcome in outcomes:
            self._tell(outcome)

    def _foresee(self, received: Received) -> Outcome:
        """What would become of a file that was only looked at."""
        artifact = received.artifact
        if self._foreseen.setdefault(artifact.uri, artifact.content) != artifact.content:
            fault = UsageFault(f"{artifact.uri} comes twice, with other bytes.", "A name never gets new bytes.")
            return Outcome(received.request, artifact.uri, Status.REFUSED, fault=fault)
        status = Status.KNOWN if received.product is None else Status.NEW
        return Outcome(received.request, artifact.uri, status, artifact)

    def _adapt(self, count: int, seconds: float) -> None:
        """Larger batches while their transactions are short, smaller ones when others would wait."""
        fewest, most = _BATCHES
        if count >= min(self._most, _FIRST_BATCH) // 2:
            wanted = int(count * _SECONDS / max(seconds, 1e-3))
            self._most = max(fewest, min(most, wanted, 2 * self._most))

    def _tell(self, outcome: Outcome) -> None:
        self._counts[outcome.status] += 1
        if outcome.status is Status.REFUSED:
            self._refused.append(outcome)
        self._progress("files", 1)
        self._told(outcome)

    def _uri(self, request: Request) -> str:
        return self._endpoint.uri(quote(request.path, errors="surrogateescape"))


class _Claim:
    """The room that a run has claimed in the store."""

    def __init__(self, endpoint: Endpoint, arrival: Arrival, further: Further) -> None:
        self._endpoint = endpoint
        self._arrival = arrival
        self._further = further
        self._size = 0
        self._lock = threading.Lock()
        self.over = True

    def begin(self, size: int, *, dry: bool) -> None:
        """Claim ``size`` bytes; a dry run only asks whether they could be had."""
        if dry:
            found = reserve.outlook(self._endpoint, self._endpoint.store)
            if found is not None and size > found.room:
                raise reserve.refusal(found, size)
            return
        reserve.claim(self._endpoint, self._endpoint.store, self._arrival, size, new=True)
        self._size, self.over = size, False
        self._further.claim(size, new=True)

    def growing(self, *, known: bool) -> Callable[[int], None]:
        """To be told of each piece of a file; where its size was not ``known``, room is claimed as it comes."""
        room = _STEP

        def grow(more: int) -> None:
            nonlocal room
            room -= more
            if not known and room < 0 and not self.over:
                room += _STEP
                with self._lock:
                    self._size += _STEP
                    reserve.claim(self._endpoint, self._endpoint.store, self._arrival, self._size, new=False)
                    self._further.claim(self._size, new=False)

        return grow

    def end(self) -> None:
        """Give back what is left."""
        if not self.over:
            with self._endpoint.ledger.write() as transaction:
                arrivals.end(transaction, [self._arrival.id, *self._further.ids])


def _each(threads: ThreadPoolExecutor, work: Callable[[Request], T], requests: Sequence[Request]) -> list[T]:
    """``work`` done for each of ``requests``, in their order. A thread takes the next one itself when it has done one:
    to hand over each would cost more than to read a small file. After a failure no more are begun.
    """
    done: dict[int, T] = {}
    waiting = iter(enumerate(requests))

    def take() -> None:
        try:
            for at, request in waiting:
                done[at] = work(request)
        except BaseException:
            for _ in waiting:
                pass
            raise

    for future in [threads.submit(take) for _ in range(min(_READERS, len(requests)))]:
        future.result()
    return [done[at] for at in range(len(requests))]


def _check_name(request: Request) -> None:
    """A name is for ever and stands in URLs, logs and lists: it has no line ends and nothing else that is not seen."""
    try:
        steps(f"{_FOLDER}/2000-01-01/000000-00000000-000000/{request.path}")
        fits = request.path.isprintable()
    except FatalFault:
        fits = False
    if not fits:
        raise UsageFault(
            f"{request.name!r} cannot be a file's name here.",
            "Use signs that can be seen, in UTF-8, at most 255 bytes a step and 900 in all, no '..'.",
        )


def _wait(work: Future[None] | None) -> None:
    if work is not None:
        work.result()
