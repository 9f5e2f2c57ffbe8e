"""The resources of SIA 2.0 below ``/sia2``."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, request
from lxml import etree

from archive import dali, images, visits, vosi
from archive.book import Book
from archive.dali import Parameters
from archive.query import Question
from archive.results import Envelope, descriptors
from archive.results.descriptors import Service, descriptor
from archive.results.formats import Format
from archive.serving import Serving
from archive.sia import request as parameters_of
from archive.sia.request import SiaRequest
from archive.visits import Asked, Visit


class SiaFace:
    """The views; ``base_url`` gives the public URL of the archive for the request at hand."""

    def __init__(self, serving: Serving, book: Book, base_url: Callable[[], str]) -> None:
        self._serving = serving
        self._book = book
        self._base_url = base_url

    def blueprint(self) -> Blueprint:
        """All resources, relative to the base URL of SIA."""
        face = Blueprint("sia", __name__)
        face.add_url_rule("/query", "query", self.query, methods=["GET", "POST"])
        face.add_url_rule("/capabilities", "capabilities", self.capabilities)
        face.add_url_rule("/availability", "availability", self.availability)
        face.register_error_handler(
            Exception, lambda error: dali.plain_error(dali.as_fault(error), dali.http_headers(error))
        )
        return face

    @property
    def _base(self) -> str:
        return f"{self._base_url()}/sia2"

    def query(self) -> Response:
        """Images and cubes that satisfy all parameters (SIA 2.0 section 2)."""
        form: Format | None = None
        visit = visits.current()
        try:
            with visit.idle():  # until the client has sent it all
                parameters = Parameters.of(request)
            form = parameters_of.wanted(parameters)
            return self._answer(SiaRequest.read(parameters), visit)
        except Exception as error:  # the door: whatever happened, the client gets a DALI error document
            fault = dali.as_fault(error)
            if visit.asked is not None:
                visit.asked.fault = fault
            return dali.error_response(fault, form)

    def _answer(self, asked: SiaRequest, visit: Visit) -> Response:
        config = self._serving.config
        note = Asked("sia2", "SIA-2.0", asked.text)
        self._book.query_began(visit, note)
        question = Question(
            query=images.query(asked.search),
            maxrec=asked.maxrec,
            seconds=config.sync_seconds,
            default_maxrec=config.default_maxrec,
            hard_maxrec=config.hard_maxrec,
            asker=visit.address,
            stop=visit.stop,
        )
        note.result = result = self._serving.answer(question)
        result.rest = "Ask for less with further parameters, or for more with MAXREC."
        links = descriptors.linked(result.columns, f"{self._base_url()}/datalink/links")
        infos = (("standardID", vosi.SIA, ""),)
        return dali.answered(result, asked.format, request, Envelope(infos, (*links, self._itself())))

    def _itself(self) -> etree._Element:
        """The service described by itself (SIA 2.0 section 2.3, DataLink 1.1 section 4)."""
        config = self._serving.config
        return descriptor(
            Service(
                f"{self._base}/query",
                parameters_of.inputs(config.default_maxrec, config.hard_maxrec),
                name="this",
                description="Images and cubes. All parameters may be repeated but MAXREC and RESPONSEFORMAT: values of "
                "one are alternatives, parameters add up.",
                standard_id=vosi.SIA,
                this=True,
            )
        )

    def capabilities(self) -> Response:
        """What this service can do (VOSI 1.1 section 2)."""
        base = self._base
        records = [
            vosi.capability("ivo://ivoa.net/std/VOSI#capabilities", f"{base}/capabilities"),
            vosi.capability("ivo://ivoa.net/std/VOSI#availability", f"{base}/availability"),
            vosi.capability(vosi.SIA, f"{base}/query", "2.0"),
        ]
        return Response(vosi.capabilities(records), content_type=dali.XML)

    def availability(self) -> Response:
        """Whether this service works; asks ledger and engine (VOSI 1.1 section 5)."""
        notes = self._serving.ailments()
        return Response(vosi.availability(not notes, self._serving.since, notes), content_type=dali.XML)
