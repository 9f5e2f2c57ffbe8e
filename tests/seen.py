"""Made-up rows of ``ivoa.obscore``: all over the sky, of all sizes, of which much is not known; and what they meet."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from werkzeug.test import Client

from archive.app import assemble
from archive.backbone.endpoint import Endpoint
from archive.engine.opening import open_engine
from archive.ledger import files, observations
from archive.ledger.files import Artifact
from archive.ledger.observations import Observation, Observed
from archive.ledger.replicas import MAIN, Place
from archive.ledger.site import publisher_did
from archive.results.descriptors import DATALINK_TYPE
from archive.serving import Serving
from archive.sky import Circle, Polygon, Range
from archive.vocabularies import STATES
from tests import clusters
from tests.adql import plain_sphere
from tests.archives import make

T = TypeVar("T")

SOMEWHEN = datetime(2026, 1, 1)
_MARGIN = 0.2  # degrees; what is closer to the border of a range is not decided
_STEPS = 200


def uri(number: int) -> str:
    return f"archive://archive.test/dr1/Images/{number}.fits"


def images(count: int, seed: int = 8) -> list[Observation]:
    """Images near some places, the poles and the meridian of 0 among them."""
    dice = random.Random(seed)
    return [image(dice, number) for number in range(count)]


@contextmanager
def asked(folder: Path, data: Path, rows: Sequence[Observation], *, embedded: bool) -> Iterator[Client]:
    """Asks an archive, on SQLite and DuckDB or on PostgreSQL, that says that there are these images and has none."""
    endpoint = make(folder / "home", data, database=None if embedded else clusters.database(folder))
    register(endpoint, rows)
    with ExitStack() as stack:
        engine = open_engine(endpoint.config)
        stack.callback(endpoint.close)
        stack.callback(engine.close)
        yield Client(assemble(Serving(endpoint.config, endpoint.ledger, engine)))


def register(endpoint: Endpoint, rows: Iterable[Observation]) -> None:
    """Have the ledger of an archive say that there are these images, and files of them."""
    seen = list(rows)
    new = [Artifact(uri(at), f"{at:064x}", 10, "application/fits", Place(MAIN, f"{at}")) for at in range(len(seen))]
    with endpoint.ledger.write() as transaction:
        numbers = files.add_new(transaction, [(artifact, {}) for artifact in new])
        observations.add(transaction, {number: Observed({}, row) for number, row in zip(numbers, seen, strict=True)})


def numbers_told(text: str | None) -> list[float] | None:
    """Longitudes and latitudes in turn of an ``s_region`` as it goes out."""
    if not text:
        return None
    *words, numbers = text.split(" ", 2)
    assert words == ["POLYGON", "ICRS"]
    return [float(number) for number in numbers.split()]


def image(dice: random.Random, number: int) -> Observation:
    """One of them."""
    lon = (dice.choice([0.0, 120.0, 359.9]) + dice.uniform(-8, 8)) % 360
    lat = max(-90.0, min(90.0, dice.choice([-89.5, -30, 0, 30, 89.0]) + dice.uniform(-3, 3)))
    width = dice.choice([0.01, 0.3, 4.0, 25.0])
    wide, nowhere, unmapped = number % 40 == 7, number % 23 == 3, number % 7 == 5
    outline = None if nowhere or unmapped or wide else footprint(dice, lon, lat, width)
    start, low = _maybe(dice, 60000 + 10 * dice.random()), _maybe(dice, dice.choice([3e-7, 5e-7, 1e-3]))
    states = sorted(dice.sample(STATES, dice.randrange(3)), key=STATES.index)
    unknown: dict[str, Any] = dict.fromkeys(observations.COLUMNS)
    return Observation(
        **unknown
        | {
            "dataproduct_type": dice.choice(["image", "image", "cube", "spectrum", None]),
            "calib_level": dice.randrange(5),
            "obs_collection": dice.choice(["raw", "Raw", "deep field", "it's"]),
            "obs_id": f"o{number // 3}",
            "obs_publisher_did": publisher_did(uri(number)),
            "obs_release_date": SOMEWHEN + timedelta(hours=dice.randrange(48)),
            "data_rights": "public",
            "access_format": DATALINK_TYPE,
            "access_estsize": 1,
            "target_name": _maybe(dice, dice.choice(["M 31", "m 31", "NGC 253"])),
            "s_ra": None if nowhere else lon,
            "s_dec": None if nowhere else lat,
            "s_fov": 300.0 if wide and not nowhere else None if outline is None else 1.5 * width,
            "s_region": outline,
            "s_resolution": _maybe(dice, dice.choice([0.7, 1.0, 2.5])),
            "t_min": start,
            "t_max": None if start is None else _maybe(dice, start + dice.choice([0.0, 0.5])),
            "t_exptime": _maybe(dice, dice.choice([15.0, 30.0, 1e4])),
            "t_resolution": _maybe(dice, dice.choice([15.0, 30.0])),
            "em_min": low,
            "em_max": None if low is None else 1.25 * low,
            "em_res_power": _maybe(dice, dice.choice([5.0, 1e5])),
            "pol_states": f"/{'/'.join(states)}/" if states else None,
            "pol_xel": len(states),
            "facility_name": _maybe(dice, dice.choice(["Rubin", "VLT"])),
            "instrument_name": _maybe(dice, dice.choice(["LSSTCam", "FORS2"])),
        }
    )


def footprint(dice: random.Random, lon: float, lat: float, width: float) -> Polygon:
    """A turned square around a place."""
    turn = dice.uniform(0, 360)
    far = width / math.sqrt(2)
    return Polygon(tuple(_away(lon, lat, turn + 90 * corner, far) for corner in range(4)))


def _away(lon: float, lat: float, direction: float, far: float) -> tuple[float, float]:
    """The place ``far`` degrees from another one."""
    a, d, t = (math.radians(angle) for angle in (lon, lat, direction))
    east = np.array([-math.sin(a), math.cos(a), 0.0])
    north = np.array([-math.sin(d) * math.cos(a), -math.sin(d) * math.sin(a), math.cos(d)])
    ahead = math.cos(t) * north + math.sin(t) * east
    found = math.cos(math.radians(far)) * plain_sphere.vector(lon, lat) + math.sin(math.radians(far)) * ahead
    at = plain_sphere.position(found / np.linalg.norm(found))
    return at[0], at[1]


def _maybe(dice: random.Random, value: T) -> T | None:
    return None if dice.random() < 0.2 else value


# --- where they are -------------------------------------------------------------------------------


def meets(row: Observation, shape: Circle | Polygon | Range) -> bool | None:
    """Whether an image has a point in common with a shape; None if that is too close to be told here."""
    if row.s_ra is None or row.s_dec is None:
        return False
    if isinstance(shape, Range):
        return _meets_range(row, shape)
    other = (shape.lon, shape.lat, shape.radius) if isinstance(shape, Circle) else _flat(shape)
    if row.s_region is None and row.s_fov is not None and isinstance(shape, Polygon):
        return None  # circles around both decide
    if row.s_region is not None:
        return plain_sphere.overlap(_flat(row.s_region), other)
    place = (row.s_ra, row.s_dec)
    return plain_sphere.overlap(place if row.s_fov is None else (*place, row.s_fov / 2), other)


def _flat(polygon: Polygon) -> tuple[float, ...]:
    return tuple(number for vertex in polygon.vertices for number in vertex)


def _meets_range(row: Observation, shape: Range) -> bool | None:
    if shape.east - shape.west >= 360 and shape.north - shape.south >= 180:
        return True
    assert row.s_ra is not None
    assert row.s_dec is not None
    if row.s_fov is not None and row.s_region is None:
        return None
    border = [(row.s_ra, row.s_dec)] if row.s_region is None else list(_border(row.s_region))
    if max(abs(lat) for _, lat in border) > 80:
        return None
    if _touches(row, border, _grown(shape, -_MARGIN)):
        return True
    return None if _touches(row, border, _grown(shape, _MARGIN)) else False


def _grown(shape: Range, by: float) -> Range | None:
    more = 6 * by  # of longitude, up to 80 degrees from the equator
    west, east, south, north = shape.west - more, shape.east + more, shape.south - by, shape.north + by
    return None if west > east or south > north else Range(west, east, max(-90.0, south), min(90.0, north))


def _touches(row: Observation, border: Sequence[tuple[float, float]], shape: Range | None) -> bool:
    if shape is None:
        return False
    if any(
        (lon - shape.west) % 360 <= shape.east - shape.west and shape.south <= lat <= shape.north for lon, lat in border
    ):
        return True
    if row.s_region is None:
        return False
    outline = plain_sphere.polygon_of(_flat(row.s_region))
    lons, lats = np.linspace(shape.west, shape.east, 60), np.linspace(shape.south, shape.north, 60)
    sides = [(lon, lat) for lon in lons for lat in (shape.south, shape.north)]
    sides += [(lon, lat) for lon in (shape.west, shape.east) for lat in lats]
    near = [(lon, lat) for lon, lat in sides if plain_sphere.separation(lon, lat, *border[0]) < 60]
    return any(outline.holds(plain_sphere.vector(lon, lat)) for lon, lat in near)


def _border(polygon: Polygon) -> Iterable[tuple[float, float]]:
    """Many places along the edges."""
    corners = [plain_sphere.vector(*vertex) for vertex in polygon.vertices]
    for here, there in zip(corners, [*corners[1:], corners[0]], strict=True):
        for part in range(_STEPS):
            between = here + (there - here) * part / _STEPS
            lon, lat = plain_sphere.position(between / np.linalg.norm(between))
            yield lon, lat
