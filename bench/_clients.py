"""Many clients of one server, in one thread: a load generator that leaves the machine to the server.

Each client keeps one connection, as pyvo's sessions do, and sends the headers that pyvo sends; the next request
leaves when the answer to the last one is whole. Requests are bytes made beforehand; of an answer only its status and
its length are read. What this costs is told (``Load.own``), since clients and server share the machine.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

_HEAD = (
    "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: pyVO/1.7 (bench)\r\n"
    "Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n"
    "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n"
)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_PATIENCE = 60.0  # seconds

Request = Callable[[], tuple[str, str, str]]
"""Gives method, path and form of the next request."""


def query(text: str) -> tuple[str, str, str]:
    """A synchronous ADQL query."""
    return "POST", "/tap/sync", urlencode({"REQUEST": "doQuery", "LANG": "ADQL", "QUERY": text})


def packed(port: int, request: tuple[str, str, str]) -> bytes:
    """The request as it is sent."""
    method, path, body = request
    return (_HEAD.format(method=method, path=path, port=port, length=len(body)) + body).encode()


@dataclass(slots=True)
class Load:
    """What many clients saw: milliseconds of each answer, seconds from first to last, seconds of processor of ours."""

    times: list[float] = field(default_factory=list)
    refused: int = 0  # answers other than 200
    seconds: float = 0.0
    own: float = 0.0

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.times) / self.seconds


class _Client:
    """One connection, and the answer that comes over it."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        self.port = port
        self.requests = requests
        self.socket = self._connected()
        self.began = 0.0
        self._answer = b""
        self._whole = 0  # length of the answer, once it is known

    def send(self) -> None:
        self._answer, self._whole = b"", 0
        self.began = time.perf_counter()
        self.socket.sendall(self.requests.pop())

    def received(self) -> int | None:
        """Read what has come; the status once the answer is whole."""
        piece = self.socket.recv(1 << 16)
        if not piece:
            raise ConnectionError("the server hung up")
        self._answer += piece
        if not self._whole:
            head = self._answer.find(b"\r\n\r\n")
            if head < 0:
                return None
            told = _LENGTH.search(self._answer, 0, head)
            self._whole = head + 4 + int(told[1]) if told else -1
        ended = self._answer.endswith(_LAST_CHUNK) if self._whole < 0 else len(self._answer) >= self._whole
        return int(self._answer[9:12]) if ended else None

    @property
    def dismissed(self) -> bool:
        """Whether the server closes the connection after this answer."""
        return _CLOSES.search(self._answer, 0, self._answer.find(b"\r\n\r\n")) is not None

    def _connected(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), timeout=_PATIENCE)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made


def together(port: int, clients: int, request: Request, count: int) -> Load:
    """``count`` requests of each of ``clients``, all at once.

    Raises:
        TimeoutError: nothing came for a minute.
    """
    everyone = [_Client(port, [packed(port, request()) for _ in range(count)]) for _ in range(clients)]
    load, selector = Load(), selectors.DefaultSelector()
    own, start = time.process_time(), time.perf_counter()
    for client in everyone:
        selector.register(client.socket, selectors.EVENT_READ, client)
        client.send()
    while selector.get_map():
        ready = selector.select(_PATIENCE)
        if not ready:
            raise TimeoutError("no answer")
        for key, _ in ready:
            _go_on(key.data, load, selector)
    load.seconds, load.own = time.perf_counter() - start, time.process_time() - own
    return load


def _go_on(client: _Client, load: Load, selector: selectors.BaseSelector) -> None:
    status = client.received()
    if status is None:
        return
    load.times.append((time.perf_counter() - client.began) * 1000)
    load.refused += status != 200
    if client.requests and not client.dismissed:
        client.send()
        return
    selector.unregister(client.socket)
    client.socket.close()
    if client.requests:
        client.socket = client._connected()
        selector.register(client.socket, selectors.EVENT_READ, client)
        client.send()
