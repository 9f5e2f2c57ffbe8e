"""Visits: the requests under way in one process, and the watch that notices when a client has gone or stalls.

A server that computes or waits never hears from a client that leaves: only a look at its socket tells. A server that
sends waits for ever for a client that reads nothing. So one thread looks at the sockets of all visits, five times a
second: whose client has gone has its query stopped; who has moved nothing for too long is disconnected.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import re
import secrets
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, g, request

from archive import logs
from archive.engine.contract import Stop
from archive.faults import Fault
from archive.results import Result

_log = logging.getLogger(__name__)

_TICK = 0.2  # seconds between two looks
_CROWDED = 0.75  # of the room taken: from here on who stalls is disconnected soon
_CROWDED_STALL = 2.0  # seconds

_HUNG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR | select.POLLNVAL
_MOVED = struct.Struct("QQ")  # tcpi_bytes_acked, tcpi_bytes_received
_MOVED_AT = 120  # in Linux' struct tcp_info
_OWN_NAME = re.compile(r"[\w.:-]{1,64}", re.ASCII)


@dataclass(slots=True)
class Asked:
    """The query of a visit: what was asked and what became of it."""

    face: str
    language: str
    text: str
    result: Result | None = None
    fault: Fault | None = None


@dataclass(eq=False, slots=True)
class Visit:
    """One request. ``busy`` while it is our turn to do something, not the client's; ``gone`` when the client left.

    ``bytes`` is how many of the answer were handed to the client, as sent.
    """

    id: str
    address: str
    agent: str
    method: str
    path: str
    socket: socket.socket | None = None
    submitted: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float = field(default_factory=time.monotonic)
    stop: Stop = field(default_factory=Stop)
    busy: bool = True
    gone: bool = False
    status: int = 0
    bytes: int = 0
    asked: Asked | None = None
    progress: tuple[int, int] = (0, 0)  # what had been moved when last looked at
    moved: float = field(default_factory=time.monotonic)  # when that last changed

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began

    @contextlib.contextmanager
    def idle(self) -> Iterator[None]:
        """For the time that it is the client's turn: to send its request, say."""
        self.busy = False
        try:
            yield
        finally:
            self.busy = True


def current() -> Visit:
    """The visit of the request at hand."""
    visit: Visit = g.visit
    return visit


class Visits:
    """All visits under way in this process; ``room`` is how many there can be.

    ``began`` and ``ended`` are told of each.
    """

    def __init__(
        self,
        room: int,
        stall: float,
        *,
        began: Callable[[Visit], None] = lambda visit: None,
        ended: Callable[[Visit], None] = lambda visit: None,
    ) -> None:
        self._room = room
        self._stall = stall
        self._began = began
        self._ended = ended
        self._here: set[Visit] = set()
        self._lock = threading.Lock()
        self._watch: threading.Thread | None = None
        self._over = threading.Event()

    def attend(self, app: Flask) -> None:
        """Have every request of ``app`` be a visit."""
        app.before_request(self._enter)
        app.after_request(self._answered)

    def _enter(self) -> None:
        g.visit = visit = _visit()
        logs.bind(request=visit.id)
        self._began(visit)
        with self._lock:
            self._here.add(visit)
            if self._watch is None and visit.socket is not None:
                self._watch = threading.Thread(target=self._look, name="visits", daemon=True)
                self._watch.start()
                atexit.register(self._end)

    def _answered(self, response: Response) -> Response:
        visit = current()
        visit.status = response.status_code
        response.headers["X-Request-Id"] = visit.id
        if response.is_streamed and not response.direct_passthrough:  # files are sent by the system
            response.response = _Paced(visit, response.response, wanted=request.method != "HEAD")
        else:
            visit.bytes = response.content_length or 0
        visit.busy = False
        response.call_on_close(lambda: self._leave(visit))
        return response

    def _leave(self, visit: Visit) -> None:
        with self._lock:
            if visit not in self._here:
                return
            self._here.remove(visit)
        self._ended(visit)

    # --- the watch --------------------------------------------------------------------------------

    def _end(self) -> None:
        """The process ends; a thread that went on would hold what the interpreter has to take apart."""
        self._over.set()
        if self._watch is not None:
            self._watch.join()

    def _look(self) -> None:
        while not self._over.wait(_TICK):
            self._look_once()  # what it looked at is let go of before it waits again

    def _look_once(self) -> None:
        with self._lock:
            visits = [visit for visit in self._here if visit.socket is not None and not visit.gone]
            stall = min(self._stall, _CROWDED_STALL) if len(visits) >= _CROWDED * self._room else self._stall
            gone = list(_left(visits)) + [visit for visit in visits if _stalls(visit, stall)]
            for visit in gone:
                visit.gone = True
                _hang_up(visit)
        for visit in gone:
            _stop(visit)


class _Paced:
    """The pieces of an answer, counted; between two of them it is the client's turn."""

    def __init__(self, visit: Visit, pieces: Any, *, wanted: bool) -> None:
        self._visit = visit
        self._wanted = wanted  # until the last piece has been given
        self._pieces = pieces
        self._rest = iter(pieces)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self._visit.busy = True
        try:
            piece = next(self._rest)
        except BaseException:
            self._wanted = False
            raise
        finally:
            self._visit.moved = time.monotonic()
            self._visit.busy = False
        self._visit.bytes += len(piece)
        return bytes(piece)

    def close(self) -> None:
        """No more is wanted; if there was more, the client has gone."""
        self._visit.gone |= self._wanted
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()


def _visit() -> Visit:
    named = request.headers.get("X-Request-Id", "")
    return Visit(
        id=named if _OWN_NAME.fullmatch(named) else secrets.token_hex(8),
        address=request.remote_addr or "",
        agent=request.headers.get("User-Agent", "")[:200],
        method=request.method,
        path=request.path,
        socket=_socket(request.environ),
    )


def _socket(environ: Mapping[str, Any]) -> socket.socket | None:
    """The connection, where the server gives it away (gunicorn does)."""
    found = environ.get("gunicorn.socket")
    return found if isinstance(found, socket.socket) else None


def _left(visits: list[Visit]) -> Iterator[Visit]:
    """Those whose client has closed its end."""
    poll = select.poll()
    by_file = {visit.socket.fileno(): visit for visit in visits if visit.socket is not None}
    for file in by_file:
        if file >= 0:
            poll.register(file, _HUNG_UP)
    for file, events in poll.poll(0):
        if events & _HUNG_UP:
            yield by_file[file]


def _stalls(visit: Visit, patience: float) -> bool:
    """Whether it is the client's turn and nothing has moved for longer than ``patience`` seconds."""
    now = time.monotonic()
    progress = _progress(visit)
    if visit.busy or progress != visit.progress:
        visit.progress, visit.moved = progress, now
    return now - visit.moved > patience


def _progress(visit: Visit) -> tuple[int, int]:
    """Bytes that the client's side has taken and given so far; where the system does not tell, pieces tell."""
    try:
        told = visit.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)  # type: ignore[union-attr]
        sent, received = _MOVED.unpack_from(told, _MOVED_AT)
    except (OSError, AttributeError, struct.error):
        return visit.bytes, 0
    return sent, received


def _hang_up(visit: Visit) -> None:
    """Wake whoever waits for the client: reading ends and writing fails."""
    if visit.socket is not None:
        with contextlib.suppress(OSError):
            visit.socket.shutdown(socket.SHUT_RDWR)


def _stop(visit: Visit) -> None:
    try:
        visit.stop.pull()
    except Exception:  # the watch goes on for the others
        _log.exception("the query of request %s could not be stopped", visit.id)
