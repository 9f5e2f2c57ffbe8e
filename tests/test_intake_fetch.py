"""Fetching from addresses users give: what is public is fetched, what is not is refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from archive.faults import Fault, TransientFault, UsageFault
from archive.intake.fetch import Outbound, fetch

HERE = Outbound(size=1000, seconds=2, redirects=2, allowed=("127.0.0.0/8",))


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/redirect/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/redirect/"))
            self.end_headers()
            return
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/slow":
            threading.Event().wait(3)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x" * (2000 if self.path == "/large" else 10))

    def log_message(self, format: str, *arguments: object) -> None:
        """Tests stay quiet."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_allowed_address_is_fetched(site: str) -> None:
    assert fetch(f"{site}/table", HERE) == b"x" * 10


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1/",
        "http://localhost:8080/",
        "http://10.1.2.3/",
        "http://192.168.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://100.64.0.1/",
        "http://0.0.0.0/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::a00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[fe80::1]/",
        "http://224.0.0.1/",
        "http://2130706433/",
        "file:///etc/passwd",
        "ftp://example.org/x",
        "http://user:word@example.org/",
        "http://exa mple.org/",
        "http:///nowhere",
        "gopher://127.0.0.1/",
    ],
)
def test_what_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(UsageFault):
        fetch(address, Outbound(seconds=2))


def test_a_redirect_is_judged_like_the_first_address(site: str) -> None:
    port = site.rpartition(":")[2]
    only_this = Outbound(seconds=2, allowed=("127.0.0.1/32",))
    assert fetch(f"{site}/redirect//table", only_this) == b"x" * 10
    with pytest.raises(UsageFault, match=r"not fetched from 127\.0\.0\.2"):
        fetch(f"{site}/redirect/http://127.0.0.2:{port}/table", only_this)


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/large", UsageFault, "larger than 1,000 bytes"),
        ("/missing", UsageFault, "404"),
        ("/slow", TransientFault, "does not answer"),
        ("/redirect//redirect//redirect//table", UsageFault, "redirects more than 2"),
    ],
)
def test_limits_and_errors_are_told(site: str, path: str, kind: type[Fault], words: str) -> None:
    with pytest.raises(kind, match=words):
        fetch(site + path, HERE)
