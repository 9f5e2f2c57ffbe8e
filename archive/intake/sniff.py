"""``read``: a file to a ``Delivered`` table, recognised by its first bytes, not by what it is called."""

from __future__ import annotations

from collections.abc import Callable

from archive.faults import UsageFault
from archive.intake import flat, votable
from archive.intake.delivered import Delivered, Measure


def read(content: bytes, name: str, measure: Measure) -> Delivered:
    """The table in ``content``; ``name`` is how messages call it.

    VOTable 1.0-1.5 (all serialisations), FITS binary tables, Parquet, Arrow streams, CSV and TSV; any of them gzipped.

    Raises:
        UsageFault: too large (413), not readable, or none of these; the message names the table and the place.
    """
    measure.check_size(len(content), name)
    content = measure.unpacked(content, name)
    if not content.strip():
        raise UsageFault(f"{name} is empty.")
    return _reader(content)(content, name, measure)


def _reader(content: bytes) -> Callable[[bytes, str, Measure], Delivered]:
    if content[:4] == b"PAR1":
        return flat.read_parquet
    if content[:6] == b"SIMPLE":
        return flat.read_fits
    if content[:4] == b"\xff\xff\xff\xff":
        return flat.read_arrow
    if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"\xff\xfe", b"\xfe\xff")):
        return votable.read_votable
    return flat.read_delimited
