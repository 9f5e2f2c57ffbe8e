"""``rehearse``: what would become of the queries that users asked, if another description were in force.

Each is answered twice from the same editions, as things are and as they would be; columns and rows must be the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from archive.adql import parse, tree
from archive.adql.walk import every
from archive.backbone.endpoint import Endpoint
from archive.columns import Column
from archive.faults import Fault, UsageFault
from archive.inventory import Inventory
from archive.ledger.published import Published, read_published
from archive.query import Question, prepare, run
from archive.releases import Release


class Outcome(StrEnum):
    """How a query fared."""

    SAME = "same"
    STAR = "star"  # the same but for what * shows
    DIFFERS = "differs"
    FAILS = "fails"  # it worked before
    FAILED = "failed before"


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One query and what would become of it."""

    query: str
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Answer:
    columns: tuple[Column, ...]
    digest: int
    rows: int


def rehearse(
    endpoint: Endpoint, release: Release, queries: Iterable[tuple[str, str]], *, maxrec: int, seconds: float
) -> Iterator[Rehearsed]:
    """The fate of each of ``queries`` (language, text) that names a table of the release's schema.

    At most ``maxrec`` rows of each answer are compared; a query may run for ``seconds``.
    """
    with endpoint.ledger.read() as transaction:
        before, after = read_published(transaction), read_published(transaction, release)
    for language, text in queries:
        parsed = _about(release.name, text, language)
        if parsed is not None:
            question = Question(parsed, language, maxrec=maxrec, seconds=seconds)
            outcome, detail = _compared(endpoint, question, before, after)
            yield Rehearsed(text, outcome, detail)


def _about(schema: str, text: str, language: str) -> tree.Query | None:
    """The query, if it is one that names a table of the schema (or a pinned version of it)."""
    try:
        parsed = parse(text, language)
    except UsageFault:
        return None
    names = [node.parts[-2].text.lower() for node in every(parsed, tree.TableName) if len(node.parts) > 1]
    folded = schema.lower()
    return parsed if any(name == folded or name.startswith(f"{folded}_v") for name in names) else None


def _compared(endpoint: Endpoint, question: Question, before: Published, after: Published) -> tuple[Outcome, str]:
    try:
        old = _answered(endpoint, question, before)
    except Fault as fault:
        return Outcome.FAILED, fault.message
    try:
        new = _answered(endpoint, question, after)
    except Fault as fault:
        return Outcome.FAILS, fault.message
    if old == new:
        return Outcome.SAME, ""
    if old.columns != new.columns and any(True for _ in every(question.query, tree.Star)):
        names = [{column.name for column in answer.columns} for answer in (old, new)]
        return Outcome.STAR, f"new: {_listed(names[1] - names[0])}; gone: {_listed(names[0] - names[1])}"
    if old.columns != new.columns:
        return Outcome.DIFFERS, "its columns are described otherwise"
    return Outcome.DIFFERS, f"{old.rows} rows before, {new.rows} after, not the same"


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _answered(endpoint: Endpoint, question: Question, published: Published) -> _Answer:
    inventory = Inventory(endpoint.ledger, endpoint.config.editions)
    result = run(prepare(question, published, inventory), endpoint.engine)
    try:
        digest = rows = 0
        for batch in result.batches:
            rows += batch.num_rows
            for row in batch.to_pylist():
                digest += int.from_bytes(hashlib.sha256(repr(tuple(row.values())).encode()).digest()[:16])
        return _Answer(tuple(result.columns), digest, rows)
    finally:
        result.close()
