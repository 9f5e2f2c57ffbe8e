"""What is kept otherwise than its product type: kinds of products, and areas of the sky; read from ``retention.yaml``.

The class of a product type (``schema/products.yaml``) says how long its files stay. An exception gives another class
to the files of one kind, told by an item of their metadata. An area keeps what touches it from every rule, or lets
what lies inside go earlier; it is a coverage map (MOC 2.0), and so exact at any size.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from archive import sky
from archive.adql.moc import ranges as ranges_of
from archive.adql.types import Refused
from archive.documents import Block, Problems, near, read
from archive.faults import UsageFault
from archive.intake.delivered import Measure
from archive.intake.moc import read_moc
from archive.ledger.products import Product
from archive.products import ProductTypes, Retention
from archive.releases import DescriptionFault, find
from archive.sky import Ranges

FILE = "retention"

_FITS = b"SIMPLE"
_COVER = 256  # ranges by which a file's region is told: fine enough for areas of any shape


@dataclass(frozen=True, slots=True)
class Kind:
    """Files of ``type`` whose ``item`` has one of ``values`` are kept as ``retention`` says."""

    type: str
    item: str
    values: frozenset[str]
    retention: Retention

    def covers(self, product: Product) -> bool:
        """Whether that file is of this kind."""
        told = product.metadata.get(self.item)
        value = told.get("value") if isinstance(told, Mapping) else None
        return product.type == self.type and isinstance(value, str) and folded(value) in self.values


@dataclass(frozen=True, slots=True)
class Area:
    """A part of the sky: types that are kept where they touch it, types that go after ``days`` where they lie in it.

    ``ranges`` are half-open, sorted and disjoint, of nested cells at order 29.
    """

    name: str
    ranges: Ranges
    keep: frozenset[str]
    drop: frozenset[str]
    days: int | None = None

    def touches(self, region: Ranges) -> bool:
        """Whether any cell of ``region`` lies in the area."""
        return any(self._last(high - 1) > self._last(low) or self._holds(low) for low, high in region)

    def contains(self, region: Ranges) -> bool:
        """Whether all cells of ``region`` lie in the area, and there are some."""
        return bool(region) and all(self._holds(low) and self._end(low) >= high for low, high in region)

    def _last(self, cell: int) -> int:
        """The number of ranges that begin at or before the cell."""
        return bisect_right(self.ranges, cell, key=lambda each: each[0])

    def _end(self, cell: int) -> int:
        at = self._last(cell)
        return self.ranges[at - 1][1] if at else -1

    def _holds(self, cell: int) -> bool:
        return self._end(cell) > cell


@dataclass(frozen=True, slots=True)
class Policies:
    """All that is kept otherwise."""

    kinds: tuple[Kind, ...] = ()
    areas: tuple[Area, ...] = ()

    def retention(self, types: ProductTypes, product: Product) -> Retention:
        """How long a file is kept, areas apart."""
        found = next((kind.retention for kind in self.kinds if kind.covers(product)), None)
        return found or types.named(product.type).retention

    def passing(self, types: ProductTypes) -> dict[str, int | None]:
        """The types of which some files do not stay for ever, and the fewest days that any of them stays."""
        found: dict[str, int | None] = {}
        for name, kind in types.items():
            classes = [kind.retention, *(each.retention for each in self.kinds if each.type == name)]
            if any(passes(each) for each in classes):
                days = [each.days for each in classes] + [area.days for area in self.areas if name in area.drop]
                found[name] = min((each for each in days if each is not None), default=None)
        return found


PERMANENT = "permanent"
"""The class of what no rule and nobody drops."""


def passes(retention: Retention) -> bool:
    """Whether files of that class ever go."""
    return retention.name != PERMANENT


def region(product: Product, vertices: tuple[float, ...] | None) -> tuple[Ranges, bool]:
    """The cells that a file covers, and whether that is known or only where its middle is; none if nothing is."""
    if vertices:
        pairs = tuple(zip(vertices[::2], vertices[1::2], strict=True))
        return sky.polygon_ranges(pairs, _COVER), True
    if product.ra is None or product.dec is None:
        return (), False
    cell = int(sky.healpix_29([product.ra], [product.dec])[0])
    return ((cell, cell + 1),) if cell >= 0 else (), False


def folded(word: str) -> str:
    """A word as kinds are compared: ``PSF-matched`` is ``psf_matched``."""
    return re.sub(r"[\s_-]+", "_", word.strip().lower())


def policies(folders: Iterable[Path], types: ProductTypes) -> Policies:
    """Those of the first ``retention.yaml`` in ``folders``; none where there is no such file.

    Raises:
        DescriptionFault: it is wrong; everything found is told.
    """
    path = find(FILE, folders)
    if path is None:
        return Policies()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFault(f"{path} cannot be read as text.", "It must be a readable UTF-8 file.") from error
    problems = Problems()
    block = read(text, path.name, problems)
    found = _Reader(path.parent, types).policies(block) if block is not None else Policies()
    if len(problems):
        raise DescriptionFault(problems)
    return found


class _Reader:
    """Reads the one mapping of the file."""

    def __init__(self, folder: Path, types: ProductTypes) -> None:
        self._folder = folder
        self._types = types
        self._classes = types.retentions

    def policies(self, block: Block) -> Policies:
        block.text("description")
        kinds = tuple(filter(None, map(self._kind, block.blocks("exceptions"))))
        areas = tuple(filter(None, (self._area(each, kinds) for each in block.blocks("areas"))))
        if len({area.name for area in areas}) < len(areas):
            block.wrong("areas", "two areas have the same name.", "Names are distinct.")
        block.close()
        return Policies(kinds, areas)

    def _kind(self, entry: Block) -> Kind | None:
        name = entry.choice("type", self._types, required=True)
        item = entry.text("item", required=True)
        values = entry.texts("values", required=True)
        retention = entry.choice("retention", self._classes, required=True)
        entry.close()
        if name is None or item is None or retention is None:
            return None
        if item not in self._types[name].by_name:
            entry.wrong("item", f"a file of type {name} has no item '{item}'.", near(item, self._types[name].by_name))
        return Kind(name, item, frozenset(map(folded, values)), self._classes[retention])

    def _area(self, entry: Block, kinds: tuple[Kind, ...]) -> Area | None:
        name = entry.text("name", required=True)
        entry.text("description")
        ranges = self._ranges(entry)
        keep, drop = self._named(entry, "keep"), self._named(entry, "drop")
        days = entry.whole("days")
        if not keep and not drop:
            entry.wrong(None, "an area keeps or drops something.", "Add 'keep: [...]' or 'drop: [...]'.")
        if keep & drop:
            entry.wrong("drop", f"'{min(keep & drop)}' is kept and dropped.", "Name it in one of the two.")
        if (days is not None) != bool(drop) or (days is not None and days < 1):
            entry.wrong("days", "'days' tells after how many days what is dropped goes: 1 or more.", "Add 'days: 7'.")
        for each in sorted(drop - Policies(kinds).passing(self._types).keys()):
            entry.wrong("drop", f"files of type '{each}' are kept for ever.", "No area can drop them.")
        entry.close()
        return Area(name, ranges, keep, drop, days) if name else None

    def _named(self, entry: Block, key: str) -> frozenset[str]:
        found = frozenset(entry.texts(key))
        for name in sorted(found - self._types.keys()):
            entry.wrong(key, f"there is no product type '{name}'.", near(name, self._types))
        return found & self._types.keys()

    def _ranges(self, entry: Block) -> Ranges:
        text, file = entry.text("moc"), entry.text("file")
        if (text is None) == (file is None):
            entry.wrong(None, "an area is told by 'moc' or by 'file'.", "moc: '6/1-4', or the name of a FITS file.")
            return ()
        try:
            return ranges_of(text) if text is not None else self._from_file(str(file))
        except (Refused, UsageFault, OSError) as error:
            remedy = getattr(error, "remedy", "") or "A file lies beside retention.yaml, as FITS, text or JSON."
            entry.wrong("moc" if text else "file", f"it is no map of the sky: {error}", remedy)
            return ()

    def _from_file(self, name: str) -> Ranges:
        content = (self._folder / name).read_bytes()
        if not content.startswith(_FITS):
            return ranges_of(content.decode("utf-8", "replace"))
        found = read_moc(content, name, Measure())
        if found is None:
            raise UsageFault(f"{name} is a FITS file without a map.", "Give a MOC.")
        return found
