"""The caller's connection: receiving and sending promptly, reading a body, noticing that the caller has left.

gunicorn owns the socket and the framing of HTTP; this module adds what it lacks, a bound on each thing that a client
may do with its connection. Which connections are ended when slots run short is decided in `parley/server/`.

A connection is in one of three states:

    silent    between two requests, or while the rest of a refused body is thrown away: may be ended for another's sake
    in a head silent still, but part of a request's head has come: the rest must follow soon
    busy      a request is being answered: the connection ends with its answer, or when its client leaves
"""

import contextlib
import select
import socket
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

import gevent.socket
import gevent.ssl
from gevent import get_hub, getcurrent, monkey
from gunicorn.http.errors import ParseException

from parley import tcp
from parley.concurrency import checkpoint
from parley.errors import InvalidRequest, RequestTimeout, RequestTooLarge
from parley.wire import sse

MAX_REFUSALS = 10
"""Refused requests in a row that one connection may send before it is closed."""
DISCARD_BYTES = 1 << 24
"""Largest rest of a refused body that is read away, for the sake of a client that reads its answer only then."""
DISCARD_SECONDS = 10
"""Longest time to read such a rest away, in seconds."""
LINGER_SECONDS = 1
"""Like DISCARD_SECONDS, on a connection that closes: an answer has time to arrive, and strangers do not pile up."""
READ = 1
"""libev's flag for a socket that is readable."""
POLL_SECONDS = 0.05
"""Seconds between two looks at the state of a connection whose next request has come early."""
_STEP_BYTES = 1 << 16
_CHUNKED = b"\r\nTransfer-Encoding: chunked\r\n"
"""Part of the head of each streamed answer; such a head is always followed by more, at least by the last chunk."""
_LAST_EVENT = sse.DONE + b"\r\n"
"""End of the last chunk but the empty one; nothing else that gunicorn sends ends like this."""
_select_poll = monkey.get_original("select", "poll")
"""The system's own call: gevent's would wait in the event loop, from which the watcher is called."""


class Source(Protocol):
    """A WSGI input: gives less than was asked for only at the body's end."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes."""


class Registry(Protocol):
    """The server's table of connections, as far as a connection tells it of its state."""

    def silent(self, connection: "ClientConnection") -> None:
        """Note that a connection may be ended from now on."""

    def busy(self, connection: "ClientConnection") -> None:
        """Note that a connection may not be ended any more."""

    def in_head(self, connection: "ClientConnection") -> None:
        """Note that part of a request's head has come."""


class ConnectionEnded(BaseException):
    """Thrown into the greenlet of a silent connection to end it."""


class ClientConnection:
    """State of one client's connection, from accept to close; found from its greenlet by `current()`.

    `is_known` turns true with the first request that showed a valid key (or needed none).
    """

    __slots__ = ("_greenlet", "_receives", "_registry", "_request", "body_is_read", "is_known", "is_silent", "refusals")

    def __init__(self, registry: Registry | None = None) -> None:
        self._greenlet: gevent.Greenlet | None = getcurrent()
        self.is_known = False
        self.is_silent = False
        self.refusals = 0
        self.body_is_read = False
        self._registry = registry
        self._request: Any = None
        self._receives = 0

    def begin(self, request: Any) -> None:
        """Take gunicorn's next request of this connection."""
        self._request = request
        self.body_is_read = False

    def close(self) -> None:
        """Let go of the greenlet and the request when the connection has ended.

        Break the cycles greenlet -> context -> connection -> greenlet, and those of gunicorn's reader of chunks, which
        would otherwise live until the next full collection.
        """
        if self._request is not None:
            # gunicorn's reader of chunks and its parser, a generator, hold each other.
            self._request.body.reader.parser = None
            self._request.body = None
        self._request = None
        self._greenlet = None

    def end(self) -> None:
        """End the connection if it is silent still; to be called from the event loop."""
        if self.is_silent and self._greenlet is not None:
            self._greenlet.throw(ConnectionEnded)

    def accepted(self) -> None:
        """Note that the request was allowed in: this connection is ended only after those of strangers."""
        self.is_known = True
        self.refusals = 0

    def refused(self) -> None:
        """Note that the request was refused; after MAX_REFUSALS in a row the connection closes with this answer."""
        self.refusals += 1
        if self.refusals >= MAX_REFUSALS:
            self.close_after_answer()

    def close_after_answer(self) -> None:
        """Close when the answer has been sent, and say so in its head if that has not been sent yet."""
        if self._request is not None:
            self._request.force_close()

    @property
    def is_stranger(self) -> bool:
        """True if it has had a request, but none that was accepted: whoever comes now goes first."""
        return self._request is not None and not self.is_known

    @property
    def is_closing(self) -> bool:
        """True if the connection closes with the present answer."""
        return self._request is not None and bool(self._request.must_close)

    @property
    def has_bytes_ahead(self) -> bool:
        """True if the next request, or part of it, has come with the one before."""
        return self._request is not None and bool(self._request.unreader.buf.tell())

    def receiving(self) -> None:
        """Note a receive; a second one in the same silence means that the first brought part of a head."""
        if self.is_silent:
            self._receives += 1
            if self._receives == 2 and self._registry:
                self._registry.in_head(self)

    def silence(self) -> "ClientConnection":
        """Return the context in which the connection is silent; the block ends early, without an error, with it."""
        return self

    def __enter__(self) -> None:
        self.is_silent = True
        self._receives = int(self.has_bytes_ahead)
        if self._registry:
            self._registry.silent(self)

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> bool:
        self.is_silent = False
        if self._registry:
            self._registry.busy(self)
        return kind is ConnectionEnded


