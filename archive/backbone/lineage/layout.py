"""Where the nodes of a directed graph are drawn: in layers from left to right, with few crossings.

The steps are those of Sugiyama, Tagawa and Toda (1981): layers by the longest way, edges over several layers as chains
of bends, nodes of a layer ordered by the middle of their neighbours, and then moved towards these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Key = str | tuple[str, str, int]
"""A node, or the bend of an edge in a layer."""

_SWEEPS = 8


@dataclass(frozen=True, slots=True)
class Layout:
    """The middle of each node (layer, and height in pixels) and the places of each edge's ends and bends, in order."""

    places: Mapping[str, tuple[int, float]]
    ways: Mapping[tuple[str, str], tuple[tuple[int, float], ...]]
    layers: int
    height: float


def laid_out(heights: Mapping[str, float], edges: Iterable[tuple[str, str]], gap: float) -> Layout:
    """Lay out nodes of these heights with at least ``gap`` between them. Edges that close a circle do not count for it.

    The same graph is always laid out alike.
    """
    wanted = sorted(set(edges))
    layer_of = _beside(_layers(sorted(heights), wanted), wanted)
    chains = {edge: _chain(edge, layer_of) for edge in wanted}
    sizes: dict[Key, float] = dict(heights.items())
    columns: list[list[Key]] = [[] for _ in range(max(layer_of.values(), default=-1) + 1)]
    for node in sorted(heights):
        columns[layer_of[node]].append(node)
    for chain in chains.values():
        for at, bend in enumerate(chain[1:-1], start=1):
            if bend not in sizes:
                sizes[bend] = 0.0
                columns[_layer(chain[0], layer_of) + at].append(bend)
    near = _near(chains.values())
    _order(columns, near)
    tops = _heights(columns, sizes, near, gap)
    places = {node: (layer_of[node], tops[node]) for node in heights}
    return Layout(
        places,
        {edge: tuple(_bends(edge, chain, layer_of, tops)) for edge, chain in chains.items()},
        len(columns),
        max((tops[node] + sizes[node] / 2 for node in sizes), default=0.0),
    )


def _layers(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Each node is right of all that lead to it, but for those on a circle."""
    before: dict[str, list[str]] = {node: [] for node in nodes}
    for start, end in edges:
        before[end].append(start)
    found: dict[str, int] = {}
    for node in nodes:
        under_way: dict[str, None] = {}
        waiting = [node]
        while waiting:
            current = waiting[-1]
            left = [each for each in before[current] if each not in found and each not in under_way and each != current]
            if current in found or not left:
                if current not in found:
                    found[current] = 1 + max((found[each] for each in before[current] if each in found), default=-1)
                under_way.pop(current, None)
                waiting.pop()
            else:
                under_way[current] = None
                waiting.append(left[0])
    return found


def _beside(layer_of: Mapping[str, int], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """What nothing leads to stands just before the first that it leads to."""
    after: dict[str, list[int]] = {}
    for start, end in edges:
        after.setdefault(start, []).append(layer_of[end])
    led_to = {end for _, end in edges}
    return {
        node: max(layer, min(after[node]) - 1) if node in after and node not in led_to else layer
        for node, layer in layer_of.items()
    }


def _chain(edge: tuple[str, str], layer_of: Mapping[str, int]) -> list[Key]:
    start, end = layer_of[edge[0]], layer_of[edge[1]]
    return [edge[0], *((*edge, layer) for layer in range(start + 1, end)), edge[1]]


def _layer(key: Key, layer_of: Mapping[str, int]) -> int:
    return layer_of[key] if isinstance(key, str) else key[2]


def _near(chains: Iterable[Sequence[Key]]) -> tuple[dict[Key, list[Key]], dict[Key, list[Key]]]:
    """The neighbours of each node to the left and to the right."""
    left: dict[Key, list[Key]] = {}
    right: dict[Key, list[Key]] = {}
    for chain in chains:
        for start, end in pairwise(chain):
            right.setdefault(start, []).append(end)
            left.setdefault(end, []).append(start)
    return left, right


def _order(columns: list[list[Key]], near: tuple[dict[Key, list[Key]], dict[Key, list[Key]]]) -> None:
    for sweep in range(_SWEEPS):
        rightwards = sweep % 2 == 0
        for column in columns if rightwards else reversed(columns):
            _sort(column, near[0 if rightwards else 1], columns)


def _sort(column: list[Key], near: Mapping[Key, Sequence[Key]], columns: Sequence[Sequence[Key]]) -> None:
    at = {key: index / max(1, len(each) - 1) for each in columns for index, key in enumerate(each)}
    middle = {key: _mean([at[other] for other in near.get(key, ())], at[key]) for key in column}
    column.sort(key=lambda key: middle[key])


def _heights(
    columns: Sequence[Sequence[Key]],
    sizes: Mapping[Key, float],
    near: tuple[dict[Key, list[Key]], dict[Key, list[Key]]],
    gap: float,
) -> dict[Key, float]:
    """The height of each node's middle, near those of its neighbours, in the order of its column."""
    found: dict[Key, float] = {}
    for column in columns:
        top = 0.0
        for key in column:
            found[key] = top + sizes[key] / 2
            top += sizes[key] + gap
    for sweep in range(2 * _SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            wanted = {
                key: _mean([found[each] for side in near for each in side.get(key, ())], found[key]) for key in column
            }
            found |= _apart(column, wanted, sizes, gap)
    least = min((found[key] - sizes[key] / 2 for column in columns for key in column), default=0.0)
    return {key: height - least for key, height in found.items()}


def _apart(
    column: Sequence[Key], wanted: Mapping[Key, float], sizes: Mapping[Key, float], gap: float
) -> dict[Key, float]:
    """Heights as near to those wanted as the gap between nodes allows: the mean of pushing down and pushing up."""
    down: dict[Key, float] = {}
    for before, key in zip([None, *column], column, strict=False):
        least = -1e9 if before is None else down[before] + (sizes[before] + sizes[key]) / 2 + gap
        down[key] = max(wanted[key], least)
    up: dict[Key, float] = {}
    for after, key in zip([None, *reversed(column)], reversed(column), strict=False):
        most = 1e9 if after is None else up[after] - (sizes[after] + sizes[key]) / 2 - gap
        up[key] = min(wanted[key], most)
    return {key: (down[key] + up[key]) / 2 for key in column}


def _bends(
    edge: tuple[str, str], chain: Sequence[Key], layer_of: Mapping[str, int], tops: Mapping[Key, float]
) -> Iterable[tuple[int, float]]:
    return ((_layer(key, layer_of), tops[key]) for key in chain)


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
