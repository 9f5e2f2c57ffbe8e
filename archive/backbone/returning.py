"""Dropped files are here again, however they came: by ``undrop``, or because somebody ingested the same bytes."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from archive.backbone import obscore
from archive.backbone.endpoint import Endpoint
from archive.ledger import products, retention
from archive.ledger.files import Artifact, Known
from archive.products import product_types


def returned(endpoint: Endpoint, transaction: Connection, came: Mapping[int, Artifact]) -> None:
    """Files with these numbers have good copies again. Of those that were dropped the time counts anew, and images
    among them are found again.
    """
    again = retention.returned(transaction, came)
    if not again:
        return
    types = product_types(endpoint.config.description_folders)
    for number, found in products.find(transaction, again).items():
        if found.product.type in types:
            known = Known(number, came[number], None)
            obscore.renew(transaction, known, found.product, types, again[number])
