"""Which pages are this server's own, where no key is asked for and a browser names the page that asks.

That `Origin` and `Host` are equal is not enough. Whoever owns a name may point it at this server after a page has been
loaded by it (DNS rebinding): for the browser, the server is then the page's own. So the host must be one that no
stranger can point anywhere: an IP address, `localhost`, or a name that the operator has listed. The address listened on
says nothing more: behind a published port or a tunnel it is another one, and 0.0.0.0 is all of them.
"""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit


def is_own(origin: str, scheme: str, host: str, trusted: Collection[str]) -> bool:
    """Return whether a page of `origin` was served by this server, which was asked by the header `Host: host`.

    `trusted` holds names, with a port or for every port, in lower case.
    """
    return origin == f"{scheme}://{host}" and is_fixed(host, trusted)


def is_rebound(origin: str | None, host: str, trusted: Collection[str]) -> bool:
    """Return whether a browser may have been led here by a name: that of the page that asks, or the one it asked for.

    `origin` is None where the browser names no page, as for most requests within one origin.
    """
    page = origin.partition("://")[2] if origin is not None else host
    return not (is_fixed(host, trusted) and is_fixed(page, trusted))


def is_loopback(address: object) -> bool:
    """Return whether a socket's own address is one that only this machine can reach."""
    try:
        # Of a Unix socket it is a path. A zone may stand behind an IPv6 address.
        ip = ipaddress.ip_address(str(address[0]).partition("%")[0]) if isinstance(address, tuple) else None
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return ip is not None and (mapped or ip).is_loopback


def is_fixed(host: str, trusted: Collection[str]) -> bool:
    """Return whether a host is bound to this server by itself or by the operator."""
    host = host.lower()
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:  # brackets without an address
        return False
    if host in trusted or name in trusted or name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
