"""The sphere set: cones, polygons and relations of shapes against astropy and plain geometry."""

from __future__ import annotations

import math

import numpy as np
import pytest
from astropy.coordinates import Latitude, Longitude
from cdshealpix.nested import healpix_to_lonlat

from archive.sky import healpix_29
from archive.tables import Table

from .spheres import Outlined, around, cones, outlines, separations
from .world import World, number, rows_of, shape, sky_rows, sky_table

STARS = sky_table("stars", shape("pos", "point"))
LOOSE = Table("TAP_UPLOAD", "loose", STARS.columns)  # the same rows without an index
PLACES = sky_rows(20_000, seed=42)
SPHERE = 4 * math.pi * math.degrees(1) ** 2  # square degrees
EDGE = 1e-9  # degrees: closer to a border, rounding in the truth decides


@pytest.fixture(scope="module")
def sky(shared: World) -> World:
    """20 000 positions, in an edition and given with the request."""
    pairs = np.stack([PLACES["ra"], PLACES["dec"]], axis=1).tolist()
    shared.publish(STARS, rows_of(STARS, pos=pairs, **PLACES))
    shared.give(LOOSE, rows_of(LOOSE, pos=pairs, **PLACES))
    return shared


def check(found: list[int], truth: np.ndarray, doubtful: np.ndarray) -> None:
    """``found`` are the ids where ``truth`` holds, except where it cannot be told."""
    answered = np.zeros(len(truth), dtype=bool)
    answered[found] = True
    assert len(found) == int(answered.sum()), "a row was given twice"
    assert not np.flatnonzero((answered != truth) & ~doubtful).tolist()


@pytest.mark.parametrize("cone", cones(25, seed=1), ids=str)
def test_cones_however_they_are_written(sky: World, cone: object) -> None:
    apart = separations(PLACES["ra"], PLACES["dec"], cone.lon, cone.lat)
    truth, doubtful = apart <= cone.radius, np.abs(apart - cone.radius) < EDGE
    lon, lat, radius = repr(cone.lon), repr(cone.lat), repr(cone.radius)
    found = sky.ids(f"select id from sky.stars where 1 = contains(point(ra, dec), circle({lon}, {lat}, {radius}))")
    check(found, truth, doubtful)
    for query in (
        f"select id from sky.stars where distance(ra, dec, {lon}, {lat}) <= {radius}",
        f"select id from sky.stars where {radius} >= distance(point({lon}, {lat}), point(ra, dec))",
        f"select id from sky.stars where distance(pos, point({lon}, {lat})) <= {radius}",
        f"select id from sky.stars where 1 = intersects(circle({lon}, {lat}, {radius}), point(ra, dec))",
        f"select id from TAP_UPLOAD.loose where 1 = contains(pos, circle({lon}, {lat}, {radius}))",
        f"select id from (select id, ra, dec from sky.stars) as s where distance(ra, dec, {lon}, {lat}) <= {radius}",
    ):
        assert sky.ids(query) == found, query
    rest = sky.ids(f"select id from sky.stars where 0 = contains(point(ra, dec), circle({lon}, {lat}, {radius}))")
    assert sorted(found + rest) == list(range(len(truth)))


@pytest.mark.parametrize("polygon", outlines(40, seed=2), ids=lambda polygon: f"{polygon.middle}")
def test_polygons_of_any_winding_and_place(sky: World, polygon: Outlined) -> None:
    truth = polygon.holds(PLACES["ra"], PLACES["dec"])
    found = sky.ids(f"select id from sky.stars where 1 = contains(point(ra, dec), polygon({polygon.text}))")
    check(found, truth, np.zeros(len(truth), dtype=bool))
    loose = f"select id from TAP_UPLOAD.loose where 1 = contains(pos, polygon({polygon.text}))"
    assert sky.ids(loose) == found
    varying = f"select id from sky.stars where id < 1000 and 1 = contains(pos, polygon({polygon.text} + 0 * dec))"
    assert sky.ids(varying) == [at for at in found if at < 1000]


def test_vertices_edges_and_rims_count_as_inside(sky: World) -> None:
    for polygon in outlines(30, seed=3):
        for lon, lat in polygon.vertices:
            query = (
                f"select contains(point({lon!r}, {lat!r}), polygon({polygon.text})) as c from sky.stars where id = 0"
            )
            assert sky.value(query) == 1
    square = "polygon(0, 0, 10, 0, 10, 10, 0, 10)"
    for place in ("0, 5", "10, 5", "5, 0", "360, 5", "10, 0"):
        assert sky.value(f"select contains(point({place}), {square}) as c from sky.stars where id = 0") == 1
    for place in ("-0.000001, 5", "10.000001, 5", "5, -0.000001", "5, 10.2"):
        assert sky.value(f"select contains(point({place}), {square}) as c from sky.stars where id = 0") == 0
    for place, circle in (
        ("10, 1", "10, 0, 1"),
        ("0, 89", "0, 90, 1"),
        ("190, 0", "10, 0, 180"),
        ("5, 0", "355, 0, 10"),
    ):
        assert sky.value(f"select contains(point({place}), circle({circle})) as c from sky.stars where id = 0") == 1
        lon, lat, radius = circle.split(", ")
        near = f"select count(*) as n from sky.stars where id = 0 and distance({place}, {lon}, {lat})"
        assert sky.value(f"{near} <= {radius}") == 1
        assert sky.value(f"{near} < {radius}") == 0


