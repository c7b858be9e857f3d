"""Opening a connection to an upstream: address, proxy, TLS.

HTTPS_PROXY, HTTP_PROXY and NO_PROXY are honoured, in the meaning that Python's standard library gives them; loopback
addresses are never reached through a proxy. Certificates are verified against the system's store, always.
"""

import base64
import contextlib
import errno
import functools
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import gevent

from parley import tcp
from parley.errors import ServerOverloaded, UpstreamTimeout, UpstreamTlsError, UpstreamUnreachable
from parley.upstream import names

MAX_TUNNEL_HEAD_BYTES = 1 << 16
NO_FILE_LEFT = (errno.EMFILE, errno.ENFILE)
TOO_LONG = "connecting to the upstream took too long"


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


def dial(route: Route, timeout: float, session: ssl.SSLSession | None = None) -> socket.socket:
    """An open connection, within `timeout` seconds for name, connection and handshake together.

    With the TLS session of an earlier connection the handshake is shorter: no certificate has to be looked at again.
    Raises UpstreamUnreachable, UpstreamTimeout, UpstreamTlsError, and ServerOverloaded where no file is left to open.
    """
    with contextlib.ExitStack() as opened, _our_errors(), gevent.Timeout(timeout, UpstreamTimeout(TOO_LONG)):
        connection = _connected(*route.first_hop, timeout)
        opened.callback(connection.close)
        tcp.tune(connection)
        if route.scheme == "https":
            if route.proxy:
                _tunnel(connection, route)
            # The handshake by itself: until then nobody but us would know of the socket that TLS puts around ours.
            connection = _context().wrap_socket(
                connection, server_hostname=route.host, do_handshake_on_connect=False, session=session
            )
            opened.callback(connection.close)
            connection.do_handshake()
        opened.pop_all()
    return connection


def _connected(host: str, port: int, timeout: float) -> socket.socket:
    """A plain connection to the first address that takes one; each gets its share of the time."""
    found = names.addresses(host, port)
    for addresses_left, (family, address) in zip(reversed(range(len(found))), found, strict=True):
        connection = socket.socket(family)
        try:
            connection.settimeout(timeout / len(found))
            connection.connect(address)
            connection.settimeout(timeout)
            return connection
        except OSError:
            connection.close()
            # Raised here, not kept for later: its traceback holds this frame.
            if not addresses_left:
                names.forget(host, port)
                raise
        except BaseException:
            connection.close()
            raise
    names.forget(host, port)
    raise OSError("the name has no address")


@contextlib.contextmanager
def _our_errors() -> Iterator[None]:
    """The socket's errors as ours; a certificate's fault names the reason."""
    try:
        yield
    except ssl.SSLCertVerificationError as exc:
        raise UpstreamTlsError(f"the upstream's certificate is not valid: {exc.verify_message}") from exc
    except ssl.SSLError as exc:
        raise UpstreamTlsError("the TLS handshake with the upstream failed") from exc
    except TimeoutError as exc:
        raise UpstreamTimeout(TOO_LONG) from exc
    except UnicodeError as exc:  # a name that IDNA does not know
        raise UpstreamUnreachable("the upstream can't be reached") from exc
    except OSError as exc:
        if exc.errno in NO_FILE_LEFT:
            raise ServerOverloaded("the server has no file left for a connection to the upstream") from exc
        raise UpstreamUnreachable("the upstream can't be reached") from exc


def _tunnel(connection: socket.socket, route: Route) -> None:
    host = f"[{route.host}]" if ":" in route.host else route.host
    authority = f"{host}:{route.port}"
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
