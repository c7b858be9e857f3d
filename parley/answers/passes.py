"""The upstream's answer in as many passes as the operator's tools need: it calls them, they run, it is asked again.

    ask ──► an answer without calls of ours ──► the end
     ▲          │
     │          └── calls of ours alone ──► run, with fillers ──► none of it has left, or what left goes on
     └─────────────────────────────────────────┘

The caller sees one answer. As long as nothing has left, a pass goes out byte for byte under its own envelope; behind
words, a filler or a waiting message its chunks are stamped anew: this is the one place where that is done. In the last
pass, which `TOOL_PASSES` or the time of the tools makes one, the model may call nothing.

Without tools for a request, `stream` and `complete` are the upstream's own.
"""

import contextlib
import dataclasses
import math
import time
from collections.abc import Generator, Sequence
from typing import Any

import msgspec

from parley.concurrency import SILENCE, run_for_size
from parley.errors import AnswerCapped, UpstreamError
from parley.services import Services, ended
from parley.telemetry.logs import log
from parley.tools.running import TurnCalls
from parley.tools.tool import Tool
from parley.turn import Batches
from parley.turn_record import TurnRecord
from parley.wire import chunks, sse, upstream_json
from parley.wire.calls import CalledTool, Calls, added, text_field, usage_of
from parley.wire.chunks import Envelope
from parley.wire.content import words_in
from parley.wire.platforms import caller_of
from parley.wire.request import ChatRequest
from parley.wire.sse import Batch

MAX_FILLERS = 2
"""Most fillers in a turn."""
FILLER_QUIET_SECONDS = 4.0
"""Seconds behind other words before which no filler is said."""
FILLER_PAUSE_SECONDS = 8.0
"""Seconds between two fillers."""


def stream(
    chat: ChatRequest, envelope: Envelope, record: TurnRecord, services: Services, wake_after: float | None = None
) -> Batches:
    """Return the answer's batches; see `Upstream.stream`. Its chunks are those of `envelope` once that is used."""
    if tools := offered_tools(chat, services):
        return StreamedPasses(chat, record, services, tools, envelope, wake_after).batches()
    answer = services.upstream.stream(chat, envelope, record, wake_after)
    # Only a waiting message uses the envelope before the upstream's chunks do.
    return restamped(answer, envelope) if envelope.used or wake_after is not None else answer


def complete(chat: ChatRequest, record: TurnRecord, services: Services) -> bytes:
    """Return the whole answer; see `Upstream.complete`."""
    if tools := offered_tools(chat, services):
        return WholePasses(chat, record, services, tools).body()
    return services.upstream.complete(chat, record)


def restamped(batches: Batches, envelope: Envelope) -> Batches:
    """Yield an answer's batches under the turn's envelope once that is used."""
    with contextlib.closing(batches):
        for batch in batches:
            if envelope.used and batch is not SILENCE:
                # In place, because the last batch of an answer is marked by its type.
                batch[:] = map(envelope.restamp, batch)
            yield batch


def offered_tools(chat: ChatRequest, services: Services) -> dict[str, Tool]:
    """Return the tools of ours that the model is offered for this request, by name.

    None where one answer is not enough, where the request forbids tools or uses the older `functions`, and for the
    embedded model, which knows none. A tool that the request brings itself is the request's.
    """
    offered, body = services.tools.tools(), chat.body
    if not offered or services.settings.tool_passes < 2 or services.upstream.prompt_form == "extractive":
        return {}
    own = body.get("tools") or []
    is_plain = body.get("n") in (None, 1) and body.get("tool_choice") != "none" and not body.get("functions")
    if not is_plain or not isinstance(own, list):
        return {}
    taken = {text_field(each.get("function"), "name") for each in own if isinstance(each, dict)}
    tools = {tool.name: tool for tool in offered}
    logged = services.tool_runner.replaced
    for name in taken & tools.keys():
        if name not in logged:
            logged.add(name)
            log.info("tool_of_request", name=name, hint="the request's own tool of this name is used, not the server's")
    return {name: tool for name, tool in tools.items() if name not in taken}


