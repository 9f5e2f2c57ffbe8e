"""``adapt``: old names to stored columns, before any SQL is made (design section 6).

A release's rows stay at the version they were written in. What a later version shows under another name is an
ADQL expression over the columns before it (``Table.derived``); this pass puts that expression in the place of the
name, so that the engine sees stored columns alone and its indexes still serve. A column that was moved to another
table (``Table.lookups``) brings the table it came from along, joined LEFT by its key. A query that uses no such
name passes through untouched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from archive.adql import bound
from archive.adql.tree import JoinKind
from archive.columns import Column
from archive.faults import FatalFault
from archive.tables import Lookup, Table

Expand = Callable[[Table, str, str], bound.Value]
"""(table, alias, ADQL expression) -> the bound value of the expression over that table's columns."""


def adapt(query: bound.Bound, expand: Expand) -> bound.Bound:
    """``query`` over stored columns alone, with a note for each former name it used.

    ``expand`` binds an expression of ``Table.derived`` over a table under an alias (``resolve`` provides it).
    Values keep the description of the name that was asked for: an old query keeps its names, units and UCDs.

    Raises:
        FatalFault: the descriptions of versions refer to each other in a circle.
    """
    if not any(table.derived or table.former or table.lookups for table in query.tables.values()):
        return query
    adapter = _Adapter(expand)
    adapter.learn(query)
    common = tuple((name, adapter.rewritten(rows)) for name, rows in query.common)
    body = adapter.rewritten(query.body)
    if adapter.brought:
        common, body = tuple((name, adapter.widened(rows)) for name, rows in common), adapter.widened(body)
    tables = {**{table.key: table for table in adapter.origins}, **query.tables}
    return replace(query, common=common, body=body, tables=tables, notes=(*query.notes, *adapter.notes))


class _Adapter:
    def __init__(self, expand: Expand) -> None:
        self._expand = expand
        self._tables: dict[str, Table] = {}
        self.brought: dict[str, list[_Brought]] = {}  # by the alias of the source that needs them
        self.notes: list[str] = []

    @property
    def origins(self) -> list[Table]:
        """The tables that were brought along."""
        return [brought.stored.table for several in self.brought.values() for brought in several]

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

    def _field(self, field: bound.Field, above: tuple[bound.Field, ...]) -> bound.Value:
        table = self._tables.get(field.source)
        if table is None:
            return field
        if not above:
            self._note(table, field.name)
        if field.name in table.lookups:
            return self._looked_up(field, table.lookups[field.name], above)
        expression = table.derived.get(field.name)
        if expression is None:
            return field
        if field in above:
            raise FatalFault(f"The versions of {table.qualified} define {field.name} through itself.")
        value = self._inner(self._expand(table, field.source, expression), (*above, field))
        return _described(value, field.column)

    def _looked_up(self, field: bound.Field, lookup: Lookup, above: tuple[bound.Field, ...]) -> bound.Value:
        """The value in the table that a column was moved away from, which is joined to the one that shows it."""
        known = self.brought.setdefault(field.source, [])
        brought = next((each for each in known if (each.stored.table, each.by) == (lookup.table, lookup.by)), None)
        if brought is None:
            alias = f"{field.source}_{len(known) + 1}"
            self._tables[alias] = lookup.table
            here = self._tables[field.source]
            pairs = [
                (_stands(here, field.source, one), _stands(lookup.table, alias, other)) for one, other in lookup.by
            ]
            equal = [
                bound.Comparison("=", self._inner(one, (field,)), self._inner(other, (field,))) for one, other in pairs
            ]
            on = equal[0] if len(equal) == 1 else bound.And(tuple(equal))
            brought = _Brought(bound.Stored(alias, lookup.table), lookup.by, on)
            known.append(brought)
        there = brought.stored
        value = self._inner(_stands(there.table, there.alias, lookup.column), (*above, field))
        return _described(value, field.column)

    def widened(self, node: Any) -> Any:
        """``node`` with the tables that are brought along beside those that need them."""
        if isinstance(node, bound.Stored):
            return self._beside(node, node.alias)
        if isinstance(node, tuple):
            return tuple(self.widened(part) for part in node)
        changes = {name: self.widened(getattr(node, name)) for name in bound.PARTS.get(type(node), ())}
        return replace(node, **changes) if changes else node

    def _beside(self, source: bound.Source, alias: str) -> bound.Source:
        """``source`` and what ``alias``, one of its tables, brings along; each of these may bring along more."""
        for brought in self.brought.get(alias, ()):
            source = bound.Join(JoinKind.LEFT, source, brought.stored, brought.on)
            source = self._beside(source, brought.stored.alias)
        return source

    def _inner(self, value: Any, above: tuple[bound.Field, ...]) -> Any:
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
        where = _whereabouts(table, name)
        note = f"{table.qualified}.{name} is a name of an earlier schema version, {where}; it still works."
        if note not in self.notes:
            self.notes.append(note)


@dataclass(frozen=True, slots=True)
class _Brought:
    """A table joined for the columns that were moved away from it."""

    stored: bound.Stored
    by: tuple[tuple[str, str], ...]
    on: bound.Condition


def _stands(table: Table, alias: str, name: str) -> bound.Field:
    return bound.Field(alias, name, table.by_name[name])


def _whereabouts(table: Table, name: str) -> str:
    """What shows the values of a former name now."""
    successors = table.successors.get(name, ())
    if not successors:
        return "no longer shown"
    if table.derived.get(successors[0], "").strip('"') == name:
        return f"now called {successors[0]}"
    moved = "." in successors[0] and successors[0] not in table.by_name
    return f"moved to {table.schema}.{successors[0]}" if moved else f"now given by {' and '.join(successors)}"


def _described(value: bound.Value, column: Column) -> bound.Value:
    """``value`` under the description ``column``; the cast of outputs makes the type right."""
    return replace(value, column=column)
