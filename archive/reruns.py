"""``rerun``: ask again what was asked, as things were and as they are, and tell what became of the answer.

DMS-DBB-REQ-0030: the same rows, or the same and newer ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from archive.columns import Column
from archive.faults import Fault, NotFound
from archive.ledger import Ledger, descriptions, saved
from archive.ledger.querylog import QueryLog
from archive.ledger.saved import Answered, Saved
from archive.query import Question
from archive.repeats import Token
from archive.results import Result
from archive.results.digest import Digest
from archive.results.result import Foresight
from archive.versions import stored_name

_MOST = 20_000_000  # rows that are told apart one by one

Ask = Callable[[Question], Result]
Rows = npt.NDArray[np.uint64]


class Verdict(StrEnum):
    """What became of an answer."""

    IDENTICAL = "identical"
    SUPERSET = "superset"  # the same rows, and others
    DIFFERS = "differs"
    FAILS = "fails"


@dataclass(frozen=True, slots=True)
class Compared:
    """An answer beside the one that was recorded: how many ``rows`` it has, how many of them are new, and how many of
    the old ones are ``gone``; None where that was not looked at.
    """

    verdict: Verdict
    rows: int = 0
    added: int | None = None
    gone: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Rerun:
    """``then``: asked with its token, as things were; ``now``: as they are."""

    then: Compared
    now: Compared


@dataclass(frozen=True, slots=True)
class _Given:
    columns: tuple[tuple[str, str, str | None, str | None], ...]
    digest: str
    count: int
    rows: Rows | None


def recall(ledger: Ledger, log: QueryLog, token: str) -> Answered:
    """What was answered here with ``token``, or is saved under it as its id.

    Raises:
        NotFound: nothing that is known here.
    """
    with ledger.read() as transaction:
        kept = saved.find(transaction, token)
    found = kept.answered if kept is not None else log.answered(token)
    if found is None:
        raise NotFound(
            "No whole answer with this token was given here.",
            "Copy the token whole; an answer is known a few seconds after its last byte.",
        )
    return found


def keep(ledger: Ledger, recorded: Answered, *, author: str, title: str) -> Saved:
    """Save a query that was answered, with what it read."""
    with ledger.write() as transaction:
        schemas = []
        for shown in Token.read(recorded.token).shown:
            described = descriptions.find(transaction, stored_name(shown.schema))
            schemas.append((shown.schema, shown.version, "" if described is None else described.release.version))
        return saved.save(transaction, recorded, schemas, author=author, title=title)


def rerun(recorded: Answered, ask: Ask, *, seconds: float | None = None) -> Rerun:
    """Ask for the ``recorded`` answer again, with its token and without; each may take ``seconds``."""
    plain = Question(recorded.text, recorded.language, maxrec=recorded.cut, seconds=seconds)
    then = _attempt(ask, replace(plain, at=Token.read(recorded.token)))
    if isinstance(then, Fault):
        return Rerun(_failed(then), _alone(recorded, _attempt(ask, plain)))
    same = (then.digest, then.count) == (recorded.digest, recorded.rows)
    verdict = Verdict.IDENTICAL if same else Verdict.DIFFERS
    detail = "" if same else f"it had {recorded.rows} rows with digest {recorded.digest}"
    return Rerun(Compared(verdict, then.count, detail=detail), _compared(then, _attempt(ask, plain)))


def newcomers(recorded: Answered, ask: Ask, *, seconds: float | None = None) -> Result:
    """The rows that the query gives now and did not give then.

    Raises:
        Fault: it cannot be asked any more, as things were or as they are.
    """
    plain = Question(recorded.text, recorded.language, maxrec=recorded.cut, seconds=seconds)
    then = _given(ask(replace(plain, at=Token.read(recorded.token))))
    now = ask(plain)
    known = np.array([], np.uint64) if then.rows is None else then.rows
    return replace(now, batches=_unknown(now, known), token=None, digest=None, foresight=Foresight(), at_hand=False)


def _attempt(ask: Ask, question: Question) -> _Given | Fault:
    try:
        return _given(ask(question))
    except Fault as fault:
        return fault


def _given(result: Result) -> _Given:
    digest = result.digest or Digest()
    rows: list[Rows] = []
    count = 0
    try:
        for batch in result.batches:
            words = digest.add(batch)
            count += batch.num_rows
            if count <= _MOST:
                rows.append(words)
    finally:
        result.close()
    kept = np.concatenate([np.array([], np.uint64), *rows]) if count <= _MOST else None
    return _Given(tuple(map(_face, result.columns)), str(digest), count, kept)


def _face(column: Column) -> tuple[str, str, str | None, str | None]:
    return column.name, str(column.datatype), column.unit, column.ucd


def _failed(fault: Fault) -> Compared:
    return Compared(Verdict.FAILS, detail=str(fault))


def _alone(recorded: Answered, now: _Given | Fault) -> Compared:
    """An answer of today beside a record of which the rows are not at hand."""
    if isinstance(now, Fault):
        return _failed(now)
    same = (now.digest, now.count) == (recorded.digest, recorded.rows)
    return Compared(Verdict.IDENTICAL if same else Verdict.DIFFERS, now.count)


def _compared(then: _Given, now: _Given | Fault) -> Compared:
    if isinstance(now, Fault):
        return _failed(now)
    if then.columns != now.columns:
        return Compared(Verdict.DIFFERS, now.count, detail="its columns are others now")
    if (then.digest, then.count) == (now.digest, now.count):
        return Compared(Verdict.IDENTICAL, now.count, 0, 0)
    if then.rows is None or now.rows is None:
        return Compared(Verdict.DIFFERS, now.count, detail="it has too many rows to be told apart one by one")
    added, gone = _surplus(now.rows, then.rows), _surplus(then.rows, now.rows)
    return Compared(Verdict.DIFFERS if gone else Verdict.SUPERSET, now.count, added, gone)


def _surplus(some: Rows, others: Rows) -> int:
    """How many of ``some`` rows are not among ``others``, each of which stands for one."""
    kinds, counts = np.unique(some, return_counts=True)
    known, held = np.unique(others, return_counts=True)
    at = np.searchsorted(known, kinds)
    found = at < len(known)
    found[found] = known[at[found]] == kinds[found]
    there = np.where(found, held[np.minimum(at, max(len(known) - 1, 0))] if len(known) else 0, 0)
    return int(np.maximum(counts - there, 0).sum())


def _unknown(result: Result, known: Rows) -> Iterator[pa.RecordBatch]:
    digest = result.digest or Digest()
    for batch in result.batches:
        fresh = ~np.isin(digest.rows(batch), known)
        if fresh.any():
            yield batch.filter(pa.array(fresh))
