"""``PUT /files/...``: pipelines bring files in over HTTP (RFC 9110 section 9.3.4), with a producer's token.

``PUT /files/<release>/<collection>/<name>?type=T&release=R&collection=C``, the bytes as the body. They are read once
and pass through the same door as ``archive ingest``. 201 or 200 say that they are on the disk and registered.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, request
from werkzeug.datastructures import Headers, MultiDict
from werkzeug.exceptions import ClientDisconnected

from archive.access import Action
from archive.backbone import activities
from archive.backbone.endpoint import Endpoint
from archive.backbone.ingest import Intake
from archive.backbone.receiving import Outcome, Request, Status, Terms
from archive.backbone.registering import Who
from archive.backbone.sources import Digest, Stream
from archive.bearers import Bearers
from archive.faults import UsageFault
from archive.ledger.database import stamp
from archive.visits import Visit, current

_TOLD_ONCE = ("type", "release", "collection", "public_from", "activity", "reason")
_NEEDED = _TOLD_ONCE[:3]
_PAIRS = ("set", "null")
_ANY_SIZE = 1 << 62  # bytes; what there is room for, the reserve decides
_DIGEST = re.compile(r"(?:^|,)\s*sha-256\s*=\s*([^,;]*)")


class DepositFace:
    """Takes in files for those who may deliver. ``base_url`` gives the public URL of the archive."""

    def __init__(self, endpoint: Endpoint, bearers: Bearers, base_url: Callable[[], str]) -> None:
        self._endpoint = endpoint
        self._bearers = bearers
        self._base_url = base_url
        self._lock = threading.Lock()
        self._intake: Intake | None = None

    def blueprint(self) -> Blueprint:
        blueprint = Blueprint("deposit", __name__)
        blueprint.add_url_rule("/<path:path>", view_func=self._put, methods=["PUT"])
        return blueprint

    def close(self) -> None:
        """Leave the ledger; to be called when no request is under way."""
        with self._lock:
            if self._intake is not None:
                self._intake.__exit__(None, None, None)
                self._intake = None

    def _put(self, path: str) -> Response:
        actor = self._bearers.require(Action.DELIVER)
        request.max_content_length = _ANY_SIZE
        wanted = _request(path, request.args, request.headers, self._endpoint.site.authority)
        outcome = self._door().take_one(wanted, Who(actor.name, request.args.get("reason")))
        response = _answer(outcome)
        response.headers["Location"] = f"{self._base_url()}/files/{quote(path)}"
        return response

    def _door(self) -> Intake:
        """One for all requests of this process, opened by the first."""
        with self._lock:
            if self._intake is None:
                self._intake = Intake(self._endpoint).__enter__()
            return self._intake


def _request(path: str, given: MultiDict[str, str], headers: Headers, authority: str) -> Request:
    """What is to be ingested, as the request at hand tells it.

    Raises:
        UsageFault: something is missing, unknown or given twice.
    """
    terms = _terms(given, authority)
    below = f"{terms.release}/{terms.collection}/"
    if not path.startswith(below) or path == below:
        raise UsageFault(f"The path '{path}' does not begin with release and collection.", f"PUT it below {below}")
    if "Content-Range" in headers:
        raise UsageFault("Files are taken in whole.", "Send all bytes in one request, without Content-Range.")
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UsageFault("Files are taken in as they are.", "Send it without Content-Encoding.", http=415)
    name = path.removeprefix(below)
    source = Stream(name.rpartition("/")[2], _Body(current()), request.content_length)
    return Request(name, source, terms, _digest(headers))


def _terms(given: MultiDict[str, str], authority: str) -> Terms:
    wrong = [f"'{name}' is not known" for name in given if name not in _TOLD_ONCE + _PAIRS]
    wrong += [f"'{name}' is missing" for name in _NEEDED if not given.get(name)]
    wrong += [f"'{name}' is given twice" for name in _TOLD_ONCE if len(given.getlist(name)) > 1]
    if wrong:
        known = ", ".join(_TOLD_ONCE + _PAIRS)
        raise UsageFault(f"The parameters are wrong: {', '.join(wrong)}.", f"There are: {known}.")
    return Terms(
        given["type"],
        given["release"],
        given["collection"],
        _pairs("set", given.getlist("set")),
        _pairs("null", given.getlist("null")),
        _moment(given.get("public_from")),
        activities.read(given["activity"], authority, "activity") if given.get("activity") else None,
    )


def _pairs(name: str, given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key.strip() or key.strip() in found:
            raise UsageFault(f"{name}: '{text}' is not KEY=VALUE, or its key comes twice.", "Give each key once.")
        found[key.strip()] = value.strip()
    return found


def _moment(text: str | None) -> str | None:
    """A date or time in UTC, as the ledger writes it."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageFault(f"public_from: '{text}' is no date.", "Write it as 2028-01-31.") from None
    return stamp(found if found.tzinfo else found.replace(tzinfo=UTC))


def _digest(headers: Headers) -> Digest | None:
    """The sha256 that the client says the file has (RFC 9530); other algorithms are passed over, as it wants.

    Raises:
        UsageFault: it is none, or two of them differ.
    """
    found = {
        digits
        for header in ("Repr-Digest", "Content-Digest")
        for digits in map(_sha256, _DIGEST.findall(headers.get(header, "")))
    }
    if len(found) > 1:
        raise UsageFault("Repr-Digest and Content-Digest differ.", "The body is the file: they are the same.")
    return Digest.read(found.pop()) if found else None


def _sha256(value: str) -> str:
    """The hexadecimal digits of a digest as RFC 9530 writes it: base64 between colons."""
    try:
        found = base64.b64decode(value.strip().removeprefix(":").removesuffix(":"), validate=True)
    except binascii.Error:
        found = b""
    if len(found) != 32 or not value.strip().startswith(":"):
        raise UsageFault(f"'{value}' is no sha-256 digest.", "Write it as sha-256=:<base64 of 32 bytes>:")
    return found.hex()


class _Body:
    """The body of the request at hand; whoever reads it waits for the client meanwhile."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._stream = request.stream

    def read(self, size: int, /) -> bytes:
        try:
            with self._visit.idle():
                data: bytes = self._stream.read(size)
        except (ClientDisconnected, OSError):
            raise UsageFault("The connection broke off before all bytes had come.", "Send it again.") from None
        return data

    def close(self) -> None:
        """The server reads what is left."""


def _answer(outcome: Outcome) -> Response:
    artifact = outcome.artifact
    assert artifact is not None
    facts: dict[str, Any] = {
        "uri": outcome.uri,
        "status": outcome.status.value,
        "sha256": artifact.sha256,
        "size": artifact.size,
        "media_type": artifact.media_type,
    }
    digest = base64.b64encode(bytes.fromhex(artifact.sha256)).decode()
    response = Response(json.dumps(facts), content_type="application/json")
    response.status_code = 201 if outcome.status is Status.NEW else 200
    response.headers["ETag"] = f'"{artifact.sha256}"'
    response.headers["Repr-Digest"] = f"sha-256=:{digest}:"
    return response
