"""Who runs this endpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from urllib.parse import quote, unquote

from sqlalchemy import Connection, select

from archive.faults import NotFound
from archive.ledger import schema

_SCHEME, _RESOURCE = "archive://", "/files"


def publisher_did(uri: str) -> str:
    """The VO's identifier of a file: ``archive://<authority>/<path>`` is ``ivo://<authority>/files?<path>``.

    The resource ``ivo://<authority>/files`` is the authority's collection of files, the rest is its local part
    (IVOA Identifiers 2.0 section 2.3).
    """
    authority, _, path = uri.removeprefix(_SCHEME).partition("/")
    return f"ivo://{authority}{_RESOURCE}?{path}"


def uri_of(identifier: str) -> str | None:
    """The name of the file that ``publisher_did`` or itself identifies; None if it is of neither form.

    Authority and resource of an IVOID are compared without case, its local part exactly (section 2.5.1), but for signs
    that somebody wrote or decoded which names have percent-encoded.
    """
    if identifier.lower().startswith(_SCHEME):
        authority, _, path = identifier[len(_SCHEME) :].partition("/")
    else:
        resource, _, path = identifier.partition("?")
        authority, slash, rest = resource.lower().removeprefix("ivo://").partition("/")
        if not resource.lower().startswith("ivo://") or f"{slash}{rest}" != _RESOURCE:
            return None
    return f"{_SCHEME}{authority.lower()}/{quote(unquote(path))}" if path else None


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