class Passes:
    """What the passes of a turn share: the conversation as it grows, the calls, the usage so far."""

    def __init__(self, chat: ChatRequest, record: TurnRecord, services: Services, tools: dict[str, Tool]) -> None:
        self._services = services
        self._record = record
        self._tools = tools
        # As behind a lookup: a model that reads our phrases would begin to speak like them.
        phrases = [*services.waiting_messages(chat.kb), *(phrase for tool in tools.values() for phrase in tool.waiting)]
        self._chat = chat.without_phrases([ended(phrase) for phrase in phrases])
        self._has_others = bool(chat.body.get("tools"))
        self._choice: str | None = None
        self._exchange: list[dict[str, Any]] = []
        self._ids: set[str] = set()
        self._usage: Any = None
        self._tick = services.settings.heartbeat or services.settings.idle_timeout
        self._calls = TurnCalls(services.tool_runner, tools, caller_of(chat), len(chat.messages), record)
        record.passes = record.fillers = 0

    def _next_request(self) -> ChatRequest:
        """Return the request of the next pass."""
        self._record.passes = (self._record.passes or 0) + 1
        if self._is_last:
            self._choice = "none"
        elif self._exchange and self._chat.body.get("tool_choice") not in (None, "auto"):
            # What was forced has been called: forced again, it would be called for ever.
            self._choice = "auto"
        # Also in the last pass: some servers refuse the results of tools that are not listed.
        definitions = [tool.definition for tool in self._tools.values()]
        return self._chat.with_tools(definitions, self._exchange, self._choice)

    @property
    def _is_last(self) -> bool:
        passes = self._record.passes or 0
        return passes >= self._services.settings.tool_passes or self._calls.is_spent

    def _are_to_be_run(self, calls: Calls) -> bool:
        """Return true if a pass consists of calls that are to be run; behind the last one nobody is asked again."""
        return calls.are_to_be_run and self._choice != "none"

    def _begin_calls(self, calls: Calls) -> list[CalledTool]:
        """Begin the calls of a pass; return them. The model will read what it said, and its calls."""
        message, called = calls.message(self._ids)
        self._exchange.append(message)
        self._usage = added(self._usage, calls.usage)
        self._calls.begin(called)
        return called

    def _tell_results(self, called: Sequence[CalledTool]) -> None:
        """Put the results behind the calls, in the model's order."""
        for call, content in zip(called, self._calls.take_results(), strict=True):
            self._exchange.append({"role": "tool", "tool_call_id": call.id, "content": content})

    def _log_dropped(self, calls: Calls) -> None:
        """Log the calls of ours that can't be run: the platform's history could not hold their results."""
        if calls.dropped:
            # Not held back as a repeated warning would be: each time a caller did not get what the model meant.
            log.info("tool_dropped", id=self._record.id, names=", ".join(sorted({*calls.dropped} & {*self._tools})))

    def _finish(self) -> None:
        """Let go of the calls that still run, and note in the record which tools were called."""
        self._calls.close()
        self._record.tools = ", ".join(self._calls.names) or None
        self._record.tool_ms = round(self._calls.seconds * 1000, 1) if self._calls.names else None


