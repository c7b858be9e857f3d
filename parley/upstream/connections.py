"""HTTP to one upstream: a pool of connections kept for the worker's life, and answers read as they arrive.

urllib3 brings TLS, framing and reuse. Its exceptions end here: callers see Parley's.
"""

import contextlib
from collections.abc import Iterator, Mapping
from http.client import RemoteDisconnected

import gevent
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from parley.errors import (
    UpstreamBadResponse,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamStalled,
    UpstreamTimeout,
    UpstreamTlsError,
    UpstreamUnreachable,
)

RECEIVE_BYTES = 1 << 16
DRAIN_BYTES = 1 << 16
DRAIN_SECONDS = 0.05
MAX_WHOLE_BYTES = 16 << 20


class Answer:
    """An upstream's answer whose head has arrived. Whoever opened it must close it, come what may."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers
        self.media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()

    def received(self) -> Iterator[bytes]:
        """The body's bytes, piece by piece as they arrive.

        Raises UpstreamStalled for silence longer than the read timeout, UpstreamDisconnected where
        the connection breaks before the body's end.
        """
        try:
            while piece := self._response.read1(RECEIVE_BYTES, decode_content=False):
                yield piece
        except ReadTimeoutError as exc:
            raise UpstreamStalled("the upstream fell silent inside its answer") from exc
        except (HTTPError, OSError) as exc:
            raise UpstreamDisconnected("the connection to the upstream broke inside its answer") from exc

    def read(self) -> bytes:
        """The whole body, at most `MAX_WHOLE_BYTES`. Raises UpstreamBadResponse above that."""
        pieces, size = [], 0
        for piece in self.received():
            size += len(piece)
            if size > MAX_WHOLE_BYTES:
                raise UpstreamBadResponse("the upstream's answer is too large")
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Give the connection back if the body is at its end, else close it, so that the upstream stops."""
        if not self._response.closed:
            self._response.close()
        self._response.release_conn()

    def settle(self) -> None:
        """Close an answer whose last event has been read, without keeping the caller waiting.

        What little may follow that event is read aside, so that the connection can serve again.
        """
        gevent.spawn(self._drain_and_close)

    def _drain_and_close(self) -> None:
        size = 0
        with gevent.Timeout(DRAIN_SECONDS, False), contextlib.suppress(UpstreamError):
            for piece in self.received():
                size += len(piece)
                if size > DRAIN_BYTES:
                    break
        self.close()


class Connections:
    """The way to one upstream."""

    def __init__(self, base_url: str, *, pool_size: int, connect_timeout: float) -> None:
        parts = urllib3.util.parse_url(base_url)
        self._path = (parts.path or "").rstrip("/")
        self._connect_timeout = connect_timeout
        self._pool = urllib3.connection_from_url(base_url, maxsize=pool_size, block=False)

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        read_timeout: float,
    ) -> Answer:
        """Send a request and wait for the answer's head; `read_timeout` bounds each silence, in seconds.

        Nothing is retried but a kept connection that the upstream closed before it said a byte: that
        race belongs to keep-alive (RFC 9112, section 9.3.1), and a fresh connection settles it.
        Redirects are not followed. Raises UpstreamUnreachable, UpstreamTimeout, UpstreamTlsError.
        """
        try:
            return self._once(method, path, headers, body, read_timeout)
        except ProtocolError as exc:
            if not isinstance(exc.args[-1], RemoteDisconnected | ConnectionResetError | BrokenPipeError):
                raise UpstreamBadResponse("the upstream's answer is not HTTP") from exc
        try:
            return self._once(method, path, headers, body, read_timeout)
        except ProtocolError as exc:
            raise UpstreamUnreachable("the upstream closed the connection without an answer") from exc

    def _once(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, read_timeout: float
    ) -> Answer:
        try:
            response = self._pool.urlopen(
                method,
                self._path + path,
                body=body,
                headers={"accept-encoding": "identity", "user-agent": "parley", **headers},
                timeout=urllib3.Timeout(connect=self._connect_timeout, read=read_timeout),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except ConnectTimeoutError as exc:
            # Refused and unknown hosts arrive as a kind of connect timeout, too (NewConnectionError).
            if isinstance(exc, urllib3.exceptions.NewConnectionError):
                raise UpstreamUnreachable("the upstream can't be reached") from exc
            raise UpstreamTimeout("connecting to the upstream took too long") from exc
        except ReadTimeoutError as exc:
            raise UpstreamTimeout("the upstream did not answer in time") from exc
        except SSLError as exc:
            raise UpstreamTlsError("the upstream's TLS certificate or handshake is at fault") from exc
        except ProtocolError:
            raise
        except (HTTPError, OSError) as exc:
            raise UpstreamUnreachable("the upstream can't be reached") from exc
        return Answer(response)
