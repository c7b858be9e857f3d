"""Fields that official clients cannot do without, added to the chunks of an upstream that leaves them out.

    where             missing     added         left out by
    chunk             choices     []            gateways, in a last chunk with the usage
    choice            index       its position  small servers that have one choice only
    choice            delta       {}            Azure, in a chunk of annotations
                                  its message   servers that stream in the form of whole answers
    tool call         index       its number    Gemini, whose calls come whole

One field is corrected: the finish_reason "stop" behind tool calls becomes "tool_calls", or voice platforms keep talking
instead of acting (Gemini, Ollama behind gateways).

Without them openai-python, openai-node and the AI SDK raise in the middle of an answer. Every other chunk, and every
other field of these, goes on as it came; a field that is null is not missing, except for the number of a tool call.
"""

from typing import Any

import msgspec

from parley.wire import upstream_json
from parley.wire.chunks import Choice, ChunkView, look
from parley.wire.upstream_json import encode


class Repairs:
    """The repairs of one stream, which counts its tool calls."""

    def __init__(self, *, expects_tool_finish: bool = False) -> None:
        self._expects_tool_finish = expects_tool_finish
        self._calls: dict[object, ToolCalls] = {}
        self._in_deltas = self._in_messages = False

    @property
    def finish_reason(self) -> str:
        """The reason for the end of an answer that came without one."""
        return "tool_calls" if self._expects_tool_finish and self._calls else "stop"

    def repaired(self, payload: bytes, view: ChunkView) -> bytes:
        """Return the chunk with the fields that it lacks; the very same object if it lacks none."""
        if view.choices is msgspec.UNSET:
            chunk = upstream_json.fields(payload)
            return encode({**chunk, "choices": []})
        added = [self._missing(choice, position) for position, choice in enumerate(view.choices or ())]
        if not any(added):
            return payload
        chunk = upstream_json.fields(payload)
        choices = msgspec.json.decode(chunk["choices"], type=list[dict[str, msgspec.Raw]])
        for choice, missing in zip(choices, added, strict=True):
            numbers = missing.pop("tool_calls", None)
            choice.update({name: msgspec.Raw(encode(value)) for name, value in missing.items()})
            if numbers:
                choice["delta"] = with_call_numbers(choice["delta"], numbers)
        chunk["choices"] = msgspec.Raw(msgspec.json.encode(choices))
        return encode(chunk)

    def _missing(self, choice: Choice, position: int) -> dict[str, Any]:
        """Return the fields to add to a choice; `tool_calls` stands for the numbers of its calls."""
        missing: dict[str, Any] = {}
        if choice.index is msgspec.UNSET:
            missing["index"] = position
        if choice.delta is msgspec.UNSET:
            # A message behind deltas only repeats them, and so does the one that ends a stream.
            is_piece = isinstance(choice.message, dict) and not self._in_deltas
            is_piece = is_piece and (self._in_messages or not choice.ends)
            self._in_messages = self._in_messages or is_piece
            missing["delta"] = choice.message if is_piece else {}
        else:
            self._in_deltas = True
        pieces = missing.get("delta", choice.fields).get("tool_calls")
        if isinstance(pieces, list) and pieces and all(isinstance(piece, dict) for piece in pieces):
            key = missing.get("index", choice.key)
            numbers = self._calls.setdefault(key, ToolCalls()).numbers(pieces)
            if any(piece.get("index") is None for piece in pieces):
                missing["tool_calls"] = numbers
        if self.ends_wrongly(choice.reason, missing.get("index", choice.key)):
            missing["finish_reason"] = "tool_calls"
        return missing

    def ends_wrongly(self, reason: str, key: object) -> bool:
        """Return True if a choice that called a tool ends with "stop"."""
        # In any case: gateways pass on the reasons of other APIs.
        return self._expects_tool_finish and key in self._calls and reason.lower() == "stop"


def with_tool_finish(completion: bytes) -> bytes:
    """Return a whole answer whose choices with tool calls end with `tool_calls`, not with "stop"."""
    # Nearly all answers are texts, and need not be decoded.
    if b"tool_calls" not in completion:
        return completion
    calling = [
        choice.reason.lower() == "stop" and calls_tools(choice.message) for choice in look(completion).choices or ()
    ]
    if not any(calling):
        return completion
    # As raw values: all else stays as it came.
    fields = upstream_json.fields(completion)
    choices = msgspec.json.decode(fields["choices"], type=list[dict[str, msgspec.Raw]])
    for choice, calls in zip(choices, calling, strict=True):
        if calls:
            choice["finish_reason"] = msgspec.Raw(b'"tool_calls"')
    fields["choices"] = msgspec.Raw(msgspec.json.encode(choices))
    return encode(fields)


def calls_tools(message: Any) -> bool:
    """Return True for a message with tool calls."""
    return isinstance(message, dict) and bool(message.get("tool_calls"))


class ToolCalls:
    """The tool calls of one choice, so that each piece of a call is known by a number."""

    def __init__(self) -> None:
        self._by_id: dict[str, int] = {}
        self._last = -1
        self._highest = -1

    def numbers(self, pieces: list[dict[str, Any]]) -> list[Any]:
        """Return the number of each piece: its own, or that of its id, or the next for a call that begins with it."""
        return [self._number(piece) for piece in pieces]

    def _number(self, piece: dict[str, Any]) -> Any:
        number, call_id, function = piece.get("index"), piece.get("id"), piece.get("function")
        if number is None:
            named = isinstance(function, dict) and function.get("name")
            if isinstance(call_id, str) and call_id:
                number = self._by_id.get(call_id, self._highest + 1)
            else:
                # Without an id a name begins a call, and what has neither continues the one before.
                number = self._highest + 1 if named or self._last < 0 else self._last
        if isinstance(number, int):
            self._last, self._highest = number, max(self._highest, number)
            if isinstance(call_id, str) and call_id:
                self._by_id.setdefault(call_id, number)
        return number


def with_call_numbers(delta: msgspec.Raw, numbers: list[Any]) -> msgspec.Raw:
    """Return a delta whose tool calls have these numbers as their `index`."""
    fields = msgspec.json.decode(delta, type=dict[str, msgspec.Raw])
    calls = msgspec.json.decode(fields["tool_calls"], type=list[dict[str, msgspec.Raw]])
    numbered = [{**call, "index": msgspec.Raw(encode(number))} for call, number in zip(calls, numbers, strict=True)]
    fields["tool_calls"] = msgspec.Raw(msgspec.json.encode(numbered))
    return msgspec.Raw(msgspec.json.encode(fields))
