"""One upstream as a worker knows it: its breaker, the outcome of each attempt, and a hint of other workers.

    no hint ──others say so──► hinted ──its time is over, or an answer of its own to a turn begun since──► no hint

A hint lets other upstreams go first. It forbids nothing: an upstream without an alternative is asked all the same. What
this worker finds out for others stands in `limited_until` and in the breaker; who takes it to them is not known here.
"""

import math
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from parley.errors import Fault, ParleyError, UpstreamError, UpstreamUnreachable, UpstreamWordless
from parley.http_client.response import NoResponse
from parley.telemetry import metrics
from parley.telemetry.logs import log
from parley.upstream import retries
from parley.upstream.breaker import LONGEST_PAUSE_SECONDS, Breaker, Cause
from parley.upstream.chat_api import ChatApi

FAULT_LOG_SECONDS = 60.0
"""Seconds between two log lines about one fault of the operator's at one upstream."""
FAULT_EVENTS: dict[Fault, str] = {
    "key": "upstream_auth_failed",
    "credit": "upstream_credit_refused",
    "model": "upstream_model_refused",
}
"""The log line of each fault."""


class Hint(NamedTuple):
    """Advice of other workers to ask another upstream first, from one moment to another: it is `limited`, or `sick`."""

    reason: str
    since: float
    until: float


@dataclass(eq=False)
class UpstreamHealth:
    """One of the upstreams with its breaker; counts the outcome of each attempt in the metrics."""

    upstream: ChatApi
    breaker: Breaker = field(default_factory=Breaker)
    logged_at: dict[str, float] = field(default_factory=dict)
    # The moment until which the upstream has asked this worker to wait, by a status 429.
    limited_until: float = 0.0
    hint: Hint | None = None

    @property
    def sick_until(self) -> float:
        """The moment until which the breaker that failures have opened last is open."""
        return self.breaker.failing_until

    @property
    def hinted(self) -> str:
        """The reason of the hint that counts now; empty if there is none."""
        hint = self.hint
        if hint is None or time.monotonic() >= hint.until:
            return ""
        # A worker that has seen failures itself probes by its own breaker: with all of them waiting for one another,
        # nobody would notice that the upstream is well again.
        return "" if hint.reason == "sick" and self.breaker.state != "closed" else hint.reason

    def heed(self, reason: str, seconds: float) -> None:
        """Let other upstreams go first for so many seconds from now on, because other workers say so."""
        now = time.monotonic()
        self.hint = Hint(reason, self.hint.since if self.hint else now, now + seconds)

    def disregard(self) -> None:
        """End the hint."""
        self.hint = None

    def succeeded(self, cause: Cause | None = None, begun: float = math.inf) -> None:
        """Count an answer to a turn that has `begun` at this moment."""
        self.breaker.succeeded(cause)
        # A turn from before the hint proves nothing: it may have been let in before the limit was reached.
        if self.hint and begun >= self.hint.since:
            self.disregard()
        self._count("ok")

    def released(self) -> None:
        """Count an attempt that was given up."""
        self.breaker.released()
        self._count("given_up")

    def wordless(self) -> None:
        """Count an answer without a word. The breaker ignores it, because one caller's request may be the reason."""
        self.breaker.released()
        self._count(UpstreamWordless.code)

    def failed(self, error: ParleyError, cause: Cause | None = None, *, excused: bool = False) -> None:
        """Count a failure. One that is `excused` had its reason in the request, and says nothing of the upstream.

        A fault of the operator's is logged, once a minute.
        """
        self._log_fault(error)
        is_upstreams = isinstance(error, UpstreamError) and error.status >= 500
        if isinstance(error, UpstreamError) and error.opens_breaker:
            self.breaker.failed(at_once=True)
        elif is_upstreams and not excused and (error.retryable or getattr(error, "fault", None)):
            # No request brings about that a host can't be reached, or is overloaded. One may bring down the process
            # that reads it.
            is_reached = isinstance(error, NoResponse) or not isinstance(error, UpstreamUnreachable)
            caused = is_reached and error.status != 503
            self.breaker.failed(cause if caused else None)
        else:
            # The caller's mistake, or a rate limit: the upstream itself is well.
            self.breaker.released()
            seconds = retries.retry_after(error.headers)
            if seconds and (error.retryable or getattr(error, "fault", None)):
                self.breaker.cool_down(seconds)
                if error.status == 429:
                    self.limited_until = time.monotonic() + min(seconds, LONGEST_PAUSE_SECONDS)
        self._count(error.code)

    def _log_fault(self, error: ParleyError) -> None:
        if not isinstance(error, UpstreamError) or (error.fault is None and error.status != 404):
            return
        event = FAULT_EVENTS[error.fault] if error.fault else "upstream_not_found"
        now = time.monotonic()
        if now - self.logged_at.get(event, -math.inf) >= FAULT_LOG_SECONDS:
            self.logged_at[event] = now
            log.error(event, upstream=self.upstream.name, reason=error.reason)

    def _count(self, result: str) -> None:
        metrics.series(metrics.ATTEMPTS, self.upstream.name, result).inc()
