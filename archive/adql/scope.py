"""Names: which columns a place in the query can see, and what to say when a name fits none or several.

The matching rule (standards ask for no single one): an undelimited name fits in any case of letters, the exact
spelling winning inside one table; a delimited name fits exactly. Inner queries see outer ones; the innermost
query that knows a name has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from archive.adql import bound, tree
from archive.adql.lexer import fault_at
from archive.adql.types import Refused
from archive.columns import Column
from archive.faults import UsageFault
from archive.tables import Catalog, Table


class Visible:
    """One FROM item as names see it. ``name`` is its correlation name or else the table's own."""

    __slots__ = ("_fields", "alias", "name", "schema")

    def __init__(self, alias: str, name: str, schema: str | None) -> None:
        self.alias = alias
        self.name = name
        self.schema = schema  # None once a correlation name hides it
        self._fields: dict[str, bound.Field] = {}

    def columns(self) -> Sequence[tuple[str, Column]]:
        """What ``*`` shows: field names with descriptions, in order."""
        raise AssertionError

    def matches(self, identifier: tree.Identifier) -> Sequence[tuple[str, Column]]:
        """The columns ``identifier`` fits, shown or not."""
        raise AssertionError

    def field(self, name: str, column: Column) -> bound.Field:
        """The one ``Field`` object for a column of this item."""
        known = self._fields.get(name)
        if known is None:
            known = self._fields[name] = bound.Field(self.alias, name, column)
        return known

    def find(self, identifier: tree.Identifier) -> list[bound.Field]:
        """The fields ``identifier`` fits."""
        return [self.field(name, column) for name, column in self.matches(identifier)]

    def is_called(self, qualifier: Sequence[tree.Identifier]) -> bool:
        """True if ``qualifier`` (table, or schema and table) means this item."""
        if not fits(qualifier[-1], self.name):
            return False
        return len(qualifier) == 1 or (
            len(qualifier) == 2 and self.schema is not None and fits(qualifier[0], self.schema)
        )

    def __str__(self) -> str:
        return self.name if self.schema is None else f"{self.schema}.{self.name}"


class VisibleTable(Visible):
    """A described table."""

    __slots__ = ("table",)

    def __init__(self, alias: str, name: str, schema: str | None, table: Table) -> None:
        super().__init__(alias, name, schema)
        self.table = table

    def columns(self) -> Sequence[tuple[str, Column]]:
        return [(column.name, column) for column in self.table.columns]

    def matches(self, identifier: tree.Identifier) -> Sequence[tuple[str, Column]]:
        if identifier.delimited:
            exact = self.table.by_name.get(identifier.text)
            return () if exact is None else ((exact.name, exact),)
        found = self.table.by_folded.get(identifier.text.lower(), ())
        if len(found) > 1:
            found = tuple(column for column in found if column.name == identifier.text) or found
        return [(column.name, column) for column in found]


class VisibleRows(Visible):
    """The rows of a subquery or common table; several outputs may have one name."""

    __slots__ = ("_by_folded", "_columns")

    def __init__(self, alias: str, name: str, columns: Sequence[Column]) -> None:
        super().__init__(alias, name, None)
        self._columns = [(f"c{i}", column) for i, column in enumerate(columns, 1)]
        self._by_folded: dict[str, list[tuple[str, Column]]] = {}
        for entry in self._columns:
            self._by_folded.setdefault(entry[1].name.lower(), []).append(entry)

    def columns(self) -> Sequence[tuple[str, Column]]:
        return self._columns

    def matches(self, identifier: tree.Identifier) -> Sequence[tuple[str, Column]]:
        found = self._by_folded.get(identifier.text.lower(), [])
        if identifier.delimited or len(found) > 1:
            exact = [entry for entry in found if entry[1].name == identifier.text]
            return exact if identifier.delimited else exact or found
        return found


def fits(identifier: tree.Identifier, name: str) -> bool:
    """The matching rule for one name."""
    return identifier.text == name or (not identifier.delimited and identifier.text.lower() == name.lower())


@dataclass(frozen=True, slots=True)
class Shown:
    """A column as ``*`` shows it; ``members`` are the fields that a NATURAL or USING join made one."""

    name: str
    value: bound.Value
    members: frozenset[tuple[str, str]]


