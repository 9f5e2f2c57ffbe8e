"""From a Felis document to ``Schema``, ``Table`` and ``Column``: references followed, types and words checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from archive import vocabularies
from archive.columns import Column, Datatype, is_regular_identifier
from archive.documents import Place, Problems, near
from archive.felis import (
    FelisColumn,
    FelisConstraint,
    FelisGroup,
    FelisIndex,
    FelisSchema,
    FelisTable,
    FelisType,
)
from archive.tables import ForeignKey, Index, Schema, Table


@dataclass(frozen=True, slots=True)
class Group:
    """Columns of a table that belong together."""

    table: str
    name: str
    columns: tuple[str, ...]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A condition on a table's rows, told to readers; it is not enforced when rows are loaded."""

    table: str
    name: str
    expression: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Described:
    """What a document describes."""

    schema: Schema
    groups: tuple[Group, ...]
    checks: tuple[Check, ...]


def describe(felis: FelisSchema, problems: Problems, *, thorough: bool) -> Described:
    """Translate ``felis``; what is wrong goes to ``problems``.

    ``thorough`` checks units and UCDs against their vocabularies too, which takes seconds for thousands of columns.
    """
    _check_names(felis, problems)
    owners = _owners(felis, problems)
    tables = [_Tables(felis, table, owners, problems, thorough) for table in _in_order(felis.tables)]
    schema = Schema(
        felis.name, tuple(table.table() for table in tables), description=felis.description or "", utype=felis.utype
    )
    groups = tuple(group for table in tables for group in table.groups())
    checks = tuple(check for table in tables for check in table.checks())
    return Described(schema, groups, checks)


def describe_column(felis: FelisColumn, problems: Problems, *, thorough: bool) -> Column:
    """Translate one column that stands by itself; what is wrong goes to ``problems``."""
    table = FelisTable(felis.place, "", "", (felis,))
    (column,) = _Tables(FelisSchema(felis.place, "", "", (table,)), table, {}, problems, thorough).table().columns
    return column


_Identified = FelisTable | FelisColumn | FelisConstraint | FelisIndex | FelisGroup
_Named = TypeVar("_Named", FelisTable, FelisColumn)

_VERSIONED = re.compile(r".*_v\d+\Z", re.IGNORECASE)
_LONGEST_NAME = 128
_S_REGION = "obscore:char.spatialaxis.coverage.support.area"  # text by its standard, ObsCore 1.1 table 1


def _check_names(felis: FelisSchema, problems: Problems) -> None:
    if not is_regular_identifier(felis.name):
        problems.add(
            felis.place,
            f"the schema cannot be called '{felis.name}'.",
            "Use a letter followed by letters, digits and underscores.",
        )
    if _VERSIONED.match(felis.name) or felis.name.upper() == "TAP_UPLOAD":
        problems.add(
            felis.place, f"the schema cannot be called '{felis.name}'.", "The service keeps such names for itself."
        )
    for table in felis.tables:
        _check_name(table.name, table.place, "table", problems)
        for column in table.columns:
            _check_name(column.name, column.place, "column", problems)
    for table in _repeated(felis.tables):
        problems.add(table.place, f"there are two tables '{table.name}'.", "Names must differ.")


def _check_name(name: str, place: Place, what: str, problems: Problems) -> None:
    if not name.isprintable() or '"' in name or len(name) > _LONGEST_NAME:
        problems.add(
            place, f"a {what} cannot be called {name!r}.", f"Use at most {_LONGEST_NAME} printable characters but '\"'."
        )
    if name.startswith(("_", ".")):
        problems.add(place, f"a {what} cannot be called '{name}'.", "Names that begin with '_' or '.' are internal.")


def _owners(felis: FelisSchema, problems: Problems) -> Mapping[str, tuple[FelisTable, FelisColumn]]:
    """Columns by identifier; every identifier of the document must be its own."""
    owners: dict[str, tuple[FelisTable, FelisColumn]] = {}
    seen: set[str] = {felis.id}
    for table in felis.tables:
        things: tuple[_Identified, ...] = (table, *table.columns, *table.constraints, *table.indexes, *table.groups)
        for thing in things:
            if thing.id in seen:
                problems.add(
                    thing.place, f"the identifier '{thing.id}' stands twice.", "Give each thing its own '@id'."
                )
            seen.add(thing.id)
        for column in table.columns:
            owners.setdefault(column.id, (table, column))
    return owners


