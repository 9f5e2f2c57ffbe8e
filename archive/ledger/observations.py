"""What images cover and the rows of ``ivoa.obscore``: kept beside the files they tell of, in the same transactions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from archive import sky
from archive.ledger import schema
from archive.ledger.bulk import insert_all, portions
from archive.ledger.events import Json, canonical
from archive.sky import Outline, Polygon


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A row of ``ivoa.obscore`` (ObsCore 1.1 tables 5 and 6), but for what is the service's to say.

    Times are MJD in UTC, wavelengths metres in vacuum, positions ICRS degrees; what is not known is None.
    """

    dataproduct_type: str | None
    dataproduct_subtype: str | None
    calib_level: int
    obs_collection: str
    obs_id: str
    obs_title: str | None
    obs_publisher_did: str
    obs_creation_date: datetime | None
    obs_release_date: datetime | None
    data_rights: str
    access_format: str
    access_estsize: int  # kbyte of 1000
    target_name: str | None
    s_ra: float | None
    s_dec: float | None
    s_fov: float | None
    s_region: Polygon | None
    s_resolution: float | None
    s_xel1: int | None
    s_xel2: int | None
    s_pixel_scale: float | None
    s_calib_status: str | None
    t_min: float | None
    t_max: float | None
    t_exptime: float | None
    t_resolution: float | None
    t_xel: int | None
    t_calib_status: str | None
    em_min: float | None
    em_max: float | None
    em_res_power: float | None
    em_resolution: float | None
    em_xel: int | None
    em_ucd: str | None
    em_calib_status: str | None
    o_ucd: str | None
    o_unit: str | None
    o_calib_status: str | None
    pol_states: str | None
    pol_xel: int
    facility_name: str | None
    instrument_name: str | None
    proposal_id: str | None


@dataclass(frozen=True, slots=True)
class Observed:
    """What the images of a file cover, as ``facts`` to make its row anew from, and the ``row``, if there is one."""

    facts: Mapping[str, Json]
    row: Observation | None


def add(transaction: Connection, added: Mapping[int, Observed]) -> None:
    """Say what files (by their numbers) show; the event of the file tells what they cover."""
    covered = [{"artifact": number, "facts": canonical(each.facts)} for number, each in added.items()]
    insert_all(transaction, schema.coverage, covered)
    _insert(transaction, {number: each.row for number, each in added.items() if each.row is not None})


def replace(transaction: Connection, rows: Mapping[int, Observation | None]) -> None:
    """Give files other rows than those they had, if any."""
    remove(transaction, rows)
    _insert(transaction, {number: row for number, row in rows.items() if row is not None})


def remove(transaction: Connection, artifacts: Iterable[int]) -> None:
    """Files are observations no more. What they cover stays known."""
    table = schema.observation
    for numbers in portions(list(artifacts)):
        transaction.execute(table.delete().where(table.c.artifact.in_(numbers)))


def covered(transaction: Connection, artifacts: Iterable[int]) -> dict[int, Mapping[str, Json]]:
    """What the images of files cover; those of which it is not known are left out."""
    table = schema.coverage
    found: dict[int, Mapping[str, Json]] = {}
    for numbers in portions(list(artifacts)):
        rows = transaction.execute(select(table).where(table.c.artifact.in_(numbers)))
        found |= {row.artifact: row.facts for row in rows}
    return found


def unseen(transaction: Connection, types: Sequence[str]) -> list[str]:
    """The URIs of products of these types of which it is not known what they cover: those of older programs."""
    file, product, known = schema.artifact, schema.product, schema.coverage
    rows = transaction.execute(
        select(file.c.uri)
        .join(product, product.c.artifact == file.c.id)
        .outerjoin(known, known.c.artifact == file.c.id)
        .where(product.c.type.in_(types), known.c.artifact.is_(None), file.c.retracted.is_(None))
        .order_by(file.c.id)
    )
    return list(rows.scalars())


def count(transaction: Connection) -> int:
    """How many rows there are."""
    return int(transaction.execute(select(func.count()).select_from(schema.observation)).scalar_one())


def find(transaction: Connection, artifacts: Iterable[int]) -> dict[int, Observation]:
    """The rows of files; those that have none are left out."""
    table = schema.observation
    found: dict[int, Observation] = {}
    for numbers in portions(list(artifacts)):
        for row in transaction.execute(select(table).where(table.c.artifact.in_(numbers))):
            plain = {name: getattr(row, name) for name in COLUMNS}
            found[row.artifact] = Observation(**plain | {"s_region": _polygon(row.s_region)})
    return found


COLUMNS = tuple(field.name for field in fields(Observation))


def _insert(transaction: Connection, rows: Mapping[int, Observation]) -> None:
    if rows:
        insert_all(transaction, schema.observation, list(_rows(rows)))


def _rows(observations: Mapping[int, Observation]) -> Iterator[dict[str, Any]]:
    nowhere = float("nan")
    placed = [
        (nowhere, nowhere) if each.s_ra is None or each.s_dec is None else (each.s_ra, each.s_dec)
        for each in observations.values()
    ]
    cells = sky.healpix_29([lon for lon, _ in placed], [lat for _, lat in placed])
    for (number, each), cell in zip(observations.items(), cells, strict=True):
        plain = {name: getattr(each, name) for name in COLUMNS}
        yield {**plain, "artifact": number, "_healpix_29": None if cell < 0 else int(cell), **_region(each.s_region)}


def _region(polygon: Polygon | None) -> dict[str, Any]:
    """A footprint and the circle around it."""
    if polygon is None:
        return dict.fromkeys(("s_region", "s_region_lon", "s_region_lat", "s_region_reach"))
    (lon, lat), reach = Outline(polygon.vertices).cap()
    return {
        "s_region": [number for vertex in polygon.vertices for number in vertex],
        "s_region_lon": lon,
        "s_region_lat": lat,
        "s_region_reach": reach,
    }


def _polygon(numbers: Sequence[float] | None) -> Polygon | None:
    return None if numbers is None else Polygon(tuple(zip(numbers[::2], numbers[1::2], strict=True)))
