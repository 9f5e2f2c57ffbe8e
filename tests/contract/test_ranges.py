"""Arithmetic at the ends of what a number can be: too large is NULL, as 1/0 is; too small is 0. The same everywhere."""

from __future__ import annotations

import math

import numpy as np
import pytest

from archive.columns import Datatype

from .world import World, number, rows_of, sky_table

NUMBERS = sky_table("numbers", number("x"), number("y"), number("f", Datatype.FLOAT), number("g", Datatype.FLOAT))
ENDS = [0.0, 1.0, -3.0, 1e-8, 5e-324, -1e-308, 1e-162, 3e-170, 1e300, -1.5e308, math.inf, 8e307, 1.7976931348623157e308]
SINGLES = [0.0, 1.0, -2.5, 1e-30, 1e-45, 3e38, -3.4028234663852886e38, 1e19, math.inf]


@pytest.fixture(scope="module")
def numbers(shared: World) -> World:
    """Every pair of ends, of double and of single precision."""
    doubles = [(x, y) for x in ENDS for y in ENDS]
    singles = [(f, g) for f in SINGLES for g in SINGLES]
    count = len(doubles)
    singles += [(1.0, 1.0)] * (count - len(singles))
    columns = {"id": np.arange(count), "ra": np.full(count, 1.0), "dec": np.full(count, 1.0)}
    for names, pairs in (("xy", doubles), ("fg", singles)):
        columns |= dict(zip(names, np.array(pairs).T, strict=True))
    shared.publish(NUMBERS, rows_of(NUMBERS, **columns))
    return shared


def told(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


@pytest.mark.parametrize("operator", "+-*/")
@pytest.mark.parametrize(("left", "right", "kind"), [("x", "y", np.float64), ("f", "g", np.float32)])
def test_what_leaves_the_range_is_null(numbers: World, operator: str, left: str, right: str, kind: type) -> None:
    rows = numbers.rows(f"select {left}, {right}, {left} {operator} {right} from sky.numbers order by id")
    one, other = (np.array([row[at] for row in rows], kind) for at in (0, 1))
    with np.errstate(all="ignore"):
        expected = {"+": one + other, "-": one - other, "*": one * other, "/": one / other}[operator]
    expected[~(np.isfinite(one) & np.isfinite(other))] = np.nan
    for row, value in zip(rows, told(expected), strict=True):
        assert row[2] == value or (operator == "/" and row[2] == 0 and math.isinf(row[1])), row


def test_in_longer_expressions(numbers: World) -> None:
    for expression in (
        "x * x * y",
        "x + y - x",
        "(x - y) * 2e0 / (x * y)",
        "1e0 / (x * x)",
        "f * g + f",
        "sqrt(x * y) + x",
    ):
        rows = numbers.rows(f"select x, y, f, g, {expression} from sky.numbers")
        assert len(rows) == len(ENDS) ** 2
        assert all(row[4] is None or math.isfinite(row[4]) for row in rows)
    assert numbers.value("select count(*) as n from sky.numbers where x * x > 1e300") == sum(
        1e300 < x * x < math.inf for x in ENDS
    ) * len(ENDS)


def test_averages_of_large_numbers(numbers: World) -> None:
    assert numbers.value("select avg(x) as a from sky.numbers where x = 1e300") == pytest.approx(1e300)