_current: ContextVar[ClientConnection | None] = ContextVar("client_connection", default=None)


def current() -> ClientConnection:
    """Return the connection whose greenlet runs now; outside a gunicorn worker one that nobody else knows."""
    return _current.get() or ClientConnection()


def opened(client: socket.socket, registry: Registry) -> ClientConnection:
    """Return a new connection's state, current from now on, and make its socket one of ours."""
    connection = ClientConnection(registry)
    _current.set(connection)
    if type(client) is gevent.socket.socket:
        client.__class__ = ClientSocket
    elif type(client) is gevent.ssl.SSLSocket:
        client.__class__ = ClientTlsSocket
    return connection


class _Receiving:
    """A client's socket which lets the event loop run after each receive: a fast sender never makes us wait."""

    __slots__ = ()

    def recv(self, *args: Any) -> bytes:
        """Receive as the socket below does."""
        connection = current()
        connection.receiving()
        received: bytes = super().recv(*args)  # type: ignore[misc] # the socket's own
        # A fast sender's bytes are always there already: without this no other greenlet would run until it pauses.
        checkpoint(background=connection.is_stranger)
        return received


class ClientTlsSocket(_Receiving, gevent.ssl.SSLSocket):  # type: ignore[misc] # it carries no types
    """A client's connection under TLS, where gunicorn has certificates."""

    def sendall(self, data: bytes, flags: int = 0) -> None:
        """Send as `ClientSocket` does, without flags, which TLS lacks."""
        tcp.send_all(self, data)


class ClientSocket(_Receiving, gevent.socket.socket):  # type: ignore[misc] # it carries no types
    """A client's connection, whose `sendall` does the common case first: all data fits into the kernel's buffer.

    The head of a stream waits in the kernel for its first events (MSG_MORE), so that both travel in one packet, and the
    last events for the end of the chunks, which gunicorn writes as soon as the turn is closed: a packet costs more than
    all else about a write.
    """

    __slots__ = ()

    def sendall(self, data: bytes, flags: int = 0) -> None:
        """Send as the socket below does."""
        if data.endswith(_LAST_EVENT) or (data.startswith(b"HTTP/1.") and _CHUNKED in data):
            flags |= socket.MSG_MORE
        # perf: saves 10 % of a chunk (S3): gevent's own sendall asks for the size of the send buffer each time.
        try:
            sent = self._sock.send(data, flags)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            tcp.send_all(self, memoryview(data)[sent:], flags)


