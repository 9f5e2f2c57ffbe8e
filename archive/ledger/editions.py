"""Editions from their beginning to their end, and which of them are published.

An edition is begun (it gets a number), built, published in one commit with any number of others, retired by a
newer one, and removed when nobody serves it any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Row, select

from archive.ledger import events, schema
from archive.ledger.database import now, stamp
from archive.ledger.processes import forget_silent, living, oldest_served
from archive.tables import Edition

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Built:
    """An edition that is ready, and the state of the table that it shows."""

    edition: Edition
    state: int


def begin(transaction: Connection, key: Key, state: int, description: int, builder: str) -> int:
    """A number for an edition of that state; one whose builder died half-way is taken over."""
    forget_silent(transaction)
    table = schema.edition
    begun = transaction.execute(
        select(table.c.number, table.c.builder).where(
            table.c.schema == key[0], table.c.table == key[1], table.c.place.is_(None)
        )
    )
    alive = living(transaction)
    values = {"state": state, "description": description, "builder": builder, "begun": now()}
    for number, owner in begun:
        if owner not in alive:
            transaction.execute(table.update().where(table.c.number == number).values(**values))
            return int(number)
    result = transaction.execute(table.insert().values(schema=key[0], table=key[1], **values))
    inserted = result.inserted_primary_key
    assert inserted is not None
    return int(inserted[0])


def publish(transaction: Connection, name: str, description: int, built: Iterable[Built]) -> int:
    """Show these editions of schema ``name`` from now on, all at once, and the whole schema as described.

    Returns the new revision of what is published. An edition that shows an older state than is published already
    (another process was faster) is retired at once.
    """
    revision = current_revision(transaction) + 1
    transaction.execute(schema.revision.update().values(number=revision))
    shown = []
    for item in built:
        _record(transaction, item.edition)
        if _take_place(transaction, item, description, revision):
            shown.append(".".join(item.edition.key))
    table = schema.published
    transaction.execute(table.update().where(table.c.schema == name).values(description=description))
    events.append(transaction, "publish", {"revision": revision, "schema": name, "tables": shown})
    return revision


def _record(transaction: Connection, edition: Edition) -> None:
    transaction.execute(
        schema.edition.update()
        .where(schema.edition.c.number == edition.number)
        .values(place=edition.place, physical=dict(edition.physical), rows=edition.rows, healpix=edition.healpix)
    )


def _take_place(transaction: Connection, item: Built, description: int, revision: int) -> bool:
    table = schema.published
    here = (table.c.schema == item.edition.key[0]) & (table.c.table == item.edition.key[1])
    before = transaction.execute(select(table).where(here)).one_or_none()
    if before is not None and before.state > item.state:
        _retire(transaction, item.edition.number, revision)
        return False
    if before is not None:
        _retire(transaction, before.edition, revision)
        transaction.execute(table.delete().where(here))
    transaction.execute(
        table.insert().values(
            schema=item.edition.key[0],
            table=item.edition.key[1],
            edition=item.edition.number,
            state=item.state,
            description=description,
            revision=revision,
        )
    )
    return True


def _retire(transaction: Connection, number: int, revision: int) -> None:
    transaction.execute(
        schema.edition.update()
        .where(schema.edition.c.number == number)
        .values(retired=now(), retired_revision=revision)
    )


def current_revision(transaction: Connection) -> int:
    """The revision of what is published; it grows by one with each change."""
    return int(transaction.execute(select(schema.revision.c.number)).scalar_one())


def published_states(transaction: Connection, name: str) -> dict[str, tuple[int, int]]:
    """For each published table of the schema the state and the description (by id) that is shown."""
    table = schema.published
    rows = transaction.execute(select(table).where(table.c.schema == name))
    return {row.table: (row.state, row.description) for row in rows}


def removable(transaction: Connection, grace: float) -> list[Edition]:
    """Retired editions that no living process serves and whose grace (seconds) has passed."""
    forget_silent(transaction)
    oldest = oldest_served(transaction)
    table = schema.edition
    condition = table.c.retired < stamp(datetime.now(UTC) - timedelta(seconds=grace))
    if oldest is not None:
        condition &= table.c.retired_revision <= oldest
    return [as_edition(row) for row in transaction.execute(select(table).where(condition).order_by(table.c.number))]


def remove(transaction: Connection, number: int) -> None:
    """Forget an edition whose bytes are gone."""
    transaction.execute(schema.edition.delete().where(schema.edition.c.number == number))


def as_edition(row: Row[tuple[object, ...]]) -> Edition:
    """The edition that a row of the ledger tells of."""
    return Edition((row.schema, row.table), row.number, row.place, row.physical, row.rows, row.healpix)
