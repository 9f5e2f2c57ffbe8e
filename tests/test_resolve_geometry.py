"""Geometry in resolve: one neutral element for each way to write a predicate, shapes, regions and maps."""

from __future__ import annotations

import math

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st
from mocpy import MOC

from archive.adql import bound, moc, parse, resolve, stcs
from archive.adql.types import Refused
from tests.adql.tables import CATALOG


def condition(text: str) -> bound.Condition:
    body = resolve(parse(f"SELECT 1 FROM t.star, t.obs WHERE {text}"), CATALOG).body
    assert isinstance(body, bound.Select)
    assert body.where is not None
    return body.where


def value(expression: str) -> bound.Value:
    body = resolve(parse(f"SELECT {expression} FROM t.star, t.obs"), CATALOG).body
    assert isinstance(body, bound.Select)
    return body.outputs[0].value


CONE = condition("DISTANCE(ra, dec, 10, 20) <= 0.5")


@pytest.mark.parametrize(
    "text",
    [
        "1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', 10, 20, 0.5))",
        "CONTAINS(POINT(ra, dec), CIRCLE(10, 20, 0.5)) = 1",
        "CONTAINS(POINT(ra, dec), CIRCLE(POINT(10, 20), 0.5)) <> 0",
        "0 < CONTAINS(POINT(ra, dec), CIRCLE(NULL, 10, 20, 0.5))",
        "1 <= CONTAINS(POINT('', ra, dec), CIRCLE('QUARK', 370, 20, 0.5))",
        "CONTAINS(POINT(ra, dec), CIRCLE(10, 20, 0.5)) IN (1)",
        "1 = INTERSECTS(POINT(ra, dec), CIRCLE(10, 20, 0.5))",
        "1 = INTERSECTS(CIRCLE(10, 20, 0.5), POINT(ra, dec))",
        "NOT 0 = CONTAINS(POINT(ra, dec), CIRCLE(10, 20, 0.5))",
        "0.5 >= DISTANCE(ra, dec, 10, 20)",
        "DISTANCE(POINT(ra, dec), POINT(10, 20)) <= 0.5",
        "DISTANCE(ra, dec, 10, 20) BETWEEN 0 AND 0.5",
        "NOT DISTANCE(ra, dec, 10, 20) > 0.5",
        "DISTANCE(ra, dec, 10, 20) <= 1800 / 3600.",
        "DISTANCE(ra, dec, 10, 20) * 4 <= 2",
        "1 = CONTAINS(POINT(ra, dec), REGION('Circle ICRS 10 20 0.5'))",
        "1 = CONTAINS(POINT(ra, dec), CAST('10 20 0.5' AS CIRCLE))",
    ],
)
def test_every_cone_is_the_same_element(text: str) -> None:
    assert condition(text) == CONE


def test_the_boundary_is_told() -> None:
    assert isinstance(CONE, bound.Near)
    assert CONE.inclusive
    open_cone = condition("DISTANCE(ra, dec, 10, 20) < 0.5")
    assert isinstance(open_cone, bound.Near)
    assert not open_cone.inclusive
    assert condition("DISTANCE(ra, dec, 10, 20) >= 0.5") == bound.Not(open_cone)
    assert condition("0 = CONTAINS(POINT(ra, dec), CIRCLE(10, 20, 0.5))") == bound.Not(CONE)
    assert condition("DISTANCE(ra, dec, 10, 20) BETWEEN 0.5 AND 1.5") == bound.And(
        (condition("DISTANCE(ra, dec, 10, 20) <= 1.5"), bound.Not(open_cone))
    )


@pytest.mark.parametrize(
    "text",
    [
        "DISTANCE(ra, dec, 10, 20) = 0.5",
        "DISTANCE(ra, dec, 10, 20) < -1",
        "DISTANCE(ra, dec, 10, 20) < NULL",
        "DISTANCE(ra, dec, 10, 20) < DISTANCE(ra, dec, 1, 2)",
        "CONTAINS(pos, fov) = 2",
        "CONTAINS(pos, fov) + 1 = 2",
        "CONTAINS(pos, fov) = mag",
    ],
)
def test_what_is_no_cone_stays_a_comparison(text: str) -> None:
    assert isinstance(condition(text), bound.Comparison)


def test_columns_of_geometry_are_used_by_their_coordinates() -> None:
    near = condition("1 = CONTAINS(pos, fov)")
    assert isinstance(near, bound.Near)
    parts = (near.lon1, near.lat1, near.lon2, near.lat2, near.radius)
    assert [(part.function, part.arguments[0].column.name) for part in parts if isinstance(part, bound.Apply)] == [
        ("coord1", "pos"), ("coord2", "pos"), ("coord1", "fov"), ("coord2", "fov"), ("radius", "fov"),
    ]  # fmt: skip


