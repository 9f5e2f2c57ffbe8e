"""``answer``: the only way to ask. Whatever face a query came in by, it becomes one tree and passes through here.

The route: parse (if it is text), resolve against what is published at one ledger revision, adapt names of other
schema versions, lay on the limits, run on the engine, and hand back a ``Result`` that knows its columns, its notes
and whether rows were cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from archive import onward, regions, repeats, standing
from archive.adql import bound, parse, resolve, tree
from archive.adql.adapt import adapt
from archive.adql.resolve import expand
from archive.engine.contract import Bindings, Engine, Limits, Stop, Stream
from archive.faults import UsageFault
from archive.foresight import Ahead
from archive.inventory import Inventory, is_listed, with_inventory
from archive.ledger.contents import gone
from archive.repeats import Token
from archive.results.digest import Digest
from archive.results.result import Result
from archive.tables import Catalog, Schema, Table
from archive.weight import rows_read

if TYPE_CHECKING:
    from archive.ledger import Ledger, Published

UPLOADS = "TAP_UPLOAD"

_OPEN = "rows were cut off, and without an ORDER BY in which no two are alike it is open which"
_MUCH = 1_000_000  # rows; to read more is long work
_LITTLE = 20_000  # rows; to read or to give no more is done at once


@dataclass(frozen=True, slots=True)
class Upload:
    """A table that came with the request; visible as ``TAP_UPLOAD.<name>`` for this query only."""

    table: Table
    rows: pa.Table


@dataclass(frozen=True, slots=True)
class Question:
    """One query and how it wants to be answered.

    ``maxrec`` None means the service's default; 0 asks for the columns alone. ``seconds`` is the longest the
    statement may run. TAP_SCHEMA is exempt from the default limit (clients read it whole), not from ``hard_maxrec``.
    ``begin`` is the place in the order of its rows after which the answer begins, ``at`` the token of an earlier answer
    that is to be had again. ``base`` is the public URL of the service as the asker knows it, for addresses in rows.
    ``asker`` is the address that waits for the answer; None where nobody does. ``stop`` is pulled when nobody wants
    the answer any more. ``insider`` is asked where only staff may have the answer: whether who asks is one of them.
    """

    query: str | tree.Query
    language: str = "ADQL"
    maxrec: int | None = None
    seconds: float | None = None
    default_maxrec: int | None = None
    hard_maxrec: int | None = None
    uploads: tuple[Upload, ...] = field(default=())
    asker: str | None = None
    stop: Stop | None = None
    begin: onward.Place | None = None
    at: Token | None = None
    base: str | None = None
    insider: Callable[[], bool] = lambda: False

    @property
    def text(self) -> str:
        return self.query if isinstance(self.query, str) else self.query.text


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question understood: its bound tree and where the rows lie, all of one ledger revision.

    ``reads`` is about how many rows it will read. The answer has a ``token`` unless there is an ``obstacle``.
    """

    question: Question
    query: bound.Bound
    bindings: Bindings
    revision: int
    reads: float
    token: Token | None = None
    obstacle: str = ""

    @property
    def is_long(self) -> bool:
        """Whether it reads so much that what reads little goes before it."""
        return self.reads > _MUCH

    def is_brief(self, most: int | None) -> bool:
        """Whether it reads or, being given ``most`` rows, gives so little that its answer is computed at once.

        Not where it reads much: of rows that are asked for one by one, it may need few.
        """
        few = (rows for rows in (self.reads, most, self.query.body.top) if rows is not None)
        return not self.is_long and min(few) <= _LITTLE


def answer(question: Question, ledger: Ledger, engine: Engine) -> Result:
    """Answer ``question`` from what is published now.

    Rows come lazily; the caller iterates ``batches`` and calls ``close``. Raises ``UsageFault`` for a query that
    is wrong and ``TransientFault`` where waiting may help; later faults come out of ``batches``.
    """
    return run(prepare(question, ledger.published(), Inventory(ledger)), engine)


def run(prepared: Prepared, engine: Engine) -> Result:
    """As ``answer``, for a question that is understood."""
    question = prepared.question
    limit = _row_limit(question, prepared.query)
    if limit == 0:
        return _columns_only(question, prepared.query)
    # One row more than asked for tells a cut answer from one that ends just there.
    rows = None if limit is None else limit + 1
    limits = Limits(rows, question.seconds, question.stop, gives_way=prepared.is_long, brief=prepared.is_brief(rows))
    stream = engine.run(prepared.query, prepared.bindings, limits)
    result = _result(prepared, stream, limit)
    if not result.at_hand:
        result.foresight = Ahead(engine, prepared.query, prepared.bindings, limits, limit)
    return result