@dataclass(slots=True)
class Relation:
    """What FROM gives: its source, the items names can see and the columns shared by joins."""

    source: bound.Source
    visible: tuple[Visible, ...]
    parts: tuple[Relation, Relation] | None = None
    shared: tuple[Shown, ...] = ()  # by this join
    merged: Mapping[str, Shown] = field(default_factory=dict)  # by this join and those inside, by lower-cased name

    def shown(self) -> Iterator[Shown]:
        """The columns of ``*``: shared ones first, once (SQL-92 section 7.5)."""
        if self.parts is None:
            for item in self.visible:
                for name, column in item.columns():
                    yield Shown(column.name, item.field(name, column), frozenset(((item.alias, name),)))
            return
        gone = frozenset[tuple[str, str]]().union(*(entry.members for entry in self.shared))
        yield from self.shared
        for part in self.parts:
            yield from (entry for entry in part.shown() if not entry.members & gone)

    def star(self) -> list[tuple[str, bound.Value]]:
        """The columns of ``*``, quickly."""
        if self.merged:
            return [(entry.name, entry.value) for entry in self.shown()]
        return [(column.name, item.field(name, column)) for item in self.visible for name, column in item.columns()]

    def find(self, identifier: tree.Identifier) -> list[bound.Value]:
        """What an unqualified name fits here."""
        if len(self.visible) == 1:
            return list(self.visible[0].find(identifier))
        found = [one for item in self.visible for one in item.find(identifier)]
        shared = self.merged.get(identifier.text.lower()) if self.merged and found else None
        if shared is None or (identifier.delimited and shared.name != identifier.text):
            return list(found)
        return [shared.value, *(one for one in found if (one.source, one.name) not in shared.members)]

    def called(self, qualifier: Sequence[tree.Identifier]) -> list[Visible]:
        """The items that ``qualifier`` means."""
        return [item for item in self.visible if item.is_called(qualifier)]


@dataclass(frozen=True, slots=True)
class Named:
    """Bound rows with their outputs as the query around them names them (names may repeat)."""

    rows: bound.Rows
    columns: tuple[Column, ...]


class Session:
    """What one call of ``resolve`` knows and gathers. ``subquery`` is set by ``resolve``, which owns queries."""

    __slots__ = (
        "_aliases",
        "catalog",
        "common",
        "frames",
        "notes",
        "pending",
        "query",
        "regions",
        "subquery",
        "tables",
    )

    subquery: Callable[[tree.Body, Block | None, Session], Named]

    def __init__(self, query: tree.Query, catalog: Catalog) -> None:
        self.query = query
        self.catalog = catalog
        self.tables: dict[tuple[str, str], Table] = {}
        self.common: dict[str, tuple[tree.Identifier, str, tuple[Column, ...]]] = {}  # by lower-cased name
        self.pending: set[str] = set()  # common tables not yet defined
        self.notes: list[str] = []
        self.frames: set[str] = set()
        self.regions: dict[tuple[str, str], tuple[tuple[int, int], ...]] = {}  # fields that hold a known region
        self._aliases = 0

    def alias(self) -> str:
        """The next generated name of a FROM item."""
        self._aliases += 1
        return f"t{self._aliases}"

    def note(self, text: str) -> None:
        """Tell the user ``text`` with the answer, once."""
        if text not in self.notes:
            self.notes.append(text)

    def carry_regions(self, rows: bound.Rows, alias: str) -> None:
        """What ``rows`` merely pass on of known regions is known of their columns below ``alias``, too."""
        for output in rows.outputs if isinstance(rows, bound.Select) else ():
            if isinstance(output.value, bound.Field):
                known = self.regions.get((output.value.source, output.value.name))
                if known is not None:
                    self.regions[alias, output.name] = known

    def fault(self, at: int, message: str, remedy: str = "") -> UsageFault:
        """A fault at a place of the query."""
        if at < 0 or not self.query.text:
            return UsageFault(message, remedy)
        return fault_at(self.query.text, at, message, remedy)

    def refused(self, at: int, refusal: Refused) -> UsageFault:
        """``refusal`` with its place."""
        return self.fault(at, refusal.message, refusal.remedy)


