"""Descriptions of releases: reviewed YAML files become ``Schema``, ``Table`` and ``Column``, or a list of all faults.

A release is described by ``<name>.yaml`` in the Felis key set (``felis``) and by our own facts beside it in
``<name>.archive.yaml``::

    schema: dr1            # the name in the other file
    kind: release          # release, live, program, external or standing
    id_block: 1            # the high bits of all IDs this release hands out
    tables:
      star:
        position: [ra, dec]            # where a row is on the sky, ICRS degrees
        ids: {star_id: release}        # release, exposure or external
    versions: []           # how later versions of the schema show the same rows (see ``versions``)
    differences: {}        # in which aspects it does not answer as all others do, and why (DMS-DBB-REQ-0055)

An ID of scope ``release`` is a 64-bit number whose bits from ``ID_SHIFT`` upwards are the release's block, so that
no two releases ever hand out the same ID (DMS-DBB-REQ-0031); an ``exposure`` ID is the same in every release; an
``external`` one comes from outside.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib.resources import files
from pathlib import Path, PurePosixPath

from archive.changes import read_versions
from archive.columns import Column, Datatype
from archive.descriptions import Check, Described, Group, describe
from archive.documents import Block, Problem, Problems, near, read
from archive.faults import NotFound, UsageFault
from archive.felis import Fetch, read_schema
from archive.tables import Position, Schema, Table
from archive.versions import Version

ID_SHIFT = 56
"""Bits of an ID below its release's block: 2**56 IDs for each of 127 blocks, all positive 64-bit numbers."""

ID_SCOPES = ("release", "exposure", "external")

FACTS = ".archive.yaml"
"""How the name of a file with our own facts ends."""


class Kind(StrEnum):
    """What a schema is for; the standing ones (TAP_SCHEMA) are defined by standards and hold no loaded rows."""

    RELEASE = "release"
    LIVE = "live"
    PROGRAM = "program"
    EXTERNAL = "external"
    STANDING = "standing"


class Aspect(StrEnum):
    """In what all releases answer alike, whatever their age (DMS-DBB-REQ-0055)."""

    CONE = "cone"  # rows are found by their place on the sky
    REPEAT = "repeat"  # an answer can be had again by its token
    METADATA = "metadata"  # columns are described alike in answers, TAP_SCHEMA and the list of tables
    ORDER = "order"  # TOP and OFFSET in the order of the primary key
    JOIN = "join"  # tables are joined by their keys
    FORMATS = "formats"  # the same rows in every format


@dataclass(frozen=True, slots=True)
class Release:
    """A schema and what an archive has to know of it; ``documents`` are the files it was read from, verbatim.

    ``differences`` tells for each aspect in which it may not answer as all releases do, why.
    """

    schema: Schema
    kind: Kind
    version: str
    id_block: int | None = None
    groups: tuple[Group, ...] = ()
    checks: tuple[Check, ...] = ()
    versions: tuple[Version, ...] = ()
    differences: Mapping[Aspect, str] = field(default_factory=dict)
    documents: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.schema.name

    @property
    def digest(self) -> str:
        """sha256 over the names and texts of the documents."""
        digest = hashlib.sha256()
        for name, text in sorted(self.documents.items()):
            digest.update(f"{len(name)} {name} {len(text)} {text}".encode())
        return digest.hexdigest()

    @property
    def has_facts(self) -> bool:
        """Whether our own facts stand beside the Felis document."""
        return any(name.endswith(FACTS) for name in self.documents)

    @property
    def ids(self) -> range | None:
        """The IDs of scope ``release`` that belong to this release."""
        return None if self.id_block is None else range(self.id_block << ID_SHIFT, (self.id_block + 1) << ID_SHIFT)

    def table(self, name: str) -> Table:
        """The table of that name.

        Raises:
            NotFound: there is none; the message names the nearest.
        """
        table = self.schema.table(name)
        if table is None:
            names = [table.name for table in self.schema.tables]
            raise NotFound(
                f"{self.name} has no table '{name}'.", near(name, names) or f"Its tables: {', '.join(names)}."
            )
        return table