def test_a_pole_on_the_border_is_inside_whatever_its_longitude(sky: World) -> None:
    for lon in (0, 33, 180, 271):
        for polygon in ("polygon(0, 90, 10, 60, 350, 60)", "polygon(0, 60, 180, 60, 90, 50)"):
            query = f"select contains(point({lon}, 90), {polygon}) as c from sky.stars where id = 0"
            assert sky.value(query) == 1


def test_polygons_wider_than_half_a_turn(sky: World) -> None:
    """A band around the pole, a box three quarters around the equator, and the large side given clockwise."""
    ring = ", ".join(f"{lon}, 60" for lon in range(0, 360, 30))
    lat, lon = PLACES["dec"], PLACES["ra"]
    found = sky.ids(f"select id from sky.stars where 1 = contains(point(ra, dec), polygon({ring}))")
    truth = Outlined((0.0, 90.0), tuple((float(at), 60.0) for at in range(0, 360, 30))).holds(lon, lat)
    check(found, truth, np.zeros(len(truth), dtype=bool))
    corners = [(float(at), -1.0) for at in range(45, 316, 10)] + [(float(at), 1.0) for at in range(315, 44, -10)]
    band = ", ".join(f"{at}, {up}" for at, up in corners)
    found = sky.ids(f"select id from sky.stars where 1 = contains(point(ra, dec), polygon({band}))")
    sure = (np.abs(lat) < 0.99) & (lon > 45.1) & (lon < 314.9)
    none = (np.abs(lat) > 1.01) | (lon < 44.9) | (lon > 315.1)
    check(found, sure, ~(sure | none))


def test_distances_from_nothing_to_half_a_turn(sky: World) -> None:
    pairs = [
        (10.0, 20.0, 10.0, 20.0),
        (0.0, 90.0, 77.0, -90.0),
        (10.0, 20.0, 190.0, -20.0),
        (10.0, 20.0, 10.0, 20.0 + 1e-10),
    ]
    pairs += [
        (359.9999999, 0.0, 0.0000001, 0.0),
        (10.0, 20.0, 190.0 + 1e-9, -20.0),
        (5.0, 89.9999999, 185.0, 89.9999999),
    ]
    random = np.random.default_rng(4)
    pairs += [tuple(map(float, each)) for each in random.uniform([0, -90, 0, -90], [360, 90, 360, 90], (200, 4))]
    for lon1, lat1, lon2, lat2 in pairs:
        (got,) = sky.rows(f"select distance({lon1!r}, {lat1!r}, {lon2!r}, {lat2!r}) as d from sky.stars where id = 0")
        truth = separations(np.array([lon1]), np.array([lat1]), lon2, lat2)[0]
        assert got[0] == pytest.approx(truth, abs=2e-13, rel=1e-12)


def test_null_coordinates_give_null(sky: World) -> None:
    nowhere = "cast(null as double precision)"
    for expression in (
        f"contains(point({nowhere}, 1), circle(1, 2, 3))",
        f"contains(point(1, 1), circle(1, 2, {nowhere}))",
        f"contains(point({nowhere}, 1), polygon(0, 0, 1, 0, 1, 1))",
        f"contains(point(1, 1), polygon(0, 0, 1, {nowhere}, 1, 1))",
        f"intersects(circle(1, 2, {nowhere}), polygon(0, 0, 1, 0, 1, 1))",
        f"distance(1, 2, 3, {nowhere})",
        f"area(polygon(0, 0, 1, {nowhere}, 1, 1))",
        f"centroid(polygon(0, 0, 1, {nowhere}, 1, 1))",
        f"point(1, {nowhere})",
        f"circle(1, 2, {nowhere})",
        f"polygon(0, 0, 1, 0, {nowhere}, 1)",
    ):
        assert sky.value(f"select {expression} as x from sky.stars where id = 0") is None, expression


