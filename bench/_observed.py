"""A ledger that tells of many images which are nowhere: rows enough to measure how they are found."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection

from archive import inventory
from archive.backbone.endpoint import Endpoint
from archive.config import Config
from archive.engine.postgres_regions import caps
from archive.ledger import Site, schema
from archive.ledger.bulk import insert_all
from archive.ledger.site import publisher_did
from archive.sky import healpix_29

HALF = 0.11  # degrees, from the middle of an image to its sides
BANDS = {"u": (3.2e-7, 4.0e-7), "g": (4.0e-7, 5.5e-7), "r": (5.5e-7, 6.9e-7), "i": (6.9e-7, 8.2e-7)}
FIRST, LAST = 60_000.0, 63_650.0  # MJD: ten years
_AT_ONCE = 20_000
_FILLED = ("artifact", "replica", "product", "observation")


def uri(number: int) -> str:
    """The name of an image."""
    return f"archive://bench.test/dr1/raw/2026/image_{number:07d}.fits"


def observed(home: Path, count: int, database: str | None = None) -> Endpoint:
    """An archive with ``count`` images all over the sky, its tables over the ledger made."""
    config = Config(home=home, database=database, public_url="https://bench.test")
    endpoint = Endpoint.create(config, Site("bench.test", "Bench", "bench@bench.test"))
    random = np.random.default_rng(8)
    with endpoint.ledger.write() as transaction:
        later = _without_watch(transaction)
        for start in range(0, count, _AT_ONCE):
            for table, rows in _rows(random, start, min(_AT_ONCE, count - start)):
                insert_all(transaction, table, rows)
        for statement in later:
            transaction.exec_driver_sql(statement)
    if database is not None:
        _analyse(endpoint)
    inventory.compact(endpoint.ledger, endpoint.engine, config.editions, config.grace)
    return endpoint


def _without_watch(transaction: Connection) -> list[str]:
    """Take away the indexes that can be made again and what notes each new row; how they are brought back."""
    if transaction.dialect.name == "postgresql":
        transaction.exec_driver_sql("SET LOCAL session_replication_role = replica")
        names = ", ".join(f"'{name}'" for name in _FILLED)
        found = transaction.exec_driver_sql(
            "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
            f" JOIN pg_class c ON c.oid = indrelid WHERE relname IN ({names}) AND NOT indisunique"
        ).all()
        for name, _ in found:
            transaction.exec_driver_sql(f"DROP INDEX {name}")
        return [statement for _, statement in found]
    found = transaction.exec_driver_sql(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND"
        f" (type = 'trigger' OR (type = 'index' AND sql NOT LIKE 'CREATE UNIQUE%'))"
        f" AND tbl_name IN ({', '.join(repr(name) for name in _FILLED)}) ORDER BY type"
    ).all()
    for kind, name, _ in found:
        transaction.exec_driver_sql(f"DROP {kind} {name}")
    return [statement for _, _, statement in found]


def _analyse(endpoint: Endpoint) -> None:
    """Statistics, as the server makes them by itself after a while."""
    with endpoint.ledger.write() as transaction:
        for name in _FILLED:
            transaction.exec_driver_sql(f"ANALYZE {name}")


def _rows(random: np.random.Generator, start: int, count: int) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    numbers = range(start + 1, start + count + 1)
    ra, dec = random.uniform(0, 360, count), np.degrees(np.arcsin(random.uniform(-0.999, 0.999, count)))
    begun = random.uniform(FIRST, LAST, count)
    place = list(
        zip(numbers, map(float, ra), map(float, dec), map(float, begun), map(int, healpix_29(ra, dec)), strict=True)
    )
    yield schema.artifact, [_file(number) for number in numbers]
    yield schema.replica, [_copy(number) for number in numbers]
    yield schema.product, [_product(*each) for each in place]
    regions = _regions(ra, dec)
    circles = zip(
        *(part.to_pylist() for part in caps(pa.array(regions, pa.list_(pa.float64())), "polygon")), strict=True
    )
    yield schema.observation, [_seen(each, *more) for each, *more in zip(place, regions, circles, strict=True)]


def _regions(ra: np.ndarray, dec: np.ndarray) -> list[list[float]]:
    wide = HALF / np.cos(np.radians(dec))
    west, east, south, north = ra - wide, ra + wide, dec - HALF, dec + HALF
    return np.stack([west, south, east, south, east, north, west, north], axis=1).tolist()


def _file(number: int) -> dict[str, Any]:
    told = {"id": number, "uri": uri(number), "sha256": f"{number:064x}", "size": 8_000_000}
    return told | {"media_type": "application/fits", "registered": "2026-11-23T04:05:06.000000Z"}


def _copy(number: int) -> dict[str, Any]:
    told = {"artifact": number, "store": "main", "path": f"dr1/raw/2026/image_{number:07d}.fits", "has": "present"}
    return told | {"want": "keep", "adopted": False, "checked": None, "fingerprint": None, "bundle": None}


def _product(number: int, ra: float, dec: float, begun: float, cell: int) -> dict[str, Any]:
    told = {"artifact": number, "type": "raw_image", "release": "dr1", "collection": "raw", "instrument": "Cam"}
    told |= {"detector": str(number % 189), "band": "ugri"[number % 4], "exposure": f"e{number // 189}"}
    told |= {"t_min": begun, "t_max": begun + 30 / 86400, "ra": ra, "dec": dec, "_healpix_29": cell}
    return told | {"metadata": {}, "revision": 1}


def _seen(
    place: tuple[int, float, float, float, int], region: list[float], circle: tuple[float, float, float]
) -> dict[str, Any]:
    number, ra, dec, begun, cell = place
    low, high = BANDS["ugri"[number % 4]]
    told: dict[str, Any] = {column.name: None for column in schema.observation.c}
    told |= {"artifact": number, "dataproduct_type": "image", "calib_level": 1, "obs_collection": "raw"}
    told |= {"obs_id": f"e{number // 189}", "obs_publisher_did": publisher_did(uri(number)), "data_rights": "public"}
    told |= {"access_format": "application/x-votable+xml;content=datalink", "access_estsize": 8000}
    told |= {"s_ra": ra, "s_dec": dec, "s_fov": 3 * HALF, "_healpix_29": cell, "s_xel1": 4000, "s_xel2": 4000}
    told |= {"s_region": region} | dict(zip(_CIRCLE, circle, strict=True))
    told |= {"t_min": begun, "t_max": begun + 30 / 86400, "t_exptime": 30.0, "em_min": low, "em_max": high}
    told |= {"pol_xel": 0, "instrument_name": "Cam", "facility_name": "Bench", "target_name": f"field {number % 1000}"}
    return told | {"obs_creation_date": datetime.fromisoformat("2026-11-23")}


_CIRCLE = ("s_region_lon", "s_region_lat", "s_region_reach")
