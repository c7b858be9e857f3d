"""Opening a connection to an upstream: address, proxy, TLS.

HTTPS_PROXY, HTTP_PROXY and NO_PROXY are honoured, in the meaning that Python's standard library gives them; loopback
addresses are never reached through a proxy. Certificates are verified against the system's store, always.
"""

import base64
import functools
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import gevent

from parley.errors import UpstreamTimeout, UpstreamTlsError, UpstreamUnreachable

MAX_TUNNEL_HEAD_BYTES = 1 << 16
KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
"""Seconds after which a peer that was switched off is noticed, also on a connection that waits for its next turn."""


@dataclass(frozen=True)
class Route:
    """How an upstream is reached: its own address, and the proxy before it, if any."""

    scheme: str
    host: str
    port: int
    path: str
    proxy: SplitResult | None = None

    @classmethod
    def to(cls, base_url: str) -> "Route":
        """The route to a base URL, by the environment's proxies."""
        parts = urlsplit(base_url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(parts.scheme, host, port, parts.path.rstrip("/"), _proxy_for(parts.scheme, host))

    @property
    def host_header(self) -> str:
        """The Host header: the port is left out where the scheme implies it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"

    @property
    def first_hop(self) -> tuple[str, int]:
        """The address to connect to: the proxy's, or else the upstream's."""
        return (self.proxy.hostname or "", self.proxy.port or 80) if self.proxy else (self.host, self.port)

    def target(self, path: str) -> str:
        """The request line's target: a proxy of plain HTTP wants all of the URL."""
        origin = f"{self.scheme}://{self.host_header}" if self.proxy and self.scheme == "http" else ""
        return f"{origin}{self.path}{path}"

    def proxy_headers(self) -> dict[str, str]:
        """The header that identifies us to a proxy whose URL holds a name and a password."""
        if not self.proxy or not self.proxy.username:
            return {}
        pair = f"{unquote(self.proxy.username)}:{unquote(self.proxy.password or '')}"
        return {"proxy-authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def dial(route: Route, timeout: float) -> socket.socket:
    """An open connection, within `timeout` seconds for name, connection and handshake together.

    Raises UpstreamUnreachable, UpstreamTimeout, UpstreamTlsError.
    """
    late = UpstreamTimeout("connecting to the upstream took too long")
    connection: socket.socket | None = None
    try:
        with gevent.Timeout(timeout, late):
            connection = socket.create_connection(route.first_hop, timeout=timeout)
            _tune(connection)
            if route.scheme != "https":
                return connection
            if route.proxy:
                _tunnel(connection, route)
            return _context().wrap_socket(connection, server_hostname=route.host)
    except BaseException as exc:
        if connection is not None:
            connection.close()
        raise _translated(exc) from exc


def _translated(exc: BaseException) -> BaseException:
    """Ours for the socket's; anything else as it is. A certificate's fault names the reason."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return UpstreamTlsError(f"the upstream's certificate is not valid: {exc.verify_message}")
    if isinstance(exc, ssl.SSLError):
        return UpstreamTlsError("the TLS handshake with the upstream failed")
    if isinstance(exc, TimeoutError):
        return UpstreamTimeout("connecting to the upstream took too long")
    if isinstance(exc, OSError | UnicodeError):  # UnicodeError: a name that IDNA does not know
        return UpstreamUnreachable("the upstream can't be reached")
    return exc


def _tune(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, seconds in KEEPALIVE:
        connection.setsockopt(socket.IPPROTO_TCP, option, seconds)


def _tunnel(connection: socket.socket, route: Route) -> None:
    authority = f"{route.host}:{route.port}"
    headers = {"host": authority, **route.proxy_headers()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    connection.sendall(f"CONNECT {authority} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
    head = b""
    while b"\r\n\r\n" not in head:
        received = connection.recv(4096)
        head += received
        if not received or len(head) > MAX_TUNNEL_HEAD_BYTES:
            raise UpstreamUnreachable("the proxy did not open a tunnel to the upstream")
    if head.split(b" ", 2)[1:2] != [b"200"]:
        raise UpstreamUnreachable("the proxy refused a tunnel to the upstream")


@functools.cache
def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _proxy_for(scheme: str, host: str) -> SplitResult | None:
    if _is_loopback(host) or proxy_bypass(host):
        return None
    proxies = getproxies_environment()
    url = proxies.get(scheme) or proxies.get("all")
    return urlsplit(url if "://" in url else f"http://{url}") if url else None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