def read_body(source: Source, limit: int, seconds: float, announced: int | None) -> bytes:
    """Return a request's whole body; `announced` is its Content-Length, None where it comes in chunks.

    Raises RequestTooLarge, RequestTimeout, and InvalidRequest for a body that breaks off or is badly framed.
    """
    if (announced or 0) > limit:
        raise RequestTooLarge(f"the body is larger than {limit} bytes")
    late = RequestTimeout(f"the body did not arrive within {seconds} seconds")
    try:
        with gevent.Timeout(seconds, late):
            # One byte more than is allowed, so that a body in chunks is refused, not truncated.
            body = source.read(limit + 1)
    except (OSError, ParseException) as exc:
        raise InvalidRequest("the body broke off or is badly framed", code="invalid_json") from exc
    if len(body) > limit:
        raise RequestTooLarge(f"the body is larger than {limit} bytes")
    if len(body) < (announced or 0):
        raise InvalidRequest("the body is shorter than its Content-Length", code="invalid_json")
    current().body_is_read = True
    return body


def discard_body(source: Source, client: socket.socket) -> None:
    """Read away, after the answer, the rest of a refused body; close the connection if that can't be done.

    A connection that is closed on unread bytes is reset, and its client may lose the answer; one that stays open must
    not take them for the next request.
    """
    connection = current()
    is_over = False
    seconds = LINGER_SECONDS if connection.is_closing else DISCARD_SECONDS
    # Silent meanwhile: where slots run short, such a connection may be ended for another's sake.
    with (
        contextlib.suppress(OSError, ParseException),
        connection.silence(),
        gevent.Timeout(seconds, False),
    ):
        # On a connection that closes anyway the bytes are read as they come: parsing chunks of one byte would cost a
        # stranger nothing, and us a thousand times as much.
        is_over = not connection.is_closing and _discard(source.read)
        if not is_over:
            # The client sees the end of the answer, and stops sending.
            client.shutdown(socket.SHUT_WR)
            _discard(client.recv)
    if not is_over:
        connection.close_after_answer()


def _discard(read: Callable[[int], bytes]) -> bool:
    """Read to the end; return False if there is more than DISCARD_BYTES."""
    left = DISCARD_BYTES
    while left > 0:
        piece = read(_STEP_BYTES)
        if not piece:
            return True
        left -= len(piece)
    return False


class ClientWatcher:
    """Calls `left` once, from the event loop, when the client closes its end or the connection breaks.

        watching the socket --> readable, nothing to read ------------> left
                            --> readable, the next request has come --> polling for the end behind it --> left

    WSGI notices that a client has gone only at the second write after it, and never before the first token. A client
    that closes only its sending half counts as gone: HTTP clients don't do that and stay.
    """

    def __init__(self, client: socket.socket, left: Callable[[], None]) -> None:
        self._client = client
        # gevent's sockets wait for data; the plain socket inside answers at once.
        self._plain: socket.socket = getattr(client, "_sock", client)
        self._left = left
        self._loop = get_hub().loop
        # gunicorn has no send timeout.
        client.settimeout(tcp.CLIENT_SECONDS)
        self._watcher = self._loop.io(client.fileno(), READ)
        self._watcher.start(self._readable)

    def stop(self) -> None:
        """Stop watching; the socket waits for its next request as before."""
        self._watcher.stop()
        self._watcher.close()
        with contextlib.suppress(OSError):
            self._client.settimeout(None)

    def _readable(self) -> None:
        # A peek: the byte belongs to the next request.
        try:
            gone = not self._plain.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            gone = True
        if gone:
            self._report()
        else:
            self._poll()

    def _poll(self) -> None:
        """Ask for the connection's state from time to time: with a request waiting, the socket stays readable."""
        self._watcher.stop()
        self._watcher.close()
        self._watcher = self._loop.timer(POLL_SECONDS, repeat=POLL_SECONDS)
        self._watcher.start(self._check_state)

    def _check_state(self) -> None:
        # Of TCP and Unix sockets alike; an error and a hang-up are told without being asked for.
        state = _select_poll()
        try:
            state.register(self._plain, select.POLLRDHUP)
            gone = bool(state.poll(0))
        except (OSError, ValueError):  # closed meanwhile
            gone = True
        if gone:
            self._report()

    def _report(self) -> None:
        self._watcher.stop()
        self._left()
