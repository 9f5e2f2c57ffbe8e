"""``/files/...``: registered files as they were delivered (RFC 9110: ranges, conditions; RFC 9530: digests).

A file's URL ends with the path of its URI: ``archive://<authority>/<path>`` is at ``/files/<path>``. Its bytes never
change, so its sha256 is its strong ETag. Files are sent in constant memory, by the system itself where it can.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import format_datetime
from typing import IO, cast
from urllib.parse import quote, unquote

from flask import Blueprint, Response, request
from werkzeug.wsgi import wrap_file

from archive import dali
from archive.backbone.copies import Copies, Reading
from archive.datalink.given import Given, is_proprietary
from archive.faults import UsageFault
from archive.ledger.holdings import Holding

_BLOCK = 1 << 20  # bytes given at once to a server that does not let the system send files
_RANGES = re.compile(r"bytes\s*=\s*(.*)", re.IGNORECASE)
_RANGE = re.compile(r"(\d{1,18})-(\d{1,18})?|-(\d{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes ``first`` to ``last`` of ``size``, both included."""

    first: int
    last: int
    size: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1

    @property
    def header(self) -> str:
        """Content-Range of it."""
        return f"bytes {self.first}-{self.last}/{self.size}"


class FilesFace:
    """Gives away the files of an endpoint to those who may have them."""

    def __init__(self, given: Given, copies: Copies) -> None:
        self._given = given
        self._copies = copies

    def blueprint(self) -> Blueprint:
        blueprint = Blueprint("files", __name__)
        blueprint.add_url_rule("/<path:path>", view_func=self._answer, methods=["GET"])  # and HEAD
        return blueprint

    def _answer(self, path: str) -> Response:
        held = self._given.find(path)
        told = _about(held)
        condition = _condition(held, told)
        if condition is not None:
            return Response(status=condition, headers=told)
        try:
            part = _wanted(held, told)
        except UsageFault as fault:
            return dali.plain_error(fault, {**told, "Content-Range": f"bytes */{held.size}"})
        span = part or Span(0, held.size - 1, held.size)
        headers = {**told, "Content-Length": str(span.length)}
        if part is not None:
            headers["Content-Range"] = part.header
        reading = self._copies.read(held, span.first, span.last)
        if request.method == "HEAD":
            reading.close()
            return Response(headers=headers, content_type=held.media_type)
        return _sent(reading, Response(status=206 if part else 200, headers=headers, content_type=held.media_type))


def _about(held: Holding) -> dict[str, str]:
    """The headers that every answer about a file has."""
    digest = held.sha256_base64
    told = {
        "ETag": f'"{held.sha256}"',
        "Last-Modified": format_datetime(held.registered.replace(microsecond=0), usegmt=True),
        "Accept-Ranges": "bytes",
        "Repr-Digest": f"sha-256=:{digest}:",
        "Content-Disposition": _disposition(unquote(held.uri.rpartition("/")[2])),
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",  # a file may be retracted: caches ask whether it still is what they have
    }
    if "sha-256" in request.headers.get("Want-Digest", "").lower():  # RFC 3230, which some grid tools still speak
        told["Digest"] = f"SHA-256={digest}"
    if is_proprietary(held):
        told |= {"Cache-Control": "private, no-cache", "Vary": "Authorization"}
    return told


def _disposition(name: str) -> str:
    """Under which name to save it (RFC 6266): for old clients in ASCII, for others exactly."""
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", name)
    exact = f"; filename*=UTF-8''{quote(name, safe='')}" if plain != name else ""
    return f'attachment; filename="{plain}"{exact}'


# --- conditions (RFC 9110 section 13) -----------------------------------------------------------------


def _condition(held: Holding, told: Mapping[str, str]) -> int | None:
    """The status of an answer without the file, where the request's conditions ask for one; in the order of 13.2.2."""
    since = held.registered.replace(microsecond=0)
    if "If-Match" in request.headers:
        if not request.if_match.contains(held.sha256):
            return 412
    elif request.if_unmodified_since is not None and since > request.if_unmodified_since:
        return 412
    if "If-None-Match" in request.headers:
        if request.if_none_match.contains_weak(held.sha256):
            return 304
    elif request.if_modified_since is not None and since <= request.if_modified_since:
        return 304
    return None


def _range_holds(told: Mapping[str, str]) -> bool:
    """Whether If-Range lets the range be sent: strongly compared, a date exactly (13.1.5)."""
    validator = request.headers.get("If-Range")
    return validator is None or validator.strip() in (told["ETag"], told["Last-Modified"])


# --- ranges (RFC 9110 section 14) ---------------------------------------------------------------------


def _wanted(held: Holding, told: Mapping[str, str]) -> Span | None:
    """The part that is asked for; None for all, also where the request makes no sense (14.2).

    Raises:
        UsageFault: there are no such bytes, or more than one range is wanted.
    """
    asked = _RANGES.fullmatch(request.headers.get("Range", "").strip())
    if asked is None or request.method != "GET" or not _range_holds(told):
        return None
    wanted = [each.strip() for each in asked[1].split(",") if each.strip()]
    found = [_RANGE.fullmatch(each) for each in wanted]
    if not found or not all(found):
        return None
    if len(found) > 1:
        raise UsageFault("One range of bytes is sent for each request.", "Ask for them one after the other.", http=416)
    return _span(found[0], held.size) if found[0] is not None else None


def _span(given: re.Match[str], size: int) -> Span | None:
    first, last, tail = (None if text is None else int(text) for text in given.groups())
    if first is not None and last is not None and last < first:
        return None  # invalid, so ignored (14.1.1)
    if tail is not None and tail > 0 and size == 0:
        return None  # satisfiable, and yet nothing that Content-Range could tell
    if tail == 0 or (first is not None and first >= size):
        raise UsageFault(f"The file has {size} bytes.", "Ask for some of them.", http=416)
    if tail is not None:
        return Span(max(0, size - tail), size - 1, size)
    assert first is not None
    return Span(first, size - 1 if last is None else min(last, size - 1), size)


# --- bodies -------------------------------------------------------------------------------------------


def _sent(reading: Reading, response: Response) -> Response:
    if reading.is_checked and hasattr(reading.opened, "fileno"):
        response.response = wrap_file(request.environ, cast("IO[bytes]", reading.opened), _BLOCK)
        response.direct_passthrough = True  # the system sends the file, where the server knows how
    else:
        response.response = _pieces(reading)
    response.call_on_close(reading.close)
    return response


def _pieces(reading: Reading) -> Iterator[bytes]:
    """What fails on the way breaks the connection off: so the client sees that it has not all."""
    try:
        yield from reading.pieces()
    finally:
        reading.close()
