"""Rows of tables as members of datasets: which they are, in words of ADQL, and how many, in one state of the table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace

from archive.adql import parse, tree
from archive.backbone.endpoint import Endpoint
from archive.faults import NotFound, TransientFault, UsageFault
from archive.ledger import files
from archive.ledger.members import RowGroup, parts_digest
from archive.query import Question, answer


def count_rows(endpoint: Endpoint, table: str, condition: str = "") -> RowGroup:
    """The rows of a published table (``schema.table``) that fulfil an ADQL condition, as they are now; empty: all.

    Raises:
        NotFound: no such table is published.
        UsageFault: the condition is wrong, or is none.
        TransientFault: another state is published meanwhile.
    """
    schema, _, name = table.partition(".")
    key = (schema, name)
    number = endpoint.ledger.published().states.get(key)
    if number is None:
        raise NotFound(f"No table '{table}' is published here.", "Write it as SCHEMA.TABLE; see 'archive publish'.")
    result = answer(Question(_counting(table, condition)), endpoint.ledger, endpoint.engine)
    try:
        rows = sum(value for batch in result.batches for value in batch.column(0).to_pylist())
    finally:
        result.close()
    with endpoint.ledger.read() as transaction:
        state = files.state(transaction, key, number)
    if endpoint.ledger.published().states.get(key) != number:
        raise TransientFault(f"Another state of {table} was published meanwhile.", "Do it again.")
    return RowGroup(schema, name, condition.strip(), number, parts_digest(state), int(rows))


def _counting(table: str, condition: str) -> tree.Query:
    """The query that counts the rows.

    Raises:
        UsageFault: what is given is no condition on this table alone.
    """
    words = ("SELECT COUNT(*) AS n FROM", table)
    counted = parse(" ".join(words))
    assert isinstance(counted.body, tree.Select)
    if not condition.strip():
        return counted
    asked = parse(" ".join((*words, "WHERE", condition)))
    body = asked.body
    alone = isinstance(body, tree.Select) and replace(body, where=None) == counted.body and not asked.common
    if not alone or any(isinstance(each, tree.Select | tree.SetOperation) for each in _nodes(_where(body))):
        raise UsageFault(
            f"'{condition}' is no condition on the rows of {table} alone.",
            "Write what follows WHERE, such as visit = 123.",
        )
    return asked


def _where(body: tree.Body) -> object:
    return body.where if isinstance(body, tree.Select) else body


def _nodes(node: object) -> Iterator[object]:
    yield node
    if isinstance(node, tuple):
        for each in node:
            yield from _nodes(each)
    elif is_dataclass(node) and not isinstance(node, type):
        for field in fields(node):
            yield from _nodes(getattr(node, field.name))
