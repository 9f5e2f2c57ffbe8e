"""The resources of TAP 1.1 below ``/tap``."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, request

from archive import dali, visits, vosi
from archive.book import Book
from archive.dali import Parameters
from archive.examples import examples
from archive.faults import Fault, NotFound, UsageFault
from archive.query import Question
from archive.results import Envelope, descriptors
from archive.results.formats import Format
from archive.serving import Serving
from archive.tap import capabilities, document, rest
from archive.tap.request import TapRequest, wanted
from archive.tap.uploads import Allowance, sent, taken
from archive.visits import Asked, Visit

_XHTML = "application/xhtml+xml"
_TABLES_WORTH_A_SHORT_FORM = 1000  # above this, /tables without detail leaves the columns out


class TapFace:
    """The views; ``base_url`` gives the public URL of the service for the request at hand, ``insider`` whether it
    comes from somebody who may see what the public may not.
    """

    def __init__(
        self, serving: Serving, book: Book, base_url: Callable[[], str], insider: Callable[[], bool] = lambda: False
    ) -> None:
        self._serving = serving
        self._book = book
        self._base_url = base_url
        self._insider = insider

    def blueprint(self) -> Blueprint:
        """All resources, relative to the base URL of TAP."""
        face = Blueprint("tap", __name__)
        face.add_url_rule("", "home", self.home)
        face.add_url_rule("/sync", "sync", self.sync, methods=["GET", "POST"])
        face.add_url_rule("/capabilities", "capabilities", self.capabilities)
        face.add_url_rule("/availability", "availability", self.availability)
        face.add_url_rule("/tables", "tables", self.tables)
        face.add_url_rule("/tables/<path:name>", "table", self.table)
        face.add_url_rule("/examples", "examples", self.examples)
        face.register_error_handler(Exception, _plain)
        return face

    @property
    def _base(self) -> str:
        return f"{self._base_url()}/tap"

    def sync(self) -> Response:
        """Answer a query at once (TAP 1.1 section 2.1)."""
        form: Format | None = None
        visit = visits.current()
        try:
            with visit.idle():  # until the client has sent it all
                parameters = Parameters.of(request)
            form = wanted(parameters)
            return self._answer(TapRequest.read(parameters), parameters, visit)
        except Exception as error:  # the door: whatever happened, the client gets a DALI error document
            fault = dali.as_fault(error)
            if visit.asked is not None:
                visit.asked.fault = fault
            return dali.error_response(fault, form)

    def _answer(self, asked: TapRequest, parameters: Parameters, visit: Visit) -> Response:
        config = self._serving.config
        note = Asked("sync", asked.language, asked.query)
        self._book.query_began(visit, note)
        question = Question(
            query=asked.query,
            language=asked.language,
            maxrec=asked.maxrec,
            seconds=config.sync_seconds,
            default_maxrec=config.default_maxrec,
            hard_maxrec=config.hard_maxrec,
            uploads=taken(asked.uploads, sent(request, asked.uploads), Allowance.of(config)),
            asker=visit.address,
            stop=visit.stop,
            begin=asked.begin,
            at=asked.at,
            insider=self._insider,
        )
        note.result = result = self._serving.answer(question)
        base = self._base
        result.rest, result.onward = rest.in_words(config, base), rest.next_piece(parameters, base)
        links = descriptors.linked(result.columns, f"{self._base_url()}/datalink/links")
        response = dali.answered(result, asked.format, request, Envelope(resources=links))
        if dali.OVERFLOW in response.headers:
            response.headers["Link"] = rest.links(result, base)
        return response

    def capabilities(self) -> Response:
        """What this service can do (VOSI 1.1 section 2, TAPRegExt 1.0)."""
        own = [*vosi.own_capabilities(self._base), *capabilities.records(self._base, self._serving.config)]
        return Response(vosi.capabilities([*own, *vosi.other_services(self._base_url())]), content_type=dali.XML)

    def availability(self) -> Response:
        """Whether this service works; asks ledger and engine (VOSI 1.1 section 5)."""
        notes = self._serving.ailments()
        return Response(vosi.availability(not notes, self._serving.since, notes), content_type=dali.XML)

    def tables(self) -> Response:
        """All tables (VOSI 1.1 section 4); ``detail`` is ``min`` or ``max``."""
        catalog = self._serving.catalog()
        detail = Parameters.of(request).one("DETAIL")
        if detail not in (None, "min", "max"):
            raise UsageFault(f"detail={detail!r} is not offered.", "Say detail=min or detail=max.")
        small = sum(1 for _ in catalog.tables()) <= _TABLES_WORTH_A_SHORT_FORM
        columns = detail == "max" or (detail is None and small)
        return Response(vosi.tableset(catalog, columns=columns), content_type=dali.XML)

    def table(self, name: str) -> Response:
        """One table by the name it has in ``/tables`` (VOSI 1.1 section 4.2)."""
        catalog = self._serving.catalog()
        table = vosi.find_table(catalog, name)
        if table is None:
            raise NotFound(f"There is no table {name}.", f"{self._base}/tables?detail=min lists all tables.")
        return Response(vosi.table(catalog, table), content_type=dali.XML)

    def examples(self) -> Response:
        """Queries to start from (DALI 1.1 section 2.3, TAP 1.1 section 2.5)."""
        page = document.examples(examples(self._serving.catalog()))
        return Response(page, content_type=_XHTML)

    def home(self) -> Response:
        """For people who follow the base URL."""
        return Response(document.home(self._base, self._base_url()), content_type=_XHTML)


def _plain(error: Exception) -> Response:
    fault: Fault = dali.as_fault(error)
    return dali.plain_error(fault)
