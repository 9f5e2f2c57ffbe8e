"""What all protocol faces share (DALI 1.1): parameters, limits, media types, error documents, streamed bodies.

Text from a request becomes typed values here and nowhere below; a ``Fault`` becomes an HTTP answer here and
nowhere above.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
from flask import Request, Response, has_request_context, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from archive.faults import FatalFault, Fault, NotAuthenticated, NotAuthorized, NotFound, TransientFault, UsageFault
from archive.results import Envelope, Result, encode, error_document, formats
from archive.results.formats import Format

XML = "text/xml"  # VOSI 1.1 section 5: text/xml for capabilities, availability and tables

CHALLENGE = 'Bearer realm="archive"'
"""What a client is asked for that has to say who it is (RFC 6750 section 3)."""

OVERFLOW = "X-Archive-Overflow"  # on answers that are known to be cut when they begin: "rows=" and how many are sent

REPEAT = "X-Archive-Token"  # on answers that can be had again: what they were made from

_SHORT = 2000  # rows; an answer that has no more is sent whole
_MOMENT = 0.3  # seconds; an answer that is not known to be short by then is sent as it comes
_WORTH_PACKING = 1400  # bytes: what fits into one packet is not compressed
_PLAIN = Envelope()
_log = logging.getLogger(__name__)


# --- parameters (DALI 1.1 section 2.4, 3) -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one request: names folded to upper case, values in order, exactly as sent."""

    values: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, request: Request) -> Parameters:
        """Those of the URL and those of the body (form or multipart), merged (TAP 1.1 section 2.7)."""
        pairs = itertools.chain(request.args.items(multi=True), request.form.items(multi=True))
        return cls.of_pairs(pairs)

    @classmethod
    def of_pairs(cls, pairs: Iterable[tuple[str, str]]) -> Parameters:
        """Parameters from (name, value) pairs, whatever the case of the names."""
        values: dict[str, tuple[str, ...]] = {}
        for name, value in pairs:
            key = name.upper()
            values[key] = (*values.get(key, ()), value)
        return cls(values)

    def one(self, name: str) -> str | None:
        """The value of a parameter that may be given once; None if it is absent.

        Raises:
            UsageFault: it is given more than once.
        """
        found = self.values.get(name, ())
        if len(found) > 1:
            raise UsageFault(f"{name} is given {len(found)} times.", "Give it once.")
        return found[0] if found else None

    def every(self, name: str) -> tuple[str, ...]:
        """All values of a parameter that may be repeated, in order."""
        return self.values.get(name, ())


def maxrec(parameters: Parameters) -> int | None:
    """MAXREC: a number not below 0, or None if absent (DALI 1.1 section 3.4.4)."""
    text = (parameters.one("MAXREC") or "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise UsageFault(
            f"MAXREC={_shown(text)} is not a whole number from 0 upwards.", "MAXREC=0 asks for the columns alone."
        )
    return int(text) if len(text) < 19 else 10**18


def runid(parameters: Parameters) -> str | None:
    """RUNID: a name of at most 64 characters that the client gives its request (TAP 1.1 section 2.7.6)."""
    text = parameters.one("RUNID")
    if text is not None and len(text) > 64:
        raise UsageFault(f"RUNID has {len(text)} characters.", "It may have 64.")
    return text or None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "\N{HORIZONTAL ELLIPSIS}")


# --- formats (DALI 1.1 section 3.4.3) ---------------------------------------------------------------


def wanted(parameters: Parameters, *names: str) -> Format:
    """The format asked for by the first of ``names`` that is present; the service's default if none is.

    Raises:
        UsageFault: no such format; the message lists those there are.
    """
    return formats.find(next((value for name in names if (value := parameters.one(name))), None))


# --- faults -----------------------------------------------------------------------------------------


def as_fault(error: Exception) -> Fault:
    """``error`` as a fault that may be shown to users.

    What is no fault of ours nor of HTTP is logged with a number, and only the number is told.
    """
    match error:
        case Fault():
            return error
        case HTTPException(code=404):
            return NotFound("There is nothing at this address.")
        case RequestEntityTooLarge():
            return _too_large()
        case HTTPException(code=int(code), description=description) if code < 500:
            return UsageFault(description or error.name, http=code)
    incident = secrets.token_hex(4)
    _log.error("incident %s", incident, exc_info=error)
    return FatalFault(
        f"The service failed (incident {incident}).", "If it happens again, tell its operators this number."
    )


