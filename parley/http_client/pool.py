"""Connections to one upstream, kept for the worker's life, and requests on them."""

import socket
import ssl
import time
from collections import deque
from collections.abc import Mapping

from parley.http_client.connect import Route, connect
from parley.http_client.response import HttpResponse, NoResponse

IDLE_SECONDS = 300.0
"""Seconds after which an idle connection is closed; after a burst, that is most of them."""


class ConnectionPool:
    """Connections to one upstream. At most `max_idle` idle ones are kept; the one used last serves next."""

    def __init__(self, base_url: str, *, max_idle: int, connect_timeout: float) -> None:
        self._route = Route.to(base_url)
        self._max_idle = max_idle
        self._connect_timeout = connect_timeout
        # The one used last at the right end: those at the left are the ones that a burst left over.
        self._idle: deque[tuple[socket.socket, float]] = deque()
        self._session: ssl.SSLSession | None = None
        self._common_headers = {
            "host": self._route.host_header,
            "user-agent": "parley",
            "accept-encoding": "identity",
            **self._route.proxy_headers,
        }

    def request(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes = b"", timeout: float
    ) -> HttpResponse:
        """Send a request; return the response when its head has arrived, after at most `timeout` seconds of silence.

        Header values must hold no line breaks. A connection that closes without a byte is replaced by a fresh one,
        once. Redirects are not followed. Raises UpstreamError.
        """
        length = {"content-length": str(len(body))} if body or method == "POST" else {}
        fields = {**self._common_headers, **headers, **length}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        # Head and body in one piece: one write, and one packet for most questions.
        request = f"{method} {self._route.target(path)} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body
        del body  # part of the request now, and perhaps large
        connection = None
        while self._idle and connection is None:
            connection, _ = self._idle.pop()
            if not _is_open(connection):
                connection.close()
                connection = None
        try:
            return self._exchange(connection or self._connect(), request, timeout)
        except NoResponse:
            # The upstream may have closed the connection just when the request left (RFC 9112, section 9.3.1).
            return self._exchange(self._connect(), request, timeout)

    def open_ahead(self) -> None:
        """Open a connection for a later request. Raises UpstreamError."""
        self._keep(self._connect())

    def missing(self, wanted: int) -> int:
        """Return how many idle connections have to be opened to have `wanted` of them, `max_idle` at most.

        Idle connections that the upstream has closed are dropped.
        """
        idle = list(self._idle)
        self._idle.clear()
        for connection, since in idle:
            if _is_open(connection):
                self._idle.append((connection, since))
            else:
                connection.close()
        return max(0, min(wanted, self._max_idle) - len(self._idle))

    def close(self) -> None:
        """Close the idle connections, and each further one as soon as it is given back."""
        self._max_idle = 0
        while self._idle:
            self._idle.pop()[0].close()

    def _exchange(self, connection: socket.socket, request: bytes, timeout: float) -> HttpResponse:
        """Send a request, in one write if it fits; return the response when its head has arrived."""
        response = HttpResponse(connection, self._keep)
        try:
            response.send(request, timeout)
            response.read_head(timeout)
        except BaseException:
            response.close()
            raise
        return response

    def _connect(self) -> socket.socket:
        return connect(self._route, self._connect_timeout, self._session)

    def _keep(self, connection: socket.socket) -> None:
        """Keep a connection for a later request, or close it if enough are idle."""
        # Taken here, not after the handshake: TLS 1.3 sends the session behind the handshake.
        if isinstance(connection, ssl.SSLSocket):
            self._session = connection.session
        now = time.monotonic()
        while self._idle and self._idle[0][1] < now - IDLE_SECONDS:
            self._idle.popleft()[0].close()
        if len(self._idle) < self._max_idle:
            self._idle.append((connection, now))
        else:
            connection.close()


def _is_open(connection: socket.socket) -> bool:
    """Return False if an idle connection has ended, or if the upstream sent something unasked."""
    connection.settimeout(0)
    try:
        # Under TLS only a real read tells: the bytes that arrived may be a session ticket, or the end of the session.
        connection.recv(1, 0 if isinstance(connection, ssl.SSLSocket) else socket.MSG_PEEK)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False
    return False
