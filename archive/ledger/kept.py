"""What is kept here and how well: copies and bytes by type and state, what is at risk, how old the oldest check is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, false, func, select

from archive.ledger import schema
from archive.ledger.replicas import Has, Want


@dataclass(frozen=True, slots=True)
class Copies:
    """Copies of files of one product type (None: of catalogs and the like) in one store and state, and their bytes.

    ``state`` is what is known of them (present, absent, bad), or ``leaving`` where they are to be dropped.
    """

    type: str | None
    store: str
    state: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class AtRisk:
    """A file with a copy that is bad or absent: where, and how many copies are ``good``."""

    uri: str
    store: str
    state: str
    good: int
    lost: bool


@dataclass(frozen=True, slots=True)
class Whole:
    """How many files should be here (``files``), and how they fare; those retracted or dropped are none of them.

    ``gone`` have no good copy (those declared lost included), ``declared`` are declared lost. ``oldest`` is when the
    last check was of that good copy that was not read whole for the longest time. ``read`` were read whole since the
    moment that was asked for.
    """

    files: int
    gone: int
    declared: int
    oldest: str | None
    read: int


def copies(transaction: Connection) -> list[Copies]:
    """All copies of this endpoint, counted."""
    copy, file, product = schema.replica, schema.artifact, schema.product
    by = (product.c.type, copy.c.store, copy.c.has, copy.c.want)
    rows = transaction.execute(
        select(*by, func.count(), func.sum(file.c.size))
        .select_from(copy)
        .join(file, file.c.id == copy.c.artifact)
        .outerjoin(product, product.c.artifact == copy.c.artifact)
        .group_by(*by)
        .order_by(*by)
    )
    return [
        Copies(type_, store, "leaving" if want == Want.DROP else has, files, int(size))
        for type_, store, has, want, files, size in rows
    ]


def at_risk(transaction: Connection, most: int) -> Sequence[AtRisk]:
    """Files with a copy that is wanted and bad or absent, at most so many; those with fewest good copies first."""
    copy, file, loss = schema.replica, schema.artifact, schema.loss
    other = copy.alias("other")
    right = (other.c.artifact == copy.c.artifact) & (other.c.has == Has.PRESENT)
    good = select(func.count()).select_from(other).where(right).scalar_subquery()
    rows = transaction.execute(
        select(file.c.uri, copy.c.store, copy.c.has, good.label("good"), loss.c.artifact.is_not(None).label("lost"))
        .join(file, file.c.id == copy.c.artifact)
        .outerjoin(loss, loss.c.artifact == copy.c.artifact)
        .where(copy.c.want == Want.KEEP, copy.c.has.in_([Has.BAD, Has.ABSENT]), file.c.retracted.is_(None))
        .order_by("good", file.c.uri, copy.c.store)
        .limit(most)
    )
    return [AtRisk(row.uri, row.store, row.has, row.good, bool(row.lost)) for row in rows]


def whole(transaction: Connection, since: str | None = None) -> Whole:
    """How the files fare that should be here, and how many were ``read`` whole since a moment."""
    copy, loss = schema.replica, schema.loss
    each = _each().subquery()
    read = each.c.newest >= since if since is not None else false()
    files, gone, count = transaction.execute(
        select(func.count(), func.sum(_one_if(each.c.good == 0)), func.sum(_one_if(read))).select_from(each)
    ).one()
    declared = transaction.execute(select(func.count()).select_from(loss)).scalar_one()
    oldest = transaction.execute(select(func.min(copy.c.checked)).where(copy.c.has == Has.PRESENT)).scalar_one()
    return Whole(int(files), int(gone or 0), int(declared), oldest, int(count or 0))


def _each() -> Select[Any]:
    """Each file that was ever to be kept here and is neither retracted nor dropped: its good copies, and when the
    newest check of one of them was.
    """
    file, copy, dropping = schema.artifact, schema.replica, schema.dropping
    good = copy.c.has == Has.PRESENT
    gone = (dropping.c.artifact == copy.c.artifact) & dropping.c.returned.is_(None)
    return (
        select(
            copy.c.artifact,
            func.sum(_one_if(good)).label("good"),
            func.max(case((good, copy.c.checked))).label("newest"),
        )
        .join(file, file.c.id == copy.c.artifact)
        .outerjoin(dropping, gone)
        .where(copy.c.want == Want.KEEP, file.c.retracted.is_(None), dropping.c.artifact.is_(None))
        .group_by(copy.c.artifact)
    )


def _one_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


def shown(transaction: Connection) -> dict[str, tuple[int, int]]:
    """How many tables of each schema are shown, and their rows."""
    published, edition = schema.published, schema.edition
    rows = transaction.execute(
        select(published.c.schema, func.count(), func.coalesce(func.sum(edition.c.rows), 0))
        .join(edition, edition.c.number == published.c.edition)
        .group_by(published.c.schema)
    )
    return {name: (tables, int(count)) for name, tables, count in rows}
