"""Connections to one upstream, kept for the worker's life, and requests on them.

                 fresh ──────────────┐
                                     ▼
    opened ahead ──► idle ───► in a request ──► read to its end ──► idle
                      │              │
                      │              └─ broken, or given up ──► closed
                      └─ closed by the upstream, or idle for too long ──► closed

An idle connection may be dead without a sign: a firewall has forgotten it, and packets vanish. So a kept connection
whose request gets no byte of an answer is suspected, all idle ones are closed, and the request is sent once more on a
fresh connection beside it; the answer that comes first is used. It is suspected

    unacknowledged   the upstream's system has not acknowledged the request, which then has hardly arrived
    silent           for longer than the caller of `request` names, and than twice the slowest of the latest answers

A request may be repeated as long as no byte of its answer has come: a chat completion, an embedding and a list of
models change nothing at the upstream, and a second one costs tokens at most. So silence alone needs leave
(`may_repeat`); for a request that has not been acknowledged none is needed. A request that may have an effect (`again`
is False) is never repeated, whatever became of it.

A plain `http://` upstream may be a small server whose few threads each serve one connection from its accept to its
close. An idle connection to it holds a thread and saves less than a millisecond, so it is closed after a second, and at
once while a request on a fresh connection has been waiting for its answer for half a second.
"""

import contextlib
import math
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping

import gevent

from parley import tcp
from parley.concurrency import Failure, outcome_of, result_of
from parley.errors import UpstreamBadResponse, UpstreamDisconnected, UpstreamUnreachable
from parley.http_client.connect import Route, connect
from parley.http_client.response import HttpResponse, NoResponse

IDLE_SECONDS = 300.0
"""Seconds after which an idle connection is closed; after a burst, that is most of them."""
PLAIN_IDLE_SECONDS = 1.0
"""Seconds after which an idle connection without TLS is closed."""
PLAIN_LATE_SECONDS = 0.5
"""Seconds without an answer on a fresh connection without TLS after which idle ones are closed in its favour."""
SURE_IDLE_SECONDS = 30.0
"""Seconds of idleness up to which a kept connection serves a request that can't be repeated: the older it is, the more
likely an upstream closes it just now, or a firewall has forgotten it."""
LOOK_SECONDS = 0.2
"""Seconds between two looks at a request that has no answer yet."""
STEP_SECONDS = 0.01
"""Seconds by which the first of two responses may be noticed late."""


