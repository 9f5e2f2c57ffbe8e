"""Where an answer goes on that was cut: a query whose rows have a total order is asked again from a row onwards.

The place is the values of the ORDER BY of the last row sent, as JSON (``[10.68, 1234]``), and a condition on them is
added to the query: "what comes after". So each piece costs what its rows cost, however far on it is, and between
pieces no row is lost or comes twice, even if rows were added meanwhile.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from archive.adql import bound
from archive.adql.tree import JoinKind
from archive.columns import Column
from archive.faults import UsageFault

Place = tuple[int | float | str | None, ...]
"""The values of the ORDER BY of a row."""


@dataclass(frozen=True, slots=True)
class Key:
    """A term of ORDER BY that is the output at ``position`` (from 0)."""

    position: int
    value: bound.Value
    descending: bool

    @property
    def column(self) -> Column:
        return self.value.column


def total_order(query: bound.Bound) -> tuple[Key, ...]:
    """The ORDER BY of ``query`` if no two rows are alike in it and the outputs hold all of it; else nothing."""
    body = query.body
    if not isinstance(body, bound.Select) or body.top is not None or body.offset is not None:
        return ()
    keys = [_key(order, body.outputs) for order in body.order_by]
    known = tuple(key for key in keys if key is not None and _comparable(key.column))
    return known if len(known) == len(keys) and _tells_apart(known, body) else ()


def is_ordered(body: bound.Rows) -> bool:
    """Whether ORDER BY leaves nothing open: rows that are alike in it are the same row, or the same in all outputs."""
    outputs = body.outputs if isinstance(body, bound.Select) else ()
    given = [order.by for order in body.order_by]
    values = [outputs[by - 1].value if isinstance(by, int) and outputs else by for by in given]
    if not isinstance(body, bound.Select):
        return len(set(map(str, values))) == len(body.columns)
    if not all(isinstance(value, bound.Field) for value in values):
        return False
    return all(output.value in values for output in outputs) or (
        not body.distinct and not body.group_by and _has_keys(values, body.source)
    )


def place_of(row: pa.RecordBatch, keys: Sequence[Key]) -> str | None:
    """The place of the only ``row``, as text; None where there is no order."""
    if not keys:
        return None
    values = [row.column(key.position)[0].as_py() for key in keys]
    return json.dumps([value.isoformat() if isinstance(value, datetime.datetime) else value for value in values])


def place(text: str) -> Place:
    """The place that ``text`` tells.

    Raises:
        UsageFault: it tells none.
    """
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if isinstance(found, list) and found and all(_is_plain(value) for value in found):
        return tuple(found)
    raise UsageFault("CONTINUE is not understood.", "Take it from the end of the answer that is to be continued.")


def after(query: bound.Bound, begin: Place) -> bound.Bound:
    """``query`` without the rows up to and including the one at ``begin``.

    Raises:
        UsageFault: its rows have no total order, or ``begin`` is a place in another one.
    """
    keys = total_order(query)
    if not keys or not isinstance(query.body, bound.Select):
        raise UsageFault(
            "CONTINUE needs rows in an order in which no two are alike.",
            "Select the columns of the primary key, and end the ORDER BY with them; leave out TOP and OFFSET.",
        )
    if len(begin) != len(keys):
        raise UsageFault(f"CONTINUE has {len(begin)} values, the ORDER BY has {len(keys)}.", "Do not change the query.")
    values = tuple(_constant(key, value) for key, value in zip(keys, begin, strict=True))
    beyond = bound.Or(tuple(_beyond(keys, values)))
    where = beyond if query.body.where is None else bound.And((query.body.where, beyond))
    return replace(query, body=replace(query.body, where=where))


def _key(order: bound.Order, outputs: Sequence[bound.Output]) -> Key | None:
    for position, output in enumerate(outputs):
        if order.by in (position + 1, output.value):
            return Key(position, output.value, order.descending)
    return None


def _comparable(column: Column) -> bool:
    return column.is_scalar_number or column.is_text or column.is_timestamp


def _tells_apart(keys: Sequence[Key], body: bound.Select) -> bool:
    """Whether no two rows of ``body`` have the same ``keys``, all of which can be compared before rows are grouped."""
    values = [key.value for key in keys]
    if body.group_by:
        return all(value in body.group_by for value in values) and all(group in values for group in body.group_by)
    if not all(isinstance(value, bound.Field) for value in values):
        return False
    if body.distinct:
        return len({key.position for key in keys}) == len(body.outputs)
    return _has_keys(values, body.source)


def _has_keys(values: Sequence[object], source: bound.Source | None) -> bool:
    """Whether the fields among ``values`` hold the primary keys of all tables that are joined."""
    named = {(value.source, value.name) for value in values if isinstance(value, bound.Field)}
    return all(table is not None and _identified(table, named) for table in _tables(source))


def _identified(stored: bound.Stored, named: set[tuple[str, str]]) -> bool:
    """Whether the columns ``named`` (alias, name), which are stored ones, hold the primary key of a table."""
    key = stored.table.stored_key or stored.table.primary_key
    return bool(key) and {(stored.alias, name) for name in key} <= named


def _tables(source: bound.Source | None) -> Iterator[bound.Stored | None]:
    """The tables joined; None for whatever else rows come from."""
    match source:
        case bound.Stored():
            yield source
        case bound.Join(kind=JoinKind.INNER | JoinKind.CROSS, left=left, right=right):
            yield from _tables(left)
            yield from _tables(right)
        case _:
            yield None


def _beyond(keys: Sequence[Key], values: Sequence[bound.Constant]) -> Iterator[bound.Condition]:
    """The ways to come after ``values``: alike in the first keys, and beyond in the next. NULLs come last."""
    for at, (key, value) in enumerate(zip(keys, values, strict=True)):
        if value.value is None:
            continue  # nothing comes after NULL
        beyond: bound.Condition = bound.Comparison("<" if key.descending else ">", key.value, value)
        if key.column.nullable:
            beyond = bound.Or((beyond, bound.IsNull(key.value)))
        alike = tuple(_alike(*pair) for pair in zip(keys[:at], values[:at], strict=True))
        yield bound.And((*alike, beyond)) if alike else beyond


def _alike(key: Key, value: bound.Constant) -> bound.Condition:
    return bound.IsNull(key.value) if value.value is None else bound.Comparison("=", key.value, value)


def _constant(key: Key, value: float | str | None) -> bound.Constant:
    column = replace(key.column, nullable=value is None)
    fits = isinstance(value, str) if key.column.datatype.is_text else isinstance(value, int | float)
    if value is not None and not fits:
        raise UsageFault(f"CONTINUE has {value!r} for the column {column.name}.", "Do not change the query.")
    if not key.column.is_timestamp or not isinstance(value, str):
        return bound.Constant(value, column)
    try:
        return bound.Constant(datetime.datetime.fromisoformat(value), column)
    except ValueError:
        raise UsageFault(f"CONTINUE has {value!r} for the time {column.name}.", "Do not change the query.") from None


def _is_plain(value: object) -> bool:
    """Whether ``value`` can stand in an order; JSON knows numbers beyond all that a database does."""
    if isinstance(value, bool):
        return False
    return value is None or isinstance(value, str | float) or (isinstance(value, int) and abs(value) < 2**63)
