"""Reference frames as plain rotations (IVOA UDF catalogue 1.2, ivo_geom_transform; vocabulary refframe)."""

from __future__ import annotations

import math

from archive.adql.motion import Matrix
from archive.adql.types import Refused

# ICRS to galactic: frame bias ICRS -> FK5 J2000 (Mignard & Froeschle 2000), then the pole of IAU 1958 carried to
# FK5 J2000 (192.8594812065348, 27.12825118085622; node 122.9319185680026 deg), as astropy composes them.
_ICRS_TO_GALACTIC: Matrix = (
    (-0.05487565771259163, -0.8734370519556159, -0.48383507361671546),
    (0.4941094371927268, -0.44482972122329517, 0.7469821839866676),
    (-0.8676661375596576, -0.19807633727300059, 0.45598381368730156),
)


def _turned(angle: float, axis: str) -> Matrix:
    """Axes turned by an angle in degrees about y or z."""
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return ((c, s, 0.0), (-s, c, 0.0), (0.0, 0.0, 1.0)) if axis == "z" else ((c, 0.0, -s), (0.0, 1.0, 0.0), (s, 0.0, c))


def _product(left: Matrix, right: Matrix) -> Matrix:
    return tuple(tuple(math.fsum(left[i][k] * right[k][j] for k in range(3)) for j in range(3)) for i in range(3))  # type: ignore[misc]


def _transposed(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix, strict=True))


# The pole of galactic longitude as it was defined: B1950 (192.25, 27.4), node 123 deg (IAU 1958).
_FK4_TO_GALACTIC = _product(_turned(180 - 123.0, "z"), _product(_turned(90 - 27.4, "y"), _turned(192.25, "z")))
_IDENTITY: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_TILT = math.radians(84381.448 / 3600)  # of the ecliptic of J2000 (IAU 1976)

_FROM_ICRS: dict[str, Matrix] = {
    "ICRS": _IDENTITY,
    "FK5": _IDENTITY,  # 0.02 arcsec from ICRS; the catalogue's own checks take them for one
    "GALACTIC": _ICRS_TO_GALACTIC,
    "FK4": _product(_transposed(_FK4_TO_GALACTIC), _ICRS_TO_GALACTIC),
    "ECLIPTIC": (
        (1.0, 0.0, 0.0),
        (0.0, math.cos(_TILT), math.sin(_TILT)),
        (0.0, -math.sin(_TILT), math.cos(_TILT)),
    ),
}


def rotation(source: str, target: str) -> Matrix | None:
    """The matrix that turns unit vectors from one frame to another; None where nothing turns.

    Raises:
        Refused: a frame is not known; names are case-sensitive.
    """
    for name in (source, target):
        if name not in _FROM_ICRS:
            raise Refused(f"{name!r} is not a known reference frame.", f"Known are {', '.join(_FROM_ICRS)}.")
    if _FROM_ICRS[source] is _FROM_ICRS[target]:
        return None
    return _product(_FROM_ICRS[target], _transposed(_FROM_ICRS[source]))
