"""What an endpoint holds of one file: all that has to be known before its bytes are given away."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from archive.ledger import replicas, retention, schema
from archive.ledger.database import now
from archive.ledger.replicas import Has, Replica


@dataclass(frozen=True, slots=True)
class Holding:
    """A registered file and its ``copies`` at this endpoint that are present, those in the main store first.

    Before ``public_from`` (None: at once) it is proprietary; since ``retracted`` (None: it is not) it counts as never
    delivered. Since ``dropped`` (None: it is not) no copy of it is kept, on purpose.
    """

    id: int
    uri: str
    sha256: str
    size: int
    media_type: str
    registered: datetime
    public_from: datetime | None
    retracted: datetime | None
    copies: tuple[Replica, ...]
    dropped: datetime | None = None

    @property
    def sha256_base64(self) -> str:
        """The digest as headers write it (RFC 9530)."""
        return b64encode(bytes.fromhex(self.sha256)).decode()


def find(transaction: Connection, uri: str) -> Holding | None:
    """The file of that name; None if none was ever registered."""
    row = transaction.execute(select(schema.artifact).where(schema.artifact.c.uri == uri)).one_or_none()
    if row is None:
        return None
    copies = tuple(copy for copy in replicas.of(transaction, [row.id])[row.id] if copy.has is Has.PRESENT)
    return Holding(
        row.id,
        row.uri,
        row.sha256,
        row.size,
        row.media_type,
        datetime.fromisoformat(row.registered),
        _time(row.public_from),
        _time(row.retracted),
        copies,
        None if copies else retention.dropped(transaction, row.id),
    )


def note_checked(transaction: Connection, copy: Replica, fingerprint: str) -> None:
    """Note that a copy which counts as present was read whole just now and found right."""
    table = schema.replica
    here = (table.c.artifact == copy.artifact) & (table.c.store == copy.place.store) & (table.c.has == Has.PRESENT)
    transaction.execute(table.update().where(here).values(checked=now(), fingerprint=fingerprint))


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
