"""Completion chunks in OpenAI's form: made for our callers (`Envelope`), read from the upstream (`ChunkView`).

Every chunk of ours has all fields of the envelope: clients lose text, or raise, if one is missing. An upstream's chunk
goes on byte for byte wherever that is possible.
Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

import dataclasses
import os
import re
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from parley.errors import ParleyError, UpstreamBadResponse, UpstreamError, UpstreamRefused
from parley.wire import sse

_encode = msgspec.json.encode


@dataclasses.dataclass
class Envelope:
    """The fields that all chunks of one answer share: id, created (Unix seconds) and model.

    `used` is true once a chunk of ours has been made under it, `calls_tool` once a tool call has begun, which no words
    of ours may complete. `takes_text` is false once the answer's failure must not be hidden behind a text of ours.
    """

    id: str
    created: int
    model: str
    used: bool = False
    calls_tool: bool = False
    takes_text: bool = True

    @classmethod
    def new(cls, model: str) -> "Envelope":
        """Return an envelope of our own, with a fresh id."""
        return cls(f"chatcmpl-{os.urandom(16).hex()}", int(time.time()), model)

    def adopt(self, view: "ChunkView") -> None:
        """Take over the envelope of an upstream's chunk, if it is complete."""
        if isinstance(view.id, str) and isinstance(view.created, int) and isinstance(view.model, str):
            self.id, self.created, self.model = view.id, view.created, view.model

    def follow(self, other: "Envelope") -> None:
        """Go on as another envelope, unless a chunk has been made under this one: an answer has one id."""
        self.calls_tool = self.calls_tool or other.calls_tool
        if not self.used:
            self.id, self.created, self.model = other.id, other.created, other.model

    def chunk(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
        """Return a chunk's payload with a single choice."""
        self.used = True
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _encode(self._with("chat.completion.chunk", choice))

    def text(self, content: str, *, first: bool) -> bytes:
        """Return a chunk with a piece of text; the first piece of an answer gives the role."""
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
        chunk = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
        ours = {"id": self.id, "created": self.created, "model": self.model}
        chunk.update({name: msgspec.Raw(_encode(value)) for name, value in ours.items()})
        if b'"role"' in payload and bytes(chunk.get("choices", b"null")) != b"null":
            chunk["choices"] = msgspec.Raw(_encode(_without_roles(chunk["choices"])))
        return _encode(chunk)

    def _with(self, kind: str, choice: Mapping[str, Any]) -> dict[str, Any]:
        head = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return {**head, "choices": [choice]}


def _without_roles(raw: msgspec.Raw) -> list[dict[str, msgspec.Raw]]:
    choices = msgspec.json.decode(raw, type=list[dict[str, msgspec.Raw]])
    for choice in choices:
        if bytes(choice.get("delta", b"null")) != b"null":
            delta = msgspec.json.decode(choice["delta"], type=dict[str, msgspec.Raw])
            delta.pop("role", None)
            choice["delta"] = msgspec.Raw(_encode(delta))
    return choices


_CODE = re.compile(r"(?:[A-Za-z]{1,32}[0-9]{0,2}|[0-9]{1,6})(?:[_.-](?:[A-Za-z]{1,32}[0-9]{0,2}|[0-9]{1,6}))*")
"""Form of an upstream's error code that is passed on: words and short numbers, which no key is."""


class _Choice(msgspec.Struct):
    index: int | float | str | None = 0
    delta: dict[str, Any] | None = None
    finish_reason: Any = None


class ChunkView(msgspec.Struct):
    """The fields of an upstream's chunk that a relay needs; the payload itself goes on as it came.

    All are of type Any that may be of another type than OpenAI's: an odd field is no reason to lose a word.
    """

    id: Any = None
    created: Any = None
    model: Any = None
    object: Any = None
    choices: list[_Choice] | None = None
    error: Any = None
    message: Any = None
    code: Any = None

    def goes_on(self, begun: frozenset[Any]) -> bool:
        """Return true if the chunk only continues one of the choices that have begun, as nearly all chunks do.

        perf: saves the other questions to the view for each chunk (S3).
        """
        if self.error is not None or self.object == "error" or self.choices is None or len(self.choices) != 1:
            return False
        choice = self.choices[0]
        delta = choice.delta
        return (
            choice.finish_reason is None
            and choice.index in begun
            and (delta is None or ("tool_calls" not in delta and "function_call" not in delta))
        )

    @property
    def commits(self) -> bool:
        """True if the chunk holds anything that a caller may hear or act on: the commit point."""
        return any(
            value and name != "role" for choice in self.choices or () for name, value in (choice.delta or {}).items()
        )

    @property
    def delta(self) -> dict[str, Any]:
        """The delta of the first choice; empty if there is none."""
        return (self.choices[0].delta if self.choices else None) or {}

    @property
    def finish_reason(self) -> str:
        """The reason for which the first choice ended; "stop" if none is given."""
        return str((self.choices[0].finish_reason if self.choices else None) or "stop")

    @property
    def calls_tool(self) -> bool:
        """True if the chunk holds a piece of a tool call."""
        deltas = [choice.delta or {} for choice in self.choices or ()]
        return any(delta.get("tool_calls") or delta.get("function_call") for delta in deltas)

    @property
    def finishes(self) -> bool:
        """True if a choice ends here; `error` is not an end but a failure."""
        return any(choice.finish_reason and choice.finish_reason != "error" for choice in self.choices or ())

    def unfinished(self, before: frozenset[Any]) -> frozenset[Any]:
        """Return the choices (several for `n` > 1) that have begun and not ended, given those before this chunk."""
        choices = self.choices or ()
        ended = {choice.index for choice in choices if choice.finish_reason and choice.finish_reason != "error"}
        return (before | {choice.index for choice in choices}) - ended

    def raise_for_failure(self) -> None:
        """Raise the failure that the chunk reports, in any of the four forms seen in the wild.

        `{"error": {...}}` (OpenAI), `{"error": "text"}`, `{"object": "error", ...}` (vLLM), and a choice
        with `finish_reason: "error"` (OpenRouter).
        """
        reported = self.error if self.error is not None else (self if self.object == "error" else None)
        if reported is None and not any(choice.finish_reason == "error" for choice in self.choices or ()):
            return
        code = reported.get("code") if isinstance(reported, dict) else getattr(reported, "code", None)
        safe = code if isinstance(code, str) and len(code) <= 64 and _CODE.fullmatch(code) else None
        raise UpstreamError("the upstream reported an error inside its answer", upstream_code=safe)


_view_decoder = msgspec.json.Decoder(ChunkView)


def look(payload: bytes) -> ChunkView:
    """Return the view of a payload. Raises UpstreamBadResponse for anything but a JSON chunk in UTF-8."""
    try:
        if not payload.isascii():
            # The decoder checks only the fields of the view; the others go on to the caller, too.
            payload.decode()
        return _view_decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise UpstreamBadResponse("the upstream sent an event that is not a completion chunk") from exc


def check_completion(body: bytes) -> None:
    """Raise the failure that an upstream's whole answer reports, or UpstreamBadResponse if it is none."""
    view = look(body)
    view.raise_for_failure()
    if not view.choices:
        raise UpstreamBadResponse("the upstream's answer has no choices")


def with_field(payload: bytes, name: str, value: Any) -> bytes:
    """Return a chunk or completion with one more top-level field; everything else stays as it came, byte for byte."""
    fields = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
    fields[name] = msgspec.Raw(_encode(value))
    return _encode(fields)


def with_field_at_the_end(payload: bytes, name: str, value: Any) -> bytes:
    """Return a chunk that ends a choice with one more top-level field; any other chunk as it is."""
    return with_field(payload, name, value) if look(payload).finishes else payload


def completion_as_stream(body: bytes) -> bytes:
    """Return a whole answer, sent where a stream was asked for, as the event stream that it should have been."""
    check_completion(body)
    completion = msgspec.json.decode(body)
    envelope = Envelope.new("")
    envelope.adopt(look(body))
    choice = completion["choices"][0]
    message = choice.get("message")
    if not isinstance(message, dict):
        raise UpstreamBadResponse("the upstream's answer has no message")
    delta = {name: value for name, value in message.items() if value is not None}
    calls = delta.get("tool_calls", [])
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise UpstreamBadResponse("the upstream's answer has tool calls that are none")
    if calls:
        delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(calls)]
    payloads = [envelope.chunk(delta), envelope.finish(choice.get("finish_reason") or "stop")]
    return sse.frames(payloads) + sse.DONE


def error_body(error: ParleyError) -> dict[str, Any]:
    """Return the error object: `error` is read by every SDK, `detail` by Agora's samples and webhooks."""
    body = {"message": error.message, "type": error.type, "param": error.param, "code": error.public_code}
    if isinstance(error, UpstreamRefused):
        body = {**body, **{name: value for name, value in error.body.items() if value is not None}}
    return {"error": body, "detail": body["message"]}


def error_payload(error: ParleyError) -> bytes:
    """Return the error object as the last event of a broken stream: bare, the one form that all clients notice."""
    return _encode({"error": error_body(error)["error"]})
