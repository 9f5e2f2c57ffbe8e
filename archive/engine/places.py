"""Where the rows of a statement's tables lie, as the statement says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import sqlalchemy as sa

from archive.engine import elements as el
from archive.engine.contract import SINCE
from archive.sky import Ranges
from archive.tables import Table


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stored table's rows lie, as the statement says it.

    ``physical`` maps described column names to those of the physical table; ``rows`` is their number.
    """

    source: sa.TableClause | sa.Subquery
    physical: Mapping[str, str]
    rows: int
    healpix: bool


def as_of(place: Place, state: int | None) -> Place:
    """``place`` with the rows alone that the table had at ``state``; None: with all."""
    if state is None:
        return place
    early = el.Infix("<=", (el.Ref("s1", SINCE), el.Whole(state)))
    source = sa.select(el.everything("s1")).select_from(place.source.alias("s1")).where(early).subquery()
    return replace(place, source=source)


Locate = Callable[[Table], Place]


@dataclass(frozen=True, slots=True)
class Spread:
    """A table whose rows stand once for each HEALPix cell near them, the cell in the column ``k1``.

    The numbers of its cells are ``shift`` bits shorter than those of order 29; all lie in ``ranges`` of these.
    """

    place: Place
    shift: int
    ranges: Ranges


Spreading = Callable[[Table, str, str, float], Spread | None]
"""Spreads the rows of a table over the cells within a radius (degrees) of two columns; None where they are not ours."""

Cells = dict[tuple[str, str], str]
"""Names of longitude and latitude -> name of the column that holds the HEALPix cell by which rows are sorted."""
