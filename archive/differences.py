"""``differences``: what changed between two schemas, for people who have to move a query from one to the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from archive.columns import Column
from archive.tables import Schema, Table


class Kind(StrEnum):
    """What happened to a table (``column`` is empty) or column."""

    NEW = "new"
    GONE = "gone"
    RENAMED = "renamed"
    REPLACED = "replaced"
    MOVED = "moved"
    HIDDEN = "hidden"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """One change: ``column`` of ``table`` as the old schema calls them (the new one, if they are new), in words.

    ``works`` tells that the old name is still understood by the new schema.
    """

    kind: Kind
    table: str
    column: str
    detail: str = ""
    works: bool = False

    def __str__(self) -> str:
        name = f"{self.table}.{self.column}" if self.column else self.table
        return f"{name}: {self.kind}{': ' + self.detail if self.detail else ''}"


def differences(old: Schema, new: Schema) -> tuple[Difference, ...]:
    """What ``new`` shows otherwise than ``old``, table by table in the order of ``old``; then what is new."""
    found: list[Difference] = []
    for table in old.tables:
        there = new.table(table.name)
        if there is None:
            found.append(Difference(Kind.GONE, table.name, "", f"{len(table.columns)} columns"))
        else:
            found += _of_table(table, there)
    known = {table.name for table in old.tables}
    found += [
        Difference(Kind.NEW, table.name, "", table.description) for table in new.tables if table.name not in known
    ]
    return tuple(found)


def _of_table(old: Table, new: Table) -> Iterator[Difference]:
    shown = {column.name: column for column in new.columns}
    former = {column.name: column for column in new.former}
    for column in old.columns:
        if column.name in shown:
            if detail := _changed(column, shown[column.name]):
                yield Difference(Kind.CHANGED, old.name, column.name, detail, works=True)
        elif column.name in former:
            yield _superseded(old.name, column, new, shown)
        else:
            yield Difference(Kind.GONE, old.name, column.name, column.description)
    before = {column.name for column in old.columns}
    for column in new.columns:
        if column.name not in before and not _succeeds(column.name, new):
            yield Difference(Kind.NEW, old.name, column.name, column.description)


def _superseded(table: str, column: Column, new: Table, shown: Mapping[str, Column]) -> Difference:
    successors = new.successors.get(column.name, ())
    if not successors:
        return Difference(Kind.HIDDEN, table, column.name, "it can still be asked for", works=True)
    last = _followed(successors, new)
    if any(name not in shown and "." in name for name in last):
        return Difference(Kind.MOVED, table, column.name, f"now {' and '.join(last)}", works=True)
    if len(last) == 1 and last[0] in shown and _only_renamed(column.name, new):
        detail = _changed(column, shown[last[0]])
        renamed = f"now {last[0]}{' (' + detail + ')' if detail else ''}"
        return Difference(Kind.RENAMED, table, column.name, renamed, works=True)
    parts = [f"{name} [{shown[name].unit}]" if name in shown and shown[name].unit else name for name in last]
    return Difference(Kind.REPLACED, table, column.name, f"now {' and '.join(parts)}", works=True)


def _only_renamed(name: str, table: Table) -> bool:
    """Whether nothing but its name changed, however often."""
    while successors := table.successors.get(name):
        if table.derived.get(successors[0], "") != '"' + name.replace('"', '""') + '"':
            return False
        name = successors[0]
    return True


def _followed(names: tuple[str, ...], table: Table) -> tuple[str, ...]:
    """Successors that are shown: those of names that had successors in turn are followed."""
    found: list[str] = []
    for name in names:
        found += _followed(table.successors[name], table) if table.successors.get(name) else [name]
    return tuple(dict.fromkeys(found))


def _succeeds(name: str, table: Table) -> bool:
    return any(name in successors for successors in table.successors.values())


def _changed(old: Column, new: Column) -> str:
    """How a column that kept its name differs; nothing for other words in its description."""
    pairs = {
        "type": (_typed(old), _typed(new)),
        "unit": (old.unit or "none", new.unit or "none"),
        "UCD": (old.ucd or "none", new.ucd or "none"),
        "may be null": (_yes(old.nullable), _yes(new.nullable)),
    }
    return ", ".join(f"{what} {was} -> {now}" for what, (was, now) in pairs.items() if was != now)


def _typed(column: Column) -> str:
    return f"{column.datatype}[{column.arraysize}]" if column.arraysize else str(column.datatype)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
