"""`/playground`: a page on which the server can be tried and watched, and the data that it shows.

The page's files hold nothing secret. For whoever is not served the page, its routes are as any path that does not
exist, by whatever method; so each request comes here, and the table below tells what there is.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, request
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Rule

from blueprints import page_access, page_files
from blueprints.web import BODY_SECONDS, check_key, json_response, services
from parley import client_connection
from parley.errors import ForbiddenOrigin, InvalidRequest
from parley.errors import NotFound as NothingFound
from parley.inspection import contents, search, status
from parley.operators import platforms
from parley.operators.platform_requests import Message
from parley.telemetry import recent_turns
from parley.wire import strict_json, validation

bp = Blueprint("playground", __name__)
INDEX = "index.html"
FILES = page_files.read_files(Path(__file__).with_name("playground_page"))
READ = ("GET", "HEAD")
API = "api/"
"""Beginning of the names under which data are, not files."""
MAX_BODY = 256 << 10
"""Most bytes in the body of a question to the page's data."""
MOST_TURNS = 200
"""Most turns in an answer."""
MAX_NUMBER = 1 << 62
"""Greatest number in a query: orders of turns are below it."""
DATA_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


def answer(name: str = "") -> Response:
    """Return the page, a file of it or its data. Raises NotFound and MethodNotAllowed."""
    if not page_access.is_served(request.environ, services().playground):
        raise NotFound
    if request.path == f"{page_access.ROUTE}/":
        # The page's own links are relative, so that a proxy can serve it under a path of its own.
        return Response(status=308, headers={"Location": f"../{page_access.ROUTE.strip('/')}"})
    if name.startswith(API):
        return answer_data(name.removeprefix(API).removesuffix("/"))
    file = FILES.get(name or INDEX)
    if file is None or name == INDEX:
        raise NotFound
    if request.method not in READ:
        raise MethodNotAllowed(valid_methods=READ)
    return page_files.file_response(file, request)


def answer_data(name: str) -> Response:
    """Return data of the page. Raises NotFound, MethodNotAllowed, ForbiddenOrigin, InvalidApiKey, InvalidRequest."""
    if name not in DATA:
        raise NotFound
    methods, answer_of = DATA[name]
    if request.method not in methods:
        raise MethodNotAllowed(valid_methods=methods)
    refuse_strangers(request.environ)
    holder = check_key()
    client_connection.current().accepted()
    return json_response(answer_of(holder), headers=DATA_HEADERS)


def refuse_strangers(environ: Mapping[str, Any]) -> None:
    """Raise ForbiddenOrigin for other pages than the server's own; without keys, for other machines, too.

    `CORS_ORIGINS` gives nobody leave: what other callers do is no business of a page that may call.
    """
    site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
    # What a browser says of the page counts more than the two names: a proxy may have changed that of the host.
    own_host = environ.get("HTTP_HOST")
    is_own = site in ("same-origin", "none") if site else origin is None or origin.partition("://")[2] == own_host
    if not is_own:
        raise ForbiddenOrigin("only the playground's own page may ask for its data")
    if services().keyring.is_open and not page_access.is_local(environ):
        raise ForbiddenOrigin("set API_KEYS to see this from another machine", code="api_keys_not_set")


def number(name: str, default: int, least: int, most: int) -> int:
    """Return a number of the query. Raises InvalidRequest."""
    text = request.args.get(name, "")
    if not text:
        return default
    # int() alone would also take other scripts' digits, signs and spaces.
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and least <= int(text) <= most):
        raise InvalidRequest(f"{name} must be a whole number from {least} to {most}", param=name)
    return int(text)


def body_of() -> dict[str, Any]:
    """Return the object in the request's body. Raises InvalidRequest, RequestTooLarge, RequestTimeout."""
    raw = client_connection.read_body(request.stream, MAX_BODY, BODY_SECONDS, request.content_length)
    body = strict_json.parse(raw)
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object")
    return body


