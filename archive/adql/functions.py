"""The table of functions: what each is called, takes, gives and means. One entry per function, nothing twice.

It is read by ``resolve`` (argument checks, result types), by ``/capabilities`` (``Function.forms``), by the
documentation and by the engines, which must render every key of ``KEYS``. Sources: ADQL 2.1 sections 2.3
(maths), 4.2 (geometry), 4.4 to 4.9 (optional features); IVOA Catalogue of ADQL User Defined Functions 1.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property


class Group(StrEnum):
    """The TAPRegExt feature group a function is declared in; CORE functions are mandatory and not declared."""

    CORE = ""
    GEOMETRY = "features-adqlgeo"
    STRING = "features-adql-string"
    CONDITIONAL = "features-adql-conditional"
    UNIT = "features-adql-unit"
    UDF = "features-udf"


class Kind(StrEnum):
    """What an argument may be. The value is the type's name as shown to people."""

    DOUBLE = "DOUBLE"  # any number; arrives at engines as DOUBLE
    NUMBER = "NUMERIC"  # any number; arrives in its own type
    INTEGER = "INTEGER"
    TEXT = "VARCHAR"
    TIMESTAMP = "TIMESTAMP"  # or ISO text
    POINT = "POINT"
    GEOMETRY = "GEOMETRY"
    ANY = "ANY"


class Rule(StrEnum):
    """How unit and UCD of the result follow from the arguments."""

    NONE = "none"  # unknown unit
    PURE = "pure"  # a number without unit
    SAME = "same"  # unit and UCD of the first argument
    UNIT = "unit"  # unit of the first argument
    ROOT = "root"  # square root of the first argument's unit
    POWER = "power"  # the first argument's unit to the power of the second, where that is a literal
    RADIAN = "rad"
    DEGREE = "deg"
    DAY = "d"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter's name, for people, and kind."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Signature:
    """One way to call a function; ``repeats`` tells that the last parameter may be given any number of times."""

    form: str
    parameters: tuple[Parameter, ...]
    result: str
    repeats: bool = False

    def takes(self, count: int) -> bool:
        """True if ``count`` arguments fit."""
        return count == len(self.parameters) or (self.repeats and count > len(self.parameters))

    def parameter(self, index: int) -> Parameter:
        return self.parameters[min(index, len(self.parameters) - 1)]


_FORM = re.compile(r"(\w+)\((.*)\) -> (\w+(?:\[.*\])?)\Z")


def _signature(form: str) -> Signature:
    match = _FORM.match(form)
    if match is None:
        raise ValueError(form)
    written = [part.strip() for part in match[2].split(",") if part.strip()]
    repeats = bool(written) and written[-1] == "..."
    pairs = [part.split(" ") for part in written if part != "..."]
    return Signature(form, tuple(Parameter(name, Kind(kind)) for name, kind in pairs), match[3], repeats)


@dataclass(frozen=True)
class Function:
    """One function: ``forms`` as TAPRegExt wants them, one for each overload."""

    forms: tuple[str, ...]
    group: Group
    description: str
    rule: Rule = Rule.NONE
    aggregate: bool = False

    @cached_property
    def signatures(self) -> tuple[Signature, ...]:
        return tuple(_signature(form) for form in self.forms)

    @cached_property
    def name(self) -> str:
        """The name as written in documentation; calls are case-insensitive."""
        return self.forms[0].partition("(")[0]

    @cached_property
    def key(self) -> str:
        return self.name.lower()


def _core(description: str, rule: Rule, *forms: str) -> Function:
    return Function(forms, Group.CORE, description, rule)


def _geo(description: str, *forms: str) -> Function:
    return Function(forms, Group.GEOMETRY, description)


def _udf(description: str, rule: Rule, *forms: str, aggregate: bool = False) -> Function:
    return Function(forms, Group.UDF, description, rule, aggregate)


