"""Joins by position: the pairs are those of a comparison of each with each, whatever the kind and place of the join."""

from __future__ import annotations

import numpy as np
import pytest

from archive.columns import Datatype
from archive.sky import TOLERANCE
from archive.tables import Table

from .spheres import separations
from .world import World, number, rows_of, shape, sky_rows, sky_table

STARS = sky_table("stars", number("mag", Datatype.FLOAT))
MINE = Table("TAP_UPLOAD", "mine", (*STARS.columns[:3], number("reach"), shape("c", "circle"), shape("v", "polygon")))
COUNT = 4_000
THERE = sky_rows(COUNT, seed=11)
RADII = [0.0, 1e-6, 0.02, 0.5, 3.0, 15.0, 60.0]


def given() -> dict[str, np.ndarray | list[object]]:
    """300 positions, most of them near stars, at poles and the seam, with reaches of all sizes."""
    random = np.random.default_rng(12)
    chosen = np.concatenate([np.arange(13), random.integers(0, COUNT, 250)])
    lon = (THERE["ra"][chosen] + random.normal(0, 0.01, len(chosen))) % 360
    lat = np.clip(THERE["dec"][chosen] + random.normal(0, 0.01, len(chosen)), -90, 90)
    reach = 10 ** random.uniform(-3, 1, len(chosen))
    circles = np.stack([lon, lat, reach], axis=1).tolist()
    flat = np.clip(lat, -89, 89)
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    polygons = [
        [part for x, y in corners for part in ((one + x * r / 4) % 360, float(np.clip(other + y * r / 4, -89.9, 89.9)))]
        for one, other, r in zip(lon.tolist(), flat.tolist(), np.minimum(reach, 4).tolist(), strict=True)
    ]
    return {"id": np.arange(len(chosen)), "ra": lon, "dec": lat, "reach": reach, "c": circles, "v": polygons}


HERE = given()
APART = np.array(
    [separations(THERE["ra"], THERE["dec"], lon, lat) for lon, lat in zip(HERE["ra"], HERE["dec"], strict=True)]
)


@pytest.fixture(scope="module")
def sky(shared: World) -> World:
    """Stars in an edition, positions given with each request."""
    shared.publish(STARS, rows_of(STARS, mag=np.ones(COUNT), **THERE))
    shared.give(MINE, rows_of(MINE, **HERE))
    return shared


def pairs(sky: World, query: str) -> list[tuple[int | None, int | None]]:
    """Both columns of an answer, sorted, NULLs last."""
    return sorted(sky.rows(query), key=lambda pair: tuple((part is None, part or 0) for part in pair))


def near(radius: float | np.ndarray) -> list[tuple[int, int]]:
    """All pairs (mine, star) by comparing each with each; rims count, to within rounding."""
    return [(int(one), int(other)) for one, other in zip(*np.nonzero(radius + TOLERANCE >= APART), strict=True)]


@pytest.mark.parametrize("radius", RADII)
def test_inner_joins_however_they_are_written(sky: World, radius: float) -> None:
    truth = near(radius)
    both = "select m.id, s.id from TAP_UPLOAD.mine m, sky.stars s"
    mine, stars = "(select id, ra, dec from TAP_UPLOAD.mine) m", "(select id, ra, dec from sky.stars) s"
    subqueries = f"select m.id, s.id from {mine} join {stars}"
    for query in (
        f"select m.id, s.id from TAP_UPLOAD.mine m join sky.stars s on distance(m.ra, m.dec, s.ra, s.dec) <= {radius}",
        f"select m.id, s.id from sky.stars s join TAP_UPLOAD.mine m on {radius} >= distance(s.ra, s.dec, m.ra, m.dec)",
        f"select m.id, s.id from TAP_UPLOAD.mine m, sky.stars s where distance(m.ra, m.dec, s.ra, s.dec) <= {radius}",
        f"{both} where 1 = contains(point(s.ra, s.dec), circle(m.ra, m.dec, {radius})) and s.mag = 1",
        f"{subqueries} on distance(point(m.ra, m.dec), point(s.ra, s.dec)) <= {radius}",
    ):
        assert pairs(sky, query) == truth, query


@pytest.mark.parametrize("radius", RADII[2:5])
def test_outer_joins_keep_what_matches_nothing(sky: World, radius: float) -> None:
    truth = near(radius)
    mine, stars = {one for one, _ in truth}, {other for _, other in truth}
    lonely = [(at, None) for at in range(len(APART)) if at not in mine]
    unmatched = [(None, at) for at in range(COUNT) if at not in stars]
    on = f"on distance(m.ra, m.dec, s.ra, s.dec) <= {radius}"
    order = lambda rows: sorted(rows, key=lambda pair: tuple((part is None, part or 0) for part in pair))  # noqa: E731
    left = f"select m.id, s.id from TAP_UPLOAD.mine m left join sky.stars s {on}"
    assert pairs(sky, left) == order(truth + lonely)
    other_left = f"select m.id, s.id from sky.stars s left join TAP_UPLOAD.mine m {on}"
    assert pairs(sky, other_left) == order(truth + unmatched)
    right = f"select m.id, s.id from TAP_UPLOAD.mine m right join sky.stars s {on}"
    assert pairs(sky, right) == order(truth + unmatched)
    assert pairs(sky, f"{left} and s.id < 100") == order(
        [pair for pair in truth if pair[1] < 100]
        + [(at, None) for at in range(len(APART)) if at not in {one for one, other in truth if other < 100}]
    )


