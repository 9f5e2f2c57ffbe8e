"""``fetch``: bytes from an address a user gave, without letting users reach what only we can reach.

The name is looked up once, every address it has is judged, and the connection goes to the address that was judged,
so that a name cannot change its meaning in between. Each redirect is judged anew.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from archive.faults import TransientFault, UsageFault

_PORTS = {"http": 80, "https": 443}
_CHUNK = 64 * 1024

# IPv6 addresses that stand for IPv4 ones, private ones too: NAT64, 6to4 and Teredo (RFC 6052, 3056, 4380).
_RELAYS = tuple(ipaddress.ip_network(network) for network in ("64:ff9b::/96", "2002::/16", "2001::/32"))


@dataclass(frozen=True, slots=True)
class Outbound:
    """What may be fetched: ``allowed`` networks (CIDR) are reached although they are private."""

    size: int = 64 * 1024 * 1024
    seconds: float = 30.0
    redirects: int = 3
    allowed: tuple[str, ...] = ()

    def permits(self, address: str) -> bool:
        """True if ``address`` is public, or private but allowed by configuration."""
        parsed = ipaddress.ip_address(address)
        judged = getattr(parsed, "ipv4_mapped", None) or parsed
        if any(judged in ipaddress.ip_network(network) for network in self.allowed):
            return True
        return judged.is_global and not judged.is_multicast and not any(judged in network for network in _RELAYS)


def fetch(url: str, limits: Outbound) -> bytes:
    """The body behind an http or https ``url``.

    Raises:
        UsageFault: the address is not one users may send us to, answers with an error, or is too large (413).
        TransientFault: it does not answer in time.
    """
    deadline = time.monotonic() + limits.seconds
    for _ in range(limits.redirects + 1):
        body, location = _visit(url, limits, deadline)
        if location is None:
            return body
        url = urljoin(url, location)
    raise UsageFault(f"The upload's address redirects more than {limits.redirects} times.")


def _visit(url: str, limits: Outbound, deadline: float) -> tuple[bytes, str | None]:
    """The body at ``url``, or where it redirects to."""
    parts = _judged_url(url)
    connection = _connection(parts, limits, deadline)
    hurry = threading.Timer(_left(deadline), connection.give_up)  # a socket's timeout is for each byte anew
    hurry.daemon = True
    hurry.start()
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers={"Accept": "*/*", "User-Agent": "archive (IVOA-copy)"})
        response = connection.getresponse()
        if response.status in (301, 302, 303, 307, 308) and (location := response.getheader("Location")):
            return b"", location
        if response.status != 200:
            raise UsageFault(f"The upload's address {url} answers with HTTP status {response.status}.")
        return _body(response, limits, deadline, url), None
    except (OSError, http.client.HTTPException) as error:
        raise TransientFault(f"The upload's address {url} does not answer as it should.") from error
    finally:
        hurry.cancel()
        connection.close()


def _judged_url(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or any(ord(character) <= 32 for character in url):
        raise UsageFault(f"{url!r} cannot be fetched.", "Uploads come from http or https addresses, or inline.")
    if parts.username is not None:
        raise UsageFault("An upload's address may not carry a user name.")
    return parts


def _connection(parts: SplitResult, limits: Outbound, deadline: float) -> _Pinned:
    host = parts.hostname or ""
    try:
        port = parts.port or _PORTS[parts.scheme]
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError, UnicodeError) as error:
        raise UsageFault(f"There is no host {host!r} to fetch the upload from.") from error
    address = _permitted((str(entry[4][0]) for entry in found), limits, host)
    if parts.scheme == "https":
        return _PinnedHttps(host, address, port, _left(deadline))
    return _Pinned(host, address, port, _left(deadline))


def _permitted(addresses: Iterable[str], limits: Outbound, host: str) -> str:
    """The first address, provided that all are permitted: a name with one private address is not to be trusted."""
    every = list(addresses)
    if not every or not all(limits.permits(address) for address in every):
        raise UsageFault(
            f"Uploads are not fetched from {host}.", "It is not a public address; send the table inline (param:)."
        )
    return every[0]


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TransientFault("The upload's address took too long to answer.")
    return left


def _body(response: http.client.HTTPResponse, limits: Outbound, deadline: float, url: str) -> bytes:
    chunks, size = [], 0
    while chunk := response.read1(_CHUNK):
        _left(deadline)
        size += len(chunk)
        if size > limits.size:
            raise UsageFault(f"What {url} holds is larger than {limits.size:,} bytes.", http=413)
        chunks.append(chunk)
    return b"".join(chunks)


class _Pinned(http.client.HTTPConnection):
    """Speaks to ``host`` at exactly the address that was judged."""

    def __init__(self, host: str, address: str, port: int, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self._address = address

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), self.timeout)

    def give_up(self) -> None:
        """End what is under way, from another thread: reading fails at once."""
        if self.sock is not None:
            with contextlib.suppress(OSError):  # it has ended already
                self.sock.shutdown(socket.SHUT_RDWR)


class _PinnedHttps(_Pinned):
    """The same over TLS, the certificate checked against the host's name."""

    default_port = 443

    def connect(self) -> None:
        super().connect()
        self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)
