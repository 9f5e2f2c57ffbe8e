"""Queries to start from, made from what is published, so that each of them runs here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from archive.columns import Column
from archive.standing import column_name, is_standing, known_keys, table_name
from archive.tables import Catalog, Position, Table

_MOST_SCHEMAS = 3
_PLEIADES = "56.75, 24.12"  # degrees


@dataclass(frozen=True, slots=True)
class Example:
    """A query with a name to click on; ``tables`` are those it reads, ``key`` is unique and an XML name."""

    key: str
    name: str
    query: str
    tables: tuple[str, ...]


def examples(catalog: Catalog) -> tuple[Example, ...]:
    """Examples of what is asked most: brightest, cone, histogram, joins by key and by place, and TAP_SCHEMA."""
    published = [table for table in catalog.tables() if not is_standing(table.key)]
    maps = _maps(published)
    found: list[Example] = []
    if maps:
        found += [*_brightest(*maps[0]), _cone(*maps[0]), *_histogram(maps[0][0])]
    else:
        found += [_first_rows(table) for table in published[:1]]
    found += [_cone(*other) for other in maps[1:_MOST_SCHEMAS]]
    found += islice((example for table in published for example in _joins(table, catalog)), 1)
    if len(maps) > 1:
        found.append(_crossmatch(maps[0], maps[1]))
    return (*found, _largest_tables(), _magnitudes())


def _maps(tables: list[Table]) -> list[tuple[Table, Position]]:
    """Of each schema the first table that has positions."""
    first: dict[str, tuple[Table, Position]] = {}
    for table in tables:
        if table.position is not None:
            first.setdefault(table.schema, (table, table.position))
    return list(first.values())


def _cone(table: Table, at: Position) -> Example:
    name = table_name(table)
    query = (
        f"SELECT {_select(table, at)}\nFROM {name}\n"
        f"WHERE 1 = CONTAINS(POINT({_place(table, at)}), CIRCLE({_PLEIADES}, 5))"
    )
    return Example(f"cone-{_key(table)}", f"{name}: 5 degrees around the Pleiades", query, (name,))


def _brightest(table: Table, at: Position) -> Iterator[Example]:
    magnitude = _magnitude(table)
    if magnitude is not None:
        name = table_name(table)
        order = column_name(table, magnitude.name)
        query = f"SELECT TOP 2000 {_select(table, at)}\nFROM {name}\nWHERE {order} IS NOT NULL\nORDER BY {order}"
        yield Example(f"brightest-{_key(table)}", f"{name}: the 2000 brightest, over the whole sky", query, (name,))


def _histogram(table: Table) -> Iterator[Example]:
    magnitude = _magnitude(table)
    if magnitude is not None:
        name = table_name(table)
        whole = f"FLOOR({column_name(table, magnitude.name)})"
        query = f"SELECT {whole} AS magnitude, COUNT(*) AS number\nFROM {name}\nGROUP BY {whole}\nORDER BY {whole}"
        yield Example(f"histogram-{_key(table)}", f"{name}: how many of each magnitude", query, (name,))


def _joins(table: Table, catalog: Catalog) -> Iterator[Example]:
    for key, target in known_keys(table, catalog):
        name, other = table_name(table), table_name(target)
        pairs = zip(key.columns, key.target_columns, strict=True)
        on = " AND ".join(f"a.{column_name(table, here)} = b.{column_name(target, there)}" for here, there in pairs)
        query = f"SELECT TOP 100 a.*, b.*\nFROM {name} AS a\nJOIN {other} AS b ON {on}"
        yield Example("join", f"{name} with {other}: what belongs together", query, (name, other))


def _crossmatch(left: tuple[Table, Position], right: tuple[Table, Position]) -> Example:
    names = table_name(left[0]), table_name(right[0])
    here, there = _place(*left, "a."), _place(*right, "b.")
    query = (
        f"SELECT TOP 100 {here}, DISTANCE({here}, {there}) * 3600 AS separation_arcsec\n"
        f"FROM {names[0]} AS a\nJOIN {names[1]} AS b ON DISTANCE({here}, {there}) < 2 / 3600.0\n"
        f"WHERE 1 = CONTAINS(POINT({here}), CIRCLE({_PLEIADES}, 5))"
    )
    return Example("crossmatch", f"{names[0]} with {names[1]}: the same place within 2 arcsec", query, names)


def _first_rows(table: Table) -> Example:
    name = table_name(table)
    return Example(f"rows-{_key(table)}", f"{name}: ten rows", f"SELECT TOP 10 *\nFROM {name}", (name,))


def _largest_tables() -> Example:
    query = (
        "SELECT table_name, COUNT(*) AS number_of_columns\nFROM TAP_SCHEMA.columns\n"
        "GROUP BY table_name\nORDER BY number_of_columns DESC"
    )
    return Example("tables", "Tables by number of columns", query, ("TAP_SCHEMA.columns",))


def _magnitudes() -> Example:
    query = (
        "SELECT table_name, column_name, unit, ucd, description\nFROM TAP_SCHEMA.columns\n"
        "WHERE ucd LIKE 'phot.mag%' OR ucd LIKE 'pos.eq%'"
    )
    return Example("columns", "Columns that are positions or magnitudes", query, ("TAP_SCHEMA.columns",))


def _place(table: Table, at: Position, prefix: str = "") -> str:
    return ", ".join(prefix + column_name(table, name) for name in (at.lon, at.lat))


def _select(table: Table, at: Position) -> str:
    """An identifier, the position and a magnitude, where there are such columns."""
    chosen = [table.primary_key[0]] if len(table.primary_key) == 1 else []
    chosen += [at.lon, at.lat]
    magnitude = _magnitude(table)
    if magnitude is not None:
        chosen.append(magnitude.name)
    return ", ".join(column_name(table, name) for name in dict.fromkeys(chosen))


def _magnitude(table: Table) -> Column | None:
    return next((column for column in table.columns if (column.ucd or "").startswith("phot.mag")), None)


def _key(table: Table) -> str:
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in table.qualified.lower())