RELATIONS = [
    # inner (or left), outer (or right), contains, intersects
    ("circle(10, 20, 1)", "polygon(5, 15, 15, 15, 15, 25, 5, 25)", 1, 1),
    ("circle(10, 20, 6)", "polygon(5, 15, 15, 15, 15, 25, 5, 25)", 0, 1),
    ("circle(10, 40, 1)", "polygon(5, 15, 15, 15, 15, 25, 5, 25)", 0, 0),
    ("polygon(9, 19, 11, 19, 11, 21)", "circle(10, 20, 5)", 1, 1),
    ("polygon(5, 15, 15, 15, 15, 25, 5, 25)", "circle(10, 20, 5)", 0, 1),
    ("polygon(5, 15, 15, 15, 15, 25, 5, 25)", "circle(190, -20, 170)", 0, 0),
    ("polygon(5, 15, 15, 15, 15, 25, 5, 25)", "circle(190, -20, 174)", 0, 1),
    ("polygon(5, 15, 15, 15, 15, 25, 5, 25)", "circle(100, 0, 120)", 1, 1),
    ("polygon(5, 15, 15, 15, 15, 25, 5, 25)", "circle(10, 20, 180)", 1, 1),
    ("polygon(9, 19, 11, 19, 11, 21)", "polygon(5, 15, 15, 15, 15, 25, 5, 25)", 1, 1),
    ("polygon(5, 15, 15, 15, 15, 25, 5, 25)", "polygon(9, 19, 11, 19, 11, 21)", 0, 1),
    ("polygon(5, 15, 15, 15, 15, 25, 5, 25)", "polygon(5, 25, 5, 15, 15, 15, 15, 25)", 1, 1),
    ("polygon(8, 10, 12, 10, 12, 30, 8, 30)", "polygon(5, 15, 15, 15, 15, 25, 5, 25)", 0, 1),
    ("polygon(0, -5, 10, -5, 5, 5)", "polygon(100, -5, 110, -5, 105, 5)", 0, 0),
    ("polygon(350, -1, 10, -1, 10, 1, 350, 1)", "polygon(340, -5, 20, -5, 20, 5, 340, 5)", 1, 1),
    ("polygon(0, 85, 120, 85, 240, 85)", "circle(0, 90, 10)", 1, 1),
    ("polygon(0, 85, 120, 85, 240, 85)", "polygon(0, 70, 90, 70, 180, 70, 270, 70)", 1, 1),
    ("circle(77, 90, 2)", "polygon(0, 85, 120, 85, 240, 85)", 1, 1),
    ("circle(10, 20, 1)", "circle(10, 22, 3)", 1, 1),
    ("circle(10, 20, 1)", "circle(10, 23, 3)", 0, 1),
    ("circle(10, 20, 1)", "circle(10, 25, 3)", 0, 0),
    ("circle(10, 20, 90)", "circle(10, 20, 100)", 1, 1),
]


@pytest.mark.parametrize(("inner", "outer", "contained", "meet"), RELATIONS, ids=lambda part: str(part))
def test_relations_of_shapes(sky: World, inner: str, outer: str, contained: int, meet: int) -> None:
    tested = (
        f"select contains({inner}, {outer}) as c, intersects({inner}, {outer}) as i, intersects({outer}, {inner}) as j"
    )
    assert sky.rows(f"{tested} from sky.stars where id = 0") == [(contained, meet, meet)]


def test_relations_agree_with_a_cloud_of_points(sky: World) -> None:
    """Random pairs of polygons: what contains holds all points of what it contains; what shares a point meets."""
    cloud_lon, cloud_lat = PLACES["ra"], PLACES["dec"]
    random = np.random.default_rng(6)
    for polygon in outlines(25, seed=5):
        near = (float(polygon.vertices[0][0]), float(np.clip(polygon.vertices[0][1], -85, 85)))
        angles = np.sort(random.uniform(0, 360, 3)) + np.array([0, 20, 40])
        other = Outlined(near, around(near, angles, np.full(3, 10.0)))
        one, two = polygon.holds(cloud_lon, cloud_lat), other.holds(cloud_lon, cloud_lat)
        tested = f"polygon({other.text}), polygon({polygon.text})"
        ((inside, meet),) = sky.rows(
            f"select contains({tested}) as c, intersects({tested}) as i from sky.stars where id = 0"
        )
        if inside:
            assert not (two & ~one).any()
        if (one & two).any():
            assert meet == 1
        if not meet:
            assert not (one & two).any()


def test_area_and_centroid(sky: World) -> None:
    area, centre = measures(sky, "0, 0, 90, 0, 0, 90")
    assert area == pytest.approx(SPHERE / 8)
    assert centre == pytest.approx([45, math.degrees(math.asin(1 / math.sqrt(3)))])
    for polygon in outlines(30, seed=7):
        backwards = Outlined(polygon.middle, polygon.vertices[::-1])
        area, centre = measures(sky, polygon.text)
        same_area, same_centre = measures(sky, backwards.text)
        assert area == pytest.approx(same_area, rel=1e-9)
        assert separations(np.array([centre[0]]), np.array([centre[1]]), *same_centre)[0] < 1e-6
        assert area / SPHERE == pytest.approx(polygon.holds(PLACES["ra"], PLACES["dec"]).mean(), abs=0.02)


