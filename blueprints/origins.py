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
    return origin == f"{scheme}://{host}" and _is_fixed(host.lower(), trusted)


def _is_fixed(host: str, trusted: Collection[str]) -> bool:
    """Return whether a host is bound to this server by itself or by the operator."""
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