def test_points_in_other_regions() -> None:
    within = condition("1 = CONTAINS(pos, POLYGON(1, 1, 2, 1, 2, 2))")
    assert isinstance(within, bound.Within)
    assert isinstance(within.inner, bound.PointOf)
    assert isinstance(within.outer, bound.PolygonOf)
    assert isinstance(condition("1 = CONTAINS(POINT(ra, dec), s_region)"), bound.Within)
    assert isinstance(condition("1 = INTERSECTS(s_region, CIRCLE(1, 2, 3))"), bound.Overlaps)
    assert isinstance(condition("1 = CONTAINS(fov, s_region)"), bound.Within)


def test_circles_are_compared_by_their_centres() -> None:
    overlap = condition("1 = INTERSECTS(CIRCLE(ra, dec, 1), CIRCLE(10, 20, 2))")
    assert isinstance(overlap, bound.Near)
    assert isinstance(overlap.radius, bound.Constant)
    assert overlap.radius.value == 3
    inside = condition("1 = CONTAINS(CIRCLE(ra, dec, 1), CIRCLE(10, 20, 3))")
    assert isinstance(inside, bound.Near)
    assert isinstance(inside.radius, bound.Constant)
    assert inside.radius.value == 2
    never = condition("1 = CONTAINS(CIRCLE(ra, dec, 3), CIRCLE(10, 20, 1))")
    assert isinstance(never, bound.Comparison)


def test_a_region_in_a_point_is_told() -> None:
    query = resolve(parse("SELECT 1 FROM t.star WHERE 1 = CONTAINS(CIRCLE(1, 2, 3), POINT(ra, dec))"), CATALOG)
    assert "second argument" in query.notes[0]


def test_frames_that_meet_are_told() -> None:
    text = "SELECT 1 FROM t.star WHERE 1 = CONTAINS(POINT('{}', ra, dec), CIRCLE('GALACTIC', 1, 2, 3))"
    assert resolve(parse(text.format("GALACTIC")), CATALOG).notes == ()
    assert "GALACTIC and ICRS" in resolve(parse(text.format("ICRS")), CATALOG).notes[0]


def test_combined_regions_are_spread_over_their_members() -> None:
    text = "1 = CONTAINS(POINT(ra, dec), REGION('UNION ICRS (CIRCLE 10 20 0.5 NOT (BOX 1 2 3 4))'))"
    union = condition(text)
    assert isinstance(union, bound.Or)
    assert union.conditions[0] == CONE
    assert isinstance(union.conditions[1], bound.Not)
    both = condition("1 = CONTAINS(fov, REGION('INTERSECTION (CIRCLE ICRS 10 20 0.5 CIRCLE ICRS 10 20 1)'))")
    assert isinstance(both, bound.And)


def test_literal_nulls_are_unknown() -> None:
    unknown = condition("1 = CONTAINS(POINT(NULL, dec), CIRCLE(10, 20, 1))")
    assert unknown == condition("1 = CONTAINS(pos, NULL)")
    assert isinstance(unknown, bound.Comparison)
    assert isinstance(value("CIRCLE(1, 2, NULL)"), bound.Constant)


def test_null_of_a_shape_is_null_of_its_parts() -> None:
    made = condition("POINT(ra, dec) IS NULL")
    assert isinstance(made, bound.Or)
    assert len(made.conditions) == 2


def test_longitudes_are_wrapped_and_a_closing_vertex_dropped() -> None:
    point = value("POINT(-10, 5)")
    assert isinstance(point, bound.PointOf)
    assert isinstance(point.lon, bound.Constant)
    assert point.lon.value == 350
    polygon = value("POLYGON(0, 0, 1, 0, 1, 1, 360, 0)")
    assert isinstance(polygon, bound.PolygonOf)
    assert len(polygon.vertices) == 3


def _numbers(*values: bound.Value) -> list[float]:
    found = []
    for one in values:
        assert isinstance(one, bound.Constant)
        assert isinstance(one.value, float)
        found.append(one.value)
    return found


