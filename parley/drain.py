"""The end of a worker: idle connections are let go, open turns run on, and what outlives the grace is told so.

gunicorn alone waits for idle keep-alive connections as if they were calls, and cuts the calls that are left when
the grace is over, without an ending.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent

from parley import observe
from parley.errors import ServerShuttingDown
from parley.services import Services

POLL_SECONDS = 0.05
"""So soon after the signal /ready says no."""
MEASURE_SECONDS = 0.5
LEAD_SECONDS = 2.0
"""How long before gunicorn's cut our own ending comes."""
IDLE_SECONDS = 0.5
"""gunicorn goes on accepting for up to a second: a connection that is new gets this long to send its request."""


class IdleWaits:
    """Stands in for a gevent worker's `timeout_ctx`, the wait for the next request on a connection."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waits: dict[gevent.Timeout, tuple[gevent.Greenlet, float]] = {}

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Bound a wait by the keep-alive time, or by `end`."""
        with gevent.Timeout(self._seconds, False) as timeout:
            self._waits[timeout] = (gevent.getcurrent(), time.monotonic())
            try:
                yield
            finally:
                del self._waits[timeout]

    def end(self, older_than: float) -> None:
        """Let the waits time out that have lasted for so many seconds."""
        since = time.monotonic() - older_than
        for timeout, (_, started) in self._waits.items():
            if started < since:
                gevent.get_hub().loop.run_callback(self._end, timeout)

    def _end(self, timeout: gevent.Timeout) -> None:
        """Runs in the event loop, where a wait that is still there is waiting: no request has begun."""
        if timeout in self._waits:
            greenlet, _ = self._waits[timeout]
            greenlet.throw(timeout)


def drain_at_the_end(worker: Any, services: Services) -> None:
    """Watch a gunicorn gevent worker for its stop, and drain it in time; to be called when it has loaded the app."""
    waits = IdleWaits(worker.cfg.keepalive)
    worker.timeout_ctx = waits
    gevent.spawn(_drain, lambda: not worker.alive, services, waits)
    gevent.spawn(_measure, services)


def _measure(services: Services) -> None:
    while True:
        observe.upstreams_are(services.upstream.states())
        due = time.monotonic() + MEASURE_SECONDS
        gevent.sleep(MEASURE_SECONDS)
        observe.LOOP_LAG.observe(max(0.0, time.monotonic() - due))


def _drain(is_stopping: Callable[[], bool], services: Services, waits: IdleWaits) -> None:
    while not is_stopping():
        gevent.sleep(POLL_SECONDS)
    services.draining = True
    last_call = time.monotonic() + services.settings.graceful_timeout - LEAD_SECONDS
    while True:  # until the worker goes: a caller may ask again, on the connection of a turn that has just ended
        waits.end(older_than=IDLE_SECONDS)
        if time.monotonic() >= last_call:
            for turn in list(services.admission.running):
                turn.interrupt(ServerShuttingDown("the server is shutting down"))
        gevent.sleep(POLL_SECONDS)
