"""DuckDB's macros (``duckdb.sql``) and what they take from Python."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from archive.sky import Outline

MACROS = files("archive.engine").joinpath("duckdb.sql").read_text(encoding="utf-8")


def outline_rows(outline: Outline) -> list[list[float]]:
    """The edges of a constant polygon as ``outline`` (above) would make them, for a parameter of type DOUBLE[][]."""
    starts, ends = outline.points, np.roll(outline.points, -1, axis=0)
    chords = ends - starts
    normals = np.cross(starts, chords)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.divide(normals, lengths, out=np.zeros_like(normals), where=lengths > 0)
    eastwards = outline.steps >= 0
    nexts = np.roll(outline.lon, -1)
    columns = (
        np.where(eastwards, outline.lon, nexts),
        np.where(eastwards, nexts, outline.lon),
        *starts.T,
        *ends.T,
        *normals.T,
        np.linalg.norm(chords, axis=1),
        np.where(eastwards, 1.0, -1.0),
    )
    return [[float(number) for number in row] for row in np.stack(columns, axis=1)]