_MATHS = (
    _core("Absolute value, in the type of the argument.", Rule.UNIT, "ABS(x NUMERIC) -> NUMERIC"),
    _core("Smallest integer not less than x.", Rule.SAME, "CEILING(x DOUBLE) -> DOUBLE"),
    _core("Radians to degrees.", Rule.DEGREE, "DEGREES(x DOUBLE) -> DOUBLE"),
    _core("Natural exponential.", Rule.PURE, "EXP(x DOUBLE) -> DOUBLE"),
    _core("Largest integer not greater than x.", Rule.SAME, "FLOOR(x DOUBLE) -> DOUBLE"),
    _core("Natural logarithm; NULL unless x > 0.", Rule.PURE, "LOG(x DOUBLE) -> DOUBLE"),
    _core("Logarithm to base 10; NULL unless x > 0.", Rule.PURE, "LOG10(x DOUBLE) -> DOUBLE"),
    _core(
        "Remainder of x/y with the sign of x, also for fractions; NULL where y is 0.",
        Rule.UNIT,
        "MOD(x NUMERIC, y NUMERIC) -> NUMERIC",
    ),
    _core("The number pi.", Rule.PURE, "PI() -> DOUBLE"),
    _core("x to the power of y.", Rule.POWER, "POWER(x DOUBLE, y DOUBLE) -> DOUBLE"),
    _core("Degrees to radians.", Rule.RADIAN, "RADIANS(x DOUBLE) -> DOUBLE"),
    _core(
        "A random number from 0 to 1 (1 excluded); the seed is ignored.",
        Rule.PURE,
        "RAND() -> DOUBLE",
        "RAND(seed INTEGER) -> DOUBLE",
    ),
    _core(
        "x rounded to n decimals (default 0; negative: before the point), halves away from zero.",
        Rule.SAME,
        "ROUND(x DOUBLE) -> DOUBLE",
        "ROUND(x DOUBLE, n INTEGER) -> DOUBLE",
    ),
    _core("Square root; NULL where x < 0.", Rule.ROOT, "SQRT(x DOUBLE) -> DOUBLE"),
    _core(
        "x cut to n decimals (default 0; negative: before the point), towards zero.",
        Rule.SAME,
        "TRUNCATE(x DOUBLE) -> DOUBLE",
        "TRUNCATE(x DOUBLE, n INTEGER) -> DOUBLE",
    ),
    _core("Arc cosine in radians; NULL outside -1 to 1.", Rule.RADIAN, "ACOS(x DOUBLE) -> DOUBLE"),
    _core("Arc sine in radians; NULL outside -1 to 1.", Rule.RADIAN, "ASIN(x DOUBLE) -> DOUBLE"),
    _core("Arc tangent in radians.", Rule.RADIAN, "ATAN(x DOUBLE) -> DOUBLE"),
    _core(
        "Arc tangent of y/x in radians, in the quadrant of (x, y).",
        Rule.RADIAN,
        "ATAN2(y DOUBLE, x DOUBLE) -> DOUBLE",
    ),
    _core("Cosine of an angle in radians.", Rule.PURE, "COS(x DOUBLE) -> DOUBLE"),
    _core("Cotangent of an angle in radians.", Rule.PURE, "COT(x DOUBLE) -> DOUBLE"),
    _core("Sine of an angle in radians.", Rule.PURE, "SIN(x DOUBLE) -> DOUBLE"),
    _core("Tangent of an angle in radians.", Rule.PURE, "TAN(x DOUBLE) -> DOUBLE"),
)

