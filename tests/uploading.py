"""An archive without tables, served in this process, to which uploads are sent over its real engine."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from archive.app import assemble
from archive.config import Config
from archive.engine.duckdb import DuckDB
from archive.ledger import Published, Site
from archive.serving import Serving
from archive.tables import Catalog, Schema


class Bare:
    """A ledger in which nothing is published but ``schemas``."""

    def __init__(self, schemas: Iterable[Schema] = ()) -> None:
        self._published = Published(1, Catalog(schemas), {})

    def published(self) -> Published:
        return self._published

    def site(self) -> Site:
        return Site("archive.test", "Tests", "tests@archive.test")


def client(folder: Path, **settings: Any) -> FlaskClient:
    """A client of the whole application; jobs are left out."""
    serving = Serving(Config(home=folder, **settings), Bare(), DuckDB(folder / "editions", threads=1))
    return assemble(serving).test_client()


def ask(client: FlaskClient, query: str, form: str = "votable", **uploads: bytes) -> TestResponse:
    """POST ``query`` with ``uploads`` inline."""
    parts = {name: (io.BytesIO(content), name) for name, content in uploads.items()}
    announced = ";".join(f"{name},param:{name}" for name in uploads)
    given = {"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": form, "UPLOAD": announced}
    return client.post("/tap/sync", data={**given, **parts}, content_type="multipart/form-data")
