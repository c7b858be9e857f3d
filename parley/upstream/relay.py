"""The upstreams behind one question: asked as one, in the order of preference.

The attempts themselves, before the commit point, are in `attempts.py`; after it nothing is repeated.
"""

import contextlib
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol, TypeVar

from parley.concurrency import checkpoint
from parley.errors import NotConfigured, ParleyError, UpstreamError
from parley.upstream.attempts import Attempts, Member
from parley.upstream.http_upstream import Budgets, HttpUpstream, Opened, PromptForm, Whole
from parley.upstream.retries import RetryBudget
from parley.wire import sse
from parley.wire.request import Asked

MODELS_KEPT_SECONDS = 60.0
STEP_PAYLOADS = 256
"""In a batch, where many were held back up to the commit point."""

Answered = TypeVar("Answered")


class Upstream(Protocol):
    """What answers need from the model behind us."""

    model: str
    prompt_form: PromptForm

    def stream(self, asked: Asked, wake_after: float | None = None) -> Generator[list[bytes], None, None]:
        """The answer's payloads in batches, empty ones in silence; the first holds all up to the commit point."""
        ...

    def complete(self, asked: Asked) -> bytes:
        """The whole answer, a `chat.completion` object as the upstream wrote it."""
        ...

    def models(self) -> list[dict[str, Any]]:
        """The upstream's own list of models, as far as it can be had in time; never raises."""
        ...

    def obstacle(self) -> ParleyError | None:
        """What keeps it from answering right now, if anything is known to."""
        ...

    def warm(self) -> None:
        """Prepare for the first question."""
        ...

    def states(self) -> dict[str, str]:
        """The upstreams by name, and whether each is asked: closed, half_open, or open (left alone)."""
        ...

    def close(self) -> None:
        """Let go of what is kept for the next question."""
        ...


class NoUpstream:
    """Stands where none is configured: every question is answered with what to set."""

    model = ""
    prompt_form: PromptForm = "reference"

    def stream(self, asked: Asked, wake_after: float | None = None) -> Generator[list[bytes], None, None]:
        """Raises NotConfigured."""
        raise self.obstacle()

    def complete(self, asked: Asked) -> bytes:
        """Raises NotConfigured."""
        raise self.obstacle()

    def models(self) -> list[dict[str, Any]]:
        """No models."""
        return []

    def obstacle(self) -> ParleyError:
        """Always the same one."""
        return NotConfigured(
            "no model is configured: set LLM_API_KEY (and LLM_BASE_URL for any API other than OpenAI's), "
            "or install the embedded demonstration model (see README.md)"
        )

    def warm(self) -> None:
        """Nothing to prepare."""

    def states(self) -> dict[str, str]:
        """No upstreams."""
        return {}

    def close(self) -> None:
        """Nothing is kept."""


class Relay:
    """The upstreams in the order of preference, asked as one."""

    def __init__(self, upstreams: Sequence[HttpUpstream], budgets: Budgets, hedge_after: float | None = None) -> None:
        self.members = [Member(upstream) for upstream in upstreams]
        self.model = upstreams[0].model
        self.prompt_form = upstreams[0].prompt_form
        self.budgets = budgets
        self.hedge_after = hedge_after
        self.retry_budget = RetryBudget()
        self._models: tuple[float, list[dict[str, Any]]] | None = None

    def stream(self, asked: Asked, wake_after: float | None = None) -> Generator[list[bytes], None, None]:
        """The answer's payloads in batches, empty ones in silence; the first holds all up to the commit point.

        Where no content has come after `wake_after` seconds, an empty batch says so at that moment.
        Raises an UpstreamError, UpstreamRefused for an upstream's own 4xx, Capped at the end of the caps.
        """
        winner, opened = yield from self._opened(asked, wake_after)
        with contextlib.closing(opened):
            asked.trail.ttft_ms = asked.trail.elapsed_ms
            asked.trail.upstream_request_id = opened.request_id
            rest = opened.rest(asked.envelope)
            del asked  # nothing is asked again: its body is not held for as long as the answer lasts
            yield from _in_steps(opened.held)
            try:
                yield from rest
            except UpstreamError as error:
                winner.failed(error)
                raise

    def complete(self, asked: Asked) -> bytes:
        """The whole answer, a `chat.completion` object as the upstream wrote it.

        Raises an UpstreamError, or UpstreamRefused for the upstream's own 4xx.
        """

        def ask(upstream: HttpUpstream, seconds: float) -> Whole:
            return upstream.whole(asked, seconds)

        attempts = self._attempts(asked, ask, _forget, self.budgets.total)
        with contextlib.closing(attempts):
            _, whole = _without_ticks(attempts.run(tells_of_silence=False))
        asked.trail.upstream_request_id = whole.request_id
        return whole.body

    def warm(self) -> None:
        """Hold connections to each upstream open ahead of the next questions."""
        for member in self.members:
            member.upstream.warm()

    def models(self) -> list[dict[str, Any]]:
        """The first upstream's own list, kept for a minute; never raises."""
        if self._models is None or time.monotonic() - self._models[0] > MODELS_KEPT_SECONDS:
            self._models = (time.monotonic(), self.members[0].upstream.models())
        return self._models[1]

    def obstacle(self) -> ParleyError | None:
        """What the first upstream knows to be in its way."""
        return self.members[0].upstream.obstacle()

    def states(self) -> dict[str, str]:
        """The state of each upstream's breaker."""
        return {member.upstream.name: member.breaker.state for member in self.members}

    def close(self) -> None:
        """Close the connections that are kept."""
        for member in self.members:
            member.upstream.close()

    def _opened(self, asked: Asked, wake_after: float | None) -> Generator[list[bytes], None, tuple[Member, Opened]]:
        def ask(upstream: HttpUpstream, seconds: float) -> Opened:
            return upstream.open(asked, seconds)

        attempts = self._attempts(asked, ask, Opened.close, self.budgets.precommit)
        attempts.hedge_and_wake(self.hedge_after, wake_after)
        with contextlib.closing(attempts):
            # Silence concerns nobody until something has been sent: a waiting message under our envelope.
            return (yield from attempts.run(tells_of_silence=asked.envelope.used))

    def _attempts(
        self,
        asked: Asked,
        ask: Callable[[HttpUpstream, float], Answered],
        discard: Callable[[Answered], None],
        seconds: float,
    ) -> Attempts[Answered]:
        self.retry_budget.deposit()
        return Attempts(
            self.members,
            ask,
            discard,
            asked.trail,
            self.retry_budget,
            seconds=seconds,
            retry_within=self.budgets.precommit,
            tick=self.budgets.tick,
        )


def _in_steps(held: list[bytes]) -> Generator[list[bytes], None, None]:
    """Yield the payloads in batches of bounded work; the last is `Last` where all of them together were."""
    last = max(0, len(held) - 1) // STEP_PAYLOADS * STEP_PAYLOADS
    for start in range(0, last, STEP_PAYLOADS):
        yield list(held[start : start + STEP_PAYLOADS])
        checkpoint()
    rest = held[last:]
    yield sse.Last(rest) if isinstance(held, sse.Last) else rest


def _forget(_answer: Whole) -> None:
    """A whole answer holds nothing open."""


def _without_ticks(ticks: Generator[list[bytes], None, Answered]) -> Answered:
    while True:
        try:
            next(ticks)
        except StopIteration as stop:
            answered: Answered = stop.value
            return answered
