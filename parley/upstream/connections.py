"""HTTP to one upstream: connections kept for the worker's life, and requests on them."""

import socket
import ssl
import time
from collections import deque
from collections.abc import Mapping

from parley.errors import UpstreamUnreachable
from parley.upstream.answer import Answer, NoAnswer
from parley.upstream.dialing import Route, dial

IDLE_SECONDS = 300.0
"""A connection that nobody has needed for so long is closed: after a burst, most of them."""


class Connections:
    """The way to one upstream. Idle connections wait here, the one used last in front; at most `max_idle`."""

    def __init__(self, base_url: str, *, max_idle: int, connect_timeout: float) -> None:
        self._route = Route.to(base_url)
        self._max_idle = max_idle
        self._connect_timeout = connect_timeout
        self._idle: deque[tuple[socket.socket, float]] = deque()
        self._session: ssl.SSLSession | None = None
        self._common_headers = {
            "host": self._route.host_header,
            "user-agent": "parley",
            "accept-encoding": "identity",
            **({} if self._route.scheme == "https" else self._route.proxy_headers()),
        }

    def request(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes = b"", timeout: float
    ) -> Answer:
        """Send a request; return the answer when its head has arrived, after at most `timeout` seconds in silence.

        A connection that closes without a byte is replaced by a fresh one, once: a kept one may have been
        closed by the upstream just now (RFC 9112, section 9.3.1). Redirects are not followed.
        Raises an UpstreamError.
        """
        request = self._written(method, path, headers, body)
        del body  # it is in the request, and may be large
        kept = self._take()
        try:
            return self._exchange(kept or self._dial(), request, timeout)
        except NoAnswer:
            return self._exchange(self._dial(), request, timeout)

    def open_ahead(self) -> None:
        """Open a connection for a later request. Raises an UpstreamError."""
        self._keep(self._dial())

    def missing(self, wanted: int) -> int:
        """How many idle connections are missing until so many are there; those that the upstream closed are let go."""
        kept = list(self._idle)
        self._idle.clear()
        for connection, since in kept:
            if _is_open(connection):
                self._idle.append((connection, since))
            else:
                connection.close()
        return max(0, min(wanted, self._max_idle) - len(self._idle))

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop()[0].close()

    def _exchange(self, connection: socket.socket, request: bytes, timeout: float) -> Answer:
        answer = Answer(connection, self._keep)
        try:
            _send(connection, request, timeout)
            answer.read_head(timeout)
        except BaseException:
            answer.close()
            raise
        return answer

    def _dial(self) -> socket.socket:
        return dial(self._route, self._connect_timeout, self._session)

    def _take(self) -> socket.socket | None:
        while self._idle:
            connection, _ = self._idle.pop()
            if _is_open(connection):
                return connection
            connection.close()
        return None

    def _keep(self, connection: socket.socket) -> None:
        if isinstance(connection, ssl.SSLSocket):
            self._session = connection.session
        now = time.monotonic()
        while self._idle and self._idle[0][1] < now - IDLE_SECONDS:
            self._idle.popleft()[0].close()
        if len(self._idle) < self._max_idle:
            self._idle.append((connection, now))
        else:
            connection.close()

    def _written(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        """The request in one piece, for one write. Values are checked before they get here: no line breaks."""
        length = {"content-length": str(len(body))} if body or method == "POST" else {}
        fields = {**self._common_headers, **headers, **length}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"{method} {self._route.target(path)} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body


def _send(connection: socket.socket, request: bytes, timeout: float) -> None:
    connection.settimeout(timeout)
    try:
        sent = connection.send(request)
        if sent < len(request):
            connection.sendall(memoryview(request)[sent:])
    except TimeoutError as exc:
        raise UpstreamUnreachable("the upstream does not read its request") from exc
    except OSError as exc:
        raise NoAnswer("the upstream closed the connection without an answer") from exc


def _is_open(connection: socket.socket) -> bool:
    """Whether an idle connection still stands: there is nothing to read on it, not even its end.

    Under TLS the attempt itself is needed, without waiting: what arrived may be a session ticket, or a goodbye.
    """
    connection.settimeout(0)
    try:
        connection.recv(1, 0 if isinstance(connection, ssl.SSLSocket) else socket.MSG_PEEK)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False
    return False
