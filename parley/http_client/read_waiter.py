"""Wait for data on a socket: the hot spot of a relay, passed once for each piece of an answer.

A socket's own timeout would cost a timer for each wait, and a first `recv` that is bound to fail. Here one timer
outlives many waits, and `recv` is called only when there is something to read.

    wait begins    deadline before the timer's moment: restart the timer, else leave it running
    data arrives   the wait ends, the timer runs on: the next wait needs none
    timer fires    no wait, or its deadline has not come: restart the timer for the remainder, else end the wait
"""

import math
import time

from gevent import get_hub
from gevent.hub import Waiter

READ = 1
"""libev's event mask for a readable file."""


class ReadWaiter:
    """Waits for data on one socket, in one greenlet at a time. Must be closed before the socket is."""

    def __init__(self, fileno: int) -> None:
        self._hub = get_hub()
        self._readable = self._hub.loop.io(fileno, READ)
        self._timer = self._hub.loop.timer(0)
        self._fires_at = math.inf
        self._deadline = 0.0
        self._waiter: Waiter | None = None

    def wait(self, seconds: float) -> bool:
        """Wait for data or the connection's end; return False if neither came within `seconds`."""
        self._deadline = time.monotonic() + seconds
        if self._deadline < self._fires_at:
            self._start_timer(seconds)
        waiter = self._waiter = Waiter(self._hub)
        self._readable.start(waiter.switch, True)
        try:
            return bool(waiter.get())
        finally:
            self._waiter = None
            # A watcher that goes on would wake the event loop again and again for data that is not read yet.
            self._readable.stop()

    def close(self) -> None:
        """Release the event loop's watchers."""
        self._readable.close()
        self._timer.close()

    def _start_timer(self, seconds: float) -> None:
        # A timer of gevent's gets its length when it is made, so a new one replaces the old.
        self._timer.close()
        self._timer = self._hub.loop.timer(seconds)
        self._timer.start(self._on_timer)
        self._fires_at = self._deadline

    def _on_timer(self) -> None:
        """End the wait that is under way if it is due. Runs in the event loop."""
        self._fires_at = math.inf
        if self._waiter is None:
            return
        # The timer was started for an earlier wait than this one, as a rule.
        remaining = self._deadline - time.monotonic()
        if remaining > 0:
            self._start_timer(remaining)
        else:
            self._waiter.switch(False)
