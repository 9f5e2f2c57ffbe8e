"""Claim: what belongs to 50 images is told within 50 ms (DataLink), on SQLite and on PostgreSQL.

A ledger tells of many images (BENCH_IMAGES, a million usually), 189 to an exposure; every second one is made from the
one before it and from one calibration, which all share. 50 of them are asked for at once over HTTP, by a client in the
same process. Told are the median and the slowest; beside them, what 50 rows cost by their names alone, and one file
from which half of all others are made.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from flask import Flask
from sqlalchemy import select, text
from werkzeug.test import Client

from archive.backbone.endpoint import Endpoint
from archive.bearers import Bearers
from archive.datalink.face import LinksFace
from archive.ledger import schema
from archive.ledger.bulk import insert_all
from archive.ledger.site import publisher_did
from archive.products import product_types
from bench._observed import observed, uri
from tests.postgres import postgres

IMAGES = int(os.environ.get("BENCH_IMAGES", "1000000"))
AT_ONCE = 50
TIMES = 30
CALIBRATION = 1
_BATCH = 20_000


def derive(endpoint: Endpoint) -> None:
    """Say what images were made from."""
    for start in range(2, IMAGES, _BATCH):
        made = [number for number in range(start, min(start + _BATCH, IMAGES)) if number % 2 == 0]
        rows = [{"artifact": number, "role": "raw", "uri": uri(number - 1)} for number in made]
        rows += [{"artifact": number, "role": "calibration", "uri": uri(CALIBRATION)} for number in made]
        with endpoint.ledger.write() as transaction:
            insert_all(transaction, schema.product_input, rows)
    if endpoint.config.database:
        with endpoint.ledger.write() as transaction:
            transaction.execute(text("ANALYZE product_input"))


def client(endpoint: Endpoint) -> Client:
    app = Flask("bench")
    types = product_types(endpoint.config.description_folders)
    face = LinksFace(endpoint.ledger, Bearers(endpoint.ledger), lambda: types, lambda: "https://bench.test")
    app.register_blueprint(face.blueprint(), url_prefix="/datalink")
    return Client(app)


def by_name(endpoint: Endpoint, uris: list[str]) -> None:
    """The same files, and nothing of what belongs to them."""
    with endpoint.ledger.read() as transaction:
        transaction.execute(select(schema.artifact).where(schema.artifact.c.uri.in_(uris))).all()


def spent(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def measure(name: str, endpoint: Endpoint) -> None:
    derive(endpoint)
    asking, chance = client(endpoint), random.Random(1)
    whole, plain, rows = [], [], 0
    for turn in range(TIMES + 1):
        uris = [uri(chance.randrange(2, IMAGES)) for _ in range(AT_ONCE)]
        pairs = [("ID", publisher_did(each)) for each in uris]
        answers: list[Any] = []
        taken = spent(lambda pairs=pairs, into=answers: into.append(asking.get("/datalink/links", query_string=pairs)))
        beside = spent(lambda uris=uris: by_name(endpoint, uris))
        if turn:  # the first one warms up
            whole.append(taken)
            plain.append(beside)
            rows = answers[0].data.count(b"<TR>")
    popular = [("ID", publisher_did(uri(CALIBRATION)))]
    much = spent(lambda: asking.get("/datalink/links", query_string=popular))
    print(
        f"{name:<11} {AT_ONCE} IDs of {IMAGES:,}, {rows} rows: {median(whole):6.1f} ms (slowest {max(whole):6.1f});"
        f" by name alone {median(plain):.1f} ms; one with {IMAGES // 2:,} derivations {much:.0f} ms"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        measure("SQLite", observed(Path(folder) / "a", IMAGES))
        with postgres() as server:
            measure("PostgreSQL", observed(Path(folder) / "b", IMAGES, server))


if __name__ == "__main__":
    main()
