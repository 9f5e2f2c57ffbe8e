"""A PostgreSQL statement under way: its connection, its end, and what its errors mean to people."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import pyarrow as pa
from adbc_driver_manager import Error
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from archive.engine.ahead import ahead
from archive.engine.watch import Watch, Watched
from archive.faults import FatalFault, Fault, TransientFault, UsageFault

_log = logging.getLogger(__name__)

_BATCH = 2**20  # bytes of rows that the driver gathers before it hands them on
_BATCH_BYTES = {"adbc.postgresql.batch_size_hint_bytes": str(_BATCH)}
FAILURES = (Error, OSError, pa.ArrowException, RuntimeError)
"""What the driver raises."""


class Running(Watched):
    """One statement on a pooled connection.

    A connection on which anything went wrong, or whose statement was cancelled, is not used again: a cancellation
    that arrives late would hit the next statement.
    """

    failures = FAILURES

    def __init__(self, pool: QueuePool, watch: Watch, seconds: float | None, gives_way: bool = False) -> None:
        super().__init__(watch, seconds)
        self._gives_way = gives_way
        try:
            self._connection = pool.connect()
        except PoolTimeout as error:
            raise TransientFault("Too many queries run at the moment.", "Try again in a moment.") from error
        except FAILURES as error:
            raise meaning(error) from error
        self._cursor: Any = self._connection.cursor()

    def start(self, text: str, uploads: Mapping[str, pa.Table], *, brief: bool = False) -> None:
        """Send the statement; raises the user's faults where the database finds them now."""

        def visit() -> None:
            self._send(text, uploads)
            if brief:
                self._draw()

        self._inside(visit)

    def rows(self) -> Iterator[pa.RecordBatch]:
        """As ``batches``, fetched ahead where there are many."""
        return ahead(self.batches(), _BATCH // 2, self.close, lambda: self.reason)

    def lines(self, text: str, uploads: Mapping[str, pa.Table]) -> list[str]:
        """The lines that a statement such as EXPLAIN prints."""
        try:
            self._inside(lambda: self._send(text, uploads, {"adbc.postgresql.use_copy": "false"}))
            return [str(line) for batch in self.batches() for line in batch.column(0).to_pylist()]
        finally:
            self.close()

    def _send(self, text: str, uploads: Mapping[str, pa.Table], options: Mapping[str, str] = _BATCH_BYTES) -> None:
        if uploads:
            self._upload(uploads)
        if self._gives_way:  # the server has no priorities; but what takes one core only leaves the others
            self._cursor.execute("SET LOCAL max_parallel_workers_per_gather = 0")
        self._cursor.adbc_statement.set_options(**options)
        self._cursor.execute(text)
        self._reader = self._cursor.fetch_record_batch()

    def _upload(self, uploads: Mapping[str, pa.Table]) -> None:
        """Temporary tables that go with the transaction; it writes nothing after them."""
        self._cursor.execute("SET TRANSACTION READ WRITE")
        for name, rows in uploads.items():
            self._cursor.adbc_ingest(name, rows, mode="create", temporary=True)
            self._cursor.execute(f'ANALYZE pg_temp."{name}"')
        self._cursor.execute("SET TRANSACTION READ ONLY")

    def _interrupt(self) -> None:
        with suppress(*FAILURES):  # the connection is gone
            self._cursor.adbc_cancel()

    def _free(self) -> None:
        """Give the connection back, or away. In this order: a stream that is not cancelled would be read to its end."""
        if not self._whole:
            self._interrupt()
        if self._reader is not None:
            with suppress(*FAILURES):
                self._reader.close()
        with suppress(*FAILURES):
            self._cursor.close()
        if not self._whole:
            self._connection.invalidate()
        self._connection.close()

    def _meaning(self, error: BaseException) -> Fault:
        return meaning(error)


_STATES = (
    ("conversion", r"22P02|22007|22008|22018|22021|42804", r"invalid input syntax|invalid byte sequence"),
    ("range", r"22003|23514|22P03", r"out of range|violates check constraint"),
    ("memory", r"53[12].*|54001", r"out of memory|No space left|could not write"),
    ("away", r"08.*|57P.*|53300|40.*", r"terminating connection|server closed|connection|SSL|no COPY in progress"),
    ("stopped", r"57014", r"canceling statement"),
    ("gone", r"42P01", r"does not exist"),
    ("domain", r"22.*|2201.*", r"argument"),
)


def kind(error: BaseException) -> str:
    """What sort of error it is. Once a stream has begun errors carry no code, only text."""
    state = getattr(error, "sqlstate", None)
    for name, states, words in _STATES:
        if re.fullmatch(states, state) if state else re.search(words, str(error)):
            return name
    return "other"


def meaning(error: BaseException) -> Fault:
    """What a database error means to the user; the database's own words go to the log only."""
    match kind(error):
        case "conversion":
            return UsageFault(
                "A value could not be converted to the type that a CAST or a comparison asks for.",
                "Leave out such rows in WHERE, or convert to a wider type.",
            )
        case "range":
            return UsageFault(
                "A calculation left the range of its type.",
                "Convert an operand: CAST(x AS BIGINT) or CAST(x AS DOUBLE PRECISION).",
            )
        case "domain":
            return UsageFault("A function was given a value for which it is not defined.", "Leave it out in WHERE.")
        case "memory":
            _log.warning("statement out of memory: %s", error)
            return TransientFault(
                "The query needs more memory than it may have.",
                "Sort, group or join fewer rows or columns, or try again when the service is less busy.",
                after=60,
            )
        case "away":
            _log.warning("the database went away: %s", error)
            return TransientFault("The database cannot be reached at the moment.", "Try again in a moment.")
        case "stopped":
            return TransientFault("The query was stopped.")
        case "gone":
            _log.warning("a table is missing: %s", error)
            return TransientFault("Rows of the query are not at hand.", "Try again in a moment.")
    _log.error("statement failed", exc_info=error)
    return FatalFault("The query failed inside the database.", "The cause is in the log of the service.")
