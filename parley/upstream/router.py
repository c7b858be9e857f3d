"""The upstreams of the server as one: a request goes to them in the order of preference.

Up to the commit point a request may be attempted again, at the same or another upstream (`attempts.py`); behind it
nothing is repeated, because a caller may have heard it.
"""

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from parley.concurrency import SILENCE, checkpoint
from parley.errors import NotConfigured, ParleyError, UpstreamError, UpstreamWordless
from parley.turn_record import TurnRecord
from parley.upstream.attempts import Attempts
from parley.upstream.breaker import Cause
from parley.upstream.chat_api import ChatApi, PromptForm
from parley.upstream.health import UpstreamHealth
from parley.upstream.open_stream import Completion, OpenStream
from parley.upstream.retries import RetryBudget
from parley.upstream.timeouts import Timeouts
from parley.wire import sse
from parley.wire.chunks import Envelope
from parley.wire.content import text_of
from parley.wire.request import ChatRequest
from parley.wire.sse import Batch

MODELS_KEPT_SECONDS = 60.0
"""Seconds for which a list of models is kept."""
STEP_PAYLOADS = 256
"""Most payloads in one batch of those that were held back up to the commit point."""
HASHED_CHARACTERS = 4096
"""Characters at the end of a request's last message by which it is told from others."""

Answer = TypeVar("Answer")


class Upstream(Protocol):
    """The interface through which answers use a model."""

    model: str
    prompt_form: PromptForm

    def stream(
        self, chat: ChatRequest, envelope: Envelope, record: TurnRecord, wake_after: float | None = None
    ) -> Generator[Batch, None, None]:
        """Yield the answer's payloads in batches, and SILENCE; the first batch holds all up to the commit point.

        If no content has come after `wake_after` seconds, SILENCE is yielded at that moment. Chunks of the upstream's
        and of ours share `envelope`; `record` takes the upstream, the attempts and the times.
        Raises UpstreamError, which is UpstreamRefused for an upstream's own 4xx, and AnswerCapped at the caps.
        """
        ...

    def complete(self, chat: ChatRequest, record: TurnRecord) -> bytes:
        """Return the whole answer, a `chat.completion` object as the upstream wrote it.

        Raises UpstreamError, which is UpstreamRefused for an upstream's own 4xx.
        """
        ...

    def models(self) -> list[dict[str, Any]]:
        """Return the upstream's list of models, empty if it cannot be had in time. Never raises."""
        ...

    def unavailable_reason(self) -> ParleyError | None:
        """Return the reason why the upstream cannot answer now, or None if none is known."""
        ...

    def warm(self, paused: Callable[[], bool]) -> None:
        """Prepare for requests, from now on and in the background, while `paused` returns False."""
        ...

    def connection_faults(self) -> dict[str, str]:
        """Return the reason, for each upstream by name, why no connection to it can be opened ahead."""
        ...

    def load_model(self) -> None:
        """Have the first upstream load its model. Raises ParleyError."""
        ...

    def breaker_states(self) -> dict[str, str]:
        """Return the state of each upstream's breaker by name: closed, half_open, or open."""
        ...

    def spend_retry(self) -> bool:
        """Take a retry from the budget for a question that is asked once more; return False if there is none."""
        ...


class NoUpstream:
    """The upstream of a server without one: every request fails with the settings that are missing."""

    model = ""
    prompt_form: PromptForm = "reference"

    def stream(
        self, chat: ChatRequest, envelope: Envelope, record: TurnRecord, wake_after: float | None = None
    ) -> Generator[Batch, None, None]:
        """Raise NotConfigured."""
        raise self.unavailable_reason()

    def complete(self, chat: ChatRequest, record: TurnRecord) -> bytes:
        """Raise NotConfigured."""
        raise self.unavailable_reason()

    def models(self) -> list[dict[str, Any]]:
        """Return no models."""
        return []

    def unavailable_reason(self) -> ParleyError:
        """Return the error that names the missing settings."""
        return NotConfigured(
            "no model is configured: set LLM_API_KEY (and LLM_BASE_URL for any API other than OpenAI's), "
            "or install the embedded demonstration model (see README.md)"
        )

    def warm(self, paused: Callable[[], bool]) -> None:
        """Do nothing."""

    def connection_faults(self) -> dict[str, str]:
        """Return no upstreams."""
        return {}

    def load_model(self) -> None:
        """Raise NotConfigured."""
        raise self.unavailable_reason()

    def breaker_states(self) -> dict[str, str]:
        """Return no upstreams."""
        return {}

    def spend_retry(self) -> bool:
        """Return False: there is nobody to ask."""
        return False


class KnowledgeOnly(NoUpstream):
    """The upstream of a server without one that quotes its knowledge in place of a model: no prompt is ever made."""

    # Named, so that no answer of a model is mistaken for one, and no model's for a quote.
    prompt_form: PromptForm = "none"


