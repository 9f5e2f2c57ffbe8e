"""The word ``Column``: one description for a stored column, a query's output and a FIELD alike.

Types are VOTable's own (VOTable 1.5 section 2.1); how each is carried in Arrow between the rooms is
fixed here once, so that engines, encoders and uploads agree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum

import pyarrow as pa


class Datatype(StrEnum):
    """The primitive types of VOTable 1.5 section 2.1, by their VOTable names."""

    BOOLEAN = "boolean"
    BIT = "bit"
    BYTE = "unsignedByte"
    SHORT = "short"
    INT = "int"
    LONG = "long"
    CHAR = "char"
    UNICODE = "unicodeChar"
    FLOAT = "float"
    DOUBLE = "double"
    FLOAT_COMPLEX = "floatComplex"
    DOUBLE_COMPLEX = "doubleComplex"

    @property
    def is_integer(self) -> bool:
        return self in _INTEGERS

    @property
    def is_numeric(self) -> bool:
        return self in _INTEGERS or self in (Datatype.FLOAT, Datatype.DOUBLE)

    @property
    def is_text(self) -> bool:
        return self in (Datatype.CHAR, Datatype.UNICODE)


_INTEGERS = (Datatype.BYTE, Datatype.SHORT, Datatype.INT, Datatype.LONG)

GEOMETRY_XTYPES = ("point", "circle", "polygon")

_REGULAR = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class Column:
    """What a column is: name, VOTable type, unit (VOUnits 1.1), UCD (UCD1+ 1.6) and description.

    ``arraysize`` is VOTable syntax and None for scalars; text always has one (``"*"`` if unknown).
    ``xtype`` is DALI's (timestamp, point, circle, polygon, interval, ...). Coordinates are ICRS degrees. Geometry that
    is ``stcs`` goes out as text in the words of STC-S (``archive.regions``).
    """

    name: str
    datatype: Datatype
    arraysize: str | None = None
    xtype: str | None = None
    unit: str | None = None
    ucd: str | None = None
    utype: str | None = None
    description: str = ""
    nullable: bool = True
    principal: bool = False
    std: bool = False
    indexed: bool = False
    stcs: bool = False

    @property
    def is_scalar_number(self) -> bool:
        return self.arraysize is None and self.datatype.is_numeric

    @property
    def is_text(self) -> bool:
        """Text proper: character data that is not a timestamp."""
        return self.datatype.is_text and self.xtype != "timestamp"

    @property
    def is_timestamp(self) -> bool:
        return self.xtype == "timestamp"

    @property
    def is_geometry(self) -> bool:
        return self.xtype in GEOMETRY_XTYPES

    def named(self, name: str) -> Column:
        """The same column under another name."""
        return replace(self, name=name)


def is_regular_identifier(name: str) -> bool:
    """True if ``name`` has the form of an undelimited ADQL identifier (ADQL 2.1 section 2.1.3), reserved or not."""
    return bool(_REGULAR.match(name))


_ARROW_SCALARS = {
    Datatype.BOOLEAN: pa.bool_(),
    Datatype.BIT: pa.bool_(),
    Datatype.BYTE: pa.uint8(),
    Datatype.SHORT: pa.int16(),
    Datatype.INT: pa.int32(),
    Datatype.LONG: pa.int64(),
    Datatype.FLOAT: pa.float32(),
    Datatype.DOUBLE: pa.float64(),
    Datatype.FLOAT_COMPLEX: pa.list_(pa.float32(), 2),
    Datatype.DOUBLE_COMPLEX: pa.list_(pa.float64(), 2),
}


def arrow_type(column: Column) -> pa.DataType:
    """The one Arrow type in which values of ``column`` travel between rooms.

    Text is ``string`` whatever its arraysize; timestamps are ``timestamp[us]`` without zone; a point is
    a fixed list of 2, a circle of 3 and a polygon a list of any number of doubles (degrees); arrays of
    fixed length n are fixed-size lists, all others (and multidimensional ones, flattened) lists.
    """
    if column.is_timestamp:
        return pa.timestamp("us")
    if column.datatype.is_text:
        return pa.string()
    scalar = _ARROW_SCALARS[column.datatype]
    if column.arraysize is None:
        return scalar
    if column.arraysize.isdigit():
        return pa.list_(scalar, int(column.arraysize))
    return pa.list_(scalar)
