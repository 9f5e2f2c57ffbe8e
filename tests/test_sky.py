"""Words for the sky: cells of positions, and covers that leave nothing out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.sky import (
    CELLS,
    Outline,
    cells_near,
    cells_of,
    cone_ranges,
    few_ranges,
    healpix_29,
    polygon_ranges,
    ranges_of,
)
from tests.contract.spheres import around, cones, outlines, separations


def covered(cells: np.ndarray, ranges: tuple[tuple[int, int], ...]) -> np.ndarray:
    return np.any([(cells >= low) & (cells < high) for low, high in ranges], axis=0)


def sensible(ranges: tuple[tuple[int, int], ...], most: int = 16) -> bool:
    """Sorted, disjoint, half-open and few."""
    flat = [edge for pair in ranges for edge in pair]
    return flat == sorted(set(flat)) and len(ranges) <= most and flat[0] >= 0 and flat[-1] <= CELLS


def test_cells_are_those_of_the_udf_catalogue() -> None:
    """The numbers of the IVOA Catalogue of ADQL User Defined Functions 1.2, ivo_healpix_index."""
    assert (healpix_29([1, 359], [1, -1]) >> 24).tolist() == [81609757711, 73009064944]
    assert healpix_29(1, 1) >> 58 == 4


def test_what_is_no_position_has_no_cell() -> None:
    cells = healpix_29([np.nan, 1, np.inf, 1, 1, -350, 370], [1, np.nan, 1, 90.1, -91, 20, 20])
    assert cells.tolist()[:5] == [-1] * 5
    assert cells[5] == cells[6] == healpix_29(10, 20)
    assert healpix_29([], []).tolist() == []


@pytest.mark.parametrize("cone", cones(200, seed=8), ids=str)
def test_cones_are_covered(cone: object) -> None:
    ranges = cone_ranges(cone.lon, cone.lat, cone.radius)
    assert sensible(ranges)
    random = np.random.default_rng(2)
    distances = np.concatenate([np.full(100, cone.radius), cone.radius * np.sqrt(random.uniform(0, 1, 300))])
    inside = np.array(around((cone.lon, cone.lat), random.uniform(0, 360, 400), distances))
    assert covered(healpix_29(inside[:, 0], inside[:, 1]), ranges).all()


@pytest.mark.parametrize("cone", [cone for cone in cones(200, seed=9) if cone.radius <= 10], ids=str)
def test_what_is_near_is_in_the_cells_near(cone: object) -> None:
    random = np.random.default_rng(3)
    distances = np.concatenate([np.full(100, cone.radius), cone.radius * np.sqrt(random.uniform(0, 1, 300))])
    inside = np.array(around((cone.lon, cone.lat), random.uniform(0, 360, 400), distances))
    shift, index, cells = cells_near(np.array([np.nan, cone.lon]), np.array([0.0, cone.lat]), cone.radius)
    assert set(index.tolist()) == {1}
    assert len(cells) == len(set(cells.tolist())) <= 9
    assert set((healpix_29(inside[:, 0], inside[:, 1]) >> shift).tolist()) <= set(cells.tolist())


def test_covers_are_not_much_larger_than_what_they_cover() -> None:
    for radius in (0.01, 0.1, 1, 10):
        sizes = []
        for lon, lat in ((10.3, 20.1), (200.7, -61.2), (0.01, 0.02), (77.7, 89.9)):
            cells = sum(high - low for low, high in cone_ranges(lon, lat, radius))
            sizes.append(cells / CELLS * 41253 / (np.pi * radius**2))
        assert max(sizes) < 12
        assert np.median(sizes) < 5


def test_a_negative_radius_covers_nothing_and_half_a_turn_everything() -> None:
    assert cone_ranges(10, 20, -1) == ()
    assert cone_ranges(10, 20, 180) == ((0, CELLS),)


@pytest.mark.parametrize("polygon", outlines(150, seed=9), ids=lambda polygon: f"{polygon.middle}")
def test_polygons_are_covered(polygon: object) -> None:
    ranges = polygon_ranges(polygon.vertices)
    assert sensible(ranges)
    random = np.random.default_rng(3)
    corners = np.array(polygon.vertices)
    reach = separations(corners[:, 0], corners[:, 1], *polygon.middle).max()
    cloud = np.array(around(polygon.middle, random.uniform(0, 360, 500), reach * np.sqrt(random.uniform(0, 1, 500))))
    inside = cloud[polygon.holds(cloud[:, 0], cloud[:, 1])]
    assert covered(healpix_29(inside[:, 0], inside[:, 1]), ranges).all()
    assert covered(healpix_29(corners[:, 0], corners[:, 1]), ranges).all()


def test_the_smaller_side_is_inside_whatever_the_winding() -> None:
    for polygon in outlines(60, seed=10):
        one, other = Outline(polygon.vertices), Outline(polygon.vertices[::-1])
        assert one.area == pytest.approx(other.area)
        assert one.area <= 2 * np.pi
        assert one.pole_inside == other.pole_inside == bool(polygon.holds(np.array([0.0]), np.array([90.0]))[0])


@given(st.lists(st.tuples(st.integers(0, CELLS - 1), st.integers(1, 2**40)), min_size=1, max_size=40))
def test_ranges_and_cells_are_the_same_region(pairs: list[tuple[int, int]]) -> None:
    edges = sorted({edge for low, size in pairs for edge in (low, min(CELLS, low + size))})
    ranges = tuple(zip(edges[::2], edges[1::2], strict=False))
    found = sorted((cell << shift, (cell + 1) << shift) for shift, cells in cells_of(ranges) for cell in cells)
    joined: list[tuple[int, int]] = []
    for low, high in found:
        if joined and joined[-1][1] == low:
            joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    assert [pair for pair in ranges if pair[0] < pair[1]] == joined


@given(st.lists(st.integers(0, CELLS), min_size=2, max_size=200, unique=True), st.integers(1, 20))
def test_few_ranges_hold_all_of_many(edges: list[int], most: int) -> None:
    edges = sorted(edges)
    ranges = tuple(zip(edges[::2], edges[1::2], strict=False))
    few = few_ranges(ranges, most)
    assert len(few) <= most
    assert all(any(low <= one and other <= high for low, high in few) for one, other in ranges)


@given(st.lists(st.integers(0, 200)), st.integers(0, 10), st.integers(1, 20))
def test_ranges_of_cells_are_those_of_each_cell(cells: list[int], shift: int, most: int) -> None:
    found = ranges_of(np.array(cells, np.int64), shift, most)
    each = few_ranges(sorted((cell << shift, (cell + 1) << shift) for cell in cells), most)
    assert len(found) == len(each)
    assert all(low < high for low, high in found)
    assert sum(high - low for low, high in found) == sum(high - low for low, high in each)
    assert all(any(low <= cell << shift < high for low, high in found) for cell in cells)


def test_edges_that_rounding_turns_a_little_westwards() -> None:
    """Found in the footprint of an image: longitudes of one edge differed in their last digit."""
    vertices = (
        (8.000076165386923e-06, 0.24999400000000038),
        (359.99999199992385, 0.24999400000000038),
        (359.99999199992385, 0.2500060000000215),
        (8.000076172697859e-06, 0.2500060000000215),
    )
    dec = np.radians(0.25)
    assert Outline(vertices).inside(np.array([[np.cos(dec), 1e-8, np.sin(dec)]])).all()
