"""MOC literals (MOC 2.0 sections 4.3.1 JSON and 4.3.2 ASCII, space only) to HEALPix ranges at order 29."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from archive.adql.types import Refused

MAX_ORDER = 29

_BEGINNING = re.compile(r"\s*\d+\s*/")
_TOKEN = re.compile(r"[\s,]*(?:(\d+)\s*/|(\d+)(?:-(\d+))?)")

Ranges = tuple[tuple[int, int], ...]


def is_moc(text: str) -> bool:
    """True if ``text`` looks like a MOC rather than anything else."""
    stripped = text.lstrip()
    return stripped.startswith("{") or bool(_BEGINNING.match(text))


def ranges(text: str) -> Ranges:
    """The half-open, sorted, disjoint ranges of nested cells at order 29 that a MOC covers.

    Raises:
        Refused: ``text`` is no space MOC.
    """
    cells = _json(text) if text.lstrip().startswith("{") else _ascii(text)
    return _united(_span(order, first, last) for order, first, last in cells)


def _ascii(text: str) -> Iterator[tuple[int, int, int]]:
    order = None
    end, stripped = 0, text.rstrip(" \t\r\n,")
    while end < len(stripped):
        token = _TOKEN.match(stripped, end)
        if token is None or (order is None and token[1] is None):
            raise Refused(f"{_short(text)} is not a MOC.", "Write order/cells, as in '6/1 3-5 7/44'.")
        if token[1] is not None:
            order = int(token[1][:9])
        elif order is not None:
            yield order, int(token[2][:20]), int((token[3] or token[2])[:20])
        end = token.end()
    if order is None:
        raise Refused("An empty text is not a MOC.", "Write order/cells, as in '6/1 3-5 7/44'.")


def _json(text: str) -> Iterator[tuple[int, int, int]]:
    wrong = Refused(f"{_short(text)} is not a MOC.", 'JSON MOCs look like {"6": [1, 2], "7": [44]}.')
    try:
        orders = json.loads(text)
    except (ValueError, RecursionError):
        raise wrong from None
    for order, cells in orders.items() if isinstance(orders, dict) else ():
        if not order.isdecimal() or not isinstance(cells, list):
            raise wrong
        for cell in cells:
            if type(cell) is not int:
                raise wrong
            yield int(order), cell, cell


def _span(order: int, first: int, last: int) -> tuple[int, int]:
    if order > MAX_ORDER:
        raise Refused(f"{order} is no HEALPix order.", f"Orders go from 0 to {MAX_ORDER}.")
    if not 0 <= first <= last < 12 * 4**order:
        bad = last if first <= last else f"{first}-{last}"
        raise Refused(f"order {order} has no HEALPix cell {bad}.", f"Its cells go from 0 to {12 * 4**order - 1}.")
    shift = 2 * (MAX_ORDER - order)
    return first << shift, (last + 1) << shift


def _united(spans: Iterable[tuple[int, int]]) -> Ranges:
    united: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if united and low <= united[-1][1]:
            united[-1] = (united[-1][0], max(high, united[-1][1]))
        else:
            united.append((low, high))
    return tuple(united)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
