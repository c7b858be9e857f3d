"""The tool calls of one upstream answer: those of Parley's own tools are kept here, everything else goes on.

    a piece of a call        known by the first piece with a name, until which it is held
      of a tool of ours      kept; nothing of it leaves
      of the request's       leaves as it came, with another index if a call of ours began before it
    text, thoughts           leave as they came
    roles, empty deltas      wait for what leaves next; dropped if nothing does
    finish chunk, usage      wait for the end of the answer, which alone tells whether calls are to be run

Pieces belong together by their `index`. Many gateways give index 0 to every call of a message; a further call then
shows by its id and its name, or by a second object of arguments behind a whole one.
"""

import contextlib
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from parley.wire import assembly, chunks, upstream_json
from parley.wire.chunks import Choice, ChunkView
from parley.wire.content import is_thought, without_halves, words_in
from parley.wire.endings import is_withheld
from parley.wire.heard import HeardDetector
from parley.wire.tool_call import CalledTool, PartialCall, begins_another, text_field, usual
from parley.wire.usage import usage_of

MAX_CALLS = 128
"""Most calls of one answer; further ones are passed over."""
CUT_REASONS = frozenset({"length", "max_tokens", "model_length"})
"""Finish reasons, in small letters, of answers that were cut: their calls may be cut, too."""
THOUGHT_FIELDS = ("reasoning_content", "reasoning", "reasoning_details", "extra_content")
"""Fields beside the content that some upstreams want back within the turn."""


