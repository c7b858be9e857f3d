"""The words of an upstream's error, in whatever form it gives them: tables of names, walked from the outside in.

    {"error": {"message": ...}}              OpenAI, Anthropic, Azure, OpenRouter, llama.cpp
    [{"error": {"message": ...}}]            Gemini
    {"error": "text"}                        Ollama, TGI; a list of texts: Hugging Face
    {"object": "error", "message": ...}      vLLM; Mistral with an object for its message
    {"detail": "text"}, {"detail": [...]}    FastAPI: a text, or an object for each field at fault
    {"errors": [{"message": ...}]}           Cloudflare, watsonx, JSON:API
    {"__type": ..., "message": ...}          AWS
    {"type": ..., "title": ..., "detail"}    problem+json (RFC 9457)
    {"fault": {"faultstring": ...}}          Apigee; `base_resp` and `status_msg`: MiniMax
    a line of text, or any of these behind `data:` of an event stream

Nothing here is cleaned of secrets: `parley/telemetry/redaction.py` does that. A page is never taken for words.
"""

import contextlib
import dataclasses
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from parley.errors import ErrorWords, UpstreamBadResponse
from parley.wire import sse
from parley.wire.body_form import EVENT_STARTS

MESSAGE_NAMES = (
    "message",
    "msg",
    "error_message",
    "errormessage",
    "error_msg",
    "errormsg",
    "errmsg",
    "err",
    "error_description",
    "faultstring",
    "status_msg",
    "detail",
    "details",
    "description",
    "error",
    "errors",
    "fault",
    "base_resp",
    "title",
    "reason",
)
"""Names under which words stand, directly or deeper inside; the first that leads to words counts."""
WRAPPER_NAMES = ("response", "data", "body")
"""Names of objects around an error; a text under them may be an answer."""
TYPE_NAMES = ("type", "error_type", "__type")
CODE_NAMES = ("code", "error_code", "errorcode", "errcode", "status_code")
STATUS_NAMES = ("status", "code", "status_code", "statuscode", "http_status", "http_status_code", "error_code")
"""Names under which the number of an HTTP status stands."""
STATUS_OF_NAME = {
    "invalidrequesterror": 400,
    "badrequesterror": 400,
    "badrequest": 400,
    "invalidargument": 400,
    "invalidparameter": 400,
    "validationexception": 400,
    "contextlengthexceeded": 400,
    "invalidapikey": 401,
    "authenticationerror": 401,
    "unauthenticated": 401,
    "unauthorized": 401,
    "billingerror": 402,
    "insufficientbalance": 402,
    "permissionerror": 403,
    "permissiondenied": 403,
    "permissiondeniederror": 403,
    "accessdeniedexception": 403,
    "notfounderror": 404,
    "notfound": 404,
    "modelnotfound": 404,
    "resourcenotfoundexception": 404,
    "requesttoolarge": 413,
    "validation": 422,
    "unprocessableentityerror": 422,
    "ratelimiterror": 429,
    "ratelimitexceeded": 429,
    "ratelimited": 429,
    "insufficientquota": 429,
    "resourceexhausted": 429,
    "throttlingexception": 429,
    "toomanyrequests": 429,
    "overloadederror": 503,
    "unavailable": 503,
    "serviceunavailable": 503,
}
"""The HTTP status that a code or a type stands for, where an error names no number; letters and digits alone."""
NO_WORDS = frozenset({"path", "timestamp", "time", "date", "input", "request", "prompt", "stack", "traceback", "help"})
"""Names under which a refusal says something else than why; all others may hold its words."""
MAX_PLAIN_CHARACTERS = 500
"""Longest body of plain text that is taken for words."""
MAX_READ_BYTES = 1 << 16
"""Bytes in which words are looked for: a longer error is read as one that breaks off; of a compressed one, unpacked."""
MAX_ITEMS = 5
"""Most entries of a list of errors that are told."""
MAX_LEVELS = 6
"""Depth to which words are looked for."""
NOTHING = ErrorWords()
_PAGE = re.compile(r"\s*<[!?a-z]|.*<(?:!doctype|html|head|body|script|style)\b", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(
    r"</?(?:a|b|i|p|h[1-6]|br|hr|em|li|ol|ul|tr|td|div|pre|img|code|span|font|table|title|center|strong)\b[^<>]{0,300}>",
    re.IGNORECASE,
)
# A proxy's page has no words for a caller, but its title tells the operator more than its status.
_TITLE = re.compile(rb"<title[^<>]{0,100}>([^<>]{1,200})", re.IGNORECASE)
_ELEMENT = re.compile(r"<(?:\w+:)?(?:error)?(?:message|faultstring)\b[^<>]{0,100}>\s*([^<>]{1,500})<", re.IGNORECASE)
"""Matches the words of an error in XML, as Azure and AWS write it."""
_TEXT_FIELD = re.compile(
    r"""["'](?:message|msg|detail|error)["']\s{0,9}:\s{0,9}(?:("(?:[^"\\]|\\.){1,2000}")|'((?:[^'\\]|\\.){1,2000})')""",
    re.IGNORECASE,
)
"""Matches words in JSON that is not whole (FastAPI repeats the request behind them), or in a dictionary of Python's."""
_GZIP = b"\x1f\x8b"
# A type of problem+json is a URI; "error" says nothing.
_NO_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S*|/\S*|error")


def read_error(body: bytes, level: int = 0) -> ErrorWords:
    """Return the words of an error's body, or of an event's payload. `level` is that of the error around it."""
    if len(body) > MAX_READ_BYTES or level > MAX_LEVELS:
        return NOTHING
    if body.startswith(_GZIP):
        with contextlib.suppress(zlib.error):
            body = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, MAX_READ_BYTES)
    try:
        text = body.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        text = body.decode("latin-1").strip()
    if (encoded := text.encode()).startswith((*EVENT_STARTS, b":")):
        payload = first_payload(encoded)
        return read_error(payload, level + 1) if payload else NOTHING
    try:
        return words_of(json.loads(text), level)
    # RecursionError: JSON that is nested too deeply for the decoder.
    except (ValueError, RecursionError):
        # Half of an object may be half of an answer, which is nobody's error.
        is_words = is_line(text) and not text.startswith(("{", "[", '"'))
        return ErrorWords(message=without_tags(text) if is_words else None)


