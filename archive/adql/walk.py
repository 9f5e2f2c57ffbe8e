"""``every``: the nodes of one kind in a tree of parsed text, wherever they stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

Node = TypeVar("Node")


def every(node: Any, kind: type[Node]) -> Iterator[Node]:
    """All nodes of ``kind`` in ``node``, itself included, each before what it is made of."""
    if isinstance(node, kind):
        yield node
    if isinstance(node, tuple):
        for part in node:
            yield from every(part, kind)
    elif is_dataclass(node):
        for each in fields(node):
            yield from every(getattr(node, each.name), kind)
