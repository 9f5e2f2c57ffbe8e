"""What kinds of files the archive keeps, and what has to be known of each: read from ``schema/products.yaml``.

A ``ProductType`` asks for ``Item``s of metadata. They come in groups, so that a requirement (the six groups of a raw
image, DMS-REQ-0068) can be followed from its text to the keyword that answers it. An item is told by the file's
header, by whoever delivers the file, or is null for a reason that is kept beside it.

Keywords are written as in a FITS header. Those of the convention HIERARCH are told without that word
(``ESO TEL AIRM START``); ``#`` stands for digits and ``*`` for anything; a unit in brackets (``PRESSURE [hPa]``) is
the one that values have when their card does not tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType

from archive import vocabularies
from archive.columns import Column, Datatype
from archive.documents import Block, Problems, near, read
from archive.faults import NotFound, UsageFault
from archive.releases import DescriptionFault, find

FILE = "products"


class Form(StrEnum):
    """What form an item's value has. Times are kept in ISO 8601 without zone, records as JSON objects."""

    TEXT = "text"
    INT = "int"
    LONG = "long"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    TIME = "time"
    RECORD = "record"


class Need(StrEnum):
    """May an item be null? ``REASON``: only if who delivers the file says why."""

    REQUIRED = "required"
    REASON = "reason"
    OPTIONAL = "optional"


class Scale(StrEnum):
    """The time scale in which an item is kept; LSST's tables are in TAI, the VO's in UTC."""

    TAI = "TAI"
    UTC = "UTC"


@dataclass(frozen=True, slots=True)
class Keyword:
    """A place in a header where an item may be told; ``unit`` is what its values have if the card does not say."""

    name: str
    unit: str | None = None

    @property
    def is_pattern(self) -> bool:
        return "#" in self.name or "*" in self.name

    def matches(self, keyword: str) -> bool:
        """Whether ``keyword``, as written in a header, is meant."""
        return bool(_pattern(self.name).fullmatch(keyword.upper()))


@lru_cache(maxsize=4096)
def _pattern(name: str, *, folded: bool = True) -> re.Pattern[str]:
    """``#`` stands for digits, ``*`` for anything; ``folded`` names are compared in capitals."""
    text = re.escape(name.upper() if folded else name)
    return re.compile(text.replace(r"\#", r"\d+").replace(r"\*", ".*"))


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to be known of a file: what it is and where it is found.

    ``words`` maps each value that the item may have to the other ways it is written, if values are words of a list.
    """

    name: str
    group: str
    form: Form
    need: Need
    description: str
    unit: str | None = None
    ucd: str | None = None
    scale: Scale | None = None
    keywords: tuple[Keyword, ...] = ()
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def column(self) -> Column:
        """The column in which a table would carry this item."""
        datatype, arraysize, xtype = _COLUMNS[self.form]
        return Column(
            self.name,
            datatype,
            arraysize,
            xtype,
            self.unit,
            self.ucd,
            description=self.description,
            nullable=self.need is not Need.REQUIRED,
        )


_COLUMNS: dict[Form, tuple[Datatype, str | None, str | None]] = {
    Form.TEXT: (Datatype.UNICODE, "*", None),
    Form.INT: (Datatype.INT, None, None),
    Form.LONG: (Datatype.LONG, None, None),
    Form.DOUBLE: (Datatype.DOUBLE, None, None),
    Form.BOOLEAN: (Datatype.BOOLEAN, None, None),
    Form.TIME: (Datatype.CHAR, "*", "timestamp"),
    Form.RECORD: (Datatype.UNICODE, "*", "json"),
}


@dataclass(frozen=True, slots=True)
class Role:
    """Files that a product was made from, and the part they had in it."""

    name: str
    description: str
    keywords: tuple[Keyword, ...] = ()
    required: bool = False
    many: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Items that belong together; ``source`` names the requirement that asks for them."""

    name: str
    title: str
    source: str


@dataclass(frozen=True, slots=True)
class Retention:
    """How long files are kept: for ever, or for so many days after they were registered."""

    name: str
    description: str
    days: int | None = None


@dataclass(frozen=True)
class ProductType:
    """A kind of file: in which formats it comes, what has to be known of it, its inputs, how long it stays."""

    name: str
    title: str
    description: str
    formats: tuple[str, ...]
    retention: Retention
    groups: tuple[Group, ...] = ()
    items: tuple[Item, ...] = ()
    inputs: tuple[Role, ...] = ()
    is_image: bool = False
    calib_level: int | None = None  # of ObsCore 1.1 section 4.2; None: no observation

    @cached_property
    def by_name(self) -> Mapping[str, Item]:
        return {item.name: item for item in self.items}

    def item(self, name: str) -> Item:
        """The item of that name.

        Raises:
            NotFound: there is none; the message names the nearest.
        """
        if name in self.by_name:
            return self.by_name[name]
        hint = near(name, self.by_name) or f"Its items: {', '.join(self.by_name)}."
        raise NotFound(f"A file of type {self.name} has no item '{name}'.", hint)


