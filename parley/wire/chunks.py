"""Completion chunks in OpenAI's form: made for our callers (`Envelope`), read from the upstream (`ChunkView`).

Every chunk of ours has all fields of the envelope: clients lose text, or raise, if one is missing. An upstream's chunk
goes on byte for byte wherever that is possible.
Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

import dataclasses
import os
import re
import time
from collections.abc import Mapping, Set
from typing import Any

import msgspec

from parley.errors import ParleyError, UpstreamBadResponse, UpstreamError, UpstreamRefused
from parley.wire import error_forms, upstream_json
from parley.wire.content import HEARD_FIELDS, SAID_FIELDS, words_of
from parley.wire.first_chunk import FirstChunkMetadata
from parley.wire.upstream_json import encode


@dataclasses.dataclass
class Envelope:
    """The fields that all chunks of one answer share: id, created (Unix seconds) and model.

    `used` is true once a chunk of ours has been made under it, `calls_tool` once a tool call has begun, which no words
    of ours may complete. `takes_text` is false once the answer's failure must not be hidden behind a text of ours.
    `spoken_at` is the time by `time.monotonic` of the latest words that left, 0 before any. `first_chunk` takes the
    metadata for the platform; it is None where nobody may give any. `fingerprint` is a text that the platform finds in
    each chunk, as `system_fingerprint`; None for none.
    """

    id: str
    created: float | str
    model: str
    used: bool = False
    calls_tool: bool = False
    takes_text: bool = True
    spoken_at: float = 0.0
    first_chunk: FirstChunkMetadata | None = None
    fingerprint: str | None = None

    @classmethod
    def new(cls, model: str) -> "Envelope":
        """Return an envelope of our own, with a fresh id."""
        return cls(f"chatcmpl-{os.urandom(16).hex()}", int(time.time()), model)

    def adopt(self, view: "ChunkView") -> None:
        """Take over the envelope of an upstream's chunk, if it is complete; a time is kept in the upstream's form."""
        if isinstance(view.id, str) and isinstance(view.created, int | float | str) and isinstance(view.model, str):
            self.id, self.created, self.model = view.id, view.created, view.model

    def follow(self, other: "Envelope") -> None:
        """Go on as another envelope, unless a chunk has been made under this one: an answer has one id."""
        self.calls_tool = self.calls_tool or other.calls_tool
        if not self.used:
            self.id, self.created, self.model = other.id, other.created, other.model

    def chunk(self, delta: Mapping[str, Any], finish_reason: Any = None, *, index: Any = 0) -> bytes:
        """Return a chunk's payload with a single choice."""
        self.used = True
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return encode(self._with("chat.completion.chunk", choice))

    def text(self, content: str, *, first: bool) -> bytes:
        """Return a chunk with a piece of text; the first piece of an answer gives the role."""
        self.spoken_at = time.monotonic()
        return self.chunk({"role": "assistant", "content": content} if first else {"content": content})

    def finish(self, reason: str) -> bytes:
        """Return the chunk that ends the answer."""
        return self.chunk({}, reason)

    def completion(self, message: Mapping[str, Any], finish_reason: str = "stop") -> dict[str, Any]:
        """Return the whole answer in one object (`stream: false`)."""
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}
        return self._with("chat.completion", choice)

    def restamp(self, payload: bytes) -> bytes:
        """Return an upstream's chunk as a further chunk of this answer: our id, created and model, no role again.

        Everything else stays as it came, byte for byte (`msgspec.Raw`): long numbers keep all their digits.
        """
        chunk = upstream_json.fields(payload)
        ours = {"id": self.id, "created": self.created, "model": self.model}
        chunk.update({name: msgspec.Raw(encode(value)) for name, value in ours.items()})
        if b'"role"' in payload and bytes(chunk.get("choices", b"null")) != b"null":
            chunk["choices"] = msgspec.Raw(msgspec.json.encode(_without_roles(chunk["choices"])))
        return encode(chunk)

    def metadata(self, first: bytes, fields: Mapping[str, Any]) -> bytes:
        """Return the payload that tells the platform these fields, with the envelope of the answer's first chunk."""
        ours = {"id": self.id, "created": self.created, "model": self.model}
        of_chunk = {**ours, **upstream_json.fields(first)}
        head = {"id": of_chunk["id"], "object": "chat.completion.custom_metadata"}
        return encode(
            {**head, "created": of_chunk["created"], "model": of_chunk["model"], "choices": [], "metadata": fields}
        )

    def _with(self, kind: str, choice: Mapping[str, Any]) -> dict[str, Any]:
        head = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        if self.fingerprint is not None:
            head["system_fingerprint"] = self.fingerprint
        return {**head, "choices": [choice]}


