"""Spherical geometry as DuckDB macros: they expand in place, so the optimizer sees through them.

Angles are degrees, points DOUBLE[2], circles DOUBLE[3], polygons flat lists of longitudes and latitudes.
"""

from __future__ import annotations

# Half-angle form on both sides: exact to rounding for tiny separations and for antipodes alike.
_SEPARATION = """
CREATE MACRO separation(lon1, lat1, lon2, lat2) AS degrees(2 * atan2(
    sqrt(pow(sin(radians(lat2 - lat1) / 2), 2)
        + cos(radians(lat1)) * cos(radians(lat2)) * pow(sin(radians(lon2 - lon1) / 2), 2)),
    sqrt(pow(sin(radians(lat1 + lat2) / 2), 2)
        + cos(radians(lat1)) * cos(radians(lat2)) * pow(cos(radians(lon2 - lon1) / 2), 2))))
"""

# The first test is implied by the second; it is cheap and lets the database use statistics and sorted joins.
_NEAR = """
CREATE MACRO near(lon1, lat1, lon2, lat2, reach) AS
    lat1 BETWEEN lat2 - reach AND lat2 + reach AND separation(lon1, lat1, lon2, lat2) <= reach
"""

_VALUES = (
    "CREATE MACRO point(lon, lat) AS CASE WHEN lon + lat IS NOT NULL THEN array_value(lon, lat) END",
    "CREATE MACRO circle(lon, lat, r) AS CASE WHEN lon + lat + r IS NOT NULL THEN array_value(lon, lat, r) END",
)

MACROS = (_SEPARATION, _NEAR, *_VALUES)
