"""The duties of an engine (design section 5): the short list of what differs between databases."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from archive.adql.bound import Bound
from archive.columns import Column
from archive.engine.listed import Listed
from archive.tables import Edition, Table

SINCE = "_since"
"""The internal column of an edition that tells with which state of the table a row came; its physical name too."""


class Stop:
    """A cord by which another thread stops a query, whatever it is doing: also before its first row is there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._actions: list[Callable[[], None]] = []
        self._pulled = False

    @property
    def pulled(self) -> bool:
        return self._pulled

    def pull(self) -> None:
        """Stop what hangs on it, now and later; may be pulled twice."""
        with self._lock:
            self._pulled = True
            actions, self._actions = self._actions, []
        for action in actions:
            action()

    def then(self, action: Callable[[], None]) -> None:
        """Have ``action`` done when the cord is pulled; at once if it has been."""
        with self._lock:
            if not self._pulled:
                self._actions.append(action)
                return
        action()


@dataclass(frozen=True, slots=True)
class Limits:
    """How far an engine may go.

    ``rows``: most rows to deliver (None: all); ``seconds``: most time to run, waiting for the client not counted;
    ``stop``: pulled when nobody wants the rows any more; ``gives_way``: the statement reads much, and others that
    read little go before it; ``brief``: it reads so little that its rows may as well be computed before the first
    is handed out.
    """

    rows: int | None = None
    seconds: float | None = None
    stop: Stop | None = None
    gives_way: bool = False
    brief: bool = False


@dataclass(frozen=True, slots=True)
class Bindings:
    """Where the rows of a query's tables lie: an edition, or Arrow given with the request (uploads, TAP_SCHEMA).

    Arrow tables have the described columns, in order, by position. Of a table in ``states`` only the rows count that
    were there at that state; its edition shows a later one, and holds ``SINCE``. ``listed`` are tables over the ledger.
    """

    editions: Mapping[tuple[str, str], Edition] = field(default_factory=dict)
    arrow: Mapping[tuple[str, str], pa.Table] = field(default_factory=dict)
    states: Mapping[tuple[str, str], int] = field(default_factory=dict)
    listed: Mapping[tuple[str, str], Listed] = field(default_factory=dict)

    @property
    def sole(self) -> Edition | None:
        """The edition that is all there is to read, as it is; None if there is more."""
        if len(self.editions) != 1 or self.arrow or self.states or self.listed:
            return None
        return next(iter(self.editions.values()))


@dataclass(slots=True)
class Stream:
    """Rows under way. Batches have exactly the Arrow types of the bound query's columns, by position.

    ``close`` stops the statement within a second, from any thread, and frees everything; it may be called
    twice. After it, or when time is over, ``batches`` raises the fault that tells why. ``whole``: the rows are at
    hand, and the database has nothing more to do for them.
    """

    columns: tuple[Column, ...]
    batches: Iterator[pa.RecordBatch]
    close: Callable[[], None]
    whole: bool = False


class Engine(Protocol):
    """What every engine must do; ``tests/contract/`` holds each to it.

    ``foresees``: a statement about the rows of another one, under way beside it, costs it little.
    """

    name: str
    foresees: bool = False

    def run(self, query: Bound, bindings: Bindings, limits: Limits) -> Stream:
        """Start ``query`` and return its rows as a lazy stream.

        Raises the user's faults before the first batch where possible; never leaks the database's message.
        """
        ...

    def sql(self, query: Bound, bindings: Bindings) -> str:
        """The statement that ``run`` would send, for people."""
        ...

    def plan(self, query: Bound, bindings: Bindings) -> str:
        """The database's own plan of the statement, for people."""
        ...

    def build(
        self,
        table: Table,
        number: int,
        parts: Sequence[Path],
        progress: Callable[[int], None] = lambda rows: None,
        since: Sequence[int] = (),
    ) -> Edition:
        """Materialise a table state from its Parquet parts (in order) as edition ``number``; durable on return.

        ``since`` tells for each part the state with which it came: with more than one the edition holds it in a column
        ``SINCE``, so that earlier states can be told apart.

        Idempotent: an unfinished earlier attempt under the same number is replaced.
        """
        ...

    def remove(self, edition: Edition) -> None:
        """Delete an edition's bytes; harmless when they are gone."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...