def text_in(body: Mapping[str, Any], name: str) -> str:
    """Return a text of a body, empty where it has none. Raises InvalidRequest."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a text", param=name)
    return value or ""


def show_status(_: str) -> dict[str, Any]:
    """Return the state of the server."""
    return status.status_of(services(), request.scheme, request.args.get("scheme", ""))


def show_turns(_: str) -> dict[str, Any]:
    """Return the newest turns of all workers."""
    after, limit = number("after", 0, 0, MAX_NUMBER), number("limit", 100, 1, MOST_TURNS)
    kept = recent_turns.kept
    turns = kept.since(after, limit) if kept else []
    newest = turns[0]["seq"] if turns else min(after, recent_turns.now())
    return {"seq": newest, "workers": kept.workers if kept else 1, "turns": turns}


def show_presets(_: str) -> dict[str, Any]:
    """Return what to enter at each platform, and a request as it sends it."""
    endpoint, kb = request.args.get("endpoint", "") or "rag", request.args.get("kb", "")
    model = request.args.get("model", "") or services().default_model
    if endpoint not in platforms.ENDPOINTS:
        raise InvalidRequest(f"endpoint must be one of {', '.join(platforms.ENDPOINTS)}", param="endpoint")
    try:
        address = platforms.server_address(request.args.get("url", "") or request.host_url)
        told = {
            name: platforms.describe(one, one.url(address, endpoint, kb), endpoint, model)
            for name, one in platforms.PLATFORMS.items()
        }
    except platforms.BadAddress as exc:
        raise InvalidRequest(str(exc), param="kb" if "knowledge" in str(exc) else "url") from None
    return {"url": address, "endpoint": endpoint, "kb": kb, "model": model, "platforms": told}


def show_request(_: str) -> dict[str, Any]:
    """Return the body that a platform sends for a conversation."""
    body = body_of()
    messages = body.get("messages")
    platform = platforms.PLATFORMS.get(text_in(body, "platform"))
    if platform is None:
        raise InvalidRequest(f"platform must be one of {', '.join(platforms.PLATFORMS)}", param="platform")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise InvalidRequest("messages must be a list of objects", param="messages")
    said = [Message(text_in(one, "role"), text_in(one, "content"), text_in(one, "original")) for one in messages]
    model = text_in(body, "model") or services().default_model
    return {"platform": platform.name, "query": platform.query, "request": platform.request(said, model)}


def show_search(holder: str) -> dict[str, Any]:
    """Return what a search finds, and why."""
    # First, so that a caller can't learn of bases for nothing.
    services().admission.count(holder)
    body = body_of()
    question, kb, filters = text_in(body, "question"), text_in(body, "kb"), body.get("filters") or {}
    if not question.strip():
        raise InvalidRequest("question must be a text that is not empty", param="question")
    validation.check({"messages": [{"role": "user", "content": question}], "filters": filters})
    services().knowledge.require(kb)
    chat = search.conversation(question, text_in(body, "before"), text_in(body, "agent"), filters)
    return search.explain(services(), chat, kb)


def show_passages(_: str) -> dict[str, Any]:
    """Return passages of a base, and the faults of its files."""
    kb = request.args.get("kb", "")
    services().knowledge.require(kb)
    return contents.passages_of(services(), kb, request.args.get("file", ""), number("from", 0, 0, 10**9))


def show_recordings(_: str) -> dict[str, Any]:
    """Return the recordings."""
    return contents.recordings_of(services())


def show_captures(_: str) -> dict[str, Any]:
    """Return which requests this worker keeps with their answers."""
    captures = services().captures
    kept = [capture.summary() for capture in captures.newest()] if captures else []
    return {**asked_worker(), "capture": captures.most if captures else 0, "captures": kept}


def show_capture(_: str) -> dict[str, Any]:
    """Return one request and its answer. Raises NotFound where this worker has none of the id."""
    captures, name = services().captures, request.args.get("id", "")
    if captures is None:
        raise NothingFound("no request is kept: CAPTURE is off", param="id")
    capture = captures.find(name)
    worker = asked_worker()
    if capture is None:
        # The next question, on a connection of its own, may reach the worker that keeps it.
        client_connection.current().close_after_answer()
        which = f"worker {worker['worker']} of {worker['workers']} keeps no request of this id"
        raise NothingFound(f"{which} (any more); each worker keeps its own", param="id")
    return {**worker, **capture.told()}


def asked_worker() -> dict[str, int]:
    """Return the number of the worker that answers, and how many there are."""
    kept = recent_turns.kept
    return {"worker": kept.worker if kept else 1, "workers": kept.workers if kept else 1}


DATA: dict[str, tuple[tuple[str, ...], Callable[[str], dict[str, Any]]]] = {
    "status": (READ, show_status),
    "turns": (READ, show_turns),
    "presets": (READ, show_presets),
    "request": (("POST",), show_request),
    "search": (("POST",), show_search),
    "passages": (READ, show_passages),
    "recordings": (READ, show_recordings),
    "captures": (READ, show_captures),
    "capture": (READ, show_capture),
}
"""Data by name, below /playground/api/: methods, and what answers a holder of a key."""


@bp.record
def add_rules(state: BlueprintSetupState) -> None:
    """Add the routes for every method: Flask's own rules would tell by status 405 that they exist."""
    state.app.view_functions["playground.answer"] = answer
    for rule in (page_access.ROUTE, f"{page_access.ROUTE}/<path:name>"):
        state.app.url_map.add(Rule(rule, endpoint="playground.answer", methods=None))
