"""MCP's messages over HTTP, as values: requests and their headers, answers, the tools of a list, results of calls.

Servers speak one of two forms, which `Session` tells apart: the stateless one (revision 2026-07-28) repeats version
and client in each request, the other begins with `initialize` and may keep a session. Nothing here sends or waits, and
nothing that a server sends makes these functions fail.
"""

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from parley.tools.tool import FAILED, UNREACHABLE, Arguments, Result
from parley.wire import upstream_json

STATELESS_VERSION = "2026-07-28"
SESSION_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""Revisions that begin with `initialize`, the newest first."""
CLIENT = {"name": "parley", "version": "1.0"}
HEADER_MISMATCH, UNSUPPORTED_VERSION, METHOD_NOT_FOUND = -32020, -32022, -32601
UNKNOWN_SESSION_CODES = (-32000, -32001, -32600, UNSUPPORTED_VERSION)
"""Codes with which servers turn away a request whose session, or form, they don't know, beside status 400."""
HINTS = {
    401: ": look at `headers`",
    403: ": look at `headers`",
    404: ": look at the path of `endpoint`",
    405: ": look at the path of `endpoint`; the older transport (HTTP+SSE) is not spoken",
}
"""Advice to the operator behind a status."""
MAX_NAME_CHARACTERS = 64
LIST_LIFE_SECONDS, SHORTEST_LIFE_SECONDS, LONGEST_LIFE_SECONDS = 300.0, 30.0, 3600.0
"""Seconds for which a list serves where the server names no time, and the limits on what it names."""
LEFT_OUT = ("image", "audio", "resource")
"""Kinds of content that a model can't be given as text."""
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_ENCODED = re.compile(r"=\?base64\?.*\?=")
_ANNOTATION = "x-mcp-header"
_MAPS_OF_SCHEMAS = ("patternProperties", "dependentSchemas", "$defs", "definitions")
_NO_SCHEMAS = ("default", "examples", "const", "enum", "required", _ANNOTATION)
"""Keywords of JSON schema whose values are data."""


@dataclass(frozen=True)
class Session:
    """The form in which a server is spoken to, by its revision, and the id of the session if it keeps one."""

    version: str
    id: str = ""

    @property
    def is_stateless(self) -> bool:
        """True if each request bears version and client."""
        return self.version == STATELESS_VERSION

    def headers(self, method: str, name: str = "") -> dict[str, str]:
        """Return the headers of a request; `name` is the tool that it calls."""
        if self.is_stateless:
            named = {"mcp-name": header_value(name)} if name else {}
            return {"mcp-protocol-version": self.version, "mcp-method": method, **named}
        # `initialize` asks which version there is to be.
        version = {} if method == "initialize" else {"mcp-protocol-version": self.version}
        return {**version, **({"mcp-session-id": self.id} if self.id else {})}

    def message(self, method: str, params: Mapping[str, Any], number: int | None = None) -> bytes:
        """Return a request with this number as its id, or without one a notification."""
        if self.is_stateless:
            names = ("protocolVersion", "clientInfo", "clientCapabilities")
            values: tuple[Any, ...] = (self.version, CLIENT, {})
            meta = {f"io.modelcontextprotocol/{name}": value for name, value in zip(names, values, strict=True)}
            params = {**params, "_meta": meta}
        id = {} if number is None else {"id": number}
        # A model's arguments may hold half of a surrogate pair.
        return upstream_json.encode({"jsonrpc": "2.0", **id, "method": method, "params": params})


@dataclass(frozen=True)
class Reply:
    """A server's reply to a request: HTTP status, session that it begins, and the answer, or the text in its place."""

    status: int
    session_id: str = ""
    answer: Mapping[str, Any] | None = None
    text: str = ""

    @property
    def result(self) -> Mapping[str, Any]:
        """The answer's result; empty if there is none."""
        result = (self.answer or {}).get("result")
        return result if isinstance(result, dict) else {}

    @property
    def error(self) -> Mapping[str, Any]:
        """The answer's error; empty if there is none."""
        error = (self.answer or {}).get("error")
        return error if isinstance(error, dict) else {}

    @property
    def code(self) -> Any:
        """The code of the answer's error."""
        return self.error.get("code")

    @property
    def session_is_unknown(self) -> bool:
        """True if the server has not run the request, because it knows no such session, or not this form."""
        return self.status == 404 or (self.status == 400 and self.code in UNKNOWN_SESSION_CODES)

    @property
    def versions(self) -> list[Any]:
        """The revisions that the server names in a discovery or a refusal."""
        data = self.error.get("data") if self.code == UNSUPPORTED_VERSION else None
        named = data.get("supported") if isinstance(data, dict) else self.result.get("supportedVersions")
        return named if isinstance(named, list) else []


