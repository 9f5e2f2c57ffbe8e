"""``adapt``: old names to stored columns, before any SQL is made (design section 6).

A release's rows stay at the version they were written in. What a later version shows under another name is an
ADQL expression over the columns before it (``Table.derived``); this pass puts that expression in the place of the
name, so that the engine sees stored columns alone and its indexes still serve. A query that uses no such name
passes through untouched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from archive.adql import bound
from archive.columns import Column
from archive.faults import FatalFault
from archive.tables import Table

Expand = Callable[[Table, str, str], bound.Value]
"""(table, alias, ADQL expression) -> the bound value of the expression over that table's columns."""


def adapt(query: bound.Bound, expand: Expand) -> bound.Bound:
    """``query`` over stored columns alone, with a note for each former name it used.

    ``expand`` binds an expression of ``Table.derived`` over a table under an alias (``resolve`` provides it).
    Values keep the description of the name that was asked for: an old query keeps its names, units and UCDs.

    Raises:
        FatalFault: the descriptions of versions refer to each other in a circle.
    """
    if not any(table.derived or table.former for table in query.tables.values()):
        return query
    adapter = _Adapter(expand)
    adapter.learn(query)
    common = tuple((name, adapter.rewritten(rows)) for name, rows in query.common)
    body = adapter.rewritten(query.body)
    return replace(query, common=common, body=body, notes=(*query.notes, *adapter.notes))


class _Adapter:
    def __init__(self, expand: Expand) -> None:
        self._expand = expand
        self._tables: dict[str, Table] = {}
        self.notes: list[str] = []

    def learn(self, node: Any) -> None:
        """Remember which alias stands for which table, over the whole tree."""
        if isinstance(node, bound.Stored):
            self._tables[node.alias] = node.table
        elif isinstance(node, tuple):
            for part in node:
                self.learn(part)
        else:
            for name in bound.PARTS.get(type(node), ()):
                self.learn(getattr(node, name))

    def rewritten(self, node: Any) -> Any:
        """``node`` with every derived field replaced; the very same object where nothing changed."""
        if isinstance(node, bound.Field):
            return self._field(node, ())
        if isinstance(node, tuple):
            parts = tuple(self.rewritten(part) for part in node)
            return parts if any(new is not old for new, old in zip(parts, node, strict=True)) else node
        changes = {}
        for name in bound.PARTS.get(type(node), ()):
            old = getattr(node, name)
            if (new := self.rewritten(old)) is not old:
                changes[name] = new
        return replace(node, **changes) if changes else node

    def _field(self, field: bound.Field, above: tuple[str, ...]) -> bound.Value:
        table = self._tables.get(field.source)
        if table is None:
            return field
        if not above:
            self._note(table, field.name)
        expression = table.derived.get(field.name)
        if expression is None:
            return field
        if field.name in above:
            raise FatalFault(f"The versions of {table.qualified} define {field.name} through itself.")
        value = self._inner(self._expand(table, field.source, expression), (*above, field.name))
        return _described(value, field.column)

    def _inner(self, value: Any, above: tuple[str, ...]) -> Any:
        """An expanded expression, its own fields adapted in turn (a version over a version)."""
        if isinstance(value, bound.Field):
            return self._field(value, above)
        if isinstance(value, tuple):
            return tuple(self._inner(part, above) for part in value)
        changes = {name: self._inner(getattr(value, name), above) for name in bound.PARTS.get(type(value), ())}
        return replace(value, **changes) if changes else value

    def _note(self, table: Table, name: str) -> None:
        if not any(column.name == name for column in table.former):
            return
        now = next((shown for shown, source in table.derived.items() if source.strip('"') == name), None)
        where = f"now called {now}" if now else "no longer shown"
        note = f"{table.qualified}.{name} is a name of an earlier schema version, {where}; it still works."
        if note not in self.notes:
            self.notes.append(note)


def _described(value: bound.Value, column: Column) -> bound.Value:
    """``value`` under the description ``column``; the cast of outputs makes the type right."""
    return replace(value, column=column)
