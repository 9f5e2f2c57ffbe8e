"""Regions in PostgreSQL editions: the circle around each, which is what their index holds.

For every column of circles or polygons an edition stores three more numbers: centre and radius, in degrees, of a circle
around the region. A test of regions first compares these circles, through the index where the description asks for
one, and the exact test, which takes a thousand times as long, is made of what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from archive.columns import Column
from archive.tables import Index, Table

Floats = NDArray[np.float64]

PARTS = ("lon", "lat", "reach")
"""What is stored of a circle, in this order."""
WHOLE_SKY = 180.0
"""The radius of a circle around what no smaller one is sure to hold."""
_WIDEST = 89.0  # degrees; a circle of less than a quarter turn that holds all vertices holds the smaller side


@dataclass(frozen=True, slots=True)
class Cap:
    """Physical columns of the circle around a region."""

    lon: str
    lat: str
    reach: str

    @property
    def names(self) -> tuple[str, str, str]:
        return (self.lon, self.lat, self.reach)


def caps_of(table: Table) -> dict[str, Cap]:
    """The columns of ``table`` that hold circles or polygons, by name, and where the circles around them are stored."""
    return {
        column.name: Cap(*(f"c{at}_{part}" for part in PARTS))
        for at, column in enumerate(table.columns, 1)
        if column.xtype in ("circle", "polygon")
    }


def recorded(caps: Mapping[str, Cap], spots: Iterable[Sequence[str]]) -> dict[str, str]:
    """Entries of ``Edition.physical`` that tell where caps are and which places are indexed; no column is named so."""
    kept = {
        f"{name}\t{part}": column for name, cap in caps.items() for part, column in zip(PARTS, cap.names, strict=True)
    }
    return kept | {_spot(columns): "" for columns in spots}


def cap_in(physical: Mapping[str, str], column: str) -> Cap | None:
    """Where the caps of ``column`` are, if the edition has them."""
    if f"{column}\t{PARTS[0]}" not in physical:
        return None
    return Cap(*(physical[f"{column}\t{part}"] for part in PARTS))


def has_spot(physical: Mapping[str, str], columns: Sequence[str]) -> bool:
    """True if a place, in two columns or one, has an index of the sky in the edition."""
    return _spot(columns) in physical


def _spot(columns: Sequence[str]) -> str:
    return "\t".join((*columns, "spot"))


# --- which indexes are asked for --------------------------------------------------------------------


def pair(table: Table, columns: Sequence[str]) -> tuple[str, str] | None:
    """Longitude and latitude, if these are the two of one position: the table's own, or another by its UCDs."""
    if len(columns) != 2:
        return None
    position = table.position
    for lon, lat in (columns, columns[::-1]):
        if position is not None and (lon, lat) == (position.lon, position.lat):
            return (lon, lat)
        if _is(table.by_name[lon], "pos.eq.ra") and _is(table.by_name[lat], "pos.eq.dec"):
            return (lon, lat)
    return None


def pairs_asked(table: Table) -> Iterator[tuple[str, str]]:
    """Positions that the description wants an index of the sky for: (longitude, latitude)."""
    return filter(None, (pair(table, index.columns) for index in table.indexes))


def shapes_asked(table: Table) -> Iterator[Column]:
    """Columns of geometry that the description names in an index."""
    names = dict.fromkeys(name for index in table.indexes for name in index.columns)
    return (table.by_name[name] for name in names if table.by_name[name].is_geometry)


def spots_asked(table: Table) -> Iterator[tuple[str, ...]]:
    """All places that the description wants an index of the sky for, in two columns or one."""
    yield from dict.fromkeys(pairs_asked(table))
    yield from ((column.name,) for column in shapes_asked(table) if column.xtype == "point")


def ordinary(table: Table, index: Index) -> tuple[str, ...]:
    """The columns of an index that rows can be ordered by."""
    columns = (table.by_name[name] for name in index.columns)
    return tuple(column.name for column in columns if column.arraysize is None or column.datatype.is_text)


def _is(column: Column, word: str) -> bool:
    return column.is_scalar_number and word in (column.ucd or "").split(";")


# --- circles around regions -------------------------------------------------------------------------


def caps(regions: pa.Array, xtype: str) -> list[pa.Array]:
    """Centres (lon, lat) and radii, degrees, of circles around circles or polygons; NULL where there is no region.

    ``regions`` are lists of doubles as ``arrow_type`` has them. What is not finite gets the whole sky.
    """
    lists = regions.cast(pa.list_(pa.float64()))
    offsets = lists.offsets.to_numpy()
    numbers = lists.values.to_numpy(zero_copy_only=False)
    missing = pc.is_null(lists).to_numpy(zero_copy_only=False)
    found = (_around_circles if xtype == "circle" else _around_polygons)(numbers, offsets)
    odd = ~np.isfinite(np.stack(found)).all(axis=0)
    found = [np.where(odd, instead, values) for values, instead in zip(found, (0.0, 0.0, WHOLE_SKY), strict=True)]
    return [pa.array(values, mask=missing) for values in found]


def _around_circles(numbers: Floats, offsets: NDArray[np.int32]) -> list[Floats]:
    whole = np.diff(offsets) == 3
    rows = np.full((len(whole), 3), np.nan)
    rows[whole] = numbers[(offsets[:-1][whole, np.newaxis] + np.arange(3))]
    return [rows[:, 0], rows[:, 1], np.where(rows[:, 2] < _WIDEST, np.maximum(rows[:, 2], 0.0), WHOLE_SKY)]


def _around_polygons(numbers: Floats, offsets: NDArray[np.int32]) -> list[Floats]:
    starts, counts = offsets[:-1], np.diff(offsets)
    corners = (counts >= 2) & (counts % 2 == 0)
    lon, lat, reach = (np.full(len(counts), np.nan) for _ in range(3))
    if corners.any():
        row = np.repeat(np.flatnonzero(corners), counts[corners] // 2)
        first = np.repeat(starts[corners], counts[corners] // 2)
        begins = np.concatenate(([0], np.cumsum(counts[corners] // 2)[:-1]))
        at = first + 2 * (np.arange(len(row)) - np.repeat(begins, counts[corners] // 2))
        points = _unit(numbers[at], numbers[at + 1])
        middle = np.add.reduceat(points, begins) / (counts[corners] // 2)[:, np.newaxis]
        length = np.linalg.norm(middle, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            middle /= length[:, np.newaxis]
            far = np.linalg.norm(points - np.repeat(middle, counts[corners] // 2, axis=0), axis=1)
            angle = np.degrees(2 * np.arcsin(np.minimum(1.0, np.maximum.reduceat(far, begins) / 2)))
        lon[corners] = np.degrees(np.arctan2(middle[:, 1], middle[:, 0]))
        lat[corners] = np.degrees(np.arcsin(np.clip(middle[:, 2], -1, 1)))
        reach[corners] = np.where((length > 1e-3) & (angle < _WIDEST), angle, np.nan)
    return [lon, lat, reach]


def _unit(lon: Floats, lat: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        flat = np.cos(np.radians(lat))
        return np.stack(
            (flat * np.cos(np.radians(lon)), flat * np.sin(np.radians(lon)), np.sin(np.radians(lat))), axis=-1
        )
