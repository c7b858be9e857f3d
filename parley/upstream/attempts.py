"""The attempts at one question: retries, failover and hedging, all before the commit point.

Attempts run in greenlets of their own, so that two can race, and so that whoever waits for them can be
interrupted at any moment. Whether another attempt may help is the error's to say (`errors.py`); where and
how soon it is made stands in `_after_failure`.
"""

import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import gevent
from gevent.queue import Empty, SimpleQueue

from parley.concurrency import SILENCE, Failure, Silence, outcome_of
from parley.errors import ParleyError, UpstreamAuthFailed, UpstreamTimeout
from parley.telemetry import metrics
from parley.telemetry.logs import log
from parley.turn_record import TurnRecord
from parley.upstream import retries
from parley.upstream.breaker import Breaker
from parley.upstream.chat_api import ChatApi
from parley.upstream.retries import RetryBudget

MOST_ATTEMPTS = 3
COMPLAINT_SECONDS = 60.0

Answered = TypeVar("Answered")


@dataclass(eq=False)
class UpstreamHealth:
    """One of the upstreams, and what is known of its health."""

    upstream: ChatApi
    breaker: Breaker = field(default_factory=Breaker)
    complained: float = -COMPLAINT_SECONDS

    def succeeded(self) -> None:
        """It answered."""
        self.breaker.succeeded()
        self._count("ok")

    def released(self) -> None:
        """The question was given up."""
        self.breaker.released()
        self._count("given_up")

    def failed(self, error: ParleyError) -> None:
        """Count a failure; complain once a minute where the operator must act."""
        self._judge(error)
        self._count(error.code)

    def _count(self, result: str) -> None:
        metrics.series(metrics.ATTEMPTS, self.upstream.name, result).inc()

    def _judge(self, error: ParleyError) -> None:
        if isinstance(error, UpstreamAuthFailed):
            self.breaker.failed(at_once=True)
            if time.monotonic() - self.complained >= COMPLAINT_SECONDS:
                self.complained = time.monotonic()
                log.error("upstream_auth_failed", upstream=self.upstream.name)
        elif error.retryable and error.status >= 500:
            self.breaker.failed()
        else:
            self.breaker.released()
            if wish := retries.retry_after(error.headers):
                self.breaker.cool_down(wish)


