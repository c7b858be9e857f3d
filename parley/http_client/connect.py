"""Open a connection to an upstream: address, proxy, TLS.

A `Route` says which host is connected to; `proxies.py` decides about the proxy, `dns.py` about the addresses.
Certificates are always verified, against the system's store.
"""

import contextlib
import errno
import functools
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import gevent

from parley import tcp
from parley.errors import ServerOverloaded, UpstreamTimeout, UpstreamTlsError, UpstreamUnreachable
from parley.http_client import dns, proxies

OUT_OF_FILES = (errno.EMFILE, errno.ENFILE)
"""Error numbers of a process, or a machine, that can open no more files."""


@dataclass(frozen=True)
class Route:
    """The way to an upstream: the parts of its base URL, and the proxy before it, if any."""

    scheme: str
    host: str
    port: int
    path: str
    proxy: SplitResult | None = None
    query: str = ""

    @classmethod
    def to(cls, base_url: str) -> "Route":
        """Return the route to a base URL, through the proxy that the environment names. Raises BadProxy."""
        parts = urlsplit(base_url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(parts.scheme, host, port, parts.path.rstrip("/"), proxies.proxy_for(base_url), parts.query)

    @property
    def host_header(self) -> str:
        """The Host header, without the port if the scheme implies it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"

    @property
    def first_hop(self) -> tuple[str, int]:
        """Host and port to connect to: the proxy's, or else the upstream's."""
        return (self.proxy.hostname or "", self.proxy.port or 80) if self.proxy else (self.host, self.port)

    @property
    def proxy_headers(self) -> dict[str, str]:
        """The headers for the proxy in each request: none behind CONNECT, where the upstream would receive them."""
        return proxies.credentials(self.proxy) if self.proxy and self.scheme == "http" else {}

    def target(self, path: str) -> str:
        """Return the request line's target for a path below the base URL, whose query goes behind it."""
        # A proxy of plain HTTP needs the absolute form (RFC 9112, section 3.2.2).
        origin = f"{self.scheme}://{self.host_header}" if self.proxy and self.scheme == "http" else ""
        return f"{origin}{self.path}{path}" + (f"?{self.query}" if self.query else "")


def connect(route: Route, timeout: float, session: ssl.SSLSession | None = None) -> socket.socket:
    """Return an open connection, after at most `timeout` seconds for name, connection and handshake together.

    The TLS `session` of an earlier connection shortens the handshake: no certificate is sent and verified again.
    Raises UpstreamUnreachable, UpstreamTimeout, UpstreamTlsError, and ServerOverloaded if no file can be opened.
    """
    with contextlib.ExitStack() as on_error, _upstream_errors(timeout), gevent.Timeout(timeout, too_late(timeout)):
        connection = _connect_tcp(*route.first_hop, timeout)
        on_error.callback(connection.close)
        tcp.tune(connection, tcp.UPSTREAM_SECONDS)
        if route.scheme == "https":
            if route.proxy:
                proxies.open_tunnel(connection, route.proxy, route.host, route.port)
            # Wrap without a handshake: a timeout inside of `wrap_socket` would leave a TLS socket that nobody closes.
            connection = _tls_context().wrap_socket(
                connection, server_hostname=route.host, do_handshake_on_connect=False, session=session
            )
            on_error.callback(connection.close)
            connection.do_handshake()
        on_error.pop_all()
    return connection


def _connect_tcp(host: str, port: int, timeout: float) -> socket.socket:
    """Return a TCP connection to the first of a host's addresses that accepts one."""
    addresses = dns.addresses(host, port)
    for others_left, (family, address) in zip(reversed(range(len(addresses))), addresses, strict=True):
        connection = socket.socket(family)
        try:
            # A share for each, so that an address that drops packets leaves time for the next one.
            connection.settimeout(timeout / len(addresses))
            connection.connect(address)
            connection.settimeout(timeout)
            return connection
        except OSError:
            connection.close()
            # Raise here: an error kept for later would form a cycle with its traceback, which holds this frame.
            if not others_left:
                dns.forget(host, port)
                raise
        except BaseException:
            connection.close()
            raise
    dns.forget(host, port)
    raise OSError("the name has no address")


def too_late(seconds: float) -> UpstreamTimeout:
    """Return the error for a connection that did not stand within so many seconds."""
    reason = f"CONNECT_TIMEOUT of {seconds:g} s was reached"
    return UpstreamTimeout("connecting to the upstream took too long", reason=reason)


@contextlib.contextmanager
def _upstream_errors(timeout: float) -> Iterator[None]:
    """Translate the errors of sockets into upstream errors; a certificate's fault names the reason."""
    try:
        yield
    except ssl.SSLCertVerificationError as exc:
        raise UpstreamTlsError(f"the upstream's certificate is not valid: {exc.verify_message}") from exc
    except ssl.SSLError as exc:
        raise UpstreamTlsError("the TLS handshake with the upstream failed") from exc
    except TimeoutError as exc:
        raise too_late(timeout) from exc
    except UnicodeError as exc:  # IDNA cannot encode the name
        raise UpstreamUnreachable("the upstream can't be reached") from exc
    except OSError as exc:
        if exc.errno in OUT_OF_FILES:
            raise ServerOverloaded("the server has no file descriptor left for a connection to the upstream") from exc
        raise UpstreamUnreachable("the upstream can't be reached") from exc


@functools.cache
def _tls_context() -> ssl.SSLContext:
    # One for all upstreams, and only when it is needed: it reads the whole certificate store.
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
