"""One HTTP/1.1 answer, read from its socket as it arrives.

llhttp (through httptools) does the framing: chunked bodies with extensions and trailers, lengths, interim answers
(1xx), and its refusal of what smuggling is made of. Ours are the bounds, and the verdict on an end that came
too soon. All bytes of one receive leave together: that saves a write and a wake-up for each event but the first.
"""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable

import gevent
import httptools

from parley.concurrency import checkpoint
from parley.errors import (
    UpstreamBadResponse,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from parley.upstream.arrivals import Arrivals

RECEIVE_BYTES = 1 << 16
LARGE_RECEIVE_BYTES = 1 << 12
"""To take a larger one apart is a step of its own: it may hold thousands of chunks, or of headers."""
MAX_HEAD_BYTES = 1 << 16
MAX_WHOLE_BYTES = 16 << 20
DRAIN_BYTES = 1 << 16
DRAIN_SECONDS = 0.05


class NoAnswer(UpstreamUnreachable):
    """The connection closed before the first byte of an answer: another connection may fare better."""


class Answer:
    """An upstream's answer. Whoever opened it must close it, come what may.

    `keep` takes the socket back where the body has been read to its end and the upstream keeps the connection.
    """

    def __init__(self, connection: socket.socket, keep: Callable[[socket.socket], None]) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._connection = connection
        self._arrivals = Arrivals(connection.fileno())
        self._keep = keep
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._head_bytes = 0
        self._head_complete = False
        self._complete = False
        self._reusable = False
        self._closed = False

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case; empty where there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def read_head(self, timeout: float) -> None:
        """Wait for the status and headers, at most `timeout` seconds in silence.

        Raises NoAnswer, UpstreamTimeout, UpstreamDisconnected, UpstreamBadResponse.
        """
        self._connection.settimeout(0)
        while not self._head_complete:
            received = self._receive(time.monotonic() + timeout)
            if received is None:
                raise UpstreamTimeout("the upstream did not answer in time")
            if not received:
                raise self._broken()
            self._head_bytes += len(received)
            self._feed(received)
            if not self._head_complete and self._head_bytes > MAX_HEAD_BYTES:
                raise UpstreamBadResponse("the head of the upstream's answer is too large")
        if self.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise UpstreamBadResponse("the upstream's answer is compressed, which was not asked for")

    def receive(self, timeout: float) -> bytes | None:
        """The next bytes of the body; b"" at its end, None where none came in `timeout` seconds.

        Raises UpstreamDisconnected where the connection breaks before the body's end.
        """
        due = time.monotonic() + timeout
        while not self._pieces and not self._complete:
            received = self._receive(due)
            if received is None:
                return None
            if not received:
                self._end_by_close()
            else:
                self._feed(received)
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        return piece

    def read(self, timeout: float) -> bytes:
        """The whole body, at most `MAX_WHOLE_BYTES`, with at most `timeout` seconds in silence."""
        body = self.read_start(timeout, MAX_WHOLE_BYTES)
        if len(body) > MAX_WHOLE_BYTES:
            raise UpstreamBadResponse("the upstream's answer is too large")
        return body

    def read_start(self, timeout: float, enough: int) -> bytes:
        """The body as far as the receive that goes beyond `enough` bytes, with at most `timeout` seconds in silence."""
        pieces, size = [], 0
        while piece := self.receive(timeout):
            pieces.append(piece)
            size += len(piece)
            if size > enough:
                break
        if piece is None:
            raise UpstreamTimeout("the upstream fell silent inside its answer")
        return b"".join(pieces)

    def close(self) -> None:
        """Give the connection back if it can serve again, else close it, so that the upstream stops working."""
        if self._closed:
            return
        self._closed = True
        del self._parser  # it holds this answer, too: both would stay until the next garbage collection
        self._arrivals.close()
        if self._complete and self._reusable:
            self._keep(self._connection)
        else:
            self._connection.close()

    def settle(self) -> None:
        """Close an answer whose last event has been read, without keeping the caller waiting.

        What little may follow that event is read aside, so that the connection can serve again.
        """
        if self._complete:
            self.close()
        else:
            gevent.spawn(self._drain_and_close)

    def _drain_and_close(self) -> None:
        size = 0
        with gevent.Timeout(DRAIN_SECONDS, False), contextlib.suppress(UpstreamError):
            while size <= DRAIN_BYTES and (piece := self.receive(DRAIN_SECONDS)):
                size += len(piece)
        self.close()

    def _receive(self, due: float) -> bytes | None:
        """What has arrived; it is waited for in any case, so that an answer that never pauses starves no other."""
        while self._decrypted() or self._arrivals.wait(due - time.monotonic()):
            try:
                received = self._connection.recv(RECEIVE_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):  # half a record, or nothing after all
                continue
            except OSError as exc:
                raise self._broken() from exc
            if len(received) > LARGE_RECEIVE_BYTES:
                checkpoint()
            return received
        return None

    def _decrypted(self) -> int:
        """Bytes that TLS has received already, of which the socket says nothing."""
        return self._connection.pending() if isinstance(self._connection, ssl.SSLSocket) else 0

    def _feed(self, received: bytes) -> None:
        try:
            self._parser.feed_data(received)
        except httptools.HttpParserUpgrade as exc:
            raise UpstreamBadResponse("the upstream wants another protocol") from exc
        except httptools.HttpParserError as exc:
            if not self._complete:
                raise UpstreamBadResponse("the upstream's answer is not HTTP") from exc
            self._reusable = False

    def _broken(self) -> UpstreamError:
        if self._head_bytes == 0:
            return NoAnswer("the upstream closed the connection without an answer")
        return UpstreamDisconnected("the connection to the upstream broke inside its answer")

    def _end_by_close(self) -> None:
        """A close ends the body only where neither a length nor chunks say where it ends (RFC 9112, 6.3)."""
        if "content-length" in self.headers or "transfer-encoding" in self.headers:
            raise self._broken()
        self._complete = True

    # What llhttp calls, in this order.

    def on_message_begin(self) -> None:
        """Another message: the final answer after an interim one, or bytes that nobody asked for."""
        self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which counts for nothing."""
        if not self._head_complete:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The end of a head; that of an interim answer is forgotten."""
        if self._complete:
            return
        self.status = self._parser.get_status_code()
        self._head_complete = self.status >= 200
        if not self._head_complete:
            self.headers.clear()

    def on_body(self, piece: bytes) -> None:
        """Bytes of the body."""
        if not self._complete:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """The end of the body, or of an interim answer."""
        if not self._complete:
            self._complete = self._head_complete
            self._reusable = self._complete and self._parser.should_keep_alive()
