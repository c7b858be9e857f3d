"""A circuit breaker: an upstream that fails again and again is left alone for a while."""

import time
from collections import deque
from collections.abc import Callable

FAILURES_IN_A_ROW = 5
WINDOW_SECONDS = 30.0
WINDOW_LEAST = 10
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 60.0


class Breaker:
    """Opens after five failures in a row, or when half of at least ten answers in 30 s were failures.

    Open for 5 s, then for twice as long each time, at most 60 s; after that one question may try (half-open), and its
    answer decides. Whoever asked must say how it went: `succeeded`, `failed` or `released`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._recent: deque[tuple[float, bool]] = deque(maxlen=1000)
        self._in_a_row = 0
        self._pause = FIRST_PAUSE_SECONDS
        self._opened = False
        self._until = 0.0
        self._probing = False

    @property
    def state(self) -> str:
        """closed, open or half_open."""
        if self._clock() < self._until:
            return "open"
        return "half_open" if self._opened else "closed"

    def allows(self) -> bool:
        """Whether a question may go there now."""
        return self.state == "closed" or (self.state == "half_open" and not self._probing)

    def ask(self) -> None:
        """A question goes there."""
        self._probing = self.state == "half_open"

    def succeeded(self) -> None:
        """It answered."""
        self._recent.append((self._clock(), True))
        self._in_a_row = 0
        self._probing = False
        if self._opened and self._clock() >= self._until:
            self._opened = False
            self._pause = FIRST_PAUSE_SECONDS
            self._recent.clear()

    def failed(self, *, at_once: bool = False) -> None:
        """It failed; `at_once` where further questions can't fare better (a refused key)."""
        self._recent.append((self._clock(), False))
        self._in_a_row += 1
        probe_failed = self._probing and self._opened
        self._probing = False
        if self._clock() >= self._until and (at_once or probe_failed or self._is_failing()):
            self._open()

    def released(self) -> None:
        """The question was given up; that says nothing about the upstream."""
        self._probing = False

    def cool_down(self, seconds: float) -> None:
        """Leave it alone for so long, at its own wish (Retry-After)."""
        self._opened = True
        self._until = max(self._until, self._clock() + min(seconds, LONGEST_PAUSE_SECONDS))

    def _is_failing(self) -> bool:
        since = self._clock() - WINDOW_SECONDS
        window = [good for when, good in self._recent if when >= since]
        mostly_bad = len(window) >= WINDOW_LEAST and sum(window) * 2 <= len(window)
        return self._in_a_row >= FAILURES_IN_A_ROW or mostly_bad

    def _open(self) -> None:
        self._until = self._clock() + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        self._opened = True
        self._in_a_row = 0
