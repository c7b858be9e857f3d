"""Tools that are requests to the operator's services. What a model is told of each outcome: docs/tools.md.

The origin of a URL is the operator's and fixed, and redirects are not followed, so no argument chooses which machine
is asked. A request that is no GET is sent once, whatever becomes of it: it may have booked something.
"""

import contextlib
import functools
from collections.abc import Mapping

import gevent
import msgspec

from parley.concurrency import run_for_size
from parley.errors import ParleyError, UpstreamBadResponse
from parley.http_client.pool import ConnectionPool
from parley.telemetry.redaction import Redactor
from parley.tools.answer_encoding import decoded, unpacked
from parley.tools.definitions import HttpTool, listed_parameters
from parley.tools.templates import BadValue, encode_body, fill_header
from parley.tools.tool import (
    INVALID_ARGUMENTS,
    MAX_ANSWER_BYTES,
    MAX_ERROR_CHARACTERS,
    MAX_RESULT_CHARACTERS,
    UNREACHABLE,
    Arguments,
    Call,
    Result,
    Tool,
)

MARGIN = 4_000
"""Characters behind the limit of a result that are searched for secrets: one that stands across the limit must go."""
DEFAULT_HEADERS = {"accept": "application/json, text/plain;q=0.9, */*;q=0.5"}


def tool_of(definition: HttpTool, pool: ConnectionPool, redactor: Redactor) -> Tool:
    """Return the tool of a definition. `pool` leads to its origin, `redactor` knows the secrets of all files."""
    return Tool(
        definition.name,
        definition.description,
        definition.parameters,
        "http",
        functools.partial(run, definition, pool, redactor),
        **definition.behaviour.of_tool(read_only=definition.method == "GET"),
        strict=definition.strict,
    )


def run(definition: HttpTool, pool: ConnectionPool, redactor: Redactor, arguments: Arguments, call: Call) -> Result:
    """Send the request of a call; return what the model is told, after `call.seconds` at most."""
    try:
        path, headers, body = request_of(definition, arguments, call)
    except BadValue as exc:
        return Result.failed(f"{INVALID_ARGUMENTS}{exc}")
    limit = gevent.Timeout(call.seconds)
    try:
        # Around all of it: a service that sends a byte now and then would outlast any limit on silence. The pool's own
        # limit comes later, so that its UpstreamTimeout tells of a connection that could not be opened.
        with limit:
            response = pool.request(
                definition.method,
                path,
                headers=headers,
                body=body,
                timeout=call.seconds + 1,
                again=definition.method == "GET",
            )
            with contextlib.closing(response):
                received = response.read_start(call.seconds + 1, MAX_ANSWER_BYTES)
    except gevent.Timeout as passed:
        if passed is not limit:
            raise
        return Result.timed_out(call.seconds)
    except ParleyError:
        return Result.failed(UNREACHABLE, "unreachable")
    return run_for_size(len(received), result_of, response.status, response.headers, received, redactor)


def request_of(definition: HttpTool, arguments: Arguments, call: Call) -> tuple[str, dict[str, str], bytes]:
    """Return path, headers and body of a call's request. Raises BadValue."""
    headers = dict(DEFAULT_HEADERS)
    # A model may invent parameters, or be talked into some that the service has and the operator did not mean.
    listed = listed_parameters(definition.parameters)
    meant = {name: value for name, value in arguments.items() if listed is None or name in listed}
    used = {one.name for one in definition.url.variables if one.source == "args"}
    body, further = b"", {}
    if definition.method in ("GET", "DELETE"):
        further = {name: value for name, value in meant.items() if name not in used}
    else:
        headers["content-type"] = "application/json"
        body = definition.body.fill(meant, call) if definition.body else encode_body(meant)
    if definition.method != "GET" and call.idempotency_key:
        headers["idempotency-key"] = call.idempotency_key
    for name, template in definition.headers.items():
        value = fill_header(name, template, call)
        if value is not None:
            headers[name] = value
    return definition.url.fill(meant, call, further), headers, body


def result_of(status: int, headers: Mapping[str, str], received: bytes, redactor: Redactor) -> Result:
    """Return what the model is told of an answer."""
    is_success = 200 <= status < 300
    try:
        body = unpacked(received, headers, MAX_ANSWER_BYTES)
        if is_success and len(body) > MAX_ANSWER_BYTES:
            return Result.failed("the service's answer is too large", status=status)
        text = compact(decoded(body, headers.get("content-type", ""), "strict" if is_success else "replace"))
    except UnicodeDecodeError:
        return Result.failed("the service's answer is not UTF-8", status=status)
    except UpstreamBadResponse:
        if is_success:
            return Result.failed(UNREACHABLE, "unreachable", status)
        # A refusal counts though its words can't be read.
        text = ""
    if not is_success:
        return Result.failed(f"HTTP {status}", status=status, body=cleaned(text, MAX_ERROR_CHARACTERS, redactor))
    return Result.of(cleaned(text, MAX_RESULT_CHARACTERS, redactor), status)


def compact(text: str) -> str:
    """Return JSON without white space between its parts, whatever the answer is labelled; other text as it is."""
    text = text.strip()
    if text.startswith(("{", "[")):
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            # Numbers and escapes stay as they were written.
            return msgspec.json.format(text, indent=-1)
    return text


def cleaned(text: str, limit: int, redactor: Redactor) -> str:
    """Return the beginning of a text without secrets, longer than its limit if the text is."""
    return redactor.redact_known(text[: limit + MARGIN])
