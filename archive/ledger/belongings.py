"""What belongs to a release: its files, the parts and deliveries of its tables, and its datasets, in one order only.

Products and deliveries come in the order of their names (by code points), parts as they stand in their tables; a page
at a time, so that memory does not grow with the release.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, String, func, literal, select, union_all

from archive.ledger import products, schema
from archive.ledger.datasets import State as Stage
from archive.ledger.replicas import Has

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Kept:
    """A registered file: its name, its bytes."""

    uri: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class KeptProduct:
    """A product of the release; ``said`` is the sha256 of all that is said of it, as its event tells it."""

    file: Kept
    type: str
    collection: str
    said: str


@dataclass(frozen=True, slots=True)
class KeptPart:
    """Rows of a table in a place of its newest state, written under the description with that sha256."""

    file: Kept
    table: str
    position: int
    rows: int
    description: str


@dataclass(frozen=True, slots=True)
class KeptDelivery:
    """A file that parts were made from."""

    file: Kept
    table: str
    rows: int


@dataclass(frozen=True, slots=True)
class KeptDataset:
    """A sealed dataset; ``digest`` is over all that it holds."""

    uri: str
    collection: str
    type: str
    data_id: str
    state: str
    digest: str


Entry = KeptProduct | KeptPart | KeptDelivery | KeptDataset


def entries(transaction: Connection, name: str) -> Iterator[Entry]:
    """All that belongs to the release, first its products, then parts, deliveries and datasets."""
    yield from _products(transaction, name)
    yield from _parts(transaction, name)
    yield from _deliveries(transaction, name)
    yield from _datasets(transaction, name)


def open_datasets(transaction: Connection, name: str, most: int) -> list[str]:
    """Datasets of the release that are still being put together, at most so many of them."""
    table = schema.dataset
    begun = _of_release(select(table.c.uri), name).where(table.c.state == Stage.OPEN)
    return list(transaction.execute(begun.order_by(table.c.uri).limit(most)).scalars())


def without_copy(transaction: Connection, name: str, most: int) -> list[str]:
    """Files of the release that cannot be read here now, at most so many of them, in order."""
    file, copy = schema.artifact, schema.replica
    good = select(copy.c.artifact).where(copy.c.artifact == file.c.id, copy.c.has == Has.PRESENT).exists()
    lost = select(file.c.uri).where(file.c.id.in_(_numbers(name)), file.c.retracted.is_(None), ~good)
    return list(transaction.execute(lost.order_by(file.c.uri).limit(most)).scalars())


def _numbers(name: str) -> Select[Any]:
    product, part, delivery = schema.product, schema.part, schema.delivery
    theirs = union_all(
        select(product.c.artifact).where(product.c.release == name),
        select(part.c.artifact).where(part.c.schema == name),
        select(delivery.c.artifact).where(delivery.c.schema == name),
    ).subquery()
    return select(theirs.c.artifact)


def _products(transaction: Connection, name: str) -> Iterator[KeptProduct]:
    file, product = schema.artifact, schema.product
    theirs = (
        select(file.c.uri, file.c.sha256, file.c.size, file.c.id)
        .join(product, product.c.artifact == file.c.id)
        .where(product.c.release == name, file.c.retracted.is_(None))
    )
    for page in _pages(transaction, theirs, file.c.uri):
        told = products.find(transaction, [row.id for row in page])
        for row in page:
            about = told[row.id].product
            said = hashlib.sha256(str(about.facts()["product"]).encode()).hexdigest()
            yield KeptProduct(_kept(row), about.type, about.collection, said)


def _parts(transaction: Connection, name: str) -> Iterator[KeptPart]:
    state, place, part, file = schema.state, schema.state_part, schema.part, schema.artifact
    about = schema.description
    last = select(state.c.table, func.max(state.c.number).label("number")).where(state.c.schema == name)
    newest = last.group_by(state.c.table).subquery()
    rows = transaction.execute(
        select(file.c.uri, file.c.sha256, file.c.size, place.c.table, place.c.position, part.c.rows)
        .add_columns(about.c.sha256.label("description"))
        .select_from(place)
        .join(newest, (newest.c.table == place.c.table) & (newest.c.number == place.c.state))
        .join(part, part.c.artifact == place.c.part)
        .join(file, file.c.id == part.c.artifact)
        .join(about, about.c.id == part.c.description)
        .where(place.c.schema == name)
        .order_by(place.c.table, place.c.position)
    )
    for row in rows:
        yield KeptPart(_kept(row), f"{name}.{row.table}", row.position, row.rows, row.description)


def _deliveries(transaction: Connection, name: str) -> Iterator[KeptDelivery]:
    file, delivery = schema.artifact, schema.delivery
    rows = transaction.execute(
        select(file.c.uri, file.c.sha256, file.c.size, delivery.c.table, delivery.c.rows)
        .join(delivery, delivery.c.artifact == file.c.id)
        .where(delivery.c.schema == name)
        .order_by(file.c.uri)
    )
    for row in rows:
        yield KeptDelivery(_kept(row), f"{name}.{row.table}", row.rows)


def _datasets(transaction: Connection, name: str) -> Iterator[KeptDataset]:
    table = schema.dataset
    within = schema.collection.c.name.label("collection")
    told = select(table.c.uri, within, table.c.type, table.c.data_id, table.c.state, table.c.digest)
    sealed = _of_release(told, name).where(table.c.digest.is_not(None))
    for page in _pages(transaction, sealed, table.c.uri):
        for row in page:
            yield KeptDataset(row.uri, row.collection, row.type, row.data_id, row.state, row.digest)


def _of_release(columns: Select[Any], name: str) -> Select[Any]:
    """Of the datasets in the release's collections, which are called ``RELEASE/PATH``."""
    collection = schema.collection
    below = func.substr(collection.c.name, 1, len(name) + 1) == literal(f"{name}/", String)
    return columns.join(collection, collection.c.id == schema.dataset.c.collection).where(below)


def _pages(transaction: Connection, rows: Select[Any], key: Any) -> Iterator[Sequence[Row[Any]]]:
    last = ""
    while page := transaction.execute(rows.where(key > last).order_by(key).limit(_PAGE)).all():
        yield page
        last = page[-1].uri


def _kept(row: Any) -> Kept:
    return Kept(row.uri, row.sha256, row.size)