class ConnectionPool:
    """Connections to one upstream. At most `max_idle` idle ones are kept; the one used last serves next.

    With `keeps_spares` idle connections are kept without TLS, too.
    """

    def __init__(
        self,
        base_url: str,
        *,
        max_idle: int,
        connect_timeout: float,
        keeps_spares: bool = False,
    ) -> None:
        self._route = Route.to(base_url)
        self._max_idle = max_idle
        self._connect_timeout = connect_timeout
        self._is_plain = self._route.scheme != "https"
        self._idle_seconds = PLAIN_IDLE_SECONDS if self._is_plain and not keeps_spares else IDLE_SECONDS
        # The one used last at the right end: those at the left are the ones that a burst left over.
        self._idle: deque[tuple[socket.socket, float]] = deque()
        self._expiry_planned = False
        self._session: ssl.SSLSession | None = None
        # Seconds until an answer began, by the media type that was asked for: whole answers take longer than streams.
        self._slowest: dict[str, float] = {}
        # Requests on fresh connections without TLS that wait for long.
        self._late = 0
        self.may_repeat: Callable[[], bool] = lambda: True
        """Returns True if one more request may be sent because of silence alone, and takes it from a budget."""
        self.lost = 0
        """Idle connections that the upstream closed, so far."""
        self.on_change: Callable[[bool], None] | None = None
        """Called with True when a connection is kept after an answer, with False when one is closed."""
        self.on_suspicion: Callable[[], None] | None = None
        """Called when a kept connection is suspected."""
        self._common_headers = {
            "host": self._route.host_header,
            "user-agent": "parley",
            "accept-encoding": "identity",
            **self._route.proxy_headers,
        }

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        timeout: float,
        suspect_after: float = math.inf,
        again: bool = True,
    ) -> HttpResponse:
        """Send a request; return the response when its head has arrived, after at most `timeout` seconds of silence.

        Header values must hold no line breaks. A connection that closes without a byte is replaced by a fresh one,
        once; a kept connection is suspected after `suspect_after` seconds of silence, or later. With `again` False the
        request is sent once: it may have an effect, and a second one would double it. Redirects are not followed.
        Raises UpstreamError.
        """
        length = {"content-length": str(len(body))} if body or method == "POST" else {}
        fields = {**self._common_headers, **headers, **length}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        # Head and body in one piece: one write, and one packet for most questions.
        request = f"{method} {self._route.target(path)} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body
        del body  # part of the request now, and perhaps large
        kind = headers.get("accept", "")
        kept = self.take_idle(math.inf if again else SURE_IDLE_SECONDS)
        try:
            if kept and again:
                due = max(suspect_after, 2 * self._slowest.get(kind, 0.0))
                response = self._exchange(kept, request, timeout, due)
            else:
                # As on a fresh connection where nothing may be repeated: its silence is waited for.
                response = self._exchange(kept or self._connect(), request, timeout)
        except NoResponse as error:
            if not again:
                raise
            # The upstream may have closed the connection just when the request left (RFC 9112, section 9.3.1).
            if isinstance(error.__cause__, TimeoutError):
                # Not closed: half a request was not read, or the system has given up sending it.
                self.suspect()
            response = self._exchange(self._connect(), request, timeout)
        # From when this one was sent: what was lost on a kept connection that had died says nothing about the upstream.
        self._slowest[kind] = max(time.monotonic() - response.sent_at, 0.8 * self._slowest.get(kind, 0.0))
        return response

    def open_ahead(self) -> None:
        """Open a connection for a later request. Raises UpstreamError."""
        self.add_idle(self._connect())

    def missing(self, wanted: int) -> int:
        """Return how many idle connections have to be opened to have `wanted` of them, `max_idle` at most.

        Idle connections that the upstream has closed are dropped. None is missing while a request waits for what may
        be the place of an idle connection.
        """
        idle = list(self._idle)
        self._idle.clear()
        for connection, since in idle:
            if _is_open(connection):
                self._idle.append((connection, since))
            else:
                self.lost += 1
                connection.close()
        return 0 if self._late else max(0, min(wanted, self._max_idle) - len(self._idle))

    def close(self) -> None:
        """Close the idle connections, and each further one as soon as it is given back."""
        self._max_idle = 0
        self.close_idle()

    def take_idle(self, most_seconds: float = math.inf) -> socket.socket | None:
        """Return the idle connection that was used last and is still open, or None if that is older."""
        while self._idle and time.monotonic() - self._idle[-1][1] < most_seconds:
            connection, _ = self._idle.pop()
            if _is_open(connection):
                return connection
            self.lost += 1
            connection.close()
        return None

    def _exchange(
        self, connection: socket.socket, request: bytes, timeout: float, suspect_after: float | None = None
    ) -> HttpResponse:
        """Send a request in one write; return the response when its head has arrived.

        With `suspect_after` the connection is a kept one, which is suspected after so many seconds of silence.
        """
        response = HttpResponse(connection, self._keep, self.dropped)
        try:
            try:
                # Half of the time, so that the other half is left for a fresh connection if this one is dead.
                response.send(request, timeout if suspect_after is None else timeout / 2)
            except UpstreamUnreachable as exc:
                if suspect_after is None:
                    raise
                # Nothing has been answered to half a request: the whole one may go elsewhere.
                raise NoResponse("the upstream does not read its request") from exc.__cause__
            if response.reads_head_within(min(timeout, LOOK_SECONDS)):
                return response
            if suspect_after is None:
                return self.wait_on_fresh(response, timeout - LOOK_SECONDS)
            return self.wait_on_kept(response, connection, request, timeout - LOOK_SECONDS, suspect_after)
        except BaseException:
            response.close()
            raise

    def wait_on_fresh(self, response: HttpResponse, timeout: float) -> HttpResponse:
        """Return the response of a fresh connection, whose head is late. Raises UpstreamTimeout."""
        timeout = max(0.0, timeout)
        # Not sooner: a large server that thinks for a while needs no place, and a new connection costs 0.1 ms of CPU.
        sooner = min(timeout, PLAIN_LATE_SECONDS - LOOK_SECONDS)
        if not self._is_plain or response.reads_head_within(sooner):
            response.read_head(timeout)
            return response
        self._late += 1
        self.close_idle()
        try:
            response.read_head(timeout - sooner)
        finally:
            self._late -= 1
        return response

    def wait_on_kept(
        self, kept: HttpResponse, connection: socket.socket, request: bytes, timeout: float, suspect_after: float
    ) -> HttpResponse:
        """Return the response of a kept connection, whose head is late, or of a fresh one. Raises UpstreamTimeout."""
        due = time.monotonic() + timeout
        suspect_at = time.monotonic() + suspect_after - LOOK_SECONDS
        while not kept.has_begun and (now := time.monotonic()) < due:
            if tcp.is_unacknowledged(connection) or (now >= suspect_at and self.may_repeat()):
                return self.ask_beside(kept, request, due)
            if kept.reads_head_within(min(LOOK_SECONDS, due - now)):
                return kept
        kept.read_head(timeout if kept.has_begun else 0.0)
        return kept

    def ask_beside(self, kept: HttpResponse, request: bytes, due: float) -> HttpResponse:
        """Send the request again on a fresh connection; return the response that begins first, and close the other."""
        self.suspect()
        fresh = gevent.spawn(outcome_of, self.ask_fresh, request, due - time.monotonic())
        winner: HttpResponse | None = None
        try:
            # Not of UpstreamError: the limit of the whole attempt may end this wait with an UpstreamTimeout.
            with contextlib.suppress(UpstreamUnreachable, UpstreamDisconnected, UpstreamBadResponse):
                while winner is None and not fresh.ready():
                    if kept.reads_head_within(STEP_SECONDS):
                        winner = kept
                if winner is None and isinstance(fresh.get(), Failure):
                    # Perhaps the upstream has one thread, which is busy with the first request.
                    kept.read_head(max(0.0, due - time.monotonic()))
                    winner = kept
            winner = winner or result_of(fresh.get())
            return winner
        finally:
            if winner is not kept:
                kept.close()
            if winner is kept or winner is None:
                # Close also a response that comes while the greenlet is being ended.
                fresh.rawlink(close_late_answer)
                fresh.kill(block=False)
            # Break the cycle error -> traceback -> this frame -> greenlet -> outcome -> error.
            del fresh

    def ask_fresh(self, request: bytes, timeout: float) -> HttpResponse:
        """Return the response to a request that is sent on a new connection. Raises UpstreamError."""
        return self._exchange(self._connect(), request, timeout)

    def suspect(self) -> None:
        """Close the idle connections, which went the same way as one that is suspected."""
        self.close_idle()
        if self.on_suspicion:
            self.on_suspicion()

    def _connect(self) -> socket.socket:
        return connect(self._route, self._connect_timeout, self._session)

    def dropped(self) -> None:
        """Note that a connection was closed by a response."""
        if self.on_change:
            self.on_change(False)

    def _keep(self, connection: socket.socket) -> None:
        """Keep the connection of an answer for a later request, or close it if it can't be of use."""
        self.add_idle(connection)
        if self.on_change:
            self.on_change(True)

    def add_idle(self, connection: socket.socket) -> None:
        """Keep a connection until it is needed or expires, or close it if it can't be of use."""
        # Taken here, not after the handshake: TLS 1.3 sends the session behind the handshake.
        if isinstance(connection, ssl.SSLSocket):
            self._session = connection.session
        if self._late or len(self._idle) >= self._max_idle:
            connection.close()
            return
        self._idle.append((connection, time.monotonic()))
        if not self._expiry_planned:
            self._expiry_planned = True
            gevent.spawn_later(self._idle_seconds, self.close_expired)

    def close_expired(self) -> None:
        """Close the connections that have been idle for too long, now and again when the next one will have been."""
        limit = time.monotonic() - self._idle_seconds
        while self._idle and self._idle[0][1] <= limit:
            self._idle.popleft()[0].close()
        self._expiry_planned = bool(self._idle)
        if self._idle:
            gevent.spawn_later(max(0.01, self._idle[0][1] - limit), self.close_expired)

    def close_idle(self) -> None:
        """Close all idle connections."""
        while self._idle:
            self._idle.pop()[0].close()


def close_late_answer(attempt: "gevent.Greenlet[..., HttpResponse | Failure]") -> None:
    """Close the response of an attempt that nobody waits for any more. Runs in the event loop."""
    if isinstance(attempt.value, HttpResponse):
        attempt.value.close()


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