def _in_order(tables: Iterable[FelisTable]) -> list[FelisTable]:
    return sorted(tables, key=lambda table: (table.index is None, table.index or 0))


def _repeated(things: Iterable[_Named]) -> Iterator[_Named]:
    seen: set[str] = set()
    for thing in things:
        if thing.name in seen:
            yield thing
        seen.add(thing.name)


class _Tables:
    """One table under translation."""

    def __init__(
        self,
        schema: FelisSchema,
        felis: FelisTable,
        owners: Mapping[str, tuple[FelisTable, FelisColumn]],
        problems: Problems,
        thorough: bool,
    ) -> None:
        self._schema = schema
        self._felis = felis
        self._owners = owners
        self._problems = problems
        self._thorough = thorough

    def table(self) -> Table:
        felis = self._felis
        primary_key = self._own(felis.primary_key, felis.place, "the primary key")
        indexes = tuple(
            Index(index.name, self._own(index.columns, index.place, f"the index '{index.name}'"))
            for index in felis.indexes
            if index.columns
        )
        unique = tuple(
            self._own(constraint.columns, constraint.place, f"the constraint '{constraint.name}'")
            for constraint in felis.constraints
            if constraint.kind == "Unique"
        )
        leading = {index.columns[0] for index in indexes if index.columns} | set(primary_key[:1])
        if not felis.columns:
            self._problems.add(felis.place, "the table has no columns.", "Describe them under 'columns'.")
        for column in _repeated(felis.columns):
            self._problems.add(column.place, f"there are two columns '{column.name}'.", "Names must differ.")
        return Table(
            schema=self._schema.name,
            name=felis.name,
            columns=tuple(self._column(column, primary_key, leading) for column in self._columns_in_order()),
            description=felis.description or "",
            utype=felis.utype,
            primary_key=primary_key,
            foreign_keys=tuple(self._foreign_keys()),
            unique=unique,
            indexes=indexes,
        )

    def groups(self) -> Iterator[Group]:
        for group in self._felis.groups:
            columns = self._own(group.columns, group.place, f"the group '{group.name}'")
            if self._thorough and group.ucd is not None:
                self._check_word(vocabularies.ucd_trouble(group.ucd), group.place)
            yield Group(self._felis.name, group.name, columns, group.description or "")

    def checks(self) -> Iterator[Check]:
        for constraint in self._felis.constraints:
            if constraint.kind == "Check":
                yield Check(
                    self._felis.name, constraint.name, constraint.expression or "", constraint.description or ""
                )

    # --- references -----------------------------------------------------------------------------------

    def _own(self, ids: tuple[str, ...], place: Place, what: str) -> tuple[str, ...]:
        """Names of this table's columns by their identifiers."""
        names = []
        for identifier in ids:
            table, column = self._owners.get(identifier, (None, None))
            if table is self._felis and column is not None:
                names.append(column.name)
            else:
                own = [column.id for column in self._felis.columns]
                self._problems.add(
                    place,
                    f"{what} names '{identifier}', which is no column of table '{self._felis.name}'.",
                    near(identifier, own) or f"Columns are named by '@id', here '#{self._felis.name}.<column>'.",
                )
        if len(set(ids)) != len(ids):
            self._problems.add(place, f"{what} names a column twice.", "Name each once.")
        return tuple(names)

    def _foreign_keys(self) -> Iterator[ForeignKey]:
        for constraint in self._felis.constraints:
            if constraint.kind == "ForeignKey":
                key = self._foreign_key(constraint)
                if key is not None:
                    yield key

    def _foreign_key(self, constraint: FelisConstraint) -> ForeignKey | None:
        what = f"the foreign key '{constraint.name}'"
        columns = self._own(constraint.columns, constraint.place, what)
        found = []
        for identifier in constraint.referenced:
            if identifier in self._owners:
                found.append(self._owners[identifier])
            else:
                self._problems.add(
                    constraint.place,
                    f"{what} refers to '{identifier}', which is no column here.",
                    near(identifier, self._owners),
                )
        if len(constraint.columns) != len(constraint.referenced):
            self._problems.add(
                constraint.place,
                f"{what} has {len(constraint.columns)} columns and refers to {len(constraint.referenced)}.",
                "Both lists must have the same length.",
            )
        if len({table.name for table, _ in found}) > 1:
            self._problems.add(constraint.place, f"{what} refers to more than one table.", "Make a key for each.")
        if not found or len(found) != len(columns):
            return None
        self._check_fit(constraint, [column for _, column in found])
        return ForeignKey(
            name=constraint.name,
            columns=columns,
            target=f"{self._schema.name}.{found[0][0].name}",
            target_columns=tuple(column.name for _, column in found),
            description=constraint.description or "",
            utype=constraint.utype,
        )

    def _check_fit(self, constraint: FelisConstraint, targets: list[FelisColumn]) -> None:
        for identifier, target in zip(constraint.columns, targets, strict=True):
            column = self._owners[identifier][1]
            if _VOTABLE[column.datatype].is_text != _VOTABLE[target.datatype].is_text:
                self._problems.add(
                    constraint.place,
                    f"the foreign key '{constraint.name}' sets {column.datatype} '{column.name}' equal to "
                    f"{target.datatype} '{target.name}'.",
                    "Their types must be comparable.",
                )

    # --- columns --------------------------------------------------------------------------------------

    def _columns_in_order(self) -> list[FelisColumn]:
        return sorted(self._felis.columns, key=lambda column: (column.index is None, column.index or 0))

    def _column(self, felis: FelisColumn, primary_key: tuple[str, ...], leading: set[str]) -> Column:
        self._check_type(felis)
        return Column(
            name=felis.name,
            datatype=self._datatype(felis),
            arraysize=self._arraysize(felis),
            xtype=felis.xtype or ("timestamp" if felis.datatype is FelisType.TIMESTAMP else None),
            unit=self._unit(felis),
            ucd=self._ucd(felis),
            utype=felis.utype,
            description=felis.description or "",
            nullable=felis.nullable and felis.name not in primary_key,
            principal=felis.principal,
            std=felis.std,
            indexed=felis.name in leading,
            stcs=(felis.utype or "").lower() == _S_REGION,
        )

    def _check_type(self, felis: FelisColumn) -> None:
        if felis.datatype.is_sized and felis.length is None and felis.arraysize is None:
            self._problems.add(
                felis.place, f"a column of type '{felis.datatype}' needs a length.", "Add 'length: <characters>'."
            )
        if felis.precision is not None and felis.datatype is not FelisType.TIMESTAMP:
            self._problems.add(felis.place, "only a timestamp has a precision.", "Remove 'precision'.")
        if felis.autoincrement and felis.value is not None:
            self._problems.add(
                felis.place, "a column cannot both count by itself and have a default value.", "Remove one of the two."
            )
        if felis.value is not None and not isinstance(felis.value, _DEFAULTS.get(felis.datatype, str)):
            self._problems.add(
                felis.place,
                f"the default value {felis.value!r} is not of type '{felis.datatype}'.",
                "Write it as a value of the column's type.",
            )
        self._check_xtype(felis)

    def _check_xtype(self, felis: FelisColumn) -> None:
        if felis.xtype == "timestamp" and not _VOTABLE[felis.datatype].is_text:
            self._problems.add(
                felis.place, "an xtype 'timestamp' needs datatype 'timestamp'.", "Change one of the two."
            )
        wanted = {"point": "2", "circle": "3", "polygon": "*"}.get(felis.xtype or "")
        if wanted is not None and (felis.datatype is not FelisType.DOUBLE or felis.arraysize != wanted):
            self._problems.add(
                felis.place,
                f"an xtype '{felis.xtype}' needs datatype 'double' and 'votable:arraysize' \"{wanted}\".",
                "DALI 1.1 section 3.3 says why.",
            )

    def _datatype(self, felis: FelisColumn) -> Datatype:
        usual = _VOTABLE[felis.datatype]
        if felis.votable is None:
            return usual
        if felis.votable not in set(Datatype):
            self._problems.add(
                felis.place,
                f"'votable:datatype: {felis.votable}' is no VOTable datatype.",
                near(felis.votable, Datatype),
            )
            return usual
        wanted = Datatype(felis.votable)
        if wanted is not usual and not (wanted.is_text and usual.is_text):
            self._problems.add(
                felis.place,
                f"'votable:datatype: {wanted}' does not fit 'datatype: {felis.datatype}'.",
                f"Leave it out, or change the type; '{felis.datatype}' is '{usual}' in VOTable.",
            )
            return usual
        return wanted

    def _arraysize(self, felis: FelisColumn) -> str | None:
        if felis.arraysize is None:
            return _usual_arraysize(felis)
        if not _ARRAYSIZE.match(felis.arraysize):
            self._problems.add(
                felis.place,
                f"'votable:arraysize: {felis.arraysize}' is not VOTable syntax.",
                "Write '8', '*', '8*' or '3x8', in quotes.",
            )
            return _usual_arraysize(felis)
        if felis.arraysize == "1" and not _VOTABLE[felis.datatype].is_text:
            return None  # VOTable 1.5 section 2.2: a scalar has no arraysize
        return felis.arraysize

    def _unit(self, felis: FelisColumn) -> str | None:
        if felis.unit is not None and felis.fits_unit is not None:
            self._problems.add(felis.place, "the unit is given twice.", "Keep 'ivoa:unit', remove 'fits:tunit'.")
        if felis.unit is None and felis.fits_unit is not None:
            unit = vocabularies.unit_from_fits(felis.fits_unit)
            if unit is None:
                self._problems.add(
                    felis.place, f"'fits:tunit: {felis.fits_unit}' is not a FITS unit.", "Use 'ivoa:unit'."
                )
            return unit
        if self._thorough and felis.unit is not None:
            self._check_word(vocabularies.unit_trouble(felis.unit), felis.place)
        return felis.unit

    def _ucd(self, felis: FelisColumn) -> str | None:
        if self._thorough and felis.ucd is not None:
            self._check_word(vocabularies.ucd_trouble(felis.ucd), felis.place)
        return felis.ucd

    def _check_word(self, trouble: vocabularies.Trouble | None, place: Place) -> None:
        if trouble is not None:
            self._problems.add(place, trouble.message, trouble.remedy, grave=trouble.grave)


