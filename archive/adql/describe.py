"""Names and descriptions of a query's outputs, by rule."""

from __future__ import annotations

import re
from collections.abc import Sequence

from archive.adql import bound, tree
from archive.columns import Column

_DEEPEST = 6
_LONGEST = 200


def output(item: tree.Item, value: bound.Value, position: int) -> Column:
    """The description of one entry of the select list.

    An alias, or else a column's own name, is kept; another expression is named after its function and its column
    (``MAX(mag)`` becomes ``max_mag``) or its position (``col_3``), and described by its own text.
    """
    column = value.column
    expression = item.expression
    if isinstance(expression, tree.Name):
        name = item.alias.text if item.alias else column.name or expression.parts[-1].text
        return column if name == column.name else column.named(name)
    name = item.alias.text if item.alias else generated(expression, position)
    description = text(expression)
    subject = value.arguments[0] if isinstance(value, bound.Aggregate | bound.Apply) and value.arguments else None
    if isinstance(subject, bound.Field) and subject.column.description:
        description = f"{description}: {subject.column.description}"
    return Column(
        name,
        column.datatype,
        column.arraysize,
        column.xtype,
        column.unit or None,
        _derived(column.ucd),
        None,
        description,
    )


def _derived(ucd: str | None) -> str | None:
    """The UCD of what is made from a column: no longer the main one of its kind."""
    if ucd is None or "meta.main" not in ucd:
        return ucd
    return ";".join(word for word in ucd.split(";") if word != "meta.main") or None


def generated(expression: tree.Expression, position: int) -> str:
    """A name for an output that has none: legal, and no reserved word because of its underscore."""
    match expression:
        case tree.Aggregate(function=function, argument=None):
            return f"{function.lower()}_all"
        case tree.Aggregate(function=function, argument=tree.Name(parts=parts)):
            return _legal(f"{function.lower()}_{parts[-1].text}")
        case tree.Aggregate(function=function):
            return f"{function.lower()}_{position}"
        case tree.Call(name=name, arguments=(tree.Name(parts=parts),)):
            return _legal(f"{name.text.lower()}_{parts[-1].text}")
        case tree.Call(name=name):
            return _legal(f"{name.text.lower()}_{position}")
        case tree.Cast(operand=tree.Name(parts=parts)):
            return _legal(f"cast_{parts[-1].text}")
    return f"col_{position}"


def _legal(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def unique(columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns with names that differ in more than the case of letters: a second ``x`` becomes ``x_2``."""
    taken = {column.name.lower() for column in columns}
    if len(taken) == len(columns):
        return tuple(columns)
    seen: set[str] = set()
    made = []
    for column in columns:
        name, number = column.name, 2
        while name.lower() in seen or (name is not column.name and name.lower() in taken):
            name = f"{column.name}_{number}"
            number += 1
        seen.add(name.lower())
        made.append(column if name is column.name else column.named(name))
    return tuple(made)


def text(node: tree.Expression, depth: int = 0) -> str:
    """An expression as ADQL text, for people: what is deep or long is cut."""
    if depth > _DEEPEST:
        return "..."
    written = _text(node, depth)
    return written if depth or len(written) <= _LONGEST else written[: _LONGEST - 3] + "..."


def _text(node: tree.Expression, depth: int) -> str:
    match node:
        case tree.Number():
            return node.text or str(node.value)
        case tree.Text():
            return "'" + node.value[:_LONGEST].replace("'", "''") + "'"
        case tree.Name():
            return ".".join(str(part) for part in node.parts)
        case tree.Signed():
            return node.sign + text(node.operand, depth + 1)
        case tree.Binary():
            return f"{_operand(node.left, depth)} {node.operator} {_operand(node.right, depth)}"
        case tree.Call():
            return f"{node.name}({', '.join(text(one, depth + 1) for one in node.arguments[:12])})"
        case tree.Aggregate():
            inner = "*" if node.argument is None else text(node.argument, depth + 1)
            return f"{node.function}({'DISTINCT ' if node.distinct else ''}{inner})"
        case tree.Cast():
            return f"CAST({text(node.operand, depth + 1)} AS {node.target.name})"
        case tree.Scalar():
            return "(SELECT ...)"
    return "NULL"


def _operand(node: tree.Expression, depth: int) -> str:
    inner = text(node, depth + 1)
    return f"({inner})" if isinstance(node, tree.Binary) else inner