def measures(sky: World, text: str) -> tuple[float, list[float]]:
    """Area and centroid of a polygon."""
    tested = f"select area(polygon({text})) as a, centroid(polygon({text})) as c from sky.stars where id = 0"
    ((area, centre),) = sky.rows(tested)
    return area, centre


def test_healpix_index_is_that_of_cdshealpix(sky: World) -> None:
    """On borders of cells either neighbour is right; the positions on them are left out."""
    lon, lat = PLACES["ra"][13:], PLACES["dec"][13:]
    cells = healpix_29(lon, lat)
    for order in (0, 1, 5, 12, 29):
        truth = cells >> (2 * (29 - order))
        query = f"select ivo_healpix_index({order}, ra, dec) as h from TAP_UPLOAD.loose where id >= 13 order by id"
        assert [row[0] for row in sky.rows(query)] == truth.tolist()
        stored = query.replace("TAP_UPLOAD.loose", "sky.stars")
        assert [row[0] for row in sky.rows(stored)] == truth.tolist()


def test_healpix_center_is_that_of_cdshealpix(sky: World) -> None:
    for order in (0, 3, 8, 20, 29):
        index = f"ivo_healpix_index({order}, ra, dec)"
        rows = sky.rows(
            f"select {index} as h, ivo_healpix_center({order}, {index}) as c from sky.stars where id < 3000"
        )
        centres = np.array([row[1] for row in rows])
        lon, lat = healpix_to_lonlat(np.array([row[0] for row in rows], dtype=np.uint64), order)
        apart = [separations(centres[:, 0], centres[:, 1], Longitude(lon).deg, Latitude(lat).deg)]
        assert np.max(apart) < 1e-11


def test_moc_literals(sky: World) -> None:
    cells = healpix_29(PLACES["ra"], PLACES["dec"])
    truth = np.isin(cells >> 52, [1, 2, 3, 4]) | np.isin(cells >> 48, [7, 300])
    moc = "3/1-4 5/7 300"
    assert (
        sky.ids(f"select id from sky.stars where 1 = contains(point(ra, dec), moc('{moc}'))")
        == np.flatnonzero(truth).tolist()
    )
    many = np.unique(cells[::7] >> 34)
    truth = np.isin(cells >> 34, many)
    moc = "12/" + " ".join(map(str, many))
    for table in ("sky.stars", "TAP_UPLOAD.loose"):
        query = f"select id from {table} where id >= 13 and 1 = contains(point(ra, dec), moc('{moc}'))"
        assert sky.ids(query) == [at for at in np.flatnonzero(truth).tolist() if at >= 13]


def test_shapes_in_columns(world: World) -> None:
    table = Table("t", "shapes", (number("id"), shape("p", "point"), shape("c", "circle"), shape("v", "polygon")))
    square, cap = [5.0, 15.0, 15.0, 15.0, 15.0, 25.0, 5.0, 25.0], [0.0, 85.0, 120.0, 85.0, 240.0, 85.0]
    points, circles = [[10.0, 20.0], [10.0, 40.0], None], [[10.0, 20.0, 1.0], [10.0, 40.0, 1.0], None]
    world.publish(table, rows_of(table, id=[1, 2, 3], p=points, c=circles, v=[square, cap, None]))
    related = (
        "contains(p, v) as a, contains(c, v) as b, intersects(c, v) as d, contains(v, c) as e, intersects(v, v) as f"
    )
    assert world.rows(f"select id, {related} from t.shapes order by id") == [
        (1, 1, 1, 1, 0, 1),
        (2, 0, 0, 0, 0, 1),
        (3, None, None, None, None, None),
    ]
    assert world.ids("select id from t.shapes where 1 = contains(point(0, 90), v)") == [2]
    assert world.ids("select id from t.shapes where 1 = intersects(circle(10, 27, 3), v)") == [1]
    assert world.ids("select a.id from t.shapes a join t.shapes b on 1 = contains(a.p, b.v)") == [1]
    measured = "coord1(p) as x, coord2(centroid(c)) as y, area(c) as s, area(v) as t, centroid(v) as w"
    assert world.rows(f"select {measured} from t.shapes where id = 3") == [(None, None, None, None, None)]
    ((x, y, s, *_),) = world.rows(f"select {measured} from t.shapes where id = 1")
    assert (x, y, s) == (10.0, 20.0, pytest.approx(math.pi, rel=1e-3))
