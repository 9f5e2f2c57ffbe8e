"""``Fact``: a value with where it was found, or the reason why there is none; and how facts are kept as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from archive.ledger.events import Json

Value = str | int | float | bool | Mapping[str, Json]
"""What an item may have: times as ISO 8601 without zone, records as mappings of keywords to values."""

GIVEN = "given"
"""The source of what who delivered the file said beside it."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of one item: ``value`` and where it is from, or None and the ``reason`` why it is null."""

    value: Value | None
    source: str = ""
    reason: str = ""

    @classmethod
    def null(cls, reason: str, source: str = "") -> Fact:
        return cls(None, source, reason)

    @property
    def json(self) -> Json:
        """As it is kept in the ledger."""
        if self.value is None:
            told: dict[str, Json] = {"null": self.reason}
        else:
            told = {"value": self.value}
        return told | ({"from": self.source} if self.source else {})


def facts_of(metadata: Mapping[str, Json]) -> dict[str, Fact]:
    """The facts of a product as they are kept in the ledger, by the names of their items."""
    return {name: _fact(told) for name, told in metadata.items() if isinstance(told, Mapping) and _is_fact(told)}


def _is_fact(told: Mapping[str, Json]) -> bool:
    return "value" in told or "null" in told


def _fact(told: Mapping[str, Json]) -> Fact:
    source = str(told.get("from", ""))
    return Fact(cast("Value | None", told.get("value")), source, str(told.get("null", "")))