def test_a_radius_of_each_row(sky: World) -> None:
    truth = near(np.array(HERE["reach"])[:, np.newaxis])
    for query in (
        "select m.id, s.id from TAP_UPLOAD.mine m join sky.stars s on distance(m.ra, m.dec, s.ra, s.dec) <= m.reach",
        "select m.id, s.id from TAP_UPLOAD.mine m join sky.stars s on 1 = contains(point(s.ra, s.dec), m.c)",
        "select m.id, s.id from sky.stars s, TAP_UPLOAD.mine m where 1 = contains(point(s.ra, s.dec), m.c)",
        "select m.id, s.id from sky.stars s join TAP_UPLOAD.mine m on 1 = intersects(m.c, point(s.ra, s.dec))",
    ):
        assert pairs(sky, query) == truth, query
    left = pairs(
        sky, "select m.id, s.id from TAP_UPLOAD.mine m left join sky.stars s on 1 = contains(point(s.ra, s.dec), m.c)"
    )
    assert [pair for pair in left if pair[1] is not None] == truth
    assert {one for one, _ in left} == set(range(len(APART)))


def test_polygons_in_columns(sky: World) -> None:
    truth = []
    for at, polygon in enumerate(HERE["v"]):
        text = ", ".join(map(repr, polygon))
        truth += [
            (at, star)
            for star in sky.ids(f"select id from sky.stars where 1 = contains(point(ra, dec), polygon({text}))")
        ]
    assert len(truth) > 100
    for query in (
        "select m.id, s.id from TAP_UPLOAD.mine m join sky.stars s on 1 = contains(point(s.ra, s.dec), m.v)",
        "select m.id, s.id from sky.stars s, TAP_UPLOAD.mine m where 1 = contains(point(s.ra, s.dec), m.v)",
    ):
        assert pairs(sky, query) == truth, query


def test_what_has_or_lacks_a_counterpart(sky: World) -> None:
    matched = {one for one, _ in near(0.02)}
    counterpart = "(select 1 from sky.stars s where distance(m.ra, m.dec, s.ra, s.dec) <= 0.02)"
    assert sky.ids(f"select m.id from TAP_UPLOAD.mine m where exists {counterpart}") == sorted(matched)
    lacking = sorted(set(range(len(APART))) - matched)
    assert sky.ids(f"select m.id from TAP_UPLOAD.mine m where not exists {counterpart}") == lacking


def test_three_tables_and_a_table_with_itself(sky: World) -> None:
    truth = near(0.5)
    query = (
        "select m.id, s.id, t.id from TAP_UPLOAD.mine m join sky.stars s on distance(m.ra, m.dec, s.ra, s.dec) <= 0.5 "
        "join sky.stars t on distance(s.ra, s.dec, t.ra, t.dec) <= 0.5"
    )
    star_pairs = {at: set() for at in range(COUNT)}
    for at in {other for _, other in truth}:
        apart = separations(THERE["ra"], THERE["dec"], THERE["ra"][at], THERE["dec"][at])
        star_pairs[at] = set(np.flatnonzero(apart <= 0.5).tolist())
    expected = sorted((one, other, third) for one, other in truth for third in star_pairs[other])
    assert sorted(sky.rows(query)) == expected
    count = sky.value("select count(*) from sky.stars a, sky.stars b where distance(a.ra, a.dec, b.ra, b.dec) <= 0.5")
    whole = sum(
        int((separations(THERE["ra"], THERE["dec"], lon, lat) <= 0.5).sum())
        for lon, lat in zip(THERE["ra"], THERE["dec"], strict=True)
    )
    assert count == whole


def test_nothing_matches_where_a_position_or_a_radius_is_missing(world: World) -> None:
    world.publish(STARS, rows_of(STARS, id=[1, 2], ra=[10.0, None], dec=[20.0, 20.0]))
    world.give(MINE, rows_of(MINE, id=[1, 2, 3], ra=[10.0, 10.0, None], dec=[20.0, 20.0, 20.0], reach=[1.0, None, 1.0]))
    inner = "select m.id, s.id from TAP_UPLOAD.mine m join sky.stars s on distance(m.ra, m.dec, s.ra, s.dec) <= "
    assert sorted(world.rows(f"{inner} 1")) == [(1, 1), (2, 1)]
    assert sorted(world.rows(f"{inner} m.reach")) == [(1, 1)]
    left = inner.replace(" join ", " left join ")
    assert pairs(world, f"{left} m.reach") == [(1, 1), (2, None), (3, None)]
    world.give(MINE, rows_of(MINE, id=[], ra=[], dec=[]))
    assert world.rows(f"{inner} m.reach") == []
    assert world.rows(f"{inner} 1") == []
