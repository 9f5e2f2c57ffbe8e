"""FROM: tables, subqueries and joins to bound sources, with the columns they let names see."""

from __future__ import annotations

from collections.abc import Callable

from archive.adql import bound, tree
from archive.adql.calls import common_column
from archive.adql.scope import (
    Block,
    Relation,
    Session,
    Shown,
    Visible,
    VisibleRows,
    VisibleTable,
    fits,
    near,
    written,
)
from archive.adql.types import Refused, pair, plain
from archive.faults import UsageFault
from archive.tables import Table

Condition = Callable[[tree.Condition, Block], bound.Condition]


def relation(node: tree.TableReference, session: Session, parent: Block | None, condition: Condition) -> Relation:
    """The relation of a FROM clause. ``parent`` is the query around this one, ``condition`` resolves ON."""
    made = _Sources(session, parent, condition).resolve(node)
    _refuse_twins(made, session, node)
    return made


def _refuse_twins(made: Relation, session: Session, node: tree.TableReference) -> None:
    """Two FROM items that could not be told apart are an error (ADQL 2.1 section 2.2.3)."""
    if len(made.visible) == 1:
        return
    seen: dict[tuple[str | None, str], Visible] = {}
    for item in made.visible:
        key = (item.schema, item.name if item.schema else item.name.lower())
        if key in seen:
            raise session.fault(
                node.at, f"FROM has {item} twice.", f"Give each its own name: FROM {item} AS a, ... {item} AS b."
            )
        seen[key] = item


class _Sources:
    def __init__(self, session: Session, parent: Block | None, condition: Condition) -> None:
        self._session = session
        self._parent = parent
        self._condition = condition

    def resolve(self, node: tree.TableReference) -> Relation:
        if isinstance(node, tree.TableName):
            return self._table(node)
        if isinstance(node, tree.Derived):
            named = self._session.subquery(node.query, self._parent, self._session)
            alias = self._session.alias()
            self._session.carry_regions(named.rows, alias)
            return Relation(bound.Sub(alias, named.rows), (VisibleRows(alias, node.alias.text, named.columns),))
        return self._join(node)

    def _table(self, node: tree.TableName) -> Relation:
        session = self._session
        called = node.alias.text if node.alias else None
        if len(node.parts) == 1 and (common := session.common.get(node.parts[0].text.lower())):
            identifier, generated, columns = common
            if fits(node.parts[0], identifier.text):
                alias = session.alias()
                passed = {name: known for (source, name), known in session.regions.items() if source == generated}
                session.regions |= {(alias, name): known for name, known in passed.items()}
                visible = VisibleRows(alias, called or identifier.text, columns)
                return Relation(bound.CommonSource(alias, generated), (visible,))
        table = find_table(node, session)
        session.tables[table.key] = table
        alias = session.alias()
        session.regions |= {(alias, name): ranges for name, ranges in table.regions.items()}
        schema = None if called else table.schema
        return Relation(bound.Stored(alias, table), (VisibleTable(alias, called or table.name, schema, table),))

    def _join(self, node: tree.Join) -> Relation:
        chain = [node]
        while isinstance(chain[-1].left, tree.Join):
            chain.append(chain[-1].left)
        left = self.resolve(chain[-1].left)
        for join in reversed(chain):
            left = self._joined(join, left, self.resolve(join.right))
        return left

    def _joined(self, node: tree.Join, left: Relation, right: Relation) -> Relation:
        visible = (*left.visible, *right.visible)
        merged = {**left.merged, **right.merged} if left.merged or right.merged else {}
        if node.natural or node.using:
            return self._shared(node, left, right, visible, merged)
        on = None
        if node.on is not None:
            inside = Block(self._session, self._parent, Relation(left.source, visible, None, (), merged))
            inside.forbidden = "ON"
            on = self._condition(node.on, inside)
        source = bound.Join(node.kind, left.source, right.source, on)
        return Relation(source, visible, (left, right), (), merged)

    def _shared(
        self,
        node: tree.Join,
        left: Relation,
        right: Relation,
        visible: tuple[Visible, ...],
        merged: dict[str, Shown],
    ) -> Relation:
        names = node.using or self._natural(node, left, right)
        shared, conditions = [], []
        for name in names:
            one, other = self._side(name, left, node, "left"), self._side(name, right, node, "right")
            try:
                a, b = pair(one.value, other.value)
            except Refused as refusal:
                raise self._session.refused(name.at, refusal) from None
            conditions.append(bound.Comparison("=", a, b))
            value = _merged_value(node.kind, one.value, other.value)
            shared.append(Shown(one.name, value, one.members | other.members))
        merged |= {entry.name.lower(): entry for entry in shared}
        on = conditions[0] if len(conditions) == 1 else bound.And(tuple(conditions))
        source = bound.Join(node.kind, left.source, right.source, on)
        return Relation(source, visible, (left, right), tuple(shared), merged)

    def _natural(self, node: tree.Join, left: Relation, right: Relation) -> tuple[tree.Identifier, ...]:
        """The names both sides have, as they are spelt on the left."""
        there = {entry.name.lower() for entry in right.shown()}
        names = [entry.name for entry in left.shown() if entry.name.lower() in there]
        if not names:
            raise self._session.fault(
                node.at,
                "NATURAL JOIN finds no column that both sides have.",
                "Name the columns: JOIN ... ON a.x = b.y.",
            )
        return tuple(tree.Identifier(name, True, node.at) for name in dict.fromkeys(names))

    def _side(self, name: tree.Identifier, side: Relation, node: tree.Join, which: str) -> Shown:
        """The one column of a side that a join shares under ``name``."""
        wanted = tree.Identifier(name.text) if node.natural else name
        merged = side.merged.get(name.text.lower())
        found = side.find(wanted)
        if len(found) == 1:
            value = found[0]
            if merged is not None and merged.value is value:
                return merged
            if isinstance(value, bound.Field):
                return Shown(value.column.name, value, frozenset(((value.source, value.name),)))
        at = name.at if name.at >= 0 else node.at
        if not found:
            columns = [column.name for item in side.visible for _, column in item.columns()]
            raise self._session.fault(
                at, f"the {which} side of the join has no column {name}.", near(name.text, columns)
            )
        raise self._session.fault(at, f"column {name} is ambiguous on the {which} side of the join.", "Use ON instead.")


