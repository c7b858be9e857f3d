"""The connection to an MCP server over HTTP (the transport called Streamable HTTP), in both of its forms.

    unknown  which form the server speaks is asked: `server/discover` in the stateless form, else `initialize`
    known    requests go out in that form, with the id of the session if there is one
    lost     the server does not know the session any more, after a restart or behind a balancer: as unknown, and the
             request, which was not run, is sent once more

Nothing else is sent twice. The official SDK is not used: it is built on asyncio, which a worker that gevent has patched
can't run in its one thread. The messages themselves: `mcp_protocol.py`.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import gevent
from gevent.lock import BoundedSemaphore

from parley.concurrency import outcome_of, run_for_size
from parley.errors import (
    ParleyError,
    UpstreamBadResponse,
    UpstreamRedirect,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from parley.http_client.pool import ConnectionPool
from parley.http_client.response import HttpResponse
from parley.tools import mcp_protocol as protocol
from parley.tools.answer_encoding import unpacked
from parley.tools.mcp_protocol import Reply, Session
from parley.tools.tool import MAX_ANSWER_BYTES, MAX_ERROR_CHARACTERS, MAX_IDLE
from parley.wire.sse import Decoder

CONNECT_SECONDS = 3.0
DISCOVER_SECONDS = 3.0
"""Seconds for which the stateless form is tried: older servers may not answer what they don't know."""
NOTICE_SECONDS = 5.0
"""Seconds that a message which nobody waits for may take."""
MAX_HEEDED = 100
"""Messages before an answer that are acted on."""
ACCEPT = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
UNESCAPED = "/%:@!$&'()*+,;=~"
"""Characters of a path that stay as they are, beside letters and digits."""


