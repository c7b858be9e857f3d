"""Addresses of host names, cached for a minute: a call does not wait for a resolver that was asked a moment ago.

Lookups run in gevent's ten resolver threads, which all upstreams share: a lookup that hangs holds one of them.
"""

import ipaddress
import socket
import time

CACHE_SECONDS = 60.0
"""Seconds for which a lookup is used without asking the resolver again."""
Address = tuple[socket.AddressFamily, tuple[str, int]]

_cache: dict[tuple[str, int], tuple[float, list[Address]]] = {}


def addresses(host: str, port: int) -> list[Address]:
    """Return the addresses of a host, in the resolver's order of preference.

    If the resolver fails, the addresses of its last success are returned, however old. Raises OSError if there was
    none, and UnicodeError for a name that IDNA cannot encode.
    """
    try:
        family = socket.AF_INET if ipaddress.ip_address(host).version == 4 else socket.AF_INET6
        return [(family, (host, port))]
    except ValueError:  # a name
        pass
    expires, known = _cache.get((host, port), (0.0, []))
    if time.monotonic() < expires:
        return known
    try:
        resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        if not known:
            raise
        # An upstream moves rarely, resolvers fail often; no new expiry, so that the next call asks again.
        return known
    # An IPv6 address comes with flow and scope, which connecting to a global address does not need.
    known = [(family, address[:2]) for family, _, _, _, address in resolved]  # type: ignore[misc]
    _cache[host, port] = (time.monotonic() + CACHE_SECONDS, known)
    return known


def forget(host: str, port: int) -> None:
    """Drop a host's cached addresses, none of which accepted a connection: the next call looks the name up again."""
    _cache.pop((host, port), None)