def prepare(question: Question, published: Published, inventory: Inventory | None = None) -> Prepared:
    """Understand ``question`` against ``published``, and the ``inventory`` if there is one, without running it.

    Raises:
        UsageFault: the text is not ADQL, or names or types do not fit; place and remedy are in the message.
        NotFound: it asks for a release that was withdrawn, and who asks is none of the staff.
    """
    parsed = parse(question.query, question.language) if isinstance(question.query, str) else question.query
    name = repeats.hash_of(question.text, question.language)
    if question.at is not None and question.at.query != name:
        raise UsageFault("The token belongs to another query.", "Send it with the text that it was given for.")
    at_hand = standing.shelf(published, listed=inventory is not None)
    catalog = at_hand.catalog if question.at is None else question.at.catalog(at_hand.catalog)
    if inventory is not None:
        catalog = with_inventory(catalog, question.base)
    query = adapt(resolve(parsed, _with_uploads(catalog, question.uploads)), expand)
    _check_shown(question, query, published)
    obstacle = repeats.obstacle(parsed, query, uploads=bool(question.uploads), kept=published.states.keys())
    token = None if obstacle else question.at or repeats.token_of(query, name, catalog, published)
    if question.begin is not None:
        token, obstacle = None, obstacle or "it goes on where another one was cut"
        query = onward.after(query, question.begin)
    bindings = _bindings(query, published, at_hand.rows, question, inventory)
    return Prepared(question, query, bindings, published.revision, rows_read(query, bindings), token, obstacle)


def _check_shown(question: Question, query: bound.Bound, published: Published) -> None:
    asked = {(table.rows_of or key)[0] for key, table in query.tables.items()}
    for name in sorted(asked & published.withdrawn.keys()):
        if not question.insider():
            raise gone(published.withdrawn[name])


def _with_uploads(catalog: Catalog, uploads: tuple[Upload, ...]) -> Catalog:
    if not uploads:
        return catalog
    return catalog.with_schema(Schema(UPLOADS, tuple(upload.table for upload in uploads)))


def _bindings(
    query: bound.Bound,
    published: Published,
    standing_rows: Mapping[tuple[str, str], pa.Table],
    question: Question,
    inventory: Inventory | None,
) -> Bindings:
    uploaded = {upload.table.key: upload.rows for upload in question.uploads}
    editions = {}
    for key, table in query.tables.items():
        if (edition := published.editions.get(table.rows_of or key)) is not None:
            editions[key] = edition
    known = [key for key in query.tables if is_listed(key) and key not in editions]
    listed = inventory.now(known) if inventory is not None else {}
    arrow = {
        key: uploaded[key] if key in uploaded else standing_rows[key]
        for key in query.tables
        if key not in editions and key not in listed
    }
    states = {} if question.at is None else repeats.states_asked(query, published, question.at)
    return Bindings(editions, arrow, states, listed)


def _row_limit(question: Question, query: bound.Bound) -> int | None:
    """The most rows this answer may have (TAP 1.1 section 2.7.4): MAXREC or the default, capped by the hard limit."""
    wanted = question.maxrec
    if wanted is None and not (query.tables and all(standing.is_standing(key) for key in query.tables)):
        wanted = question.default_maxrec
    if wanted is None or question.hard_maxrec is None:
        return wanted if wanted is not None else question.hard_maxrec
    return min(wanted, question.hard_maxrec)


def _columns_only(question: Question, query: bound.Bound) -> Result:
    """The answer to MAXREC=0 (DALI 1.1 section 3.4.4): columns, no rows, the overflow mark; nothing is run."""
    columns = regions.all_told(query.columns)
    return Result(columns, iter(()), overflowed=True, notes=query.notes, query=question.text or None)


def _result(prepared: Prepared, stream: Stream, limit: int | None) -> Result:
    question, query = prepared.question, prepared.query
    result = Result(
        columns=regions.all_told(stream.columns),
        batches=iter(()),
        close=stream.close,
        notes=query.notes,
        query=question.text or None,
        at_hand=stream.whole,
        token=None if prepared.token is None else str(prepared.token),
        obstacle=prepared.obstacle,
        digest=Digest(repeats.computed(query)),
    )
    batches = stream.batches if limit is None else _cut(stream, limit, result, query)
    result.batches = regions.rows_told(stream.columns, batches)
    return result


def _cut(stream: Stream, limit: int, result: Result, query: bound.Bound) -> Iterator[pa.RecordBatch]:
    """The first ``limit`` rows; marks the result as overflowed only if there were more, and where they would begin."""
    left, last, order = limit, None, onward.total_order(query)
    for batch in stream.batches:
        if batch.num_rows > left:
            result.overflowed = True
            last = batch.slice(left - 1, 1) if left else last
            result.last = None if last is None else onward.place_of(last, order)
            if result.token is not None and not onward.is_ordered(query.body):
                result.token, result.obstacle = None, _OPEN
            if left:
                yield batch.slice(0, left)
            stream.close()
            return
        left -= batch.num_rows
        if batch.num_rows:
            last = batch.slice(batch.num_rows - 1)
        yield batch