# A leading coordinate-system literal (deprecated in ADQL 2.1) is taken by POINT, CIRCLE, BOX and POLYGON in all forms.
_GEOMETRY = (
    _geo("A position in ICRS degrees.", "POINT(lon DOUBLE, lat DOUBLE) -> POINT"),
    _geo(
        "All positions at most the radius (degrees) away from the centre.",
        "CIRCLE(lon DOUBLE, lat DOUBLE, radius DOUBLE) -> CIRCLE",
        "CIRCLE(center POINT, radius DOUBLE) -> CIRCLE",
    ),
    _geo(
        "Deprecated: a cross centred on a position, closed by great circles at right angles to its arms.",
        "BOX(lon DOUBLE, lat DOUBLE, width DOUBLE, height DOUBLE) -> POLYGON",
        "BOX(center POINT, width DOUBLE, height DOUBLE) -> POLYGON",
    ),
    _geo(
        "The smaller side of the great circles joining three or more vertices.",
        "POLYGON(lon1 DOUBLE, lat1 DOUBLE, lon2 DOUBLE, lat2 DOUBLE, lon3 DOUBLE, lat3 DOUBLE, ...) -> POLYGON",
        "POLYGON(vertex1 POINT, vertex2 POINT, vertex3 POINT, ...) -> POLYGON",
    ),
    _geo("A region by its STC-S string (a literal).", "REGION(stc VARCHAR) -> GEOMETRY"),
    _geo("A HEALPix coverage map by its ASCII or JSON string (a literal).", "MOC(map VARCHAR) -> MOC"),
    _geo("The centre of a geometry.", "CENTROID(region GEOMETRY) -> POINT"),
    _geo("Area in square degrees.", "AREA(region GEOMETRY) -> DOUBLE"),
    _geo(
        "1 if the first geometry lies inside the second, borders included, else 0.",
        "CONTAINS(inner GEOMETRY, outer GEOMETRY) -> INTEGER",
    ),
    _geo(
        "1 if two geometries have a point in common, else 0.",
        "INTERSECTS(first GEOMETRY, second GEOMETRY) -> INTEGER",
    ),
    _geo(
        "Angular distance in degrees.",
        "DISTANCE(first POINT, second POINT) -> DOUBLE",
        "DISTANCE(lon1 DOUBLE, lat1 DOUBLE, lon2 DOUBLE, lat2 DOUBLE) -> DOUBLE",
    ),
    _geo("Longitude of a point in degrees.", "COORD1(position POINT) -> DOUBLE"),
    _geo("Latitude of a point in degrees.", "COORD2(position POINT) -> DOUBLE"),
    _geo("Deprecated: the coordinate system, always ICRS.", "COORDSYS(region GEOMETRY) -> VARCHAR"),
)

_OPTIONAL = (
    Function(("LOWER(text VARCHAR) -> VARCHAR",), Group.STRING, "Text in lower case.", Rule.SAME),
    Function(("UPPER(text VARCHAR) -> VARCHAR",), Group.STRING, "Text in upper case.", Rule.SAME),
    Function(
        ("COALESCE(value ANY, ...) -> ANY",),
        Group.CONDITIONAL,
        "The first of its arguments that is not NULL.",
    ),
    Function(
        ("IN_UNIT(value NUMERIC, unit VARCHAR) -> DOUBLE",),
        Group.UNIT,
        "The value converted to another unit (a VOUnits literal).",
    ),
)

