"""``carry``: a query of one release moved to another, on request only: the data differ (design section 6).

The schema's name is replaced in the text as it stands; what has no counterpart, or another unit or type, is told.
"""

from __future__ import annotations

from dataclasses import dataclass

from archive.adql import parse, tree
from archive.adql.walk import every
from archive.differences import Difference, Kind, differences
from archive.tables import Schema


@dataclass(frozen=True, slots=True)
class Carried:
    """The text for the other release, and what its author should look at."""

    text: str
    advice: tuple[str, ...]


def carry(text: str, old: Schema, new: Schema, language: str = "ADQL-2.1") -> Carried:
    """``text``, a query over ``old``, as one over ``new``.

    Raises:
        UsageFault: it is not ADQL.
    """
    parsed = parse(text, language)
    moved = text
    for at, length in sorted(_places(parsed, text, old.name), reverse=True):
        moved = moved[:at] + new.name + moved[at + length :]
    tables = {node.parts[-1].text.lower() for node in every(parsed, tree.TableName)}
    names = {node.parts[-1].text.lower() for node in every(parsed, tree.Name)}
    stars = any(True for _ in every(parsed, tree.Star))
    told = [each for each in differences(old, new) if each.table.lower() in tables and _matters(each, names, stars)]
    return Carried(moved, tuple(str(each) for each in told))


def _matters(difference: Difference, names: set[str], stars: bool) -> bool:
    if not difference.column:
        return True
    return difference.column.lower() in names or (stars and difference.kind in (Kind.NEW, Kind.GONE))


def _places(parsed: tree.Query, text: str, schema: str) -> set[tuple[int, int]]:
    """Where the schema's name stands as a qualifier, with the length it is written in."""
    found = set()
    qualifiers = [node.parts[-2] for node in every(parsed, tree.TableName) if len(node.parts) > 1]
    qualifiers += [node.parts[-3] for node in every(parsed, tree.Name) if len(node.parts) > 2]
    qualifiers += [node.qualifier[-2] for node in every(parsed, tree.Star) if len(node.qualifier) > 1]
    for identifier in qualifiers:
        if identifier.text.lower() == schema.lower():
            length = len(identifier.text) + (2 if text[identifier.at] == '"' else 0)
            found.add((identifier.at, length))
    return found
