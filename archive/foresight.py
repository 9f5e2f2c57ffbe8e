"""What can be known of an answer before its rows are there: how many they are, and what their cells need.

Editions are never altered, so a second statement over the same tree counts exactly what the first one gives. It is
asked only where that is quick: it has a short time, and not knowing is an answer too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import chain
from typing import Any

from archive import regions
from archive.adql import bound
from archive.columns import Column, Datatype
from archive.engine.contract import Bindings, Engine, Limits
from archive.faults import Fault
from archive.results.result import Extent, Foresight, Seen

_SECONDS = 0.1  # that it may take to know
_NUMBER = Column("n", Datatype.LONG)
_ALL = "whole"  # alias of the rows counted; those of sources are t1, t2, ...


class Ahead(Foresight):
    """Foresight by ``engine`` of a query that it runs within ``limits``, of whose rows ``most`` are sent.

    It computes within a ``turn``.
    """

    def __init__(
        self, engine: Engine, query: bound.Bound, bindings: Bindings, limits: Limits, most: int | None
    ) -> None:
        self._engine = engine
        self._query = query
        self._bindings = bindings
        self._most = most
        self._limits = Limits(None, _SECONDS, limits.stop, gives_way=limits.gives_way)
        self.turn: Callable[[], AbstractContextManager[None]] = nullcontext

    def cut_at(self) -> int | None:
        body, most = self._query.body, self._most
        if most is None or (body.top is not None and body.top <= most):
            return None
        top = most + 1 + (body.offset or 0)
        if (rows := self._whole_table()) is not None:
            return most if rows >= top else None
        told = self._asked(replace(body, order_by=(), offset=None, top=top), [_count()])
        return most if told is not None and told[0] >= top else None

    def extent(self) -> Extent | None:
        body = self._query.body
        columns = self._query.columns
        if not _repeatable(self._query) or regions.all_told(columns) != columns:
            return None
        needs = [_needs(f"c{at}", column) for at, column in enumerate(columns, 1)]
        everything = self._whole_table()
        if everything is None or any(needs):
            told = self._asked(replace(body, order_by=(), offset=None, top=None), [_count(), *chain(*needs)])
            if told is None:
                return None
        else:
            told = [everything]
        everything, values = told[0], iter(told[1:])
        seen = tuple(_seen(everything, [next(values) for _ in each]) for each in needs)
        rows = max(0, everything - (body.offset or 0))
        rows = rows if body.top is None else min(rows, body.top)
        sent = rows if self._most is None else min(rows, self._most)
        return Extent(sent, sent < rows, seen)

    def _whole_table(self) -> int | None:
        """How many rows there are where all of one table are wanted: an edition knows that."""
        match self._query.body:
            case bound.Select(source=bound.Stored(table=table), where=None, group_by=(), having=None, distinct=False):
                aggregates = any(isinstance(node, bound.Aggregate) for node in _nodes(self._query.body.outputs))
                edition = self._bindings.editions.get(table.key)
                return None if edition is None or aggregates else edition.rows
        return None

    def _asked(self, body: bound.Rows, values: Sequence[bound.Value]) -> list[Any] | None:
        """The aggregates ``values`` over the rows of ``body``; None if that takes too long, or would cost much."""
        if not self._engine.foresees:
            return None
        outputs = tuple(bound.Output(f"c{at}", value) for at, value in enumerate(values, 1))
        columns = tuple(replace(_NUMBER, name=output.name) for output in outputs)
        whole = replace(self._query, body=bound.Select(outputs, bound.Sub(_ALL, body)), columns=columns)
        try:
            with self.turn():
                stream = self._engine.run(whole, self._bindings, self._limits)
                try:
                    (row,) = [row for batch in stream.batches for row in batch.to_pylist()]
                finally:
                    stream.close()
        except Fault:
            return None
        return list(row.values())


def _count(*arguments: bound.Value) -> bound.Value:
    return bound.Aggregate("count", arguments, distinct=False, column=_NUMBER)


def _needs(output: str, column: Column) -> tuple[bound.Value, ...]:
    """What has to be known of a column: the longest text; of integers how many are not NULL, and the least."""
    field = bound.Field(_ALL, output, column)
    if column.is_text:
        return (bound.Aggregate("longest", (field,), distinct=False, column=_NUMBER),)
    if column.nullable and column.is_scalar_number and column.datatype.is_integer:
        least = bound.Aggregate("min", (field,), distinct=False, column=_NUMBER)
        return _count(field), least
    return ()


def _seen(rows: int, told: Sequence[int | None]) -> Seen:
    match told:
        case [longest]:
            return Seen(longest=longest or 0)
        case [known, least]:
            return Seen(nulls=known != rows, least=least)
    return Seen()


def _repeatable(query: bound.Bound) -> bool:
    """Whether the same statement gives the same rows again, in whatever order: none are chosen by chance."""
    inner = [query.common, *(getattr(query.body, name) for name in bound.PARTS[type(query.body)])]
    return not any(_by_chance(node) for part in inner for node in _nodes(part))


def _by_chance(node: object) -> bool:
    match node:
        case bound.Apply(function="rand"):
            return True
        case bound.Select(top=top, offset=offset) | bound.SetOperation(top=top, offset=offset):
            return top is not None or offset is not None
    return False


def _nodes(node: Any) -> Iterator[object]:
    """A part of a bound tree and all that is in it."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, tuple):
            waiting.extend(each)
        else:
            yield each
            waiting.extend(getattr(each, name) for name in bound.PARTS.get(type(each), ()))
