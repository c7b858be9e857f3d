"""A circuit breaker: it keeps attempts away from an upstream that keeps failing.

                 5 failures in a row, or half of at least
                 10 attempts in 30 s; a refused key at once
     ┌────────┐ ─────────────────────────────────────────► ┌──────┐
     │ closed │                                            │ open │ for 5 s, then twice as long each time, up to 60 s
     └────────┘ ◄───────────── succeeds ──┌───────────┐    └──────┘
                                          │ half_open │ ◄─────┘ the pause is over
                                          └───────────┘ fails ──► open

Half-open, one attempt at a time may go through; its outcome decides. An attempt that is given up decides nothing.
"""

import time
from collections import deque
from collections.abc import Callable

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


class Breaker:
    """The state of one upstream. Each `begin` must be followed by `succeeded`, `failed` or `released`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._recent: deque[tuple[float, bool]] = deque(maxlen=1000)
        self._in_a_row = 0
        self._pause = FIRST_PAUSE_SECONDS
        # Open until `_open_until`; from then on half-open, until a success clears the flag.
        self._opened = False
        self._open_until = 0.0
        self._probing = False

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
        """Note the begin of an attempt."""
        self._probing = self.state == "half_open"

    def succeeded(self) -> None:
        """Note the success of an attempt, which closes a half-open breaker."""
        self._recent.append((self._clock(), True))
        self._in_a_row = 0
        self._probing = False
        # An attempt from before the breaker opened may succeed while it is open; that proves nothing.
        if self._opened and self._clock() >= self._open_until:
            self._opened = False
            self._pause = FIRST_PAUSE_SECONDS
            self._recent.clear()

    def failed(self, *, at_once: bool = False) -> None:
        """Note the failure of an attempt; with `at_once` it opens the breaker alone, as for a refused key."""
        now = self._clock()
        self._recent.append((now, False))
        self._in_a_row += 1
        probe_failed = self._probing and self._opened
        self._probing = False
        window = [success for moment, success in self._recent if moment >= now - WINDOW_SECONDS]
        mostly_failed = len(window) >= WINDOW_LEAST and sum(window) * 2 <= len(window)
        keeps_failing = self._in_a_row >= FAILURES_IN_A_ROW or mostly_failed
        # Failures of attempts that were under way when it opened do not prolong the pause.
        if now >= self._open_until and (at_once or probe_failed or keeps_failing):
            self._open_until = now + self._pause
            self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
            self._opened = True
            self._in_a_row = 0

    def released(self) -> None:
        """Note that an attempt was given up, which says nothing about the upstream."""
        self._probing = False

    def cool_down(self, seconds: float) -> None:
        """Open for the time that the upstream asked for (Retry-After)."""
        self._opened = True
        self._open_until = max(self._open_until, self._clock() + min(seconds, LONGEST_PAUSE_SECONDS))
