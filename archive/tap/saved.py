"""Saved queries below ``/tap/saved``: each has a page to be cited by, and can be asked again there.

``POST /tap/saved`` with TOKEN (and AUTHOR, TITLE) saves what was answered with that token; ``/tap/saved/<id>`` is its
page, ``/tap/saved/<id>/rerun`` compares the recorded answer with those of today. With ``Accept: application/json`` or
FORMAT=json they answer JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from urllib.parse import urlencode

from flask import Blueprint, Response, request
from lxml import etree

from archive import dali, visits
from archive.dali import Parameters
from archive.faults import Fault, NotFound, UsageFault
from archive.ledger import Ledger, saved
from archive.ledger.querylog import QueryLog
from archive.ledger.saved import Saved
from archive.query import Question
from archive.reruns import Compared, Verdict, keep, recall, rerun
from archive.results import Result
from archive.serving import Serving
from archive.tap.document import H, page

_LONGEST = 200  # characters of an author or a title
_XHTML = "application/xhtml+xml"
_JSON = "application/json"


class SavedFace:
    """The views; ``base_url`` gives the public URL of the service for the request at hand."""

    def __init__(self, serving: Serving, ledger: Ledger, log: QueryLog, base_url: Callable[[], str]) -> None:
        self._serving = serving
        self._ledger = ledger
        self._log = log
        self._base_url = base_url

    def blueprint(self) -> Blueprint:
        """The resources, relative to ``/tap/saved``."""
        face = Blueprint("saved", __name__)
        face.add_url_rule("", "save", self.save, methods=["POST"])
        face.add_url_rule("/<identity>", "landing", self.landing)
        face.add_url_rule("/<identity>/rerun", "rerun", self.rerun)
        face.register_error_handler(Exception, _plain)
        return face

    def save(self) -> Response:
        """Save what was answered with TOKEN, and lead to its page; once more changes nothing."""
        with visits.current().idle():
            parameters = Parameters.of(request)
        token = parameters.one("TOKEN")
        if not token:
            raise UsageFault("TOKEN is missing.", "Take it from the head of an answer.")
        author, title = (_short(parameters, name) for name in ("AUTHOR", "TITLE"))
        kept = keep(self._ledger, recall(self._ledger, self._log, token), author=author, title=title)
        return Response(status=303, headers={"Location": self._address(kept)})

    def landing(self, identity: str) -> Response:
        """The page of a saved query."""
        kept = self._find(identity)
        if _wants_json():
            return _json({**asdict(kept), "address": self._address(kept), "cite": self._citation(kept)})
        return Response(self._page(kept), content_type=_XHTML)

    def rerun(self, identity: str) -> Response:
        """Whether the answer is the same: as things were when it was recorded, and as they are."""
        kept = self._find(identity)
        found = rerun(kept.answered, self._ask, seconds=self._serving.config.sync_seconds)
        if _wants_json():
            return _json({"id": kept.id, "then": asdict(found.then), "now": asdict(found.now)})
        told = [*_verdict("As things were, by its token", found.then), *_verdict("As they are now", found.now)]
        back = H.p(H.a("Back to the saved query", href=self._address(kept)))
        title = kept.title or "A saved query"
        return Response(page(f"{title}, asked again", H.pre(kept.answered.text), *told, back), content_type=_XHTML)

    def _ask(self, question: Question) -> Result:
        visit = visits.current()
        return self._serving.answer(replace(question, asker=visit.address, stop=visit.stop))

    def _find(self, identity: str) -> Saved:
        with self._ledger.read() as transaction:
            found = saved.find(transaction, identity)
        if found is None:
            raise NotFound(f"No query is saved as {identity}.")
        return found

    def _address(self, kept: Saved) -> str:
        return f"{self._base_url()}/tap/saved/{kept.id}"

    def _citation(self, kept: Saved) -> str:
        who = f"{kept.author}, " if kept.author else ""
        what = kept.title or "A query"
        answered = kept.answered
        return (
            f"{who}{what}, {self._serving.site.publisher}, {answered.asked[:10]}, {answered.rows} rows, "
            f"digest {answered.digest}, {self._address(kept)}"
        )

    def _page(self, kept: Saved) -> bytes:
        answered = kept.answered
        asking = [("LANG", answered.language), ("QUERY", answered.text), ("TOKEN", answered.token)]
        again = f"{self._base_url()}/tap/sync?{urlencode(asking)}"
        entries = [
            *_entry("Saved by", kept.author or "somebody who gave no name"),
            *_entry("Saved", _moment(kept.saved)),
            *_entry("Answered", _moment(answered.asked)),
            *_entry("Rows", f"{answered.rows}{'' if answered.cut is None else ', cut off there'}"),
        ]
        for name, number, version in kept.schemas:
            entries += _entry("Read", f"{name} at schema version {number}, description {version or 'unknown'}")
        entries += [*_entry("Digest of the rows", H.code(answered.digest)), *_entry("Token", H.code(answered.token))]
        links = H.ul(
            H.li(H.a("The answer, made anew from what it was made of", href=again)),
            H.li(H.a("Is it still the same?", href=f"{self._address(kept)}/rerun")),
        )
        cite = (H.h2("To cite it"), H.blockquote(self._citation(kept)))
        facts = H.dl({"class": "facts"}, *entries)
        return page(kept.title or "A saved query", H.pre(answered.text), facts, links, *cite)


def _entry(name: str, value: str | etree._Element) -> tuple[etree._Element, etree._Element]:
    return H.dt(name), H.dd(value)


def _moment(instant: str) -> str:
    """An instant to the second, for people."""
    return f"{instant[:19].replace('T', ' ')} UTC"


def _verdict(when: str, compared: Compared) -> tuple[etree._Element, etree._Element]:
    verdict = str(compared.verdict)
    return H.h2(when), H.p(H.span({"class": f"verdict {verdict}"}, verdict), _told(compared))


def _told(compared: Compared) -> str:
    detail = f" ({compared.detail})" if compared.detail else ""
    match compared.verdict:
        case Verdict.IDENTICAL:
            return f"The same {compared.rows} rows."
        case Verdict.SUPERSET:
            return f"Those rows and {compared.added} new ones: {compared.rows} in all."
        case Verdict.DIFFERS if compared.added is not None:
            return f"{compared.rows} rows, {compared.added} of them new; {compared.gone} are gone.{detail}"
        case Verdict.DIFFERS:
            return f"{compared.rows} rows{detail}."
        case Verdict.FAILS:
            return compared.detail


def _short(parameters: Parameters, name: str) -> str:
    text = (parameters.one(name) or "").strip()
    if len(text) > _LONGEST or not text.isprintable():
        raise UsageFault(f"{name} may have {_LONGEST} characters that can be printed.", "Say it more briefly.")
    return text


def _wants_json() -> bool:
    asked = (request.args.get("FORMAT") or request.args.get("format") or "").lower()
    best = request.accept_mimetypes.best_match(["text/html", _XHTML, _JSON])
    return asked == "json" or (not asked and best == _JSON)


def _json(facts: Mapping[str, object]) -> Response:
    return Response(json.dumps(facts, ensure_ascii=False), content_type=_JSON)


def _plain(error: Exception) -> Response:
    fault: Fault = dali.as_fault(error)
    return dali.plain_error(fault, dali.http_headers(error))
