"""A circuit breaker: it keeps attempts away from an upstream that keeps failing.

                 5 failures in a row, or half of at least
                 10 attempts in 30 s; a refused key at once
     ┌────────┐ ─────────────────────────────────────────► ┌──────┐
     │ closed │                                            │ open │ for 5 s, then twice as long each time, up to 60 s
     └────────┘ ◄───────────── succeeds ──┌───────────┐    └──────┘
                                          │ half_open │ ◄─────┘ the pause is over
                                          └───────────┘ fails ──► open

Half-open, one attempt at a time may go through; its outcome decides. An attempt that is given up decides nothing, and
the next one goes through at once.

One caller's request may make a healthy upstream fail, again and again. Failures with a `Cause` count as often as their
causes differ, and not at all where one caller alone fails while others succeed.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

FAILURES_IN_A_ROW = 5
"""Consecutive failures that open a breaker."""
WINDOW_SECONDS = 30.0
"""Seconds for which an outcome counts towards the share of failures."""
WINDOW_LEAST = 10
"""Least outcomes in the window for their share of failures to count."""
FIRST_PAUSE_SECONDS = 5.0
"""Seconds for which a breaker is open at first."""
LONGEST_PAUSE_SECONDS = 60.0
"""Most seconds for which a breaker is open, also at an upstream's own wish."""


class Cause(NamedTuple):
    """The request behind an outcome: the name of the caller's key, None where callers can't be told apart, and a
    number that is the same for the same words.
    """

    key: str | None
    body: int


class Outcome(NamedTuple):
    """The end of an attempt; `cause` is None if it had nothing to do with the request."""

    moment: float
    success: bool
    cause: Cause | None


class Breaker:
    """The state of one upstream. Each `begin` must be followed by `succeeded`, `failed` or `released`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._recent: deque[Outcome] = deque(maxlen=1000)
        self._in_a_row: deque[Cause | None] = deque(maxlen=1000)
        self._pause = FIRST_PAUSE_SECONDS
        # Open until `_open_until`; from then on half-open, until a success clears the flag.
        self._opened = False
        self._open_until = 0.0
        self._probing = False
        self._probed_by: Cause | None = None
        # Until when it is open by failures, not at the upstream's own wish.
        self.failing_until = 0.0

    @property
    def state(self) -> str:
        """closed, open or half_open."""
        if self._clock() < self._open_until:
            return "open"
        return "half_open" if self._opened else "closed"

    def allows(self) -> bool:
        """Return True if an attempt may begin now."""
        return self.state == "closed" or (self.state == "half_open" and not self._probing)

    def begin(self) -> None:
        """Note that an attempt begins."""
        self._probing = self.state == "half_open"

    def succeeded(self, cause: Cause | None = None) -> None:
        """Note the success of an attempt, which closes a half-open breaker."""
        self._recent.append(Outcome(self._clock(), True, cause))
        self._in_a_row.clear()
        self._probing = False
        # An attempt from before the breaker opened may succeed while it is open; that proves nothing.
        if self._opened and self._clock() >= self._open_until:
            self._opened = False
            self._probed_by = None
            self._pause = FIRST_PAUSE_SECONDS
            self._recent.clear()

    def failed(self, cause: Cause | None = None, *, at_once: bool = False) -> None:
        """Note the failure of an attempt; with `at_once` it opens the breaker alone, as for a refused key."""
        now = self._clock()
        self._recent.append(Outcome(now, False, cause))
        self._in_a_row.append(cause)
        probe_failed = self._probing and self._opened
        if probe_failed and cause is not None and cause.key is not None:
            # The request that failed as a probe before proves nothing by failing again: let another one probe.
            probe_failed, self._probed_by = cause != self._probed_by, cause
        self._probing = False
        window = [outcome for outcome in self._recent if outcome.moment >= now - WINDOW_SECONDS]
        failures = weight(outcome.cause for outcome in window if not outcome.success)
        successes = sum(outcome.success for outcome in window)
        mostly_failed = failures + successes >= WINDOW_LEAST and successes <= failures
        keeps_failing = weight(self._in_a_row) >= FAILURES_IN_A_ROW or mostly_failed
        is_outage = probe_failed or (keeps_failing and not is_one_callers_own(window))
        # Failures of attempts that were under way when it opened do not prolong the pause.
        if now >= self._open_until and (at_once or is_outage):
            self._open_until = self.failing_until = now + self._pause
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
            self._opened = True
            self._in_a_row.clear()

    def released(self) -> None:
        """Note that an attempt was given up, which says nothing about the upstream."""
        self._probing = False

    def cool_down(self, seconds: float) -> None:
        """Open for the time that the upstream asked for (Retry-After)."""
        self._opened = True
        self._open_until = max(self._open_until, self._clock() + min(seconds, LONGEST_PAUSE_SECONDS))


def weight(causes: Iterable[Cause | None]) -> int:
    """Return the number of failures with these causes; those of one caller with one body count once.

    Without keys callers can't be told apart, so that each failure counts.
    """
    every = list(causes)
    known = [cause for cause in every if cause is not None and cause.key is not None]
    return len(every) - len(known) + len(set(known))


def is_one_callers_own(outcomes: Iterable[Outcome]) -> bool:
    """Return true if all failures have one caller, or unknown callers and one body, while others succeed."""
    every = list(outcomes)
    failed = [outcome for outcome in every if not outcome.success]
    causes = {outcome.cause for outcome in failed}
    one = next(iter(causes))
    if one is None or any(cause is None or cause.key != one.key for cause in causes):
        return False
    if one.key is None and len(causes) > 1:
        return False
    # Successes from before the first failure say nothing: the upstream may have fallen ill since.
    others = [outcome.cause for outcome in every if outcome.success and outcome.moment >= failed[0].moment]
    return any(
        other is not None and (other.key != one.key if one.key is not None else other.body != one.body)
        for other in others
    )