@dataclass(frozen=True)
class ListedTool:
    """A tool as a server lists it, by the server's own name.

    `header_fields` are the arguments that are sent as headers, too: the path of each, and its header.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    read_only: bool
    header_fields: Mapping[tuple[str, ...], str]

    def headers(self, arguments: Arguments) -> dict[str, str]:
        """Return the headers that repeat arguments, for intermediaries on the way."""
        found = {}
        for path, header in self.header_fields.items():
            value: Any = arguments
            for name in path:
                value = value.get(name) if isinstance(value, dict) else None
            if isinstance(value, bool):
                value = "true" if value else "false"
            if isinstance(value, str | int | float):
                found[f"mcp-param-{header.lower()}"] = header_value(str(value))
        return found


def header_value(value: str) -> str:
    """Return a value for a header: encoded where it is not plain ASCII."""
    # White space at its ends would be lost on the way, and what looks encoded would be decoded.
    is_plain = value.isascii() and value.isprintable() and value == value.strip()
    if is_plain and not _ENCODED.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode('utf-8', 'replace')).decode()}?="


def messages_in(payload: bytes) -> list[dict[str, Any]]:
    """Return the JSON-RPC messages of a body or an event: one, or several in a list; none if it is something else.

    Bytes that are no UTF-8, halves of surrogate pairs and NaN are replaced: a model's request could not hold them.
    """
    try:
        try:
            value = msgspec.json.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Servers are strangers: whatever can be read of their JSON is.
            text = payload.decode("utf-8-sig", "replace")
            value = json.loads(text, strict=False, parse_constant=lambda _name: None)
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError, msgspec.DecodeError):
        return []
    return [message for message in (value if isinstance(value, list) else [value]) if isinstance(message, dict)]


def is_answer(message: Mapping[str, Any], number: int) -> bool:
    """Return true for the answer to the request of this number; an error may lack it."""
    if "method" in message or not ("result" in message or "error" in message):
        return False
    id = message.get("id")
    # Some servers keep all ids as texts.
    return str(id) == str(number) or (id is None and "error" in message)


def reply_to(message: Mapping[str, Any]) -> bytes | None:
    """Return the reply to a server's own request, or None if the message is none: a ping is answered, all else refused.

    A server that waits for its client would wait until the call's time is over.
    """
    if "method" not in message or message.get("id") is None:
        return None
    refused = {"code": METHOD_NOT_FOUND, "message": "the client does not support this"}
    said = {"result": {}} if message["method"] == "ping" else {"error": refused}
    return msgspec.json.encode({"jsonrpc": "2.0", "id": message["id"], **said})


def listed_tool(entry: Mapping[str, Any], *, stateless: bool) -> ListedTool:
    """Return an entry of a list, which has a name, as a tool. Raises ValueError with the reason if it can't be used.

    `$schema` and `x-mcp-header`, which models don't need, are taken out of its schema. Only the stateless form knows
    the latter; there an invalid one forbids the use of the tool.
    """
    name, schema, annotations = str(entry.get("name")), entry.get("inputSchema"), entry.get("annotations")
    parameters = {"type": "object", **(schema if isinstance(schema, dict) else {})}
    # What an API of models refuses would fail every turn, whichever tools it needs.
    if parameters["type"] != "object":
        raise ValueError("its arguments are no object")
    if not isinstance(parameters.get("properties"), dict):
        parameters["properties"] = {}
    header_fields: dict[tuple[str, ...], str] = {}
    for path, position in schema_positions(parameters):
        position.pop("$schema", None)
        if _ANNOTATION in position:
            header = position.pop(_ANNOTATION)
            if stateless:
                check_annotation(path, position, header, header_fields.values())
                header_fields[path or ()] = header
    titles = (entry.get("description"), entry.get("title"), name)
    described = [text for text in titles if isinstance(text, str) and text.strip()]
    # A hint is the server's word, which counts for a tool that may be let go, and no more.
    hints = annotations if isinstance(annotations, dict) else {}
    return ListedTool(
        name, described[0] if described else "", parameters, hints.get("readOnlyHint") is True, header_fields
    )


def check_annotation(
    path: tuple[str, ...] | None, schema: Mapping[str, Any], header: Any, others: Iterable[str]
) -> None:
    """Raise ValueError if a schema's `x-mcp-header` is not valid there."""
    if not path:
        raise ValueError(f"{_ANNOTATION} stands elsewhere than at a property")
    if not isinstance(header, str) or not _TOKEN.fullmatch(header):
        raise ValueError(f"{_ANNOTATION} is no name of a header")
    if schema.get("type") not in ("string", "integer", "boolean"):
        raise ValueError(f"{_ANNOTATION} stands at a property that is no string, integer or boolean")
    if header.lower() in (other.lower() for other in others):
        raise ValueError(f"{_ANNOTATION} names a header twice")


