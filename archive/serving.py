"""``Serving``: the ledger and the engine of one serving process, and what this process is still answering from.

An edition may be removed once no process serves it; so each process says in the ledger, every few seconds, which
is the oldest revision it still answers from (design section 5).
"""

from __future__ import annotations

import atexit
import datetime
import logging
import threading
from collections import Counter
from collections.abc import Callable

from archive import standing
from archive.config import Config
from archive.engine.contract import Engine
from archive.faults import Fault
from archive.ledger import Ledger
from archive.query import Prepared, Question, answer, prepare
from archive.results import Result
from archive.tables import Catalog

_log = logging.getLogger(__name__)


class Serving:
    """Answers questions and keeps account of the revisions under way. Shared by all threads of a process."""

    def __init__(self, config: Config, ledger: Ledger, engine: Engine) -> None:
        self.config = config
        self.site = ledger.site()
        self._ledger = ledger
        self._engine = engine
        self.since = datetime.datetime.now(datetime.UTC)
        self._under_way: Counter[int] = Counter()
        self._lock = threading.Lock()

    def attend(self, role: str = "serve") -> Callable[[], None]:
        """Enter this process in the ledger until it ends; nothing it answers from is taken away meanwhile.

        Returns what leaves the ledger earlier; a process that ends without ceremony calls it.
        """
        attendance = self._ledger.attend(role, self.config.heartbeat, self.oldest_revision)
        attendance.begin()
        atexit.register(attendance.leave)
        return attendance.leave

    def catalog(self) -> Catalog:
        """What is published and listed now, TAP_SCHEMA included."""
        return standing.shelf(self._ledger.published()).shown

    def prepare(self, question: Question) -> Prepared:
        """As ``query.prepare``: ``question`` understood against what is published now, and not asked."""
        return prepare(question, self._ledger.published())

    def answer(self, question: Question) -> Result:
        """As ``query.answer``; until the result is closed this process serves the revision it began with."""
        leave = self._enter()
        try:
            result = answer(question, self._ledger, self._engine)
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

    def oldest_revision(self) -> int:
        """The oldest revision that a query under way may be reading; the newest when none is."""
        newest = self._ledger.published().revision
        with self._lock:
            return min((newest, *self._under_way))

    def _enter(self) -> Callable[[], None]:
        # Noted before the answer looks: revisions only grow, so the answer's is this one or a newer one.
        revision = self._ledger.published().revision
        with self._lock:
            self._under_way[revision] += 1
        left = threading.Event()

        def leave() -> None:
            with self._lock:
                if left.is_set():
                    return
                left.set()
                self._under_way[revision] -= 1
                if not self._under_way[revision]:
                    del self._under_way[revision]

        return leave
