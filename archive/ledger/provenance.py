"""What was made from what: from files to everything that would not be what it is without them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sqlalchemy import Connection, select

from archive.ledger import schema
from archive.ledger.bulk import portions


def made_from(transaction: Connection, sources: Mapping[int, str]) -> list[str]:
    """The URIs of all files that are not retracted and were made from ``sources`` (numbers and URIs), step by step."""
    seen = set(sources)
    found: list[str] = []
    current = dict(sources)
    while current:
        following = {number: uri for number, uri in _next(transaction, current) if number not in seen}
        seen |= set(following)
        found += following.values()
        current = following
    return found


def _next(transaction: Connection, sources: Mapping[int, str]) -> Iterator[tuple[int, str]]:
    table, derived, inputs = schema.artifact, schema.derived_from, schema.product_input
    kept = select(table.c.id, table.c.uri).where(table.c.retracted.is_(None))
    for numbers in portions(list(sources)):
        rows = transaction.execute(
            kept.join(derived, derived.c.artifact == table.c.id).where(derived.c.source.in_(numbers))
        )
        yield from ((row.id, row.uri) for row in rows)
    for uris in portions(list(sources.values())):
        rows = transaction.execute(kept.join(inputs, inputs.c.artifact == table.c.id).where(inputs.c.uri.in_(uris)))
        yield from ((row.id, row.uri) for row in rows)


def tables_of(transaction: Connection, artifacts: Iterable[int]) -> set[str]:
    """The qualified names of the tables into which these files were delivered, or whose parts they are."""
    found: set[str] = set()
    for numbers in portions(list(artifacts)):
        for table in (schema.delivery, schema.part):
            rows = transaction.execute(select(table.c.schema, table.c.table).where(table.c.artifact.in_(numbers)))
            found |= {f"{row.schema}.{row.table}" for row in rows}
    return found