def read_refusal(body: bytes) -> ErrorWords:
    """Return the words of a body whose status says that it is a refusal, so that they may stand anywhere in it.

    Those of `read_error` go before a text of several words under a name that nobody knows, a line of text with whatever
    start, and a message in XML or in JSON that broke off.
    """
    words = read_error(body)
    if words.message:
        return words
    text = body[:MAX_READ_BYTES].decode("utf-8-sig", "replace").strip()
    try:
        # Lenient: other values may stand behind the first, and line breaks in its texts.
        value, end = json.JSONDecoder(strict=False).raw_decode(text)
    except (ValueError, RecursionError):
        return filled(ErrorWords(message=loose_message(text)), words)
    found = filled(words_of(value), words)
    # A number in brackets may begin a sentence.
    message = found.message or unnamed_message(value) or (loose_message(text) if text[end:] else None)
    return filled(found, ErrorWords(message=message))


def loose_message(text: str) -> str | None:
    """Return the words of a refusal that is no JSON, or only the begin of some; None if it has none."""
    if found := _ELEMENT.search(text):
        return found[1].strip()
    if text.startswith(("{", "[")) and (found := _TEXT_FIELD.search(text)):
        with contextlib.suppress(ValueError):
            return found[2] or str(json.loads(found[1], strict=False))
    # Half of an object says nothing.
    return without_tags(text) if is_line(text) and not text.startswith(('{"', "{'", "[{", '["')) else None


def is_line(text: str) -> bool:
    """Return True for one short line with letters in it, which may be words."""
    return len(text) <= MAX_PLAIN_CHARACTERS and text.isprintable() and any(map(str.isalpha, text))


def unnamed_message(value: Any, level: int = 0) -> str | None:
    """Return the first text of several words in a refusal, whatever its name; None if there is none."""
    if isinstance(value, str):
        return without_tags(value) if " " in value.strip() else None
    if level > MAX_LEVELS or not isinstance(value, list | Mapping):
        return None
    items = value[:MAX_ITEMS] if isinstance(value, list) else [value[name] for name in value if name not in NO_WORDS]
    return next(filter(None, (unnamed_message(item, level + 1) for item in items)), None)


def first_payload(text: bytes) -> bytes:
    """Return the payload of the first event of a whole event stream; empty if there is none."""
    try:
        return b"".join(sse.Decoder().feed(text + b"\n\n")[:1])
    except UpstreamBadResponse:
        return b""


def page_title(body: bytes) -> str:
    """Return the title of a page, which names a proxy's complaint; empty if there is none."""
    found = _TITLE.search(body)
    return " ".join(found[1].decode(errors="replace").split()) if found else ""


def without_tags(text: str) -> str | None:
    """Return the text without HTML's tags; None if nothing is left, or if it is a page."""
    return None if _PAGE.match(text) else _TAG.sub("", text).strip() or None