_CATALOGUE = (
    _udf(
        "Number of the HEALPix cell (nested scheme) of order hpxOrder that holds a position.",
        Rule.PURE,
        "ivo_healpix_index(hpxOrder INTEGER, long DOUBLE, lat DOUBLE) -> BIGINT",
        "ivo_healpix_index(hpxOrder INTEGER, point POINT) -> BIGINT",
    ),
    _udf(
        "Centre of a HEALPix cell (nested scheme).",
        Rule.NONE,
        "ivo_healpix_center(hpxOrder INTEGER, hpxIndex INTEGER) -> POINT",
    ),
    _udf(
        "Position at out_epoch after rigorous linear motion. Degrees, parallax mas, proper motions mas/yr (pmra with "
        "cos dec), radial velocity km/s, Julian years. A NULL parallax means infinitely far, other NULL motions 0.",
        Rule.NONE,
        "ivo_epoch_prop_pos(ra DOUBLE, dec DOUBLE, parallax DOUBLE, pmra DOUBLE, pmdec DOUBLE, "
        "radial_velocity DOUBLE, ref_epoch DOUBLE, out_epoch DOUBLE) -> POINT",
        "ivo_epoch_prop_pos(ra DOUBLE, dec DOUBLE, pmra DOUBLE, pmdec DOUBLE, "
        "ref_epoch DOUBLE, out_epoch DOUBLE) -> POINT",
    ),
    _udf(
        "A geometry turned from one reference frame to another (ICRS, FK5, FK4, GALACTIC, ECLIPTIC).",
        Rule.NONE,
        "ivo_geom_transform(from_sys VARCHAR, to_sys VARCHAR, geo GEOMETRY) -> GEOMETRY",
    ),
    _udf("Julian date of a timestamp, naively.", Rule.DAY, "ivo_to_jd(d TIMESTAMP) -> DOUBLE"),
    _udf("Modified Julian date of a timestamp, naively.", Rule.DAY, "ivo_to_mjd(d TIMESTAMP) -> DOUBLE"),
    _udf(
        "The texts of a group joined by a delimiter, NULLs left out.",
        Rule.NONE,
        "ivo_string_agg(expression VARCHAR, delimiter VARCHAR) -> VARCHAR",
        aggregate=True,
    ),
    _udf(
        "1 if value is ILIKE pattern, else 0.",
        Rule.PURE,
        "ivo_nocasematch(value VARCHAR, pattern VARCHAR) -> INTEGER",
    ),
    _udf(
        "1 if all words of needle are words of haystack, in any case of letters, else 0.",
        Rule.PURE,
        "ivo_hasword(haystack VARCHAR, needle VARCHAR) -> INTEGER",
    ),
    _udf(
        "1 if item is an element of a list separated by #, in any case of letters, else 0.",
        Rule.PURE,
        "ivo_hashlist_has(hashlist VARCHAR, item VARCHAR) -> INTEGER",
    ),
    _udf(
        "Counts of values in nbins equal bins; the first element counts what is lower and NULLs, the last the rest.",
        Rule.PURE,
        "ivo_histogram(val DOUBLE, lower DOUBLE, upper DOUBLE, nbins INTEGER) -> BIGINT[]",
        aggregate=True,
    ),
    _udf(
        "A random number of the normal distribution.",
        Rule.UNIT,
        "ivo_normal_random(mu DOUBLE, sigma DOUBLE) -> DOUBLE",
    ),
    _udf(
        "1 if the intervals a1 to b1 and a2 to b2 have a point in common, else 0; a lower bound above its upper one "
        "makes an interval empty.",
        Rule.PURE,
        "ivo_interval_overlaps(a1 NUMERIC, b1 NUMERIC, a2 NUMERIC, b2 NUMERIC) -> INTEGER",
    ),
    _udf(
        "Degrees of an hour angle written h:m:s, hhmmss or 1h2m3s; NULL if it cannot be read.",
        Rule.DEGREE,
        "ivo_hms_to_degrees(t VARCHAR) -> DOUBLE",
    ),
    _udf(
        "Degrees of an angle written d:m:s, ddmmss or 1d2m3s, with or without a sign; NULL if it cannot be read.",
        Rule.DEGREE,
        "ivo_dms_to_degrees(t VARCHAR) -> DOUBLE",
    ),
)

FUNCTIONS: tuple[Function, ...] = (*_MATHS, *_GEOMETRY, *_OPTIONAL, *_CATALOGUE)

ALIASES: dict[str, str] = {
    "gavo_to_jd": "ivo_to_jd",
    "gavo_to_mjd": "ivo_to_mjd",
    "gavo_normal_random": "ivo_normal_random",
    "gavo_histogram": "ivo_histogram",
    "gavo_transform": "ivo_geom_transform",
}
"""Names of other services' functions, taken for what they are here."""

BY_KEY: dict[str, Function] = {function.key: function for function in FUNCTIONS}
BY_KEY |= {alias: BY_KEY[key] for alias, key in ALIASES.items()}

RANDOM = frozenset(key for key, function in BY_KEY.items() if function.key in ("rand", "ivo_normal_random"))
"""The keys of functions that give another value with each call."""


