"""Schema versions of a release, defined forward (design section 6): what each changes, and how rows are shown at each.

A release's rows stay as they were first stored: that is version 1, the Felis document. Each later version says how it
differs from the one before (``changes`` reads it). Nothing is computed here: a column that is not stored has an ADQL
expression over others, or the table it was moved away from; ``adql.adapt`` puts these in the place of names.

A name never means two things: what was once a column's name in a table is never given to another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from archive.columns import Column
from archive.tables import ForeignKey, Lookup, Schema, Table


@dataclass(frozen=True, slots=True)
class Rename:
    """From this version on the column ``old`` is called ``new``."""

    table: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Hide:
    """From this version on the column is no longer shown."""

    table: str
    column: str


@dataclass(frozen=True, slots=True)
class Express:
    """From this version on ``column`` is shown: ``expression`` (ADQL) over the columns before it.

    What it ``replaces`` is shown no more: one column in another unit, several merged into one; two columns that replace
    the same one split it; a column that replaces none is new.
    """

    table: str
    column: Column
    expression: str
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """From this version on what ``table`` showed as ``column`` is shown by the table ``to`` as ``name``.

    ``by`` pairs columns of ``to`` with those of ``table`` that are its key: each row of ``to`` shows the value of the
    one row that fits, or null (a LEFT join).
    """

    table: str
    column: str
    to: str
    name: str
    by: tuple[tuple[str, str], ...]


Change = Rename | Hide | Express | Move


@dataclass(frozen=True, slots=True)
class Version:
    """What version ``number`` (from 2) changes in the one before."""

    number: int
    changes: tuple[Change, ...]


def tables_of(change: Change) -> tuple[str, ...]:
    """The tables that a change speaks of."""
    return (change.table, change.to) if isinstance(change, Move) else (change.table,)


def pinned_name(schema: str, number: int) -> str:
    """The name under which one version alone can be queried: ``dr1_v1``."""
    return f"{schema}_v{number}"


def stored_name(schema: str) -> str:
    """The release of which ``schema`` is shown, itself or one version alone."""
    return _PINNED.sub("", schema)


_PINNED = re.compile(r"_v\d+\Z")  # no release may be named like that


def unfold(schema: Schema, versions: Sequence[Version]) -> tuple[Schema, ...]:
    """``schema`` (version 1) as its newest version shows it, then each version pinned under its own name.

    The newest understands every older name; so does a pinned one for those before it. Without later versions
    there is only ``schema`` itself.
    """
    if not versions:
        return (schema,)
    newest = at_version(schema, versions)
    pinned = [_pinned(schema, at_version(schema, versions[:count]), count + 1) for count in range(len(versions) + 1)]
    return (newest, *pinned)


def _pinned(schema: Schema, shown: Schema, number: int) -> Schema:
    name = pinned_name(schema.name, number)
    tables = tuple(
        replace(
            table, schema=name, rows_of=table.key, foreign_keys=tuple(_moved(table.foreign_keys, schema.name, name))
        )
        for table in shown.tables
    )
    return replace(shown, name=name, tables=tables, listed=False)


def _moved(keys: Sequence[ForeignKey], old: str, new: str) -> Iterator[ForeignKey]:
    for key in keys:
        there, dot, table = key.target.partition(".")
        yield replace(key, target=f"{new}{dot}{table}") if there == old else key


def at_version(schema: Schema, versions: Sequence[Version]) -> Schema:
    """``schema`` (version 1) after the changes of ``versions``."""
    if not versions:
        return schema
    shapes = {table.name: _Shape(table) for table in schema.tables}
    for version in versions:
        before = {name: shape.table() for name, shape in shapes.items()}
        for change in version.changes:
            _apply(change, shapes, before)
    changes = [change for version in versions for change in version.changes]
    names = {table.qualified: _now(changes, table.name) for table in schema.tables}
    tables = tuple(_with_keys(shape.table(), names) for shape in shapes.values())
    return replace(schema, tables=tables, version=versions[-1].number)


def _apply(change: Change, shapes: Mapping[str, _Shape], before: Mapping[str, Table]) -> None:
    shape = shapes[change.table]
    match change:
        case Rename(_, old, new):
            shape.show(shape.known(old).named(new), '"' + old.replace('"', '""') + '"', after=old)
            shape.hide(old, new)
        case Hide(_, name):
            shape.hide(name)
        case Express(_, column, expression, replaces):
            shape.show(column, expression, after=replaces[-1] if replaces else None)
            for old in replaces:
                shape.hide(old, column.name)
        case Move(table, name, to, new, by):
            column = replace(shape.known(name).named(new), nullable=True, indexed=False)
            shapes[to].look_up(column, Lookup(before[table], name, by))
            shape.hide(name, f"{to}.{new}")


class _Shape:
    """One table while versions change it."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._columns = list(table.columns)
        self._former: dict[str, Column] = {}
        self._derived: dict[str, str] = {}
        self._lookups: dict[str, Lookup] = {}
        self._successors: dict[str, tuple[str, ...]] = {}

    def table(self) -> Table:
        return replace(
            self._table,
            columns=tuple(self._columns),
            former=tuple(self._former.values()),
            derived=dict(self._derived),
            lookups=dict(self._lookups),
            successors=dict(self._successors),
        )

    def known(self, name: str) -> Column:
        """A column shown now, or one that a change of the same version hid."""
        return next((column for column in self._columns if column.name == name), None) or self._former[name]

    def show(self, column: Column, expression: str, *, after: str | None) -> None:
        """A column more, behind ``after`` if that is shown, else at the end."""
        names = [shown.name for shown in self._columns]
        place = names.index(after) + 1 if after in names else len(names)
        self._columns.insert(place, column)
        self._derived[column.name] = expression

    def look_up(self, column: Column, lookup: Lookup) -> None:
        self._columns.append(column)
        self._lookups[column.name] = lookup

    def hide(self, name: str, successor: str | None = None) -> None:
        """``name`` is shown no more; hiding it again only tells one more successor."""
        column = self.known(name)
        self._columns = [shown for shown in self._columns if shown.name != name]
        self._former[name] = column
        self._successors[name] = (*self._successors.get(name, ()), *((successor,) if successor else ()))