class Block:
    """One SELECT under way: what its expressions see, and whether aggregates may stand where we are."""

    __slots__ = ("aggregated", "forbidden", "items", "parent", "relation", "session")

    def __init__(
        self,
        session: Session,
        parent: Block | None,
        relation: Relation | None,
        items: Sequence[tree.Item | tree.Star] = (),
    ) -> None:
        self.session = session
        self.parent = parent
        self.relation = relation
        self.items = items  # the select list, for advice
        self.forbidden: str | None = None  # the clause in which no aggregate may stand
        self.aggregated = False  # an aggregate was seen

    def find(self, name: tree.Name) -> bound.Value:
        """The one value ``name`` means, here or in a query around this one; raises ``UsageFault``."""
        parts = name.parts
        block: Block | None = self
        while block is not None:
            if block.relation is not None:
                found = (
                    block.relation.find(parts[0]) if len(parts) == 1 else _qualified(block.relation, parts, self, name)
                )
                if len(found) == 1:
                    return found[0]
                if found:
                    raise self._ambiguous(name, block.relation, found)
            block = block.parent
        raise self._unknown(name)

    def _ambiguous(self, name: tree.Name, relation: Relation, found: Sequence[bound.Value]) -> UsageFault:
        owners = {item.alias: item for item in relation.visible}
        candidates = [
            f"{owners[one.source]}.{one.column.name}" for one in found if isinstance(one, bound.Field)
        ]  # fmt: skip
        distinct = list(dict.fromkeys(candidates))
        if len(distinct) > 1:
            remedy = f"It may be {_listed(distinct, 'or')}: write which."
        else:
            remedy = "Give the columns of the subquery different names with AS."
        return self.session.fault(name.at, f"column {written(name.parts)} is ambiguous.", remedy)

    def _unknown(self, name: tree.Name) -> UsageFault:
        if len(name.parts) > 1:
            return self._unknown_qualifier(name)
        wanted = name.parts[0]
        relations = self._relations()
        message = f"there is no column {written(name.parts)}"
        if any(isinstance(item, tree.Item) and item.alias and fits(wanted, item.alias.text) for item in self.items):
            return self.session.fault(
                name.at, f"{wanted} is an alias; it can be used in ORDER BY only.", "Write its expression here."
            )
        if not relations:
            return self.session.fault(name.at, f"{message}: this query reads no table.")
        items = [item for relation in relations for item in relation.visible]
        return self.session.fault(
            name.at,
            f"{message} in {_listed([str(item) for item in items], 'or')}.",
            _advice(self.session, wanted, items),
        )

    def _unknown_qualifier(self, name: tree.Name) -> UsageFault:
        qualifier = name.parts[:-1]
        known = [str(item) for relation in self._relations() for item in relation.visible]
        near = _near(qualifier[-1].text, [one.rpartition(".")[2] for one in known])
        hidden = [
            item.name
            for relation in self._relations()
            for item in relation.visible
            if isinstance(item, VisibleTable) and item.schema is None and fits(qualifier[-1], item.table.name)
        ]
        if hidden:
            remedy = f"It was given the name {hidden[0]}: write {hidden[0]}.{name.parts[-1]}."
        elif near:
            remedy = f"Did you mean {near[0]}?"
        else:
            remedy = f"FROM has {_listed(known, 'and')}." if known else ""
        return self.session.fault(name.at, f"{written(qualifier)} is not in FROM.", remedy)

    def _relations(self) -> list[Relation]:
        found = []
        block: Block | None = self
        while block is not None:
            if block.relation is not None:
                found.append(block.relation)
            block = block.parent
        return found


def _qualified(
    relation: Relation, parts: tuple[tree.Identifier, ...], block: Block, name: tree.Name
) -> list[bound.Value]:
    """What ``table.column`` fits in one query; the innermost query that has the table must have the column."""
    items = relation.called(parts[:-1])
    found: list[bound.Value] = [one for item in items for one in item.find(parts[-1])]
    if items and not found:
        raise block.session.fault(
            name.at,
            f"there is no column {parts[-1]} in {_listed([str(item) for item in items], 'or')}.",
            _advice(block.session, parts[-1], items),
        )
    return found


def _advice(session: Session, wanted: tree.Identifier, items: Sequence[Visible]) -> str:
    """What may be meant by a column name that no item has: near names, the right case, another table."""
    names = list(dict.fromkeys(column.name for item in items for _, column in item.columns()))
    if wanted.delimited and (folded := [name for name in names if name.lower() == wanted.text.lower()]):
        return f"Quoted names must match exactly: write {quoted(folded[0])}."
    near = [quoted(name) for name in _near(wanted.text, names)]
    hint = f"Did you mean {_listed(near, 'or')}?" if near else ""
    there = [
        table.qualified
        for table in session.catalog.tables()
        if any(fits(wanted, column.name) for column in table.columns)
    ][:3]
    if there and not (near and near[0].lower() == wanted.text.lower()):
        hint += f"{' ' if hint else ''}{_listed(there, 'and')} {'has' if len(there) == 1 else 'have'} such a column."
    if hint or not names:
        return hint
    if wanted.delimited:
        return f"A text stands in single quotes: '{wanted.text}'."
    return f"Its columns begin with {', '.join(names[:5])}."


def _near(wanted: str, names: Sequence[str], most: int = 3) -> list[str]:
    """Names that look like ``wanted``, the nearest first."""
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(name.lower(), name)
    return [folded[one] for one in get_close_matches(wanted.lower(), list(folded), n=most, cutoff=0.6)]


def near(wanted: str, names: Sequence[str]) -> str:
    """A question with the names that look like ``wanted``, or nothing."""
    found = _near(wanted, names)
    return f"Did you mean {_listed(found, 'or')}?" if found else ""


def quoted(name: str) -> str:
    """``name`` as it must be written in a query."""
    return str(
        tree.Identifier(name, not name.isascii() or not name.replace("_", "a").isalnum() or not name[0].isalpha())
    )


def written(parts: Sequence[tree.Identifier]) -> str:
    """A name as it was written."""
    return ".".join(str(part) for part in parts)


def _listed(names: Sequence[str], word: str) -> str:
    """``a, b or c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"
