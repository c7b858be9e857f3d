"""Host names to addresses, remembered for a minute: a call must not wait for a resolver that it needed a moment ago.

Look-ups run in gevent's ten threads, which all upstreams share; where very many hang at once, others wait behind them.
"""

import ipaddress
import socket
import time

REMEMBERED_SECONDS = 60.0
Address = tuple[socket.AddressFamily, tuple[str, int]]

_remembered: dict[tuple[str, int], tuple[float, list[Address]]] = {}


def addresses(host: str, port: int) -> list[Address]:
    """Where to connect to, in the resolver's order of preference; where it fails, what it said last.

    Raises OSError where it fails and nothing was known before, UnicodeError for a name that IDNA does not know.
    """
    try:
        family = socket.AF_INET if ipaddress.ip_address(host).version == 4 else socket.AF_INET6
        return [(family, (host, port))]
    except ValueError:  # a name
        pass
    until, known = _remembered.get((host, port), (0.0, []))
    if time.monotonic() < until:
        return known
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        if not known:
            raise
        return known
    known = [(family, address[:2]) for family, _, _, _, address in found]  # type: ignore[misc]
    _remembered[host, port] = (time.monotonic() + REMEMBERED_SECONDS, known)
    return known


def forget(host: str, port: int) -> None:
    """None of the addresses could be reached: look the name up again next time."""
    _remembered.pop((host, port), None)
