"""A lineage as a graph to be drawn: files and activities as nodes, and what leads from which to which.

Many files that are alike to it (same type, made into the same, made from nothing) become one node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from archive.ledger.provenance import Entity, Lineage, Presence

_CROWD = 8  # files that are alike; more are one node


@dataclass(frozen=True, slots=True)
class Node:
    """A file, several that are alike, or an activity (``kind`` is None); ``members`` are the URIs it stands for."""

    key: str
    kind: str | None
    title: str
    subtitle: str
    members: tuple[str, ...]
    presence: Presence = Presence.HERE
    is_root: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes by their keys, and the role of each edge from a node to one that was made with it."""

    nodes: Mapping[str, Node]
    edges: Mapping[tuple[str, str], str]


def graph_of(lineage: Lineage) -> Graph:
    """What is to be drawn of a lineage."""
    edges = _edges(lineage)
    stands_for = _crowds(lineage, edges)
    nodes: dict[str, Node] = {}
    members: dict[str, list[str]] = {}
    for uri, key in stands_for.items():
        members.setdefault(key, []).append(uri)
    for key, uris in members.items():
        nodes[key] = _entity(lineage, key, tuple(sorted(uris)))
    for uri, activity in lineage.activities.items():
        software = " ".join(filter(None, (activity.software, activity.version)))
        nodes[uri] = Node(uri, None, activity.name, software or (activity.stop_time or "")[:10], (uri,))
    merged: dict[tuple[str, str], str] = {}
    for (start, end), role in edges.items():
        merged.setdefault((stands_for.get(start, start), stands_for.get(end, end)), role)
    return Graph(nodes, {pair: role for pair, role in merged.items() if pair[0] != pair[1]})


def _edges(lineage: Lineage) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for each in lineage.derivations:
        if each.activity is None:
            found[each.source, each.product] = each.role
        else:
            found[each.source, each.activity] = each.role
            found[each.activity, each.product] = ""
    for product, activity in lineage.made_by.items():
        found.setdefault((activity, product), "")
    return found


def _crowds(lineage: Lineage, edges: Mapping[tuple[str, str], str]) -> dict[str, str]:
    """For each file the key of the node that stands for it: its own URI, or that of the first of many like it."""
    before, after = _neighbours(edges.keys()), _neighbours((end, start) for start, end in edges)
    alike: dict[tuple[object, ...], list[str]] = {}
    for uri, entity in lineage.entities.items():
        outside = frozenset(before.get(uri, ())), frozenset(after.get(uri, ()))
        alone = uri if uri in lineage.roots or all(outside) else ""
        alike.setdefault((entity.type, entity.presence, *outside, alone), []).append(uri)
    return {uri: uris[0] if len(uris) > _CROWD else uri for uris in alike.values() for uri in uris}


def _neighbours(edges: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for start, end in edges:
        found.setdefault(start, set()).add(end)
    return found


def _entity(lineage: Lineage, key: str, members: tuple[str, ...]) -> Node:
    entity = lineage.entities[key]
    kind = entity.type or "other"
    words = kind.replace("_", " ")
    if len(members) > 1:
        first, last = (uri.rpartition("/")[2] for uri in (members[0], members[-1]))
        name = f"{len(members):,} \N{MULTIPLICATION SIGN} {words}"
        return Node(key, kind, name, f"{first} \N{HORIZONTAL ELLIPSIS} {last}", members, entity.presence)
    return Node(key, kind, short(key), _about(entity, words), members, entity.presence, key in lineage.roots)


def _about(entity: Entity, words: str) -> str:
    told = [str(entity.presence)] if entity.presence is not Presence.HERE else []
    told += [words] if entity.type else []
    told += [entity.release] if entity.release else []
    return ", ".join(told)


def short(uri: str) -> str:
    """A URI's last step, by which people know a file."""
    return uri.rstrip("/").rpartition("/")[2] or uri
