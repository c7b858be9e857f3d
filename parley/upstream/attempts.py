"""The attempts at one request: retries, failover and hedging, all before the commit point.

    begin ──► running ──► answered              the first answer wins, and the other attempts are ended
                 │
                 ├──► wordless            once: as failed; again, or with none left: answered
                 └──► failed ─┬─ another upstream may succeed, and one is untried ───► begin there, at once
                              ├─ the same may succeed, and time and budgets allow ───► planned ──► begin, after a pause
                              └─ neither: raise the error, unless another attempt is running or planned

    no answer after `hedge_after` seconds ──► begin one more attempt beside
    no answer after `seconds` seconds     ──► UpstreamTimeout, unless an attempt lives: its upstream thinks
    closed                                ──► end the running attempts, discard an answer that comes all the same

Attempts run in greenlets of their own, so that two can race and the turn that waits for them can be interrupted at any
moment. The error decides whether another attempt may succeed (`parley/errors/`); when and where it is made is decided
here, in `Attempts._settle`.
"""

import contextlib
import math
import time
from collections.abc import Callable, Generator, Sequence
from typing import Generic, TypeVar

import gevent
from gevent.queue import Empty, SimpleQueue

from parley.concurrency import SILENCE, Failure, Silence, outcome_of
from parley.errors import ParleyError, UpstreamError, UpstreamTimeout, UpstreamUnreachable, UpstreamWordless
from parley.turn_record import TurnRecord
from parley.upstream import retries
from parley.upstream.breaker import Cause
from parley.upstream.chat_api import ChatApi
from parley.upstream.health import UpstreamHealth
from parley.upstream.retries import RetryBudget

MAX_ATTEMPTS = 3
"""Most attempts at one request, hedges included."""

Answer = TypeVar("Answer")


def may_lie_in_request(error: ParleyError) -> bool:
    """Return true for a failure that the request itself may bring about: an upstream answered, but badly."""
    is_bad_answer = isinstance(error, UpstreamError) and error.status == 502 and error.retryable
    return is_bad_answer and not isinstance(error, UpstreamUnreachable)


