"""Felis documents: the key set in which releases are described, from text to typed values.

Facts of the format: the Felis user's guide of LSST Data Management (https://felis.lsst.io). All of its constructs
are read: identifiers given or generated, primary, unique, foreign and check constraints, indexes over columns or
expressions, column groups, database-specific overrides, versions, and columns taken from other documents by
``resources`` and ``columnRefs``. What the values mean for an archive is the business of ``releases``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from archive.documents import Block, Place, Problems, Scalar, near, read


class FelisType(StrEnum):
    """The datatypes of Felis."""

    BOOLEAN = "boolean"
    BYTE = "byte"
    SHORT = "short"
    INT = "int"
    LONG = "long"
    FLOAT = "float"
    DOUBLE = "double"
    CHAR = "char"
    STRING = "string"
    UNICODE = "unicode"
    TEXT = "text"
    BINARY = "binary"
    TIMESTAMP = "timestamp"

    @property
    def is_sized(self) -> bool:
        """True if a length must be given."""
        return self in (FelisType.CHAR, FelisType.STRING, FelisType.UNICODE, FelisType.BINARY)


@dataclass(frozen=True, slots=True)
class FelisColumn:
    """A column as written; ``unit`` is VOUnits text, ``fits_unit`` the older spelling by FITS rules."""

    place: Place
    id: str
    name: str
    datatype: FelisType
    description: str | None = None
    utype: str | None = None
    length: int | None = None
    precision: int | None = None
    nullable: bool = True
    value: Scalar = None
    autoincrement: bool = False
    ucd: str | None = None
    unit: str | None = None
    fits_unit: str | None = None
    index: int | None = None
    principal: bool = False
    std: bool = False
    arraysize: str | None = None
    xtype: str | None = None
    votable: str | None = None


@dataclass(frozen=True, slots=True)
class FelisConstraint:
    """A check (``expression``), unique (``columns``) or foreign-key (both lists) constraint, columns by id."""

    place: Place
    kind: str  # Check, Unique or ForeignKey
    id: str
    name: str
    description: str | None = None
    utype: str | None = None
    columns: tuple[str, ...] = ()
    referenced: tuple[str, ...] = ()
    expression: str | None = None


@dataclass(frozen=True, slots=True)
class FelisIndex:
    """An index over columns (by id) or over expressions."""

    place: Place
    id: str
    name: str
    columns: tuple[str, ...] = ()
    expressions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FelisGroup:
    """Columns (by id) that belong together, such as a value and its error."""

    place: Place
    id: str
    name: str
    columns: tuple[str, ...]
    description: str | None = None
    ucd: str | None = None


@dataclass(frozen=True, slots=True)
class FelisTable:
    """A table as written, with the columns it takes from other documents already among its own."""

    place: Place
    id: str
    name: str
    columns: tuple[FelisColumn, ...]
    description: str | None = None
    utype: str | None = None
    index: int | None = None
    primary_key: tuple[str, ...] = ()
    constraints: tuple[FelisConstraint, ...] = ()
    indexes: tuple[FelisIndex, ...] = ()
    groups: tuple[FelisGroup, ...] = ()


@dataclass(frozen=True, slots=True)
class FelisSchema:
    """A whole document."""

    place: Place
    id: str
    name: str
    tables: tuple[FelisTable, ...]
    description: str | None = None
    utype: str | None = None
    version: str | None = None


Fetch = Callable[[str], tuple[str, str] | None]
"""From the uri of a resource to (name of the document, its text), or None if there is none."""


def read_schema(text: str, file: str, fetch: Fetch, problems: Problems) -> FelisSchema | None:
    """Read a document; what is wrong goes to ``problems`` and what is right is still returned, if it has a name.

    ``fetch`` finds the documents named under ``resources``.
    """
    return _Reader(fetch, problems, (file,)).schema(text, file)


class _Reader:
    def __init__(self, fetch: Fetch, problems: Problems, under_way: tuple[str, ...]) -> None:
        self._fetch = fetch
        self._problems = problems
        self._under_way = under_way
        self._resources: dict[str, FelisSchema] = {}

    def schema(self, text: str, file: str) -> FelisSchema | None:
        block = read(text, file, self._problems)
        if block is None:
            return None
        name = block.text("name", required=True) or ""
        version = _version(block)
        self._read_resources(block)
        schema = FelisSchema(
            place=block.place,
            id=block.text("@id") or f"#{name}",
            name=name,
            description=block.text("description"),
            utype=block.text("votable:utype"),
            version=version,
            tables=tuple(self._tables(block)),
        )
        block.close()
        return schema if name else None

    def _read_resources(self, block: Block) -> None:
        resources = block.block("resources")
        for name in resources if resources else ():
            resource = resources.block(name) if resources else None
            uri = resource.text("uri", required=True) if resource else None
            if resource is not None:
                resource.close()
            if resource is not None and uri is not None:
                self._read_resource(name, uri, resource)

    def _read_resource(self, name: str, uri: str, block: Block) -> None:
        found = self._fetch(uri)
        if found is None:
            block.wrong("uri", f"the resource '{uri}' is not here.", "Put the file beside this one.")
            return
        file, text = found
        if file in self._under_way:
            block.wrong("uri", f"the resource '{uri}' leads back to itself.", "Take the circle apart.")
            return
        schema = _Reader(self._fetch, self._problems, (*self._under_way, file)).schema(text, file)
        if schema is not None:
            self._resources[name] = schema

    # --- tables -------------------------------------------------------------------------------------

    def _tables(self, block: Block) -> Iterator[FelisTable]:
        for item in block.blocks("tables", required=True):
            name = item.text("name", required=True)
            if name is not None:
                item.about(table=name)
                yield self._table(item, name)

    def _table(self, block: Block, name: str) -> FelisTable:
        for key in ("mysql:engine", "mysql:charset"):
            block.text(key)
        columns = [column for item in block.blocks("columns") if (column := read_column(item, name)) is not None]
        columns += self._referred(block, name)
        grouped = [_group(item, name) for item in block.blocks("columnGroups")]
        columns += [column for _, inline in grouped for column in inline]
        table = FelisTable(
            place=block.place,
            id=block.text("@id") or f"#{name}",
            name=name,
            columns=tuple(columns),
            description=block.text("description"),
            utype=block.text("votable:utype"),
            index=block.whole("tap:table_index"),
            primary_key=block.texts("primaryKey"),
            constraints=tuple(filter(None, map(_constraint, block.blocks("constraints")))),
            indexes=tuple(filter(None, map(_index, block.blocks("indexes")))),
            groups=tuple(group for group, _ in grouped if group is not None),
        )
        block.close()
        return table

    def _referred(self, block: Block, table: str) -> Iterator[FelisColumn]:
        """The columns that ``columnRefs`` takes over: resource -> table -> column here -> name and overrides."""
        references = block.block("columnRefs")
        if references is None:
            return
        for resource in references:
            source = self._resources.get(resource)
            tables = references.block(resource)
            if source is None:
                references.wrong(
                    resource, f"the resource '{resource}' is not known.", near(resource, self._resources) or _RESOURCES
                )
            elif tables is not None:
                yield from self._from_resource(tables, source, table)

    def _from_resource(self, tables: Block, source: FelisSchema, table: str) -> Iterator[FelisColumn]:
        known = {there.name: there for there in source.tables}
        for name in tables:
            columns = tables.block(name)
            if name not in known:
                tables.wrong(name, f"'{source.name}' has no table '{name}'.", near(name, known))
            elif columns is not None:
                for here in columns:
                    column = _referred_column(columns, here, known[name], table)
                    if column is not None:
                        yield column


_RESOURCES = "Name it under 'resources' of the schema."


def _version(block: Block) -> str | None:
    """``version: "1.2"`` or a mapping with the current one and those it is compatible with."""
    if not block.is_mapping("version"):
        return block.text("version")
    detailed = block.block("version")
    if detailed is None:
        return None
    current = detailed.text("current", required=True)
    detailed.texts("compatible")
    detailed.texts("read_compatible")
    detailed.close()
    return current


def read_column(block: Block, table: str) -> FelisColumn | None:
    """One column of ``table``; None if it has no name or no type. Closes the block."""
    name = block.text("name", required=True)
    if name is not None:
        block.about(column=name)
    datatype = block.choice("datatype", [kind.value for kind in FelisType], required=True)
    for key in ("mysql:datatype", "postgresql:datatype"):
        block.text(key)
    arraysize = block.scalar("votable:arraysize")
    column = FelisColumn(
        place=block.place,
        id=block.text("@id") or f"#{table}.{name}",
        name=name or "",
        datatype=FelisType(datatype or "text"),
        description=block.text("description"),
        utype=block.text("votable:utype"),
        length=_positive(block, "length", 1),
        precision=_positive(block, "precision", 0),
        nullable=block.flag("nullable") is not False,
        value=block.scalar("value"),
        autoincrement=block.flag("autoincrement") is True,
        ucd=block.text("ivoa:ucd"),
        unit=block.text("ivoa:unit"),
        fits_unit=block.text("fits:tunit"),
        index=block.whole("tap:column_index"),
        principal=_zero_or_one(block, "tap:principal"),
        std=_zero_or_one(block, "tap:std"),
        arraysize=None if arraysize is None else str(arraysize),
        xtype=block.text("votable:xtype"),
        votable=block.text("votable:datatype"),
    )
    block.close()
    return column if name is not None and datatype is not None else None


def _referred_column(columns: Block, here: str, source: FelisTable, table: str) -> FelisColumn | None:
    entry = columns.block(here)
    there = (entry.text("ref_name") if entry else None) or here
    base = next((column for column in source.columns if column.name == there), None)
    if base is None:
        names = [column.name for column in source.columns]
        columns.wrong(here, f"'{source.name}' has no column '{there}' to refer to.", near(there, names))
        return None
    column = replace(base, name=here, id=f"#{table}.{here}", place=replace(columns.place, column=here))
    overrides = entry.block("overrides") if entry else None
    if overrides is not None:
        column = _overridden(column, overrides)
    if entry is not None:
        entry.close()
    return column


def _overridden(column: FelisColumn, block: Block) -> FelisColumn:
    """``column`` with what ``overrides`` gives; keys are accepted with and without their prefix."""
    datatype = block.choice("datatype", [kind.value for kind in FelisType])
    length = _positive(block, "length", 1)
    described = "description" in block
    description = block.text("description")
    nullable = block.flag("nullable")
    principals = [_zero_or_one(block, key) for key in ("tap:principal", "tap_principal") if key in block]
    indexes = [block.whole(key) for key in ("tap:column_index", "tap_column_index") if key in block]
    block.close()
    return replace(
        column,
        datatype=FelisType(datatype) if datatype else column.datatype,
        length=length or column.length,
        arraysize=None if length else column.arraysize,
        description=description if described else column.description,
        nullable=column.nullable if nullable is None else nullable,
        principal=principals[-1] if principals else column.principal,
        index=indexes[-1] if indexes else column.index,
    )


# --- constraints, indexes, groups -----------------------------------------------------------------

_ACTIONS = ("CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT", "NO ACTION")


def _constraint(block: Block) -> FelisConstraint | None:
    kind = block.choice("@type", ("Check", "Unique", "ForeignKey"), required=True)
    name = block.text("name", required=True)
    block.choice("initially", ("IMMEDIATE", "DEFERRED"))
    block.flag("deferrable")
    if kind == "ForeignKey":
        block.choice("on_delete", _ACTIONS)
        block.choice("on_update", _ACTIONS)
    constraint = FelisConstraint(
        place=block.place,
        kind=kind or "",
        id=block.text("@id") or f"#{name}",
        name=name or "",
        description=block.text("description"),
        utype=block.text("votable:utype"),
        columns=block.texts("columns", required=True) if kind in ("Unique", "ForeignKey") else (),
        referenced=block.texts("referencedColumns", required=True) if kind == "ForeignKey" else (),
        expression=block.text("expression", required=True) if kind == "Check" else None,
    )
    if kind is not None:
        block.close()
    return constraint if name is not None and kind is not None else None


def _index(block: Block) -> FelisIndex | None:
    name = block.text("name", required=True)
    block.text("description")
    block.text("votable:utype")
    index = FelisIndex(
        place=block.place,
        id=block.text("@id") or f"#{name}",
        name=name or "",
        columns=block.texts("columns"),
        expressions=block.texts("expressions"),
    )
    if bool(index.columns) == bool(index.expressions):
        block.wrong(None, f"the index '{name}' needs either 'columns' or 'expressions'.", "Give one of the two.")
    block.close()
    return index if name is not None else None


def _group(block: Block, table: str) -> tuple[FelisGroup | None, list[FelisColumn]]:
    """A group, and the columns that are described inside it instead of being named."""
    name = block.text("name", required=True)
    inline: list[FelisColumn] = []
    members: list[str] = []
    for item in block.items("columns", required=True, texts=True):
        if isinstance(item, str):
            members.append(item)
        elif (column := read_column(item, table)) is not None:
            members.append(column.id)
            inline.append(column)
    block.text("votable:utype")
    group = FelisGroup(
        place=block.place,
        id=block.text("@id") or f"#{table}.{name}",
        name=name or "",
        columns=tuple(members),
        description=block.text("description"),
        ucd=block.text("ivoa:ucd"),
    )
    block.close()
    return (group if name is not None else None), inline


# --- small values ---------------------------------------------------------------------------------


def _positive(block: Block, key: str, least: int) -> int | None:
    value = block.whole(key)
    if value is not None and value < least:
        block.wrong(key, f"'{key}' must be at least {least}, not {value}.")
        return None
    return value


def _zero_or_one(block: Block, key: str) -> bool:
    value = block.whole(key)
    if value not in (None, 0, 1):
        block.wrong(key, f"'{key}' must be 0 or 1, not {value}.")
    return value == 1