def _too_large() -> UsageFault:
    told = ""
    if has_request_context() and request.max_content_length is not None:
        told = f" It may have {request.max_content_length:,} bytes, {request.max_form_memory_size or 0:,} beside files."
    return UsageFault(f"The request is too large.{told}", "Send smaller tables, as files.", http=413)


def fault_headers(fault: Fault) -> dict[str, str]:
    """What a client needs beside the message: when to come again, or what it has to show (RFC 6750 section 3)."""
    match fault:
        case TransientFault(after=seconds):
            return {"Retry-After": str(seconds)}
        case NotAuthenticated(presented=presented):
            return {"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"' if presented else CHALLENGE}
        case NotAuthorized():
            return {"WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope"'}
    return {}


def http_headers(error: Exception) -> dict[str, str]:
    """What HTTP itself wants told with ``error``: which methods there are, where one is not."""
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        return {"Allow": ", ".join(sorted(error.valid_methods))}
    return {}


def error_response(fault: Fault, format_: Format | None = None) -> Response:
    """The error document of DALI 1.1 section 4.4 in ``format_`` (default: VOTable), with the fault's status."""
    format_ = format_ or formats.find(None)
    document = error_document(fault, format_)
    return Response(document, fault.status, fault_headers(fault), content_type=format_.error_type)


def plain_error(fault: Fault, headers: Mapping[str, str] | None = None) -> Response:
    """The fault as text, where a client expects no VOTable (DALI 1.1 section 4.2)."""
    text = f"{fault.dali}: {fault}\n"
    told = fault_headers(fault) | dict(headers or {})
    return Response(text, fault.status, told, content_type="text/plain; charset=utf-8")


# --- bodies -----------------------------------------------------------------------------------------


def answered(result: Result, format_: Format, request: Request, envelope: Envelope = _PLAIN) -> Response:
    """``result`` in ``format_``, compressed if the client asked for that and it is worth it.

    What fails before the first rows fails here, before a status has been sent. A short answer is sent whole, with
    its length; a long one as it comes, and what is only known at its end is told there. The result is closed when
    all is sent, when the client has gone, and after a HEAD.

    ``X-Archive-Overflow: rows=N`` tells that there are more rows than the N sent, where that is known beforehand;
    ``X-Archive-Token`` with what the answer can be had again.
    """
    rows, ended = _primed(result)
    cut_at = rows if result.overflowed else None if ended else result.foresight.cut_at()
    headers = {"Vary": "Accept-Encoding", "Content-Disposition": f'inline; filename="answer.{format_.extension}"'}
    if cut_at is not None:
        headers[OVERFLOW] = f"rows={cut_at}"
    if result.token is not None:
        headers[REPEAT] = result.token
    encoded = encode(result, format_, envelope)
    body: bytes | Iterator[bytes] = b"".join(encoded) if ended and rows <= _SHORT else encoded
    if request.accept_encodings.quality("gzip") > 0 and request.method != "HEAD":
        if not isinstance(body, bytes):
            body = gzipped(body)
            headers["Content-Encoding"] = "gzip"
        elif len(body) > _WORTH_PACKING:
            body = b"".join(gzipped(iter((body,))))
            headers["Content-Encoding"] = "gzip"
    response = Response(body, headers=headers, content_type=format_.content_type)
    response.call_on_close(result.close)
    return response


def _primed(result: Result) -> tuple[int, bool]:
    """Draw the first batch of ``result``, so that what fails at once fails now; if it is short, look whether more come.

    A join may give its few rows in many batches: they are awaited for a moment, which costs less than to ask
    beforehand how many there will be. Returns the rows drawn and whether they are all.
    """
    drawn: list[pa.RecordBatch] = []
    rows, ended, until = 0, False, time.monotonic() + _MOMENT
    try:
        while not ended and rows <= _SHORT and (len(drawn) < 2 or time.monotonic() < until):
            batch = next(result.batches, None)
            ended = batch is None
            if batch is not None:
                drawn.append(batch)
                rows += batch.num_rows
    except BaseException:
        result.close()
        raise
    result.batches = itertools.chain(drawn, result.batches)
    return rows, ended or result.overflowed


def gzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """``chunks`` as one gzip member; the first is flushed at once, so that a client sees the head early."""
    packer = zlib.compressobj(level=1, wbits=31)
    for number, chunk in enumerate(chunks):
        packed = packer.compress(chunk)
        if number == 0:
            packed += packer.flush(zlib.Z_SYNC_FLUSH)
        if packed:
            yield packed
    yield packer.flush()
