"""Queries as jobs: what a runner does for one, and which lane it is for."""

from __future__ import annotations

import time
from dataclasses import replace

from archive.book import Book
from archive.dali import Parameters
from archive.engine.contract import Stop
from archive.faults import Fault
from archive.jobs import Desk, Ending, Job, Lane
from archive.query import Question, Upload
from archive.results import Envelope, Result, descriptors, encode
from archive.serving import Serving
from archive.tap.request import TapRequest
from archive.tap.uploads import Allowance, taken
from archive.visits import Asked

_MARGIN = 2.0  # seconds that the engine lets a statement run beyond its job: it is the runner that ends a job

# Rows that a job of the short lane may read: what the embedded engine scans and sorts within half a minute.
_SHORT_ROWS = 10_000_000


class TapTask:
    """Answers the query of a job, stores the answer as its result and notes it in the book."""

    def __init__(self, serving: Serving, book: Book) -> None:
        self._serving = serving
        self._book = book

    def __call__(self, desk: Desk) -> None:
        """Raises the fault that the query ends in."""
        request = _request(desk.job)
        began = time.monotonic()
        asked = Asked("async", request.language, request.query)
        desk.on_end(lambda ending: self._note(desk, asked, time.monotonic() - began, ending))
        self._answer(desk, request, asked)

    def _note(self, desk: Desk, asked: Asked, seconds: float, ending: Ending) -> None:
        asked.fault = None if ending.failure is None else ending.failure.fault()
        size = sum(product.size for product in desk.products)
        self._book.job_ended(desk.job, asked, seconds, size, stopped=ending.stopped)
        if ending.last:
            self._book.close()

    def _answer(self, desk: Desk, request: TapRequest, asked: Asked) -> None:
        stop = Stop()
        desk.on_stop(stop.pull)
        uploads = _uploads(self._serving, request, desk.job)
        question = replace(_question(self._serving, request, desk.job), uploads=uploads, stop=stop)
        asked.result = result = desk.counted(self._serving.answer(question))
        if not request.uploads:
            result.onward = lambda last: f"send the query again with CONTINUE={last}"
        form = request.format
        written = encode(result, form, self._envelope(result))
        desk.write("result", form.content_type, form.extension, written, lambda: result.token)

    def _envelope(self, result: Result) -> Envelope:
        """The descriptor of DataLink, where it is known by which address users reach the service."""
        base = self._serving.config.public_url or self._serving.site.public_url
        if base is None:
            return Envelope()
        return Envelope(resources=descriptors.linked(result.columns, f"{base.rstrip('/')}/datalink/links"))


def asked_by(job: Job) -> Asked:
    """What a job asked, for whoever notes how it ended; its failure is why."""
    given = Parameters.of_pairs((parameter.name, parameter.value) for parameter in job.parameters)
    language, query = ("; ".join(given.every(name)) for name in ("LANG", "QUERY"))
    return Asked("async", language, query, fault=None if job.failure is None else job.failure.fault())


class TapLane:
    """Tells which lane a job is for, from what its query would read."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def __call__(self, job: Job) -> Lane:
        """A query that is wrong fails at once: it is short. So is one with uploads, which are not read for this."""
        try:
            prepared = self._serving.prepare(_question(self._serving, _request(job), job))
        except Fault:
            return Lane.SHORT
        return Lane.SHORT if prepared.reads <= _SHORT_ROWS else Lane.LONG


def _request(job: Job) -> TapRequest:
    return TapRequest.read(Parameters.of_pairs((parameter.name, parameter.value) for parameter in job.parameters))


def _uploads(serving: Serving, asked: TapRequest, job: Job) -> tuple[Upload, ...]:
    """The job's uploads: what was sent lies beside it, what stands elsewhere is fetched now."""
    wanted = {source.part for source in asked.uploads}
    stored = {p.name: p.file.read_bytes() for p in job.parameters if p.file is not None and p.name in wanted}
    return taken(asked.uploads, stored, Allowance.of(serving.config))


def _question(serving: Serving, asked: TapRequest, job: Job) -> Question:
    config = serving.config
    return Question(
        query=asked.query,
        language=asked.language,
        maxrec=asked.maxrec,
        seconds=job.duration + _MARGIN if job.duration else None,
        default_maxrec=config.default_maxrec,
        hard_maxrec=config.hard_maxrec,
        begin=asked.begin,
        at=asked.at,
    )
