"""``Serving``: the ledger and the engine of one serving process, and what this process is still answering from.

An edition may be removed once no process serves it; so each process says in the ledger, every few seconds, which
is the oldest revision it still answers from (design section 5). It is here too that queries take turns.
"""

from __future__ import annotations

import atexit
import datetime
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

import pyarrow as pa

from archive import inventory, standing
from archive.config import Config
from archive.engine.contract import Engine, Stop
from archive.engine.duckdb_running import give_way
from archive.faults import Fault
from archive.foresight import Ahead
from archive.inventory import Inventory
from archive.ledger import Ledger, Published
from archive.query import Prepared, Question, prepare, run
from archive.results import Result
from archive.tables import Catalog
from archive.turns import Turns

_log = logging.getLogger(__name__)


class Load:
    """How many things this process is at work on, on the average. Safe for threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._now = 0
        self._spent = 0.0  # seconds of all together, since it was last asked
        self._asked = self._counted = clock()

    def change(self, by: int) -> None:
        """One more (1) is begun, or one is done (-1)."""
        with self._lock:
            self._count()
            self._now += by

    def mean(self) -> float:
        """How many there were, on the average since this was last asked."""
        with self._lock:
            self._count()
            seconds, spent = self._counted - self._asked, self._spent
            self._asked, self._spent = self._counted, 0.0
            return spent / seconds if seconds > 0 else float(self._now)

    def _count(self) -> None:
        time = self._clock()
        self._spent += self._now * (time - self._counted)
        self._counted = time


class Serving:
    """Answers questions and keeps account of the revisions under way. Shared by all threads of a process.

    ``short`` and ``long`` are the turns of those that wait for their answers; ``requests`` is told by whoever takes
    requests how many there are, so that what can wait lets them go first. ``base`` tells the public URL of the archive,
    for addresses in rows.
    """

    def __init__(self, config: Config, ledger: Ledger, engine: Engine) -> None:
        self.config = config
        self.site = ledger.site()
        self._ledger = ledger
        self._engine = engine
        self.since = datetime.datetime.now(datetime.UTC)
        self.short = Turns(config.short_queries, config.short_queries_each, config.turn_seconds)
        self.long = Turns(config.long_queries, config.long_queries_each, config.turn_seconds)
        self.requests = Load()
        self._queries = Load()
        self._under_way: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._inventory = Inventory(ledger, config.editions, self._compact_soon)
        self._compacting = threading.Lock()
        self.base: Callable[[], str | None] = self.usual_base

    def usual_base(self) -> str | None:
        """The public URL of the archive where no request tells it."""
        return self.config.public_url or self.site.public_url or self.config.served_url

    def attend(self, role: str = "serve") -> Callable[[], None]:
        """Enter this process in the ledger until it ends; nothing it answers from is taken away meanwhile.

        Returns what leaves the ledger earlier; a process that ends without ceremony calls it.
        """
        attendance = self._ledger.attend(role, self.config.heartbeat, self.oldest_revision, self.busy)
        attendance.begin()
        atexit.register(attendance.leave)
        return attendance.leave

    def catalog(self) -> Catalog:
        """What is published and listed now, TAP_SCHEMA included."""
        return standing.shelf(self._ledger.published(), listed=True).shown

    def prepare(self, question: Question) -> Prepared:
        """As ``query.prepare``: ``question`` understood against what is published now, and not asked."""
        return self._prepared(question, self._ledger.published())

    def answer(self, question: Question) -> Result:
        """As ``query.answer``; until the result is closed this process serves the revision it began with.

        A question with an asker takes turns with others: its statement starts and its rows come when it has one.

        Raises:
            TransientFault: no turn came in time.
        """
        published = self._ledger.published()
        leave = self._enter(published)
        try:
            result = self._answered(self._prepared(question, published))
        except BaseException:
            leave()
            raise
        close = result.close

        def close_and_leave() -> None:
            try:
                close()
            finally:
                leave()

        result.close = close_and_leave
        return result

    def _prepared(self, question: Question, published: Published) -> Prepared:
        if question.base is None:
            question = replace(question, base=self.base())
        return prepare(question, published, self._inventory)

    def _compact_soon(self) -> None:
        """Make editions of the inventory anew beside what is going on, unless that is being done."""
        if self._compacting.acquire(blocking=False):
            threading.Thread(target=self._compact, name="compacting", daemon=True).start()

    def _compact(self) -> None:
        try:
            give_way()
            inventory.compact(self._ledger, self._engine, self.config.editions, self.config.grace)
        except Exception:  # rows are read from the ledger as before; the next query tries again
            _log.warning("editions of the inventory were not made", exc_info=True)
        finally:
            self._compacting.release()

    def _answered(self, prepared: Prepared) -> Result:
        asker, stop = prepared.question.asker, prepared.question.stop or Stop()
        if asker is None:
            return run(prepared, self._engine)
        turns = self.long if prepared.is_long else self.short
        with turns.taken(asker, stop):
            result = run(prepared, self._engine)
        if result.at_hand:
            return result

        def turn() -> AbstractContextManager[None]:
            return turns.taken(asker, stop, patient=True)

        result.batches = _in_turn(result.batches, turn)
        if isinstance(result.foresight, Ahead):
            result.foresight.turn = turn
        return result

    def ailments(self) -> tuple[str, ...]:
        """What keeps this process from answering, in words for users; empty when it works. Really asks."""
        try:
            result = self.answer(Question("SELECT COUNT(*) AS n FROM TAP_SCHEMA.schemas", seconds=10))
            try:
                sum(batch.num_rows for batch in result.batches)
            finally:
                result.close()
        except Fault as fault:
            return (str(fault),)
        except Exception:
            _log.exception("the service does not work")
            return ("The service cannot answer queries at the moment.",)
        return ()

    def busy(self) -> float:
        """How many requests or queries this process was at work on, on the average since this was last asked."""
        return max(self.requests.mean(), self._queries.mean())

    def oldest_revision(self) -> int:
        """The oldest revision that a query under way may be reading; the newest when none is."""
        newest = self._ledger.published().revision
        with self._lock:
            return min((newest, *self._under_way))

    def _enter(self, published: Published) -> Callable[[], None]:
        revision = published.revision
        with self._lock:
            self._under_way[revision] += 1
        self._queries.change(1)
        left = threading.Event()

        def leave() -> None:
            with self._lock:
                if left.is_set():
                    return
                left.set()
                self._under_way[revision] -= 1
                if not self._under_way[revision]:
                    del self._under_way[revision]
            self._queries.change(-1)

        return leave


def _in_turn(
    batches: Iterator[pa.RecordBatch], turn: Callable[[], AbstractContextManager[None]]
) -> Iterator[pa.RecordBatch]:
    """``batches``, each of them computed in a turn."""
    while True:
        with turn():
            batch = next(batches, None)
        if batch is None:
            return
        yield batch