class UpstreamRouter:
    """The upstreams in the order of preference.

    A silent stream yields SILENCE every `tick` seconds. With `hedge_after`, a stream of which nothing has been heard
    after so many seconds is asked for a second time, beside, and thoughts are held back: another attempt may win.

    An answer without a word is asked for once more. The last one is passed on as it came with `passes_wordless`; else
    UpstreamWordless is raised in its place.
    """

    def __init__(
        self,
        upstreams: Sequence[ChatApi],
        timeouts: Timeouts,
        *,
        tick: float,
        hedge_after: float | None = None,
        passes_wordless: bool = True,
    ) -> None:
        self.candidates = [UpstreamHealth(upstream) for upstream in upstreams]
        self.model = upstreams[0].model
        self.prompt_form = upstreams[0].prompt_form
        self._timeouts = timeouts
        self._tick = tick
        self._hedge_after = hedge_after
        self._passes_wordless = passes_wordless
        self._retry_budget = RetryBudget()
        for upstream in upstreams:
            upstream.repeat_within(self._retry_budget.spend)
        self._models: list[dict[str, Any]] = []
        self._models_until = 0.0

    def stream(
        self, chat: ChatRequest, envelope: Envelope, record: TurnRecord, wake_after: float | None = None
    ) -> Generator[Batch, None, None]:
        """Yield the answer's payloads in batches; see `Upstream.stream`."""
        cause = cause_of(chat, record)
        winner, stream, is_second = yield from self._open_stream(chat, envelope, record, wake_after, cause)
        # Nothing is attempted again: do not hold the request's body for as long as the answer lasts.
        speaks = bool(chat.options.fallback_text)
        del chat
        with contextlib.closing(stream):
            record.upstream_request_id = stream.request_id
            # Not for thoughts, nor for an answer that a filter withheld: the caller hears neither.
            if stream.is_heard:
                record.ttft_ms = record.elapsed_ms
            elif stream.is_wordless:
                self._pass_wordless(record, speaks=speaks)
            rest = stream.rest(envelope)
            held = _in_steps(stream.held)
            try:
                yield from _restamped(held, envelope) if is_second else held
                yield from _restamped(rest, envelope) if is_second else rest
            except UpstreamError as error:
                # It counts against the upstream's health, though no retry can help this call.
                winner.failed(error, cause)
                raise stream.explained(error) from error.__cause__

    def complete(self, chat: ChatRequest, record: TurnRecord) -> bytes:
        """Return the whole answer; see `Upstream.complete`."""

        def ask(upstream: ChatApi, seconds: float) -> Completion:
            return upstream.complete(chat, seconds=seconds)

        # No hedge: the first byte of a whole answer comes with its end, so that nearly every request would be doubled.
        attempts = self._attempts(
            record,
            ask,
            None,
            "total",
            is_wordless=lambda completion: completion.is_wordless,
            cause=cause_of(chat, record),
        )
        with contextlib.closing(attempts):
            # Nothing can be sent to the caller before the status of a JSON answer, so that ticks would be of no use.
            waiting = attempts.run(heartbeats=False)
            try:
                while True:
                    next(waiting)
            except StopIteration as stop:
                completion: Completion = stop.value[1]
        record.upstream_request_id = completion.request_id
        if completion.is_wordless:
            self._pass_wordless(record, speaks=bool(chat.options.fallback_text))
        return completion.body

    def warm(self, paused: Callable[[], bool]) -> None:
        """Keep connections to each upstream open ahead of requests, each in a greenlet of its own."""
        for candidate in self.candidates:
            candidate.upstream.warm(paused)

    def connection_faults(self) -> dict[str, str]:
        """Return the reason, for each upstream by name, why no connection to it can be opened ahead."""
        upstreams = [candidate.upstream for candidate in self.candidates]
        return {upstream.name: upstream.connection_fault for upstream in upstreams if upstream.connection_fault}

    def load_model(self) -> None:
        """Have the first upstream load its model; see `Upstream.load_model`."""
        self.candidates[0].upstream.load_model()

    def models(self) -> list[dict[str, Any]]:
        """Return the first upstream's list of models, kept for a minute. Never raises.

        An empty list is not kept, because it nearly always means that the request for it failed; until another request
        succeeds, the last list that was received is returned.
        """
        # The first upstream's alone: a request goes there first, which would refuse a model that only another has.
        if time.monotonic() >= self._models_until and (listed := self.candidates[0].upstream.models()):
            self._models = listed
            self._models_until = time.monotonic() + MODELS_KEPT_SECONDS
        return self._models

    def unavailable_reason(self) -> ParleyError | None:
        """Return the reason why the first upstream cannot answer now, or None."""
        return self.candidates[0].upstream.unavailable_reason()

    def breaker_states(self) -> dict[str, str]:
        """Return the state of each upstream's breaker by name."""
        return {candidate.upstream.name: candidate.breaker.state for candidate in self.candidates}

    def spend_retry(self) -> bool:
        """Take a retry from the budget; see `Upstream.spend_retry`."""
        # One budget for all repeats, whoever decides on them: an upstream that fails is not flooded.
        return self._retry_budget.spend()

    def _open_stream(
        self, chat: ChatRequest, envelope: Envelope, record: TurnRecord, wake_after: float | None, cause: Cause
    ) -> Generator[Batch, None, tuple[UpstreamHealth, OpenStream, bool]]:
        """Return the upstream that answered, and its stream, which is heard or over; yield what is sent before.

        True as the third value tells that thoughts of an earlier attempt have been sent.

        A function of its own, whose frame and closure end here and release the request.
        """

        def ask(upstream: ChatApi, seconds: float) -> OpenStream:
            return upstream.open(chat, envelope, seconds=seconds, tick=self._tick)

        wake_at = math.inf if wake_after is None else time.monotonic() + wake_after
        attempts = self._attempts(
            record,
            ask,
            OpenStream.close,
            "precommit",
            is_wordless=lambda stream: stream.is_wordless,
            hedge_after=self._hedge_after,
            wake_after=wake_after,
            hold=OpenStream.hold_until_heard if self._hedge_after else None,
            cause=cause,
        )
        with contextlib.closing(attempts):
            # A second attempt where nothing has been sent is the business of `Attempts`: it needs no common envelope.
            is_second = False
            while True:
                # Heartbeats are needed only once the response has begun, that is after a waiting message.
                winner, stream = yield from attempts.run(heartbeats=envelope.used)
                stream.join(envelope)
                unheard = _pass_unheard(winner, stream, wake_at, cause)
                yield from _restamped(unheard, envelope) if is_second else unheard
                if not stream.is_wordless or not attempts.ask_again(winner, stream):
                    return winner, stream, is_second
                # The thoughts that were sent, and the answer in their place, are one answer.
                envelope.used = is_second = True

    def _pass_wordless(self, record: TurnRecord, *, speaks: bool) -> None:
        """Note in the record that the answer holds no word. Raises UpstreamWordless unless it is passed on.

        `speaks` tells that the turn has a text to say in its place.
        """
        if speaks or not self._passes_wordless:
            raise UpstreamWordless("the upstream's answer holds no word")
        record.outcome, record.code = "empty", UpstreamWordless.code

    def _attempts(
        self,
        record: TurnRecord,
        ask: Callable[[ChatApi, float], Answer],
        discard: Callable[[Answer], None] | None,
        limit: str,
        **options: Any,
    ) -> Attempts[Answer]:
        """Return the attempts at one request, which adds its share to the retry budget.

        `limit` is the name of the time limit of all attempts together; `options` are those of `Attempts`.
        """
        self._retry_budget.deposit()
        # Of several passes of a turn the first.
        if record.asked_ms is None:
            record.asked_ms = record.elapsed_ms
        return Attempts(
            self.candidates,
            ask,
            discard,
            record,
            self._retry_budget,
            seconds=getattr(self._timeouts, limit),
            retry_within=self._timeouts.precommit,
            tick=self._tick,
            time_limit=self._timeouts.reason(limit),
            **options,
        )