class StreamedPasses(Passes):
    """The passes of a streamed answer, under its `envelope`; see `stream`."""

    def __init__(
        self,
        chat: ChatRequest,
        record: TurnRecord,
        services: Services,
        tools: dict[str, Tool],
        envelope: Envelope,
        wake_after: float | None,
    ) -> None:
        super().__init__(chat, record, services, tools)
        settings, now = services.settings, time.monotonic()
        self._envelope = envelope
        self._kb = chat.kb
        self._wake_at = math.inf if wake_after is None else now + wake_after
        # Some clients give up an answer that has not begun.
        self._comment_at = now + settings.heartbeat - record.elapsed_ms / 1000 if settings.heartbeat else math.inf
        self._has_left = self._spoke = self._asked_again = False
        self._last_character = ""
        self._characters = 0
        self._run_at = 0.0
        self._filler_at = -math.inf
        self._ttft_ms: float | None = None

    def batches(self) -> Batches:
        """Yield the answer's batches. Raises what the upstream raises."""
        try:
            while calls := (yield from self._ask()):
                yield from self._run(calls)
        except AnswerCapped:
            self._calls.end(self._characters)
            raise
        finally:
            self._finish()
            # A hidden call is no content that the caller had.
            self._record.ttft_ms = self._ttft_ms

    def _ask(self) -> Generator[Batch, None, Calls | None]:
        """Yield what leaves of a pass; return its calls, or None at the end of the answer.

        A pass that breaks before anything of it has left is asked for once more: the results of the tools stay.
        """
        while True:
            calls = Calls(self._tools, has_others=self._has_others)
            try:
                return (yield from self._pass(calls))
            except UpstreamError as error:
                # Before its first content the upstream's own attempts have been made.
                is_broken = error.retryable and calls.has_begun and not calls.passed
                if not is_broken or self._asked_again or not self._services.upstream.spend_retry():
                    raise
                self._asked_again = True
                self._record.passes = (self._record.passes or 1) - 1

    def _pass(self, calls: Calls) -> Generator[Batch, None, Calls | None]:
        # Behind what has left, everything is stamped as its continuation.
        self._envelope.used = self._envelope.used or self._has_left
        self._spoke = False
        is_first = not self._exchange
        # A copy: an envelope that has seen a hidden call would forbid FALLBACK_TEXT.
        own = dataclasses.replace(self._envelope, calls_tool=False)
        answer = self._services.upstream.stream(self._next_request(), own, self._record, self._wake_after(is_first))
        is_over = False
        with contextlib.closing(answer):
            for batch in answer:
                if batch is SILENCE:
                    yield SILENCE if is_first else self._in_silence()
                    continue
                leaving = [left for payload in batch for left in self._leaving(payload, calls, own)]
                is_over = isinstance(batch, sse.LastBatch)
                if is_over and not self._are_to_be_run(calls):
                    yield self._last_batch(leaving, calls, own)
                elif leaving:
                    yield leaving
        if self._are_to_be_run(calls):
            return calls
        if not is_over:
            yield self._last_batch([], calls, own)
        return None

    def _last_batch(self, leaving: list[bytes], calls: Calls, own: Envelope) -> Batch:
        """Return what ends the answer, behind which the turn asks for nothing more."""
        self._log_dropped(calls)
        ending = self._stamped(calls.end(), own)
        self._calls.end(self._characters)
        return sse.LastBatch([*leaving, *ending])

    def _run(self, calls: Calls) -> Batches:
        """Run the calls of a pass; yield fillers, and SILENCE meanwhile."""
        called = self._begin_calls(calls)
        self._run_at = time.monotonic()
        while not self._calls.wait(self._seconds_to_wait()):
            yield self._filler() if time.monotonic() >= self._filler_due() else self._in_silence()
        self._tell_results(called)

    def _leaving(self, payload: bytes, calls: Calls, own: Envelope) -> list[bytes]:
        """Return what leaves for a payload, behind a space where words would stick to those of an earlier pass."""
        # What continues an answer needs no role.
        calls.drops_roles = self._envelope.used
        leaving = self._stamped(calls.take(payload), own)
        self._envelope.calls_tool = self._envelope.calls_tool or calls.passed_call
        if calls.is_heard and self._ttft_ms is None:
            self._ttft_ms = self._record.elapsed_ms
        if words := calls.words:
            if not (self._spoke or (self._last_character or " ").isspace() or words[0].isspace()):
                leaving.insert(0, self._envelope.text(" ", first=False))
            self._spoke = True
            self._note_words(words)
        return leaving

    def _stamped(self, payloads: list[bytes], own: Envelope) -> list[bytes]:
        """Return payloads that leave: with the usage of all passes and, behind what has left, under our envelope."""
        if not payloads:
            return []
        if self._usage:
            payloads = [
                chunks.with_field(payload, "usage", added(self._usage, usage))
                if b'"usage"' in payload and (usage := usage_of(payload))
                else payload
                for payload in payloads
            ]
        self._adopt(own)
        self._has_left = True
        return [self._envelope.restamp(payload) for payload in payloads] if self._envelope.used else payloads

    def _adopt(self, own: Envelope) -> None:
        """Go on as a pass that begins the answer."""
        if not self._envelope.used:
            self._envelope.id, self._envelope.created, self._envelope.model = own.id, own.created, own.model

    def _note_words(self, words: str) -> None:
        self._envelope.spoken_at = time.monotonic()
        self._last_character = words[-1]
        self._characters += len(words)

    def _filler(self) -> Batch:
        """Return a phrase for the wait, in a chunk of its own."""
        tool = self._calls.waited_for[0]
        phrase = self._services.waiting_message(self._kb, tool.waiting)
        self._filler_at = time.monotonic()
        self._record.fillers = (self._record.fillers or 0) + 1
        payload = self._envelope.text(phrase, first=not (self._has_left or self._envelope.used))
        self._has_left = True
        self._note_words(phrase)
        return [payload]

    def _filler_due(self) -> float:
        """Return the time of the next filler: never close behind other words, and twice in a turn at most."""
        waiting_ms = self._services.settings.tool_waiting
        if waiting_ms is None or (self._record.fillers or 0) >= MAX_FILLERS:
            return math.inf
        spoken_at = self._envelope.spoken_at
        quiet_at = spoken_at + FILLER_QUIET_SECONDS if spoken_at else 0.0
        return max(self._run_at + waiting_ms / 1000, quiet_at, self._filler_at + FILLER_PAUSE_SECONDS)

    def _in_silence(self) -> Batch:
        """Return SILENCE, or the comment that begins an answer of which nothing has left for long."""
        now = time.monotonic()
        self._wake_at = math.inf if now >= self._wake_at else self._wake_at
        if now < self._comment_at or self._record.first_ms is not None:
            return SILENCE
        self._comment_at = math.inf
        return [sse.comment("working")]

    def _seconds_to_wait(self) -> float:
        """Return the seconds until something is to be said or sent beside the tools."""
        comment_at = self._comment_at if self._record.first_ms is None else math.inf
        now = time.monotonic()
        return max(0.0, min(self._filler_due(), self._wake_at, comment_at, now + self._tick) - now)

    def _wake_after(self, is_first: bool) -> float | None:
        """Return the seconds after which the upstream is to yield SILENCE while it says nothing."""
        wake_at = self._wake_at if is_first else min(self._wake_at, self._comment_at)
        return None if wake_at == math.inf else max(0.001, wake_at - time.monotonic())


