"""REGION strings: the subset of STC-S that archives use (ADQL 2.0 section 2.4.14; TAP 1.0 section 6).

Shapes ``POSITION CIRCLE BOX POLYGON`` with an optional frame, reference position and flavour, and the operators
``UNION INTERSECTION NOT`` over parenthesised lists. ``CONVEX`` and other coordinates than the sky are refused.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from archive.adql.types import Refused


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape: ``kind`` POSITION CIRCLE BOX POLYGON, numbers in degrees, the frame as written or ''."""

    kind: str
    numbers: tuple[float, ...]
    frame: str


@dataclass(frozen=True, slots=True)
class Combination:
    """Several regions joined by UNION or INTERSECTION, or one excluded by NOT."""

    operator: str
    members: tuple[Region, ...]


Region = Shape | Combination

_TOKEN = re.compile(r"\s*(?:([A-Za-z][A-Za-z0-9_]*)|([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|([()]))")
_NUMBERS = {"POSITION": 2, "CIRCLE": 3, "BOX": 4}
_FRAMES = ("ICRS", "FK5", "FK4", "J2000", "B1950", "GALACTIC", "GALACTIC_II", "ECLIPTIC", "UNKNOWNFRAME")
_PLACES = (
    "BARYCENTER GEOCENTER HELIOCENTER LSR TOPOCENTER RELOCATABLE UNKNOWNREFPOS EMBARYCENTER MOON "
    "GALACTIC_CENTER LOCAL_GROUP_CENTER LSRK LSRD"
).split()
_FLAVOURS = ("SPHERICAL2", "CARTESIAN2", "UNITSPHERE")
_OPERATORS = ("UNION", "INTERSECTION", "NOT")
_DEEPEST = 20


def read(text: str) -> Region:
    """The region that ``text`` describes; raises ``Refused`` telling what is wrong."""
    reader = _Reader(text)
    region = reader.region(0)
    if reader.tokens[reader.i] != "":
        raise reader.wrong(f"{reader.tokens[reader.i]!r} is too much")
    return region


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[str] = []
        self.i = 0
        end = 0
        stripped = text.rstrip()
        while end < len(stripped):
            match = _TOKEN.match(stripped, end)
            if match is None:
                raise self.wrong(f"{stripped[end:].split()[0]!r} cannot be read")
            self.tokens.append(match[0].strip())
            end = match.end()
        self.tokens.append("")

    def wrong(self, why: str) -> Refused:
        shown = self.text if len(self.text) <= 60 else self.text[:57] + "..."
        return Refused(
            f"{why} in region {shown!r}.", "Write for example 'CIRCLE ICRS 10.5 -20 0.5' or 'POLYGON ICRS 1 1 2 1 2 2'."
        )

    def region(self, depth: int) -> Region:
        word = self.tokens[self.i].upper()
        self.i += 1
        if word in _OPERATORS:
            if depth > _DEEPEST:
                raise self.wrong("too much is nested")
            return self._combination(word, depth)
        if word in _NUMBERS or word == "POLYGON":
            return self._shape(word)
        raise self.wrong(f"{word!r} is no shape" if word else "a shape is missing")

    def _combination(self, operator: str, depth: int) -> Combination:
        frame = self._frame()
        if self.tokens[self.i] != "(":
            raise self.wrong(f"{operator} needs a list in parentheses")
        self.i += 1
        members = []
        while self.tokens[self.i] != ")":
            members.append(_in_frame(self.region(depth + 1), frame))
        self.i += 1
        if (operator == "NOT" and len(members) != 1) or not members:
            raise self.wrong(f"{operator} has the wrong number of regions")
        return Combination(operator, tuple(members))

    def _frame(self) -> str:
        frame = ""
        if self.tokens[self.i].upper() == "FILLFACTOR":
            self.i = min(self.i + 2, len(self.tokens) - 1)
        if self.tokens[self.i].upper() in _FRAMES:
            frame = self.tokens[self.i].upper()
            self.i += 1
        if self.tokens[self.i].upper() in _PLACES:
            self.i += 1
        if self.tokens[self.i].upper() in _FLAVOURS:
            if self.tokens[self.i].upper() != "SPHERICAL2":
                raise self.wrong("only SPHERICAL2 coordinates are known")
            self.i += 1
        return frame

    def _shape(self, kind: str) -> Shape:
        frame = self._frame()
        numbers: list[float] = []
        while self.tokens[self.i] and (self.tokens[self.i][0] in "+-." or self.tokens[self.i][0].isdigit()):
            numbers.append(float(self.tokens[self.i]))
            self.i += 1
        if self.tokens[self.i].upper() == "UNIT":
            if self.tokens[self.i + 1].lower() != "deg":
                raise self.wrong("only degrees are known")
            self.i += 2
        wanted = _NUMBERS.get(kind)
        if (wanted is not None and len(numbers) != wanted) or (
            wanted is None and (len(numbers) < 6 or len(numbers) % 2)
        ):
            count = f"{wanted} numbers" if wanted else "three or more pairs of numbers"
            raise self.wrong(f"{kind} needs {count}, it has {len(numbers)}")
        if not all(map(math.isfinite, numbers)):
            raise self.wrong("a number is too large")
        return Shape(kind, tuple(numbers), frame)


def _in_frame(region: Region, frame: str) -> Region:
    """A member takes the frame of its list where it has none of its own."""
    if not frame or isinstance(region, Combination) or region.frame:
        return region
    return Shape(region.kind, region.numbers, frame)
