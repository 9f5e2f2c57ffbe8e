"""Schema versions of a release, defined forward (design section 6).

A release's rows stay as they were first stored: that is version 1, the Felis document. Each later version says in
the facts beside it how it differs from the one before::

    versions:
      - version: 2
        tables:
          star:
            rename: {vt_mag: mag_vt}   # the old name is still understood
            hide: [field_id]           # no longer in * and TAP_SCHEMA, still queryable

A name never means two things: what was once a column's name in a table is never given to another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from archive.columns import Column
from archive.documents import Block, near
from archive.tables import ForeignKey, Schema, Table


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


Change = Rename | Hide


@dataclass(frozen=True, slots=True)
class Version:
    """What version ``number`` (from 2) changes in the one before."""

    number: int
    changes: tuple[Change, ...]


# --- reading --------------------------------------------------------------------------------------


def read_versions(schema: Schema, facts: Block) -> tuple[Version, ...]:
    """The versions that ``facts`` tell of; everything wrong is reported through the block."""
    found: list[Version] = []
    ledgers = {table.name: _Names(table) for table in schema.tables}
    for number, block in enumerate(facts.blocks("versions"), start=2):
        said = block.whole("version")
        if said != number:
            block.wrong("version", f"versions count up by one: here 'version' must be {number}, not {said}.")
        found.append(Version(number, tuple(_changes(block.block("tables"), ledgers))))
        block.close()
    return tuple(found)


def _changes(tables: Block | None, ledgers: Mapping[str, _Names]) -> Iterator[Change]:
    for name in tables or ():
        entry = tables.block(name) if tables else None
        if name not in ledgers:
            if tables:
                tables.wrong(name, f"there is no table '{name}'.", near(name, ledgers))
            continue
        if entry is not None:
            entry.about(table=name)
            yield from _renames(name, entry, ledgers[name])
            yield from _hides(name, entry, ledgers[name])
            entry.close()


def _renames(table: str, entry: Block, names: _Names) -> Iterator[Change]:
    renames = entry.block("rename")
    for old in renames or ():
        new = renames.text(old, required=True) if renames else None
        if old not in names.shown:
            entry.wrong("rename", f"'{old}' is no column shown by the version before.", near(old, names.shown))
        elif new is not None and new.lower() in names.used:
            entry.wrong(
                "rename", f"'{new}' already is or was the name of a column here.", "A name never means two things."
            )
        elif new is not None:
            names.rename(old, new)
            yield Rename(table, old, new)


def _hides(table: str, entry: Block, names: _Names) -> Iterator[Change]:
    for column in entry.texts("hide"):
        if column not in names.shown:
            entry.wrong("hide", f"'{column}' is no column shown by the version before.", near(column, names.shown))
        elif len(names.shown) == 1:
            entry.wrong("hide", f"'{column}' is the last column shown.", "A table shows one column at least.")
        else:
            names.shown.remove(column)
            yield Hide(table, column)


class _Names:
    """The names a table shows while versions are read, and all it ever used (lower case)."""

    def __init__(self, table: Table) -> None:
        self.shown = [column.name for column in table.columns]
        self.used = {name.lower() for name in self.shown}

    def rename(self, old: str, new: str) -> None:
        self.shown[self.shown.index(old)] = new
        self.used.add(new.lower())


# --- showing --------------------------------------------------------------------------------------


def pinned_name(schema: str, number: int) -> str:
    """The name under which one version alone can be queried: ``dr1_v1``."""
    return f"{schema}_v{number}"


def unfold(schema: Schema, versions: Sequence[Version]) -> tuple[Schema, ...]:
    """``schema`` (version 1) as its newest version shows it, then each version pinned under its own name.

    The newest understands every older name; so does a pinned one for those before it. Without later versions
    there is only ``schema`` itself.
    """
    if not versions:
        return (schema,)
    newest = _at(schema, versions)
    pinned = [_pinned(schema, _at(schema, versions[:count]), count + 1) for count in range(len(versions) + 1)]
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


def _at(schema: Schema, versions: Sequence[Version]) -> Schema:
    """``schema`` after the changes of ``versions``."""
    if not versions:
        return schema
    changes = [change for version in versions for change in version.changes]
    tables = {table.name: _changed(table, [c for c in changes if c.table == table.name]) for table in schema.tables}
    names = {f"{schema.name}.{name}": _now(changes, name) for name in tables}
    shown = tuple(_with_keys(table, names) for table in tables.values())
    return replace(schema, tables=shown, version=versions[-1].number)


def _changed(table: Table, changes: Sequence[Change]) -> Table:
    columns = list(table.columns)
    former: list[Column] = []
    derived: dict[str, str] = {}
    for change in changes:
        match change:
            case Rename(_, old, new):
                place = next(i for i, column in enumerate(columns) if column.name == old)
                former.append(columns[place])
                columns[place] = columns[place].named(new)
                derived[new] = _delimited(old)
            case Hide(_, name):
                place = next(i for i, column in enumerate(columns) if column.name == name)
                former.append(columns.pop(place))
    return replace(table, columns=tuple(columns), former=tuple(former), derived=derived)


def _delimited(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _now(changes: Sequence[Change], table: str) -> dict[str, str | None]:
    """Names of version 1 that changed, as they are now; None for what is hidden."""
    now: dict[str, str | None] = {}
    for change in changes:
        if change.table != table:
            continue
        old = change.old if isinstance(change, Rename) else change.column
        stored = next((name for name, shown in now.items() if shown == old), old)
        now[stored] = change.new if isinstance(change, Rename) else None
    return now


def _with_keys(table: Table, names: Mapping[str, Mapping[str, str | None]]) -> Table:
    """``table`` with its keys by the names it shows now, without keys that use what is hidden."""
    here = names[table.qualified]
    keys = (_renamed(key, here, names.get(key.target, {})) for key in table.foreign_keys)
    primary = _all_shown(table.primary_key, here) or ()
    unique = (_all_shown(columns, here) for columns in table.unique)
    return replace(
        table,
        primary_key=primary,
        unique=tuple(columns for columns in unique if columns),
        foreign_keys=tuple(key for key in keys if key is not None),
    )


def _renamed(key: ForeignKey, here: Mapping[str, str | None], there: Mapping[str, str | None]) -> ForeignKey | None:
    columns, targets = _all_shown(key.columns, here), _all_shown(key.target_columns, there)
    return replace(key, columns=columns, target_columns=targets) if columns and targets else None


def _all_shown(columns: Sequence[str], names: Mapping[str, str | None]) -> tuple[str, ...] | None:
    shown = [names.get(column, column) for column in columns]
    return tuple(name for name in shown if name is not None) if None not in shown else None
