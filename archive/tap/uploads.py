"""UPLOAD of TAP 1.1 section 2.7.5: from the parameter to tables a query can name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from archive.columns import is_regular_identifier
from archive.faults import UsageFault
from archive.intake import Measure, read
from archive.intake.fetch import Outbound, fetch
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


def taken(
    announced: Iterable[Source], parts: Mapping[str, bytes], measure: Measure, outbound: Outbound
) -> tuple[Upload, ...]:
    """The announced tables, read. ``parts`` holds the bytes sent along, by the name of their part.

    Raises:
        UsageFault: a part is missing, a table is unreadable, too large, or may not be fetched.
        TransientFault: an address does not answer.
    """
    return tuple(_taken(source, parts, measure, outbound) for source in announced)


def _taken(source: Source, parts: Mapping[str, bytes], measure: Measure, outbound: Outbound) -> Upload:
    if source.part is None:
        content = fetch(source.place, outbound)
    elif source.part in parts:
        content = parts[source.part]
    else:
        raise UsageFault(
            f"UPLOAD speaks of a part {source.part!r} that the request does not have.",
            "Send it as multipart/form-data under that name.",
        )
    table = read(content, f"The uploaded table {source.name}", measure)
    return Upload(Table(UPLOADS, source.name, table.columns, rows=table.rows.num_rows), table.rows)