class Calls:
    """Sorts one answer. `ours` are the names of our tools; `has_others` tells that the request has tools of its own.

    `words` is the text that left with the latest payload, and `is_heard` true once anything that left is heard.
    `usage` is the latest usage that the upstream told. `passed` turns true once anything has left, `passed_call` once a
    call has. With `drops_roles` what waits does not leave: the role has been given.
    """

    def __init__(self, ours: Collection[str], *, has_others: bool) -> None:
        self._ours = ours
        self._has_others = has_others
        self._calls: list[PartialCall] = []
        self._surplus = PartialCall()
        self._theirs = 0
        # The request's calls of a whole message, as they came.
        self.others: list[Mapping[str, Any]] = []
        self._by_index: dict[Any, PartialCall] = {}
        self._said: dict[str, Any] = {}
        self._waiting: list[bytes] = []
        self._ending: list[bytes] = []
        self._detector = HeardDetector()
        self._reason = ""
        self._has_ended = False
        self.has_begun = False
        self.passed = self.passed_call = self.drops_roles = False
        self.is_heard = False
        self.words = ""
        self.usage: Any = None

    @property
    def kept(self) -> list[PartialCall]:
        """The calls that do not leave, in the order in which they began."""
        # Without tools in the request nobody else could know a call without a name.
        return [call for call in self._calls if call.is_ours or (call.is_ours is None and not self._has_others)]

    @property
    def dropped(self) -> list[str]:
        """Names of calls of ours that stand beside the request's in one message, and can't be run."""
        return [call.name for call in self.kept] if any(call.is_ours is False for call in self._calls) else []

    @property
    def are_to_be_run(self) -> bool:
        """True if the answer consists of calls of ours, beside what was said, and is whole."""
        # The end of a call may be missing, too.
        is_cut = self._reason.lower() in CUT_REASONS or is_withheld(self._reason)
        return bool(self.kept) and not self.dropped and not is_cut

    def take(self, payload: bytes) -> list[bytes]:
        """Take the next payload; return what leaves for it."""
        self.words = ""
        view = chunks.look(payload)
        self.has_begun = True
        if b'"usage"' in payload and (usage := usage_of(payload)):
            self.usage = usage
        if not view.choices:
            return self._put_aside(payload)
        choice = view.choices[0]
        self._gather(choice.fields)
        released: list[bytes] = []
        # Of the first choice alone: with more than one no tools of ours are offered.
        pieces = choice.fields.get("tool_calls")
        if pieces:
            payload, choice, released = self._sort(payload, choice, pieces if isinstance(pieces, list) else [pieces])
        # Behind the calls, because one chunk may hold a call and the end.
        if choice.ends:
            payload, choice = self._end(payload, choice)
        if not says_more(choice.fields):
            return [*self._leave(released), *self._put_aside(payload)] if payload else self._leave(released)
        if choice.fields.get("tool_calls") or choice.fields.get("function_call"):
            self.passed_call = True
        self._note_words(choice)
        return self._leave([*released, payload])

    def end(self) -> list[bytes]:
        """Return what ends the answer, with all that still waits, where no calls are to be run."""
        unnamed = [] if self.kept else [held for call in self._calls for held in call.held]
        return [*([] if self.drops_roles else self._waiting), *unnamed, *self._ending]

    def message(self, taken: set[str]) -> tuple[dict[str, Any], list[CalledTool]]:
        """Return the assistant's message with the calls, and the calls, their ids made distinct from those `taken`."""
        called = [call.called(taken) for call in self.kept]
        # A character that was written in two chunks becomes one again: halves can't go upstream.
        said = {name: without_halves(value) for name, value in assembly.settled(self._said).items() if value}
        content = said.pop("content", None)
        message = {"role": "assistant", "content": content, **said, "tool_calls": [call.message for call in called]}
        return message, called

    def take_message(self, message: Mapping[str, Any], reason: Any) -> bool:
        """Take the message of a whole answer, and its finish reason; return true if calls of ours are to be run."""
        self._gather(message)
        self._reason = reason if isinstance(reason, str) else ""
        for piece in entries(message)[:MAX_CALLS]:
            # Each entry is a call, whatever its id and index.
            call = PartialCall()
            call.add(usual(piece))
            call.is_ours = self._is_ours(call.name)
            self._calls.append(call)
            if not call.is_ours:
                self.others.append(piece)
        return self.are_to_be_run

    def _sort(self, payload: bytes, choice: Choice, pieces: list[Any]) -> tuple[bytes, Choice, list[bytes]]:
        """Take the pieces of calls from a chunk; return what is left of it, and what was held and leaves before it."""
        kept: list[tuple[int, int | None]] = []
        released: list[bytes] = []
        for position, piece in enumerate(pieces):
            call = self._take_piece(piece) if isinstance(piece, dict) else None
            if call is None or call.is_ours is False:
                kept.append((position, call.number if call else None))
                if call:
                    released += call.held
                    call.held = []
            elif call.is_ours is None and self._has_others:
                if len(pieces) == 1 and not choice.ends and not says_more(choice.fields, "tool_calls"):
                    call.held.append(payload)
                    return b"", msgspec.structs.replace(choice, delta={}), released
                call.held.append(with_calls(payload, [(position, None)], alone=True))
        if len(kept) == len(pieces) and all(number is None for _, number in kept):
            return payload, choice, released
        remaining = {name: value for name, value in choice.fields.items() if name != "tool_calls"}
        if kept:
            remaining["tool_calls"] = [pieces[position] for position, _ in kept]
        choice = msgspec.structs.replace(choice, delta=remaining)
        # Of a piece of ours not even an empty delta leaves, but perhaps the role.
        is_empty = not (says_more(remaining) or choice.ends) and ("role" not in remaining or self.passed)
        return b"" if is_empty else with_calls(payload, kept), choice, released

    def _take_piece(self, piece: dict[str, Any]) -> PartialCall:
        """Return the call that a piece belongs to, with the piece added."""
        piece = usual(piece)
        call = self._call_of(piece)
        call.add(piece)
        if call.is_ours is None and call.name:
            call.is_ours = self._is_ours(call.name)
            if not call.is_ours:
                call.number = self._theirs if self.kept else None
                self._theirs += 1
        return call

    def _is_ours(self, name: str) -> bool:
        return name in self._ours or not self._has_others

    def _call_of(self, piece: Mapping[str, Any]) -> PartialCall:
        """Return the call that a piece continues, or a new one that it begins."""
        index, call_id, name = piece.get("index"), text_field(piece, "id"), text_field(piece.get("function"), "name")
        if index is None:
            same = next((call for call in self._calls if call_id and call.id == call_id), None)
            call = same or (None if call_id or name or not self._calls else self._calls[-1])
        else:
            call = self._by_index.get(str(index))
        if call is None or begins_another(call, piece, call_id, name):
            if len(self._calls) >= MAX_CALLS:
                self._surplus.is_ours = True
                return self._surplus
            call = PartialCall()
            self._calls.append(call)
        if index is not None:
            self._by_index[str(index)] = call
        return call

    def _end(self, payload: bytes, choice: Choice) -> tuple[bytes, Choice]:
        """Note the end; return what leaves of its chunk now: nothing of a bare end, all but the end beside calls."""
        self._reason = self._reason or choice.reason
        # Some servers write a finish reason on every chunk: one with words leaves as it came.
        if not says_more(choice.fields):
            self._has_ended = True
            self._ending.append(payload)
            return b"", choice
        if self.kept:
            self._has_ended = True
            self._ending.append(with_choice(payload, {"delta": {}}))
            return with_choice(payload, {"finish_reason": None}), choice
        return payload, choice

    def _put_aside(self, payload: bytes) -> list[bytes]:
        """Return a chunk that says nothing if something has left already; else keep it."""
        if self._has_ended:
            # The usage, as a rule: it leaves with the end, or not at all.
            self._ending.append(payload)
        elif self.passed:
            return [payload]
        else:
            self._waiting.append(payload)
        return []

    def _leave(self, payloads: list[bytes]) -> list[bytes]:
        if not payloads:
            return []
        leaving = payloads if self.drops_roles else [*self._waiting, *payloads]
        self._waiting, self.passed = [], True
        return leaving

    def _note_words(self, choice: Choice) -> None:
        self.is_heard = self.is_heard or self._detector.feed(ChunkView(choices=[choice]))
        if self.is_heard and not is_thought(choice.fields):
            self.words = words_in(choice.fields).text

    def _gather(self, fields: Mapping[str, Any]) -> None:
        """Keep what the model wants back beside its calls; a thought in the content is no text of the answer."""
        names = (
            [name for name in THOUGHT_FIELDS if name in fields] if len(fields) > 1 or "content" not in fields else []
        )
        # A value that is nested too deep goes on to the caller, but not back to the model.
        with contextlib.suppress(RecursionError):
            if not is_thought(fields):
                assembly.merge(self._said, {name: fields[name] for name in ("content", *names) if name in fields})


