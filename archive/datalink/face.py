"""``/datalink``: what belongs to files (DataLink 1.1), with its capabilities and availability beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from flask import Blueprint, Response, request
from lxml import etree

from archive import dali, vosi
from archive.bearers import Bearers
from archive.columns import Datatype
from archive.dali import Parameters
from archive.datalink.links import COLUMNS, Links, batch, within
from archive.ledger import Ledger, contents, linked
from archive.ledger.site import uri_of
from archive.products import ProductTypes
from archive.results import Envelope, Result
from archive.results.descriptors import DATALINK, DATALINK_TYPE, Input, Service, descriptor
from archive.results.formats import VOTABLE_TYPE, Format, find

_MOST = 1000  # IDs that are answered at once; of more the first are


class LinksFace:
    """The views; ``base_url`` gives the public URL of the archive for the request at hand."""

    def __init__(
        self, ledger: Ledger, bearers: Bearers, types: Callable[[], ProductTypes], base_url: Callable[[], str]
    ) -> None:
        self._ledger = ledger
        self._bearers = bearers
        self._types = types
        self._base_url = base_url
        self._since = datetime.now(UTC)

    def blueprint(self) -> Blueprint:
        """All resources, relative to the base URL of DataLink."""
        face = Blueprint("datalink", __name__)
        face.add_url_rule("/links", "links", self.links, methods=["GET", "POST"])
        face.add_url_rule("/capabilities", "capabilities", self.capabilities)
        face.add_url_rule("/availability", "availability", self.availability)
        return face

    def links(self) -> Response:
        """What belongs to each ID; a file that cannot be had is a row that says so (DataLink 1.1 section 3)."""
        form: Format | None = None
        try:
            parameters = Parameters.of(request)
            form = _form(parameters)
            return dali.answered(self._answer(parameters), form, request, self._envelope())
        except Exception as error:  # the door: whatever happened, the client gets a DALI error document
            return dali.error_response(dali.as_fault(error), form)

    def _answer(self, parameters: Parameters) -> Result:
        asked = list(dict.fromkeys(parameters.every("ID")))
        most = dali.maxrec(parameters)
        uris = {identifier: uri_of(identifier.strip()) for identifier in asked[:_MOST]}
        with self._ledger.read() as transaction:
            found = linked.linked(transaction, [uri for uri in uris.values() if uri is not None])
            withdrawn = contents.withdrawn(transaction)
        links = Links(self._base_url(), self._bearers.actor(), self._types(), withdrawn)
        answers = (links.of(identifier, found.get(uri or "")) for identifier, uri in uris.items())
        rows, cut = within(list(answers), most)
        result = Result(COLUMNS, iter((batch(rows),)), at_hand=True)
        result.overflowed = cut or most == 0 or len(asked) > _MOST
        result.rest = "Ask for the other IDs in a request of their own."
        return result

    def _envelope(self) -> Envelope:
        return Envelope((("standardID", DATALINK, ""),), (_this(f"{self._base}/links"),))

    def capabilities(self) -> Response:
        """What this service can do (VOSI 1.1 section 2)."""
        base = self._base
        records = [
            vosi.capability("ivo://ivoa.net/std/VOSI#capabilities", f"{base}/capabilities"),
            vosi.capability("ivo://ivoa.net/std/VOSI#availability", f"{base}/availability"),
            vosi.E.capability(vosi.interface(f"{base}/links", "base", "1.1"), standardID=DATALINK),
        ]
        return Response(vosi.capabilities(records), content_type=dali.XML)

    def availability(self) -> Response:
        """Whether this service works; asks the ledger (VOSI 1.1 section 5)."""
        try:
            with self._ledger.read() as transaction:
                linked.linked(transaction, [""])
            notes: tuple[str, ...] = ()
        except Exception as error:  # whatever it is, the service does not work
            notes = (str(dali.as_fault(error)),)
        return Response(vosi.availability(not notes, self._since, notes), content_type=dali.XML)

    @property
    def _base(self) -> str:
        return f"{self._base_url()}/datalink"


def _form(parameters: Parameters) -> Format:
    """The format of the answer: TABLEDATA with the media type of DataLink unless told otherwise."""
    asked = dali.wanted(parameters, "RESPONSEFORMAT")
    if asked.mime != VOTABLE_TYPE:
        return asked
    plain = find("votable/td")
    given = asked.content_type if asked.content_type.startswith("text/xml") else DATALINK_TYPE
    return replace(plain, content_type=given)


def _this(url: str) -> etree._Element:
    """The service described by itself (DataLink 1.1 section 4)."""
    return descriptor(
        Service(
            url,
            (
                Input("ID", ucd="meta.id;meta.main", description="Identifier of a file; may be given many times"),
                Input("MAXREC", Datatype.INT, None, description="Rows at most; no ID is answered in part", value=""),
                Input("RESPONSEFORMAT", description="Format of the answer", options=(VOTABLE_TYPE, "csv", "json")),
            ),
            standard_id=DATALINK,
            description="Files and services that belong to files.",
            this=True,
        )
    )
