"""``Result``: what an answer is made of before it has a format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
from lxml import etree

from archive.columns import Column
from archive.faults import Fault
from archive.results.digest import Digest


@dataclass(slots=True)
class Seen:
    """What the cells of a column hold: NULLs, the least integer; ``longest``: signs of text, or items of an array."""

    nulls: bool = False
    least: int | None = None
    longest: int = 0


@dataclass(frozen=True, slots=True)
class Extent:
    """All that an answer will be: its number of rows, whether more were cut off, and what its columns hold at most."""

    rows: int
    overflowed: bool
    seen: tuple[Seen, ...]


class Foresight:
    """What can be known of an answer before its rows are there; of some answers that is nothing.

    It is asked for only by who needs it, since the asking takes a little time.
    """

    def cut_at(self) -> int | None:
        """How many rows will be sent if more are cut off; None if none are, or nobody knows."""
        return None

    def extent(self) -> Extent | None:
        """What the answer will be; None where nobody knows."""
        return None


@dataclass(slots=True)
class Result:
    """Columns and a single-use stream of Arrow batches.

    Each batch has ``len(columns)`` arrays, by position, of exactly ``arrow_type(column)``; its field names
    mean nothing. Iterating ``batches`` may raise a ``Fault`` at any time; encoders catch it, keep it in
    ``fault`` and end their document as DALI asks (formats that cannot say so raise it again).
    ``overflowed`` is true once rows were cut off; it is final when ``batches`` is exhausted. ``rows`` counts
    the rows encoded so far; ``rest`` tells people how to get those that were cut off; where they can be had from the
    ``last`` row on, ``onward(last)`` is the address of what comes next. ``close`` releases the
    engine's cursor and stops its statement; it may be called twice. ``at_hand``: all rows have been computed.
    ``foresight`` tells of rows that are not there yet. ``token`` is what the rows can be had again with, ``obstacle``
    why there is none, ``digest`` what tells whether they are the same.
    """

    columns: tuple[Column, ...]
    batches: Iterator[pa.RecordBatch]
    close: Callable[[], None] = lambda: None
    overflowed: bool = False
    notes: tuple[str, ...] = ()
    token: str | None = None
    obstacle: str = ""
    digest: Digest | None = None
    query: str | None = None
    rows: int = 0
    infos: tuple[tuple[str, str, str], ...] = field(default=())  # (name, value, text) for the results RESOURCE
    fault: Fault | None = None
    rest: str = ""
    last: str | None = None
    onward: Callable[[str], str] = lambda last: ""
    at_hand: bool = False
    foresight: Foresight = field(default_factory=Foresight)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a face adds around a result in the formats that can carry it (VOTable; others leave it out).

    ``infos`` are (name, value, text) for the results RESOURCE, such as a standardID; ``resources`` are whole
    elements, such as service descriptors, that follow it. They are copied, so one envelope serves many answers.
    ``utf8`` writes ``char`` cells of BINARY and BINARY2 as VOTable 1.6 drafts it; see ``archive.results.packing``.
    """

    infos: tuple[tuple[str, str, str], ...] = ()
    resources: tuple[etree._Element, ...] = ()
    utf8: bool = False
