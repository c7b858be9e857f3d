"""A whole answer as a stream and a stream as a whole answer, for upstreams that send the one in place of the other.

    whole answer  --chunks_of-->           a chunk with all of each choice, its finish chunk, the usage if asked for
    chunks        --CompletionBuilder-->   whole answer: texts joined, calls by their number, of the rest the last

Fields that nobody knows go along.
"""

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any

from parley.errors import UpstreamBadResponse
from parley.wire import upstream_json
from parley.wire.chunks import Envelope, check_completion
from parley.wire.content import is_thought

NOT_JOINED = frozenset({"role", "id", "type", "name"})
"""Texts of a delta of which the first counts; the pieces of all others are joined."""


def chunks_of(body: bytes, envelope: Envelope, *, usage: bool = False) -> list[bytes]:
    """Return the chunks that a whole answer should have been, under its own envelope, or this one if it has none.

    Raises UpstreamBadResponse, or the error that stands in place of the answer.
    """
    view = check_completion(body)
    completion = upstream_json.decode(body)
    envelope = dataclasses.replace(envelope)
    envelope.adopt(view)
    payloads = []
    for position, choice in enumerate(completion["choices"]):
        message, index = choice.get("message"), choice.get("index", position)
        if not isinstance(message, dict):
            raise UpstreamBadResponse("the upstream's answer has no message")
        # A null in a delta adds nothing, and some clients stumble over it.
        delta = {name: value for name, value in message.items() if value is not None}
        calls = delta.get("tool_calls", [])
        if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
            raise UpstreamBadResponse("the upstream's answer has tool calls that are none")
        if calls:
            delta["tool_calls"] = [{"index": number, **call} for number, call in enumerate(calls)]
        reason = choice.get("finish_reason") or ("tool_calls" if calls else "stop")
        payloads += [envelope.chunk(delta, index=index), envelope.chunk({}, reason, index=index)]
    # Only on request: a chunk without a choice breaks the loops of callers who did not ask for one.
    if usage and completion.get("usage"):
        head = upstream_json.decode(envelope.chunk({}))
        payloads.append(upstream_json.encode({**head, "choices": [], "usage": completion["usage"]}))
    return payloads


class CompletionBuilder:
    """Puts the chunks of one stream together; `envelope` is for those that have none."""

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        self._fields: dict[str, Any] = {}
        self._choices: dict[Any, dict[str, Any]] = {}

    def feed(self, payload: bytes) -> None:
        """Take the next chunk."""
        chunk = upstream_json.decode(payload)
        for name, value in chunk.items():
            # The first chunk's, because some servers write others into their last one.
            if name in ("id", "created", "model"):
                self._fields.setdefault(name, value)
            elif name not in ("choices", "object") and value is not None:
                self._fields[name] = value
        for choice in chunk.get("choices") or ():
            gathered = self._choices.setdefault(choice.get("index", 0), {"delta": {}})
            for name, value in choice.items():
                if name in ("delta", "logprobs"):
                    fields = value if isinstance(value, dict) else {}
                    gathered[name] = merged(gathered.get(name), as_reasoning(fields) if is_thought(fields) else fields)
                elif name != "index" and value is not None:
                    gathered[name] = value

    def body(self) -> bytes:
        """Return the whole answer."""
        head = {**self._envelope.completion({}), **self._fields, "object": "chat.completion"}
        choices = []
        for index, choice in self._choices.items():
            message = {"role": "assistant", "content": None, **settled(choice.pop("delta"))}
            if isinstance(calls := message.get("tool_calls"), list):
                message["tool_calls"] = list(map(without_number, calls))
            logprobs = settled(choice.pop("logprobs", None)) or None
            told = {"index": index, "message": message, "logprobs": logprobs, "finish_reason": "stop"}
            # Some servers repeat the whole message in their last chunk: what was streamed counts.
            choices.append({**told, **settled(choice), "message": message})
        return upstream_json.encode({**head, "choices": choices})


def as_reasoning(delta: Mapping[str, Any]) -> dict[str, Any]:
    """Return a delta whose content is a thought with that content in the field for thoughts, and without the note."""
    others = {name: value for name, value in delta.items() if name not in ("content", "extra_content")}
    return {**others, "reasoning_content": delta.get("content")}


def without_number(call: Any) -> Any:
    """Return a tool call without its `index`, which those of a whole answer do not have."""
    if not isinstance(call, dict):
        return call
    return {name: value for name, value in call.items() if name != "index"}


class Pieces(list[str]):
    """The pieces of a text. They are joined once, because joining at each takes quadratic time."""


def merge(gathered: dict[str, Any], delta: Mapping[str, Any]) -> None:
    """Add the fields of a delta to what has been gathered; null adds nothing."""
    for name, value in delta.items():
        before = gathered.get(name)
        if name in NOT_JOINED:
            gathered[name] = before or value
        elif value is not None:
            gathered[name] = merged(before, value)


def merged(before: Any, value: Any) -> Any:
    """Return two values of a field as one: texts and lists behind one another, objects by field, else the last."""
    if isinstance(value, str):
        if not isinstance(before, list):
            before = Pieces()
        before.append(value)
        return before
    if isinstance(value, dict):
        fields = before if isinstance(before, dict) else {}
        merge(fields, value)
        return fields
    if isinstance(value, list):
        # An empty list is how some servers write that a text has no more.
        if not value and before is not None:
            return before
        # Parts behind a text: the text becomes the first of them.
        entries = before if isinstance(before, list) else []
        entries = ["".join(entries)] if isinstance(entries, Pieces) else entries
        for entry in value:
            add_entry(entries, entry)
        return entries
    return value


def add_entry(entries: list[Any], entry: Any) -> None:
    """Add an entry to a list: to the entry of the same `index` if there is one, else behind the last."""
    # Not by position: a chunk may hold a piece of the second tool call alone.
    number = entry.get("index") if isinstance(entry, dict) else None
    same = (position for position, each in enumerate(entries) if isinstance(each, dict) and each.get("index") == number)
    position = next(same, None) if number is not None else None
    if position is not None:
        merge(entries[position], entry)
    else:
        entries.append(merged(None, entry) if isinstance(entry, dict) else entry)


def settled(value: Any) -> Any:
    """Return what was gathered with its texts joined."""
    if isinstance(value, Pieces):
        return "".join(value)
    if isinstance(value, dict):
        return {
            name: join_base64(each) if name == "data" and isinstance(each, Pieces) else settled(each)
            for name, each in value.items()
        }
    return [settled(each) for each in value] if isinstance(value, list) else value


def join_base64(pieces: list[str]) -> str:
    """Return pieces of base64 as one, also where each has padding of its own; as they are if they are none."""
    if not any("=" in piece for piece in pieces[:-1]):
        return "".join(pieces)
    try:
        return base64.b64encode(b"".join(base64.b64decode(piece, validate=True) for piece in pieces)).decode()
    except ValueError:
        return "".join(pieces)
