"""The HTTP side that all endpoints share: keys, reading a request, an answer or an error as a response.

A completion request passes `serve` in this order: origin, key, slot, body, answer. Whatever raises on the way becomes a
response in `install`'s error handlers, all of one shape.
"""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flask import Flask, Request, Response, current_app
from flask import request as current_request
from flask_cors import CORS
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from blueprints import origins, other_routes, page_access
from parley import client_connection, errors
from parley.concurrency import LARGE_BYTES, run_for_size
from parley.errors import ClientGone, InvalidRequest, ParleyError
from parley.services import Services
from parley.settings import Settings
from parley.telemetry.logs import log
from parley.turn import Batches, Turn, TurnContext
from parley.turn_record import TurnRecord
from parley.wire import chunks
from parley.wire.request import Origin, parse

BODY_SECONDS = 10
"""Longest time for a body to arrive, in seconds."""
CLIENT_CLOSED_REQUEST = 499
"""Status for a client that has left, as nginx logs it; nobody receives it."""

BASE = "/kb/<kb>"
"""Prefix of the routes that name their knowledge base: some platforms append to a base URL and set nothing else."""
AGENT = "/agents/<agent>"
"""Prefix of the routes that name their agent."""
UNGUARDED = ("/health", "/healthz")
"""Routes that tell every page the same: that the process is alive."""
FAILED_TURN = "parley.failed_turn"
"""Key of the request's environment: the turn whose error is about to become the response."""
PROJECT = Path(__file__).resolve().parents[1]
"""Folder in which the server is to be started."""

