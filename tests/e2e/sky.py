"""Cones over the sample and what NumPy finds in them; independent of everything the archive does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq


@dataclass(frozen=True)
class Cone:
    """ICRS degrees."""

    ra: float
    dec: float
    radius: float

    def contains(self) -> str:
        return f"1 = CONTAINS(POINT(ra, dec), CIRCLE({self.ra}, {self.dec}, {self.radius}))"

    def distance(self) -> str:
        return f"DISTANCE(ra, dec, {self.ra}, {self.dec}) <= {self.radius}"


CONES = {
    "north pole": Cone(0.0, 90.0, 6.0),
    "south pole": Cone(0.0, -90.0, 6.0),
    "beside the north pole": Cone(123.4, 87.5, 4.0),
    "beside the south pole": Cone(310.2, -88.25, 3.5),
    "across 0/360 from the east": Cone(0.25, -10.0, 5.0),
    "across 0/360 from the west": Cone(359.5, 33.0, 8.0),
    "a whole band of longitudes": Cone(77.0, 60.0, 40.0),
    "a hemisphere": Cone(45.0, 30.0, 90.0),
    "more than a hemisphere": Cone(83.6, -5.4, 95.0),
    "nearly everything": Cone(201.3, 41.0, 178.0),
    "everything": Cone(266.4, -29.0, 180.0),
    "one star": Cone(213.918, 19.187, 0.01),
    "nothing": Cone(10.0, 10.0, 0.0001),
}


@dataclass(frozen=True)
class Stars:
    """The sample's columns as arrays."""

    star_id: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    vt_mag: np.ndarray

    @classmethod
    def read(cls, path: Path) -> Stars:
        table = pq.read_table(path)
        return cls(*(table[name].to_numpy() for name in ("star_id", "ra", "dec", "vt_mag")))

    def within(self, cone: Cone) -> set[int]:
        """The ids of the stars in a cone, by the angle between unit vectors."""
        stars, centre = _vectors(self.ra, self.dec), _vectors(np.array([cone.ra]), np.array([cone.dec]))[0]
        angle = np.arctan2(np.linalg.norm(np.cross(stars, centre), axis=1), stars @ centre)
        return set(self.star_id[np.degrees(angle) <= cone.radius].tolist())


def _vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    lon, lat = np.radians(ra), np.radians(dec)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