@dataclass(frozen=True, slots=True)
class Key:
    """What engines render: a key of ``bound.Apply`` (or ``bound.Aggregate``) and how its arguments arrive."""

    key: str
    arguments: tuple[str, ...]  # one text per number of arguments it can have
    meaning: str
    aggregate: bool = False


def _maths_keys() -> Iterator[Key]:
    """Maths as they stand in the table; PI is a constant and RAND never has an argument."""
    for function in _MATHS:
        if function.key == "rand":
            yield Key("rand", ("",), function.description)
        elif function.key != "pi":
            forms = tuple(", ".join(f"{p.name} {p.kind}" for p in s.parameters) for s in function.signatures)
            yield Key(function.key, forms, function.description)


KEYS: tuple[Key, ...] = (
    *_maths_keys(),
    Key("lower", ("text",), "Text in lower case."),
    Key("upper", ("text",), "Text in upper case."),
    Key("coalesce", ("value, ...",), "First that is not NULL; all have the type of the result's column."),
    Key("coord1", ("shape",), "Longitude of a point, or of the centre of a circle, that is no PointOf or CircleOf."),
    Key("coord2", ("shape",), "Latitude, likewise."),
    Key("radius", ("circle",), "Radius of a circle that is no CircleOf (a column)."),
    Key("area", ("polygon",), "Square degrees of a polygon: a PolygonOf with non-constant vertices or a column."),
    Key("centroid", ("polygon",), "Point: direction of the polygon's centre of mass on the sphere."),
    Key(
        "rotate",
        ("polygon, m11, m12, m13, m21, m22, m23, m31, m32, m33",),
        "Polygon whose vertices' unit vectors are turned by a matrix of nine constants, row by row (a column).",
    ),
    Key("ivo_healpix_index", ("order, lon, lat",), "Nested HEALPix cell of a position; order may be any integer."),
    Key("ivo_healpix_center", ("order, index",), "Point: centre of a nested HEALPix cell; NULL outside the order."),
    Key("ivo_to_mjd", ("timestamp",), "Modified Julian date, double, with the fraction of the day."),
    Key("ivo_hasword", ("haystack, needle",), "1 or 0; words are runs of letters and digits, case folded."),
    Key("ivo_hashlist_has", ("hashlist, item",), "1 or 0: item is an element of the list split at #, case folded."),
    Key("ivo_hms_to_degrees", ("text",), "Degrees, NULL if the text is no hour angle."),
    Key("ivo_dms_to_degrees", ("text",), "Degrees, NULL if the text is no angle."),
    Key("count", ("", "value"), "Rows, or values that are not NULL.", True),
    Key("sum", ("value",), "Sum, long or double by the result's column.", True),
    Key("avg", ("value",), "Mean, double.", True),
    Key("min", ("value",), "Minimum.", True),
    Key("max", ("value",), "Maximum.", True),
    Key("longest", ("text",), "Number of characters of the longest text; no query can name it.", True),
    Key("ivo_string_agg", ("text, delimiter",), "Joined texts, NULLs left out.", True),
    Key(
        "ivo_histogram",
        ("value, lower, upper, nbins",),
        "Array of nbins+2 longs: below lower or NULL; nbins bins of [edge, next edge); upper and above.",
        True,
    ),
)
"""All that an engine must render.

Arguments of kind DOUBLE arrive as values of type DOUBLE (resolve converts), NUMERIC ones in their own types. ABS and
MOD work in the type of the result's column. Domain errors (LOG(0), SQRT(-1), MOD(x, 0), overflow to infinity)
are NULL. Everything else of the table above is made by resolve from these and from the elements of ``bound``:
ivo_epoch_prop_pos, ivo_geom_transform, BOX and circle areas are arithmetic, ivo_to_jd is ivo_to_mjd + 2400000.5,
ivo_nocasematch and ivo_interval_overlaps are ``Truth``, IN_UNIT is a factor in ``Arithmetic``.
"""
