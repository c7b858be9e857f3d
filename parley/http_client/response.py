"""One HTTP/1.1 exchange on a socket: the request is sent, the response read as it arrives.

llhttp (through httptools) does the framing: chunked bodies with extensions and trailers, lengths, interim responses
(1xx), and the refusal of ambiguous framing, which request smuggling relies on. The bounds, and the decision whether an
end came too soon, are made here. All bytes of one receive leave together: that saves a write and a wake-up for each
event but the first.

    sending    `send`; an answer that comes before the request has left ends it, for its rest would be read by nobody
    head       interim responses are dropped; ends with a status >= 200 (`read_head`)
    body       `receive` until b"", or `read` for all of it
    complete   the body has ended: by its length, its last chunk, or the connection's end if it has neither
    closed     `close`, from any state: the connection is kept if complete and reusable, else closed
"""

import contextlib
import math
import socket
import ssl
import time
from collections.abc import Callable

import gevent
import gevent.socket
import httptools

from parley import tcp
from parley.concurrency import checkpoint
from parley.errors import (
    UpstreamBadResponse,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from parley.http_client.read_waiter import READ, ReadWaiter

RECEIVE_BYTES = 1 << 16
"""Most bytes of one receive."""
LARGE_RECEIVE_BYTES = 1 << 12
"""Bytes above which the parsing of a receive is a step of its own: it may hold thousands of chunks, or of headers."""
UPLOAD_BYTES = 1 << 15
"""Size of a request, in bytes, above which an answer is looked for while it is sent, in pieces of this size."""
WRITE = 2
"""libev's event mask for a writable file."""
MAX_HEAD_BYTES = 1 << 16
"""Limit of the heads of a response, interim ones included, in bytes."""
MAX_WHOLE_BYTES = 16 << 20
"""Limit of a body that is read as a whole, in bytes."""
DRAIN_BYTES = 1 << 16
"""Bytes behind the last event that are read to keep a connection."""
DRAIN_SECONDS = 0.05
"""Seconds for which the end behind the last event is waited for."""


class NoResponse(UpstreamUnreachable):
    """The connection closed before the first byte of a response: another connection may work."""


class HttpResponse:
    """An upstream's response. Must be closed by its owner, in every case.

    `keep` is called with the socket when the body has been read to its end and the upstream keeps the connection;
    otherwise the socket is closed, and `dropped` is called.
    """

    def __init__(
        self,
        connection: socket.socket,
        keep: Callable[[socket.socket], None],
        dropped: Callable[[], None] | None = None,
    ) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.sent_at = math.inf
        self._connection = connection
        self._read_waiter = ReadWaiter(connection.fileno())
        self._keep = keep
        self._dropped = dropped
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._head_bytes = 0
        self._head_complete = False
        self._complete = False
        self._reusable = False
        self._is_upload = False
        self._cut_short = False
        self._closed = False

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case; empty if the response names none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def send(self, request: bytes, timeout: float) -> None:
        """Send a request, within `timeout` seconds; stop as soon as the upstream answers, or takes no more.

        What became of it is for `read_head` to find out. Raises UpstreamUnreachable if the upstream does not read.
        """
        self.sent_at = time.monotonic()
        due = self.sent_at + timeout
        self._is_upload = len(request) > UPLOAD_BYTES
        self._connection.settimeout(timeout)
        try:
            # Under TLS a write ends with its last byte: a large request is written in pieces from the beginning.
            in_pieces = isinstance(self._connection, ssl.SSLSocket) and self._is_upload
            sent = 0 if in_pieces else self._connection.send(request)
            if sent < len(request):
                self._send_rest(memoryview(request)[sent:], due)
        except TimeoutError as exc:
            raise UpstreamUnreachable("the upstream does not read its request") from exc
        except OSError:
            # It may have answered before it closed the connection, which breaks the sending before the answer is read.
            self._cut_short = True

    def _send_rest(self, rest: memoryview, due: float) -> None:
        """Send what did not fit into the socket's buffer, and look for an answer meanwhile."""
        self._connection.settimeout(0)
        ready = gevent.get_hub().loop.io(self._connection.fileno(), READ | WRITE)
        try:
            while rest:
                gevent.socket.wait(ready, max(0.001, due - time.monotonic()))
                with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
                    received = self._connection.recv(RECEIVE_BYTES)
                    # An interim response (100, 103) is no answer. At the end of the connection nobody reads any more.
                    if not received or self._feed_head(received):
                        self._cut_short = True
                        return
                with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    rest = rest[self._connection.send(rest[:UPLOAD_BYTES]) :]
        finally:
            ready.close()

    @property
    def has_begun(self) -> bool:
        """True if the first byte of the response has come."""
        return self._head_bytes > 0

    def read_head(self, timeout: float) -> None:
        """Read the status and the headers, waiting at most `timeout` seconds at a time.

        Raises NoResponse, UpstreamTimeout, UpstreamDisconnected, UpstreamBadResponse.
        """
        if not self.reads_head_within(timeout):
            raise UpstreamTimeout("the upstream did not answer in time")

    def reads_head_within(self, seconds: float) -> bool:
        """Read the status and the headers; return False if nothing came for `seconds`. May be called again then.

        Raises NoResponse, UpstreamDisconnected, UpstreamBadResponse.
        """
        self._connection.settimeout(0)
        while not self._head_complete:
            received = self._receive(time.monotonic() + seconds)
            if received is None:
                return False
            if not received:
                raise self._broken()
            self._feed_head(received)
            if not self._pieces and not self._complete:
                tcp.acknowledge_at_once(self._connection)
        return True

    def _feed_head(self, received: bytes) -> bool:
        """Parse bytes of the head; return true if it is complete."""
        self._head_bytes += len(received)
        self._feed(received)
        if not self._head_complete and self._head_bytes > MAX_HEAD_BYTES:
            raise UpstreamBadResponse("the head of the upstream's answer is too large")
        return self._head_complete

    def receive(self, timeout: float) -> bytes | None:
        """Return the next bytes of the body; b"" at its end, None if none came within `timeout` seconds.

        Raises UpstreamDisconnected if the connection breaks before the body's end.
        """
        due = time.monotonic() + timeout
        while not self._pieces and not self._complete:
            received = self._receive(due)
            if received is None:
                return None
            if received:
                self._feed(received)
                if not self._pieces and not self._complete:
                    # The rest of a piece that the upstream wrote in parts may wait for it.
                    tcp.acknowledge_at_once(self._connection)
            elif self.status < 400 and ("content-length" in self.headers or "transfer-encoding" in self.headers):
                raise self._broken()
            else:
                # Without a length and without chunks the close is the body's end (RFC 9112, section 6.3). A refusal
                # is one however its body ends: an upstream that reads no request breaks its own answer off.
                self._complete = True
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        return piece

    def unread(self, received: bytes) -> None:
        """Give back bytes of the body, which the next `receive` returns."""
        if received:
            self._pieces.insert(0, received)

    def read(self, timeout: float) -> bytes:
        """Return the whole body, waiting at most `timeout` seconds at a time.

        Raises UpstreamBadResponse above `MAX_WHOLE_BYTES`, UpstreamTimeout, UpstreamDisconnected.
        """
        body = self.read_start(timeout, MAX_WHOLE_BYTES)
        if len(body) > MAX_WHOLE_BYTES:
            raise UpstreamBadResponse("the upstream's answer is too large")
        return body

    def read_start(self, timeout: float, enough: int) -> bytes:
        """Return the body up to the receive that exceeds `enough` bytes; see `read`."""
        pieces, size = [], 0
        while piece := self.receive(timeout):
            pieces.append(piece)
            size += len(piece)
            if size > enough:
                break
        # A refusal counts though its words are missing.
        if piece is None and self.status < 400:
            raise UpstreamTimeout("the upstream fell silent inside its answer")
        return b"".join(pieces)

    def close(self) -> None:
        """Hand the connection back if it can serve again, else close it, which makes the upstream stop its work."""
        if self._closed:
            return
        self._closed = True
        # Break the cycle response -> parser -> response, which would otherwise live until the next full collection.
        del self._parser
        self._read_waiter.close()
        # A large request that was refused may not have been read: then its rest stands before the next one.
        is_unread = self._cut_short or (self._is_upload and self.status >= 400)
        if self._complete and self._reusable and not is_unread:
            self._keep(self._connection)
        else:
            self._connection.close()
            if self._dropped:
                self._dropped()

    def drain_and_close(self) -> None:
        """Close a response whose last event has been read, without keeping the caller waiting.

        The few bytes that may follow that event are read in a greenlet, so that the connection can serve again.
        """
        if self._complete:
            self.close()
        else:
            gevent.spawn(self._drain)

    def _drain(self) -> None:
        size = 0
        with gevent.Timeout(DRAIN_SECONDS, False), contextlib.suppress(UpstreamError):
            while size <= DRAIN_BYTES and (piece := self.receive(DRAIN_SECONDS)):
                size += len(piece)
        self.close()

    def _receive(self, due: float) -> bytes | None:
        """Return the bytes that arrive next; b"" at the connection's end, None if none came before `due`."""
        while True:
            # The event loop knows nothing of bytes that TLS has decrypted already. All others are waited for even
            # if they are there, so that a response that never pauses lets other greenlets run.
            decrypted = self._connection.pending() if isinstance(self._connection, ssl.SSLSocket) else 0
            if not decrypted and not self._read_waiter.wait(due - time.monotonic()):
                return None
            try:
                received = self._connection.recv(RECEIVE_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):  # half a TLS record, or a spurious wake-up
                continue
            except OSError as exc:
                if self.status >= 400:
                    return b""
                raise self._broken() from exc
            if len(received) > LARGE_RECEIVE_BYTES:
                checkpoint()
            return received

    def _feed(self, received: bytes) -> None:
        """Parse bytes, which calls the `on_...` methods."""
        try:
            self._parser.feed_data(received)
        except httptools.HttpParserUpgrade as exc:
            raise UpstreamBadResponse("the upstream wants another protocol") from exc
        except httptools.HttpParserError as exc:
            if not self._complete:
                raise UpstreamBadResponse("the upstream's answer is not HTTP") from exc
            # Garbage behind a complete body harms nobody but the next response on this connection.
            self._reusable = False

    def _broken(self) -> UpstreamError:
        """Return the error for a connection that ended or failed too soon."""
        if self._head_bytes == 0:
            return NoResponse("the upstream closed the connection without an answer")
        return UpstreamDisconnected("the connection to the upstream broke inside its answer")

    # Callbacks of llhttp, in the order in which it calls them.

    def on_message_begin(self) -> None:
        """Note that a message begins: the final response behind an interim one, or bytes that were not asked for."""
        self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header; a trailer is dropped."""
        if not self._head_complete:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Take the status of the final response; drop the headers of an interim one."""
        if self._complete:
            return
        self.status = self._parser.get_status_code()
        self._head_complete = self.status >= 200
        if not self._head_complete:
            self.headers.clear()

    def on_body(self, piece: bytes) -> None:
        """Store bytes of the body; those of a second response are dropped."""
        if not self._complete:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """Note the end of the body; that of an interim response changes nothing."""
        if not self._complete:
            self._complete = self._head_complete
            self._reusable = self._complete and self._parser.should_keep_alive()
