"""The parameters of a TAP query as one typed value (TAP 1.1 section 2.7)."""

from __future__ import annotations

from dataclasses import dataclass

from archive import dali
from archive.adql.words import language_named
from archive.dali import Parameters
from archive.faults import UsageFault
from archive.onward import Place, place
from archive.repeats import Token
from archive.results.formats import Format
from archive.tap.uploads import Source, sources


@dataclass(frozen=True, slots=True)
class TapRequest:
    """What a client wants to know, and in which form.

    ``maxrec`` None means that the service's default limit holds. ``uploads`` are announced, not read.
    ``begin`` (CONTINUE, our own) is the place after which an answer goes on that was cut, ``at`` (TOKEN, our own) what
    an answer was made from that is to be had again.
    """

    query: str
    language: str
    maxrec: int | None
    runid: str | None
    format: Format
    uploads: tuple[Source, ...] = ()
    begin: Place | None = None
    at: Token | None = None

    @classmethod
    def read(cls, parameters: Parameters) -> TapRequest:
        """The typed form of ``parameters``; unknown ones are ignored, VERSION too.

        Raises:
            UsageFault: a parameter is missing, repeated or has a value it cannot have.
        """
        asked = wanted(parameters)
        _check_request(parameters)
        return cls(
            _query(parameters),
            _language(parameters),
            dali.maxrec(parameters),
            dali.runid(parameters),
            asked,
            sources(parameters.every("UPLOAD")),
            _begin(parameters),
            _at(parameters),
        )


def wanted(parameters: Parameters) -> Format:
    """The format of the answer; RESPONSEFORMAT and FORMAT are synonyms, the first wins (TAP 1.1 section 2.7.3)."""
    return dali.wanted(parameters, "RESPONSEFORMAT", "FORMAT")


def _check_request(parameters: Parameters) -> None:
    """REQUEST is a relic of TAP 1.0, sent by all clients."""
    request = parameters.one("REQUEST")
    if request is not None and request.lower() != "doquery":
        raise UsageFault(f"REQUEST={request!r} is not offered.", "Leave it out, or say REQUEST=doQuery.")


def _query(parameters: Parameters) -> str:
    query = parameters.one("QUERY")
    if query is None or not query.strip():
        raise UsageFault("QUERY is missing." if query is None else "QUERY is empty.", "Give the text of an ADQL query.")
    return query


def _begin(parameters: Parameters) -> Place | None:
    text = parameters.one("CONTINUE")
    return place(text) if text else None


def _at(parameters: Parameters) -> Token | None:
    text = parameters.one("TOKEN")
    return Token.read(text) if text else None


def _language(parameters: Parameters) -> str:
    return language_named(parameters.one("LANG") or "ADQL")