class Attempts(Generic[Answer]):
    """The attempts at one request. Must be closed, which ends those that still run.

    `ask` makes one attempt at an upstream, in at most the given seconds, and blocks until it is answered. `discard`
    releases an answer that nobody took; None if an answer holds nothing open. `hold` goes on with an answer that has
    begun, until it may win; from its begin on its upstream lives. An answer that `is_wordless` is asked for once more.

    `seconds` limits all attempts together, and `time_limit` is then the error's reason; no retry begins later than
    `retry_within` seconds. After `hedge_after` seconds without an answer one more attempt is begun beside. While it
    waits, `run` yields every `tick` seconds, and once after `wake_after` seconds. `cause` stands for the request in
    the breakers.
    """

    def __init__(
        self,
        candidates: Sequence[UpstreamHealth],
        ask: Callable[[ChatApi, float], Answer],
        discard: Callable[[Answer], None] | None,
        record: TurnRecord,
        budget: RetryBudget,
        *,
        seconds: float,
        retry_within: float,
        tick: float,
        time_limit: str | None = None,
        hedge_after: float | None = None,
        wake_after: float | None = None,
        cause: Cause | None = None,
        hold: Callable[[Answer], None] | None = None,
        is_wordless: Callable[[Answer], bool] = lambda _answer: False,
    ) -> None:
        self._candidates = candidates
        self._cause = cause
        self._ask = ask
        self._discard = discard
        self._hold = hold
        self._is_wordless = is_wordless
        self._record = record
        self._budget = budget
        self._tick = tick
        self._time_limit = time_limit
        self._started = started = time.monotonic()
        self._deadline = self._give_up_at = started + seconds
        self._last_retry_at = started + min(retry_within, seconds)
        self._hedge_at = math.inf if hedge_after is None else started + hedge_after
        self._wake_at = math.inf if wake_after is None else started + wake_after
        self._tried: list[UpstreamHealth] = []
        self._running: dict[gevent.Greenlet, UpstreamHealth] = {}
        self._finished: SimpleQueue[gevent.Greenlet] = SimpleQueue()
        self._planned: tuple[float, UpstreamHealth] | None = None
        self._repeatable: tuple[UpstreamHealth, ParleyError] | None = None
        self._bad_answers: list[tuple[UpstreamHealth, ParleyError]] = []
        self._fails_everywhere = False
        self._wordless: tuple[UpstreamHealth, Answer] | None = None
        self._final_error: Exception | None = None
        self._closed = False

    def run(self, *, heartbeats: bool) -> Generator[Silence, None, tuple[UpstreamHealth, Answer]]:
        """Yield SILENCE for each tick of waiting; return the upstream that answered, and its answer.

        Without `heartbeats` the first attempt may be waited for without ticks. Behind `ask_again`, wait for the attempt
        that it began. Raises the last attempt's error, with the number of attempts in its headers.
        """
        if self._tried:
            return (yield from self._race())
        first = self._untried()[0]
        if heartbeats or min(self._hedge_at, self._wake_at) < math.inf:
            self._start(first)
        else:
            # Nothing can happen beside the first attempt, so it runs in the turn's own greenlet.
            # perf: saves a tenth of a request (S0), which a greenlet, a queue and a link would cost
            self._begin(first)
            try:
                winner = self._settle(
                    first, outcome_of(self._ask, first.upstream, max(0.001, self._deadline - time.monotonic()))
                )
            except BaseException:
                first.released()
                raise
            if winner:
                return winner
        return (yield from self._race())

    def _race(self) -> Generator[Silence, None, tuple[UpstreamHealth, Answer]]:
        """Wait for the running attempts, and start those that fall due, until one of them answers."""
        while True:
            self._raise_final_error()
            planned_at = self._planned[0] if self._planned else math.inf
            due = min(self._give_up_at, self._hedge_at, self._wake_at, planned_at)
            attempt: gevent.Greenlet | None = None
            with contextlib.suppress(Empty):
                attempt = self._finished.get(timeout=max(0.0, min(self._tick, due - time.monotonic())))
            if attempt is not None:
                winner = self._settle_ended(attempt)
                attempt = None  # which holds the error that may be raised
                if winner:
                    return winner
            elif time.monotonic() >= self._give_up_at:
                if self._wordless:
                    return self._wordless
                raise self._with_attempts(UpstreamTimeout("the upstream said nothing in time", reason=self._time_limit))
            elif not self._start_due():
                if time.monotonic() >= self._wake_at:
                    self._wake_at = math.inf
                yield SILENCE

    def _settle_ended(self, attempt: gevent.Greenlet) -> tuple[UpstreamHealth, Answer] | None:
        """Settle an attempt that ran in a greenlet of its own; a breaker's probe is given back whatever ended it."""
        candidate = self._running.pop(attempt)
        try:
            return self._settle(candidate, attempt.get())
        except BaseException:
            candidate.released()
            raise

    def close(self) -> None:
        """End the attempts that still run. Never waits, because nothing here may be interrupted."""
        self._closed = True
        for attempt, candidate in self._running.items():
            candidate.released()
            if not attempt.ready():
                attempt.kill(block=False)
            elif attempt.successful():
                self._drop(attempt.value)
        self._running.clear()
        self._count_bad_answers()
        # Break the cycle attempts -> attempt that has ended -> GreenletExit -> traceback -> frame -> attempts, which
        # would otherwise live until the next full collection.
        self._finished = SimpleQueue()

    def ask_again(self, candidate: UpstreamHealth, answer: Answer) -> bool:
        """Ask for another answer in place of one without a word, once; return False if there is none to wait for."""
        is_first = self._wordless is None
        self._wordless = candidate, answer
        if self._discard is not None:
            self._discard(answer)
        if is_first:
            error = UpstreamWordless("the upstream's answer holds no word")
            self._repeatable = candidate, error
            self._ask_next(error)
        return bool(self._running or self._planned)

    def _settle(self, candidate: UpstreamHealth, outcome: Answer | Failure) -> tuple[UpstreamHealth, Answer] | None:
        """Return the winner, or begin or plan the next attempt; keep the error if there is none left to wait for."""
        self._record.upstream = candidate.upstream.name
        if not isinstance(outcome, Failure):
            if self._is_wordless(outcome):
                candidate.wordless()
                return None if self.ask_again(candidate, outcome) else self._wordless
            self._count_bad_answers()
            candidate.succeeded(self._cause, self._started)
            return candidate, outcome
        error = outcome.error
        if not isinstance(error, ParleyError):
            # A defect of ours, or an answer's cap: no other attempt would end otherwise.
            candidate.released()
            self._final_error = error
            return None
        self._count_failure(candidate, error)
        self._record.reason = getattr(error, "reason", None)
        if error.retryable:
            # Kept where a fallback fails for good, by its own key or model: without it this one would be asked again.
            self._repeatable = candidate, error
        self._ask_next(error)
        if self._running or self._planned is not None:
            return None
        if self._wordless is None:
            self._final_error = self._with_attempts(error)
        return self._wordless

    def _ask_next(self, error: ParleyError) -> None:
        """Begin an attempt at the next upstream, or plan a retry, if either may succeed and time and budgets allow."""
        if len(self._tried) >= MAX_ATTEMPTS or time.monotonic() >= self._deadline:
            return
        untried = self._untried()
        # Elsewhere at once, without the budget: the upstreams are few, and each is tried but once that way.
        if error.may_fail_over and untried:
            self._start(untried[0])
        elif error.may_fail_over and self._repeatable:
            again, earlier = self._repeatable
            wait = retries.retry_after(earlier.headers) or retries.backoff(len(self._tried))
            retry_at = time.monotonic() + wait
            may_repeat = self._tried.count(again) < earlier.most_attempts and retry_at < self._last_retry_at
            # The budget last: a token must not be spent for a retry that is not made.
            if may_repeat and self._planned is None and self._budget.spend():
                self._planned = (retry_at, again)

    def _count_failure(self, candidate: UpstreamHealth, error: ParleyError) -> None:
        """Count a failure; a bad answer only when it is known whether another upstream answers the request as badly."""
        if len(self._candidates) == 1 or not may_lie_in_request(error):
            candidate.failed(error, self._cause)
            return
        self._bad_answers.append((candidate, error))
        if len({id(failed) for failed, _ in self._bad_answers}) > 1 or self._fails_everywhere:
            self._fails_everywhere = True
            self._count_bad_answers()

    def _count_bad_answers(self) -> None:
        """Count the bad answers so far: for the upstreams that gave them, unless they lay in the request."""
        for candidate, error in self._bad_answers:
            candidate.failed(error, self._cause, excused=self._fails_everywhere)
        self._bad_answers.clear()

    def _raise_final_error(self) -> None:
        """Raise the error that is left when no attempt is.

        Nothing on its way may hold the error: its traceback holds each frame that it passes, and such a cycle would
        live until the next full collection, and the request with it.
        """
        if self._final_error is not None:
            error, self._final_error = self._final_error, None
            try:
                raise error
            finally:
                del error

    def _start_due(self) -> bool:
        """Start the planned retry or the hedge if its time has come; return False if neither was."""
        now = time.monotonic()
        if self._planned and now >= self._planned[0]:
            _, candidate = self._planned
            self._planned = None
        elif now >= self._hedge_at:
            # One hedge at most, whatever becomes of it.
            self._hedge_at = math.inf
            if len(self._tried) >= MAX_ATTEMPTS or not self._budget.spend():
                return False
            candidate = [*self._untried(), self._candidates[0]][0]
        else:
            return False
        self._start(candidate)
        return True

    def _untried(self) -> list[UpstreamHealth]:
        """Return the upstreams without an attempt: those of which nothing bad is known; without one, those that their
        breakers allow, though other workers advise against them; without one, all.
        """
        # With every breaker open one is tried all the same: a breaker may be wrong, and no attempt is a sure failure.
        untried = [candidate for candidate in self._candidates if candidate not in self._tried]
        allowed = [candidate for candidate in untried if candidate.breaker.allows()]
        return [candidate for candidate in allowed if not candidate.hinted] or allowed or untried

    def _begin(self, candidate: UpstreamHealth) -> None:
        candidate.breaker.begin()
        self._tried.append(candidate)
        self._record.attempts += 1

    def _start(self, candidate: UpstreamHealth) -> None:
        """Begin an attempt in a greenlet, which is put into the queue when it has finished."""
        attempt = gevent.spawn(self._attempt, candidate.upstream)
        self._running[attempt] = candidate
        self._begin(candidate)
        attempt.link(self._finished.put)

    def _attempt(self, upstream: ChatApi) -> Answer | Failure | None:
        # An error is handed over, not raised: gevent prints the traceback of a greenlet that raises. No time limit,
        # because `run` watches the deadline.
        outcome = outcome_of(self._ask, upstream, math.inf)
        if self._hold is not None and not isinstance(outcome, Failure):
            # It has begun, so its own limits end it; another attempt would not be further.
            self._give_up_at = math.inf
            if isinstance(failure := outcome_of(self._hold, outcome), Failure):
                outcome = failure
        if self._closed:
            self._drop(outcome)
            return None
        return outcome

    def _drop(self, outcome: Answer | Failure | None) -> None:
        """Discard an answer that came too late."""
        if self._discard is not None and outcome is not None and not isinstance(outcome, Failure):
            self._discard(outcome)

    def _with_attempts(self, error: ParleyError) -> ParleyError:
        """Return the error with the headers of its HTTP answer: the number of attempts, and when to come back."""
        headers = {"x-relay-attempts": str(len(self._tried))}
        if error.status == 503:
            headers["retry-after"] = error.headers.get("retry-after", "1")
        return error.with_headers(headers)
