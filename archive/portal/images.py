"""The search for images by position: a form, the images found with small pictures, and where they lie on the sky."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from archive import images, regions, visits
from archive.book import Book
from archive.dali import Parameters
from archive.faults import UsageFault
from archive.images import Search
from archive.ledger.site import uri_of
from archive.portal.places import place, sexagesimal
from archive.portal.skymap import Footprint, SkyMap, sky_map
from archive.query import Question
from archive.results import Result
from archive.serving import Serving
from archive.sky import Circle, Interval
from archive.visits import Asked

MOST = 100
"""Images on a page."""

UNITS = {"deg": 1.0, "arcmin": 1 / 60, "arcsec": 1 / 3600}
_MJD_0 = datetime(1858, 11, 17, tzinfo=UTC)
_NAMES = ("pos", "radius", "unit", "collection", "from", "to")


@dataclass(frozen=True, slots=True)
class Form:
    """What was filled in, as it was, to be shown again."""

    pos: str = ""
    radius: str = "10"
    unit: str = "arcmin"
    collection: str = ""
    begin: str = ""
    end: str = ""

    @classmethod
    def read(cls, parameters: Parameters) -> Form:
        """What a request fills in."""
        given = [(parameters.one(name.upper()) or "").strip() for name in _NAMES]
        return cls(given[0], given[1] or "10", given[2] or "arcmin", *given[3:])

    def circle(self) -> Circle | None:
        """Where to look; None for everywhere.

        Raises:
            UsageFault: it cannot be understood.
        """
        if not self.pos:
            return None
        lon, lat = place(self.pos)
        try:
            radius = float(self.radius) * UNITS[self.unit]
        except (ValueError, KeyError):
            raise UsageFault(f"'{self.radius} {self.unit}' is no radius.", "Give a number and a unit.") from None
        if not 0 <= radius <= 180:
            raise UsageFault(f"A radius of {self.radius} {self.unit} is none.", "It is from 0 to 180 degrees.")
        return Circle(lon, lat, radius)

    def search(self) -> Search:
        """The search that is meant.

        Raises:
            UsageFault: something in it cannot be understood.
        """
        circle = self.circle()
        times = (Interval(_mjd(self.begin, -math.inf), _mjd(self.end, math.inf, days=1)),)
        if times[0].low >= times[0].high:
            raise UsageFault("The first day is after the last.", "Exchange them.")
        return Search(
            places=() if circle is None else (circle,),
            collections=(self.collection,) if self.collection else (),
            times=times if self.begin or self.end else (),
        )

    @property
    def siap(self) -> str:
        """The same search as parameters of SIA 2.0, as far as the form can be understood."""
        try:
            circle, search = self.circle(), self.search()
        except UsageFault:
            return ""
        pairs = [("POS", f"CIRCLE {circle.lon:.8g} {circle.lat:.8g} {circle.radius:.6g}")] if circle else []
        pairs += [("TIME", f"{each.low:.8g} {each.high:.8g}") for each in search.times]
        pairs += [("COLLECTION", each) for each in search.collections]
        return urlencode(pairs, quote_via=quote)


@dataclass(frozen=True, slots=True)
class Image:
    """An image as it is listed; addresses are relative to the public URL. What is not known is empty."""

    key: int
    name: str
    title: str
    collection: str
    kind: str
    position: str
    away: str
    light: str
    taken: str
    exposure: str
    size: str
    instrument: str
    is_public: bool
    path: str
    links: str
    footprint: Footprint | None


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: ``overflowed`` if that is not all."""

    images: tuple[Image, ...]
    overflowed: bool
    sky: SkyMap


class ImageSearch:
    """Finds images for the portal."""

    def __init__(self, serving: Serving, book: Book) -> None:
        self._serving = serving
        self._book = book

    def found(self, form: Form) -> Found:
        """The images that the form asks for, the nearest first.

        Raises:
            UsageFault: the form cannot be understood.
        """
        circle, search = form.circle(), form.search()
        result = self._asked(search, form)
        try:
            rows = list(_rows(result))
        finally:
            result.close()
        near = [(_separation(circle, row), row) for row in rows]
        near.sort(key=lambda pair: (pair[0] is None, pair[0] or 0.0, -(pair[1].get("t_min") or 0.0)))
        listed = tuple(_image(key, row, away) for key, (away, row) in enumerate(near, start=1))
        shapes = [each.footprint for each in listed if each.footprint is not None]
        return Found(listed, result.overflowed, sky_map(shapes, circle))

    def _asked(self, search: Search, form: Form) -> Result:
        visit = visits.current()
        note = Asked("portal", "SIA-2.0", form.siap)
        self._book.query_began(visit, note)
        question = Question(
            query=images.query(search),
            maxrec=MOST,
            seconds=self._serving.config.sync_seconds,
            hard_maxrec=self._serving.config.hard_maxrec,
            asker=visit.address,
            stop=visit.stop,
        )
        note.result = result = self._serving.answer(question)
        return result