@dataclass(frozen=True, slots=True)
class Band:
    """A band of the spectrum between two wavelengths (m, vacuum) and the names of filters that pass it."""

    name: str
    low: float
    high: float
    filters: tuple[Keyword, ...] = ()


class ProductTypes(dict[str, ProductType]):
    """All product types by their names, the bands they are taken in, and how long files may be kept, by name."""

    bands: tuple[Band, ...] = ()
    retentions: Mapping[str, Retention] = MappingProxyType({})

    def band(self, *names: str | None) -> Band | None:
        """The band called by the first of ``names`` that is known, be it the band's name or a filter's."""
        for name in filter(None, names):
            found = next((band for band in self.bands if _passes(band, name)), None)
            if found is not None:
                return found
        return None

    def named(self, name: str) -> ProductType:
        """The type of that name.

        Raises:
            UsageFault: there is none; the message names them all.
        """
        if name in self:
            return self[name]
        remedy = near(name, self) or f"Types: {', '.join(self)}."
        raise UsageFault(f"There is no product type '{name}'.", remedy)


def _passes(band: Band, name: str) -> bool:
    return name == band.name or any(_pattern(each.name, folded=False).fullmatch(name) for each in band.filters)


def product_types(folders: Iterable[Path]) -> ProductTypes:
    """The product types described by the first ``products.yaml`` in ``folders``.

    Raises:
        NotFound: there is none.
        DescriptionFault: it is wrong; everything found is told.
    """
    path = find(FILE, folders)
    if path is None:
        raise NotFound(f"There is no {FILE}.yaml.", "It belongs beside the descriptions of releases.")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFault(f"{path} cannot be read as text.", "It must be a readable UTF-8 file.") from error
    return read_types(text, path.name)


@lru_cache(maxsize=8)
def read_types(text: str, name: str) -> ProductTypes:
    """As ``product_types``, from the text of a file called ``name``."""
    problems = Problems()
    block = read(text, name, problems)
    types = _Reader(block).types() if block is not None else ProductTypes()
    if len(problems):
        raise DescriptionFault(problems)
    return types


_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_KEYWORD = re.compile(r"(?P<name>[A-Z0-9_#*-]+(?: [A-Z0-9_#*-]+)*)(?: \[(?P<unit>[^\]]+)\])?\Z")
_FORMATS = ("fits", "parquet", "votable", "csv", "tsv", "avro", "tar", "any")


