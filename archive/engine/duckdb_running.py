"""A DuckDB statement under way: its cursor, its end, and what its errors mean to people."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import duckdb
import pyarrow as pa

from archive.engine.watch import Watch, Watched
from archive.faults import FatalFault, Fault, TransientFault, UsageFault

_FEW = 64  # rows that are taken as plain values
_log = logging.getLogger(__name__)

# What is brief is copied once more on its way, which costs less than to plan it twice.
warnings.filterwarnings("ignore", "Arrow output on a DB-API result", UserWarning)


class Running(Watched):
    """One statement on a cursor of its own.

    The database computes in whichever thread asks it, too; so a statement that ``gives_way`` is asked for its rows
    by a thread of its own that gives way, because a thread cannot take that back.
    """

    failures = (duckdb.Error, OSError, pa.ArrowException, RuntimeError)

    def __init__(
        self, cursor: duckdb.DuckDBPyConnection, watch: Watch, seconds: float | None, *, gives_way: bool = False
    ) -> None:
        super().__init__(watch, seconds)
        self._cursor = cursor
        self._porter = ThreadPoolExecutor(1, "patient", give_way) if gives_way else None

    def start(
        self,
        text: str | duckdb.Statement,
        parameters: list[Any],
        batch: int,
        views: Mapping[str, pa.Table],
        *,
        brief: pa.Schema | None = None,
    ) -> None:
        """Send the statement, which may name ``views``; raises the user's faults where the database finds them now.

        ``brief`` are the columns of its rows if they may as well be computed at once.
        """

        def visit() -> None:
            for name, table in views.items():
                self._cursor.register(name, table)
            if brief is None:
                self._reader = self._cursor.sql(text, params=parameters).to_arrow_reader(batch)
                return
            # Not lazy, but planned once instead of twice; should there be many rows, they can go to the disk.
            self._cursor.execute(text, parameters)
            if not self._took_few(brief):
                self._reader = self._cursor.to_arrow_reader(batch)
                self._draw()

        self._inside(visit)

    def _took_few(self, columns: pa.Schema) -> bool:
        """Take the first rows as plain values, if they are such; whether they were all.

        To hand few of them over as Arrow, the database takes longer than it took to find them.
        """
        if not all(map(_is_plain, columns.types)):
            return False
        rows = self._cursor.fetchmany(_FEW)
        if rows:
            cells = zip(*rows, strict=True)
            arrays = [pa.array(each, kind) for each, kind in zip(cells, columns.types, strict=True)]
            self._drawn.append(pa.record_batch(arrays, columns))
        all_there = len(rows) < _FEW
        self._whole = self._closed = all_there
        return all_there

    def _visited(self, visit: Callable[[], Any]) -> Any:
        return visit() if self._porter is None else self._porter.submit(visit).result()

    def _interrupt(self) -> None:
        with suppress(duckdb.ConnectionException):  # it has ended and its cursor is closed already
            self._cursor.interrupt()

    def _free(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._cursor.close()
        if self._porter is not None:
            self._porter.shutdown(wait=False)

    def _meaning(self, error: BaseException) -> Fault:
        return meaning(error)


def _is_plain(kind: pa.DataType) -> bool:
    """Whether values of the type are the same as Python's."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_string(kind))


def give_way(niceness: int = 10) -> None:
    """Let other threads go before this one, for as long as it lives; on Linux each has a priority of its own."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):
            own = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, own + niceness)


_KIND = re.compile(r"(Conversion|Out of Range|Out of Memory|Invalid Input|IO) Error")


def meaning(error: BaseException) -> Fault:
    """What a database error means to the user; the database's own words go to the log only."""
    found = _KIND.search(str(error))
    match found[1] if found else None:
        case "Conversion":
            return UsageFault(
                "A value could not be converted to the type that a CAST or a comparison asks for.",
                "Leave out such rows in WHERE, or convert to a wider type.",
            )
        case "Out of Range":
            return UsageFault(
                "A calculation with integers left the range of its type.",
                "Convert an operand: CAST(x AS BIGINT) or CAST(x AS DOUBLE PRECISION).",
            )
        case "Out of Memory":
            _log.warning("statement out of memory: %s", error)
            return TransientFault(
                "The query needs more memory than it may have.",
                "Sort, group or join fewer rows or columns, or try again when the service is less busy.",
                after=60,
            )
    _log.error("statement failed", exc_info=error)
    return FatalFault("The query failed inside the database.", "The cause is in the log of the service.")
