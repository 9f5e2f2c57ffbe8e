"""Blocks of IDs: each release draws its IDs from blocks that are its own for ever (DMS-DBB-REQ-0031).

A block is all 64-bit IDs with the same high bits, the block's number; so no two blocks meet, by the key of the
table, and an ID alone tells whose it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from archive.faults import UsageFault
from archive.ledger import schema
from archive.releases import MOST_BLOCKS, Release


@dataclass(frozen=True, slots=True)
class Block:
    """The IDs ``first`` to ``last``, given to the schema ``name``."""

    number: int
    name: str
    first: int
    last: int


def allocate(transaction: Connection, release: Release) -> None:
    """Give the release the block that its description asks for; what it was given stays its own.

    Raises:
        UsageFault: the block belongs to another schema.
    """
    ids = release.ids
    if release.id_block is None or ids is None:
        return
    table = schema.id_block
    owner = transaction.execute(select(table.c.name).where(table.c.number == release.id_block)).scalar_one_or_none()
    if owner is None:
        transaction.execute(
            table.insert().values(number=release.id_block, name=release.name, first=ids.start, last=ids.stop - 1)
        )
    elif owner != release.name:
        taken = set(transaction.execute(select(table.c.number)).scalars())
        free = next((number for number in range(1, MOST_BLOCKS + 1) if number not in taken), None)
        raise UsageFault(
            f"{release.name} wants ID block {release.id_block}, which belongs to {owner}.",
            f"Give it a free one in its .archive.yaml; {free} is free." if free else "There is no free one left.",
        )


def blocks(transaction: Connection) -> list[Block]:
    """All blocks that were given, by number."""
    table = schema.id_block
    rows = transaction.execute(select(table).order_by(table.c.number))
    return [Block(row.number, row.name, row.first, row.last) for row in rows]


def owner(transaction: Connection, number: int) -> str | None:
    """The schema whose block the ID ``number`` lies in, if any was given it."""
    table = schema.id_block
    inside = (table.c.first <= number) & (table.c.last >= number)
    return transaction.execute(select(table.c.name).where(inside)).scalar_one_or_none()
