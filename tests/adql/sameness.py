"""When two answers are the same.

Text, integers, times and booleans must be equal; floats may differ by a relative 1e-9 (1e-6 in single precision) or
by 1e-9 absolutely: engines sum and take sines in other ways. Positions are compared on the sphere, to 1e-8 degrees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from archive.columns import Column, Datatype
from tests.adql.evaluator import Answer
from tests.adql.plain_sphere import separation

Values = Sequence[Any]


def same(got: Any, expected: Any, column: Column | None = None) -> bool:
    """True if two values mean the same."""
    if got is None or expected is None:
        return got is expected
    if isinstance(expected, list | tuple):
        return len(got) == len(expected) and _same_list(list(got), list(expected), column)
    if isinstance(expected, float) or isinstance(got, float):
        loose = column is not None and column.datatype is Datatype.FLOAT
        return math.isclose(got, expected, rel_tol=1e-6 if loose else 1e-9, abs_tol=1e-9)
    return bool(got == expected) and isinstance(got, bool) == isinstance(expected, bool)


def _same_list(got: list[Any], expected: list[Any], column: Column | None) -> bool:
    if column is None or not column.is_geometry:
        return all(map(same, got, expected))
    places = len(got) // 2
    near = all(separation(*got[2 * i : 2 * i + 2], *expected[2 * i : 2 * i + 2]) < 1e-8 for i in range(places))
    return near and (len(got) % 2 == 0 or math.isclose(got[-1], expected[-1], rel_tol=1e-9))


def same_row(got: Values, expected: Values, columns: Sequence[Column]) -> bool:
    """True if two rows mean the same."""
    return all(same(g, e, c) for g, e, c in zip(got, expected, columns, strict=True))


def same_rows(got: list[Values], expected: list[Values], columns: Sequence[Column]) -> bool:
    """True if two lists hold the same rows in any order."""
    if len(got) != len(expected):
        return False
    left = sorted(got, key=_rough)
    for row in sorted(expected, key=_rough):
        # Rows sort alike but for rounding, so the partner is almost always the first.
        partner = next((i for i, other in enumerate(left) if same_row(other, row, columns)), None)
        if partner is None:
            return False
        del left[partner]
    return True


def _rough(row: Values) -> list[str]:
    return [f"{value:.6g}" if isinstance(value, float) else repr(value) for value in row]


def same_answer(got: list[Values], expected: Answer, columns: Sequence[Column]) -> bool:
    """True if ``got`` are the expected rows in an expected order: rows of equal keys may change places."""
    if len(got) != len(expected.rows):
        return False
    start = 0
    for end in range(1, len(got) + 1):
        if end == len(got) or expected.keys[end] != expected.keys[start]:
            if not same_rows(got[start:end], list(expected.rows[start:end]), columns):
                return False
            start = end
    return True
