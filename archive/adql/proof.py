"""``unsound``: whether the expressions of a schema's versions mean what their columns say.

That no old column is forgotten and no name means two things is checked when the versions are read (``changes``); here
each expression is bound over the version before it, as ``adapt`` will do, and held against its column's type.
"""

from __future__ import annotations

from collections.abc import Iterator

from archive.adql import bound
from archive.adql.resolve import expand
from archive.adql.types import Family, family
from archive.adql.walk import every
from archive.columns import Column
from archive.faults import UsageFault
from archive.releases import Release
from archive.versions import Express, Version, at_version


def unsound(release: Release) -> tuple[str, ...]:
    """What is wrong with the expressions, a sentence each that names version, table and column."""
    return tuple(
        f"version {version.number}, {change.table}.{change.column.name}: {trouble}"
        for count, version in enumerate(release.versions)
        for change, trouble in _of_version(release, count, version)
    )


def _of_version(release: Release, count: int, version: Version) -> Iterator[tuple[Express, str]]:
    before = at_version(release.schema, release.versions[:count])
    for change in version.changes:
        if not isinstance(change, Express):
            continue
        table = before.table(change.table)
        assert table is not None  # a change of a table that is not there was refused when it was read
        try:
            made = expand(table, "t1", change.expression)
        except UsageFault as fault:
            yield change, f"'{change.expression}' does not fit version {version.number - 1}: {fault}"
            continue
        if any(call.function == "rand" for call in every(made, bound.Apply)):
            yield change, "its expression is random, so no answer could be had again."
        if trouble := _misfit(made, change.column):
            yield change, trouble


def _misfit(made: bound.Value, column: Column) -> str | None:
    """Why the value of an expression cannot be shown as ``column``."""
    own, wanted = family(made.column), family(column)
    if own is Family.NULL:
        return None if column.nullable else "it is always NULL, but the column is said never to be."
    if own is not wanted:
        return f"its expression is {own.value}, the column is {wanted.value}."
    if column.datatype.is_integer and not made.column.datatype.is_integer:
        return f"its expression is {made.column.datatype}, so a column of type {column.datatype} would cut its values."
    return None