def _merged_value(kind: tree.JoinKind, left: bound.Value, right: bound.Value) -> bound.Value:
    """A shared column: the side that is never NULL for want of a match (SQL-92 section 7.5)."""
    if kind is tree.JoinKind.RIGHT:
        return right
    if kind is tree.JoinKind.FULL:
        column = common_column((left, right))
        return bound.Apply(
            "coalesce",
            (left, right),
            plain(
                column.datatype, column.unit, left.column.ucd, column.arraysize, column.xtype, left.column.description
            ),
        )
    return left


def find_table(node: tree.TableName, session: Session) -> Table:
    """The one described table that ``node`` names; raises ``UsageFault``."""
    parts = node.parts
    if len(parts) > 3 or (
        len(parts) == 3 and not session.catalog.schemas_named(f"{parts[0].text}.{parts[1].text}".lower())
    ):
        raise session.fault(
            node.at,
            f"there is no table {written(parts)}.",
            f"Tables are named schema.table here: {written(parts[-2:])}.",
        )
    schema = None
    if len(parts) > 1:
        schema = (
            parts[0] if len(parts) == 2 else tree.Identifier(f"{parts[0].text}.{parts[1].text}", parts[0].delimited)
        )
    name = parts[-1]
    found = session.catalog.tables_named(schema.text.lower() if schema else None, name.text.lower())
    if name.delimited or (schema is not None and schema.delimited):
        found = [one for one in found if fits(name, one.name) and (schema is None or fits(schema, one.schema))]
    if len(found) > 1 and schema is not None:
        found = [one for one in found if one.name == name.text] or found
        found = [one for one in found if one.schema == schema.text] or found
    if len(found) == 1:
        return found[0]
    if found:
        places = " or ".join(one.qualified for one in found[:6])
        raise session.fault(node.at, f"table {written(parts)} is ambiguous.", f"It may be {places}: write which.")
    raise _unknown_table(node, schema, name, session)


def _unknown_table(
    node: tree.TableName, schema: tree.Identifier | None, name: tree.Identifier, session: Session
) -> UsageFault:
    catalog = session.catalog
    message = f"there is no table {written(node.parts)}."
    elsewhere = [one.qualified for one in catalog.tables_named(None, name.text.lower())]
    if elsewhere:
        remedy = f"Did you mean {' or '.join(elsewhere[:3])}?"
    elif schema is not None and schema.text.upper() == "TAP_UPLOAD" and not catalog.schemas_named("tap_upload"):
        remedy = f"Send it with the query: UPLOAD={name.text},... (TAP 1.1 section 2.5)."
        message = "no table was uploaded with this query."
    elif schema is not None and not catalog.schemas_named(schema.text.lower()):
        names = [one.name for one in catalog.schemas]
        remedy = (
            near(schema.text, names) or f"The schemas are {', '.join(names[:12])}{'...' if len(names) > 12 else ''}."
        )
        message = f"there is no schema {schema}."
    elif schema is not None:
        names = [table.name for one in catalog.schemas_named(schema.text.lower()) for table in one.tables]
        remedy = (
            near(name.text, names) or f"Schema {schema} has {', '.join(names[:12])}{'...' if len(names) > 12 else ''}."
        )
    else:
        remedy = _near_tables(name, session) or "Tables are named schema.table; TAP_SCHEMA.tables lists them."
    if schema is None and name.text.lower() in session.pending:
        remedy = "A common table can be used only after its definition; WITH is not recursive."
    return session.fault(node.at, message, remedy)


def _near_tables(name: tree.Identifier, session: Session) -> str:
    common = {identifier.text: identifier.text for identifier, _, _ in session.common.values()}
    names = {table.name: table.qualified for table in session.catalog.tables()} | common
    hint = near(name.text, list(names))
    for short, whole in names.items():
        if hint == f"Did you mean {short}?":
            return f"Did you mean {whole}?"
    return hint