class WholePasses(Passes):
    """The passes of an answer in one piece."""

    def __init__(self, chat: ChatRequest, record: TurnRecord, services: Services, tools: dict[str, Tool]) -> None:
        super().__init__(chat, record, services, tools)
        self._said: list[str] = []

    def body(self) -> bytes:
        """Return the answer: the last pass's, with the texts and the usage of all. Raises what the upstream raises."""
        try:
            while True:
                body = self._services.upstream.complete(self._next_request(), self._record)
                calls = Calls(self._tools, has_others=self._has_others)
                choice = first_choice(run_for_size(len(body), upstream_json.decode, body))
                message = choice.get("message")
                if isinstance(message, dict):
                    calls.take_message(message, choice.get("finish_reason"))
                    calls.usage = usage_of(body)
                    self._said.append(words_in(message).text)
                if not self._are_to_be_run(calls):
                    self._log_dropped(calls)
                    self._calls.end(sum(map(len, self._said)))
                    return self._joined(body, calls)
                called = self._begin_calls(calls)
                while not self._calls.wait(self._tick):
                    pass
                self._tell_results(called)
        finally:
            self._finish()

    def _joined(self, body: bytes, calls: Calls) -> bytes:
        """Return the last pass's body with what the earlier ones said and used, and without calls of ours."""
        usage = added(self._usage, calls.usage)
        said = [text for text in self._said[:-1] if text]
        if usage and usage != calls.usage:
            body = chunks.with_field(body, "usage", usage)
        if not said and not calls.kept:
            return body
        completion = upstream_json.fields(body)
        choices = msgspec.json.decode(completion["choices"], type=list[dict[str, msgspec.Raw]])
        message = msgspec.json.decode(choices[0]["message"], type=dict[str, msgspec.Raw])
        if calls.kept and calls.others:
            message["tool_calls"] = msgspec.Raw(upstream_json.encode(calls.others))
        elif calls.kept:
            message.pop("tool_calls", None)
        content = upstream_json.decode(bytes(message.get("content", b"null")))
        if said and (content is None or isinstance(content, str)):
            message["content"] = msgspec.Raw(upstream_json.encode(joined([*said, content or ""])))
        choices[0]["message"] = msgspec.Raw(upstream_json.encode(message))
        completion["choices"] = msgspec.Raw(msgspec.json.encode(choices))
        return upstream_json.encode(completion)


def first_choice(completion: Any) -> dict[str, Any]:
    """Return the first choice of a whole answer; empty if there is none."""
    choices = completion.get("choices") if isinstance(completion, dict) else None
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}


def joined(texts: Sequence[str]) -> str:
    """Return texts behind one another, with a space where two words would stick together."""
    whole = ""
    for text in texts:
        is_apart = not whole or not text or whole[-1].isspace() or text[0].isspace()
        whole += text if is_apart else f" {text}"
    return whole
