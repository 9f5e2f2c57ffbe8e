"""What registered files are to astronomers: type, release, collection, when and where, metadata, inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, select

from archive import sky
from archive.ledger import collections, contents, events, schema
from archive.ledger.bulk import Encoded, insert_all, portions
from archive.ledger.events import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A file of ``type`` (of ``schema/products.yaml``) in a collection of a release.

    ``t_min`` and ``t_max`` are MJD in UTC, ``ra`` and ``dec`` degrees in ICRS; what is not known is None.
    ``metadata`` maps each item to its value or to why there is none. ``inputs`` are roles and URIs of what it was
    made from.
    """

    type: str
    release: str
    collection: str
    instrument: str | None = None
    detector: str | None = None
    band: str | None = None
    exposure: str | None = None
    t_min: float | None = None
    t_max: float | None = None
    ra: float | None = None
    dec: float | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)
    inputs: tuple[tuple[str, str], ...] = ()
    _encoded: Encoded | None = field(default=None, init=False, repr=False, compare=False)

    def encoded(self) -> Encoded:
        """The metadata as canonical JSON, which is made once."""
        found = self._encoded
        if found is None:
            found = events.canonical(self.metadata)
            object.__setattr__(self, "_encoded", found)
        return found

    def facts(self) -> dict[str, Json]:
        """All of it but what is None, for an event."""
        told: dict[str, Json] = {name: getattr(self, name) for name in _PLAIN if getattr(self, name) is not None}
        inputs = [list(pair) for pair in self.inputs]
        return {"product": events.canonical({**told, "metadata": self.encoded(), "inputs": inputs})}


@dataclass(frozen=True, slots=True)
class Versioned:
    """A product as it is described now, and how often that was amended: 1 is how it came."""

    product: Product
    revision: int


def add(transaction: Connection, added: Mapping[int, Product]) -> None:
    """Say what files (by their numbers) are; the event of the file tells it, see ``Product.facts``.

    Raises:
        UsageFault: they belong to a release that is frozen or withdrawn, or to a collection into which no files come.
    """
    if not added:
        return
    contents.check_open(transaction, {product.release for product in added.values()})
    collections.note_runs(transaction, {f"{product.release}/{product.collection}" for product in added.values()})
    cells = _cells(list(added.values()))
    rows = [
        {"artifact": number, "revision": 1, "_healpix_29": cell, **_columns(product)}
        for (number, product), cell in zip(added.items(), cells, strict=True)
    ]
    insert_all(transaction, schema.product, rows)
    _add_inputs(transaction, added)


def amend(transaction: Connection, artifact: int, product: Product) -> int:
    """Describe a file anew; what was said before stays in the events. Returns the new revision.

    What a file was made from is part of it: inputs are said anew too.

    Raises:
        UsageFault: it belongs to a release that is frozen or withdrawn.
    """
    contents.check_open(transaction, [product.release])
    table, inputs = schema.product, schema.product_input
    revision = transaction.execute(select(table.c.revision).where(table.c.artifact == artifact)).scalar_one() + 1
    values = {"_healpix_29": _cells([product])[0], **_columns(product), "metadata": dict(product.metadata)}
    transaction.execute(table.update().where(table.c.artifact == artifact).values(revision=revision, **values))
    transaction.execute(inputs.delete().where(inputs.c.artifact == artifact))
    _add_inputs(transaction, {artifact: product})
    uri = transaction.execute(select(schema.artifact.c.uri).where(schema.artifact.c.id == artifact)).scalar_one()
    events.append(transaction, "amend", {"uri": uri, "revision": revision, **product.facts()})
    return int(revision)


def find(transaction: Connection, artifacts: Iterable[int]) -> dict[int, Versioned]:
    """What these files are; those that are no products are left out."""
    table, inputs, wanted = schema.product, schema.product_input, list(artifacts)
    found: dict[int, Versioned] = {}
    for numbers in portions(wanted):
        made_from: dict[int, list[tuple[str, str]]] = {}
        of_these = select(inputs).where(inputs.c.artifact.in_(numbers)).order_by(inputs.c.role, inputs.c.uri)
        for row in transaction.execute(of_these):
            made_from.setdefault(row.artifact, []).append((row.role, row.uri))
        for row in transaction.execute(select(table).where(table.c.artifact.in_(numbers))):
            found[row.artifact] = Versioned(_product(row, made_from.get(row.artifact, ())), row.revision)
    return found


def resolved_inputs(transaction: Connection, artifact: int) -> list[tuple[str, str, int | None]]:
    """Role, URI and number of each input of a file; the number is None as long as the input is not here."""
    inputs, table = schema.product_input, schema.artifact
    rows = transaction.execute(
        select(inputs.c.role, inputs.c.uri, table.c.id)
        .outerjoin_from(inputs, table, table.c.uri == inputs.c.uri)
        .where(inputs.c.artifact == artifact)
        .order_by(inputs.c.role, inputs.c.uri)
    )
    return [(row.role, row.uri, row.id) for row in rows]


def _add_inputs(transaction: Connection, added: Mapping[int, Product]) -> None:
    rows = [
        {"artifact": number, "role": role, "uri": uri}
        for number, product in added.items()
        for role, uri in dict.fromkeys(product.inputs)
    ]
    insert_all(transaction, schema.product_input, rows)


_PLAIN = ("type", "release", "collection", "instrument", "detector", "band", "exposure", "t_min", "t_max", "ra", "dec")


def _columns(product: Product) -> dict[str, Any]:
    return {**{name: getattr(product, name) for name in _PLAIN}, "metadata": product.encoded()}


def _cells(products: Sequence[Product]) -> list[int | None]:
    """The cell of each position; None where there is none."""
    nowhere = float("nan")
    lons = [nowhere if product.ra is None else product.ra for product in products]
    lats = [nowhere if product.dec is None else product.dec for product in products]
    return [None if cell < 0 else int(cell) for cell in sky.healpix_29(lons, lats)]


def _product(row: Row[Any], inputs: Sequence[tuple[str, str]]) -> Product:
    plain = {name: getattr(row, name) for name in _PLAIN}
    return Product(**plain, metadata=row.metadata, inputs=tuple(inputs))