class McpConnection:
    """Requests to one server, at its `endpoint`, each with these `headers`.

    `on_list_change` is called when the server says that its list of tools has changed.
    """

    def __init__(self, endpoint: str, headers: Mapping[str, str], on_list_change: Callable[[], None]) -> None:
        self.session: Session | None = None
        self._endpoint = endpoint
        parts = urlsplit(endpoint)
        self._path = (quote(parts.path, UNESCAPED) or "/") + (f"?{parts.query}" if parts.query else "")
        base_url = f"{parts.scheme}://{parts.netloc}"
        self._pool = ConnectionPool(base_url, max_idle=MAX_IDLE, connect_timeout=CONNECT_SECONDS)
        self._headers = {**{name.lower(): value for name, value in headers.items()}, **ACCEPT}
        self._on_list_change = on_list_change
        self._numbers = itertools.count(1)
        self._negotiation = BoundedSemaphore(1)
        self._failures = 0

    def close(self) -> None:
        """End the session, without waiting. Requests under way are not ended."""
        if self.session and self.session.id:
            self.notify("DELETE", b"", self.session.headers(""))
        # Later than that: closes what is idle then, and what is given back from then on.
        gevent.spawn_later(NOTICE_SECONDS, self._pool.close)

    def ask(
        self,
        method: str,
        params: Mapping[str, Any],
        seconds: float,
        headers: Mapping[str, str] | None = None,
        *,
        again: bool = False,
    ) -> Reply:
        """Return the reply to a request in the server's form; a lost session is begun anew. Raises UpstreamError.

        `seconds` limits each silence. `again` allows to send the request twice, if a kept connection closes unanswered.
        """
        # In a variable: another greenlet may renew it while this request is under way.
        session = self.session or self.renewed(None, seconds)
        reply = self.exchange(session, method, params, seconds, headers, again=again)
        if reply.session_is_unknown:
            session = self.renewed(session, seconds)
            reply = self.exchange(session, method, params, seconds, headers, again=again)
        return reply

    def renewed(self, lost: Session | None, seconds: float) -> Session:
        """Return a session in place of one that was lost: the same for all who lost it. Raises UpstreamError."""
        failures = self._failures
        with self._negotiation:
            if self._failures != failures:
                # Who waited for a negotiation that failed does not wait for another one.
                raise UpstreamUnreachable("the server can't be reached")
            if self.session is None or self.session is lost:
                self.session = None
                try:
                    # The form of a server that keeps sessions is known.
                    known = lost if lost and lost.id else None
                    self.session = self.initialize(known.version, seconds) if known else self.negotiate(seconds)
                except ParleyError:
                    self._failures += 1
                    raise
            return self.session

    def negotiate(self, seconds: float) -> Session:
        """Find out which form the server speaks; return its session. Raises UpstreamError."""
        stateless = Session(protocol.STATELESS_VERSION)
        versions: list[Any] = []
        # Silence is an answer, too: the server may not know what it was asked.
        with contextlib.suppress(UpstreamTimeout):
            limit = UpstreamTimeout("the server did not say which versions it speaks")
            with gevent.Timeout(min(seconds, DISCOVER_SECONDS), limit):
                reply = self.exchange(stateless, "server/discover", {}, seconds, again=True)
            versions = reply.versions
            if stateless.version in versions:
                return stateless
            if reply.error and versions and not {*map(str, versions)} & {*protocol.SESSION_VERSIONS}:
                raise UpstreamBadResponse(f"the server speaks {', '.join(map(str, versions))} only"[:200])
        known = [version for version in protocol.SESSION_VERSIONS if version in versions]
        return self.initialize((known or protocol.SESSION_VERSIONS)[0], seconds)

    def initialize(self, version: str, seconds: float) -> Session:
        """Begin a session, in this revision or an older one that the server prefers. Raises UpstreamError."""
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": protocol.CLIENT}
        reply = self.exchange(Session(version), "initialize", params, seconds, again=True)
        spoken = reply.result.get("protocolVersion")
        if not isinstance(spoken, str):
            raise UpstreamBadResponse(protocol.refusal_of(reply))
        if spoken not in protocol.SESSION_VERSIONS:
            raise UpstreamBadResponse(f"the server speaks {spoken:.40} only")
        session = Session(spoken, reply.session_id)
        method = "notifications/initialized"
        self.post_notice(session.message(method, {}), session.headers(method))
        return session

    def exchange(
        self,
        session: Session,
        method: str,
        params: Mapping[str, Any],
        seconds: float,
        headers: Mapping[str, str] | None = None,
        *,
        again: bool = False,
    ) -> Reply:
        """Send a request, and return the reply. Raises UpstreamError.

        A call whose greenlet is ended, or that takes too long, is cancelled at the server.
        """
        number = next(self._numbers)
        fields = {**self._headers, **(headers or {}), **session.headers(method, params.get("name", ""))}
        body = session.message(method, params, number)
        try:
            response = self._pool.request("POST", self._path, headers=fields, body=body, timeout=seconds, again=again)
            try:
                reply = self.read(response, session, number, seconds)
            except BaseException:
                response.close()
                raise
            # A stream may go on for a moment behind the answer: its end is read beside, so that the connection is kept.
            response.drain_and_close()
        except (gevent.Timeout, gevent.GreenletExit, UpstreamTimeout):
            # Closing the connection is not enough: servers that keep sessions, and some others, work on behind it.
            if method == "tools/call":
                cancelled = "notifications/cancelled"
                self.notify("POST", session.message(cancelled, {"requestId": number}), session.headers(cancelled))
            raise
        return reply

    def read(self, response: HttpResponse, session: Session, number: int, seconds: float) -> Reply:
        """Return the reply in a response. Raises UpstreamError."""
        status, begun = response.status, response.headers.get("mcp-session-id", "")
        if 300 <= status < 400:
            place = urljoin(self._endpoint, response.headers.get("location", ""))
            # Not followed: the headers, which may hold a key, would go to another place.
            raise UpstreamRedirect(f"the endpoint redirects to {place:.200}")
        # Compressed, which nobody asked for, an event stream is read to its end.
        is_packed = response.headers.get("content-encoding", "identity") != "identity"
        if status < 300 and response.media_type == "text/event-stream" and not is_packed:
            return Reply(status, begun, self.streamed_answer(response, session, number, seconds))
        body = unpacked(response.read_start(seconds, MAX_ANSWER_BYTES), response.headers, MAX_ANSWER_BYTES)
        if len(body) > MAX_ANSWER_BYTES:
            raise UpstreamBadResponse("the server's answer is too large")
        for message in run_for_size(len(body), messages_of_body, body):
            # A refusal may come before the request's id was read.
            if protocol.is_answer(message, number) or (status >= 400 and "error" in message):
                return Reply(status, begun, message)
        return Reply(status, begun, None, body[: 4 * MAX_ERROR_CHARACTERS].decode("utf-8", "replace"))

    def streamed_answer(
        self, response: HttpResponse, session: Session, number: int, seconds: float
    ) -> Mapping[str, Any]:
        """Return the answer to a request from an event stream; act on what comes before it. Raises UpstreamError."""
        for count, message in enumerate(streamed_messages(response, seconds)):
            if protocol.is_answer(message, number):
                return message
            if count < MAX_HEEDED:
                self.heed(message, session)
        raise UpstreamBadResponse("the server's answer ended too soon")

    def heed(self, message: Mapping[str, Any], session: Session) -> None:
        """Act on a message that came before an answer: a change of the list, or a request of the server's own."""
        if message.get("method") == "notifications/tools/list_changed":
            self._on_list_change()
        elif not session.is_stateless and (body := protocol.reply_to(message)):
            self.notify("POST", body, session.headers(""))

    def notify(self, verb: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Send what has no answer, in a greenlet of its own: nobody waits for it, and it may fail."""
        gevent.spawn(outcome_of, self.post_notice, body, headers, verb)

    def post_notice(self, body: bytes, headers: Mapping[str, str], verb: str = "POST") -> None:
        """Send what has no answer. Raises UpstreamError."""
        fields = {**self._headers, **headers}
        with gevent.Timeout(NOTICE_SECONDS, UpstreamTimeout("the server took no notice in time")):
            response = self._pool.request(verb, self._path, headers=fields, body=body, timeout=NOTICE_SECONDS)
            response.drain_and_close()


def messages_of_body(body: bytes) -> list[dict[str, Any]]:
    """Return the messages of a whole body: JSON, or an event stream under another label."""
    if messages := protocol.messages_in(body):
        return messages
    decoder = Decoder(MAX_ANSWER_BYTES)
    return [message for payload in decoder.feed(body) + decoder.end() for message in protocol.messages_in(payload)]


def streamed_messages(response: HttpResponse, seconds: float) -> Iterator[dict[str, Any]]:
    """Yield the messages of an event stream. Raises UpstreamError, also above MAX_ANSWER_BYTES."""
    decoder, size = Decoder(MAX_ANSWER_BYTES, bare=True), 0
    while received := response.receive(seconds):
        size += len(received)
        if size > MAX_ANSWER_BYTES:
            raise UpstreamBadResponse("the server's answer is too large")
        for payload in decoder.feed(received):
            yield from run_for_size(len(payload), protocol.messages_in, payload)
    if received is None:
        raise UpstreamTimeout("the server fell silent inside its answer")
    for payload in decoder.end():
        yield from run_for_size(len(payload), protocol.messages_in, payload)