def _rows(result: Result) -> Iterator[Mapping[str, Any]]:
    names = [column.name for column in result.columns]
    for batch in result.batches:
        result.rows += batch.num_rows
        for values in zip(*(array.to_pylist() for array in batch.columns), strict=True):
            yield dict(zip(names, values, strict=True))


def _image(key: int, row: Mapping[str, Any], away: float | None) -> Image:
    did = row["obs_publisher_did"]
    path = (uri_of(did) or "///").split("/", 3)[3]
    name = path.rpartition("/")[2]
    where = None if row["s_ra"] is None or row["s_dec"] is None else (row["s_ra"], row["s_dec"])
    title = row["obs_title"] or row["target_name"] or row["obs_id"]
    outline = regions.polygon(row["s_region"] or "")
    return Image(
        key=key,
        name=name,
        title=title,
        collection=row["obs_collection"],
        kind=row["dataproduct_type"] or "",
        position=sexagesimal(*where) if where else "",
        away="" if away is None else angle(away),
        light=_light(row["em_min"], row["em_max"]),
        taken=_taken(row["t_min"]),
        exposure="" if row["t_exptime"] is None else f"{row['t_exptime']:g} s",
        size=_size(row["access_estsize"]),
        instrument=" ".join(filter(None, (row["facility_name"], row["instrument_name"]))),
        is_public=row["data_rights"] in (None, "public"),
        path=path,
        links=f"datalink/links?{urlencode({'ID': did, 'RESPONSEFORMAT': 'html'})}",
        footprint=Footprint(key, outline, where, title) if where else None,
    )


def _separation(circle: Circle | None, row: Mapping[str, Any]) -> float | None:
    """Degrees from the place that was looked for to the middle of an image."""
    if circle is None or row["s_ra"] is None or row["s_dec"] is None:
        return None
    lon, lat, ra, dec = (math.radians(each) for each in (circle.lon, circle.lat, row["s_ra"], row["s_dec"]))
    half = math.sin((dec - lat) / 2) ** 2 + math.cos(lat) * math.cos(dec) * math.sin((ra - lon) / 2) ** 2
    return math.degrees(2 * math.asin(min(1.0, math.sqrt(half))))


# --- numbers for people ---------------------------------------------------------------------------


def angle(degrees: float) -> str:
    """An angle in the unit that fits."""
    for unit, size in (("°", 1.0), ("′", 1 / 60)):
        if degrees >= size:
            return f"{degrees / size:.3g}{unit}"
    return f"{degrees * 3600:.2g}″"


def _light(low: float | None, high: float | None) -> str:
    """Wavelengths in the unit that fits."""
    if low is None or high is None:
        return ""
    for unit, size in (("m", 1.0), ("mm", 1e-3), ("µm", 1e-6), ("nm", 1e-9)):
        if high >= size or unit == "nm":
            ends = "\N{EN DASH}".join(dict.fromkeys(f"{end / size:.4g}" for end in (low, high)))
            return f"{ends} {unit}"
    return ""


def _taken(mjd: float | None) -> str:
    if mjd is None or not -600_000 < mjd < 2_900_000:
        return ""
    return f"{_MJD_0 + timedelta(days=mjd):%Y-%m-%d %H:%M}"


def _size(kilobytes: int | None) -> str:
    if kilobytes is None:
        return ""
    for unit, size in (("TB", 10**9), ("GB", 10**6), ("MB", 10**3)):
        if kilobytes >= size:
            return f"{kilobytes / size:.3g} {unit}"
    return f"{kilobytes} kB"


def _mjd(day: str, unless: float, days: int = 0) -> float:
    """The beginning of a day, or of one that is ``days`` later, as MJD."""
    if not day:
        return unless
    try:
        found = date.fromisoformat(day)
    except ValueError:
        raise UsageFault(f"'{day[:40]}' is no day.", "Write it like 2026-03-01.") from None
    return float((found - _MJD_0.date()).days + days)