EVENT_STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",
    # nginx passes each event on as it comes.
    "X-Accel-Buffering": "no",
}
_CLEAN_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_BEARER = re.compile(r"bearer +([\x21-\x7e]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Endpoint:
    """An endpoint: its name in the log, and its answer as a stream and as JSON."""

    name: str
    stream: Callable[[TurnContext, Services], Batches]
    whole: Callable[[TurnContext, Services], bytes]


def prefixes(name: str) -> list[str]:
    """Return what stands before `/chat/completions` or `/models` in the routes of an endpoint.

    Some platforms take a full URL, some append to a base that ends in /v1, wherever that stands. An endpoint that
    answers from the knowledge also has the routes that name a knowledge base. Each has those that name an agent.
    """
    plain = [name, f"{name}/v1", f"/v1{name}"] if name else ["", "/v1"]
    of_agents = [f"{AGENT}{prefix}" for prefix in plain] + [f"/v1{AGENT}{name}"]
    of_bases = [f"{BASE}{prefix}" for prefix in plain] + [f"/v1{BASE}{name}"] if name else []
    return plain + of_agents + of_bases


def services() -> Services:
    """Return the worker's long-lived objects."""
    of_app: Services = current_app.extensions["parley"]
    return of_app


def _request() -> Request:
    """Return the current request itself."""
    # perf: saves 1 µs for each look at the request (S0), which Flask's proxy costs.
    request: Request = current_request._get_current_object()  # type: ignore[attr-defined]
    return request


def serve(endpoint: Endpoint) -> Response:
    """Return the response to a completion request. Raises ParleyError."""
    request = _request()
    within = services()
    # ProxyFix keeps the peer's own address if a trusted proxy has named another one (TRUSTED_PROXIES).
    peer = request.environ.get("werkzeug.proxy_fix.orig", {}).get("REMOTE_ADDR", request.remote_addr)
    client_by = "peer" if peer == request.remote_addr else "proxy"
    record = TurnRecord(endpoint.name, request_id(), client=request.remote_addr, client_by=client_by)
    turn = Turn(record, fallback_text=within.settings.fallback_text, heartbeat=within.settings.heartbeat)
    try:
        response = _answer(endpoint, turn, request, within)
    except ClientGone:
        response = Response(status=CLIENT_CLOSED_REQUEST)
    except Exception as error:
        turn.fail(error)
        # Its slot is held until the answer to it has been written.
        request.environ[FAILED_TURN] = turn
        raise
    except BaseException as error:
        turn.fail(error)
        turn.close()
        raise
    response.call_on_close(turn.close)
    return response


class Body:
    """A stream as WSGI wants it: gunicorn iterates the pieces directly, and closes the turn however they end."""

    def __init__(self, pieces: Iterator[bytes], close: Callable[[], None]) -> None:
        self._pieces = pieces
        self.close = close

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces


def _answer(endpoint: Endpoint, turn: Turn, request: Request, within: Services) -> Response:
    """Return the response of a turn that is let in. Raises ParleyError, ClientGone."""
    _refuse_foreign_pages(request, within)
    client = request.environ.get("gunicorn.socket")
    holder = within.keyring.check(_presented_keys(request))
    client_connection.current().accepted()
    if within.link:
        within.link.begin_turn(turn.record)
    turn.admit(within.admission, holder, client)
    context = _read(request, within, turn)
    if not context.chat.stream:
        response = json_response(turn.whole(lambda: endpoint.whole(context, within)))
        if turn.capture is not None:
            turn.capture.sent(response.get_data())
    else:
        pieces = turn.stream(endpoint.stream(context, within), context.envelope)
        if turn.capture is not None:
            pieces = turn.capture.following(pieces)
        # perf: saves 5 % of a chunk (S3): not through the two iterators of werkzeug.
        response = Response(Body(pieces, turn.close), headers=EVENT_STREAM_HEADERS, direct_passthrough=True)
    if times := server_timing(turn.record):
        response.headers["Server-Timing"] = times
    if turn.record.attempts:
        response.headers["X-Relay-Attempts"] = str(turn.record.attempts)
    if turn.record.upstream_request_id:
        response.headers["X-Upstream-Request-ID"] = turn.record.upstream_request_id
    return response


def server_timing(record: TurnRecord) -> str:
    """Return where the time until the answer's head went, for a browser's own tools; empty where it is not known yet.

    That is where a waiting message has left before the upstream's first word.
    """
    asked, until = record.asked_ms, record.ttft_ms
    # An answer in one piece is complete by now, and a stream has begun.
    if asked is None or (until is None and record.chunks):
        return ""
    times = f"ours;dur={asked}, upstream;dur={(until or record.elapsed_ms) - asked:.1f}"
    return times if record.lookup_ms is None else f"lookup;dur={record.lookup_ms}, {times}"


def _refuse_foreign_pages(request: Request, within: Services) -> None:
    """Raise ForbiddenOrigin, in open mode, for a web page that is neither our own nor allowed by the settings.

    Any page could make its visitor's browser ask: CORS wants no leave for simple requests, and others are preceded by a
    preflight that goes unanswered. A client that is no browser sends no Origin.
    """
    origin = request.headers.get("Origin")
    if not within.keyring.is_open:
        return
    if origin is None:
        if "HTTP_SEC_FETCH_SITE" in request.environ:
            _refuse_names(request.environ, within)
        return
    allowed = within.settings.cors_origins or ()
    if origin in allowed or "*" in allowed:
        return
    if not origins.is_own(origin, request.scheme, request.host, within.settings.trusted_hosts):
        hint = "see CORS_ORIGINS and TRUSTED_HOSTS"
        if origin == "null":
            # No setting can hold it: a sandboxed frame of any site is called so, too.
            hint = "a page from a file or a sandbox has no origin that could be allowed; serve it from a web server"
        raise errors.ForbiddenOrigin(f"pages of this origin may not ask here: {origin[:128]}; {hint}")


def _refuse_rebound_pages() -> None:
    """Raise ForbiddenOrigin, in open mode, for a browser that a foreign name has led to an address of this machine.

    For whoever asked, that page and this server are one origin: it may read what it is answered, from any route. A
    completion request is checked with its turn, which logs the refusal. What is no browser is served: a platform
    behind a proxy on this machine asks for the name of the server.
    """
    environ = _request().environ
    if "HTTP_ORIGIN" not in environ and "HTTP_SEC_FETCH_SITE" not in environ:
        return
    rule, within = _request().url_rule, services()
    # The playground has a stricter rule of its own.
    if rule is None or rule.rule in UNGUARDED or rule.rule.startswith(page_access.ROUTE):
        return
    if rule.rule.endswith("/chat/completions") or not within.keyring.is_open:
        return
    client = environ.get("gunicorn.socket")
    if client is not None and origins.is_loopback(client.getsockname()):
        _refuse_names(environ, within)


def _refuse_names(environ: dict[str, Any], within: Services) -> None:
    """Raise ForbiddenOrigin where the page that asks, or its host, is a name that anybody may point here."""
    origin, allowed = environ.get("HTTP_ORIGIN"), within.settings.cors_origins or ()
    if origin in allowed or "*" in allowed:
        return
    # As it came: werkzeug puts the server's own name in the place of an empty one.
    host = environ.get("HTTP_HOST", "")
    if origins.is_rebound(origin, host, within.settings.trusted_hosts):
        named = f"{origin or 'a page'} at the host {host}"[:128]
        raise errors.ForbiddenOrigin(f"pages may not ask here: {named}; see CORS_ORIGINS and TRUSTED_HOSTS")


def json_response(answer: bytes | dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a response with a JSON body."""
    content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return Response(content, status, headers, content_type="application/json")


def request_id() -> str:
    """Return the caller's X-Request-ID if it is clean, else an id of ours, kept for the whole request."""
    environ = _request().environ
    if "parley.request_id" not in environ:
        callers_id = environ.get("HTTP_X_REQUEST_ID", "")
        environ["parley.request_id"] = callers_id if _CLEAN_ID.fullmatch(callers_id) else os.urandom(16).hex()
    return str(environ["parley.request_id"])


def check_key() -> str:
    """Return the name of the key that was presented. Raises InvalidApiKey unless it is ours, or none is needed."""
    return services().keyring.check(_presented_keys(_request()))


def may_see_details() -> bool:
    """Return true if the caller may see more than a status."""
    return services().keyring.holder(_presented_keys(_request())) is not None


def _presented_keys(request: Request) -> list[str]:
    return [key for key in (_bearer_token(request), request.headers.get("x-api-key")) if key]


def path_of(request: Request) -> str:
    """Return the path that was asked for, with its query, as it stands in a URL."""
    query = request.query_string.decode(errors="replace")
    return quote(request.path) + (f"?{query}" if query else "")


def _bearer_token(request: Request) -> str | None:
    match = _BEARER.fullmatch(request.headers.get("Authorization", "").strip())
    return match[1] if match else None


def _read(request: Request, within: Services, turn: Turn) -> TurnContext:
    """Return the context of the checked request. Raises ClientGone for a client who leaves meanwhile."""
    traceparent = request.headers.get("traceparent", "")
    origin = Origin(
        turn.record.id,
        # By the rule, not by the path: a knowledge base or an agent may be called "v1", too.
        request.url_rule is not None and "v1" in request.url_rule.rule.split("/"),
        request.args,
        _bearer_token(request),
        traceparent if _TRACEPARENT.fullmatch(traceparent) else None,
        (request.view_args or {}).get("kb", ""),
        (request.view_args or {}).get("agent", ""),
    )
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise errors.UnsupportedEncoding("send the body without Content-Encoding")
    client = request.environ.get("gunicorn.socket")
    # A small body arrives too soon for its client to leave meanwhile: it needs no watcher.
    is_large = (request.content_length or 0) >= LARGE_BYTES
    with turn.watching(client) if is_large else contextlib.nullcontext():
        raw = client_connection.read_body(
            request.stream, within.settings.max_body, BODY_SECONDS, request.content_length
        )
    if client:
        turn.watch(client)
    with turn.interruptible():
        if within.captures is not None:
            # Before it is parsed: a body that can't be is the one to look at.
            turn.capture = within.captures.begin(turn.record, path_of(request), raw, _presented_keys(request))
        chat = run_for_size(len(raw), parse, raw, origin, request.headers, within.options)
        return turn.context(within.for_agent(chat), within.default_model)


def install(app: Flask) -> None:
    """Give the app its error responses, all of one shape, and the headers of every response."""
    app.register_error_handler(ParleyError, _error_response)
    app.register_error_handler(HTTPException, _http_error_response)
    app.register_error_handler(Exception, _internal_error_response)
    app.before_request(_refuse_rebound_pages)
    app.after_request(_finished)
    settings: Settings = app.extensions["parley"].settings
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]
    if settings.cors_origins:
        # As patterns, because texts would be compared without regard to case, or taken for patterns of their own.
        origins_allowed = [
            "*" if origin == "*" else re.compile(re.escape(origin) + r"\Z") for origin in settings.cors_origins
        ]
        CORS(app, origins=origins_allowed, supports_credentials=False, send_wildcard=True, always_send=False)


def _finished(response: Response) -> Response:
    """Set the headers of every response, and see to the body of a request that was refused unread."""
    within = services()
    if failed := _request().environ.pop(FAILED_TURN, None):
        response.call_on_close(failed.close)
        if failed.capture is not None:
            failed.capture.sent(response.get_data())
    if not within.start_fault_is_logged:
        # Here, at the first request: only now is it certain that no hook is still to come.
        within.start_fault_is_logged = True
        log.error("start_fault", fault=within.start_fault, folder=str(PROJECT))
    allowed = within.settings.cors_origins
    if allowed and "*" not in allowed:
        # For an origin without leave, too: a cache must ask again for another one.
        response.vary.add("Origin")
    response.headers["X-Request-ID"] = request_id()
    response.headers["X-Content-Type-Options"] = "nosniff"
    if 400 <= response.status_code < 500:
        client_connection.current().refused()
    _discard_unread_body(response, _request().environ)
    return response


def _discard_unread_body(response: Response, environ: dict[str, Any]) -> None:
    """Plan to read away a body that was not read, or to close its connection, once the response has been sent."""
    connection = client_connection.current()
    in_chunks = "HTTP_TRANSFER_ENCODING" in environ
    has_body = in_chunks or environ.get("CONTENT_LENGTH", "0") != "0"
    client = environ.get("gunicorn.socket")
    if connection.body_is_read or not has_body or client is None:
        return
    if response.status_code == CLIENT_CLOSED_REQUEST:
        # The rest of its body will never come.
        connection.close_after_answer()
        return
    if (in_chunks and not connection.is_known) or response.status_code == HTTPStatus.REQUEST_TIMEOUT:
        # The body's end is not worth finding: a stranger's chunks are work, and a slow sender may never come to it.
        connection.close_after_answer()
    response.call_on_close(partial(client_connection.discard_body, environ["wsgi.input"], client))


def _error_response(error: ParleyError, status: int | None = None) -> Response:
    return json_response(chunks.error_body(error), status or error.status, error.headers)


def _http_error_response(error: HTTPException) -> Response:
    """Return the response to 404, 405 and the other errors of Flask, in our shape."""
    # Break the cycle exception -> traceback -> frames -> request context -> exception: a stranger can make thousands.
    error.__traceback__ = error.__context__ = None
    if error.code == 404:
        path = _request().path
        return _error_response(errors.NotFound(f"there is no route {path}; {other_routes.advice(path)}"))
    headers = {name: value for name, value in error.get_headers() if name.lower() == "allow"}
    if error.code == 405:
        message = f"{_request().method} is not allowed on {_request().path}"
        return _error_response(errors.MethodNotAllowed(message, headers=headers))
    return _error_response(InvalidRequest(error.name), error.code or 400)


def _internal_error_response(_error: Exception) -> Response:
    log.exception("internal_error", id=request_id())
    return _error_response(errors.InternalError(f"an internal error occurred (request {request_id()})"))