@pytest.mark.parametrize(
    ("lon", "lat", "width", "height"), [(10, 20, 2, 1), (359.9, -60, 30, 10), (40, 89.9, 1, 1), (0, 0, 170, 100)]
)
def test_boxes_have_right_angles_at_their_arms(lon: float, lat: float, width: float, height: float) -> None:
    box = value(f"BOX({lon}, {lat}, {width}, {height})")
    assert isinstance(box, bound.PolygonOf)
    corners = [SkyCoord(*_numbers(*vertex), unit="deg") for vertex in box.vertices]
    centre = SkyCoord(lon, lat, unit="deg")
    far = [centre.separation(corner).deg for corner in corners]
    assert far == pytest.approx([far[0]] * 4)  # by symmetry
    for angle, size, (one, other) in ((90, width, corners[1:3]), (0, height, corners[2:4])):
        end = centre.directional_offset_by(angle * u.deg, size / 2 * u.deg).cartesian
        arm = centre.cartesian.cross(end)
        side = one.cartesian.cross(other.cartesian)
        assert float(side.dot(end)) == pytest.approx(0, abs=1e-12)  # the side cuts the arm where it ends
        assert float(side.dot(arm)) == pytest.approx(0, abs=1e-12)  # at a right angle


def test_measures() -> None:
    sky = 4 * math.pi * math.degrees(1) ** 2
    assert _numbers(value("AREA(CIRCLE(1, 2, 180))")) == pytest.approx([sky])
    assert _numbers(value("AREA(CIRCLE(1, 2, 0.01))")) == pytest.approx([math.pi * 1e-4], rel=1e-6)
    assert _numbers(value("AREA(POINT(1, 2))")) == [0.0]
    assert _numbers(value("AREA(MOC('0/0-11'))")) == pytest.approx([sky])
    assert _numbers(value("COORD1(POINT(1, 2))"), value("COORD2(POINT(1, 2))")) == [1.0, 2.0]
    assert value("CENTROID(CIRCLE(1, 2, 3))") == value("POINT(1, 2)")
    assert value("COORDSYS(pos)").column.is_text


@pytest.mark.parametrize(
    ("text", "kind", "numbers"),
    [
        ("CIRCLE 1 2 3", "CIRCLE", (1, 2, 3)),
        ("circle icrs topocenter spherical2 1.5 -2e0 .5 unit deg", "CIRCLE", (1.5, -2, 0.5)),
        ("Position FK5 10 20", "POSITION", (10, 20)),
        ("POLYGON fillfactor 1.0 ICRS 1 1 2 1 2 2", "POLYGON", (1, 1, 2, 1, 2, 2)),
        ("Box J2000 GEOCENTER 1 2 3 4", "BOX", (1, 2, 3, 4)),
    ],
)
def test_stcs(text: str, kind: str, numbers: tuple[float, ...]) -> None:
    region = stcs.read(text)
    assert isinstance(region, stcs.Shape)
    assert (region.kind, region.numbers) == (kind, numbers)


@pytest.mark.parametrize(
    "text", ["", "CIRCLE", "CIRCLE 1 2 x", "CIRCLE 1 2 1e999", "UNION", "UNION (", "UNION ()",
             "NOT (CIRCLE 1 2 3 CIRCLE 1 2 3)", "CIRCLE ICRS CARTESIAN2 1 2 3", "CIRCLE 1 2 3 unit arcsec", "@",
             "NOT (" * 50, "POLYGON 1 2 3 4 5"],
)  # fmt: skip
def test_stcs_refused(text: str) -> None:
    with pytest.raises(Refused):
        stcs.read(text)


@given(st.dictionaries(st.integers(0, 9), st.lists(st.integers(0, 11), min_size=1, max_size=6), min_size=1))
@settings(max_examples=60, deadline=None)
def test_moc_literals_agree_with_mocpy(cells: dict[int, list[int]]) -> None:
    spans = [(cell << 2 * (29 - order), (cell + 1) << 2 * (29 - order)) for order in cells for cell in cells[order]]
    expected = MOC.from_depth29_ranges(29, np.array(spans, dtype=np.uint64))
    ranges = tuple((int(low), int(high)) for low, high in expected.to_depth29_ranges)
    ascii_text = " ".join(f"{order}/{' '.join(map(str, pixels))}" for order, pixels in cells.items())
    assert moc.ranges(ascii_text) == ranges
    assert moc.ranges(expected.to_string("ascii")) == ranges
    assert moc.ranges(expected.to_string("json")) == ranges


@pytest.mark.parametrize(
    "text", ["", "1 2 3", "6/1 x", "6/5-3", "0/12", "30/1", "{", '{"a": [1]}', '{"1": 2}', '{"1": [-1]}',
             '{"1": ["2"]}', "[1]", "6/11 " * 5000 + "x", "9" * 5000 + "/1"],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_moc_refused(text: str) -> None:
    with pytest.raises(Refused):
        moc.ranges(text)
