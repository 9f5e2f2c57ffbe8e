"""Lineages as pictures: SVG 1.1 that any browser shows and that stands well in a paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

from lxml import etree
from lxml.builder import ElementMaker

from archive.backbone.lineage.graph import Graph, Node, graph_of
from archive.backbone.lineage.layout import laid_out
from archive.ledger.provenance import Lineage, Presence, Way

_SVG = "http://www.w3.org/2000/svg"
_E: Any = ElementMaker(namespace=_SVG, nsmap={None: _SVG})

# Lengths are pixels.
_WIDTH, _NARROW, _FILE, _DOING = 222.0, 156.0, 46.0, 40.0  # of columns, and the heights of files and activities
_GAP, _AISLE, _MARGIN = 16.0, 78.0, 28.0
_HEAD, _FOOT = 46.0, 44.0
_TITLE, _SMALL, _ROLE = 26, 35, 14  # signs that fit into a node, and beside it

_INK, _GREY, _LINE = "#1f2933", "#66727f", "#9aa5b1"
_COLOURS = {
    "raw_image": "#3b6fb5",
    "processed_image": "#2a9d8f",
    "difference_image": "#7a5ab8",
    "coadd": "#1d7a46",
    "calibration": "#d99a1c",
    "catalog_delivery": "#a8572b",
    "delivery": "#a8572b",
    "part": "#c0713f",
    "alert_bundle": "#c2417c",
    "engineering_data": "#5b7083",
}
_OTHER = "#8592a0"
_ALARM = "#c62f2f"


def svg(lineage: Lineage) -> bytes:
    """The picture of a lineage: origins at the left, what was made of them at the right."""
    return _Picture(lineage).drawn()


def _heading(lineage: Lineage) -> str:
    names = [uri.partition("://")[2].partition("/")[2] or uri for uri in lineage.roots]
    what = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    words = f"What {what} was made from" if lineage.way is Way.ORIGINS else f"What was made from {what}"
    return f"{words} (in part)" if lineage.cut else words


class _Picture:
    """One picture: where its columns stand, and all that is drawn into them."""

    def __init__(self, lineage: Lineage) -> None:
        self._graph = graph_of(lineage)
        self._heading = _heading(lineage)
        nodes = self._graph.nodes
        heights = {key: _DOING if node.kind is None else _FILE for key, node in nodes.items()}
        self._layout = laid_out(heights, self._graph.edges, _GAP)
        files = {layer for key, (layer, _) in self._layout.places.items() if nodes[key].kind is not None}
        self._widths = [_WIDTH if layer in files else _NARROW for layer in range(self._layout.layers)]
        steps = accumulate((width + _AISLE for width in self._widths), initial=_MARGIN)
        self._lefts = list(steps)

    def drawn(self) -> bytes:
        width = max(self._lefts[-1] - _AISLE + _MARGIN, 2 * _MARGIN + 2 * _WIDTH)
        height = _HEAD + self._layout.height + _MARGIN + _FOOT
        picture = _E.svg(
            {"viewBox": f"0 0 {width:g} {height:g}", "width": f"{width:g}", "height": f"{height:g}"},
            {"font-family": "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif", "role": "img"},
            _E.title(self._heading),
            _E.rect({"width": "100%", "height": "100%", "fill": "#ffffff"}),
            _text(_MARGIN, 28, self._heading, size=15, weight="600"),
        )
        picture.extend(self._edge(pair) for pair in sorted(self._graph.edges))
        picture.extend(self._node(node) for _, node in sorted(self._graph.nodes.items()))
        picture.extend(self._roles())
        picture.extend(_legend(self._graph, height - _FOOT / 2, width))
        return bytes(etree.tostring(picture, xml_declaration=True, encoding="UTF-8", pretty_print=True))

    # --- nodes ------------------------------------------------------------------------------------

    def _node(self, node: Node) -> Any:
        layer, middle = self._layout.places[node.key]
        x, y, width = self._lefts[layer], _HEAD + middle, self._widths[layer]
        return _activity(node, x, y, width) if node.kind is None else _file(node, x, y)

    # --- edges ------------------------------------------------------------------------------------

    def _edge(self, pair: tuple[str, str]) -> Any:
        way = self._layout.ways[pair]
        spans = [(self._lefts[layer], self._lefts[layer] + self._widths[layer], _HEAD + at) for layer, at in way]
        path = _path(spans) if way[0][0] < way[-1][0] else _round(spans)
        group = _E.g(_E.path({"d": path, "fill": "none", "stroke": _LINE, "stroke-width": "1.3"}))
        end, _, height = spans[-1]
        group.append(_E.path({"d": f"M{end:g} {height:g}l-7 -3.5v7z", "fill": _LINE}))
        return group

    def _roles(self) -> Iterator[Any]:
        """The parts that a file had in what was made of it, over the beginning of its edges."""
        roles: dict[str, set[str]] = {}
        for (start, _), role in self._graph.edges.items():
            roles.setdefault(start, set()).add(role)
        for start, names in roles.items():
            layer, middle = self._layout.places[start]
            words = ", ".join(sorted(names - {"", self._graph.nodes[start].kind})).replace("_", " ")
            x, y = self._lefts[layer] + self._widths[layer] + 5, _HEAD + middle - 5
            if words:
                yield _text(x, y, _cut(words, _ROLE), size=9.5, colour=_GREY)


Span = tuple[float, float, float]
"""Where an edge meets a column: the left and right side of that, and the height."""


def _path(spans: Sequence[Span]) -> str:
    """From the right side of the first node by way of the bends to the left side of the last one."""
    told = [f"M{spans[0][1]:g} {spans[0][2]:g}"]
    for number, ((_, begin, y), (left, _, to_y)) in enumerate(pairwise(spans), start=1):
        end = left if number < len(spans) - 1 else left - 5
        if number > 1:
            told.append(f"L{begin:g} {y:g}")  # straight through a column
        half = (begin + end) / 2
        told.append(f"C{half:g} {y:g} {half:g} {to_y:g} {end:g} {to_y:g}")
    return "".join(told)


def _round(spans: Sequence[Span]) -> str:
    """An edge that leads back or to its own column: around below."""
    (_, begin, y), (end, _, to_y) = spans[0], spans[-1]
    low = max(y, to_y) + _FILE
    return f"M{begin:g} {y:g}C{begin + 60:g} {low:g} {end - 60:g} {low:g} {end:g} {to_y:g}"


def _activity(node: Node, x: float, y: float, width: float) -> Any:
    top = y - _DOING / 2
    shape = {"x": f"{x:g}", "y": f"{top:g}", "width": f"{width:g}", "height": f"{_DOING:g}", "rx": f"{_DOING / 2:g}"}
    fits = int(width / 7.9)
    return _E.g(
        _E.title(f"{node.title}\n{node.subtitle}\n{node.key}"),
        _E.rect({**shape, "fill": "#eef2f6", "stroke": "#c3ccd6"}),
        _text(x + width / 2, y - 2, _cut(node.title, fits), size=11.5, weight="600", anchor="middle"),
        _text(x + width / 2, y + 12, _cut(node.subtitle, fits), size=10, colour=_GREY, anchor="middle"),
    )


def _file(node: Node, x: float, y: float) -> Any:
    top = y - _FILE / 2
    box = {"x": f"{x:g}", "y": f"{top:g}", "width": f"{_WIDTH:g}", "height": f"{_FILE:g}", "rx": "6"}
    found = _E.g(_E.title("\n".join((*node.members[:20], node.subtitle))))
    if len(node.members) > 1:  # a pile
        found.append(_E.rect({**box, "x": f"{x + 5:g}", "y": f"{top + 5:g}", "fill": "#ffffff", "stroke": "#c3ccd6"}))
    found.append(_E.rect({**box, "fill": "#ffffff", **_border(node)}))
    bar = {"x": f"{x + 6:g}", "y": f"{top + 8:g}", "width": "5", "height": f"{_FILE - 16:g}", "rx": "2.5"}
    found.append(_E.rect({**bar, "fill": _colour(node)}))
    found.append(_text(x + 19, y - 2, _cut(node.title, _TITLE), size=11.5, weight="600"))
    alarm = node.presence in (Presence.RETRACTED, Presence.AWAY)
    found.append(_text(x + 19, y + 13, _cut(node.subtitle, _SMALL), size=10, colour=_ALARM if alarm else _GREY))
    return found


def _border(node: Node) -> dict[str, str]:
    if node.presence in (Presence.RETRACTED, Presence.AWAY):
        return {"stroke": _ALARM, "stroke-width": "1.5", "stroke-dasharray": "5 3"}
    if node.presence is Presence.UNKNOWN:
        return {"stroke": _LINE, "stroke-dasharray": "3 3"}
    return {"stroke": _INK, "stroke-width": "2"} if node.is_root else {"stroke": "#b8c2cc"}


def _colour(node: Node) -> str:
    return _COLOURS.get(node.kind or "", _OTHER)


# --- words ----------------------------------------------------------------------------------------


def _legend(graph: Graph, y: float, width: float) -> list[Any]:
    kinds = sorted({node.kind for node in graph.nodes.values() if node.kind is not None})
    found, x = [], _MARGIN
    for kind in kinds:
        words = _cut(kind.replace("_", " "), _TITLE)
        if x + 26 + 6.2 * len(words) > width:
            break
        found.append(_E.rect({"x": f"{x:g}", "y": f"{y - 5:g}", "width": "10", "height": "10", "rx": "2.5"}))
        found[-1].set("fill", _COLOURS.get(kind, _OTHER))
        found.append(_text(x + 15, y + 4, words, size=10.5, colour=_GREY))
        x += 40 + 6.2 * len(words)
    return found


def _text(
    x: float, y: float, words: str, *, size: float, colour: str = _INK, weight: str = "400", anchor: str = "start"
) -> Any:
    about = {"x": f"{x:g}", "y": f"{y:g}", "font-size": f"{size:g}", "fill": colour}
    return _E.text(words, about, {"font-weight": weight, "text-anchor": anchor})


def _cut(words: str, most: int) -> str:
    """Words that fit; of long ones the beginning and more of the end, which tells files apart."""
    if len(words) <= most:
        return words
    head = most // 3
    return f"{words[:head]}\N{HORIZONTAL ELLIPSIS}{words[-(most - head - 1) :]}"
