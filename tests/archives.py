"""Small archives for tests: a fresh endpoint, files to load into it, and a way to see that nothing changed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import select

from archive.backbone.endpoint import Endpoint
from archive.config import Config
from archive.engine.contract import Engine
from archive.ledger import Site, schema

FIRST = 5 << 56
"""The first ID of sp_test."""

SITE = Site("archive.test", "Tests", "tests@archive.test")

SOURCE = pa.schema(
    [
        ("id", pa.int64()),
        ("ra", pa.float64()),
        ("dec", pa.float64()),
        ("flux", pa.float32()),
        ("Band", pa.string()),
        ("note", pa.string()),
        ("good", pa.bool_()),
        ("seen", pa.timestamp("us")),
        ("n", pa.int16()),
        ("mags", pa.list_(pa.float32(), 2)),
        ("moments", pa.list_(pa.float64())),
    ]
)


def make(home: Path, descriptions: Path, engine: Engine | None = None, **settings: Any) -> Endpoint:
    """A new archive; its descriptions come from ``descriptions``."""
    config = Config(home=home, descriptions=descriptions, **settings)
    made = Endpoint.create(config, SITE)
    made.close()
    return reopened(config, engine)


def reopened(config: Config, engine: Engine | None = None) -> Endpoint:
    """The same archive as another process would open it."""
    from archive.ledger import Ledger

    return Endpoint(config, Ledger.open(config.ledger_url), engine)


def source(number: int, **values: Any) -> dict[str, Any]:
    """A row of ``sp_test.source``; what is not given is valid."""
    row = {
        "id": FIRST + number,
        "ra": (number * 37.5) % 360,
        "dec": number % 90 - 45.0,
        "flux": float(number),
        "Band": "g",
        "note": f"№ {number}",
        "good": number % 2 == 0,
        "seen": None,
        "n": number % 1000,
        "mags": [20.5, 21.5],
        "moments": [1.0, 2.0],
    }
    return row | values


def parquet(path: Path, rows: Iterable[Mapping[str, Any]], schema: pa.Schema = SOURCE) -> Path:
    """Write rows as a Parquet file."""
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=schema), path)
    return path


def snapshot(endpoint: Endpoint) -> dict[str, Any]:
    """All that an archive holds: every row of the ledger but those of processes and of what they bring in at the
    moment, and every file of its home.
    """
    home = endpoint.config.home
    files = {
        path.relative_to(home).as_posix(): path.read_bytes()
        for path in home.rglob("*")
        if path.is_file() and not path.name.startswith("ledger.sqlite")
    }
    with endpoint.ledger.read() as transaction:
        rows = {
            table.name: sorted(str(row) for row in transaction.execute(select(table)))
            for table in schema.metadata.sorted_tables
            if table.name not in ("process", "arrival")
        }
    return {"files": files, "ledger": rows}


def run_verb(endpoint: Endpoint, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What ``archive`` says to these arguments, as a process of its own at this endpoint."""
    config = endpoint.config
    settings = {"ARCHIVE_HOME": str(config.home), "ARCHIVE_DESCRIPTIONS": str(config.descriptions)}
    settings |= {"ARCHIVE_RESERVE": "0"} | ({"ARCHIVE_DATABASE": config.database} if config.database else {})
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ARCHIVE_")}
    return subprocess.run(
        [sys.executable, "-m", "archive.cli", *arguments],
        env=inherited | settings | environment,
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def silence(endpoint: Endpoint) -> None:
    """Let the leases of all processes end now, as that of one which was killed does a little later."""
    with endpoint.ledger.write() as transaction:
        transaction.execute(schema.process.update().values(lease="2000-01-01T00:00:00.000000Z"))
