"""Regions beside one constant shape: what is computed in batches is what the macros of DuckDB say, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from archive.engine import outlines
from archive.engine.duckdb_root import Root

from .contract.spheres import outlines as some_outlines

Polygon = list[float]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    folder: Path = tmp_path_factory.mktemp("root")
    with closing(Root(folder, folder, {"threads": 1})) as made:
        yield made


def ask(root: Root, query: str, polygons: pa.Array, *values: Any) -> list[bool | None]:
    with closing(root.cursor()) as cursor:
        cursor.register("p", pa.table({"v": polygons}))
        return [row[0] for row in cursor.execute(f"SELECT {query} FROM p", list(values)).fetchall()]


POLYGONS: list[Polygon] = [
    *([float(part) for vertex in each.vertices for part in vertex] for each in some_outlines(60, seed=5)),
    [0, 0, 10, 0, 10, 10, 0, 10],
    [350, -5, 10, -5, 10, 5, 350, 5],  # over the seam
    [10, 80, 130, 80, 250, 80],  # around a pole
    [0, -80, 120, -80, 240, -80],
    [0, 0, 1e-7, 0, 0, 1e-7],
    [200, 0, 210, 0, 210, 1, 200, 1, 5],  # an odd number at the end counts for nothing
    [0, 0, 0, 0, 0, 0],
]
SHAPES = pa.array([*POLYGONS, None, [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, None, 4.0, 5.0, 6.0]], pa.list_(pa.float64()))


def test_circles_meet_regions_as_the_macros_say(root: Root) -> None:
    random = np.random.default_rng(4)
    vertices = [(each[at], each[at + 1]) for each in POLYGONS for at in (0, 2)]
    places = [*vertices[::31], (0, 90), (123, -90), (725, 3), (-170, 2), (5, 0), (0, 5), (10, 5)]
    places += zip(random.uniform(0, 360, 5).tolist(), random.uniform(-90, 90, 5).tolist(), strict=True)
    for lon, lat in places:
        for radius in (-1.0, 0.0, 1e-7, 20.0, 90.0, 120.0, 180.0):
            quick = ask(root, "region_meets_circle(v, $1, $2, $3)", SHAPES, lon, lat, radius)
            assert quick == ask(root, "polygon_meets_circle(v, [$1, $2, $3]::DOUBLE[3])", SHAPES, lon, lat, radius)
            assert quick[-3:] == [None, None, None]
            assert {True, False} >= set(quick[:-3])
        inside = ask(root, "point_in_polygon($1, $2, v)", SHAPES, lon, lat)
        assert ask(root, "region_meets_circle(v, $1, $2, 0)", SHAPES, lon, lat) == inside


def test_polygons_meet_regions_as_the_macros_say(root: Root) -> None:
    found = set()
    for other in POLYGONS[:-2:5]:
        quick = ask(root, "region_meets_polygon(v, $1)", SHAPES, other)
        assert quick == ask(root, "polygon_meets_polygon(v, $1)", SHAPES, other)
        found |= set(quick)
    assert found == {True, False, None}


def test_batches_without_rows_and_numbers_that_are_none() -> None:
    nothing = pa.array([], pa.list_(pa.float64()))
    assert outlines.meets_circle(nothing, 1.0, 2.0, 3.0).to_pylist() == []
    odd = pa.array([[0.0, 0.0, 1.0, float("nan"), 1.0, 1.0], [0.0, 0.0, 1.0, 0.0, 1.0, 1.0]])
    assert outlines.meets_circle(odd, 0.5, 0.25, 0.1).to_pylist() == [None, True]
    assert outlines.meets_circle(odd.slice(1), 0.5, 0.25, 0.1).to_pylist() == [True]