class Attempts(Generic[Answered]):
    """The attempts at one question; must be closed, which ends those that still run.

    `ask` makes one attempt at an upstream, in so many seconds at most, and blocks until it is answered; `discard`
    is for an answer that nobody took. `seconds` bound all of them together, and no retry begins later than
    `retry_within` seconds.
    """

    def __init__(
        self,
        candidates: Sequence[UpstreamHealth],
        ask: Callable[[ChatApi, float], Answered],
        discard: Callable[[Answered], None],
        record: TurnRecord,
        budget: RetryBudget,
        *,
        seconds: float,
        retry_within: float,
        tick: float,
    ) -> None:
        self._candidates = candidates
        self._ask = ask
        self._discard = discard
        self._over = False
        self._record = record
        self._budget = budget
        self._tick = tick
        self._started = started = time.monotonic()
        self._deadline = started + seconds
        self._last_retry = started + min(retry_within, seconds)
        self._hedge_at = self._wake_at = math.inf
        self._tried: list[UpstreamHealth] = []
        self._running: dict[gevent.Greenlet, UpstreamHealth] = {}
        self._finished: SimpleQueue[gevent.Greenlet] = SimpleQueue()
        self._next: tuple[float, UpstreamHealth] | None = None
        self._last_error: Exception | None = None

    def hedge_and_wake(self, hedge_after: float | None, wake_after: float | None) -> None:
        """Seconds without an answer after which another upstream is asked beside, and SILENCE is yielded."""
        self._hedge_at = math.inf if hedge_after is None else self._started + hedge_after
        self._wake_at = math.inf if wake_after is None else self._started + wake_after

    def run(self, *, tells_of_silence: bool) -> Generator[Silence, None, tuple[UpstreamHealth, Answered]]:
        """Yield SILENCE for each tick of waiting; return who answered, and the answer.

        Where nobody needs the ticks of the first attempt (`tells_of_silence`), there may be none.
        Raises the last attempt's error, its headers telling how many there were.
        """
        first = self._untried()[0]
        if tells_of_silence or min(self._hedge_at, self._wake_at) < math.inf:
            self._start(first)
        elif won := self._judged(first, self._ask_here(first)):
            return won
        self._raise_last_error()
        return (yield from self._race())

    def _race(self) -> Generator[Silence, None, tuple[UpstreamHealth, Answered]]:
        """Wait for the attempts under way, and start those that fall due, until one of them wins."""
        while True:
            if (finished := self._wait()) is not None:
                won = self._judged(self._running.pop(finished), finished.get())
                del finished  # it holds the error that may be raised here
                if won:
                    return won
                self._raise_last_error()
            elif time.monotonic() >= self._deadline:
                raise self._counted(UpstreamTimeout("the upstream said nothing in time"))
            elif not self._start_what_is_due():
                if time.monotonic() >= self._wake_at:
                    self._wake_at = math.inf
                yield SILENCE

    def close(self) -> None:
        """End the attempts that still run, without waiting for their end: nothing here may be interrupted."""
        self._over = True
        for attempt, candidate in self._running.items():
            candidate.released()
            if not attempt.ready():
                attempt.kill(block=False)
            elif attempt.successful():
                self._drop(attempt.value)
        self._running.clear()
        # Break the cycle attempts -> attempt that has ended -> GreenletExit -> traceback -> frame -> attempts, which
        # would otherwise live until the next full collection.
        self._finished = SimpleQueue()

    def _judged(self, candidate: UpstreamHealth, outcome: Answered | Failure) -> tuple[UpstreamHealth, Answered] | None:
        """Who won with what; None where another attempt is planned, or where the last error is to be raised."""
        if isinstance(outcome, Failure):
            self._after_failure(candidate, outcome.error)
            return None
        candidate.succeeded()
        self._record.upstream = candidate.upstream.name
        return candidate, outcome

    def _after_failure(self, candidate: UpstreamHealth, error: Exception) -> None:
        """Plan the next attempt, or note the error where none makes sense and none is under way."""
        if not isinstance(error, ParleyError):
            candidate.released()
            self._last_error = error
            return
        candidate.failed(error)
        self._record.upstream = candidate.upstream.name
        if len(self._tried) < MOST_ATTEMPTS and time.monotonic() < self._deadline:
            untried = self._untried()
            if error.may_fail_over and untried:
                self._start(untried[0])
            elif error.retryable:
                self._plan_retry(candidate, error)
        if not self._running and self._next is None:
            self._last_error = self._counted(error)

    def _raise_last_error(self) -> None:
        """Raise the error that is left when no attempt is.

        Nothing on its way may hold it, for its traceback will hold each frame that it passes through: such a cycle
        would live until the next full collection, and the request with it.
        """
        if self._last_error is not None:
            error, self._last_error = self._last_error, None
            try:
                raise error
            finally:
                del error

    def _plan_retry(self, candidate: UpstreamHealth, error: ParleyError) -> None:
        """The same upstream again, after the pause that it asks for or else a short one, if the budgets allow."""
        pause = retries.retry_after(error.headers) or retries.backoff(len(self._tried))
        at = time.monotonic() + pause
        may = self._tried.count(candidate) < error.most_attempts and at < self._last_retry
        if may and self._next is None and self._budget.spend():
            self._next = (at, candidate)

    def _start_what_is_due(self) -> bool:
        """Start the planned retry or the hedge if its time has come."""
        now = time.monotonic()
        if self._next and now >= self._next[0]:
            _, candidate = self._next
            self._next = None
        elif now >= self._hedge_at and self._may_hedge():
            candidate = [*self._untried(), self._candidates[0]][0]
        else:
            return False
        self._start(candidate)
        return True

    def _may_hedge(self) -> bool:
        self._hedge_at = math.inf
        return len(self._tried) < MOST_ATTEMPTS and self._budget.spend()

    def _untried(self) -> list[UpstreamHealth]:
        """Upstreams not asked yet, those in good health first: the last one that is left is never passed over."""
        untried = [candidate for candidate in self._candidates if candidate not in self._tried]
        return [candidate for candidate in untried if candidate.breaker.allows()] or untried

    def _ask_here(self, candidate: UpstreamHealth) -> Answered | Failure:
        """An attempt in the turn's own greenlet: where none can run beside it, that saves a tenth of a request."""
        self._count(candidate)
        try:
            return outcome_of(self._ask, candidate.upstream, max(0.001, self._deadline - time.monotonic()))
        except BaseException:
            candidate.released()
            raise

    def _count(self, candidate: UpstreamHealth) -> None:
        candidate.breaker.ask()
        self._tried.append(candidate)
        self._record.attempts += 1

    def _start(self, candidate: UpstreamHealth) -> None:
        self._count(candidate)
        attempt = gevent.spawn(self._try, candidate.upstream)
        self._running[attempt] = candidate
        attempt.link(self._finished.put)

    def _try(self, upstream: ChatApi) -> Answered | Failure | None:
        # An error is handed over, not raised: a greenlet that dies of one is reported on standard error.
        outcome = outcome_of(self._ask, upstream, math.inf)  # the race looks at the clock
        if self._over:
            self._drop(outcome)
            return None
        return outcome

    def _drop(self, outcome: Answered | Failure | None) -> None:
        if outcome is not None and not isinstance(outcome, Failure):
            self._discard(outcome)

    def _wait(self) -> gevent.Greenlet | None:
        """The next attempt to finish, or None at the next moment that something else may be due."""
        planned = self._next[0] if self._next else math.inf
        moments = (self._deadline, self._hedge_at, self._wake_at, planned)
        try:
            return self._finished.get(timeout=max(0.0, min(self._tick, min(moments) - time.monotonic())))
        except Empty:
            return None

    def _counted(self, error: ParleyError) -> ParleyError:
        error.headers["x-relay-attempts"] = str(len(self._tried))
        if error.status == 503:
            error.headers.setdefault("retry-after", "1")
        return error