def cause_of(chat: ChatRequest, record: TurnRecord) -> Cause:
    """Return the number of the request's last message, and the key of its caller, if keys tell callers apart."""
    said = text_of(chat.messages[-1].get("content"))
    # The end alone of a long one: hashing all of it would stop the event loop.
    return Cause(record.holder, hash((len(chat.messages), len(said), said[-HASHED_CHARACTERS:])))


def _in_steps(held: list[bytes]) -> Generator[list[bytes], None, None]:
    """Yield payloads in batches of bounded work; the last is `LastBatch` if all of them together were."""
    # Within an answer's cap an upstream may send thousands of empty deltas before its first content.
    last = max(0, len(held) - 1) // STEP_PAYLOADS * STEP_PAYLOADS
    for start in range(0, last, STEP_PAYLOADS):
        yield list(held[start : start + STEP_PAYLOADS])
        checkpoint()
    rest = held[last:]
    yield sse.LastBatch(rest) if isinstance(held, sse.LastBatch) else rest


def _pass_unheard(
    winner: UpstreamHealth, stream: OpenStream, wake_at: float, cause: Cause
) -> Generator[Batch, None, None]:
    """Yield what an upstream sends before it is heard. Closes the stream on failure; raises UpstreamError."""
    try:
        for batch in stream.sent_unheard(wake_at):
            if batch is SILENCE:
                yield batch
            else:
                yield from _in_steps(batch)
    except BaseException as error:
        stream.close()
        if isinstance(error, UpstreamError):
            winner.failed(error, cause)
            raise stream.explained(error) from error.__cause__
        raise


def _restamped(batches: Iterable[Batch], envelope: Envelope) -> Generator[Batch, None, None]:
    """Yield the batches of a second attempt as a continuation of the first, of which thoughts have been sent."""
    for batch in batches:
        if batch is not SILENCE:
            batch[:] = map(envelope.restamp, batch)
        yield batch
