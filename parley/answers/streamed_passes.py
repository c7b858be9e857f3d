"""The streamed answer of a turn with tools: what leaves of each pass, and the words said while tools run.

    asking  ──►  leaving         words, thoughts and calls of the request's tools, as they come
       ▲            │
       │            ├── the end of the answer
       │            └── calls of ours alone ──►  running   a filler when it is due, else SILENCE
       └───────────────────────────────────────────┘

As long as nothing has left, a pass leaves byte for byte under its own envelope. Behind words, a filler or a waiting
message everything is stamped as their continuation: one id, one role, and a space where words would stick together.
"""

import contextlib
import dataclasses
import math
import time
from collections.abc import Generator

from parley.answers.tool_turn import ToolTurn
from parley.concurrency import SILENCE
from parley.errors import AnswerCapped, UpstreamError
from parley.services import Services
from parley.tools.tool import Tool, too_late
from parley.turn import Batches
from parley.turn_record import TurnRecord
from parley.wire import chunks, sse
from parley.wire.calls import Calls
from parley.wire.chunks import Envelope
from parley.wire.request import ChatRequest
from parley.wire.sse import Batch
from parley.wire.turn_options import AGORA
from parley.wire.usage import added, usage_of

MAX_FILLERS = 2
"""Most fillers in a turn."""
FILLER_QUIET_SECONDS = 4.0
"""Seconds behind other words before which no filler is said."""
FILLER_PAUSE_SECONDS = 8.0
"""Seconds between two fillers."""


class StreamedPasses(ToolTurn):
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
        metadata = envelope.first_chunk
        super().__init__(chat, record, services, tools, metadata.add if metadata else too_late)
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
                    # Before any tool has run an error is still an HTTP status: no comment may begin the response.
                    yield SILENCE if is_first else self._in_silence()
                    continue
                leaving = [left for payload in batch for left in self._leaving(payload, calls, own)]
                is_over = isinstance(batch, sse.LastBatch)
                if is_over and not self._are_to_be_run(calls):
                    yield self._last_batch(leaving, calls, own)
                elif leaving:
                    yield leaving
        if self._are_to_be_run(calls):
            # A filler may be the first that leaves: it names the model that answers.
            self._adopt(own)
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
        """Go on as a pass that begins the answer; not as `Envelope.follow`: a hidden call is none of this envelope."""
        if not self._envelope.used:
            self._envelope.id, self._envelope.created, self._envelope.model = own.id, own.created, own.model

    def _note_words(self, words: str) -> None:
        self._envelope.spoken_at = time.monotonic()
        self._last_character = words[-1]
        self._characters += len(words)

    def _filler(self) -> Batch:
        """Return a phrase for the wait, in a chunk of its own."""
        tools = self._calls.waited_for
        options = self._chat.options
        own = tools[0].waiting or options.waiting_messages
        phrase = self._services.waiting_message(self._kb, own, options.platform)
        if self._record.notes:
            self._record.notes.phrase(phrase)
        wishes = [tool.interruptable for tool in tools if tool.interruptable is not None]
        if wishes and self._envelope.first_chunk and AGORA in (self._chat.caller.platform, options.platform):
            # Behind the first chunk it is too late: it can't be undone in the middle of an answer.
            self._envelope.first_chunk.add({"interruptable": all(wishes)})
        self._filler_at = time.monotonic()
        self._record.fillers = (self._record.fillers or 0) + 1
        payload = self._envelope.text(phrase, first=not (self._has_left or self._envelope.used))
        self._has_left = True
        self._note_words(phrase)
        return [payload]

    def _filler_due(self) -> float:
        """Return the time of the next filler: never close behind other words, and twice in a turn at most."""
        waiting_ms = self._chat.options.tool_waiting
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