_ARRAYSIZE = re.compile(r"(\d+x)*(\d+|\d*\*)\Z")

_VOTABLE = {
    FelisType.BOOLEAN: Datatype.BOOLEAN,
    FelisType.BYTE: Datatype.BYTE,
    FelisType.SHORT: Datatype.SHORT,
    FelisType.INT: Datatype.INT,
    FelisType.LONG: Datatype.LONG,
    FelisType.FLOAT: Datatype.FLOAT,
    FelisType.DOUBLE: Datatype.DOUBLE,
    FelisType.CHAR: Datatype.CHAR,
    FelisType.STRING: Datatype.CHAR,
    FelisType.UNICODE: Datatype.UNICODE,
    FelisType.TEXT: Datatype.CHAR,
    FelisType.BINARY: Datatype.BYTE,
    FelisType.TIMESTAMP: Datatype.CHAR,
}

_DEFAULTS: Mapping[FelisType, type] = {
    FelisType.BOOLEAN: bool,
    FelisType.BYTE: int,
    FelisType.SHORT: int,
    FelisType.INT: int,
    FelisType.LONG: int,
    FelisType.FLOAT: float,
    FelisType.DOUBLE: float,
}


def _usual_arraysize(felis: FelisColumn) -> str | None:
    """What follows from type and length where ``votable:arraysize`` is not given."""
    match felis.datatype:
        case FelisType.CHAR if felis.length is not None:
            return str(felis.length)
        case FelisType.STRING | FelisType.UNICODE | FelisType.BINARY if felis.length is not None:
            return f"{felis.length}*"
        case FelisType.CHAR | FelisType.STRING | FelisType.UNICODE | FelisType.TEXT | FelisType.TIMESTAMP:
            return "*"
        case FelisType.BINARY:
            return "*"
        case _:
            return None