def _without_roles(raw: msgspec.Raw) -> list[dict[str, msgspec.Raw]]:
    choices = msgspec.json.decode(raw, type=list[dict[str, msgspec.Raw]])
    for choice in choices:
        if bytes(choice.get("delta", b"")).startswith(b"{"):
            delta = msgspec.json.decode(choice["delta"], type=dict[str, msgspec.Raw])
            delta.pop("role", None)
            choice["delta"] = msgspec.Raw(msgspec.json.encode(delta))
    return choices


_CODE = re.compile(r"(?:[A-Za-z]{1,32}[0-9]{0,2}|[0-9]{1,6})(?:[_.-](?:[A-Za-z]{1,32}[0-9]{0,2}|[0-9]{1,6}))*")
"""Form of an upstream's error code that is passed on: words and short numbers, which no key is."""
NO_REASONS = ("null", "none", "error")
"""Texts of a finish_reason that end nothing: two are written for JSON's null, the third is a failure."""


class Choice(msgspec.Struct):
    """One choice of a chunk. A field that is missing is UNSET, which is not null: `repairs.py` adds it."""

    index: int | float | str | bool | msgspec.UnsetType | None = msgspec.UNSET
    delta: dict[str, Any] | list[Any] | msgspec.UnsetType | None = msgspec.UNSET
    message: Any = None
    finish_reason: Any = None

    @property
    def key(self) -> object:
        """The choice's index as a number if it stands for one; 0 if it has none."""
        if isinstance(self.index, str) and self.index.isdecimal():
            return int(self.index)
        return 0 if self.index in (None, msgspec.UNSET) else self.index

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the delta; none if it is null, or a list, which PHP writes for an empty object."""
        return self.delta if isinstance(self.delta, dict) else {}

    @property
    def ends(self) -> bool:
        """True if the choice has a finish_reason, of whatever JSON type."""
        return bool(self.finish_reason) and self.reason.lower() not in NO_REASONS

    @property
    def reason(self) -> str:
        """The finish_reason if it is a text, else empty."""
        return self.finish_reason if isinstance(self.finish_reason, str) else ""

    @property
    def heard(self) -> bool:
        """True if the delta holds output, white space included; `heard.py` tells whether anything is heard of it."""
        delta = self.fields
        return any(holds_output(name, delta[name]) for name in HEARD_FIELDS if delta.get(name))


def holds_output(name: str, value: Any) -> bool:
    """Return true if a field of `HEARD_FIELDS` holds more than empty texts, thoughts, or an id."""
    if name == "audio" and isinstance(value, dict):
        return bool(value.get("data") or value.get("transcript"))
    return name not in SAID_FIELDS or isinstance(value, str) or any(words_of(value))


class ChunkView(msgspec.Struct):
    """The fields of an upstream's chunk that a relay needs; the payload itself goes on as it came.

    All are of type Any that may be of another type than OpenAI's: an odd field is no reason to lose a word.
    """

    id: Any = None
    created: Any = None
    model: Any = None
    object: Any = None
    choices: list[Choice] | msgspec.UnsetType | None = msgspec.UNSET
    error: Any = None
    message: Any = None
    code: Any = None

    def goes_on(self, begun: Set[Any]) -> bool:
        """Return true if the chunk only continues one of the choices that have begun, as nearly all chunks do.

        perf: saves the other questions to the view for each chunk (S3).
        """
        choices = self.choices
        if self.error is not None or self.object == "error" or not choices or len(choices) != 1:
            return False
        choice = choices[0]
        delta = choice.delta
        return (
            choice.finish_reason is None
            and choice.index in begun
            and isinstance(delta, dict)
            and "tool_calls" not in delta
            and "function_call" not in delta
        )

    @property
    def commits(self) -> bool:
        """True if the chunk holds anything that a caller may hear or act on: the commit point."""
        return any(value and name != "role" for choice in self.choices or () for name, value in choice.fields.items())

    @property
    def delta(self) -> dict[str, Any]:
        """The delta of the first choice; empty if there is none."""
        return self.choices[0].fields if self.choices else {}

    @property
    def finish_reason(self) -> str:
        """The reason for which the first choice ended; "stop" if none is given in words."""
        return (self.choices[0].reason if self.choices else "") or "stop"

    @property
    def calls_tool(self) -> bool:
        """True if the chunk holds a piece of a tool call."""
        deltas = [choice.fields for choice in self.choices or ()]
        return any(delta.get("tool_calls") or delta.get("function_call") for delta in deltas)

    @property
    def finishes(self) -> bool:
        """True if a choice ends here."""
        return any(choice.ends for choice in self.choices or ())

    @property
    def is_completion(self) -> bool:
        """True for a whole answer: its choices have a message in place of a delta, and it is not called a chunk."""
        if self.object == "chat.completion.chunk" and not self.finishes:
            return False
        return any(choice.delta is msgspec.UNSET and isinstance(choice.message, dict) for choice in self.choices or ())

    def raise_for_failure(self, payload: bytes = b"") -> None:
        """Raise the failure that the chunk reports, with the words of its payload.

        The forms are `{"error": {...}}` (OpenAI), `{"error": "text"}`, `{"object": "error", ...}` (vLLM), a choice with
        `finish_reason: "error"` (OpenRouter), and all of `error_forms.py` where nothing tells of a chunk.
        """
        # Beside choices an empty error says that there is none.
        is_reported = self.error or (self.error is not None and not self.choices)
        reported = self.error if is_reported else (self if self.object == "error" else None)
        if reported is None and not any(choice.finish_reason == "error" for choice in self.choices or ()):
            named = any(value not in (None, msgspec.UNSET) for value in (self.id, self.object))
            is_chunk = named or isinstance(self.choices, list)
            if is_chunk or error_forms.read_error(payload).message is None:
                return
        code = reported.get("code") if isinstance(reported, dict) else getattr(reported, "code", None)
        safe = code if isinstance(code, str) and len(code) <= 64 and _CODE.fullmatch(code) else None
        words = error_forms.read_error(payload)
        raise UpstreamError("the upstream reported an error inside its answer", upstream_code=safe, words=words)


_view_decoder = msgspec.json.Decoder(ChunkView)


def look(payload: bytes) -> ChunkView:
    """Return the view of a payload. Raises UpstreamBadResponse for anything but a JSON chunk in UTF-8."""
    try:
        if not payload.isascii():
            # The decoder checks only the fields of the view; the others go on to the caller, too.
            payload.decode()
        try:
            return _view_decoder.decode(payload)
        except msgspec.DecodeError:
            if not upstream_json.holds_half_pair(payload):
                raise
            return msgspec.convert(upstream_json.decode(payload), ChunkView)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        words = error_forms.read_error(payload)
        raise UpstreamBadResponse("the upstream sent an event that is not a completion chunk", words=words) from exc


def check_completion(body: bytes) -> ChunkView:
    """Return the view of a whole answer. Raises the failure that it reports, or UpstreamBadResponse if it is none."""
    view = look(body)
    view.raise_for_failure(body)
    if not view.choices:
        raise UpstreamBadResponse("the upstream's answer has no choices", words=error_forms.read_error(body))
    return view


def with_field(payload: bytes, name: str, value: Any) -> bytes:
    """Return a chunk or completion with one more top-level field; everything else stays as it came, byte for byte."""
    fields = upstream_json.fields(payload)
    fields[name] = msgspec.Raw(encode(value))
    return encode(fields)


def with_content(payload: bytes, texts: Mapping[int, Mapping[str, Any]], *, part: str = "delta") -> bytes:
    """Return a chunk or completion with other values of some fields of its deltas or messages.

    `texts` holds these fields by the position of the choice, whose `logprobs` no longer fit and become null. Everything
    else stays as it came, byte for byte.
    """

    def put(choices: list[dict[str, msgspec.Raw]]) -> None:
        for position, values in texts.items():
            choice = choices[position]
            inner = msgspec.json.decode(choice[part], type=dict[str, msgspec.Raw])
            inner.update({name: upstream_json.raw(value) for name, value in values.items()})
            choice[part] = msgspec.Raw(msgspec.json.encode(inner))
            if "logprobs" in choice:
                choice["logprobs"] = msgspec.Raw(b"null")

    return upstream_json.with_choices(payload, put)


def with_field_at_the_end(payload: bytes, name: str, value: Any) -> bytes:
    """Return a chunk that ends a choice with one more top-level field; any other chunk as it is."""
    return with_field(payload, name, value) if look(payload).finishes else payload


def error_body(error: ParleyError) -> dict[str, Any]:
    """Return the error object: `error` is read by every SDK, `detail` by Agora's samples and webhooks."""
    body = {"message": error.message, "type": error.type, "param": error.param, "code": error.public_code}
    if isinstance(error, UpstreamRefused):
        body = {**body, **{name: value for name, value in error.body.items() if value is not None}}
    return {"error": body, "detail": body["message"]}


def error_payload(error: ParleyError) -> bytes:
    """Return the error object as the last event of a broken stream: bare, the one form that all clients notice."""
    return encode({"error": error_body(error)["error"]})