def says_more(fields: Mapping[str, Any], than: str = "") -> bool:
    """Return true if a delta holds anything besides the role, and one more field if it is named."""
    return any(value and name not in ("role", than) for name, value in fields.items())


def entries(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the tool calls of a whole message."""
    calls = message.get("tool_calls")
    calls = calls if isinstance(calls, list) else [calls]
    return [call for call in calls if isinstance(call, dict)]


def with_choice(payload: bytes, fields: Mapping[str, Any]) -> bytes:
    """Return a chunk whose first choice has these fields in place of its own; all else stays byte for byte."""
    values = {name: upstream_json.raw(value) for name, value in fields.items()}
    return upstream_json.with_choices(payload, lambda choices: choices[0].update(values))


def with_calls(payload: bytes, kept: list[tuple[int, int | None]], *, alone: bool = False) -> bytes:
    """Return a chunk with some of its pieces of calls only, by position, each with another index if one is given.

    `alone` leaves out everything else that the first choice says, and its end.
    """

    def keep(choices: list[dict[str, msgspec.Raw]]) -> None:
        choice = choices[0]
        delta = msgspec.json.decode(choice["delta"], type=dict[str, msgspec.Raw])
        came = delta.pop("tool_calls")
        pieces = msgspec.json.decode(came, type=list[msgspec.Raw]) if bytes(came).lstrip().startswith(b"[") else [came]
        if alone:
            delta, choice["finish_reason"] = {}, msgspec.Raw(b"null")
        if kept:
            left = [renumbered(pieces[at], number) for at, number in kept]
            delta["tool_calls"] = msgspec.Raw(msgspec.json.encode(left))
        choice["delta"] = msgspec.Raw(msgspec.json.encode(delta))

    return upstream_json.with_choices(payload, keep)


def renumbered(piece: msgspec.Raw, number: int | None) -> Any:
    """Return a piece of a call with another index, or as it is."""
    if number is None:
        return piece
    return {**msgspec.json.decode(piece, type=dict[str, msgspec.Raw]), "index": number}
