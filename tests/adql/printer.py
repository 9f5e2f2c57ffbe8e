"""A syntax tree as ADQL text: the inverse of the parser, for tests.

Parentheses stand only where precedence asks for them, so that printing and parsing exercise it.
"""

from __future__ import annotations

from archive.adql import tree

_OR, _AND, _NOT, _PREDICATE, _VALUE, _SUM, _PRODUCT, _SIGN, _PRIMARY = range(1, 10)
_OPERATORS = {"||": _VALUE, "+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT, "%": _PRODUCT}


def query(node: tree.Query) -> str:
    """The text of a whole query."""
    common = ", ".join(f"{table.name} AS ({body(table.query)})" for table in node.common)
    return f"WITH {common} {body(node.body)}" if common else body(node.body)


def body(node: tree.Body) -> str:
    """The text of a query without WITH."""
    text = _select(node) if isinstance(node, tree.Select) else _set_operation(node)
    if node.order_by:
        text += " ORDER BY " + ", ".join(value(o.expression) + (" DESC" if o.descending else "") for o in node.order_by)
    return text if node.offset is None else f"{text} OFFSET {node.offset}"


def _select(node: tree.Select) -> str:
    parts = ["SELECT"]
    if node.distinct:
        parts.append("DISTINCT")
    if node.top is not None:
        parts.append(f"TOP {node.top}")
    parts.append(", ".join(map(_item, node.items)))
    if node.source is not None:
        parts.append("FROM " + source(node.source))
    if node.where is not None:
        parts.append("WHERE " + condition(node.where))
    if node.group_by:
        parts.append("GROUP BY " + ", ".join(map(value, node.group_by)))
    if node.having is not None:
        parts.append("HAVING " + condition(node.having))
    return " ".join(parts)


def _set_operation(node: tree.SetOperation) -> str:
    word = node.kind.value + (" ALL" if node.all else "")
    return f"{_operand(node.left, node.kind, False)} {word} {_operand(node.right, node.kind, True)}"


def _operand(node: tree.Body, within: tree.SetKind, right: bool) -> str:
    bare = not node.order_by and node.offset is None
    if isinstance(node, tree.SetOperation) and bare:
        stronger = node.kind is tree.SetKind.INTERSECT and within is not tree.SetKind.INTERSECT
        alike = (node.kind is tree.SetKind.INTERSECT) == (within is tree.SetKind.INTERSECT)
        bare = stronger or (alike and not right)
    return body(node) if bare else f"({body(node)})"


def _item(node: tree.Item | tree.Star) -> str:
    if isinstance(node, tree.Star):
        return ".".join([*map(str, node.qualifier), "*"])
    return value(node.expression) + (f" AS {node.alias}" if node.alias else "")


def source(node: tree.TableReference, right: bool = False) -> str:
    """The text of a FROM item; a join on the right of another stands in parentheses."""
    match node:
        case tree.TableName(parts, alias):
            return ".".join(map(str, parts)) + (f" AS {alias}" if alias else "")
        case tree.Derived(inner, alias):
            return f"({body(inner)}) AS {alias}"
        case tree.Join():
            text = _join(node)
            return f"({text})" if right else text


def _join(node: tree.Join) -> str:
    word = ("NATURAL " if node.natural else "") + node.kind.value + " JOIN"
    text = f"{source(node.left)} {word} {source(node.right, True)}"
    if node.on is not None:
        return f"{text} ON {condition(node.on)}"
    return f"{text} USING ({', '.join(map(str, node.using))})" if node.using else text


def value(node: tree.Expression, floor: int = _VALUE) -> str:
    """The text of an expression that must bind at least as strongly as ``floor``."""
    text, strength = _value(node)
    return text if strength >= floor else f"({text})"


def _value(node: tree.Expression) -> tuple[str, int]:
    match node:
        case tree.Number(_, text):
            return text, _PRIMARY
        case tree.Text(text):
            return "'" + text.replace("'", "''") + "'", _PRIMARY
        case tree.Null():
            return "NULL", _PRIMARY
        case tree.Name(parts):
            return ".".join(map(str, parts)), _PRIMARY
        case tree.Signed(sign, operand):
            return f"{sign} {value(operand, _SIGN)}", _SIGN
        case tree.Binary(operator, left, right):
            strength = _OPERATORS[operator]
            return f"{value(left, strength)} {operator} {value(right, strength + 1)}", strength
        case tree.Call(name, arguments):
            return f"{name}({', '.join(map(value, arguments))})", _PRIMARY
        case tree.Aggregate(function, argument, distinct):
            inner = "*" if argument is None else ("DISTINCT " if distinct else "") + value(argument)
            return f"{function}({inner})", _PRIMARY
        case tree.Cast(operand, target):
            length = f"({target.length})" if target.length else ""
            return f"CAST({value(operand)} AS {target.name}{length})", _PRIMARY
        case tree.Scalar(inner):
            return f"({body(inner)})", _PRIMARY


def condition(node: tree.Condition, floor: int = _OR) -> str:
    """The text of a condition that must bind at least as strongly as ``floor``."""
    text, strength = _condition(node)
    return text if strength >= floor else f"({text})"


def _condition(node: tree.Condition) -> tuple[str, int]:
    match node:
        case tree.Or(conditions):
            return " OR ".join(condition(part, _AND) for part in conditions), _OR
        case tree.And(conditions):
            return " AND ".join(condition(part, _NOT) for part in conditions), _AND
        case tree.Not(inner):
            return f"NOT {condition(inner, _NOT)}", _NOT
        case tree.Exists(inner):
            return f"EXISTS ({body(inner)})", _PREDICATE
        case tree.Comparison(operator, left, right):
            return f"{value(left)} {operator} {value(right)}", _PREDICATE
        case _:
            return _test(node), _PREDICATE


def _test(node: tree.Condition) -> str:
    """BETWEEN, IN, LIKE and IS NULL, negated or not."""
    word = "NOT " if getattr(node, "negated", False) else ""
    match node:
        case tree.Between(operand, low, high):
            return f"{value(operand)} {word}BETWEEN {value(low)} AND {value(high)}"
        case tree.InList(operand, items):
            return f"{value(operand)} {word}IN ({', '.join(map(value, items))})"
        case tree.InQuery(operand, inner):
            return f"{value(operand)} {word}IN ({body(inner)})"
        case tree.Like(operand, pattern, folded):
            return f"{value(operand)} {word}{'ILIKE' if folded else 'LIKE'} {value(pattern)}"
        case tree.IsNull(operand):
            return f"{value(operand)} IS {word}NULL"
    raise TypeError(node)
