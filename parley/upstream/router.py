"""The upstreams behind one question: asked as one, in the order of preference.

The attempts themselves, before the commit point, are in `attempts.py`; after it nothing is repeated.
"""

import contextlib
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol, TypeVar

from parley.errors import NotConfigured, ParleyError, UpstreamError
from parley.turn_record import TurnRecord
from parley.upstream.attempts import Attempts, UpstreamHealth
from parley.upstream.chat_api import Budgets, ChatApi, Completion, OpenStream, PromptForm
from parley.upstream.retries import RetryBudget
from parley.wire.chunks import Envelope
from parley.wire.request import ChatRequest

MODELS_KEPT_SECONDS = 60.0

Answered = TypeVar("Answered")


class Upstream(Protocol):
    """What answers need from the model behind us."""

    model: str
    prompt_form: PromptForm

    def stream(
        self, chat: ChatRequest, envelope: Envelope, record: TurnRecord, wake_after: float | None = None
    ) -> Generator[list[bytes], None, None]:
        """The answer's payloads in batches, empty ones in silence; the first holds all up to the commit point."""
        ...

    def complete(self, chat: ChatRequest, record: TurnRecord) -> bytes:
        """The whole answer, a `chat.completion` object as the upstream wrote it."""
        ...

    def models(self) -> list[dict[str, Any]]:
        """The upstream's own list of models, as far as it can be had in time; never raises."""
        ...

    def unavailable_reason(self) -> ParleyError | None:
        """What keeps it from answering right now, if anything is known to."""
        ...

    def warm(self) -> None:
        """Prepare for the first question."""
        ...

    def breaker_states(self) -> dict[str, str]:
        """The upstreams by name, and whether each is asked: closed, half_open, or open (left alone)."""
        ...


class NoUpstream:
    """Stands where none is configured: every question is answered with what to set."""

    model = ""
    prompt_form: PromptForm = "reference"

    def stream(
        self, chat: ChatRequest, envelope: Envelope, record: TurnRecord, wake_after: float | None = None
    ) -> Generator[list[bytes], None, None]:
        """Raises NotConfigured."""
        raise self.unavailable_reason()

    def complete(self, chat: ChatRequest, record: TurnRecord) -> bytes:
        """Raises NotConfigured."""
        raise self.unavailable_reason()

    def models(self) -> list[dict[str, Any]]:
        """No models."""
        return []

    def unavailable_reason(self) -> ParleyError:
        """Always the same one."""
        return NotConfigured(
            "no model is configured: set LLM_API_KEY (and LLM_BASE_URL for any API other than OpenAI's), "
            "or install the embedded demonstration model (see README.md)"
        )

    def warm(self) -> None:
        """Nothing to prepare."""

    def breaker_states(self) -> dict[str, str]:
        """No upstreams."""
        return {}


class UpstreamRouter:
    """The upstreams in the order of preference, asked as one."""

    def __init__(self, upstreams: Sequence[ChatApi], budgets: Budgets, hedge_after: float | None = None) -> None:
        self.candidates = [UpstreamHealth(upstream) for upstream in upstreams]
        self.model = upstreams[0].model
        self.prompt_form = upstreams[0].prompt_form
        self.budgets = budgets
        self.hedge_after = hedge_after
        self.retry_budget = RetryBudget()
        self._models: list[dict[str, Any]] = []
        self._models_until = 0.0

    def stream(
        self, chat: ChatRequest, envelope: Envelope, record: TurnRecord, wake_after: float | None = None
    ) -> Generator[list[bytes], None, None]:
        """The answer's payloads in batches, empty ones in silence; the first holds all up to the commit point.

        Where no content has come after `wake_after` seconds, an empty batch says so at that moment.
        Raises an UpstreamError, UpstreamRefused for an upstream's own 4xx, AnswerCapped at the end of the caps.
        """
        winner, stream = yield from self._open_stream(chat, envelope, record, wake_after)
        del chat  # nothing is asked again: its body is not held for as long as the answer lasts
        with contextlib.closing(stream):
            record.ttft_ms = record.elapsed_ms
            record.upstream_request_id = stream.request_id
            rest = stream.rest(envelope)
            yield stream.held
            try:
                yield from rest
            except UpstreamError as error:
                winner.failed(error)
                raise

    def complete(self, chat: ChatRequest, record: TurnRecord) -> bytes:
        """The whole answer, a `chat.completion` object as the upstream wrote it.

        Raises an UpstreamError, or UpstreamRefused for the upstream's own 4xx.
        """

        def ask(upstream: ChatApi, seconds: float) -> Completion:
            return upstream.complete(chat, seconds)

        attempts = self._attempts(record, ask, _forget, self.budgets.total)
        with contextlib.closing(attempts):
            _, completion = _without_ticks(attempts.run(tells_of_silence=False))
        record.upstream_request_id = completion.request_id
        return completion.body

    def warm(self) -> None:
        """Hold connections to each upstream open ahead of the next questions."""
        for candidate in self.candidates:
            candidate.upstream.warm()

    def models(self) -> list[dict[str, Any]]:
        """Return the first upstream's own list, kept for a minute; never raises.

        An empty list is not kept: it says as a rule that this one request failed. Until another succeeds, the last list
        that was received stands.
        """
        if time.monotonic() >= self._models_until and (listed := self.candidates[0].upstream.models()):
            self._models = listed
            self._models_until = time.monotonic() + MODELS_KEPT_SECONDS
        return self._models

    def unavailable_reason(self) -> ParleyError | None:
        """What the first upstream knows to be in its way."""
        return self.candidates[0].upstream.unavailable_reason()

    def breaker_states(self) -> dict[str, str]:
        """The state of each upstream's breaker."""
        return {candidate.upstream.name: candidate.breaker.state for candidate in self.candidates}

    def _open_stream(
        self, chat: ChatRequest, envelope: Envelope, record: TurnRecord, wake_after: float | None
    ) -> Generator[list[bytes], None, tuple[UpstreamHealth, OpenStream]]:
        def ask(upstream: ChatApi, seconds: float) -> OpenStream:
            return upstream.open(chat, envelope, seconds)

        attempts = self._attempts(record, ask, OpenStream.close, self.budgets.precommit)
        attempts.hedge_and_wake(self.hedge_after, wake_after)
        with contextlib.closing(attempts):
            # Silence concerns nobody until something has been sent: a waiting message under our envelope.
            return (yield from attempts.run(tells_of_silence=envelope.used))

    def _attempts(
        self,
        record: TurnRecord,
        ask: Callable[[ChatApi, float], Answered],
        discard: Callable[[Answered], None],
        seconds: float,
    ) -> Attempts[Answered]:
        self.retry_budget.deposit()
        return Attempts(
            self.candidates,
            ask,
            discard,
            record,
            self.retry_budget,
            seconds=seconds,
            retry_within=self.budgets.precommit,
            tick=self.budgets.tick,
        )


def _forget(_answer: Completion) -> None:
    """A whole answer holds nothing open."""


def _without_ticks(ticks: Generator[list[bytes], None, Answered]) -> Answered:
    while True:
        try:
            next(ticks)
        except StopIteration as stop:
            answered: Answered = stop.value
            return answered
