"""``every``: the nodes of one kind in a tree of parsed text, wherever they stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

Node = TypeVar("Node")


def every(node: Any, kind: type[Node] | tuple[type[Node], ...]) -> Iterator[Node]:
    """All nodes of ``kind``, or of several, in ``node``, itself included, each before what it is made of."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, kind):
            yield each
        if isinstance(each, tuple):
            waiting.extend(reversed(each))
        elif names := _parts(type(each)):
            waiting.extend([getattr(each, name) for name in names])


_known: dict[type, tuple[str, ...]] = {}


def _parts(kind: type) -> tuple[str, ...]:
    """The names of the fields of ``kind``, the last first."""
    names = _known.get(kind)
    if names is None:
        names = tuple(each.name for each in reversed(fields(kind))) if is_dataclass(kind) else ()
        _known[kind] = names
    return names
