"""Proxies before an upstream: which one the environment names, and the CONNECT tunnel through it.

HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY have the meaning that Python's standard library gives them; loopback
addresses are never reached through a proxy. The connection to a proxy is plain TCP, with CONNECT for an upstream behind
TLS. Other kinds of proxy (https://, socks5://) are refused with the name of the variable.
"""

import base64
import ipaddress
import socket
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from parley import tcp
from parley.errors import UpstreamUnreachable

MAX_TUNNEL_HEAD_BYTES = 1 << 16
"""Limit of a proxy's response to CONNECT, in bytes."""


class BadProxy(ValueError):
    """A variable names a proxy that cannot be used; the message names the variable, never its value."""


def proxy_for(base_url: str) -> SplitResult | None:
    """Return the proxy before an upstream's base URL, or None. Raises BadProxy."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        is_loopback = False
    if is_loopback or proxy_bypass(host):
        return None
    # Not getproxies(): on Windows and macOS that also reads the system's settings.
    urls = getproxies_environment()
    for kind in (parts.scheme, "all"):
        if url := urls.get(kind):
            return parse_proxy(url, f"{kind.upper()}_PROXY")
    return None


def parse_proxy(url: str, variable: str) -> SplitResult:
    """Return the parts of a proxy's URL, whose scheme may be missing. Raises BadProxy, which names the variable."""
    try:
        proxy = urlsplit(url if "://" in url else f"http://{url}")
        # A path is the rest of a scheme that was mistyped, such as `http//proxy`.
        is_address = url.isascii() and url.isprintable() and " " not in url and proxy.path in ("", "/")
        # `port` raises ValueError for anything but a port number; 0 is one, but nothing can listen there.
        if is_address and proxy.scheme == "http" and proxy.hostname and proxy.port != 0:
            return proxy
    except ValueError:
        pass
    raise BadProxy(f"{variable}: expected a proxy such as http://proxy.example.com:3128 (not https:// or socks5://)")


def credentials(proxy: SplitResult) -> dict[str, str]:
    """Return the Proxy-Authorization header for a proxy whose URL holds a user name, else no header."""
    if not proxy.username:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"proxy-authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def open_tunnel(connection: socket.socket, proxy: SplitResult, host: str, port: int) -> None:
    """Ask the proxy at the other end of `connection` for a tunnel to the upstream at `host` and `port`.

    Afterwards the connection carries the upstream's bytes. Raises UpstreamUnreachable, and OSError from the socket.
    """
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    headers = {"host": authority, **credentials(proxy)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    tcp.send_all(connection, f"CONNECT {authority} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
    head = b""
    while b"\r\n\r\n" not in head:
        received = connection.recv(4096)
        head += received
        if not received or len(head) > MAX_TUNNEL_HEAD_BYTES:
            raise UpstreamUnreachable("the proxy did not open a tunnel to the upstream")
    # Nothing can follow the head: in TLS the client speaks first, and it has not spoken yet.
    status = head.split(None, 2)[1:2]
    if status != [b"200"]:
        reason = f" (status {int(status[0])})" if status and status[0].isdigit() else ""
        raise UpstreamUnreachable(f"the proxy refused a tunnel to the upstream{reason}")