class _Reader:
    """Reads the one mapping of the file: retention, groups with their items, types that use them."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self._retention: dict[str, Retention] = {}
        self._groups: dict[str, tuple[Group, tuple[Item, ...]]] = {}

    def types(self) -> ProductTypes:
        self._block.text("description")
        self._retention = {each.name: each for each in map(self._a_retention, self._block.blocks("retention"))}
        for entry in self._block.blocks("groups", required=True):
            group = self._a_group(entry)
            items = tuple(_item(each, group.name) for each in entry.blocks("items", required=True))
            _check_distinct(entry, [item.name for item in items])
            entry.close()
            self._groups[group.name] = (group, items)
        entries = self._block.blocks("types", required=True)
        types = ProductTypes((each.name, each) for each in map(self._a_type, entries))
        if len(types) < len(entries):
            self._block.wrong("types", "two types have the same name.", "Names are distinct.")
        types.retentions = self._retention
        types.bands = tuple(_band(each) for each in self._block.blocks("bands"))
        self._block.close()
        return types

    def _a_retention(self, entry: Block) -> Retention:
        found = Retention(_name(entry), entry.text("description", required=True) or "", entry.whole("days"))
        if found.days is not None and found.days < 1:
            entry.wrong("days", f"'days' must be 1 or more, not {found.days}.")
        entry.close()
        return found

    def _a_group(self, entry: Block) -> Group:
        name = _name(entry)
        if name in self._groups:
            entry.wrong("name", f"there are two groups '{name}'.", "Names are distinct.")
        return Group(name, entry.text("title", required=True) or "", entry.text("source") or "")

    def _a_type(self, entry: Block) -> ProductType:
        name = _name(entry)
        entry.about(table=name)
        groups = self._chosen(entry)
        items = _with_needs(entry, [item for _, items in groups for item in items])
        _check_distinct(entry, [item.name for item in items])
        roles = tuple(_role(each) for each in entry.blocks("inputs"))
        _check_distinct(entry, [item.name for item in items] + [role.name for role in roles])
        formats = entry.texts("formats", required=True)
        for each in formats:
            if each not in _FORMATS:
                entry.wrong("formats", f"the format '{each}' is not known.", near(each, _FORMATS))
        found = ProductType(
            name,
            entry.text("title", required=True) or "",
            entry.text("description", required=True) or "",
            formats,
            self._kept(entry),
            tuple(group for group, _ in groups),
            items,
            roles,
            bool(entry.flag("image")),
            self._calib_level(entry),
        )
        entry.close()
        return found

    def _calib_level(self, entry: Block) -> int | None:
        level = entry.whole("calib_level")
        if level is not None and not 0 <= level <= 4:
            entry.wrong("calib_level", f"'calib_level' must lie in 0..4, not {level}.", "ObsCore 1.1 section 4.2.")
        return level

    def _kept(self, entry: Block) -> Retention:
        name = entry.choice("retention", self._retention, required=True)
        return self._retention[name] if name else Retention("", "")

    def _chosen(self, entry: Block) -> list[tuple[Group, tuple[Item, ...]]]:
        chosen = []
        for name in entry.texts("groups"):
            if name in self._groups:
                chosen.append(self._groups[name])
            else:
                entry.wrong("groups", f"there is no group '{name}'.", near(name, self._groups))
        return chosen


def _with_needs(entry: Block, items: list[Item]) -> tuple[Item, ...]:
    """``items`` as one type needs them: ``needs`` overrules what the groups say, for items or whole groups."""
    needs = entry.block("needs")
    found: dict[str, Need] = {}
    for name in needs or ():
        need = needs.choice(name, [each.value for each in Need], required=True) if needs else None
        if name not in {each for item in items for each in (item.name, item.group)}:
            entry.wrong("needs", f"'needs' names '{name}', which is no item or group here.")
        elif need is not None:
            found[name] = Need(need)
    return tuple(replace(item, need=found.get(item.name) or found.get(item.group) or item.need) for item in items)


def _name(entry: Block) -> str:
    name = entry.text("name", required=True) or ""
    if name and not _NAME.match(name):
        entry.wrong("name", f"'{name}' is no name.", "Write it in small letters, digits and '_'.")
    return name


def _check_distinct(entry: Block, names: list[str]) -> None:
    for name in sorted({name for name in names if names.count(name) > 1}):
        entry.wrong(None, f"'{name}' is told twice.", "Names of items and inputs are distinct.")


def _item(entry: Block, group: str) -> Item:
    name = _name(entry)
    entry.about(column=name)
    form = Form(entry.choice("form", [each.value for each in Form], required=True) or Form.TEXT)
    scale = entry.choice("scale", [each.value for each in Scale], required=form is Form.TIME)
    item = Item(
        name,
        group,
        form,
        Need(entry.choice("need", [each.value for each in Need]) or Need.REASON),
        entry.text("description", required=True) or "",
        _unit(entry),
        _ucd(entry),
        Scale(scale) if scale else None,
        _keywords(entry),
        _words(entry),
    )
    if item.form is not Form.DOUBLE and (item.unit or any(keyword.unit for keyword in item.keywords)):
        entry.wrong("unit", f"a value of form '{form}' has no unit.", "Make it a 'double'.")
    entry.close()
    return item


def _unit(entry: Block) -> str | None:
    unit = entry.text("unit")
    trouble = vocabularies.unit_trouble(unit) if unit else None
    if trouble is not None:
        entry.wrong("unit", trouble.message, trouble.remedy)
    return unit


def _ucd(entry: Block) -> str | None:
    ucd = entry.text("ucd")
    trouble = vocabularies.ucd_trouble(ucd) if ucd else None
    if trouble is not None:
        entry.wrong("ucd", trouble.message, trouble.remedy)
    return ucd


def _keywords(entry: Block) -> tuple[Keyword, ...]:
    found = []
    for text in entry.texts("keywords"):
        match = _KEYWORD.match(text)
        if match is None:
            entry.wrong("keywords", f"'{text}' is no keyword.", "Write 'EXPTIME', 'ESO TEL ALT' or 'AIRPRESS [hPa]'.")
        else:
            found.append(Keyword(match["name"], match["unit"]))
    return tuple(found)


def _words(entry: Block) -> Mapping[str, tuple[str, ...]]:
    words = entry.block("words")
    return {word: (words.texts(word) if words else ()) for word in words or ()}


def _band(entry: Block) -> Band:
    name = entry.text("name", required=True) or ""
    low, high = (entry.scalar(key) for key in ("low", "high"))
    if not (isinstance(low, int | float) and isinstance(high, int | float) and 0 < low < high):
        entry.wrong("low", f"'low' and 'high' of band '{name}' must be wavelengths in nm, the smaller one first.")
        low, high = 1, 1
    filters = tuple(Keyword(text) for text in entry.texts("filters"))
    entry.close()
    return Band(name, low * 1e-9, high * 1e-9, filters)


def _role(entry: Block) -> Role:
    found = Role(
        _name(entry),
        entry.text("description", required=True) or "",
        _keywords(entry),
        bool(entry.flag("required")),
        bool(entry.flag("many")),
    )
    entry.close()
    return found
