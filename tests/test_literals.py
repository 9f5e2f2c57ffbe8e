"""Values of parameters as DALI writes them: every form there is, and what is no value gets a message that helps."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive import literals
from archive.faults import UsageFault
from archive.sky import Circle, Interval, Polygon, Range

INF = math.inf


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("1 2", 1, 2),
        ("1", 1, 1),
        (" 5.5e-7   +8E-7 ", 5.5e-7, 8e-7),
        (".5 1.", 0.5, 1),
        ("-Inf 3", -INF, 3),
        ("3 +Inf", 3, INF),
        ("3 Inf", 3, INF),
        ("-inf inf", -INF, INF),
        ("-Infinity +INFINITY", -INF, INF),
        ("-2 -1", -2, -1),
    ],
)
def test_intervals(text: str, low: float, high: float) -> None:
    assert literals.interval("BAND", text) == Interval(low, high)


@pytest.mark.parametrize(
    "text",
    ["", " ", "a", "1 b", "1 2 3", "2 1", "Inf", "+Inf +Inf", "-Inf -Inf", "NaN 1", "1/2", "1,2", "0x10", "1e999", "١"],
)
def test_what_is_no_interval(text: str) -> None:
    with pytest.raises(UsageFault, match=r"^BAND=") as caught:
        literals.interval("BAND", text)
    assert "BAND takes" in caught.value.remedy


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_intervals_are_read_exactly(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert literals.interval("TIME", f"{low!r} {high!r}") == Interval(low, high)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("CIRCLE 10 -20 0.5", Circle(10, -20, 0.5)),
        ("circle 370e-1 +5 0", Circle(37, 5, 0)),
        ("Circle -10 0 180", Circle(350, 0, 180)),
        ("RANGE 10 12 -5 5", Range(10, 12, -5, 5)),
        ("RANGE 350 10 -5 5", Range(350, 370, -5, 5)),
        ("RANGE -10 10 -5 5", Range(350, 370, -5, 5)),
        ("RANGE 0 360 -90 90", Range(0, 360, -90, 90)),
        ("RANGE -Inf +Inf -Inf +Inf", Range(0, 360, -90, 90)),
        ("RANGE 20 +Inf -Inf 0", Range(20, 360, -90, 0)),
        ("RANGE -Inf 20 10 Inf", Range(0, 20, 10, 90)),
        ("RANGE 10 10 20 20", Range(10, 10, 20, 20)),
        ("POLYGON 1 1 2 1 2 2", Polygon(((1, 1), (2, 1), (2, 2)))),
        ("POLYGON 359 -1 1 -1 1 1 359 1", Polygon(((359, -1), (1, -1), (1, 1), (359, 1)))),
    ],
)
def test_shapes(text: str, shape: literals.Shape) -> None:
    assert literals.shape("POS", text) == shape


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10 20 1",
        "BOX 1 2 3 4",
        "CIRCLE",
        "CIRCLE 1 2",
        "CIRCLE 1 2 3 4",
        "CIRCLE 1 91 1",
        "CIRCLE 361 1 1",
        "CIRCLE 1 1 -1",
        "CIRCLE 1 1 181",
        "CIRCLE NaN 1 1",
        "CIRCLE 1 1 Inf",
        "CIRCLE ICRS 1 1 1",
        "RANGE 1 2 3",
        "RANGE 1 2 4 3",
        "RANGE 1 2 -91 3",
        "RANGE Inf 2 3 4",
        "RANGE 1 -Inf 3 4",
        "RANGE 1 2 3 -Inf",
        "POLYGON 1 1 2 2",
        "POLYGON 1 1 2 1 2 2 3",
        "POLYGON 1 1 1 1 1 1",
        "POLYGON 1 1 2 1 2 Inf",
        "POLYGON " + "1 1 2 1 2 2 " * 400,
    ],
)
def test_what_is_no_shape(text: str) -> None:
    with pytest.raises(UsageFault, match=r"^POS=") as caught:
        literals.shape("POS", text)
    assert len(caught.value.message) < 120
    assert caught.value.remedy.startswith("POS takes")


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-01-02 2026-02-03", datetime(2026, 1, 2), datetime(2026, 2, 3)),
        ("2026-01-02T03:04:05.5Z", datetime(2026, 1, 2, 3, 4, 5, 500000), datetime(2026, 1, 2, 3, 4, 5, 500000)),
        ("-Inf 2026-02-03T01:02", None, datetime(2026, 2, 3, 1, 2)),
        ("2026-01-02 +Inf", datetime(2026, 1, 2), None),
        ("-Inf +Inf", None, None),
    ],
)
def test_periods(text: str, first: datetime | None, last: datetime | None) -> None:
    assert literals.period("RELEASEDATE", text) == (first, last)


@pytest.mark.parametrize(
    "text",
    ["", "x", "2026", "2026-13-01", "2026-01-02 2026-01-01", "+Inf 2026-01-01", "2026-01-01 -Inf", "Inf", "1 2 3"],
)
def test_what_is_no_period(text: str) -> None:
    with pytest.raises(UsageFault, match=r"^RELEASEDATE="):
        literals.period("RELEASEDATE", text)


@pytest.mark.parametrize(("text", "number"), [("0", 0), (" 4 ", 4), ("03", 3)])
def test_whole_numbers(text: str, number: int) -> None:
    assert literals.whole("CALIB", text, 0, 4) == number


@pytest.mark.parametrize("text", ["", "5", "-1", "1.0", "2 3", "٣", "1" * 40])
def test_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(UsageFault, match=r"^CALIB="):
        literals.whole("CALIB", text, 0, 4)


@pytest.mark.parametrize("read", [literals.interval, literals.shape, literals.period])
@given(text=st.text(max_size=40))
def test_whatever_comes_is_a_value_or_a_fault(read: Callable[[str, str], Any], text: str) -> None:
    with contextlib.suppress(UsageFault):
        assert read("NAME", text) is not None