def _now(changes: Sequence[Change], table: str) -> dict[str, str | None]:
    """Names of version 1 that changed, as they are now; None for what is shown here no more."""
    now: dict[str, str | None] = {}
    for change in changes:
        for old, new in _renamings(change) if change.table == table else ():
            stored = next((name for name, shown in now.items() if shown == old), old)
            now[stored] = new
    return now


def _renamings(change: Change) -> Iterator[tuple[str, str | None]]:
    match change:
        case Rename(_, old, new):
            yield old, new
        case Hide(_, column) | Move(_, column):
            yield column, None
        case Express(_, _, _, replaces):
            for old in replaces:
                yield old, None


def _with_keys(table: Table, names: Mapping[str, Mapping[str, str | None]]) -> Table:
    """``table`` with its keys by the names it shows now, without keys that use what is hidden."""
    here = names[table.qualified]
    keys = (_renamed(key, here, names.get(key.target, {})) for key in table.foreign_keys)
    primary = _all_shown(table.primary_key, here) or ()
    unique = (_all_shown(columns, here) for columns in table.unique)
    return replace(
        table,
        primary_key=primary,
        stored_key=table.primary_key,
        unique=tuple(columns for columns in unique if columns),
        foreign_keys=tuple(key for key in keys if key is not None),
    )


def _renamed(key: ForeignKey, here: Mapping[str, str | None], there: Mapping[str, str | None]) -> ForeignKey | None:
    columns, targets = _all_shown(key.columns, here), _all_shown(key.target_columns, there)
    return replace(key, columns=columns, target_columns=targets) if columns and targets else None


def _all_shown(columns: Sequence[str], names: Mapping[str, str | None]) -> tuple[str, ...] | None:
    shown = [names.get(column, column) for column in columns]
    return tuple(name for name in shown if name is not None) if None not in shown else None
