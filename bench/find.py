"""Claim: of one million files those that are asked for are found within 100 ms, on SQLite and on PostgreSQL.

A ledger of 250 000 exposures of four detectors over ten years is filled directly, each with its replica, its row of
``ivoa.obscore`` and a footprint of 0.2 degrees; one in 50 is a coadd made over a year. Each question is asked at
different places, as ``archive find`` asks it, with its limit of 100. Told are the median, the slowest, and what the
same rows cost by their numbers alone.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from sqlalchemy import select, text

from archive.backbone import searching
from archive.backbone.endpoint import Endpoint
from archive.config import Config
from archive.ledger import Ledger, Site, schema
from archive.ledger.bulk import insert_all
from archive.ledger.database import now
from archive.ledger.finding import Condition, Criteria
from archive.sky import Circle, Interval, Polygon, healpix_29
from tests.postgres import postgres

FILES = int(os.environ.get("BENCH_FILES", "1000000"))
DETECTORS = 4
BATCH = 20_000
TIMES = 15
DAY, DAYS = 61000.0, 3650.0
SITE = Site("archive.bench", "Bench", "bench@archive.bench")
HERE = Path(os.environ.get("BENCH_FOLDER") or tempfile.gettempdir())


def fill(endpoint: Endpoint) -> None:
    """The rows of all files, without their bytes."""
    chance = np.random.default_rng(1)
    for start in range(0, FILES, BATCH):
        numbers = range(start + 1, start + 1 + BATCH)
        lon = chance.uniform(0, 360, BATCH)
        lat = np.degrees(np.arcsin(chance.uniform(-1, 1, BATCH)))
        rows = list(zip(numbers, lon.tolist(), lat.tolist(), healpix_29(lon, lat).tolist(), strict=True))
        with endpoint.ledger.write() as transaction:
            for table, made in ((schema.artifact, artifact), (schema.replica, replica), (schema.product, product)):
                insert_all(transaction, table, [made(*row) for row in rows])
            insert_all(transaction, schema.observation, [observation(*row) for row in rows])
    if endpoint.config.database:
        with endpoint.ledger.write() as transaction:
            for name in ("artifact", "replica", "product", "observation"):
                transaction.execute(text(f"ANALYZE {name}"))


def artifact(number: int, *_: Any) -> dict[str, Any]:
    plain = {"sha256": f"{number:064x}", "size": 10_000_000, "media_type": "application/fits", "registered": now()}
    return {"id": number, "uri": f"archive://archive.bench/dr1/raw/{number:08d}.fits", **plain}


def replica(number: int, *_: Any) -> dict[str, Any]:
    plain = {"store": "main", "has": "present", "want": "keep", "adopted": False}
    return {"artifact": number, "path": f"{number:08d}.fits", **plain}


def product(number: int, lon: float, lat: float, cell: int) -> dict[str, Any]:
    began = DAY + DAYS * number / FILES
    long = number % 50 == 0
    return {
        "artifact": number,
        "type": "coadd" if long else "raw_image",
        "release": "dr1",
        "collection": "raw",
        "instrument": "LSSTCam",
        "detector": str(number % DETECTORS),
        "band": "ugrizy"[number % 6],
        "exposure": f"e{number // DETECTORS}",
        "t_min": began,
        "t_max": began + (365.0 if long else 3e-4),
        "ra": lon,
        "dec": lat,
        "_healpix_29": cell,
        "metadata": {"exp_time": {"value": 30.0}, "physical_filter": {"value": f"r_{number % 7}"}},
        "revision": 1,
    }


def observation(number: int, lon: float, lat: float, cell: int) -> dict[str, Any]:
    corners = ((lon - 0.1, lat - 0.1), (lon + 0.1, lat - 0.1), (lon + 0.1, lat + 0.1), (lon - 0.1, lat + 0.1))
    region = [value for lon, lat in corners for value in (lon % 360, max(-90.0, min(90.0, lat)))]
    return {
        "artifact": number,
        "calib_level": 1,
        "obs_collection": "raw",
        "obs_id": f"e{number}",
        "obs_publisher_did": f"ivo://archive.bench/files?{number}",
        "data_rights": "public",
        "access_format": "application/fits",
        "access_estsize": 10_000,
        "pol_xel": 0,
        "s_ra": lon,
        "s_dec": lat,
        "s_region": region,
        "s_region_lon": lon,
        "s_region_lat": lat,
        "s_region_reach": 0.15,
        "_healpix_29": cell,
    }


def questions(chance: random.Random) -> Iterator[tuple[str, Criteria]]:
    """Each kind of question once, somewhere."""
    lon, lat = chance.uniform(0, 360), chance.uniform(-70, 70)
    day = DAY + chance.uniform(0, DAYS)
    exposure = f"e{chance.randrange(FILES // DETECTORS)}"
    square = Polygon(((lon, lat), (lon + 1, lat), (lon + 1, lat + 1), (lon, lat + 1)))
    yield "an exposure", Criteria(exposure=exposure)
    yield "of a type, release and collection", Criteria(exposure=exposure, types=("raw_image",), release="dr1")
    yield "an hour", Criteria(time=Interval(day, day + 1 / 24))
    yield (
        "a night through one filter",
        Criteria(time=Interval(day, day + 1), conditions=(Condition("physical_filter", "=", "r_3"),)),
    )
    yield "a cone of 0.1 degrees", Criteria(area=Circle(lon, lat, 0.1))
    yield "a square degree in a month", Criteria(area=square, time=Interval(day, day + 30))
    yield "the first of a collection", Criteria(types=("raw_image",), release="dr1", collection="raw", public=True)
    yield "a band of a detector", Criteria(band="g", detector="1")


def spent(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    found = work()
    return (time.perf_counter() - begun) * 1e3, found


def measure(name: str, endpoint: Endpoint) -> None:
    begun = time.perf_counter()
    fill(endpoint)
    print(f"{name}: {FILES:,} files, filled in {time.perf_counter() - begun:.0f} s")
    chance = random.Random(2)
    taken: dict[str, list[tuple[float, int, float]]] = {}
    for turn in range(TIMES + 1):
        for kind, criteria in questions(chance):
            milliseconds, found = spent(lambda criteria=criteria: searching.find(endpoint, criteria, 100))
            beside, _ = spent(lambda found=found: known(endpoint, [hit.artifact for hit in found.hits]))
            if turn:  # the first one warms up
                taken.setdefault(kind, []).append((milliseconds, len(found.hits), beside))
    for kind, runs in taken.items():
        times, hits, plain = (sorted(each) for each in zip(*runs, strict=True))
        print(
            f"  {kind:<36} {median(times):>7.1f} ms (slowest {times[-1]:>7.1f}), {int(median(hits)):>3} files;"
            f" by number {median(plain):.1f} ms"
        )


def known(endpoint: Endpoint, numbers: list[int]) -> int:
    """The same rows, found by their numbers."""
    file, what = schema.artifact, schema.product
    with endpoint.ledger.read() as transaction:
        asked = select(file, what).join(what, what.c.artifact == file.c.id).where(file.c.id.in_(numbers))
        return len(transaction.execute(asked).all())


def opened(home: Path, database: str | None = None) -> Endpoint:
    config = Config(home=home, database=database, reserve=0)
    Endpoint.create(config, SITE).close()
    return Endpoint(config, Ledger.open(config.ledger_url))


def main() -> None:
    with tempfile.TemporaryDirectory(dir=HERE) as folder:
        measure("SQLite", opened(Path(folder) / "a"))
        with postgres() as server:
            measure("PostgreSQL", opened(Path(folder) / "b", server))


if __name__ == "__main__":
    main()
