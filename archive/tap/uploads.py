"""UPLOAD of TAP 1.1 section 2.7.5: from the parameter to tables a query can name."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa
from flask import Request

from archive import regions
from archive.adql import moc
from archive.adql.types import Refused
from archive.columns import Column, Datatype, arrow_type, is_regular_identifier
from archive.config import Config
from archive.faults import UsageFault
from archive.intake import Measure, read
from archive.intake.fetch import Outbound, fetch
from archive.intake.moc import Ranges, read_moc, text_of
from archive.query import UPLOADS, Upload
from archive.tables import Table

_INLINE = "param:"


@dataclass(frozen=True, slots=True)
class Source:
    """One table announced by UPLOAD: its name under TAP_UPLOAD and where its bytes are (``param:x`` or an address)."""

    name: str
    place: str

    @property
    def part(self) -> str | None:
        """The name of the multipart part that holds the bytes, or None if they are elsewhere."""
        return self.place.removeprefix(_INLINE) if self.place.startswith(_INLINE) else None


def sources(values: Iterable[str]) -> tuple[Source, ...]:
    """The tables announced by all values of UPLOAD, repeated or joined by ``;``.

    Raises:
        UsageFault: a value is not ``name,address``, a name is no ADQL identifier, or is used twice.
    """
    found = [_source(pair) for value in values for pair in value.split(";") if pair.strip()]
    seen: set[str] = set()
    for source in found:
        if source.name.lower() in seen:
            raise UsageFault(f"UPLOAD names {source.name} twice.", "Give each table its own name.")
        seen.add(source.name.lower())
    return tuple(found)


def _source(pair: str) -> Source:
    name, comma, place = (part.strip() for part in pair.partition(","))
    if not comma or not place:
        raise UsageFault(f"UPLOAD value {pair!r} is not understood.", "Write name,param:part or name,http://address.")
    bare = name[len(UPLOADS) + 1 :] if name.upper().startswith(UPLOADS + ".") else name
    if not is_regular_identifier(bare):
        raise UsageFault(f"UPLOAD name {name!r} is not allowed.", "Use a letter, then letters, digits and underscores.")
    return Source(bare, place)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may come with one query: rows of each table, bytes of all of them, and the time to fetch them."""

    measure: Measure
    outbound: Outbound

    @classmethod
    def of(cls, config: Config) -> Allowance:
        """What the settings allow."""
        outbound = Outbound(config.upload_bytes, config.upload_seconds, allowed=config.upload_networks)
        return cls(Measure(config.upload_rows, config.upload_bytes), outbound)

    def without(self, size: int, seconds: float) -> Allowance:
        """What is left when ``size`` bytes have been taken and ``seconds`` have passed."""
        left = max(self.measure.size - size, 0)
        outbound = replace(self.outbound, size=left, seconds=self.outbound.seconds - seconds)
        return Allowance(replace(self.measure, size=left), outbound)


def sent(request: Request, announced: Iterable[Source]) -> dict[str, bytes]:
    """The bytes of the parts of ``request`` that ``announced`` tables are in; with a file name or without.

    Raises:
        UsageFault: a part without a file name is not text, so it was not kept as it came.
    """
    names = {source.part for source in announced if source.part is not None}
    parts = {name: text.encode() for name, text in request.form.items() if name in names}
    damaged = next((name for name in parts if "\N{REPLACEMENT CHARACTER}" in request.form[name]), None)
    if damaged is not None:
        raise UsageFault(f"The part {damaged!r} is not UTF-8 text.", "Send it with a file name (filename=...).")
    return parts | {name: file.read() for name, file in request.files.items() if name in names}


def taken(announced: Iterable[Source], parts: Mapping[str, bytes], allowance: Allowance) -> tuple[Upload, ...]:
    """The announced tables, read. ``parts`` holds the bytes sent along, by the name of their part.

    Raises:
        UsageFault: a part is missing, a table is unreadable, too large (413), or may not be fetched.
        TransientFault: an address does not answer.
    """
    uploads = []
    for source in announced:
        began = time.monotonic()
        content = _content(source, parts, allowance.outbound)
        uploads.append(_read(source.name, content, allowance.measure))
        size = max(len(content), uploads[-1].rows.nbytes)
        allowance = allowance.without(size, time.monotonic() - began)
    return tuple(uploads)


def _content(source: Source, parts: Mapping[str, bytes], outbound: Outbound) -> bytes:
    if source.part is None:
        return fetch(source.place, outbound)
    if source.part not in parts:
        raise UsageFault(
            f"UPLOAD speaks of a part {source.part!r} that the request does not have.",
            "Send it as multipart/form-data under that name.",
        )
    return parts[source.part]


def _read(name: str, content: bytes, measure: Measure) -> Upload:
    called = f"The uploaded table {name}"
    measure.check_size(len(content), called)
    unpacked = measure.unpacked(content, called)
    region = _region(unpacked, called, measure)
    if region is not None:
        return _as_row(name, *region)
    table = read(unpacked, called, measure)
    columns, rows = regions.understood(table.columns, table.rows)
    return Upload(Table(UPLOADS, name, columns, rows=rows.num_rows), rows)


# --- maps -----------------------------------------------------------------------------------------

_MOC = Column("moc", Datatype.CHAR, "*", "moc", ucd="pos.outline", description="the uploaded map (MOC 2.0), ICRS")
_MOC_BYTES = 40  # of text for each range of cells: more than any takes


def _region(content: bytes, called: str, measure: Measure) -> tuple[str, Ranges] | None:
    """The text and the cells of a coverage map; None if ``content`` is something else."""
    if content.startswith(b"SIMPLE"):
        ranges = read_moc(content, called, measure)
        return None if ranges is None else (text_of(ranges), ranges)
    if not moc.is_moc(content[:40].decode("latin-1")):
        return None
    replace(measure, size=min(measure.size, _MOC_BYTES * measure.rows)).check_size(len(content), called)
    try:
        text = content.decode()
        ranges = moc.ranges(text)
    except (Refused, UnicodeDecodeError) as refusal:
        raise UsageFault(f"{called} is not a MOC: {refusal}", getattr(refusal, "remedy", "")) from refusal
    measure.check_rows(len(ranges), called)
    return text.strip(), ranges


def _as_row(name: str, text: str, ranges: Ranges) -> Upload:
    """A map as a table of one row, whose column ``moc`` can stand where queries have a region."""
    table = Table(UPLOADS, name, (_MOC,), rows=1, regions={_MOC.name: ranges})
    return Upload(table, pa.table({_MOC.name: pa.array([text], arrow_type(_MOC))}))
