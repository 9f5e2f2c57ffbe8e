"""Who runs this endpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, select

from archive.faults import NotFound
from archive.ledger import schema


@dataclass(frozen=True, slots=True)
class Site:
    """``authority`` is the naming authority in all URIs made here, such as ``archive.example.org``."""

    authority: str
    publisher: str
    contact: str
    public_url: str | None = None

    def uri(self, path: str) -> str:
        """The name for ever of a file that is registered first at this endpoint, under ``path`` (percent-encoded)."""
        return f"archive://{self.authority}/{path}"


def find_site(transaction: Connection) -> Site | None:
    """Who runs this endpoint, if anybody has said."""
    row = transaction.execute(select(schema.site)).one_or_none()
    return None if row is None else Site(row.authority, row.publisher, row.contact, row.public_url)


def read_site(transaction: Connection) -> Site:
    """Who runs this endpoint.

    Raises:
        NotFound: nobody has said yet.
    """
    site = find_site(transaction)
    if site is None:
        raise NotFound("This archive does not know whose it is.", "Say so with 'archive init'.")
    return site


def write_site(transaction: Connection, site: Site) -> None:
    """Say who runs this endpoint."""
    transaction.execute(schema.site.delete())
    transaction.execute(schema.site.insert().values(one=1, **asdict(site)))