class DescriptionFault(UsageFault):
    """A description is wrong; ``problems`` holds everything that is, ``message`` all of it as text."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n".join((f"The description has {count}:", *(f"  {problem}" for problem in self.problems))))


# --- finding and reading --------------------------------------------------------------------------


def shipped() -> Path:
    """The folder of descriptions that comes with the package."""
    return Path(str(files("archive") / "schema"))


def find(name: str, folders: Iterable[Path]) -> Path | None:
    """The file that describes ``name``, in the first of ``folders`` that has it."""
    candidates = (folder / f"{name}.yaml" for folder in folders)
    return next((path for path in candidates if path.is_file()), None)


def read_release(path: Path, *, thorough: bool = True) -> Release:
    """Read the description in ``path`` with the facts and resources beside it.

    Raises:
        NotFound: there is no such file.
        DescriptionFault: it is wrong; everything found is told. Problems that are not grave are left to ``examine``.
    """
    release, problems = examine(path, thorough=thorough)
    return _sound(release, problems)


def examine(path: Path, *, thorough: bool = True) -> tuple[Release | None, tuple[Problem, ...]]:
    """As ``read_release``, but what is wrong is returned beside what could be read."""
    text = _text(path)
    if text is None:
        raise NotFound(f"There is no description '{path}'.", "Give the path of a .yaml file in the Felis format.")
    texts = {path.name: text}

    def fetch(uri: str) -> tuple[str, str] | None:
        name = PurePosixPath(uri).name
        found = _text(path.parent / name)
        if found is None:
            return None
        texts[name] = found
        return name, found

    fetch(f"{path.stem}{FACTS}")
    return _examine(path.name, texts, fetch, thorough=thorough)


def from_documents(documents: Mapping[str, str], *, thorough: bool = False) -> Release:
    """A release from the copies of its files, as registered; the first is the main one.

    Raises:
        DescriptionFault: they are wrong, which can only happen to copies that were never checked.
    """

    def fetch(uri: str) -> tuple[str, str] | None:
        name = PurePosixPath(uri).name
        return (name, documents[name]) if name in documents else None

    release, problems = _examine(next(iter(documents)), dict(documents), fetch, thorough=thorough)
    return _sound(release, problems)


def _sound(release: Release | None, problems: Iterable[Problem]) -> Release:
    grave = [problem for problem in problems if problem.grave]
    if release is None or grave:
        raise DescriptionFault(grave)
    return release


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFault(f"{path} cannot be read as text.", "It must be a readable UTF-8 file.") from error


def _examine(
    main: str, texts: dict[str, str], fetch: Fetch, *, thorough: bool
) -> tuple[Release | None, tuple[Problem, ...]]:
    problems = Problems()
    felis = read_schema(texts[main], main, fetch, problems)
    beside = f"{PurePosixPath(main).stem}{FACTS}"
    facts = read(texts[beside], beside, problems) if beside in texts else None
    if felis is None:
        return None, tuple(problems)
    described = describe(felis, problems, thorough=thorough)
    release = (
        _with_facts(described, felis.version or "1", facts, thorough)
        if facts
        else _without_facts(described, felis.version)
    )
    return replace(release, documents=texts), tuple(problems)


# --- our own facts --------------------------------------------------------------------------------


def _usual_kind(name: str) -> Kind:
    if name.upper() == "TAP_SCHEMA":
        return Kind.STANDING
    prefixes = {"sp_": Kind.PROGRAM, "ext_": Kind.EXTERNAL}
    return next((kind for prefix, kind in prefixes.items() if name.startswith(prefix)), Kind.RELEASE)


def _without_facts(described: Described, version: str | None) -> Release:
    """What can be told from the Felis document alone: positions by UCD, nothing of IDs."""
    schema = described.schema
    tables = tuple(replace(table, position=_position_by_ucd(table)) for table in schema.tables)
    return Release(
        replace(schema, tables=tables),
        _usual_kind(schema.name),
        version or "1",
        None,
        described.groups,
        described.checks,
    )


def _position_by_ucd(table: Table) -> Position | None:
    pair = [
        [column.name for column in table.columns if column.ucd == ucd and column.datatype is Datatype.DOUBLE]
        for ucd in ("pos.eq.ra;meta.main", "pos.eq.dec;meta.main")
    ]
    return Position(pair[0][0], pair[1][0]) if all(len(names) == 1 for names in pair) else None


def _with_facts(described: Described, version: str, facts: Block, thorough: bool) -> Release:
    schema = described.schema
    name = facts.text("schema", required=True)
    if name not in (None, schema.name):
        facts.wrong(
            "schema", f"these are facts of '{name}', the schema is '{schema.name}'.", "The names must be equal."
        )
    usual = _usual_kind(schema.name)
    kind = Kind(facts.choice("kind", [kind.value for kind in Kind]) or usual)
    if kind is not usual and Kind.RELEASE not in (kind, usual) and kind is not Kind.LIVE:
        facts.wrong("kind", f"'{schema.name}' cannot be of kind '{kind}'.", f"By its name it is of kind '{usual}'.")
    block = facts.whole("id_block")
    if block is not None and not 1 <= block <= MOST_BLOCKS:
        facts.wrong("id_block", f"'id_block' must lie in 1..{MOST_BLOCKS}, not {block}.")
    entries = _table_facts(schema, facts)
    tables = tuple(_table_with_facts(table, entries.get(table.name), kind, facts) for table in schema.tables)
    if block is None and any("release" in table.id_scopes.values() for table in tables):
        facts.wrong(None, "IDs of scope 'release' need a block of their own.", "Add 'id_block: <number>'.")
    for entry in entries.values():
        entry.close()
    if re.search(r"_v\d+\Z", schema.name):
        facts.wrong("schema", f"'{schema.name}' is named like a pinned version.", "Choose another name.")
    versions = read_versions(replace(schema, tables=tables), facts, thorough=thorough)
    differences = _differences(facts)
    facts.close()
    shown = replace(schema, tables=tables)
    return Release(shown, kind, version, block, described.groups, described.checks, versions, differences)


MOST_BLOCKS = 127


def _differences(facts: Block) -> dict[Aspect, str]:
    reasons = facts.block("differences")
    if reasons is None:
        return {}
    known = [aspect for aspect in Aspect if aspect in reasons]
    found = {aspect: reasons.text(aspect, required=True) or "" for aspect in known}
    for name in reasons:
        if name not in known:
            remedy = near(name, Aspect) or f"One of: {', '.join(Aspect)}."
            reasons.wrong(name, f"'{name}' is nothing that a release could differ in.", remedy)
    return found


def _table_facts(schema: Schema, facts: Block) -> dict[str, Block]:
    tables = facts.block("tables")
    if tables is None:
        return {}
    names = [table.name for table in schema.tables]
    entries = {}
    for name in tables:
        entry = tables.block(name)
        if name not in names:
            tables.wrong(name, f"'{schema.name}' has no table '{name}'.", near(name, names))
        elif entry is not None:
            entry.about(table=name)
            entries[name] = entry
    return entries


def _table_with_facts(table: Table, entry: Block | None, kind: Kind, facts: Block) -> Table:
    if entry is None:
        _check_id_scopes(table, {}, kind, facts)
        return table
    position = _position(table, entry)
    scopes = _id_scopes(table, entry)
    _check_id_scopes(table, scopes, kind, entry)
    columns = tuple(
        replace(column, indexed=True) if position and column.name in (position.lon, position.lat) else column
        for column in table.columns
    )
    return replace(table, title=entry.text("title"), position=position, id_scopes=scopes, columns=columns)


def _position(table: Table, entry: Block) -> Position | None:
    names = entry.texts("position")
    if not names:
        return None
    if len(names) != 2:
        entry.wrong("position", "'position' must name two columns.", "Write 'position: [ra, dec]'.")
        return None
    for name in names:
        column = table.by_name.get(name)
        if column is None:
            entry.wrong("position", f"'position' names '{name}', which is no column here.", near(name, table.by_name))
        elif column.datatype not in (Datatype.DOUBLE, Datatype.FLOAT) or column.arraysize is not None:
            entry.wrong("position", f"the position's '{name}' is of type {column.datatype}.", "It must be a double.")
        elif column.unit != "deg":
            entry.wrong("position", f"the position's '{name}' has unit '{column.unit}'.", "It must be in 'deg' (ICRS).")
    known = all(name in table.by_name for name in names)
    return Position(*names) if known else None


def _id_scopes(table: Table, entry: Block) -> dict[str, str]:
    ids = entry.block("ids")
    scopes: dict[str, str] = {}
    for name in ids or ():
        scope = ids.choice(name, ID_SCOPES, required=True) if ids else None
        column = table.by_name.get(name)
        if column is None:
            entry.wrong("ids", f"'ids' names '{name}', which is no column here.", near(name, table.by_name))
        elif scope == "release" and (column.datatype is not Datatype.LONG or column.arraysize is not None):
            entry.wrong("ids", f"the ID '{name}' is of type {column.datatype}.", "Scope 'release' needs a 'long'.")
        elif scope is not None:
            scopes[name] = scope
    return scopes


def _check_id_scopes(table: Table, scopes: Mapping[str, str], kind: Kind, where: Block) -> None:
    """A whole-number primary key of our own data must say whose number it is."""
    if kind in (Kind.EXTERNAL, Kind.STANDING):
        return
    for name in table.primary_key:
        column = table.by_name.get(name)
        if column is not None and column.datatype is Datatype.LONG and name not in scopes:
            where.wrong(
                None,
                f"the key '{name}' of table '{table.name}' has no ID scope.",
                f"Add 'ids: {{{name}: <scope>}}' to the table; scopes: {', '.join(ID_SCOPES)}.",
            )


# --- may a new description take the place of a registered one? ------------------------------------


def breaking_changes(old: Release, new: Release) -> tuple[str, ...]:
    """What keeps ``new`` from describing rows that were loaded under ``old``; words may change, facts may not."""
    changes = [] if old.id_block == new.id_block else ["the ID block differs"]
    if new.versions[: len(old.versions)] != old.versions:
        changes.append("an earlier schema version is gone or changed")
    for table in old.schema.tables:
        successor = new.schema.table(table.name)
        if successor is None:
            changes.append(f"table '{table.name}' is gone")
        else:
            changes += [f"table '{table.name}': {change}" for change in _table_changes(table, successor)]
    return tuple(changes)


def _table_changes(old: Table, new: Table) -> Iterator[str]:
    for column in old.columns:
        successor = new.by_name.get(column.name)
        if successor is None:
            yield f"column '{column.name}' is gone"
        elif _stored(column) != _stored(successor):
            yield f"column '{column.name}' has another type, size, unit or nullability"
    yield from (f"column '{column.name}' is new" for column in new.columns if column.name not in old.by_name)
    if (old.primary_key, old.unique, old.position) != (new.primary_key, new.unique, new.position):
        yield "its keys or its position columns differ"
    if dict(old.id_scopes) != dict(new.id_scopes):
        yield "its ID scopes differ"


def _stored(column: Column) -> tuple[object, ...]:
    return (column.datatype, column.arraysize, column.xtype, column.unit, column.nullable)