def schema_positions(schema: dict[str, Any]) -> Iterator[tuple[tuple[str, ...] | None, dict[str, Any]]]:
    """Yield each schema within a schema, itself included, with its path through `properties` alone, or None."""
    # A list in place of recursion: schemas may be nested deeply.
    waiting: list[tuple[tuple[str, ...] | None, Any]] = [((), schema)]
    while waiting:
        path, position = waiting.pop()
        if not isinstance(position, dict):
            continue
        yield path, position
        for keyword, value in position.items():
            if keyword == "properties" and isinstance(value, dict):
                waiting += [(None if path is None else (*path, name), inner) for name, inner in value.items()]
            elif keyword in _MAPS_OF_SCHEMAS and isinstance(value, dict):
                waiting += [(None, inner) for inner in value.values()]
            elif keyword not in _NO_SCHEMAS:
                waiting += [(None, inner) for inner in (value if isinstance(value, list) else [value])]


def model_names(names: Iterable[str], prefix: str = "") -> dict[str, str]:
    """Return the name that a model is told for each of a server's names: letters, digits, `_` and `-`, 64 at most.

    Each depends on the set of names, not on their order. A name that would be lost by that bears a hash.
    """
    plain = {name: plain_name(prefix + name) for name in names}
    uses = Counter(plain.values())
    # A name that needs no change keeps it, whatever becomes of others.
    unchanged = {prefix + name for name in plain}
    hashed = {}
    for name, short in plain.items():
        is_own = short == prefix + name
        if is_own or (uses[short] == 1 and short not in unchanged and len(prefix + name) <= MAX_NAME_CHARACTERS):
            hashed[name] = short
        else:
            mark = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=4).hexdigest()
            hashed[name] = f"{short[: MAX_NAME_CHARACTERS - 9]}_{mark}"
    return hashed


def plain_name(name: str) -> str:
    """Return a name with `_` for each character that models' APIs refuse; it begins with a letter."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return (plain if plain[:1].isalpha() else f"t_{plain}")[:MAX_NAME_CHARACTERS]


def result_of(reply: Reply) -> Result:
    """Return what the model is told of a reply to a call."""
    if reply.error:
        message = reply.error.get("message")
        return Result.failed(message if isinstance(message, str) and message else FAILED, status=reply.status)
    if reply.status >= 300:
        return Result.failed(f"HTTP {reply.status}", status=reply.status, body=reply.text)
    if reply.answer is None or "result" not in reply.answer:
        return Result.failed(UNREACHABLE, "unreachable", reply.status)
    result = reply.result
    # Nobody is there to be asked: a caller's answer would be another turn.
    if result.get("resultType") == "input_required":
        return Result.failed("the tool wants to ask somebody", status=reply.status)
    content = result.get("content")
    texts = [text_of(part) for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    text = "\n".join(filter(None, texts))
    # Where both are there, the texts are the structured content in words.
    if not text and result.get("structuredContent") is not None:
        text = msgspec.json.encode(result["structuredContent"]).decode()
    if result.get("isError") is True:
        return Result.failed(text or FAILED, status=reply.status)
    return Result.of(text, reply.status)


def refusal_of(reply: Reply) -> str:
    """Return why a reply holds no result that could be used, in a line for the log."""
    message = reply.error.get("message")
    if isinstance(message, str) and message:
        return f"the server refuses: HTTP {reply.status}, {message:.200}"
    if reply.status >= 400:
        return f"the server answers HTTP {reply.status}{HINTS.get(reply.status, '')}"
    return f"the server's answer is none of MCP's: HTTP {reply.status}"


def life_of(listed: Mapping[str, Any]) -> float:
    """Return the seconds for which a list serves: by the time that the server names, if any, within limits."""
    named = listed.get("ttlMs")
    if isinstance(named, bool) or not isinstance(named, int | float):
        return LIST_LIFE_SECONDS
    return min(max(named / 1000, SHORTEST_LIFE_SECONDS), LONGEST_LIFE_SECONDS)


def text_of(part: Mapping[str, Any]) -> str:
    """Return a part of a result's content as text; what is none is named."""
    kind, text = part.get("type"), part.get("text")
    if kind == "resource" and isinstance(part.get("resource"), dict):
        text = part["resource"].get("text")
    if kind == "resource_link":
        text = ": ".join(str(part[name]) for name in ("name", "uri") if part.get(name))
    if isinstance(text, str):
        return text
    return f"[{kind} left out]" if kind in LEFT_OUT else ""
