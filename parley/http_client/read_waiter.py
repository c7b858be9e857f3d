"""Waiting for what arrives on a socket, the hot spot of a relay: once for each piece of an answer.

A socket's own timeout would cost a timer for each wait, and its `recv` a first call that is bound to fail. Here one
timer runs on through many waits, and nothing is received before there is something.
"""

import math
import time

from gevent import get_hub
from gevent.hub import Waiter

READ = 1


class ReadWaiter:
    """Waits on one socket, for one greenlet at a time. Must be closed before the socket is."""

    def __init__(self, fileno: int) -> None:
        self._hub = get_hub()
        self._readable = self._hub.loop.io(fileno, READ)
        self._alarm = self._hub.loop.timer(0)
        self._rings_at = math.inf
        self._due = 0.0
        self._waiter: Waiter | None = None

    def wait(self, seconds: float) -> bool:
        """Whether there is something to read, be it the end, before so many seconds have passed."""
        self._due = time.monotonic() + seconds
        if self._due < self._rings_at:
            self._set_alarm(seconds)
        waiter = self._waiter = Waiter(self._hub)
        self._readable.start(waiter.switch, True)
        try:
            return bool(waiter.get())
        finally:
            self._waiter = None
            self._readable.stop()

    def close(self) -> None:
        """Let go of the event loop's watchers."""
        self._readable.close()
        self._alarm.close()

    def _set_alarm(self, seconds: float) -> None:
        self._alarm.close()
        self._alarm = self._hub.loop.timer(seconds)
        self._alarm.start(self._ring)
        self._rings_at = self._due

    def _ring(self) -> None:
        """Runs in the event loop: the wait that goes on now may be a later one, and due later."""
        self._rings_at = math.inf
        if self._waiter is None:
            return
        left = self._due - time.monotonic()
        if left > 0:
            self._set_alarm(left)
        else:
            self._waiter.switch(False)
