"""The book: what is noted of every request and every query when it has ended, in the log, the numbers and the
query log.
"""

from __future__ import annotations

import logging
from datetime import datetime

from archive.faults import Fault
from archive.jobs import Job
from archive.ledger.querylog import Entry, QueryLog
from archive.metrics import Metrics
from archive.visits import Asked, Visit

GONE = "GONE"
LOST = "LOST"

_SLOW = 1.0  # seconds; requests that took longer are told even where nothing was asked
_log = logging.getLogger(__name__)


class Book:
    """Where ``metrics`` and ``queries`` are kept; without ``queries`` nothing is written down of texts."""

    def __init__(self, metrics: Metrics, queries: QueryLog | None = None) -> None:
        self.metrics = metrics
        self._queries = queries

    def visit_began(self, visit: Visit) -> None:
        """A request has come in."""
        self.metrics.request_began()

    def visit_ended(self, visit: Visit) -> None:
        """A request has been answered, or its client has gone."""
        face = _face(visit)
        self.metrics.request_ended(face, visit.method, visit.status, visit.seconds, visit.bytes)
        told = {
            "request": visit.id,
            "face": face,
            "method": visit.method,
            "path": visit.path,
            "status": visit.status,
            "seconds": round(visit.seconds, 4),
            "bytes": visit.bytes,
            "address": visit.address,
        }
        asked = visit.asked
        if asked is not None:
            outcome = _outcome(asked, gone=visit.gone)
            told |= {"outcome": outcome, "rows": _rows(asked)}
            self.metrics.query_left()
            self._note(
                asked, visit.submitted, visit.seconds, visit.bytes, outcome, visit.id, visit.address, agent=visit.agent
            )
        worth_telling = asked is not None or visit.status >= 400 or visit.seconds > _SLOW
        _log.log(logging.INFO if worth_telling else logging.DEBUG, "request", extra=told)

    def query_began(self, visit: Visit, asked: Asked) -> None:
        """A request turned out to be a query; it is noted when the visit ends."""
        visit.asked = asked
        self.metrics.query_began()

    def job_ended(self, job: Job, asked: Asked, seconds: float, size: int, *, stopped: bool) -> None:
        """The query of a job has ended, in its runner; ``stopped`` if from outside."""
        outcome = _outcome(asked, gone=stopped)
        told = {"job": job.id, "seconds": round(seconds, 4), "rows": _rows(asked), "outcome": outcome}
        _log.info("job", extra=told)
        self._note(
            asked, job.started or job.created, seconds, size, outcome, job.id, job.client.address, job.client.owner
        )

    def job_lost(self, job: Job, asked: Asked) -> None:
        """The runner of a job has died amid its query; whoever found that notes it in its stead."""
        began, ended = job.started or job.created, job.ended or job.created
        seconds = max(0.0, (ended - began).total_seconds())
        _log.info("job", extra={"job": job.id, "seconds": round(seconds, 4), "rows": 0, "outcome": LOST})
        self._note(asked, began, seconds, 0, LOST, job.id, job.client.address, job.client.owner)

    def close(self) -> None:
        """Nothing more will be noted: what waits to be written is written now."""
        if self._queries is not None:
            self._queries.close()

    def _note(
        self,
        asked: Asked,
        submitted: datetime,
        seconds: float,
        size: int,
        outcome: str,
        request: str,
        address: str,
        owner: str | None = None,
        agent: str = "",
    ) -> None:
        fault = _fault(asked)
        self.metrics.query_ended(asked.face, outcome, _rows(asked), fault)
        if self._queries is None:
            return
        token = None if asked.result is None else asked.result.token
        self._queries.note(
            Entry(
                request=request,
                address=address,
                agent=agent,
                face=asked.face,
                language=asked.language,
                text=asked.text,
                submitted=submitted,
                seconds=seconds,
                rows=_rows(asked),
                bytes=size,
                outcome=outcome,
                owner=owner,
                token=token,
                digest=None if token is None or asked.result is None else str(asked.result.digest),
                message=None if fault is None else str(fault),
            )
        )


def _face(visit: Visit) -> str:
    """What the request was for, in few words: the first two steps of its path, without names of jobs and tables."""
    if visit.status == 404:
        return "nothing"
    steps = visit.path.strip("/").split("/")
    return "/".join(steps[:2] if steps[0] == "tap" else steps[:1]) or "portal"


def _fault(asked: Asked) -> Fault | None:
    return asked.fault or (asked.result.fault if asked.result is not None else None)


def _outcome(asked: Asked, *, gone: bool) -> str:
    fault = _fault(asked)
    if gone:
        return GONE
    if fault is not None:
        return fault.dali
    return "OVERFLOW" if asked.result is not None and asked.result.overflowed else "OK"


def _rows(asked: Asked) -> int:
    return asked.result.rows if asked.result is not None else 0
