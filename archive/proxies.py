"""Behind a proxy: whose word is taken for who the client is and by which address it came."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address, ip_network
from typing import Any

from werkzeug.middleware.proxy_fix import ProxyFix

Wsgi = Callable[..., Any]


def behind(app: Wsgi, trusted: Iterable[str]) -> Wsgi:
    """``app``, which believes the ``X-Forwarded-For``, ``-Proto``, ``-Host``, ``-Port`` and ``-Prefix`` of requests
    that come from ``trusted`` networks. From anybody else they are the client's own words and mean nothing.
    """
    networks = [ip_network(network) for network in trusted]
    if not networks:
        return app
    believing = ProxyFix(app, x_for=1, x_proto=1, x_host=1, x_port=1, x_prefix=1)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        known = _is_within(environ.get("REMOTE_ADDR", ""), networks)
        return (believing if known else app)(environ, start_response)

    return answer


def _is_within(address: str, networks: Iterable[Any]) -> bool:
    try:
        place = ip_address(address)
    except ValueError:  # a local socket has none
        return False
    return any(place.version == network.version and place in network for network in networks)
