"""The query log: who asked what, when, how long it took and how it ended (DMS-REQ-0345).

In the embedded deployment it is a SQLite file of its own, so that writing it never makes the ledger wait; entries
are written in batches by a thread, so that no answer waits for it either. While the database cannot be reached entries
wait; only when very many do are further ones given up.
"""

from __future__ import annotations

import atexit
import logging
import queue
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa

from archive.faults import Fault
from archive.ledger.connections import WRITES, connected
from archive.ledger.database import stamp
from archive.ledger.layouts import Layout, ready
from archive.ledger.saved import Answered

_BATCH_SECONDS = 1.0
_MOST_WAITING = 10_000  # entries; beyond it the asker waits a while, so that none is lost
_PATIENCE = 5.0  # seconds

_log = logging.getLogger(__name__)

metadata = sa.MetaData()

LAYOUT = Layout("queries", metadata, 2, mark="query_log")

queries = sa.Table(
    "query_log",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("request", sa.Text, nullable=False, doc="identifier in the request's log lines, or of the job"),
    sa.Column("owner", sa.Text, doc="who asked; NULL where nobody said"),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("face", sa.Text, nullable=False, doc="sync, async, portal, ..."),
    sa.Column("language", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("submitted", sa.Text, nullable=False),
    sa.Column("seconds", sa.Double, nullable=False, doc="from submission to the last byte"),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("token", sa.Text, index=True),
    sa.Column("digest", sa.Text, doc="of the rows, in any order; NULL where there is no token"),
    sa.Column("outcome", sa.Text, nullable=False, doc="OK, OVERFLOW, GONE, LOST, or a fault's DALI word"),
    sa.Column("message", sa.Text),
    sa.Index("query_log_by_time", "submitted"),
    sa.Index("query_log_by_owner", "owner", "submitted"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One query as it ended."""

    request: str
    address: str
    agent: str
    face: str
    language: str
    text: str
    submitted: datetime
    seconds: float
    rows: int
    bytes: int
    outcome: str
    owner: str | None = None
    token: str | None = None
    digest: str | None = None
    message: str | None = None


class QueryLog:
    """The log at a SQLAlchemy URL; made if it is not there. Safe for threads, not across a fork."""

    def __init__(self, url: str) -> None:
        self._engine = connected(url)
        ready(self._engine, LAYOUT)
        self._waiting: queue.Queue[Entry] = queue.Queue(_MOST_WAITING)
        self._next: list[Entry] = []  # the batch to be written, also if it could not be the last time
        self._ended = threading.Event()
        self._writer = threading.Thread(target=self._write_on, name="query-log", daemon=True)
        self._writer.start()
        atexit.register(self.close)

    def note(self, entry: Entry) -> None:
        """Log ``entry``; it is on disk within about a second."""
        try:
            self._waiting.put(entry, timeout=_PATIENCE)
        except queue.Full:
            _log.error("query of request %s cannot be logged: too many wait for that", entry.request)

    def latest(self, limit: int, owner: str | None = None) -> Sequence[sa.RowMapping]:
        """The newest entries, newest first; of one owner where given."""
        statement = sa.select(queries).order_by(queries.c.id.desc()).limit(limit)
        if owner is not None:
            statement = statement.where(queries.c.owner == owner)
        with self._engine.begin() as connection:
            return connection.execute(statement).mappings().all()

    def texts(self, limit: int) -> Sequence[tuple[str, str]]:
        """Different queries that were answered, as (language, text), those asked last first."""
        last = sa.func.max(queries.c.id).label("last")
        statement = (
            sa.select(queries.c.language, queries.c.text)
            .where(queries.c.outcome.in_(("OK", "OVERFLOW")))
            .group_by(queries.c.language, queries.c.text)
            .order_by(last.desc())
            .limit(limit)
        )
        with self._engine.begin() as connection:
            return [(row.language, row.text) for row in connection.execute(statement)]

    def answered(self, token: str) -> Answered | None:
        """The newest whole answer that was given with ``token``, if there is one."""
        statement = (
            sa.select(queries)
            .where(queries.c.token == token, queries.c.digest.is_not(None), queries.c.outcome.in_(("OK", "OVERFLOW")))
            .order_by(queries.c.id.desc())
            .limit(1)
        )
        with self._engine.begin() as connection:
            row = connection.execute(statement).one_or_none()
        if row is None:
            return None
        cut = row.rows if row.outcome == "OVERFLOW" else None
        return Answered(row.token, row.language, row.text, row.submitted, row.rows, row.digest, cut)

    def close(self) -> None:
        """Write what is waiting and stop; may be called twice."""
        if not self._ended.is_set():
            self._ended.set()
            self._writer.join(timeout=10)
            self._write_waiting()
            self._engine.dispose()

    def _write_on(self) -> None:
        while not self._ended.wait(_BATCH_SECONDS):
            self._write_waiting()

    def _write_waiting(self) -> None:
        while len(self._next) < _MOST_WAITING:
            try:
                self._next.append(self._waiting.get_nowait())
            except queue.Empty:
                break
        if not self._next:
            return
        try:
            with self._engine.execution_options(**{WRITES: True}).begin() as connection:
                connection.execute(queries.insert(), [_row(entry) for entry in self._next])
        except Fault as fault:
            _log.warning("%d queries wait to be logged: %s", len(self._next), fault)
        except sa.exc.SQLAlchemyError:
            _log.exception("%d queries wait to be logged", len(self._next))
        else:
            self._next = []


def _row(entry: Entry) -> dict[str, object]:
    return {**asdict(entry), "submitted": stamp(entry.submitted)}