def words_of(value: Any, level: int = 0) -> ErrorWords:
    """Return the words of an error that has been read from JSON; deeper objects go before those around them."""
    if level > MAX_LEVELS:
        return NOTHING
    if isinstance(value, str):
        # Gateways pass another's JSON on as a text.
        is_json = value.lstrip().startswith(("{", "["))
        inner = read_error(value.encode(errors="replace"), level + 1) if is_json else NOTHING
        return inner if inner.message else ErrorWords(message=without_tags(value))
    if isinstance(value, list):
        return joined(words_of(item, level + 1) for item in value[:MAX_ITEMS])
    if not isinstance(value, Mapping):
        return NOTHING
    # AWS and .NET write their names with a capital.
    fields = {name.lower(): each for name, each in value.items()}
    around = ErrorWords(
        type=name_of(fields, TYPE_NAMES),
        param=name_of(fields, ("param",)),
        code=name_of(fields, CODE_NAMES),
        status=status_of(fields),
    )
    # Each value is walked once: an upstream may nest its error deeply.
    walked = {}
    for name in [name for name in MESSAGE_NAMES if fields.get(name)]:
        inner = walked[name] = words_of(fields[name], level + 1)
        if inner.message is None and name in ("errors", "detail"):
            inner = by_field(fields[name])
        if inner.message is not None:
            return finish(fields, inner, around)
    # No words, but perhaps a code: of this object, or of the one in it.
    wrapped = (words_of(fields[name], level + 1) for name in WRAPPER_NAMES if isinstance(fields.get(name), Mapping))
    return filled(next((words for words in wrapped if words.message), walked.get("error", NOTHING)), around)


def finish(fields: Mapping[str, Any], inner: ErrorWords, around: ErrorWords) -> ErrorWords:
    """Return the words found inside an object, with what the object adds to them."""
    if isinstance(fields.get("loc"), list):
        # An object for each field of the request that is at fault: its type is that of the check.
        path = ".".join(str(step) for step in fields["loc"] if step != "body")
        return ErrorWords(message=f"{path}: {inner.message}" if path else inner.message, param=path or None)
    metadata = fields.get("metadata")
    # OpenRouter: "Provider returned error", and what the provider said.
    if isinstance(metadata, Mapping) and (raw := metadata.get("raw")):
        is_text = isinstance(raw, str)
        said = read_error(raw.encode(errors="replace"), MAX_LEVELS - 3) if is_text else words_of(raw, MAX_LEVELS - 3)
        if said.message:
            inner = dataclasses.replace(inner, message=f"{inner.message}: {said.message}")
    return filled(inner, around)


def filled(inner: ErrorWords, around: ErrorWords) -> ErrorWords:
    """Return the inner words, their gaps filled from those around."""
    return ErrorWords(
        message=inner.message or around.message,
        type=inner.type or around.type,
        param=inner.param or around.param,
        code=inner.code or around.code,
        status=inner.status or around.status,
    )


def joined(items: Iterable[ErrorWords]) -> ErrorWords:
    """Return several errors as one: all their messages, and the fields of the first."""
    told = [words for words in items if words.message]
    if not told:
        return NOTHING
    return dataclasses.replace(told[0], message="; ".join(dict.fromkeys(words.message or "" for words in told)))


def by_field(value: Any) -> ErrorWords:
    """Return the words of an object with texts about each field under its name (ASP.NET, Rails)."""
    if not isinstance(value, Mapping):
        return NOTHING
    pairs = [(name, each if isinstance(each, list) else [each]) for name, each in value.items()][:MAX_ITEMS]
    texts = [f"{name}: {text}" for name, each in pairs for text in each[:MAX_ITEMS] if isinstance(text, str)]
    return joined(map(words_of, texts))


def name_of(fields: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """Return the first of these fields that holds anything, as a text; None where it is no name."""
    for name in names:
        value = fields.get(name)
        if value is None or isinstance(value, bool | Mapping) or not (text := str(value).strip()):
            continue
        text = text.rpartition("#")[2] if name == "__type" else text
        if not (names is TYPE_NAMES and _NO_TYPE.fullmatch(text)):
            return text
    return None


def status_of(fields: Mapping[str, Any]) -> int | None:
    """Return the status of a failure that an object names by its number, or else by its code or type."""
    for name in STATUS_NAMES:
        digits = str(fields.get(name, ""))
        if len(digits) == 3 and digits.isdecimal() and "400" <= digits <= "599":
            return int(digits)
    for name in (*CODE_NAMES, *TYPE_NAMES, "status"):
        letters = re.sub("[^a-z0-9]", "", str(fields.get(name, "")).rpartition("#")[2].lower())
        if letters in STATUS_OF_NAME:
            return STATUS_OF_NAME[letters]
    return None
